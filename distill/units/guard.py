"""The firewall over units: exports are read back from disk in ranges, and every run they name is held against its verdict (law 6).

What a row must be by itself is checked where it is read; which run it may come from is a claim, met by the id of its evidence with the
permit that the verdict after the resolution gives. A pair does not bear the ids of its two runs: the stage says which they are, and the
id of the pair, which is their hash, proves it. Where anything is found, the reference in `distill.firewall` reads the whole and speaks.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, groupby
from typing import Any, NamedTuple

import msgspec

from distill.books import Books
from distill.compiled import find_compiled
from distill.config import Config
from distill.conversation import build_turns, normalise, user_text
from distill.errors import IntegrityError
from distill.firewall import CHECKS, ROW_TYPES, split_places
from distill.hashing import hash_bytes, row_id
from distill.jsonl import decode_document, row_decoder
from distill.runs import EXCLUDED
from distill.schemas.export_rows import PreferenceRow, PromptCompletionRow, RagRow, SftRow
from distill.schemas.scored_run import ResolutionRow
from distill.units.cutting import Unit
from distill.units.jobs import Context, Job, later
from distill.units.parts import (
    KEY,
    NOTHING,
    Part,
    PartWriter,
    Range,
    bucket_ranges,
    load_part,
    read_lines_of,
    read_range,
    read_ranges,
    span_ranges,
)  # fmt: skip
from distill.units.workshop import Workshop

__all__ = [
    "Verdict", "answer_group",
    "answer_line", "build_verdict", "check_exports", "check_range", "claim_line", "document_permits", "embed_bucket",
    "embedded", "join_bucket",    "permits", "use_of",
]  # fmt: skip

_COMPILED = find_compiled("guard")
_ALONE = ("empty_answer", "broken_turns", "self_pair", "unsafe_source")
_SHORT = 20
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder().decode
_CLAIM, _PERMIT = b"C", b"P"
_GROUP = "group="


class Verdict(NamedTuple):
    """What the corpus says of a run, taken from its scored row and the resolution themselves."""

    evidence: Any
    """Its evidence."""
    scope: str
    """What its run id is unique in."""
    category: str
    """After the resolution."""
    reason: str
    """After the resolution."""
    gone: bool
    """Whether the resolution keeps it out."""
    broken: bool
    """Whether the infrastructure failed in any of its rows."""


def build_verdict(evidence: Any, scored: Any, rows: Sequence[ResolutionRow], mates: Sequence[Any], scope: str) -> Verdict:
    """Return the verdict on a run; `mates` are the other rows of the same run."""
    category, reason = scored.category, scored.reasons[0]
    for row in rows:
        if row.category is not None:
            category, reason = row.category, row.reasons[0]
    gone = any(row.kind in EXCLUDED for row in rows)
    broken = any(signal.kind == "infrastructure" for one in (evidence, *mates) for signal in one.signals)
    return Verdict(evidence, scope, category, reason, gone, broken)


def permits(*uses: str) -> Callable[[Verdict, Config], Iterator[tuple[str, bytes]]]:
    """Return what yields the uses in training that a run may be put to, of those an export knows, whatever a stage makes of it."""

    def permit(one: Verdict, config: Config) -> Iterator[tuple[str, bytes]]:
        use = use_of(one.category, one.reason, config)
        if not one.gone and use in uses and not (one.broken and use == "avoid"):
            yield "permits", permit_line(one, use)

    return permit


def use_of(category: str, reason: str, config: Config) -> str:
    """Return the use in training that a standing run of that verdict may be put to: imitate, avoid, or none."""
    if category == "rejected":
        return "" if reason == "errors_unjudged" else "avoid"
    kind = category if category == "accepted" else reason if category == "partially_accepted" else None
    return "imitate" if kind in config.sft.include else ""


def permit_line(one: Verdict, use: str) -> bytes:
    """Return the line that permits a use of a run: its evidence id, and what a claim must say to the letter."""
    return claim_line(one.evidence.id, str(one.evidence.provenance), one.evidence.run_id or "", use)


def claim_line(identity: str, place: str, run_id: str, use: str) -> bytes:
    """Return a claim on a run."""
    return identity.encode() + _ENCODE((place, run_id, use))


def document_permits(one: Verdict, config: Config) -> Iterator[tuple[str, bytes]]:
    """Yield that a run may be a document, with what may be embedded of it; or that its answer must not be."""
    evidence = one.evidence
    if one.category == "rejected":
        told = answer_line(one.scope, evidence.task_id or "", evidence.response or "")
        if told is not None:
            yield "answers", told
    if not one.gone and one.category in {"accepted", "partially_accepted"}:
        asked = user_text(evidence)
        turns = build_turns(evidence)
        for answer in {evidence.response, evidence.corrected_response, *(turn.content for turn in turns[-1:])}:
            if answer and answer.strip():
                yield "permits", permit_line(one, embedded(_ENCODE(f"{asked}\n\n{answer}")))


def answer_line(scope: str, group: str, answer: str) -> bytes | None:
    """Return the line that says that no playbook of a task may embed a rejected answer; None for one too short to be told."""
    text = normalise(answer)
    if len(text) < _SHORT:
        return None
    return answer_group(scope, group) + _PERMIT + _ENCODE(text)


def answer_group(scope: str, group: str) -> bytes:
    """Return the key under which the rejected answers of a task meet its documents."""
    return group_key(f"{scope}:{group}" if scope else group)


@lru_cache(maxsize=256)
def group_key(group: str) -> bytes:
    """Return the key under which the documents and the rejected answers of one task meet."""
    return row_id("group of the firewall", group).encode()


def key_of_tag(tag: bytes) -> bytes:
    """Return the same from the tag of a document, as JSON."""
    return group_key(str(_DECODE(tag)).removeprefix(_GROUP))


def embedded(text: bytes) -> str:
    """Return the use of a run as a document that embeds just this text, spelt as JSON."""
    return "document " + hash_bytes(text)


class Reading(NamedTuple):
    """What is held against one range of a target."""

    path: str
    """The target."""
    place: str
    """Where its bytes lie now."""
    unit: Unit
    """The range."""
    again: bool
    """Whether an earlier reading of the same bytes stands."""
    permits: list[Range]
    """What its runs may be used for, where its rows bear the ids of their runs."""
    pairs: list[Range]
    """Which two runs each pair says it is of; the id of the pair proves it."""


def check_range(context: Context, payload: tuple[str, *tuple[Any, ...]]) -> Part:
    """Read a range of an export back from disk; where the same bytes were checked before against the same, that stands.

    What it finds is told by the range's own lines, so that it holds wherever the range comes to stand.
    """
    part_path, *what = payload
    reading = Reading(*what)
    data = read_range(Range(reading.place, reading.unit.start, reading.unit.end - reading.unit.start))
    if hash_bytes(data) != reading.unit.digest:
        raise IntegrityError(f"{reading.path}: the bytes on the disk are not those that were written; check the disk")
    known = load_part(part_path) if reading.again else None
    return known or _check_rows(part_path, reading, data)


def _check_rows(part_path: str, reading: Reading, data: bytes) -> Part:
    part = PartWriter()
    found: list[tuple[int, str]] = []
    look = _Look(part, reading, found)
    reader = _compiled_reader(part, reading)
    if reader is not None:
        first, last = reader.take(data, look)
    else:
        first = last = ""
        for number, line in enumerate(data.split(b"\n")[:-1], 1):
            last = look(number, line, last)
            first = first or last
    return part.save(part_path, {"books": Books(by_file=False).facts(), "found": found, "first": first, "last": last})


def _compiled_reader(part: PartWriter, reading: Reading) -> Any:
    """Return what reads the rows of an export that are good in every way as bytes, or None."""
    kind = ROW_TYPES[reading.path]
    if _COMPILED is None:
        return None
    if kind is RagRow:
        return _COMPILED.DocumentReader(read_ranges(reading.permits), part.keyed["documents"], key_of_tag, reading.path)
    if kind is PreferenceRow:
        return _COMPILED.PairReader(read_ranges(reading.pairs), part.keyed["claims"])
    return _COMPILED.TrainedReader(read_ranges(reading.permits), kind is SftRow)


class _Look:
    """Looks at a row of a range: what it is by itself, and what it claims; what is wrong goes to `found`."""

    def __init__(self, part: PartWriter, reading: Reading, found: list[tuple[int, str]]) -> None:
        self._part, self._reading, self._found = part, reading, found
        self._kind = ROW_TYPES[reading.path]
        self._checks = [check.find for check in CHECKS if check.name in _ALONE and self._kind in check.kinds]
        self._decode: Callable[[bytes], Any] = row_decoder(self._kind)
        self._claim: Claim | None = None

    def __call__(self, number: int, line: bytes, before: str) -> str:
        """Look at a line, whose id must come after the one before; return its id."""
        if self._claim is None:
            self._claim = _CLAIMS[self._kind](self._part, self._reading)
        try:
            row = self._decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            row = decode_document(line, self._kind, place=f"{self._reading.path}: line {number} of a range")
        if row.id <= before:
            self._found.append((number, f"[order] id {row.id!r} does not come after {before!r}"))
        told = self._claim(row)
        if told is not None:
            texts = [told, *(check(row, Any) for check in self._checks)]  # type: ignore[arg-type]  # these look at the row alone
            self._found += [(number, text) for text in texts if text]
        return str(row.id)


Claim = Callable[[Any], str | None]
"""Looks at a row: None where nothing more need be asked of it, else what is wrong with what it claims, or nothing."""


def _lines_in(ranges: list[Range]) -> set[bytes]:
    found: set[bytes] = set()
    for one in ranges:
        found.update(read_range(one).split(b"\n")[:-1])
    return found


def _unpermitted(claim: bytes) -> str:
    return f"evidence {claim[:KEY].decode()!r} may not be used as {claim[KEY:].decode()}"


def _trained(part: PartWriter, reading: Reading) -> Claim:
    """Hold rows of whole conversations or of turns against what their runs permit."""
    permitted, whole = _lines_in(reading.permits), ROW_TYPES[reading.path] is SftRow

    def look(row: Any) -> str | None:
        claim = claim_line(row.id[:KEY], row.provenance, row.source_run_id, "imitate")
        if claim not in permitted:
            return _unpermitted(claim)
        if not whole:
            return None if _is_exchange(row.prompt, row.completion) else ""
        return None if len(row.messages) == 2 and _is_exchange(row.messages[:1], row.messages[1:]) else ""

    return look


def _is_exchange(asked: list[Any], answer: list[Any]) -> bool:
    """Tell whether messages are one question and one answer: their roles alternate and the answer is not empty."""
    if len(asked) != 1 or len(answer) != 1:
        return False
    return asked[0].role == "user" and answer[0].role == "assistant" and bool(answer[0].content.strip())


def _paired(part: PartWriter, reading: Reading) -> Claim:
    """Hold pairs against the two runs they say they are of, and let what they claim of those meet their permits."""
    runs = {line[:KEY].decode(): line[KEY:].decode() for line in _lines_in(reading.pairs)}
    claims = part.keyed["claims"]

    def look(row: Any) -> str | None:
        both, places = runs.get(row.id, ""), split_places(row.provenance)
        if len(places) != 2 or row_id(both[:KEY], both[KEY:]) != row.id:
            return "the id is not that of the two runs of the pair"
        claims.append(claim_line(both[:KEY], places[0], row.chosen_run_id, "imitate"))
        claims.append(claim_line(both[KEY:], places[1], row.rejected_run_id, "avoid"))
        return None if _is_plain_pair(row) else ""

    return look


def _is_plain_pair(row: Any) -> bool:
    """Tell whether a pair is two answers to one question that differ in how they begin, so that nothing else can be wrong with it."""
    if not (_is_exchange(row.prompt, row.chosen) and _is_exchange(row.prompt, row.rejected)) or row.chosen_run_id == row.rejected_run_id:
        return False
    one, other = row.chosen[0].content[:1], row.rejected[0].content[:1]
    return one != other and not one.isspace() and not other.isspace()


def _document(part: PartWriter, reading: Reading) -> Claim:
    """Hold documents of runs against what may be embedded of them; those of groups meet the rejected answers of theirs."""
    permitted, documents = _lines_in(reading.permits), part.keyed["documents"]

    def look(row: Any) -> str | None:
        if row.kind == "run":
            run_id = row.source_run_ids[0] if row.source_run_ids else ""
            claim = claim_line(row.id, row.provenance, run_id, embedded(_ENCODE(row.embedding_text)))
            return "" if claim in permitted else _unpermitted(claim)
        group = next((tag.removeprefix(_GROUP) for tag in row.tags if tag.startswith(_GROUP)), "")
        documents.append(group_key(group) + _CLAIM + _ENCODE([normalise(row.embedding_text), f"{reading.path}: row {row.id}"]))
        return ""

    return look


_CLAIMS: dict[Any, Callable[[PartWriter, Reading], Claim]] = {
    SftRow: _trained, PromptCompletionRow: _trained, PreferenceRow: _paired, RagRow: _document,
}  # fmt: skip
"""How the rows of an export are held against the verdicts on their runs."""


def join_bucket(context: Context, payload: tuple[str, list[Range], list[Range]]) -> Part:
    """Hold the claims of a bucket against its permits."""
    path, claims, permitted = payload
    if _COMPILED is not None:
        alone = _COMPILED.find_unpermitted(read_ranges(claims), read_ranges(permitted))
    else:
        alone = sorted(_lines_in(claims) - _lines_in(permitted))
    found = [_unpermitted(claim) for claim in alone]
    return PartWriter().save(path, {"books": Books(by_file=False).facts(), "found": found})


def embed_bucket(context: Context, payload: tuple[str, list[Range]]) -> Part:
    """Look for the rejected answers of a task in what its playbooks embed."""
    path, ranges = payload
    found: list[str] = []
    for _, group in groupby(read_lines_of(ranges), lambda line: line[:KEY]):
        lines = list(group)
        told = [line for line in lines if line[KEY : KEY + 1] == _CLAIM]
        answers = [line for line in lines[len(told) :] if any(line[KEY + 2 : -1] in one for one in told)]  # as they are spelt: few are left
        documents = [_DECODE(line[KEY + 1 :]) for line in told if answers]
        for line in answers:
            text = _DECODE(line[KEY + 1 :])
            found += [f"{where}: embedding_text holds a rejected run's text" for embedded, where in documents if text in embedded]
    return PartWriter().save(path, {"books": Books(by_file=False).facts(), "found": found})


def check_exports(shop: Workshop, outputs: Any, parts: Sequence[Part]) -> list[str]:
    """Return what the fast reading found wrong in the exports of a stage; empty where all is well."""
    found: list[str] = []
    read: list[Part] = []
    last: dict[str, str] = {}
    ranges = [(path, unit) for path in outputs.cuts if path in ROW_TYPES for unit in outputs.cuts[path]]
    jobs = chain.from_iterable(_readings(shop, outputs, path, parts) for path in dict.fromkeys(path for path, _ in ranges))
    for (path, unit), part in zip(ranges, shop.parts(jobs), strict=True):
        found += [f"{path}:{unit.lines + number}: {text}" for number, text in part.facts["found"]]
        before = last.get(path, "")
        if part.facts["first"] and part.facts["first"] <= before:
            found.append(f"{path}:{unit.lines + 1}: [order] id {part.facts['first']!r} does not come after {before!r}")
        last[path] = part.facts["last"] or before
        read.append(part)
    held = shop.parts(_claims(read, parts))
    embedded = shop.parts(_meetings("embed_bucket", [*parts, *read], "documents", "answers"))
    for part in chain(held, embedded):
        found += part.facts["found"]
    return found


def _readings(shop: Workshop, outputs: Any, path: str, parts: Sequence[Part]) -> Iterator[Job]:
    """Yield the reading of every range of a target; of bytes read before, and not written since or only copied, it stands."""
    place, spans = str(outputs.present(path)), outputs.spans[path]
    permitted = span_ranges(parts, spans, "permits") if ROW_TYPES[path] is not PreferenceRow else (NOTHING for _ in spans)
    pairs = span_ranges(parts, spans, "witnesses")
    for unit, permit, pair in zip(outputs.cuts[path], permitted, pairs, strict=True):
        reading = (path, place, unit, not shop.work.always, permit, pair)
        digests = (path, unit.digest, permit.digest, pair.digest)
        read = path in outputs.kept or (path, unit.start) in outputs.read_back
        yield Job("distill.units.guard:check_range", reading, digests, path, always=not read)


def _claims(read: Sequence[Part], parts: Sequence[Part]) -> Iterator[Job]:
    """Yield a job for every bucket of claims."""
    spans: list[tuple[int, int]] = []
    permitted = span_ranges(parts, later(spans), "permits")
    for claim in bucket_ranges(read, "claims"):  # one at a time: all of them would grow with the square of the corpus
        spans.append((claim.first, claim.last))
        permit = next(permitted)
        yield Job("distill.units.guard:join_bucket", (claim, permit), (claim.digest, permit.digest), "claims")


def _meetings(function: str, parts: Sequence[Part], *sections: str) -> Iterator[Job]:
    """Yield a job for every bucket of keys."""
    for bucket in bucket_ranges(parts, *sections):
        yield Job(f"distill.units.guard:{function}", (bucket,), (bucket.digest,), sections[0])
