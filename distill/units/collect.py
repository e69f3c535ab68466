"""collect over units: each raw range, or each partition whose runs lie over several records, becomes its evidence and its quarantine.

A unit's evidence is written as it grows, in sections of about the size of a unit, so that neither this stage nor those below it hold
the evidence of a large packed log in memory.
"""

import io
import os
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from distill.books import Books
from distill.errors import InputError
from distill.files import keeper_of, read_stream
from distill.formats import TYPED, find_format, limits_of, reader_of
from distill.hashing import FileHasher
from distill.jsonl import BadLine, RawLine, encode_line, encode_row, read_lines
from distill.outcome import Outcome
from distill.plan import RawLog
from distill.schemas.evidence import EvidenceRecord, Signal
from distill.stages import QUARANTINE
from distill.stages.collect import Collector, FindSides, judge_facts
from distill.stages.constant import LOOKED
from distill.units.cutting import UNIT_BYTES, Unit
from distill.units.gists import SIZE, Gists, KeyOfText
from distill.units.growing import Growing
from distill.units.jobs import Context, Job, Piece, batch_pieces, bytes_of, later, place_of, read_unit
from distill.units.outputs import Outputs
from distill.units.parts import Part, PartWriter
from distill.units.seats import Seat
from distill.units.sides import OpenSides, Prepared, prepare_sides
from distill.units.verdicts import find_ambiguous
from distill.units.workshop import PACKED, Workshop

__all__ = ["collect_unit", "outcomes_of", "run_units"]

_QUARANTINE = f"{QUARANTINE}/collect.jsonl"
_SIGNALS = msgspec.json.Decoder(list[Signal]).decode
Batch = list[tuple[int, tuple[Unit, ...]]]


class _Bounded(io.RawIOBase):
    """The bytes of a range, read as they are asked for."""

    def __init__(self, path: Path, unit: Unit) -> None:
        self._handle = os.open(path, os.O_RDONLY)
        self._place, self._end = unit.start, unit.end
        self._hasher = FileHasher(sha256=False)

    def read(self, size: int = -1, /) -> bytes:
        data = os.pread(self._handle, min(size, self._end - self._place) if size >= 0 else self._end - self._place, self._place)
        self._place += len(data)
        self._hasher.update(data)
        return data

    def finish(self) -> str:
        """Read what is left and return the blake3 of all bytes."""
        while self.read(1 << 18):
            pass
        return self._hasher.blake3

    def close(self) -> None:
        os.close(self._handle)
        super().close()


class _Met:
    """What was met in each piece of a batch."""

    def __init__(self, context: Context, batch: Batch) -> None:
        self._context, self._batch = context, batch
        self.records = [0] * len(batch)
        self.pending = [0] * len(batch)
        self.present = 0

    def log(self, piece: int) -> RawLog:
        """Return the log of a piece."""
        return self._context.plan.logs[self._batch[piece][0]]

    def unit(self, piece: int) -> Unit:
        """Return where a piece lies in its log."""
        return self._batch[piece][1][0]

    def logs(self, pieces: Iterable[int]) -> Iterator[tuple[RawLog, Iterable[RawLine | BadLine]]]:
        """Yield the log of every piece with its records; a file is held against its hash when the next one is asked for."""
        for i in pieces:
            log, unit, self.present = self.log(i), self.unit(i), i
            with _Bounded(Path(self._context.project) / log.file.path, unit) as file:
                yield log, self._count(_records(self._context, log, unit, file))
                if file.finish() != unit.digest:
                    raise InputError(f"{log.file.recorded}: changed while it was read; run doit again when nobody writes to it")

    def _count(self, lines: Iterable[RawLine | BadLine]) -> Iterator[RawLine | BadLine]:
        for line in lines:
            self.records[self.present] += 1
            yield line


def _records(context: Context, log: RawLog, unit: Unit, file: Any) -> Iterator[RawLine | BadLine]:
    reader, limit = reader_of(log.source), context.config.max_line_bytes
    if reader.name == "jsonl" and not log.file.path.endswith(PACKED):
        return read_lines(file, max_line_bytes=limit, number=unit.lines, offset=unit.start)
    return read_stream(file, Path(context.project) / log.file.path, reader, limits_of(log.source, max_line_bytes=limit))


