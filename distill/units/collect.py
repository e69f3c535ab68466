"""collect over units: each raw range becomes its evidence and its quarantined lines."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distill.books import Books
from distill.files import read_packed
from distill.formats import TYPED
from distill.jsonl import BadLine, RawLine, encode_line, encode_row, read_lines
from distill.plan import EVIDENCE, RawLog
from distill.stages import QUARANTINE
from distill.stages.collect import run
from distill.units.cutting import Unit
from distill.units.outputs import Outputs
from distill.units.parts import Part, PartWriter
from distill.units.workshop import PACKED, Context, Job, Workshop, place_of

__all__ = ["collect_unit", "run_units"]

_QUARANTINE = f"{QUARANTINE}/collect.jsonl"


class _Bounded(io.RawIOBase):
    """The bytes of a range, read as they are asked for."""

    def __init__(self, path: Path, unit: Unit) -> None:
        self._handle = os.open(path, os.O_RDONLY)
        self._place, self._end = unit.start, unit.end

    def read(self, size: int = -1, /) -> bytes:
        data = os.pread(self._handle, min(size, self._end - self._place) if size >= 0 else self._end - self._place, self._place)
        self._place += len(data)
        return data

    def close(self) -> None:
        os.close(self._handle)
        super().close()


def collect_unit(context: Context, payload: tuple[str, int, Unit]) -> Part:
    """Read one range of a raw log."""
    path, number, unit = payload
    log: RawLog = context.plan.logs[number]
    books, part, met, pending = Books(by_file=True), PartWriter(), 0, 0

    def lines(file: Any) -> Iterator[RawLine | BadLine]:
        nonlocal met
        limit = context.config.max_line_bytes
        packed = log.file.path.endswith(PACKED)
        for line in (
            read_packed(file, log.file.path, max_line_bytes=limit)
            if packed
            else read_lines(file, max_line_bytes=limit, number=unit.lines, offset=unit.start)
        ):
            met += 1
            yield line

    encode = encode_line if log.source.format in TYPED else encode_row  # native rows were checked field by field when they were read
    evidence, quarantine = part.ordered["evidence"], part.ordered["quarantine"]
    file = _Bounded(Path(context.project) / log.file.path, unit)
    try:
        for outcome in run([(log, lines(file))], context.config):
            books.count(outcome)
            pending += outcome.unit is None
            for row in outcome.rows:
                (quarantine if row.target == _QUARANTINE else evidence).append(encode(row.value))
    finally:
        file.close()
    return part.save(path, {"books": books.facts(), "met": met - pending, "pending": pending})


def run_units(shop: Workshop, outputs: Outputs) -> None:
    """Collect every raw log; the evidence of a partition is that of its units, in order."""
    plan = shop.work.plan
    owners: list[int] = []

    def jobs() -> Iterator[Job]:
        for number, log in enumerate(plan.logs):
            groups = repr((log.source, log.groups, log.file.recorded, log.partition))
            for unit in shop.cut(log.file):
                owners.append(number)
                digests = (unit.digest, f"{unit.start} {unit.lines}", groups)
                size = unit.end - unit.start
                yield Job("distill.units.collect:collect_unit", (number, unit), digests, place_of(log.file, unit), size)

    found: list[list[Part]] = [[] for _ in plan.logs]
    for place, part in enumerate(shop.parts(jobs())):
        number = owners[place]
        found[number].append(part)
        if number and len(found[number]) == 1:
            _finish(shop, outputs, number - 1, found[number - 1])
    if found:
        _finish(shop, outputs, len(found) - 1, found[-1])
    outputs.append(_QUARANTINE, [part for parts in found for part in parts], "quarantine")


def _finish(shop: Workshop, outputs: Outputs, number: int, parts: list[Part]) -> None:
    """Write the evidence of a partition, all units of which are known."""
    log = shop.work.plan.logs[number]
    outputs.append(f"{EVIDENCE}/{log.partition}", parts, "evidence")
    shop.count_input(log.file, sum(part.facts["met"] for part in parts))
    if any(part.facts["pending"] for part in parts):
        shop.work.pending.add(log.partition)
