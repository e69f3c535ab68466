"""Rows of a native log whose shape was met before: one decode that allows exactly the keys of that shape, and nothing to walk.

A row is taken only where it is plain: no messages, no errors, every key of its shape once. Whatever else a row is, the reader of its
format reads it, and says what is wrong with it. Law: where `Shapes.decode` gives a row, `decode_line` and `convert_row` give the same
values (`tests/test_closed.py`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

__all__ = ["Shapes"]

_MOST, _TRIES = 16, 200
_SCALAR = str | int | float | bool | None
_SCALARS = (str, int, float, bool, type(None))


class _Shape(NamedTuple):
    """One set of keys."""

    decode: Callable[[bytes], Any]
    """Decodes a row that has exactly these keys."""
    keys: int
    """How many there are, at every depth."""


class Shapes:
    """The shapes of the rows of one log; a row has every field of its kind, None where the shape has not its key."""

    def __init__(self, kind: type[msgspec.Struct]) -> None:
        """Know no shape yet; `kind` is the struct of the format."""
        self._fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        self._known: set[Any] = set()
        self._shapes: list[_Shape] = []
        self.curious = _TRIES
        """How many more records it would learn from."""

    def learn(self, record: dict[str, Any]) -> None:
        """Take the keys of a record that was read as a shape, where a row of these keys can be plain."""
        self.curious -= 1
        inner = {name: frozenset(value) for name, value in record.items() if isinstance(value, dict)}
        key = (frozenset(record), frozenset(inner.items()), frozenset(name for name, value in record.items() if value is None))
        shape = None if key in self._known or len(self._shapes) == _MOST else self._build(record)
        self._known.add(key)
        if shape is not None:
            self._shapes.insert(0, shape)

    def _build(self, record: dict[str, Any]) -> _Shape | None:
        types: dict[str, Any] = {}
        keys = len(record)
        for name, value in record.items():
            field = self._fields.get(name)
            inner = None if field is None else _struct_in(field.type)
            if name == "messages" or (inner is not None and value is None):
                types[name] = type(None)
            elif inner is not None and isinstance(value, dict):
                types[name] = _closed(inner, value)
                keys += len(value)
            else:
                types[name] = field.type if field is not None else _SCALAR
        if None in types.values() or any(not _fits(record[name], kind) for name, kind in types.items()):
            return None
        return _Shape(msgspec.json.Decoder(_define(self._fields, types)).decode, keys)

    def decode(self, raw: bytes, *, spaced: bool) -> Any:
        """Return a row that is plain as far as its keys go, or None; `spaced` tells that white space may stand before a colon."""
        for i, (decode, keys) in enumerate(self._shapes):
            try:
                row = decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            found = raw.count(b'":')
            if found != keys and b"\\" in raw and b'\\\\"' not in raw:
                found -= raw.count(b'\\":')
            if found != keys or (spaced and (b" :" in raw or b"\t" in raw or b"\r" in raw)):
                return None
            if i:
                self._shapes.insert(0, self._shapes.pop(i))
            return row
        return None


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """Return the struct that a field may hold beside null."""
    return next((one for one in getattr(kind, "__args__", ()) if isinstance(one, type) and issubclass(one, msgspec.Struct)), None)


def _fits(value: Any, kind: Any) -> bool:
    """Tell whether a value is as plain as its type in the shape says."""
    return value is None if kind is type(None) else kind is not _SCALAR or isinstance(value, _SCALARS)


def _closed(kind: type[msgspec.Struct], value: dict[str, Any]) -> Any:
    """Return a struct that has exactly the keys of an object, or None where it holds more than plain values."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    types = {name: fields[name].type if name in fields else _SCALAR for name in value}
    return _define(fields, types) if all(_fits(value[name], one) for name, one in types.items()) else None


def _define(fields: dict[str, Any], types: dict[str, Any]) -> type[msgspec.Struct]:
    """Return a struct with the fields of these types, in the order of `fields`, unknown ones last; the other fields are None."""
    rename = {f"other_{i}": name for i, name in enumerate(name for name in types if name not in fields)}
    defined: list[Any] = [(name, types[name]) for name in fields if name in types]
    defined += [(alias, types[name]) for alias, name in rename.items()]
    absent: dict[str, Any] = {name: None for name in fields if name not in types}
    return msgspec.defstruct("Plain", defined, namespace=absent, rename=rename.get, forbid_unknown_fields=True, gc=False)
