"""score over units: rows by themselves, then the resolution by key: the rows of one run, and the runs of one text.

A row travels as a line of keys and where its evidence lies: in `runs` the key of its run, the key of its text and the letter of its
verdict; in `texts` the key of its text, the letter and the key of its run. Only where several rows share a run, or runs of one text
contradict each other, is their evidence read again. Rows that say the same of themselves are judged once.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from distill.books import Books
from distill.compiled import find_compiled
from distill.hashing import hash_parts
from distill.jsonl import encode_row
from distill.plan import DECISIONS, EVIDENCE, RESOLUTION, FileRef
from distill.rules import judge_row
from distill.schemas.evidence import Signal
from distill.schemas.scored_run import Category, ResolutionRow
from distill.stages.resolution import Entry, build_entry, find_conflicts, resolve_runs, run_heads, run_keys
from distill.stages.score import OUTCOMES, score_record, scored_run
from distill.units.cutting import Unit
from distill.units.gists import NO_TEXT, SIZE, Gists
from distill.units.homes import Home, Homes
from distill.units.jobs import Context, Job, Piece, batch_pieces, bytes_of, later, place_of, read_unit
from distill.units.lean import decode_lean
from distill.units.outputs import Outputs, Target
from distill.units.parts import KEY, Part, PartWriter, Range, bucket_ranges, read_range
from distill.units.seats import Seat
from distill.units.workshop import Workshop

__all__ = ["resolve_runs_bucket", "resolve_texts_bucket", "run_units", "score_unit"]

_COMPILED = find_compiled("score")
_SCORED = b'{"schema_version":1,"evidence_id":"%b","run_id":%b,"task_id":%b%b\n'
_TEXT: Callable[[bytes], str] = msgspec.json.Decoder(str).decode
_ENCODE = msgspec.json.Encoder().encode
_ENTRY = msgspec.json.Decoder(Entry).decode
_SIGNALS = msgspec.json.Decoder(list[Signal]).decode
_REMEMBERED = 1 << 14
_GONE, _TOLD = b"x", b"="


class _Row(msgspec.Struct, frozen=True, gc=False):
    """The fields of an evidence record that a verdict is made of."""

    id: str
    source: str
    run_id: str | None
    task_id: str | None
    signals: msgspec.Raw
    attempts: int | None
    errors: msgspec.Raw


_ROW = msgspec.json.Decoder(_Row).decode


class _Verdict(NamedTuple):
    """What rows that say the same have in common."""

    fate: tuple[Category, str]
    """Category, and the reason that decides."""
    letter: bytes
    """What it can do in a conflict: n nothing, g good, b bad, e rejected without judgement."""
    tail: bytes
    """The end of their scored rows."""


def _letter_of(category: Category, reason: str) -> bytes:
    if category == "needs_human_review":
        return b"n"
    if category != "rejected":
        return b"g"
    return b"e" if reason == "errors_unjudged" else b"b"


def _judge(row: _Row, confidence: float) -> _Verdict:
    """Judge a row."""
    judged = judge_row(_SIGNALS(row.signals), errors=bytes(row.errors) != b"[]", attempts=row.attempts, judge_confidence=confidence)
    fate, line = (judged.category, judged.reasons[0]), _ENCODE(scored_run("", None, None, judged))
    return _Verdict(fate, _letter_of(*fate), line[line.index(b',"category":') :])


def score_unit(context: Context, payload: tuple[str, list[tuple[int, tuple[Unit, ...]]], list[Seat]]) -> Part:
    """Score the rows of one range of evidence, or of several small partitions."""
    path, batch, seats = payload
    books, part, records = Books(by_file=True), PartWriter(context.ahead), []
    gists = Gists(Path(context.project))
    for i, (number, (unit,)) in enumerate(batch):
        partition = context.plan.partitions[number]
        data = read_unit(f"{context.project}/{EVIDENCE}/{partition}", unit, f"{EVIDENCE}/{partition}")
        scored, fates = _Rows(context, i, part).score(data, gists.of(partition, unit).texts)
        part.stream(path, f"scored:{i}", scored, fates.total(), seats[0] if seats else None)
        for (category, reason), times in fates.items():
            books.add(OUTCOMES[category], reason, file=partition, category=category, times=times)
        records.append(fates.total())
    return part.save(path, {"books": books.facts(), "records": records})


class _Rows:
    """Scores the rows of one piece of a batch, and adds the keys by which they meet others."""

    def __init__(self, context: Context, piece: int, part: PartWriter) -> None:
        self._confidence, self._piece, self._part = context.config.judge_confidence, piece, part
        self._key_of = run_keys(context.config.sources)
        self._head_of = run_heads(context.config.sources)
        self._verdicts: dict[Any, _Verdict] = context.memo.setdefault("verdicts", {})
        if len(self._verdicts) > _REMEMBERED:
            self._verdicts.clear()
        self._met: list[tuple[Category, str]] = []

    def score(self, data: bytes, texts: bytes) -> tuple[bytes, Counter[tuple[Category, str]]]:
        """Return the scored rows of a range of evidence, and how many met which fate."""
        keyed = self._part.keyed
        if _COMPILED is not None:
            heads = lambda source: self._head_of(_TEXT(source))  # noqa: E731 -- of a source spelt as JSON
            rows = _COMPILED.Rows(lambda line: self._judge(_ROW(line)), heads, keyed["runs"], keyed["texts"])
            scored, met, _ = rows.take(data, texts, self._piece, self.take)
            fates = Counter(self._met)
            for verdict, times in met:
                fates[verdict.fate] += times
            return scored, fates
        lines: list[bytes] = []
        place = offset = 0
        for line in data.split(b"\n")[:-1]:
            lines.append(self.take(line, texts[place : place + SIZE], offset))
            place, offset = place + SIZE, offset + len(line) + 1
        return b"".join(lines), Counter(self._met)

    def _judge(self, row: _Row) -> _Verdict:
        attempts = row.attempts
        said = (bytes(row.signals), attempts is not None and attempts > 1, bytes(row.errors))
        verdict = self._verdicts.get(said)
        if verdict is None:
            verdict = self._verdicts[said] = _judge(row, self._confidence)
        return verdict

    def take(self, line: bytes, text: bytes, offset: int) -> bytes:
        """Add the keys of a row, which starts at that byte of its range; return its scored row."""
        row = _ROW(line)
        verdict, identity, run_id = self._judge(row), row.id.encode(), row.run_id
        self._met.append(verdict.fate)
        key, spelt, letter = self._key_of(row.source, run_id, identity), text.hex().encode(), verdict.letter
        where = b"%d %d %d" % (self._piece, offset, len(line))
        self._part.keyed["runs"].append(key + spelt + letter + where)
        if letter != b"n" and text != NO_TEXT:
            self._part.keyed["texts"].append(spelt + letter + key + where)
        return _SCORED % (identity, _ENCODE(run_id), _ENCODE(row.task_id), verdict.tail)


class _Reader:
    """Reads the evidence of rows that meet others."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._scopes = {source.name: source.scope for source in context.config.sources}
        self._places = {source.name for source in context.config.sources if source.run_id == "position"}
        self.read: set[Home] = set()
        """Where it read something."""

    def entry(self, where: bytes, homes: Sequence[Home]) -> Entry:
        """Return the entry of a row."""
        piece, offset, length = map(int, where.split())
        home = homes[piece]
        partition, start = home.partition, home.start
        self.read.add(home)
        record = decode_lean(read_range(Range(f"{self._context.project}/{EVIDENCE}/{partition}", start + offset, length)))
        scored = score_record(record, judge_confidence=self._context.config.judge_confidence)
        scope = self._scopes.get(record.source, record.source)
        return build_entry(record, scored, scope, place=(partition, start + offset), positional=record.source in self._places)