class _Writer:
    """Counts the outcomes of a part and writes their rows."""

    def __init__(self, logs: dict[str, RawLog], path: str, seats: list[Seat], *, ahead: int) -> None:
        self.books, self.part, self._path = Books(by_file=True), PartWriter(ahead), path
        self._seat = seats[0] if seats else None
        self.evidence = {name: Growing(self.part, path, f"evidence:{i}", straight=True) for i, name in enumerate(logs)}
        self.quarantine, self._text_of = Growing(self.part, path, "quarantine"), KeyOfText()
        self._encoders = {name: encode_line if log.source.format in TYPED else encode_row for name, log in logs.items()}

    def take(self, outcome: Outcome) -> None:
        """Count an outcome and write its rows."""
        self.books.count(outcome)
        for row in outcome.rows:
            if isinstance(row.value, EvidenceRecord):
                name = str(outcome.file)
                self.evidence[name].add(self._encoders[name](row.value), bytes.fromhex(row.value.id), self._text_of(row.value))
            else:
                self.quarantine.append(encode_row(row.value))

    def save(self, gists: Gists, facts: dict[str, Any]) -> Part:
        """Write the part."""
        names = {"evidence": [one.names for one in self.evidence.values()], "quarantine": self.quarantine.names}
        self.quarantine.spill()
        for one in self.evidence.values():
            one.spill(self._seat)
        part = self.part.save(self._path, {"books": self.books.facts(), **names, **facts})
        for one in self.evidence.values():
            one.keep(gists, part)
        return part


def collect_unit(context: Context, payload: tuple[str, Batch, Prepared, list[Seat]]) -> Part:
    """Read one range of a raw log, several small logs, or all logs of a partition whose runs lie over several records."""
    path, batch, prepared, seats = payload
    met = _Met(context, batch)
    logs = {context.plan.logs[number].partition: context.plan.logs[number] for number, _ in batch}
    writer = _Writer(logs, path, seats, ahead=context.ahead)
    collector = Collector(context.config, partial(_open_sides, context, prepared), partial(_keep, context))
    plain = [collector.plain(met.log(i)) if _is_plain(context, piece) else None for i, piece in enumerate(batch)]
    for alike, pieces in groupby(range(len(batch)), lambda i: plain[i] is not None):
        for i in pieces if alike else ():
            _collect_plain(_Piece(context, collector, met, i), plain[i], writer)
        for outcome in () if alike else collector.collect(met.logs(pieces)):
            met.pending[met.present] += outcome.unit is None
            writer.take(outcome)
    facts = {"met": list(zip(met.records, met.pending, strict=True)), "seen": collector.facts()}
    return writer.save(Gists(Path(context.project)), facts)


def _is_plain(context: Context, piece: tuple[int, tuple[Unit, ...]]) -> bool:
    """Tell whether a piece is small and lies in lines, so that its rows can be taken from its bytes at once."""
    number, (unit,) = piece
    log = context.plan.logs[number]
    return unit.end - unit.start <= 2 * UNIT_BYTES and reader_of(log.source).name == "jsonl" and not log.file.path.endswith(PACKED)


class _Piece(NamedTuple):
    """One piece of a batch and what reads it."""

    context: Context
    collector: Collector
    met: _Met
    number: int


