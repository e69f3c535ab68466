"""DriftReport v1: this run against the prior one (SPEC 6)."""

from typing import Any, Literal

import msgspec

__all__ = ["DriftReport", "DriftTest", "Severity", "StageDrift"]

Severity = Literal["ok", "warn", "alert"]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of our own documents."""


class DriftTest(_Document, frozen=True, kw_only=True):
    """One question asked of the figures, alarm or not."""

    question: str
    """What was asked."""
    where: str
    """Stage, source or partition."""
    statistic: float | None
    """Its figure."""
    p: float | None
    """Chance of such a figure without a change, where the test has one."""
    n: int
    """Records it is about."""
    direction: str
    """What moved which way."""
    baseline_run_ids: list[str]
    """Compared with."""
    verdict: Severity
    """What it amounts to."""


class StageDrift(_Document, frozen=True, kw_only=True):
    """One stage against the same stage of the prior run."""

    stage: str
    """Receipt name."""
    delta_records_in: int
    """Change of the records read."""
    delta_records_out: int
    """Change of the records written."""
    delta_accepted: int
    """Change of the accepted."""
    delta_rejected: int
    """Change of the rejected."""
    delta_quarantined: int
    """Change of the quarantined."""
    delta_skipped: int
    """Change of the skipped."""
    delta_filtered: int
    """Change of the filtered."""
    pct_change_out: float | None
    """Change of the records written, percent of the prior; null where the prior wrote none."""
    input_hash_match: bool
    """Same inputs."""
    output_hash_match: bool
    """Same outputs."""
    code_hash_match: bool
    """Same code."""
    config_hash_match: bool
    """Same settings."""
    deterministic_violation: bool
    """Everything that goes in is equal and what comes out is not."""
    notes: list[str]
    """Worth telling."""


class DriftReport(_Document, frozen=True, kw_only=True):
    """This run against the prior one."""

    schema_version: Literal[1] = 1
    """Version of this document."""
    run_id: str
    """This run."""
    prior_run_id: str | None
    """The newest full run before."""
    severity: Severity
    """The worst of all findings."""
    flags: list[str]
    """Findings, each a sentence."""
    thresholds: dict[str, Any]
    """The thresholds in force."""
    tests: list[DriftTest]
    """Every question asked, with its figures."""
    stages: list[StageDrift]
    """In the order of the pipeline."""