def _read_sharing(ranges: Sequence[Range], homes: Sequence[Sequence[Home]], shares: Callable[[list[bytes]], set[bytes]]) -> Iterator[Any]:
    """Yield the sorted lines, each with the homes of its part, whose keys `shares` picks out of all lines."""
    read = [read_range(one).split(b"\n")[:-1] for one in ranges]
    keys = shares([line for lines in read for line in lines])
    if keys:
        met = [(line, home) for lines, home in zip(read, homes, strict=True) for line in lines if line[:KEY] in keys]
        met.sort(key=lambda one: one[0])
        yield from met


def _of_several(lines: list[bytes]) -> set[bytes]:
    """Return the keys that more than one line has."""
    keys = [line[:KEY] for line in lines]
    return set() if len(set(keys)) == len(keys) else {key for key, times in Counter(keys).items() if times > 1}


def _of_both(lines: list[bytes]) -> set[bytes]:
    """Return the keys of texts that were both accepted and rejected."""
    bad = {line[:KEY] for line in lines if line[KEY] == 98}  # b
    return {line[:KEY] for line in lines if line[KEY] == 103 and line[:KEY] in bad} if bad else bad  # g


def _grouped(met: Iterator[Any]) -> Iterator[list[Any]]:
    group: list[Any] = []
    for one in met:
        if group and group[0][0][:KEY] != one[0][:KEY]:
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def resolve_runs_bucket(context: Context, payload: tuple[str, list[Range], list[list[Home]]]) -> Part:
    """Pool the rows of every run in a bucket; what stands for it in its text is told, and that its rows do not."""
    path, ranges, homes = payload
    books, part, reader = Books(by_file=True), PartWriter(), _Reader(context)
    rows_of, texts = part.keyed["rows"], part.keyed["told"]
    for group in _grouped(_read_sharing(ranges, homes, _of_several)):
        entries = [reader.entry(line[2 * KEY + 1 :], home) for line, home in group]
        before = {(entry.id, entry.where): (entry.category, entry.reasons[0], entry.place[0]) for entry in entries}
        texts += {line[KEY : 2 * KEY] + _GONE + line[:KEY] for line, _ in group}
        rows, standing = resolve_runs(entries, judge_confidence=context.config.judge_confidence)
        for row in rows:
            rows_of.append(row.evidence_id.encode() + encode_row(row)[:-1])
            if row.category is not None:
                category, reason, file = before[row.evidence_id, row.provenance]
                books.add(OUTCOMES[category], reason, file=file, category=category, times=-1)
                books.add(OUTCOMES[row.category], row.reasons[0], file=file, category=row.category)
        for entry in standing:
            if entry.key is not None and entry.category != "needs_human_review":
                letter = _letter_of(entry.category, entry.reasons[0])
                texts.append(entry.key.encode() + letter + _TOLD + _ENCODE(entry))
    return part.save(path, {"books": books.facts(), "read": sorted(reader.read)})


