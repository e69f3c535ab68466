"""Which fields a sample of raw records has: path expression, share of records, values.

Pure: records in, facts out. Laws:
1. Memory is bounded by the constants below, whatever the records hold.
2. The facts depend on the records and their order alone.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from distill.canonical import dump_canonical

__all__ = ["Catalog", "Found", "cut", "join_path", "quote_key", "render_value"]

_PATHS = 400
_DEPTH = 4
_ITEMS = 50
"""Items of a list that are looked into."""
_DISTINCT = 2_000
"""Distinct values counted; further ones are not told apart."""
_VALUE = 200
"""Characters from which on a text is no value to count."""
_CUT = 60
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def quote_key(key: str) -> str:
    """Return a key as JMESPath names it: plain, or in double quotes."""
    return key if _PLAIN.fullmatch(key) else render_value(key)


def join_path(parts: tuple[str, ...]) -> str:
    """Return the path expression of keys; `[]` as a part stands for the items of the list before it."""
    text = ""
    for part in parts:
        text += "[]" if part == "[]" else f".{quote_key(part)}" if text else quote_key(part)
    return text


def render_value(value: Any) -> str:
    """Return a value as one line of JSON without control characters."""
    try:
        text = dump_canonical(value)
    except (ValueError, RecursionError):  # integers beyond what Python prints, nesting beyond its stack
        text = f"({type(value).__name__})"
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def cut(text: str, width: int = _CUT) -> str:
    """Return a text of at most `width` characters, its end marked where it was cut."""
    return text if len(text) <= width else text[: width - 1] + "…"


class Found:
    """One path met in the sample."""

    __slots__ = ("counts", "example", "kinds", "parts", "path", "records")

    def __init__(self, parts: tuple[str, ...]) -> None:
        """Start with nothing met."""
        self.parts = parts
        """Keys from the outside in; `[]` for the items of a list."""
        self.path = join_path(parts)
        """Path expression."""
        self.records = 0
        """Records that hold something other than null there."""
        self.kinds: Counter[str] = Counter()
        """text, bool, integer, number, texts, list, empty, object, null: how often each."""
        self.counts: Counter[str] = Counter()
        """Short scalar values as JSON, how often each."""
        self.example: Any = None
        """The first value that is not null and not empty."""

    @property
    def leaf(self) -> str:
        """The last key, lower case; of a list's items, the list's."""
        return next(part for part in reversed(self.parts) if part != "[]").lower()

    @property
    def depth(self) -> int:
        """How many keys deep, 1 for a key of the record itself."""
        return len(self.parts)

    @property
    def in_list(self) -> bool:
        """Whether it stands inside the items of a list."""
        return "[]" in self.parts

    def has_only(self, *kinds: str) -> bool:
        """Tell whether something was met and all of it is of these kinds; null is of every kind."""
        met = {kind for kind in self.kinds if kind != "null"}
        return bool(met) and met <= set(kinds)

    def values(self, limit: int) -> list[tuple[str, int]]:
        """Return the values most often met, as JSON with their counts; equal counts in the order of their text."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:limit]

    def note(self, value: Any, kind: str) -> None:
        """Count one value."""
        self.kinds[kind] += 1
        if value is None:
            return
        if self.example in (None, "", [], {}):
            self.example = value
        if kind in {"bool", "integer", "number"} or (kind == "text" and len(value) <= _VALUE):
            text = render_value(value)
            if text in self.counts or len(self.counts) < _DISTINCT:
                self.counts[text] += 1


def _kind(value: Any) -> str:
    """Return the kind of a JSON value."""
    if isinstance(value, list):
        return "empty" if not value else "texts" if all(isinstance(item, str) for item in value) else "list"
    names = {str: "text", bool: "bool", int: "integer", float: "number", dict: "object", type(None): "null"}
    return names.get(type(value), "other")


class _Step(NamedTuple):
    parts: tuple[str, ...]
    value: Any


def _walk(parts: tuple[str, ...], value: Any) -> Iterator[_Step]:
    """Yield a value and what lies in it, outside in."""
    if parts:
        yield _Step(parts, value)
    if len(parts) >= _DEPTH:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk((*parts, key), inner)
    elif isinstance(value, list):
        for item in value[:_ITEMS]:
            if isinstance(item, dict):
                for key, inner in item.items():
                    yield from _walk((*parts, "[]", key), inner)


class Catalog:
    """The paths met in a sample, in the order in which they were met first."""

    def __init__(self) -> None:
        """Start empty."""
        self.records = 0
        """Records added."""
        self.found: dict[tuple[str, ...], Found] = {}
        """By the keys that lead there."""

    def add(self, record: dict[str, Any]) -> None:
        """Add one decoded record."""
        self.records += 1
        met: set[tuple[str, ...]] = set()
        for parts, value in _walk((), record):
            found = self.found.get(parts)
            if found is None:
                if len(self.found) >= _PATHS:
                    continue
                found = self.found[parts] = Found(parts)
            found.note(value, _kind(value))
            if value is not None and parts not in met:
                met.add(parts)
                found.records += 1

    def share(self, found: Found) -> float:
        """Return the share of records that hold it, a fraction of 1."""
        return found.records / self.records if self.records else 0.0

    @property
    def keys(self) -> frozenset[str]:
        """Keys of the records themselves."""
        return frozenset(parts[0] for parts in self.found if len(parts) == 1)

    def plain(self) -> list[Found]:
        """Return what a mapping may take as it is: nothing inside lists, outer keys first."""
        return sorted((found for found in self.found.values() if not found.in_list), key=lambda found: found.depth)
