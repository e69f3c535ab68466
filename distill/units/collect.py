"""collect over units: each raw range becomes its evidence and its quarantined lines."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distill.books import Books
from distill.errors import InputError
from distill.files import read_packed
from distill.formats import TYPED
from distill.hashing import FileHasher
from distill.jsonl import BadLine, RawLine, encode_line, encode_row, read_lines
from distill.plan import RawLog
from distill.stages import QUARANTINE
from distill.stages.collect import run
from distill.units.cutting import Unit
from distill.units.outputs import Outputs
from distill.units.parts import Part, PartWriter
from distill.units.workshop import PACKED, Context, Job, Piece, Workshop, batch_pieces, bytes_of, later, place_of

__all__ = ["collect_unit", "run_units"]

_QUARANTINE = f"{QUARANTINE}/collect.jsonl"


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


def collect_unit(context: Context, payload: tuple[str, list[tuple[int, tuple[Unit, ...]]]]) -> Part:
    """Read one range of a raw log, or several small logs."""
    path, batch = payload
    books, part, facts = Books(by_file=True), PartWriter(), []
    for i, (number, (unit,)) in enumerate(batch):
        log: RawLog = context.plan.logs[number]
        encode = encode_line if log.source.format in TYPED else encode_row  # typed rows were checked field by field when they were read
        evidence, quarantine = part.ordered[f"evidence:{i}"], part.ordered["quarantine"]
        met = pending = 0
        with _Bounded(Path(context.project) / log.file.path, unit) as file:
            for outcome in run([(log, _lines(context, log, unit, file))], context.config):
                books.count(outcome)
                met, pending = met + 1, pending + (outcome.unit is None)
                for row in outcome.rows:
                    (quarantine if row.target == _QUARANTINE else evidence).append(encode(row.value))
            if file.finish() != unit.digest:
                raise InputError(f"{log.file.recorded}: changed while it was read; run doit again when nobody writes to it")
        facts.append((met - pending, pending))
    return part.save(path, {"books": books.facts(), "met": facts})


def _lines(context: Context, log: RawLog, unit: Unit, file: Any) -> Iterator[RawLine | BadLine]:
    limit = context.config.max_line_bytes
    if log.file.path.endswith(PACKED):
        return read_packed(file, log.file.path, max_line_bytes=limit)
    return read_lines(file, max_line_bytes=limit, number=unit.lines, offset=unit.start)


def run_units(shop: Workshop, outputs: Outputs) -> None:
    """Collect every raw log; the evidence of a partition is that of its units, in order."""
    plan = shop.work.plan
    refs = [log.file for log in plan.logs]
    batches: list[list[Piece]] = []

    def jobs() -> Iterator[Job]:
        for batch in batch_pieces(Piece(number, (unit,)) for number, ref in enumerate(refs) for unit in shop.cut(ref)):
            batches.append(batch)
            digests = [_identity(plan.logs[number], unit) for number, (unit,) in batch]
            plain = [tuple(piece) for piece in batch]
            yield Job("distill.units.collect:collect_unit", (plain,), tuple(digests), place_of(refs, batch), bytes_of(batch))

    done = outputs.append_batches(plan.evidence, "evidence", zip(shop.parts(jobs()), later(batches), strict=False))
    outputs.append(_QUARANTINE, [(part, "quarantine") for part, _ in done])
    counts = [0] * len(refs)
    for part, batch in done:
        for piece, (met, pending) in zip(batch, part.facts["met"], strict=True):
            counts[piece.number] += met
            if pending:
                shop.work.pending.add(plan.logs[piece.number].partition)
    for ref, count in zip(refs, counts, strict=True):
        shop.count_input(ref, count)


def _identity(log: RawLog, unit: Unit) -> str:
    return f"{unit.digest} {unit.start} {unit.lines} {(log.source, log.groups, log.file.recorded, log.partition)!r}"
