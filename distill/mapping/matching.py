"""Which expressions of a mapping ever found anything, and which names were really there (SPEC 2, SPEC 9).

An expression that matches nothing in any record of a source is a mistake of the config. A unit says what it saw as plain facts;
facts of several units are merged at the end.
"""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from heapq import nsmallest
from itertools import islice
from typing import Any

from distill.config import FieldSpec, Source
from distill.formats.reading import Position
from distill.jsonl import BadLine
from distill.mapping.paths import compile_path, has_path, template_paths

__all__ = ["WAY_OUT", "Matches", "Seen", "add_names", "describe_facts", "expressions_of", "merge_facts", "name_nearest"]

Matches = Callable[[Any], bool]
"""Tells whether an expression finds anything in a record."""
WAY_OUT = "correct it, or set optional = true where it may be missing"
"""What to do about an expression that matches nothing."""
_KEPT = 300
_LOOKED = 50
_DEEP = 4


class Seen:
    """What the expressions of one source found in the records of one unit.

    Names are those of the first records of each file, and of more than 300 the smallest, so that they are the same however a source is
    spread over units.
    """

    def __init__(self, source: Source, asked: AbstractSet[str] = frozenset()) -> None:
        """Start with every expression open; `asked` holds the places of lookups that were asked, and found, up to now."""
        self._asked = asked
        self.records = 0
        """Records looked at; each run of an exploded one counts."""
        self.open: list[tuple[str, Matches]] = [(place, test) for place, _, test, optional in expressions_of(source) if not optional]
        """Expressions that found nothing yet, by their place; those that may find nothing are not asked."""
        self._places = [place for place, _ in self.open]
        self._names: set[str] = set()

    def note(self, record: dict[str, Any], position: Position) -> None:
        """Take note of one record."""
        self.records += 1
        if self.open:
            self.open = [one for one in self.open if not one[1](record)]
        if position.line <= _LOOKED and (position.index or 0) < _LOOKED:
            add_names(self._names, record)
            if len(self._names) > 2 * _KEPT:
                self._names = set(nsmallest(_KEPT, self._names))

    def facts(self) -> dict[str, Any]:
        """Return what was seen as plain values."""
        left = {place for place, _ in self.open}
        matched = sorted({*self._asked, *(place for place in self._places if place not in left)})
        return {"records": self.records, "matched": matched, "names": nsmallest(_KEPT, self._names)}