def resolve_texts_bucket(context: Context, payload: tuple[str, list[Range], list[list[Home]]]) -> Part:
    """Find the texts of a bucket that were accepted in one run and rejected in another."""
    path, ranges, homes = payload
    part, reader = PartWriter(), _Reader(context)
    for group in _grouped(_read_sharing(ranges, homes, _of_both)):
        gone = {line[KEY + 1 :] for line, _ in group if line[KEY : KEY + 1] == _GONE}
        entries = []
        for line, home in group:
            if line[KEY + 1 : KEY + 2] == _TOLD:
                entries.append(_ENTRY(line[KEY + 2 :]))
            elif line[KEY : KEY + 1] != _GONE and line[KEY + 1 : 2 * KEY + 1] not in gone:
                entries.append(reader.entry(line[2 * KEY + 1 :], home))
        for row in find_conflicts(sorted(entries, key=lambda entry: entry.place)):
            part.keyed["rows"].append(row.evidence_id.encode() + encode_row(row)[:-1])
    return part.save(path, {"books": Books(by_file=True).facts(), "read": sorted(reader.read)})


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
            digests = [f"{unit.digest} {plan.partitions[number]}" for number, (unit,) in batch]
            plain = [tuple(piece) for piece in batch]
            rows = tuple((plan.scored[number], f"scored:{i}") for i, (number, _) in enumerate(batch))
            yield Job("distill.units.score:score_unit", (plain,), tuple(digests), place_of(refs, batch), bytes_of(batch), rows)

    done = outputs.append_batches(plan.scored, "scored", zip(outputs.parts(jobs()), later(batches), strict=False))
    Gists(shop.work.project).keep(piece.units[0] for batch in batches for piece in batch)
    shop.count_records(refs, done)
    homes = {part.path: [Home.of(plan.partitions[piece.number], piece.units[0]) for piece in batch] for part, batch in done}
    holds = Homes(shop.work.project, chain.from_iterable(homes.values())).hold
    parts = [part for part, _ in done]
    pooled = list(shop.parts(_buckets("resolve_runs_bucket", parts, homes, "runs"), stands=holds))
    told = list(shop.parts(_buckets("resolve_texts_bucket", [*parts, *pooled], homes, "texts", "told"), stands=holds))
    outputs.merge([*pooled, *told], Target(RESOLUTION, ("rows",), order="distill.units.score:resolution_order"))


def _read_reserved(shop: Workshop, ref: FileRef) -> None:
    """Read a file whose records mean nothing yet: it is an input, so the receipt names it and its change is a reason to run."""
    for _ in shop.cut(ref):
        pass
    with (shop.work.project / ref.path).open("rb") as lines:
        shop.count_input(ref, sum(1 for _ in lines))


def _buckets(function: str, parts: list[Part], homes: dict[str, list[Home]], *sections: str) -> Iterator[Job]:
    for bucket in bucket_ranges(parts, *sections):
        lie = [homes.get(one.path, []) for one in bucket.ranges]
        digests = (bucket.digest, hash_parts([repr([[home[:2] for home in some] for some in lie])]).hex())
        yield Job(f"distill.units.score:{function}", (bucket.ranges, lie), digests, f"{sections[0]} of {len(lie)} units")


def resolution_order(line: bytes) -> tuple[str, str]:
    """Return the order of resolution rows of one evidence id."""
    row = msgspec.json.decode(line, type=ResolutionRow)
    return (row.provenance, row.kind)
