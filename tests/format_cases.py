"""What the tests of the built-in formats share: fixtures, readings as evidence, and every way to break one value of a record."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from distill.config import Config, Source
from distill.formats.reading import RECORD_FIELDS, Grouper, Position, Reading
from distill.jsonl import BadLine, validate
from distill.rules import Judgement, judge_row
from distill.schemas.evidence import EvidenceRecord, Provenance

FIXTURES = Path(__file__).parent.parent / "fixtures" / "formats"
DATA = Path(__file__).parent.parent.parent / "shared" / "data"
SOURCE = Source("s", "*")
CONFIG = Config(infrastructure_patterns=("timed out", "rate limit", "connection", "out of memory"))
PLACE = Position("s/logs/file.jsonl", 1, {})
WRONG: list[Any] = [None, True, -1, 1.5, 10**4200, "", "words", [], {}, [1], {"a": 1}, [{}], '[{"role": 1}]']


def read_rows(name: str) -> list[dict[str, Any]]:
    """Return the lines of a fixture."""
    return [json.loads(line) for line in (FIXTURES / name).read_text().splitlines()]


def read_document(name: str) -> dict[str, Any]:
    """Return a fixture that is one document."""
    document: dict[str, Any] = json.loads((FIXTURES / name).read_text())
    return document


def build_evidence(reading: Reading) -> EvidenceRecord:
    """Return the evidence of a reading, checked as collect checks that of a format that is not typed."""
    assert set(reading.values) <= RECORD_FIELDS
    place = Provenance(source_file="f", line=1, offset=0, sig_hash="0")
    return validate(EvidenceRecord(id="a", source="s", provenance=place, **reading.values), EvidenceRecord)


def judge(reading: Reading) -> Judgement:
    """Return what the rules make of a reading."""
    record = build_evidence(reading)
    return judge_row(record.signals, errors=bool(record.errors), attempts=record.attempts, judge_confidence=0.8)


def signals_of(reading: Reading) -> list[tuple[str, str | None, str]]:
    """Return kind, aspect and verdict of each signal."""
    return [(signal.kind, signal.aspect, signal.verdict) for signal in reading.values["signals"]]


def group(grouper: Grouper, records: list[dict[str, Any]]) -> dict[str, Reading]:
    """Return every run of a partition, as collect groups them."""
    found: dict[str, list[Any]] = {}
    for record in records:
        for key, fragment in grouper.split(record, PLACE):
            found.setdefault(key, []).append(fragment)
    return {key: grouper.merge(key, fragments, PLACE) for key, fragments in found.items()}


def break_values(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the record with each value in turn replaced by every wrong one, with each key or item left out, and with null everywhere."""
    yield _emptied(record)
    for path in _paths(record):
        for wrong in WRONG:
            yield _changed(record, path, wrong)
        yield _changed(record, path, ...)


def _emptied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _emptied(item) for key, item in value.items()}
    return [_emptied(item) for item in value] if isinstance(value, list) else None


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (key,)
        yield from ((key, *rest) for rest in _paths(item))


def _changed(record: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    whole = copy.deepcopy(record)
    holder: Any = whole
    for key in path[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return whole


def survives(read: Any, record: dict[str, Any]) -> bool:
    """Tell whether a broken record is refused with a reason or gives evidence that its schema accepts (SPEC 9)."""
    try:
        found = read(record)
    except BadLine as bad:
        return bool(bad.reason) and bool(bad.detail) and len(bad.detail) < 2000
    for reading in found if isinstance(found, list) else [found]:
        msgspec.json.encode(build_evidence(reading))
    return True