def merge_facts(facts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the facts of several units of one source as those of one."""
    records, matched, names = 0, set[str](), set[str]()
    for one in facts:
        records += one["records"]
        matched.update(one["matched"])
        names.update(one["names"])
    return {"records": records, "matched": sorted(matched), "names": nsmallest(_KEPT, names)}


def describe_facts(source: Source, facts: dict[str, Any]) -> list[str]:
    """Return one sentence for each expression that found nothing in any record; a source without records says nothing."""
    if not facts["records"]:
        return []
    matched = set(facts["matched"])
    found: list[str] = []
    for place, path, _, optional in expressions_of(source):
        if place in matched or optional:
            continue
        found.append(
            f"source {source.name!r}: {place}: path {path!r} matched nothing in {facts['records']} records; "
            f"nearest keys present: {name_nearest(path, facts['names'])}; {WAY_OUT}"
        )
        if place.startswith("explode"):
            break  # no run was seen at all
    return found + [
        f"source {source.name!r}: lookups.{one.name}: no record names a row of {one.path!r}, of {facts['records']} records; "
        "correct by and key, or set optional = true on its fields"
        for one in source.lookups
        if f"lookups.{one.name}.asked" in matched and f"lookups.{one.name}.found" not in matched and _is_needed(source, one.name)
    ]


def _is_needed(source: Source, lookup: str) -> bool:
    """Tell whether a field that may not be missing stands in a lookup."""
    specs = [spec for _, several in source.fields for spec in several] + [spec for _, spec in (*source.tags, *source.tokens)]
    return any(spec.lookup == lookup and not spec.optional for spec in specs)


def name_nearest(path: str, names: list[str]) -> str:
    """Return the names nearest to a path, for a message; where none is near, the first at the top."""
    close = get_close_matches(path, names, n=3) or get_close_matches(path.rpartition(".")[2], names, n=3)
    close = close or [name for name in names if "." not in name][:8]
    return ", ".join(repr(name) for name in close) or "none"


def add_names(names: set[str], value: Any, prefix: str = "", depth: int = _DEEP) -> None:
    """Note the paths of all keys of a value, `[]` for the items of a list; of a large object the first 300."""
    if isinstance(value, list):
        if value:
            add_names(names, value[0], f"{prefix}[]", depth)
    elif isinstance(value, dict) and depth:
        for key, item in islice(value.items(), _KEPT):
            name = f"{prefix}.{key}" if prefix else key
            names.add(name)
            if type(item) is dict or type(item) is list:
                add_names(names, item, name, depth - 1)


def expressions_of(source: Source) -> list[tuple[str, str, Matches, bool]]:
    """Return every expression over the raw record: its place, its path, whether a record has it, and whether it may be missing."""
    named = [
        (f"fields.{name}" + (f"[{i}]" if len(specs) > 1 else ""), spec) for name, specs in source.fields for i, spec in enumerate(specs)
    ]
    named += [(f"{kind}.{name}", spec) for kind in ("tags", "tokens") for name, spec in getattr(source, kind)]
    named += [(f"lookups.{one.name}", spec) for one in source.lookups if (spec := one.by or one.line) is not None]
    named += [(f"{one.name}.by", one.by) for one in source.verdicts if one.by_field is None]
    found: list[tuple[str, str, Matches, bool]] = []
    if source.explode is not None:
        found += [
            (_place("explode", path, len(_explode_paths(source)) > 1), path, has_path(path), False) for path in _explode_paths(source)
        ]
    for place, spec in named:
        found += [(_place(place, path, several), path, test, spec.optional) for path, test, several in _field_paths(spec)]
    if source.failed_turns is not None:
        path = source.failed_turns.path
        found.append(("failed_turns", path, has_path(path), False))
    for i, signal in enumerate(source.signals):
        checks = [path for path in signal.checks or () if path is not None]
        paths = [signal.path, signal.by, signal.confidence, signal.aspect_path, signal.where, *checks]
        if signal.each is not None:
            found.append((f"signals[{i}].each", signal.each, has_path(signal.each), signal.optional))
        for path in (path for path in paths if path is not None):
            test = has_path(path) if signal.each is None else _in_items(signal.each, path)
            found.append((_place(f"signals[{i}]", path, several=True), path, test, signal.optional))
    return found


def _place(place: str, path: str, several: bool) -> str:  # noqa: FBT001 -- passed by position from a table
    return f"{place}: {path}" if several else place


def _explode_paths(source: Source) -> list[str]:
    spec = source.explode
    return [] if spec is None else [*spec.parallel, *(path for path in (spec.list, spec.keys) if path is not None)]


def _field_paths(spec: FieldSpec) -> list[tuple[str, Matches, bool]]:
    """Return the paths of one field over the raw record; a path into a row of a lookup is none of them."""
    if spec.template is not None:
        return [(path, has_path(path), True) for path in template_paths(spec.template)]
    if spec.zip:
        return [(part.path, has_path(part.path), True) for part in spec.zip]
    path = spec.path if spec.count is None else spec.count
    if path is None or spec.lookup is not None:
        return []
    inner = [(name, _in_items(path, name), True) for name in (spec.role, spec.content) if name is not None and not spec.json]
    return [(path, has_path(path), False), *inner]


def _in_items(each: str, path: str) -> Matches:
    find, test = compile_path(each), has_path(path)

    def has(record: Any) -> bool:
        try:
            items = find(record)
        except BadLine:
            return True
        return isinstance(items, list) and any(test(item) for item in items)

    return has
