"""Verdicts of second files, joined to runs by key (SPEC 2); an ambiguous one is said so and never guessed."""

from collections.abc import Callable
from typing import Any

from distill.config import Source, VerdictSpec
from distill.formats.reading import Position, Reader, Reading
from distill.mapping.fields import compile_taker
from distill.schemas.evidence import Signal
from distill.sides import AMBIGUOUS, ASKED, SILENT, Joined, Sides, VerdictSide, join_key

__all__ = ["Join", "compile_joins", "is_blank", "join_reader", "join_reading"]

Join = Callable[[dict[str, Any], Position, dict[str, Any]], list[Signal]]
"""Finds joined signals: of a raw record, its position and the evidence fields read from it."""


def compile_joins(source: Source, sides: Sides | None) -> Join | None:
    """Return the function that finds what the source's second files say of a run, or None where there are none."""
    if not source.verdicts or sides is None:
        return None
    joins = [_compile_join(spec, sides.verdict(spec.name)) for spec in source.verdicts]

    def join(record: dict[str, Any], position: Position, values: dict[str, Any]) -> list[Signal]:
        found = [one(record, position, values) for one in joins]
        return [signal for signal in found if signal is not None]

    return join


def _compile_join(spec: VerdictSpec, side: VerdictSide) -> Callable[[dict[str, Any], Position, dict[str, Any]], Signal | None]:
    take = compile_taker(spec.by)
    field = spec.by_field

    def one(record: dict[str, Any], position: Position, values: dict[str, Any]) -> Signal | None:
        key = join_key(take(record, position) if field is None else values.get(field))
        if key is None:
            return None
        joined = side.get(key)
        if joined is None and spec.otherwise is not None:
            joined = Joined(spec.otherwise if side.is_whole() else AMBIGUOUS)
        return None if joined is None or joined.verdict == SILENT else _signal(spec, joined, key)

    return one


def _signal(spec: VerdictSpec, joined: Joined, key: str) -> Signal:
    if joined.verdict == AMBIGUOUS:
        return Signal(kind=spec.kind, aspect=AMBIGUOUS, verdict="none", value=key, where=spec.path)  # type: ignore[arg-type]
    if joined.verdict == ASKED:
        return Signal(kind="self", aspect=f"{ASKED} {joined.value}", verdict="none", value=key, where=spec.path)
    if joined.verdict == "infrastructure":
        return Signal(kind="infrastructure", verdict="none", value=joined.value, where=spec.path)
    return Signal(
        kind=spec.kind, aspect=spec.aspect, verdict=joined.verdict, value=joined.value, confidence=joined.confidence, by=joined.by,  # type: ignore[arg-type]
        where=spec.path,
    )  # fmt: skip


def is_blank(values: dict[str, Any], seen: list[str]) -> bool:
    """Tell whether a judge had nothing to look at in one of the fields `seen`."""
    return any(not (values.get(name) or "").strip() for name in seen)


def join_reader(read: Reader, source: Source, sides: Sides | None) -> Reader:
    """Return a format's reader that also finds what second files say; the mapping does so by itself."""
    join = compile_joins(source, sides)
    if join is None:
        return read

    def joined(record: dict[str, Any], position: Position) -> Reading | list[Reading]:
        reading = read(record, position)
        if isinstance(reading, list):
            return [_add(one, join(record, position, one.values)) for one in reading]
        return _add(reading, join(record, position, reading.values))

    return joined


def join_reading(reading: Reading, source: Source, sides: Sides | None, position: Position) -> Reading:
    """Return a run of several records with what second files say of it; its key is an evidence field or part of the file's name."""
    join = compile_joins(source, sides)
    return reading if join is None else _add(reading, join({}, position, reading.values))


def _add(reading: Reading, signals: list[Signal]) -> Reading:
    if not signals:
        return reading
    blank = is_blank(reading.values, ["instruction", "response"])
    kept = [signal for signal in signals if signal.kind != "judge" or not blank]
    return Reading(reading.values | {"signals": [*reading.values.get("signals", []), *kept]}, reading.warning)
