"""Which expressions over the rows of a second file ever found anything (SPEC 2, SPEC 9).

Those over raw records are in `distill.mapping.matching`.
"""

from collections.abc import Iterable, Iterator

from distill.config import FieldSpec, LookupSpec, Source, VerdictSpec
from distill.errors import InputError
from distill.mapping.matching import WAY_OUT, add_names, name_nearest
from distill.mapping.paths import has_path
from distill.units.side_files import SideRow

__all__ = ["RowsSeen", "expected_paths"]

_LOOKED = 50
"""Rows whose names are kept for the message."""
Expected = tuple[tuple[str, str, bool], ...]
"""Expressions over a row: place in the config, path, and whether the config may call it optional."""


def expected_paths(source: Source, spec: LookupSpec | VerdictSpec) -> Expected:
    """Return every expression over the rows of a second file that must find something in one of them."""
    if isinstance(spec, VerdictSpec):
        places = {} if spec.lists else {"key": spec.key, "value": spec.value, "reviewer": spec.reviewer, "confidence": spec.confidence}
        return tuple((f"{spec.name}.{name}", path, False) for name, path in places.items() if path is not None)
    named: list[tuple[str, FieldSpec]] = [(f"fields.{name}", one) for name, several in source.fields for one in several]
    named += [(f"{kind}.{name}", one) for kind in ("tags", "tokens") for name, one in getattr(source, kind)]
    found = [(place, one.path, True) for place, one in named if one.lookup == spec.name and one.path is not None and not one.optional]
    return ((f"lookups.{spec.name}.key", spec.key, False), *found) if spec.key is not None else tuple(found)


class RowsSeen:
    """What the expressions over one second file found in the rows that passed."""

    def __init__(self, expected: Expected) -> None:
        """Start with every expression open."""
        self._open = [(place, path, optional, has_path(path)) for place, path, optional in expected]
        self._names: set[str] = set()
        self._rows = 0

    def through(self, rows: Iterable[SideRow]) -> Iterator[SideRow]:
        """Pass rows on and take note of those that can be read."""
        for row in rows:
            if row.problem is None:
                self._rows += 1
                self._open = [one for one in self._open if not one[3](row.value)]
                if self._rows <= _LOOKED:
                    add_names(self._names, row.value)
            yield row

    def verify(self, source: str, recorded: str) -> None:
        """Refuse expressions that found nothing in any row; a file without rows says nothing.

        Raises:
            InputError: all of them, with the nearest keys really present.
        """
        if not self._rows or not self._open:
            return
        names = sorted(self._names)
        told = [
            f"source {source!r}: {place}: path {path!r} matched nothing in {self._rows} rows of {recorded}; "
            f"nearest keys present: {name_nearest(path, names)}; {WAY_OUT if optional else 'correct it'}"
            for place, path, optional, _ in self._open
        ]
        raise InputError("; ".join(told))
