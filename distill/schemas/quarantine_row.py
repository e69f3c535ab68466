"""QuarantineRow: a record set aside, with the reason and the way back to its bytes (SPEC 3)."""

import msgspec

__all__ = ["QuarantineRow"]


class QuarantineRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One record a stage did not let through."""

    stage: str
    """Receipt name of the stage."""
    reason: str
    """Slug of `distill.reasons`."""
    action: str
    """Who can do something about it."""
    evidence_id: str | None
    """The run, where the record could be read."""
    provenance: str
    """Where the record stands."""
    detail: str
    """What was found and what was expected."""
    raw: str | None
    """Base64 of bytes that could not be read, up to 64 KiB; then their length and hash."""
