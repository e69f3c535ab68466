"""One raw record on its way to evidence: decoding it, saying where it stood, setting it aside (SPEC 3, SPEC 9)."""

import base64
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from distill.config import Config
from distill.formats.reading import Position, Reading
from distill.hashing import hash_bytes, record_ids, row_id
from distill.jsonl import RAW_KEPT, BadLine, RawLine, decode_line
from distill.outcome import Outcome, Row
from distill.plan import EVIDENCE, RawLog
from distill.reasons import action_of
from distill.schemas.evidence import EvidenceRecord, Provenance
from distill.schemas.quarantine_row import QuarantineRow
from distill.stages import QUARANTINE

__all__ = ["accept_run", "build_evidence", "decode_log", "decode_record", "leave_out", "place_of_record", "provenance_of", "skip_record"]

_TARGET = f"{QUARANTINE}/collect.jsonl"


def decode_record(line: RawLine, *, max_line_bytes: int) -> dict[str, Any]:
    """Return a raw record as values.

    Raises:
        BadLine: it is longer than `max_line_bytes`, or what `decode_line` refuses.
    """
    if line.hash is not None:
        what = "line" if line.member is None and line.index is None and line.key is None else "record"
        found = f"the {what} has {line.length} bytes, at most {max_line_bytes} are read; raise max_line_bytes"
        raise BadLine("line_too_long", found)
    return decode_line(line.raw)


def decode_log(
    log: RawLog, lines: Iterable[RawLine | BadLine], *, max_line_bytes: int
) -> Iterator[Outcome | tuple[RawLine, dict[str, Any]]]:
    """Yield every record with its values, or the outcome of one that cannot be read.

    A BadLine without place ends the log; so does a last line that has no newline and is no record yet (`pending`, SPEC 6).
    """
    last = RawLine(0, 0, b"", ended=False, length=0, hash=None)
    for line in lines:
        if isinstance(line, BadLine):
            if line.place is not None:
                last = line.place
                yield skip_record(log, last, line)
                continue
            end = RawLine(last.number + 1, last.offset + last.length + last.ended, b"", ended=True, length=0, hash=None)
            yield skip_record(log, end, line)
            return
        last = line
        try:
            yield line, decode_record(line, max_line_bytes=max_line_bytes)
        except BadLine as bad:
            if not line.ended and line.hash is None and bad.reason != "duplicate_key":
                told = f"pending: {log.file.recorded}:{line.number} is not finished yet"
                yield Outcome("accepted", None, file=log.partition, warning=told)
                return
            yield skip_record(log, line, bad)


def place_of_record(log: RawLog, line: RawLine, groups: dict[str, str | None]) -> Position:
    """Return where a raw record stands, as far as its values may depend on it."""
    return Position(log.file.recorded, line.number, groups, line.offset, line.member, line.index, line.key)


def provenance_of(log: RawLog, line: RawLine, recorded_at: str | None = None) -> Provenance:
    """Return where a raw record stood, to the byte; only a record that is a line has a line."""
    digest = line.hash or hash_bytes(line.raw)
    number = line.number if line.member is None and line.index is None and line.key is None else None
    return Provenance(
        source_file=log.file.recorded, line=number, member=line.member, index=line.index, key=line.key, offset=line.offset,
        sig_hash=digest, recorded_at=recorded_at,
    )  # fmt: skip


def build_evidence(log: RawLog, line: RawLine, values: dict[str, Any], config: Config, *, place: int | None = None) -> EvidenceRecord:
    """Return the evidence of one run; `place` is that among the runs of its raw record, where a record may hold several.

    The key under which a record stands is told apart as its bytes are: two equal records under two keys are two runs.
    """
    name = log.source.name
    if line.key is None and place is None:
        identity = _identity_of(name, log.groups)(line.raw)
    else:
        keyed = () if line.key is None else (line.key,)
        identity = row_id(name, *[group for _, group in log.groups], *keyed, line.raw, None if place is None else str(place))
    recorded_at = config.recorded_at or values.get("created_at")
    return EvidenceRecord(id=identity, source=name, provenance=provenance_of(log, line, recorded_at), **values)


@lru_cache(maxsize=256)
def _identity_of(name: str, groups: tuple[tuple[str, str | None], ...]) -> Callable[[bytes], str]:
    return record_ids(name, *[group for _, group in groups])


def accept_run(log: RawLog, line: RawLine, reading: Reading, config: Config, *, place: int | None = None) -> Outcome:
    """Return the outcome of a run that was read, with its evidence."""
    evidence = build_evidence(log, line, reading.values, config, place=place)
    warning = f"{reading.warning}: {log.source.name}" if reading.warning else None
    target = f"{EVIDENCE}/{log.partition}"
    return Outcome("accepted", evidence.id, file=log.partition, rows=(Row(target, None, evidence),), warning=warning)


def leave_out(log: RawLog, line: RawLine, reason: str) -> Outcome:
    """Return the outcome of a record that gives no evidence of its own."""
    return Outcome("filtered", str(provenance_of(log, line)), reason=reason, file=log.partition)


def skip_record(log: RawLog, line: RawLine, bad: BadLine) -> Outcome:
    """Return the outcome of a record that cannot be read, with its row in the quarantine."""
    provenance = str(provenance_of(log, line))
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
