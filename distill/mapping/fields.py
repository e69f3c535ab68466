"""Where the value of an evidence field comes from, compiled (SPEC 2): paths, file-name groups, constants, templates, counts, lookups."""

import re
import sys
from collections.abc import Callable
from typing import Any

from distill.canonical import dump_sorted
from distill.config import FieldSpec, Source
from distill.config_specs import EVIDENCE_FIELDS
from distill.formats.reading import Position
from distill.jsonl import BadLine, decode_line
from distill.mapping.paths import compile_path, plain_name
from distill.sides import Sides, join_key
from distill.times import BadTime, parse_epoch

__all__ = ["Fields", "Take", "as_count", "as_text", "compile_field", "compile_taker", "plain_text", "read_texts"]

Take = Callable[[dict[str, Any], Position], Any]
"""Finds a value: of a raw record and its position."""
_GREATEST = sys.float_info.max
_IDS = frozenset({"run_id", "task_id", "group", "subject"})


class Fields:
    """Compiles the fields of one source; fields of one lookup share the row that was found last."""

    def __init__(self, source: Source, sides: Sides | None) -> None:
        """Open what the source's fields look up in."""
        self.asked: set[str] = set()
        """Places `lookups.<name>.asked` of lookups that a record named a row of, and `lookups.<name>.found` where it is there."""
        self._rows = {spec.name: self._lookup(spec, sides) for spec in source.lookups}

    def _lookup(self, spec: Any, sides: Sides | None) -> Take:
        if sides is None:
            return lambda record, position: None
        side = sides.lookup(spec.name)
        by_line = spec.line is not None
        take = compile_taker(spec.line if by_line else spec.by)
        last: tuple[Any, Any] = (None, None)
        asked, found, seen = f"lookups.{spec.name}.asked", f"lookups.{spec.name}.found", self.asked

        def row(record: dict[str, Any], position: Position) -> Any:
            nonlocal last
            key = take(record, position)
            if by_line:
                number = _line_number(spec.name, key)
                key = None if number is None else number + spec.line.plus
            else:
                key = join_key(key)
            if key is None:
                return None
            if key != last[0]:
                last = (key, side.line(key) if by_line else side.get(key))
                seen.add(asked if last[1] is None else found)
            return last[1]

        return row

    def take(self, spec: FieldSpec) -> Take:
        """Return the function that finds the value of one field."""
        if spec.lookup is None:
            take = compile_taker(spec)
        else:
            row, find = self._rows[spec.lookup], compile_path(spec.path or "")

            def take(record: dict[str, Any], position: Position) -> Any:
                return find(row(record, position))

        return _unwrap(take, spec) if spec.json else take


def _line_number(name: str, value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value, re.ASCII):
        value = int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise BadLine("mistyped_field", f"lookup {name!r}: found {value!r}, expected the number of a line")


def _unwrap(take: Take, spec: FieldSpec) -> Take:
    inside = compile_path(spec.inside) if spec.inside else None

    def unwrapped(record: dict[str, Any], position: Position) -> Any:
        value = take(record, position)
        if isinstance(value, str):
            value = _parse(spec.path or "", value)
        return inside(value) if inside is not None else value

    return unwrapped


def _parse(path: str, text: str) -> Any:
    """Return the JSON in a text; a text in it that is JSON again is parsed too."""
    value: Any = text
    depth = 0
    while isinstance(value, str):
        told = "more than one value"
        try:
            parsed = decode_line(b'{"":' + value.encode() + b"}")
        except BadLine as bad:
            parsed, told = {}, bad.detail
        if len(parsed) != 1:
            if depth:
                return value
            raise BadLine("mistyped_field", f"{path}: found a text that is no JSON ({told}), expected JSON in a text")
        value, depth = parsed[""], depth + 1
    return value


def compile_taker(spec: FieldSpec) -> Take:
    """Return the function that finds a value in the record or in its file's name."""
    if spec.path is not None:
        find, key = compile_path(spec.path), plain_name(spec.path)
        if key is not None:
            return lambda record, position: record.get(key)
        return lambda record, position: find(record)
    if spec.count is not None:
        find = compile_path(spec.count)
        return lambda record, position: _length(find(record), spec) + spec.plus
    if spec.group is not None:
        name, pattern = spec.group, re.compile(spec.pattern) if spec.pattern else None
        return lambda record, position: _part(position.groups.get(name), pattern)
    if spec.template is not None:
        return _template(spec.template)
    return lambda record, position: spec.const


def _length(value: Any, spec: FieldSpec) -> int:
    if value is None:
        return 0
    if not isinstance(value, list):
        raise BadLine("mistyped_field", f"{spec.count}: found {type(value).__name__}, expected a list to count")
    return len(value)


