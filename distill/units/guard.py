"""The firewall over units: exports are read back from disk in ranges, and every run they name is held against its verdict (law 6).

What a row must be by itself is checked where it is read; which run it may come from is a claim, met by key with the permit that the
verdict after the resolution gives. Where anything is found, the reference in `distill.firewall` reads the whole and speaks.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from typing import Any, NamedTuple

import msgspec

from distill.books import Books
from distill.config import Config
from distill.conversation import build_turns, normalise, user_text
from distill.errors import IntegrityError
from distill.firewall import CHECKS, ROW_TYPES, split_places
from distill.hashing import hash_bytes, row_id
from distill.jsonl import decode_document, row_decoder
from distill.runs import EXCLUDED
from distill.schemas.export_rows import PreferenceRow, RagRow
from distill.schemas.scored_run import ResolutionRow
from distill.units.cutting import Unit
from distill.units.parts import KEY, Part, PartWriter, Range, bucket_ranges, load_part, read_lines_of, read_range
from distill.units.workshop import Context, Job, Workshop

__all__ = [
    "Verdict", "build_verdict", "check_exports", "check_range", "document_permits", "embed_bucket", "join_bucket", "pairs_bucket",
    "permits",
]  # fmt: skip

_ALONE = ("empty_answer", "broken_turns", "self_pair", "unsafe_source")
_SHORT = 20
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder().decode
_CLAIM, _PERMIT = b"C", b"P"


def key_of(place: str) -> bytes:
    """Return the key of a provenance: the start of the hash at its end."""
    return place[-64 : KEY - 64].encode()


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


def permits(one: Verdict, config: Config) -> Iterator[tuple[str, bytes]]:
    """Yield what a run may be used for in training, whatever a stage makes of it."""
    include = config.sft.include
    good = one.category == "accepted" and "accepted" in include
    good = good or (one.category == "partially_accepted" and one.reason in include)
    bad = one.category == "rejected" and one.reason != "errors_unjudged" and not one.broken
    if not one.gone and (good or bad):
        yield "permits", permit_line(one, "imitate" if good else "avoid")


def permit_line(one: Verdict, use: str) -> bytes:
    """Return the line that permits a use of a run."""
    place = str(one.evidence.provenance)
    return key_of(place) + _PERMIT + _ENCODE([place, one.evidence.id, one.evidence.run_id, use])


def document_permits(one: Verdict, config: Config) -> Iterator[tuple[str, bytes]]:
    """Yield that a run may be a document, with what may be embedded of it; or that its answer must not be."""
    evidence = one.evidence
    group = evidence.task_id or ""
    if one.category == "rejected":
        text = normalise(evidence.response or "")
        if len(text) >= _SHORT:
            yield "answers", group_key(f"{one.scope}:{group}" if one.scope else group) + _PERMIT + _ENCODE(text)
    if not one.gone and one.category in {"accepted", "partially_accepted"}:
        asked = normalise(user_text(evidence))
        turns = build_turns(evidence)
        for answer in {evidence.response, evidence.corrected_response, *(turn.content for turn in turns[-1:])}:
            if answer and answer.strip():
                yield "permits", permit_line(one, _embedded(f"{asked} {normalise(answer)}"))


def group_key(group: str) -> bytes:
    """Return the key under which the documents and the rejected answers of one task meet."""
    return row_id("group of the firewall", group).encode()


def _embedded(text: str) -> str:
    return "document " + hash_bytes(text.encode())


def _claims(path: str, row: Any) -> Iterator[bytes]:
    """Yield what a row claims of the runs it names; no line, so that the claim stays the same wherever the row comes to stand."""
    if isinstance(row, RagRow):
        if row.kind != "run":
            return
        run_id = row.source_run_ids[0] if row.source_run_ids else ""
        claims = [(row.provenance, row.id, run_id, _embedded(normalise(row.embedding_text)))]
    elif isinstance(row, PreferenceRow):
        places = split_places(row.provenance)
        sides = ((row.chosen_run_id, "imitate"), (row.rejected_run_id, "avoid"))
        claims = [(place, row.id, run_id, use) for place, (run_id, use) in zip(places, sides, strict=False)]
        if len(places) != 2:
            claims = [("0" * 64, row.id, "", "imitate")]
    else:
        claims = [(row.provenance, row.id[:KEY], row.source_run_id, "imitate")]
    for claim in claims:
        yield key_of(claim[0]) + _CLAIM + _ENCODE([*claim, f"{path}: row {row.id}", isinstance(row, PreferenceRow)])


def check_range(context: Context, payload: tuple[str, str, str, Unit, bool]) -> Part:
    """Read a range of an export back from disk; where the same bytes were checked before, that stands.

    What it finds is told by the range's own lines, so that it holds wherever the range comes to stand.
    """
    part_path, path, place, unit, again = payload
    data = read_range(Range(place, unit.start, unit.end - unit.start))
    if hash_bytes(data) != unit.digest:
        raise IntegrityError(f"{path}: the bytes on the disk are not those that were written; check the disk")
    known = load_part(part_path) if again else None
    return known or _check_rows(part_path, path, data)


def _check_rows(part_path: str, path: str, data: bytes) -> Part:
    part, kind = PartWriter(), ROW_TYPES[path]
    checks = [check.find for check in CHECKS if check.name in _ALONE and kind in check.kinds]
    decode: Callable[[bytes], Any] = row_decoder(kind)
    found: list[tuple[int, str]] = []
    claims, documents, first, before, none = part.keyed["claims"], part.keyed["documents"], "", "", Any
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            row = decode(line)
        except msgspec.DecodeError:
            row = decode_document(line, kind, place=f"{path}: line {number} of a range")
        if row.id <= before:
            found.append((number, f"[order] id {row.id!r} does not come after {before!r}"))
        first, before = first or row.id, row.id
        for check in checks:
            text = check(row, none)  # type: ignore[arg-type]  # these look at the row alone
            if text is not None:
                found.append((number, text))
        claims += _claims(path, row)
        if isinstance(row, RagRow) and row.kind != "run":
            group = next((tag.removeprefix("group=") for tag in row.tags if tag.startswith("group=")), "")
            documents.append(group_key(group) + _CLAIM + _ENCODE([normalise(row.embedding_text), f"{path}: row {row.id}"]))
    return part.save(part_path, {"books": Books(by_file=False).facts(), "found": found, "first": first, "last": before})


def join_bucket(context: Context, payload: tuple[str, list[Range]]) -> Part:
    """Hold the claims of a bucket against its permits; the sides of a pair go on to meet by its id."""
    path, ranges = payload
    found: list[str] = []
    part = PartWriter()
    for _, group in groupby(read_lines_of(ranges), lambda line: line[:KEY]):
        lines = list(group)
        permits = {tuple(_DECODE(line[KEY + 1 :])) for line in lines if line[KEY : KEY + 1] == _PERMIT}
        for line in lines:
            if line[KEY : KEY + 1] == _PERMIT:
                break  # claims are sorted before permits
            place, identity, run_id, use, where, pair = _DECODE(line[KEY + 1 :])
            permit = next((one for one in permits if one[0] == place and (one[2] or "") == run_id and one[3] == use), None)
            if permit is None or (not pair and permit[1] != identity):
                found.append(f"{where}: run {run_id!r} at {place} may not be used so")
            elif pair:
                part.keyed["sides"].append(identity.encode() + _ENCODE([use, permit[1], where]))
    return part.save(path, {"books": Books(by_file=False).facts(), "found": found})


def pairs_bucket(context: Context, payload: tuple[str, list[Range]]) -> Part:
    """Check that the id of every pair is that of its two runs."""
    path, ranges = payload
    found: list[str] = []
    for key, group in groupby(read_lines_of(ranges), lambda line: line[:KEY]):
        sides = {use: (identity, where) for use, identity, where in (_DECODE(line[KEY:]) for line in group)}
        if len(sides) != 2 or row_id(sides["imitate"][0], sides["avoid"][0]).encode() != key:
            found += [f"{where}: the id is not that of the two runs of the pair" for _, where in list(sides.values())[:1]]
    return PartWriter().save(path, {"books": Books(by_file=False).facts(), "found": found})


def embed_bucket(context: Context, payload: tuple[str, list[Range]]) -> Part:
    """Look for the rejected answers of a task in what its playbooks embed."""
    path, ranges = payload
    found: list[str] = []
    for _, group in groupby(read_lines_of(ranges), lambda line: line[:KEY]):
        lines = list(group)
        documents = [_DECODE(line[KEY + 1 :]) for line in lines if line[KEY : KEY + 1] == _CLAIM]
        for line in lines[len(documents) :] if documents else ():
            text = _DECODE(line[KEY + 1 :])
            found += [f"{where}: embedding_text holds a rejected run's text" for embedded, where in documents if text in embedded]
    return PartWriter().save(path, {"books": Books(by_file=False).facts(), "found": found})


def check_exports(shop: Workshop, outputs: Any, parts: Sequence[Part]) -> list[str]:
    """Return what the fast reading found wrong in the exports of a stage; empty where all is well."""
    targets = [path for path in outputs.cuts if path in ROW_TYPES]
    found: list[str] = []
    read: list[Part] = []
    for path in targets:
        last = ""
        for unit, part in zip(outputs.cuts[path], shop.parts(_readings(shop, outputs, path), reuse=False), strict=True):
            found += [f"{path}:{unit.lines + number}: {text}" for number, text in part.facts["found"]]
            if part.facts["first"] and part.facts["first"] <= last:
                found.append(f"{path}:{unit.lines + 1}: [order] id {part.facts['first']!r} does not come after {last!r}")
            last = part.facts["last"] or last
            read.append(part)
    held = list(shop.parts(_meetings("join_bucket", [*parts, *read], "claims", "permits")))
    paired = shop.parts(_meetings("pairs_bucket", held, "sides"))
    embedded = shop.parts(_meetings("embed_bucket", [*parts, *read], "documents", "answers"))
    for part in chain(held, paired, embedded):
        found += part.facts["found"]
    return found


def _readings(shop: Workshop, outputs: Any, path: str) -> Iterator[Job]:
    """Yield the reading of every range of a target."""
    place = str(outputs.present(path))
    for unit in outputs.cuts[path]:
        yield Job("distill.units.guard:check_range", (path, place, unit, not shop.work.always), (path, unit.digest), path)


def _meetings(function: str, parts: Sequence[Part], *sections: str) -> Iterator[Job]:
    """Yield a job for every bucket of keys."""
    for bucket in bucket_ranges(parts, *sections):
        yield Job(f"distill.units.guard:{function}", (bucket.ranges,), (bucket.digest,), sections[0])
