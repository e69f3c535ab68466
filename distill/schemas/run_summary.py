"""RunSummary v1: one run of the pipeline, all stages (SPEC 6)."""

from typing import Annotated, Literal

import msgspec

from distill.schemas.stage_receipt import Decision

__all__ = ["Datasets", "RunSummary", "StageSummary"]

Count = Annotated[int, msgspec.Meta(ge=0)]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of our own documents."""


class StageSummary(_Document, frozen=True, kw_only=True):
    """One stage of the run, from its receipt."""

    stage: str
    """Receipt name."""
    decision: Decision
    """What was done."""
    carried_from: str | None
    """The run whose receipt was carried over."""
    records_in: Count
    """Records read."""
    records_out: Count
    """Records written."""
    accepted: Count
    """Let through."""
    rejected: Count
    """Judged and rejected."""
    quarantined: Count
    """Set aside."""
    skipped: Count
    """Unreadable."""
    filtered: Count
    """Left out on purpose."""
    passed: bool
    """Whether the stage may be relied on."""
    input_hash: str | None
    """Aggregate of the inputs."""
    output_hash: str | None
    """Aggregate of the outputs; for the index, of its rows."""
    code_hash: str
    """Of the stage's code."""
    config_hash: str
    """Of the settings it reads."""
    duration_ms: Count
    """Milliseconds."""
    receipt_blake3: str
    """blake3 of the receipt's file, 64 hex digits."""


class Datasets(_Document, frozen=True, kw_only=True):
    """Rows of each export's first file; null where the stage was not reached or has no output."""

    rag: Count | None
    """Rows of the RAG export."""
    sft: Count | None
    """Rows of instruction_response."""
    preference: Count | None
    """Pairs."""


class RunSummary(_Document, frozen=True, kw_only=True):
    """One run of the pipeline."""

    schema_version: Literal[1] = 1
    """Version of this document."""
    run_id: str
    """The run."""
    scope: Literal["full", "partial"]
    """Partial where only some stages were selected."""
    started_at: str
    """When it began."""
    ended_at: str
    """When it ended."""
    git_commit: str | None
    """HEAD."""
    stages: list[StageSummary]
    """In the order of the pipeline."""
    total_records_in: Count
    """Sum over stages."""
    total_records_out: Count
    """Sum over stages."""
    total_accepted: Count
    """Sum over stages."""
    total_rejected: Count
    """Sum over stages."""
    total_quarantined: Count
    """Sum over stages."""
    total_skipped: Count
    """Sum over stages."""
    total_filtered: Count
    """Sum over stages."""
    datasets: Datasets
    """What can be trained on."""
    overall_passed: bool
    """Whether every stage passed."""
    run_hash: str | None
    """Aggregate over (stage, output hash); null for a partial run or where a stage has no output."""
    prior_run_id: str | None
    """The newest full run before."""
    prior_summary_hash: str | None
    """blake3 of its summary.json."""
