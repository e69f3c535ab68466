"""collect: raw logs to evidence, one outcome per record (SPEC 2, SPEC 9)."""

import base64
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from distill.config import Config
from distill.formats import format_module
from distill.formats.reading import Position, Reader
from distill.hashing import hash_bytes, row_id
from distill.jsonl import RAW_KEPT, BadLine, RawLine, decode_line
from distill.outcome import Outcome, Row
from distill.plan import EVIDENCE, RawLog
from distill.reasons import action_of
from distill.schemas.evidence import EvidenceRecord, Provenance
from distill.schemas.quarantine_row import QuarantineRow
from distill.stages import QUARANTINE

__all__ = ["run"]

_TARGET = f"{QUARANTINE}/collect.jsonl"


def run(logs: Iterable[tuple[RawLog, Iterable[RawLine | BadLine]]], config: Config) -> Iterator[Outcome]:
    """Yield one outcome per record, in the order of partitions and lines.

    `logs` are raw files with their lines; a damaged compressed file ends its lines with a BadLine.
    """
    readers: dict[str, Reader] = {}
    for log, lines in logs:
        name = log.source.name
        if name not in readers:
            readers[name] = import_module(format_module(log.source.format)).build_reader(log.source, config)
        yield from _read_log(log, lines, readers[name], config)


def _read_log(log: RawLog, lines: Iterable[RawLine | BadLine], read: Reader, config: Config) -> Iterator[Outcome]:
    target = f"{EVIDENCE}/{log.partition}"
    groups = dict(log.groups)
    last = RawLine(0, 0, b"", ended=False, length=0, hash=None)
    for line in lines:
        if isinstance(line, BadLine):
            end = RawLine(last.number + 1, last.offset + last.length + last.ended, b"", ended=True, length=0, hash=None)
            yield _skip(log, end, line)
            return
        last = line
        try:
            record = _decode(line, config)
        except BadLine as bad:
            if not line.ended and line.hash is None and bad.reason != "duplicate_key":
                told = f"pending: {log.file.recorded}:{line.number} is not finished yet"
                yield Outcome("accepted", None, file=log.partition, warning=told)
                return
            yield _skip(log, line, bad)
            continue
        try:
            reading = read(record, Position(log.file.recorded, line.number, groups))
        except BadLine as bad:
            yield _skip(log, line, bad)
            continue
        evidence = _build(log, line, groups, reading.values, config)
        warning = f"{reading.warning}: {log.source.name}" if reading.warning else None
        yield Outcome("accepted", evidence.id, file=log.partition, rows=(Row(target, None, evidence),), warning=warning)


def _decode(line: RawLine, config: Config) -> dict[str, Any]:
    if line.hash is not None:
        found = f"the line has {line.length} bytes, at most {config.max_line_bytes} are read; raise max_line_bytes"
        raise BadLine("line_too_long", found)
    return decode_line(line.raw)


def _provenance(log: RawLog, line: RawLine, recorded_at: str | None) -> Provenance:
    digest = line.hash or hash_bytes(line.raw)
    return Provenance(source_file=log.file.recorded, line=line.number, offset=line.offset, sig_hash=digest, recorded_at=recorded_at)


def _build(log: RawLog, line: RawLine, groups: dict[str, str | None], values: dict[str, Any], config: Config) -> EvidenceRecord:
    identity = row_id(log.source.name, *groups.values(), line.raw, None)
    recorded_at = config.recorded_at or values.get("created_at")
    return EvidenceRecord(id=identity, source=log.source.name, provenance=_provenance(log, line, recorded_at), **values)


def _skip(log: RawLog, line: RawLine, bad: BadLine) -> Outcome:
    provenance = str(_provenance(log, line, None))
    raw = base64.b64encode(line.raw[:RAW_KEPT]).decode()
    if line.length > RAW_KEPT:
        raw += f" … {line.length} bytes blake3:{line.hash or hash_bytes(line.raw)}"
    row = QuarantineRow(
        stage="collect",
        reason=bad.reason,
        action=action_of(bad.reason),
        evidence_id=None,
        provenance=provenance,
        detail=bad.detail,
        raw=raw,
    )
    return Outcome("skipped", provenance, reason=bad.reason, file=log.partition, rows=(Row(_TARGET, None, row),))
