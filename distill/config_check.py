"""Checks that a table a person wrote is put through; each problem names its place and the nearest right name (SPEC 9)."""

import math
import re
from typing import Any

__all__ = ["Check", "nearest"]


class Check:
    """Collects the problems of one config file."""

    def __init__(self, path: str) -> None:
        """Start without problems; `path` names the file in messages."""
        self.path = path
        self.problems: list[str] = []

    def say(self, place: str, text: str) -> None:
        """Note a problem."""
        self.problems.append(f"{self.path}: {place}: {text}")

    def keys(self, place: str, table: dict[str, Any], known: tuple[str, ...]) -> None:
        """Note every key of a table that is not known."""
        for key in table:
            if key not in known:
                self.say(f"{place}.{key}" if place else key, f"unknown key{nearest(key, known)}")

    def choice(self, place: str, value: Any, known: tuple[str, ...]) -> None:
        """Note a value that is set and not one of those."""
        if value is not None and value not in known:
            self.say(place, f"found {value!r}, expected one of {', '.join(known)}{_closest(str(value), known)}")

    def typed(self, place: str, value: Any, kind: type | tuple[type, ...], name: str) -> bool:
        """Note a value of another type, and tell whether it is right; true and false are no numbers."""
        wrong = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        if wrong:
            self.say(place, f"found {value!r}, expected {name}")
        return not wrong

    def regex(self, place: str, value: str | None) -> bool:
        """Note what is no regular expression, and tell whether it is one."""
        try:
            re.compile(value or "")
        except re.error as err:
            self.say(place, f"{value!r} is no regular expression: {err}")
            return False
        return True

    def number(self, place: str, value: Any, *, whole: bool = False) -> bool:
        """Note what is no finite number of zero or more, and tell whether it is one."""
        if not self.typed(place, value, int if whole else (int, float), "a whole number" if whole else "a number"):
            return False
        if not 0 <= value < math.inf:  # nan too
            self.say(place, f"found {value!r}, expected {'a finite number' if value == math.inf else 'zero or more'}")
            return False
        if value == math.inf:  # no document can hold it
            self.say(place, f"found {value!r}, expected a finite number")
            return False
        return True

    def strings(self, place: str, value: Any) -> tuple[str, ...]:
        """Return a list of strings, or note that it is none."""
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        self.say(place, f"found {value!r}, expected a list of strings")
        return ()

    def tables(self, place: str, value: Any) -> list[tuple[str, dict[str, Any]]]:
        """Return each table of a list with its place, or note what is none."""
        if not self.typed(place, value, list, "a list of tables"):
            return []
        placed = [(f"{place}[{i}]", table) for i, table in enumerate(value)]
        return [(at, table) for at, table in placed if self.typed(at, table, dict, "a table")]


def nearest(name: str, known: tuple[str, ...]) -> str:
    """Return the way out for an unknown name: the one most like it, or all there are."""
    if not known:
        return ""
    return _closest(name, known) or f"; known: {', '.join(known)}"


def _closest(name: str, known: tuple[str, ...]) -> str:
    """Return the known name most like another, as a question, or nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 -- only where something is wrong

    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}" if close else ""
