"""StageReceipt v1: what one stage read, wrote and decided (SPEC 6).

Law: `considered = accepted + rejected + quarantined + skipped + filtered`, and `reasons` names every quarantined,
skipped and filtered unit; a receipt that breaks it is neither written nor read (`check_books`).
"""

from typing import Annotated, Literal

import msgspec

__all__ = ["VOLATILE", "Decision", "FileSet", "FileState", "StageReceipt", "Stats", "Validation", "check_books"]

Decision = Literal["executed", "up_to_date", "failed", "blocked"]
Count = Annotated[int, msgspec.Meta(ge=0)]
Blake3 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Tagged = Annotated[str, msgspec.Meta(pattern="^blake3:[0-9a-f]{64}$")]

VOLATILE = ("run_id", "timestamp", "duration_ms", "git_commit", "git_dirty", "decision", "decision_reason", "carried_from")
"""Fields in which two receipts of the same work may differ (SPEC 1)."""


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of our own documents."""


class FileState(_Document, frozen=True, kw_only=True):
    """One file, as it was read or written."""

    path: str
    """Relative to the project; of a raw log `<source>/<path below its root>`."""
    blake3: Blake3
    """Hash that decides."""
    sha256: Blake3
    """Hash for the tools of any machine."""
    bytes: Count
    """Bytes."""
    record_count: Count
    """Records met, lines, or rows indexed."""


class FileSet(_Document, frozen=True, kw_only=True):
    """The files a stage read, or wrote."""

    files: list[FileState] = []
    """Sorted by path."""
    record_count: Count = 0
    """Sum over the files."""
    hash: Tagged | None = None
    """Aggregate over (path, blake3); null where nothing was finished."""


class Stats(_Document, frozen=True, kw_only=True):
    """The books of a stage."""

    unit: str
    """What is counted: record, run, candidate or row."""
    considered: Count = 0
    """All units."""
    accepted: Count = 0
    """Let through."""
    rejected: Count = 0
    """Judged and rejected."""
    quarantined: Count = 0
    """Set aside with a reason."""
    skipped: Count = 0
    """Unreadable."""
    filtered: Count = 0
    """Left out on purpose."""
    reasons: dict[str, Count] = {}
    """Units by slug, sorted by slug."""
    by_file: dict[str, dict[str, Count]] = {}
    """Per partition: outcomes, categories and reasons (collect and score only)."""


class Validation(_Document, frozen=True, kw_only=True):
    """Whether the stage may be relied on."""

    passed: bool
    """False for failed, blocked and ignored stages, too many skipped rows, too few exported ones."""
    errors: list[str] = []
    """Why not."""
    warnings: list[str] = []
    """Worth telling."""


class StageReceipt(_Document, frozen=True, kw_only=True):
    """What one stage did in one run."""

    schema_version: Literal[1] = 1
    """Version of this document."""
    run_id: str
    """The run of the pipeline."""
    stage: str
    """Receipt name of the stage."""
    timestamp: str
    """When it was written."""
    git_commit: str | None
    """HEAD, or null outside a repository."""
    git_dirty: bool | None
    """Whether tracked files differ from HEAD."""
    code_hash: Tagged
    """The stage's module, the modules of distill it imports, what all stages run through, and for exports the firewall."""
    config_hash: Tagged
    """The settings it reads."""
    tool_versions: dict[str, str]
    """What it was computed with."""
    decision: Decision
    """What was done."""
    decision_reason: str
    """Why."""
    carried_from: str | None
    """The run whose receipt was carried over."""
    executed_commit: str | None
    """HEAD when the stage was executed."""
    inputs: FileSet
    """What was read."""
    outputs: FileSet
    """What was written."""
    stats: Stats
    """The books."""
    validation: Validation
    """Whether it passed."""
    duration_ms: Count
    """Milliseconds."""


def check_books(receipt: StageReceipt) -> list[str]:
    """Return what does not add up in a receipt; nothing where the books balance (SPEC 7, law 3)."""
    stats, found = receipt.stats, []
    parts = stats.accepted + stats.rejected + stats.quarantined + stats.skipped + stats.filtered
    if stats.considered != parts:
        found.append(f"{receipt.stage}: considered {stats.considered} but the outcomes add up to {parts}")
    named = sum(stats.reasons.values())
    unlike = stats.quarantined + stats.skipped + stats.filtered
    if named != unlike:
        found.append(f"{receipt.stage}: {unlike} units were not let through but the reasons name {named}")
    found += [
        f"{receipt.stage}: record_count is not the sum over the files"
        for files in (receipt.inputs, receipt.outputs)
        if files.record_count != sum(file.record_count for file in files.files)
    ]
    return found
