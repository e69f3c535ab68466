"""What a second file of verdicts says of each key (SPEC 2): rows with a raw value, or lists of keys."""

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from distill.canonical import dump_sorted
from distill.config import VerdictSpec
from distill.errors import InputError
from distill.jsonl import BadLine
from distill.mapping.meaning import read_meaning
from distill.mapping.paths import Find, compile_path
from distill.mapping.signals import read_confidence
from distill.sides import AMBIGUOUS, Joined, join_key
from distill.units.side_files import SideRow, read_document

__all__ = ["Held", "read_lists", "read_verdicts"]

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)  # as JSON and spreadsheets write one; nan is none


class Held(NamedTuple):
    """What one row of a second file holds for a key."""

    place: str
    """Where it stands."""
    key: str | None
    """Its key; None where it has none."""
    same: str = ""
    """What must be equal where a key stands twice."""
    row: str | None = None
    """The row as sorted JSON, or what it says; None where it could not be read."""
    problem: str | None = None
    """Why it could not be read."""
    lost: bool = False
    """Whether nobody can tell which key it speaks of."""
    warning: str | None = None
    """Something worth telling of the whole file; such a one is no row."""
    counts: int = 1
    """Rows it stands for."""


def read_verdicts(rows: Iterable[SideRow], spec: VerdictSpec) -> Iterator[Held]:
    """Yield what each row says of its key; a row that cannot be understood makes its key ambiguous, if it has one."""
    find = compile_path(spec.key) if spec.key else None
    places = tuple(compile_path(path) if path else None for path in (spec.value, spec.reviewer, spec.confidence))
    for row in rows:
        if row.problem is not None:
            yield Held(row.place, None, problem=row.problem, lost=True) if row.key is None else _unclear(row, row.key, row.problem)
            continue
        key: str | None = None
        try:
            key = _find_key(row, spec, find)
            yield _judge(row, key, spec, places)
        except BadLine as bad:
            told = f"{bad.reason}: {bad.detail}"
            yield Held(row.place, None, problem=told) if key is None else _unclear(row, key, told)


def _unclear(row: SideRow, key: str, problem: str) -> Held:
    """Return a row that speaks of a key and cannot be understood."""
    return Held(row.place, key, AMBIGUOUS, _said(Joined(AMBIGUOUS)), problem=problem)


def _find_key(row: SideRow, spec: VerdictSpec, find: Find | None) -> str:
    """Return the key of a row.

    Raises:
        BadLine: it has none.
    """
    key = join_key(find(row.value)) if find is not None else row.key
    if key is None:
        raise BadLine("missing_field", f"{spec.key or 'key'}: found no key, expected a text or a whole number")
    return key


def _judge(row: SideRow, key: str, spec: VerdictSpec, places: tuple[Find | None, ...]) -> Held:
    """Return what one row says of its key.

    Raises:
        BadLine: its value means nothing.
    """
    find_value, find_reviewer, find_confidence = places
    value = row.value if find_value is None else find_value(row.value)
    if value is None or (spec.reader == "csv" and value == "" and not any("" in known for known in spec.meaning if known)):
        return Held(row.place, key)  # a row that says nothing yet
    verdict = read_meaning(spec.meaning, _number(spec, value), place=spec.value or key)
    by = None if find_reviewer is None else find_reviewer(row.value)
    confidence = None if find_confidence is None else read_confidence(spec.confidence, _as_number(spec, find_confidence(row.value)))
    return Held(row.place, key, verdict, _said(Joined(verdict, value, None if by is None else str(by), confidence)))


def _number(spec: VerdictSpec, value: Any) -> Any:
    """Return a cell of a CSV file as the number it is where thresholds are set; there every value is a text."""
    ranged = spec.meaning.pass_range is not None or spec.meaning.fail_range is not None
    return _as_number(spec, value) if ranged else value


def _as_number(spec: VerdictSpec, value: Any) -> Any:
    if spec.reader != "csv" or not isinstance(value, str):
        return value
    if not value.strip():
        return None
    number = float(value) if _NUMBER.fullmatch(value.strip()) else math.inf
    return number if math.isfinite(number) else value


def _said(joined: Joined) -> str:
    return dump_sorted(joined._asdict())


def read_lists(file: Path, recorded: str, spec: VerdictSpec) -> Iterator[Held]:
    """Yield the keys of every list with its verdict, then what the file's own totals disagree with.

    Raises:
        InputError: the file is no object of lists.
    """
    document = read_document(file, recorded)
    met: dict[str, set[str]] = {}
    for path, verdict in spec.lists:
        keys = compile_path(path)(document)
        if not isinstance(keys, list):
            found = "nothing" if keys is None else type(keys).__name__
            raise InputError(f"{recorded}: {path}: found {found}, expected a list of keys; the file has {', '.join(sorted(document)[:8])}")
        for i, value in enumerate(keys):
            key = join_key(value)
            problem = None if key else f"mistyped_field: found {type(value).__name__}, expected a text or a whole number"
            if key is not None:
                met.setdefault(verdict, set()).add(key)
            yield Held(f"{{{path}}}[{i}]", key, verdict, _said(Joined(verdict, path)) if key else None, problem=problem, lost=key is None)
    for name, path in spec.totals:
        told = compile_path(path)(document)
        if name == "total" and spec.otherwise is not None:
            continue  # it counts runs, of which the file holds only some
        count = len(set[str]().union(*met.values())) if name == "total" else len(met.get(name, ()))
        if told != count or isinstance(told, bool):
            text = f"verdict_totals: {recorded}: {path} says {told!r}, but the lists hold {count} ({name})"
            yield Held("", None, warning=text)
