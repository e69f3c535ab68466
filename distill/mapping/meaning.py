"""Which raw value means which verdict (SPEC 2): lists of values compared with their type, or ranges of numbers; nothing is guessed."""

from typing import Any

from distill.config import Meaning, Range
from distill.jsonl import BadLine

__all__ = ["read_meaning"]


def read_meaning(meaning: Meaning, value: Any, *, place: str) -> str:
    """Return pass, fail, partial, infrastructure, with_changes, escalate, or none for a number in no range where only one range is named.

    Raises:
        BadLine: `mistyped_field` for a value that means nothing.
    """
    for verdict, known in (
        ("infrastructure", meaning.infrastructure),
        ("with_changes", meaning.with_changes),
        ("escalate", meaning.escalate),
    ):
        if known and _is_in(value, known):
            return verdict
    if meaning.pass_range is not None or meaning.fail_range is not None:
        return _by_range(meaning, value, place)
    for verdict, known in (("pass", meaning.pass_), ("fail", meaning.fail), ("partial", meaning.partial)):
        if _is_in(value, known):
            return verdict
    lists = (meaning.pass_, meaning.fail, meaning.partial, meaning.infrastructure, meaning.with_changes, meaning.escalate)
    expected = [item for known in lists for item in known]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    way_out = "; a number needs thresholds such as pass = 0.9 and fail = 0.3" if number else ""
    raise BadLine("mistyped_field", f"{place}: found {value!r}, expected one of {expected}{way_out}")


def _by_range(meaning: Meaning, value: Any, place: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadLine("mistyped_field", f"{place}: found {value!r}, expected a number between the thresholds")
    if _holds(meaning.pass_range, value):
        return "pass"
    if _holds(meaning.fail_range, value):
        return "fail"
    return "partial" if meaning.pass_range is not None and meaning.fail_range is not None else "none"


def _holds(bounds: Range | None, value: float) -> bool:
    if bounds is None:
        return False
    return (bounds.min is None or value >= bounds.min) and (bounds.max is None or value <= bounds.max)


def _is_in(value: Any, known: tuple[Any, ...]) -> bool:
    kind = type(value)
    for item in known:  # noqa: SIM110 -- asked for every signal of every record
        if kind is type(item) and value == item:
            return True
    return False