def _part(text: str | None, pattern: re.Pattern[str] | None) -> str | None:
    if text is None or pattern is None:
        return text
    match = pattern.search(text)
    return match.group(0) if match else None


def _template(template: str) -> Take:
    """Return the function that fills the places of a template; a missing value of the record makes the whole null."""
    parts: list[tuple[str, Any]] = []  # text, or the way to one
    for i, part in enumerate(re.split(r"\{([^{}]*)\}", template)):
        if i % 2 == 0:
            parts.append(("text", part))
        else:
            parts.append(("path", compile_path(part[1:])) if part.startswith(".") else ("group", part))

    def fill(record: dict[str, Any], position: Position) -> str | None:
        texts: list[str] = []
        for kind, way in parts:
            if kind == "text":
                texts.append(way)
            elif kind == "group":
                texts.append(position.groups.get(way) or "")
            else:
                text = as_text(template, way(record), ids=True)
                if text is None:
                    return None
                texts.append(text)
        return "".join(texts)

    return fill


def plain_text(name: str, specs: tuple[FieldSpec, ...]) -> tuple[str, str, bool] | None:
    """Return name, key and whether it is an id, of a text field that is one plain name in the record; such cost next to nothing."""
    spec = specs[0]
    key = plain_name(spec.path)
    plain = key is not None and EVIDENCE_FIELDS[name] == "text" and spec.lookup is None and not spec.json and spec.unit is None
    return (name, key, name in _IDS) if plain and key is not None else None


def read_texts(record: dict[str, Any], plain: list[tuple[str, str, bool]]) -> dict[str, Any]:
    """Return the values of text fields that are plain names."""
    values: dict[str, Any] = {}
    for name, key, ids in plain:
        value = record.get(key)
        if type(value) is not str and value is not None:
            value = as_text(name, value, ids=ids)
        values[name] = value or None if ids else value
    return values


def compile_field(name: str, specs: tuple[FieldSpec, ...], fields: Fields) -> Take:
    """Return the function that gives an evidence field its value, checked to be of its kind."""
    takes = [fields.take(spec) for spec in specs]
    kind, take = EVIDENCE_FIELDS[name], takes[0]
    if kind == "list":
        if len(takes) == 1:
            return lambda record, position: _texts(name, take(record, position))
        return lambda record, position: [text for one in takes for text in _texts(name, one(record, position))]
    if name == "created_at" and specs[0].unit is not None:
        return _time(take, specs[0].unit)
    if kind == "text":
        ids = name in _IDS

        def text(record: dict[str, Any], position: Position) -> Any:
            value = as_text(name, take(record, position), ids=ids)
            return value or None if ids else value

        return text
    if kind == "messages":
        return take
    return lambda record, position: as_count(name, take(record, position), kind)


def _time(take: Take, unit: str) -> Take:
    def time(record: dict[str, Any], position: Position) -> str | None:
        value = take(record, position)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadLine("bad_time", f"created_at: found {value!r}, expected a number of {unit} since 1970")
        try:
            return parse_epoch(value, unit)
        except BadTime as err:
            raise BadLine("bad_time", f"created_at: {err}") from err

    return time


def as_count(name: str, value: Any, kind: str = "count") -> Any:
    """Return a count or a number of zero or more.

    Raises:
        BadLine: `mistyped_field`, or `number_out_of_range` where no float can hold it.
    """
    if value is None or (type(value) is int and value >= 0 and (kind == "count" or value <= _GREATEST)):
        return value
    right = isinstance(value, int) if kind == "count" else isinstance(value, int | float)
    if not right or isinstance(value, bool) or value < 0:
        raise BadLine("mistyped_field", f"{name}: found {value!r}, expected a {kind} of zero or more")
    if kind != "count" and value > _GREATEST:
        raise BadLine("number_out_of_range", f"{name}: found a number of {len(str(value))} digits, expected one a float can hold")
    return value


def as_text(name: str, value: Any, *, ids: bool = False) -> str | None:
    """Return a text; a list of texts is joined by line ends, and an id may be a whole number.

    Raises:
        BadLine: `mistyped_field`.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    if ids and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    way_out = ", or say its unit" if name == "created_at" and isinstance(value, int | float) else ""
    raise BadLine("mistyped_field", f"{name}: found {type(value).__name__}, expected text or a list of texts{way_out}")


def _texts(name: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        value = [value]
    if name == "reference":
        return [item if isinstance(item, str) else dump_sorted(item) for item in value]
    if value and not all(isinstance(item, str) for item in value):
        raise BadLine("mistyped_field", f"{name}: found {type(value[0]).__name__}, expected text or a list of texts")
    return list(value)
