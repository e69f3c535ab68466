"""LedgerLine: one hash-linked line a run and a line a tamper event (SPEC 6).

Known weakness: whoever can write everything can also recompute the chain. Without a head kept outside, only
partial edits are detected.
"""

from typing import Literal

import msgspec

__all__ = ["LedgerLine"]


class LedgerLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event of the project's history."""

    schema_version: Literal[1] = 1
    """Version of this record."""
    kind: Literal["run", "tamper"]
    """A run was added, or a target was found changed by other hands."""
    run_id: str
    """The run that wrote the line."""
    timestamp: str
    """When."""
    path: str | None = None
    """The tampered file."""
    detail: str | None = None
    """What was found and where the forged bytes lie."""
    scope: str | None = None
    """Scope of the run."""
    passed: bool | None = None
    """Verdict of the run."""
    run_hash: str | None = None
    """Aggregate of its outputs."""
    summary_blake3: str | None = None
    """blake3 of its summary.json."""
    prev: str | None
    """blake3 of the line before, without its newline; null in the first."""
