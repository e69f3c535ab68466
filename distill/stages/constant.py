"""Signals that say the same of every record: a verdict nobody gave, or the wrong field (SPEC 2, `constant_verdict`).

What one unit saw is plain facts; facts of several units add up to those of the whole, in whatever pieces it was read. Rivals are
looked for in the first 1,000 records of each file only.
"""

from collections.abc import Iterable
from typing import Any

from distill.canonical import dump_sorted
from distill.schemas.evidence import Signal

__all__ = ["LOOKED", "Constants", "describe_constants"]

_FEWEST = 20
LOOKED = 1000
"""Records of a file in which rivals are looked for."""
_RIVAL = 5
_LONGEST = 60
_KEYS = 500
_NEW: dict[Any, None] = {}


class Constants:
    """What the signals of one source said, and which other fields could be a verdict."""

    def __init__(self) -> None:
        """Start empty."""
        self._signals: dict[str, list[Any]] = {}
        self._rivals: dict[str, dict[Any, None] | None] = {}

    def note(self, values: dict[str, Any], record: dict[str, Any], number: int) -> None:
        """Look at the signals of one run and the raw record it was read from, the `number`-th of its file."""
        self.add(values.get("signals", ()), 1)
        if number <= LOOKED:
            self.look(record)

    def add(self, signals: Iterable[Signal], times: int) -> None:
        """Look at the signals that so many runs have."""
        known = self._signals
        for signal in signals:
            state = known.get(signal.where)
            said = signal.verdict if signal.value is None else signal.value
            if state is None:
                if not _is_error(signal):
                    known[signal.where] = [said, times, True]
                continue
            state[1] += times
            if state[2] and (type(said) is not type(state[0]) or said != state[0]):
                state[2] = False

    def look(self, record: dict[str, Any]) -> None:
        """Note the values of top-level fields that are few and plain."""
        rivals = self._rivals
        for key, value in record.items():
            found = rivals.get(key, _NEW)
            if found is None or value is None:
                continue
            if found is _NEW:
                found = {}
            kind = type(value)
            if kind is bool or kind is int or kind is float or (kind is str and len(value) <= _LONGEST):
                found[kind, value] = None
                rivals[key] = found if len(found) <= _RIVAL else None
            else:
                rivals[key] = None

    def facts(self) -> dict[str, Any]:
        """Return what was seen as plain values."""
        signals = {where: [dump_sorted(said), count, constant] for where, (said, count, constant) in self._signals.items()}
        rivals = {
            key: None if found is None else sorted(dump_sorted(value) for _, value in found)
            for key, found in sorted(self._rivals.items())[:_KEYS]
        }
        return {"signals": signals, "rivals": rivals}


def _is_error(signal: Signal) -> bool:
    return signal.kind == "infrastructure" and signal.where.startswith("errors[")


def describe_constants(source: str, facts: Iterable[dict[str, Any]]) -> list[str]:
    """Return one warning for each signal of a source that said one thing in 20 records or more."""
    signals: dict[str, list[Any]] = {}
    rivals: dict[str, set[str] | None] = {}
    for one in facts:
        for where, (text, count, constant) in one["signals"].items():
            state = signals.setdefault(where, [text, 0, True])
            state[1] += count
            state[2] = state[2] and constant and state[0] == text
        for key, found in one["rivals"].items():
            before = rivals.setdefault(key, set())
            together = None if before is None or found is None else before | set(found)
            rivals[key] = None if together is None or len(together) > _RIVAL else together
    kept = {key: found for key, found in sorted(rivals.items())[:_KEYS] if found is not None}
    told: list[str] = []
    for where, (text, count, constant) in sorted(signals.items()):
        if constant and count >= _FEWEST:
            names = _rank({key: found for key, found in kept.items() if key != where.partition(".")[0]})
            beside = f"; rivals: {', '.join(names)}" if names else "; no other field has two to five values"
            told.append(f"constant_verdict: {source}: {where} is {text} in all {count} records{beside}")
    return told


def _rank(rivals: dict[str, set[str]]) -> list[str]:
    """Return the fields with two to five values, booleans first."""
    few = [(found, key) for key, found in rivals.items() if len(found) > 1]
    return [key for _, key in sorted((not found <= {"true", "false"}, key) for found, key in few)]