def _collect_plain(one: _Piece, plain: Any, writer: _Writer) -> None:
    """Take the plain rows of a piece from its bytes; the others are read one by one as everywhere else."""
    context, collector, met, piece = one
    log, unit, limit = met.log(piece), met.unit(piece), context.config.max_line_bytes
    data = read_unit(str(Path(context.project) / log.file.path), unit, log.file.recorded)
    evidence, ids, texts, left = plain.take(data, unit.lines, unit.start, limit)
    grown, place, rows = writer.evidence[log.partition], 0, 0

    def add_until(end: int, count: int) -> None:
        nonlocal place, rows
        if end > place:
            grown.add(evidence[place:end], ids[SIZE * rows : SIZE * count], texts[SIZE * rows : SIZE * count])
        place, rows = end, count

    for number, start, length, ended, before, count in left:
        whole = io.BytesIO(data[start : start + length + ended])
        for line in read_lines(whole, max_line_bytes=limit, number=number - 1, offset=unit.start + start):
            met.records[piece] += 1
            for outcome in collector.collect_line(log, line):
                met.pending[piece] += outcome.unit is None
                if any(isinstance(row.value, EvidenceRecord) for row in outcome.rows):
                    add_until(before, count)
                writer.take(outcome)
    taken = len(ids) // SIZE
    add_until(len(evidence), taken)
    met.records[piece] += taken
    writer.books.add("accepted", None, file=log.partition, times=taken)
    for signals, times in plain.signals():
        collector.note_signals(log, _SIGNALS(signals), times)
    _look_at_first(one, data, {number for number, *_ in left})


def _look_at_first(one: _Piece, data: bytes, others: set[int]) -> None:
    """Look at those plain rows that are among the first of their log; `others` are the lines that are not plain."""
    log, unit = one.met.log(one.number), one.met.unit(one.number)
    first = max(0, LOOKED - unit.lines)
    for number, raw in enumerate(data.split(b"\n", first)[:first], unit.lines + 1):
        if raw and number not in others:
            one.collector.look(log, raw)


def outcomes_of(context: Context, batch: Batch, sides: FindSides) -> Iterator[Outcome]:
    """Yield the outcomes of a batch, with other second files; nothing is written."""
    collector = Collector(context.config, sides, partial(_keep, context))
    yield from collector.collect(_Met(context, batch).logs(range(len(batch))))


def _keep(context: Context, log: RawLog) -> Any:
    return keeper_of(Path(context.project) / log.file.path, reader_of(log.source))


def _open_sides(context: Context, prepared: Prepared, name: str) -> OpenSides | None:
    """Return the second files of a source, opened once a worker."""
    key = f"sides {prepared.asks} {prepared.digest(name)}"
    if key not in context.memo:
        context.memo[key] = prepared.of(name)
    found: OpenSides | None = context.memo[key]
    return found


def run_units(shop: Workshop, outputs: Outputs) -> None:
    """Collect every raw log; the evidence of a partition is that of its units, in order."""
    cuts: dict[str, list[Unit]] = {}
    prepared = _prepare(shop, cuts)
    batches: list[list[Piece]] = []
    parts = zip(outputs.parts(_jobs(shop, prepared, batches, _batches(shop, shop.work.plan.logs, cuts))), later(batches), strict=False)
    done = _append_evidence(shop, outputs, parts)
    outputs.append(_QUARANTINE, [(part, name) for part, _ in done for name in part.facts["quarantine"]])
    _count_inputs(shop, done)
    facts: dict[str, list[dict[str, Any]]] = {}
    for part, _ in done:
        for source, seen in part.facts["seen"].items():
            facts.setdefault(source, []).append(seen)
    for outcome in judge_facts(facts, shop.work.config):
        shop.books.count(outcome)


def _prepare(shop: Workshop, cuts: dict[str, list[Unit]]) -> Prepared:
    """Make the second files of all sources ready, which are inputs as logs are; the logs read for that are in `cuts`."""
    work = shop.work
    for ref in work.plan.sides:
        for _ in shop.cut(ref, whole=True):
            pass
    prepared = prepare_sides(work.project, work.config, {ref.recorded: work.inputs[ref.recorded].blake3 for ref in work.plan.sides})
    records = dict(prepared.records)
    for ref in work.plan.sides:
        shop.count_input(ref, records.get(ref.recorded, 0))
    judged = [log for log in work.plan.logs if log.source.verdicts]
    if judged:
        prepared = find_ambiguous(shop, prepared, _jobs(shop, prepared, [], _batches(shop, judged, cuts, keep=True)))
    shop.books.warnings.update(prepared.warnings)
    return prepared


