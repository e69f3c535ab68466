"""One raw record that holds several runs (SPEC 2): a list, parallel lists, or the keys of an object.

A run is seen by the mapping's paths as the raw record with the run under `item`, its place under `index` and, of an object, its key
under `key`; fields of the record that have these names are hidden by them.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from distill.config import ExplodeSpec
from distill.jsonl import BadLine
from distill.mapping.messages import UNEQUAL
from distill.mapping.paths import compile_path

__all__ = ["Views", "compile_explode"]


class Views(NamedTuple):
    """The runs of one raw record."""

    records: list[dict[str, Any]]
    """What the mapping sees, one a run, in order."""
    warning: str | None = None
    """Slug of something worth telling."""


def compile_explode(spec: ExplodeSpec) -> Callable[[dict[str, Any]], Views]:
    """Return the function that gives the runs of a record; one that has none gives an empty list.

    The function raises BadLine (`mistyped_field`) where the runs do not lie as the spec says.
    """
    if spec.parallel:
        return _parallel(spec.parallel)
    path = spec.list or spec.keys or ""
    find = compile_path(path)

    def by_list(record: dict[str, Any]) -> Views:
        items = find(record)
        if items is None:
            return Views([])
        if not isinstance(items, list):
            raise BadLine("mistyped_field", f"{path}: found {type(items).__name__}, expected a list of runs")
        return Views([{**record, "item": item, "index": i} for i, item in enumerate(items)])

    def by_key(record: dict[str, Any]) -> Views:
        items = find(record)
        if items is None:
            return Views([])
        if not isinstance(items, dict):
            raise BadLine("mistyped_field", f"{path}: found {type(items).__name__}, expected an object of runs")
        return Views([{**record, "item": item, "index": i, "key": key} for i, (key, item) in enumerate(items.items())])

    return by_list if spec.list is not None else by_key


def _parallel(paths: tuple[str, ...]) -> Callable[[dict[str, Any]], Views]:
    """Return the function that takes one of each of several lists; where one is shorter its last runs have null."""
    lists = [(re.split(r"[.\s]", path)[-1], path, compile_path(path)) for path in paths]

    def split(record: dict[str, Any]) -> Views:
        columns: dict[str, list[Any]] = {}
        for name, path, find in lists:
            items = find(record)
            if items is not None and not isinstance(items, list):
                raise BadLine("mistyped_field", f"{path}: found {type(items).__name__}, expected a list with one value a run")
            columns[name] = items or []
        longest = max(map(len, columns.values()))
        views = [
            {**record, "item": {name: items[i] if i < len(items) else None for name, items in columns.items()}, "index": i}
            for i in range(longest)
        ]
        return Views(views, UNEQUAL if {len(items) for items in columns.values()} != {longest} else None)

    return split
