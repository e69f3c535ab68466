"""export-rag over units: every run by itself, then every playbook, with the runs that leak a reference known."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

from distill.books import Books
from distill.conversation import has_leak
from distill.jsonl import encode_trusted, row_decoder
from distill.outcome import Outcome, Row
from distill.plan import FileRef
from distill.runs import Run
from distill.schemas.export_rows import Playbook
from distill.stages import PLAYBOOKS, QUARANTINE, RAG
from distill.stages.export_rag import keep_out, playbook_outcome, run_outcome
from distill.stages.extract_playbooks import make_title
from distill.units.cutting import Unit
from distill.units.exports import Export, Spreader, spread_corpus
from distill.units.guard import answer_line, check_exports, document_permits, embedded
from distill.units.lean import decode_whole
from distill.units.outputs import Outputs
from distill.units.parts import KEY, Part, PartWriter, Range, read_range, whole_range
from distill.units.plain import Fate, decode_plain
from distill.units.workshop import Context, Job, Piece, Workshop, place_of, read_unit

__all__ = ["EXPORT", "playbooks_unit", "run_units"]

_QUARANTINE = f"{QUARANTINE}/rag.jsonl"
_PLAYBOOK = row_decoder(Playbook)
_ENCODE = msgspec.json.Encoder().encode
json_text: Callable[[bytes], str] = msgspec.json.Decoder(str).decode
_NO_TEXT = b"0" * KEY
_ROW = (
    b'%b{"id":"%b","kind":"run","title":%b,"content":%b,"tags":[%b%b],"source_run_ids":[%b],"failed_run_ids":[],"success_score":%b,'
    b'"embedding_text":%b,"provenance":%b}'
)


def _keep(row: Row, part: PartWriter) -> None:
    if row.target == RAG:
        part.keyed["rows"].append(row.key.encode() + encode_trusted(row.value))
    else:
        part.keyed["quarantine"].append(row.key[0].encode() + encode_trusted(row.value))


@lru_cache(maxsize=256)
def _tags(category: str, model: bytes, source: str) -> bytes:
    """Return the tags of a document before that of its task, which are in order so."""
    tags = [f"category={category}", f"model={json_text(model)}" if model not in {b"null", b'""'} else "", f"source={source}"]
    return b",".join(_ENCODE(tag) for tag in tags if tag)


@lru_cache(maxsize=256)
def _title(asked: bytes) -> bytes:
    return _ENCODE(make_title(json_text(asked)))


def _plain(spreader: Spreader, fate: Fate, line: bytes, identity: bytes, text: bytes) -> bool:
    found = decode_plain(line) if fate.reasons[0] != "with_changes" else None
    if found is None or bytes(found[0].tags) != b"{}" or (fate.out is None and text == _NO_TEXT):
        return False
    run, asked, place = found
    keyed, answer = spreader.part.keyed, bytes(run.response)
    if fate.category == "rejected" and answer != b"null":
        told = answer_line(spreader.scopes.get(run.source, run.source), run.task_id or "", json_text(answer))
        if told is not None:
            keyed["answers"].append(told)
    if fate.out is not None:
        spreader.keep_out(fate, identity, place)
        return True
    content, run_id = b"%b\\n\\n%b" % (asked[:-1], answer[1:]), bytes(run.run_id)
    task = b"," + _ENCODE(f"task={run.task_id}") if run.task_id else b""
    tags = _tags(fate.category, bytes(run.model), run.source)
    keyed["rows"].append(_ROW % (identity, identity, _title(asked), content, tags, task, run_id, fate.score, content, place))
    if fate.category in {"accepted", "partially_accepted"}:
        keyed["permits"].append(b'%b[%b,%b,"%b"]' % (identity, place, run_id, embedded(content).encode()))
    spreader.books.add("accepted", None)
    return True


def _spread(one: Run, lines: list[bytes], config: Any, part: PartWriter) -> Outcome | None:
    outcome = run_outcome(one)
    if one.evidence.reference and has_leak(one.evidence):
        part.keyed["leaks"].append(one.evidence.id.encode())
    for row in outcome.rows:
        _keep(row, part)
    return Outcome(outcome.kind, outcome.unit, reason=outcome.reason)


def _gather(blocks: list[bytes], config: Any, part: PartWriter) -> Iterator[tuple[Outcome, int]]:
    yield from ()


EXPORT = Export(
    frozenset(), lambda one, config: keep_out(one), _spread, _gather, ((RAG, "rows"),), _QUARANTINE, decode_whole, document_permits, _plain,
    looks=True,
)  # fmt: skip
"""What is particular to documents for retrieval."""


def playbooks_unit(context: Context, payload: tuple[str, Unit, list[Range]]) -> Part:
    """Make documents of a range of playbooks; the ranges hold the ids of runs whose text holds a reference."""
    path, unit, leaks = payload
    books, part = Books(by_file=False), PartWriter()
    leaking = {line.decode() for one in leaks for line in read_range(one).split(b"\n")[:-1]}
    data = read_unit(f"{context.project}/{PLAYBOOKS}", unit, PLAYBOOKS)
    for line in data.split(b"\n")[:-1]:
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
    outputs.merge(RAG, parts, "rows")
    outputs.merge(_QUARANTINE, parts, "quarantine")
    if shop.work.config.playbooks.group_by != "task_id":  # a playbook may then hold answers of tasks that do not meet it by key
        return lambda: [*check_exports(shop, outputs, runs), f"{RAG}: playbooks of other groups than tasks are read by the reference"]
    return lambda: check_exports(shop, outputs, runs)