def _jobs(shop: Workshop, prepared: Prepared, batches: list[list[Piece]], pieces: Iterable[list[Piece]]) -> Iterator[Job]:
    """Yield a job for every batch of pieces, which is also added to `batches`."""
    logs = shop.work.plan.logs
    refs, evidence = [log.file for log in logs], _evidence_of(shop)
    told = {source.name: f"{source!r} {prepared.digest(source.name)}" for source in shop.work.config.sources}
    for batch in pieces:
        batches.append(batch)
        digests = [_identity(logs[number], unit, told) for number, (unit,) in batch]
        plain = [tuple(piece) for piece in batch]
        partitions = dict.fromkeys(logs[number].partition for number, _ in batch)
        rows = tuple((evidence[partition], f"evidence:{i}") for i, partition in enumerate(partitions))
        yield Job(
            "distill.units.collect:collect_unit", (plain, prepared), tuple(digests), place_of(refs, batch), bytes_of(batch), rows,
            changed=any(refs[number] in shop.changed for number, _ in batch),
        )  # fmt: skip


def _batches(shop: Workshop, logs: Iterable[RawLog], cuts: dict[str, list[Unit]], *, keep: bool = False) -> Iterator[list[Piece]]:
    """Yield the pieces of every part; of a source whose runs lie over several records, a whole partition is one.

    What is in `cuts` is not read again; with `keep` what is read is put there.
    """
    numbers = {log.file.recorded: number for number, log in enumerate(shop.work.plan.logs)}

    def together(log: RawLog) -> str | None:
        form = find_format(log.source.format)
        return log.partition if form is not None and form.grouped else None

    def cut(log: RawLog, *, whole: bool) -> Iterator[Unit]:
        if log.file.recorded in cuts:
            yield from cuts[log.file.recorded]
            return
        kept: list[Unit] = []
        for unit in shop.cut(log.file, whole=whole):
            kept.append(unit)
            yield unit
        if keep:
            cuts[log.file.recorded] = kept

    for partition, several in groupby(logs, key=together):
        pieces = (
            Piece(numbers[log.file.recorded], (unit,))
            for log in several
            for unit in cut(log, whole=partition is not None or reader_of(log.source).name != "jsonl")
        )
        if partition is None:
            yield from batch_pieces(pieces)
        else:
            yield list(pieces)


def _identity(log: RawLog, unit: Unit, told: dict[str, str]) -> str:
    return f"{unit.digest} {unit.start} {unit.lines} {(log.groups, log.file.recorded, log.partition)!r} {told[log.source.name]}"


def _evidence_of(shop: Workshop) -> dict[str, str]:
    return dict(zip(shop.work.plan.partitions, shop.work.plan.evidence, strict=True))


def _append_evidence(shop: Workshop, outputs: Outputs, parts: Iterable[tuple[Part, list[Piece]]]) -> list[tuple[Part, list[Piece]]]:
    """Write the evidence of every partition as soon as its last unit is there; return the parts."""
    logs = shop.work.plan.logs
    done: list[tuple[Part, list[Piece]]] = []

    def sections() -> Iterator[tuple[str, Part, str]]:
        for part, batch in parts:
            done.append((part, batch))
            partitions = dict.fromkeys(logs[piece.number].partition for piece in batch)
            for partition, names in zip(partitions, part.facts["evidence"], strict=True):
                for name in names:
                    yield partition, part, name

    evidence = _evidence_of(shop)
    for partition, several in groupby(sections(), key=lambda one: one[0]):
        outputs.append(evidence[partition], ((part, name) for _, part, name in several))
    return done


def _count_inputs(shop: Workshop, done: list[tuple[Part, list[Piece]]]) -> None:
    """Say how many records each log held; what is not finished yet is none."""
    logs = shop.work.plan.logs
    counts = [0] * len(logs)
    for part, batch in done:
        for piece, (met, pending) in zip(batch, part.facts["met"], strict=True):
            counts[piece.number] += met - pending
            if pending:
                shop.work.pending.add(logs[piece.number].partition)
    for log, count in zip(logs, counts, strict=True):
        shop.count_input(log.file, count)
