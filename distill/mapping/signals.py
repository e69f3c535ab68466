"""Signals of a mapping, compiled (SPEC 2): a raw value and what it means, counts of checks, every item of a list of scores."""

from collections.abc import Callable
from typing import Any

from distill.config import CheckSpec, SignalSpec
from distill.jsonl import BadLine
from distill.mapping.fields import as_count, as_text
from distill.mapping.meaning import read_meaning
from distill.mapping.paths import Find, compile_path
from distill.schemas.evidence import Checks, Signal

__all__ = ["Signals", "compile_signal", "read_confidence"]

Signals = Callable[[dict[str, Any]], list[Signal]]
"""Finds the signals of a record."""
_SCALARS = frozenset({str, bool, int, float})
_KNOWN = 1024
One = Callable[[Any, str], Signal | None]


def compile_signal(spec: SignalSpec) -> Signals:
    """Return the function that finds what one signal of the config says of a record."""
    if not (spec.each or spec.where or spec.by or spec.confidence or spec.aspect_path or spec.checks):
        return _compile_plain(spec)
    one = _compile_one(spec)
    applies = compile_path(spec.where) if spec.where else None
    if spec.each is None:
        where = spec.path or (spec.checks.passed if spec.checks else "")

        def single(record: dict[str, Any]) -> list[Signal]:
            if applies is not None and not applies(record):
                return []
            signal = one(record, where)
            return [] if signal is None else [signal]

        return single
    each, name = compile_path(spec.each), spec.each

    def several(record: dict[str, Any]) -> list[Signal]:
        items = each(record)
        if items is None:
            return []
        if not isinstance(items, list):
            raise BadLine("mistyped_field", f"{name}: found {type(items).__name__}, expected a list of signals")
        kept = [(i, item) for i, item in enumerate(items) if applies is None or applies(item)]
        found = [one(item, f"{name}[{i}]" + (f".{spec.path}" if spec.path else "")) for i, item in kept]
        return [signal for signal in found if signal is not None]

    return several


def _compile_plain(spec: SignalSpec) -> Signals:
    """Return the function that reads a raw value and nothing else; what one value means is told once."""
    find, where = compile_path(spec.path or ""), spec.path or ""
    known: dict[tuple[type, Any], list[Signal]] = {}

    def plain(record: dict[str, Any]) -> list[Signal]:
        value = find(record)
        if value is None:
            return []
        kind = type(value)
        if kind not in _SCALARS or (kind is float and not value):  # a zero may have a sign
            return [_build(spec, value, where)]
        found = known.get((kind, value))
        if found is None:
            found = [_build(spec, value, where)]
            if len(known) < _KNOWN:
                known[kind, value] = found
        return found

    return plain


def _build(spec: SignalSpec, value: Any, where: str) -> Signal:
    told: Any = read_meaning(spec.meaning, value, place=where)
    if told == "infrastructure":
        return Signal(kind="infrastructure", verdict="none", value=value, where=where)
    return Signal(kind=spec.kind, aspect=spec.aspect, verdict=told, value=value, where=where)  # type: ignore[arg-type]


def _compile_one(spec: SignalSpec) -> One:
    """Return the function that reads one signal; a plain one costs little more than its value."""
    find = compile_path(spec.path) if spec.path else None
    by, confidence, aspect = (compile_path(path) if path else None for path in (spec.by, spec.confidence, spec.aspect_path))
    counts = _compile_checks(spec.checks) if spec.checks else None

    def read(item: Any, where: str) -> Signal | None:
        value = find(item) if find is not None else None
        checks = counts(item, where) if counts is not None else None
        if value is None and checks is None:
            return None
        told = "none" if value is None or spec.meaning == _SILENT else read_meaning(spec.meaning, value, place=where)
        if told == "infrastructure":
            return Signal(kind="infrastructure", verdict="none", value=value, where=where)
        if checks is not None:
            told = "fail" if checks.failed else "pass" if checks.passed else "none"
        return Signal(
            kind=spec.kind, aspect=spec.aspect if aspect is None else as_text(where, aspect(item)), verdict=told, value=value,  # type: ignore[arg-type]
            confidence=None if confidence is None else read_confidence(spec.confidence, confidence(item)), checks=checks,
            by=None if by is None else _name(by(item)), where=where,
        )  # fmt: skip

    return read


_SILENT = SignalSpec("").meaning


def _name(value: Any) -> str | None:
    return None if value is None else str(value)


def read_confidence(path: str | None, value: Any) -> float | None:
    """Return how sure a judge is, as a fraction of 1.

    Raises:
        BadLine: `mistyped_field`.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise BadLine("mistyped_field", f"{path}: found {value!r}, expected a number")
    if value is not None and not 0 <= value <= 1:  # percent would make every judge a strong one
        raise BadLine("mistyped_field", f"{path}: found {value!r}, expected a fraction of 1")
    return value


def _compile_checks(spec: CheckSpec) -> Callable[[Any, str], Checks | None]:
    passed_at = compile_path(spec.passed)
    name = spec.failed or spec.total or ""
    other: Find = compile_path(name)

    def count(item: Any, where: str) -> Checks | None:
        passed, second = as_count(spec.passed, passed_at(item)), as_count(name, other(item))
        if passed is None or second is None:
            return None
        failed = second if spec.failed else second - passed
        if failed < 0:
            raise BadLine("mistyped_field", f"{where}: found {passed} checks passed of {second}, expected no more than all")
        return Checks(passed=passed, failed=failed)

    return count
