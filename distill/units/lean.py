"""An evidence record of which only the fields that scoring and exports read are decoded."""

from collections.abc import Callable
from typing import Any

import msgspec

from distill.jsonl import row_decoder
from distill.schemas.evidence import EvidenceRecord, Provenance, Signal

__all__ = ["decode_lean", "decode_told", "decode_whole"]


class _LeanEvidence(msgspec.Struct, frozen=True, gc=False):
    """Fields of `EvidenceRecord` under their own names; the others are passed over."""

    id: str
    source: str
    provenance: Provenance
    run_id: str | None = None
    task_id: str | None = None
    created_at: str | None = None
    model: str | None = None
    instruction: str | None = None
    context: str | None = None
    messages: Any = None
    response: str | None = None
    corrected_response: str | None = None
    signals: list[Signal] = []
    attempts: int | None = None
    errors: list[str] = []
    reference: list[str] = []


class _ToldEvidence(_LeanEvidence, frozen=True, gc=False):
    """Likewise with what playbooks read besides."""

    provider: str | None = None
    role: str | None = None
    lessons: list[str] = []
    tags: dict[str, str] = {}
    cost_usd: float | None = None
    latency_ms: float | None = None
    tokens: Any = None
    group: str | None = None
    subject: str | None = None


_TOLD: Callable[[bytes], Any] = msgspec.json.Decoder(_ToldEvidence).decode
_LEAN: Callable[[bytes], Any] = msgspec.json.Decoder(_LeanEvidence).decode
decode_whole = row_decoder(EvidenceRecord)


def decode_told(line: bytes) -> Any:
    """Return a record with what playbooks read of it; one with messages is decoded whole."""
    record = _TOLD(line)
    return record if record.messages is None else decode_whole(line)


def decode_lean(line: bytes) -> Any:
    """Return a record with what scoring, SFT and preference read of it; one with messages is decoded whole."""
    record = _LEAN(line)
    return record if record.messages is None else decode_whole(line)
