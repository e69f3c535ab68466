"""export-rag over units: every run by itself, then every playbook, with the runs that leak a reference known."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

from distill.books import Books
from distill.compiled import find_compiled
from distill.conversation import has_leak
from distill.jsonl import encode_trusted, row_decoder
from distill.outcome import Outcome, Row
from distill.plan import FileRef
from distill.runs import Run
from distill.schemas.export_rows import Playbook
from distill.stages import PLAYBOOKS, QUARANTINE, RAG
from distill.stages.export_rag import keep_out, playbook_outcome, run_outcome
from distill.units.cutting import Unit
from distill.units.exports import Export, Spreader, spread_corpus
from distill.units.extract_playbooks import spell_title
from distill.units.guard import answer_group, check_exports, document_permits
from distill.units.jobs import Context, Job, Piece, place_of, read_unit
from distill.units.lean import decode_whole
from distill.units.merging import KEY_VALUE
from distill.units.outputs import Outputs, Target
from distill.units.parts import Part, PartWriter, Range, read_range, whole_range
from distill.units.workshop import Workshop

__all__ = ["EXPORT", "playbooks_unit", "run_units"]

_QUARANTINE = f"{QUARANTINE}/rag.jsonl"
_PLAYBOOK = row_decoder(Playbook)
_COMPILED = find_compiled("documents")
_GROUPS = find_compiled("groups")
_ENCODE = msgspec.json.Encoder().encode
_TITLE, _ASKED, _ANSWER, _TAGS_AND_RUN, _SCORE, _PLACE = range(6)  # of the document of a run; both texts without their quotes
_ROW = (
    b'{"id":"', KEY_VALUE, b'","kind":"run","title":', _TITLE, b',"content":"', _ASKED, rb"\n\n", _ANSWER, b'","tags":[', _TAGS_AND_RUN,
    b'],"failed_run_ids":[],"success_score":', _SCORE, b',"embedding_text":"', _ASKED, rb"\n\n", _ANSWER, b'","provenance":', _PLACE, b"}",
)  # fmt: skip
json_text: Callable[[bytes], str] = msgspec.json.Decoder(str).decode


def _keep(row: Row, part: PartWriter) -> None:
    if row.target == RAG:
        part.keyed["rows"].append(row.key.encode() + encode_trusted(row.value))
    else:
        part.keyed["quarantine"].append(row.key[0].encode() + encode_trusted(row.value))


@lru_cache(maxsize=256)
def _tags(category: str, model: bytes, source: bytes) -> bytes:
    """Return the tags of a document before that of its task, which are in order so."""
    tags = [f"category={category}", f"model={json_text(model)}" if model not in {b"null", b'""'} else "", f"source={json_text(source)}"]
    return b",".join(_ENCODE(tag) for tag in tags if tag)


def _compiled(spreader: Spreader) -> Any:
    scopes = spreader.scopes

    def group_of(source: bytes, task_id: bytes) -> bytes:
        name = json_text(source)
        return answer_group(scopes.get(name, name), json_text(task_id) if task_id != b"null" else "")

    return _COMPILED and _COMPILED.SpreadDocuments(spreader.fates.of, _ENCODE, spreader.part.keyed, spell_title, _tags, group_of)


def _spread(one: Run, lines: list[bytes], config: Any, part: PartWriter) -> Outcome | None:
    outcome = run_outcome(one)
    if one.evidence.reference and has_leak(one.evidence):
        part.keyed["leaks"].append(one.evidence.id.encode())
    for row in outcome.rows:
        _keep(row, part)
    return Outcome(outcome.kind, outcome.unit, reason=outcome.reason)


def _gather(blocks: list[bytes], context: Context, part: PartWriter) -> Iterator[tuple[Outcome, int]]:
    yield from ()


EXPORT = Export(
    frozenset(), lambda one, config: keep_out(one), _spread, _gather, (Target(RAG, ("rows",), _ROW, growth=4),), _QUARANTINE, decode_whole,
    document_permits, compiled=_compiled, quotes=True, looks=True,
)  # fmt: skip
"""What is particular to documents for retrieval."""


@lru_cache(maxsize=1024)
def _share(passed: int, runs: int) -> bytes:
    return _ENCODE(passed / runs)


def playbooks_unit(context: Context, payload: tuple[str, Unit, list[Range]]) -> Part:
    """Make documents of a range of playbooks; the ranges hold the ids of runs whose text holds a reference."""
    path, unit, leaks = payload
    books, part = Books(by_file=False), PartWriter()
    leaking = {line.decode() for one in leaks for line in read_range(one).split(b"\n")[:-1]}
    data = read_unit(f"{context.project}/{PLAYBOOKS}", unit, PLAYBOOKS)
    if _GROUPS is None or leaking:
        lines = data.split(b"\n")[:-1]
    else:
        count, lines = _GROUPS.SpellPlaybooks(_share).take(data, part.keyed["rows"])
        books.add("accepted", None, times=count)
    for line in lines:
        outcome = playbook_outcome(_PLAYBOOK(line), leaking)
        books.count(outcome)
        for row in outcome.rows:
            _keep(row, part)
    return part.save(path, {"books": books.facts(), "records": data.count(b"\n")})


def run_units(shop: Workshop, outputs: Outputs) -> Callable[[], list[str]]:
    """Export every run and every playbook; return the reading of what was written."""
    runs = spread_corpus(shop)
    leaking = [part for part in runs if "leaks" in part.sections]
    leaks = [whole_range(part, "leaks") for part in leaking]
    told = " ".join(part.sections["leaks"].digest for part in leaking)
    ref = FileRef(PLAYBOOKS, PLAYBOOKS)

    def jobs() -> Iterator[Job]:
        for unit in shop.cut(ref):
            place = place_of([ref], [Piece(0, (unit,))])
            yield Job("distill.units.export_rag:playbooks_unit", (unit, leaks), (unit.digest, told), place, unit.end - unit.start)

    playbooks = list(shop.parts(jobs()))
    shop.count_input(ref, sum(part.facts["records"] for part in playbooks))
    parts = [*runs, *playbooks]
    outputs.merge(parts, *EXPORT.targets, Target(_QUARANTINE, ("quarantine",)))
    if shop.work.config.playbooks.group_by != "task_id":  # a playbook may then hold answers of tasks that do not meet it by key
        return lambda: [*check_exports(shop, outputs, runs), f"{RAG}: playbooks of other groups than tasks are read by the reference"]
    return lambda: check_exports(shop, outputs, runs)
