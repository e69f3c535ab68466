"""score over units: rows by themselves, then the resolution by key: first the rows of one run, then the runs of one text.

A row travels as a line of keys and its `Entry`: the run's key, the text's key (dashes where it has no answer), one letter for the
class of its verdict, the entry as JSON. Rows alone in their run are passed on undecoded.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import msgspec

from distill.books import Books
from distill.jsonl import encode_row
from distill.plan import DECISIONS, EVIDENCE, RESOLUTION, FileRef
from distill.schemas.scored_run import Category, ResolutionRow
from distill.stages.resolution import Entry, build_entry, find_conflicts, resolve_runs
from distill.stages.score import OUTCOMES, score_record
from distill.units.cutting import Unit
from distill.units.exceptions import Ids
from distill.units.lean import decode_lean
from distill.units.outputs import Outputs
from distill.units.parts import KEY, Part, PartWriter, Range, bucket_ranges, read_lines_of
from distill.units.workshop import Context, Job, Piece, Workshop, batch_pieces, bytes_of, later, place_of, read_unit

__all__ = ["resolve_runs_bucket", "resolve_texts_bucket", "run_units", "score_unit"]

_NO_TEXT = b"-" * KEY
_ENCODE = msgspec.json.Encoder().encode
_ENTRY = msgspec.json.Decoder(Entry).decode


def _class_of(entry: Entry) -> bytes:
    """Return what a verdict can do in a conflict: n nothing, g good, b bad, e rejected without judgement."""
    if entry.category == "needs_human_review":
        return b"n"
    if entry.category != "rejected":
        return b"g"
    return b"e" if entry.reasons[0] == "errors_unjudged" else b"b"


def _text_line(entry: Entry) -> bytes:
    key = _NO_TEXT if entry.key is None else entry.key.encode()
    return key + _class_of(entry) + _ENCODE(entry)


def score_unit(context: Context, payload: tuple[str, list[tuple[int, tuple[Unit, ...]]]]) -> Part:
    """Score the rows of one range of evidence, or of several small partitions."""
    path, batch = payload
    config = context.config
    books, part, records = Books(by_file=True), PartWriter(), []
    scopes = {source.name: source.scope for source in config.sources}
    places = {source.name for source in config.sources if source.run_id == "position"}
    runs, kept = part.keyed["runs"], Ids(Path(context.project))
    for i, (number, (unit,)) in enumerate(batch):
        partition = context.plan.partitions[number]
        scored_lines = part.ordered[f"scored:{i}"]
        fates: Counter[tuple[Category, str]] = Counter()
        ids: list[str] = []
        data = read_unit(f"{context.project}/{EVIDENCE}/{partition}", unit, f"{EVIDENCE}/{partition}")
        for line_number, line in enumerate(data.split(b"\n")[:-1], unit.lines):
            record = decode_lean(line)
            scored = score_record(record, judge_confidence=config.judge_confidence)
            scored_lines.append(_ENCODE(scored) + b"\n")
            ids.append(record.id)
            scope, positional = scopes.get(record.source, record.source), record.source in places
            entry = build_entry(record, scored, scope, place=(partition, line_number), positional=positional)
            runs.append(entry.group.encode() + _text_line(entry))
            fates[scored.category, scored.reasons[0]] += 1
        for (category, reason), times in fates.items():
            books.add(OUTCOMES[category], reason, file=partition, category=category, times=times)
        records.append(len(scored_lines))
        kept.save(unit, bytes.fromhex("".join(ids)))
    return part.save(path, {"books": books.facts(), "records": records})


def resolve_runs_bucket(context: Context, payload: tuple[str, list[Range]]) -> Part:
    """Pool the rows of every run in a bucket."""
    path, ranges = payload
    books, part = Books(by_file=True), PartWriter()
    texts = part.keyed["texts"]
    for _, group in groupby(read_lines_of(ranges), lambda line: line[:KEY]):
        lines = list(group)
        if len(lines) == 1:
            line = lines[0]
            if line[KEY:].startswith(_NO_TEXT) or line[2 * KEY : 2 * KEY + 1] == b"n":
                continue
            texts.append(line[KEY:])
            continue
        entries = [_ENTRY(line[2 * KEY + 1 :]) for line in lines]
        before = {(entry.id, entry.where): (entry.category, entry.reasons[0], entry.place[0]) for entry in entries}
        rows, standing = resolve_runs(entries, judge_confidence=context.config.judge_confidence)
        for row in rows:
            part.keyed["rows"].append(row.evidence_id.encode() + encode_row(row)[:-1])
            if row.category is not None:
                category, reason, file = before[row.evidence_id, row.provenance]
                books.add(OUTCOMES[category], reason, file=file, category=category, times=-1)
                books.add(OUTCOMES[row.category], row.reasons[0], file=file, category=row.category)
        texts += [_text_line(entry) for entry in standing if entry.key is not None and entry.category != "needs_human_review"]
    return part.save(path, {"books": books.facts()})


def resolve_texts_bucket(context: Context, payload: tuple[str, list[Range]]) -> Part:
    """Find the texts of a bucket that were accepted in one run and rejected in another."""
    path, ranges = payload
    part = PartWriter()
    for _, group in groupby(read_lines_of(ranges), lambda line: line[:KEY]):
        lines = list(group)
        if not {b"g", b"b"} <= {line[KEY : KEY + 1] for line in lines}:
            continue
        for row in find_conflicts(sorted((_ENTRY(line[KEY + 1 :]) for line in lines), key=lambda entry: entry.place)):
            part.keyed["rows"].append(row.evidence_id.encode() + encode_row(row)[:-1])
    return part.save(path, {"books": Books(by_file=True).facts()})


def run_units(shop: Workshop, outputs: Outputs) -> None:
    """Score every partition, then resolve."""
    plan = shop.work.plan
    refs = [FileRef(path, path) for path in plan.evidence]
    batches: list[list[Piece]] = []
    if plan.decisions:
        _read_reserved(shop, FileRef(DECISIONS, DECISIONS))

    def jobs() -> Iterator[Job]:
        for batch in batch_pieces(Piece(number, (unit,)) for number, ref in enumerate(refs) for unit in shop.cut(ref)):
            batches.append(batch)
            digests = [f"{unit.digest} {unit.lines} {plan.partitions[number]}" for number, (unit,) in batch]
            plain = [tuple(piece) for piece in batch]
            yield Job("distill.units.score:score_unit", (plain,), tuple(digests), place_of(refs, batch), bytes_of(batch))

    done = outputs.append_batches(plan.scored, "scored", zip(shop.parts(jobs()), later(batches), strict=False))
    Ids(shop.work.project).keep(piece.units[0] for batch in batches for piece in batch)
    shop.count_records(refs, done)
    parts = [part for part, _ in done]
    pooled = list(shop.parts(_buckets("resolve_runs_bucket", parts, "runs")))
    told = list(shop.parts(_buckets("resolve_texts_bucket", pooled, "texts")))
    outputs.merge(RESOLUTION, [*pooled, *told], "rows", order="distill.units.score:resolution_order")


def _read_reserved(shop: Workshop, ref: FileRef) -> None:
    """Read a file whose records mean nothing yet: it is an input, so the receipt names it and its change is a reason to run."""
    for _ in shop.cut(ref):
        pass
    with (shop.work.project / ref.path).open("rb") as lines:
        shop.count_input(ref, sum(1 for _ in lines))


def _buckets(function: str, parts: list[Part], section: str) -> Iterator[Job]:
    for bucket in bucket_ranges(parts, section):
        yield Job(f"distill.units.score:{function}", (bucket.ranges,), (bucket.digest,), f"{section} of {len(bucket.ranges)} units")


def resolution_order(line: bytes) -> tuple[str, str]:
    """Return the order of resolution rows of one evidence id."""
    row = msgspec.json.decode(line, type=ResolutionRow)
    return (row.provenance, row.kind)
