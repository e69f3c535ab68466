"""ScoredRun and ResolutionRow: what a run is worth, alone and in the whole corpus (SPEC 3, SPEC 4)."""

from typing import Annotated, Literal

import msgspec

__all__ = ["CATEGORIES", "Category", "ResolutionKind", "ResolutionRow", "ScoredRun", "SubScores"]

Category = Literal["accepted", "partially_accepted", "rejected", "needs_human_review"]
CATEGORIES: tuple[Category, ...] = ("accepted", "partially_accepted", "rejected", "needs_human_review")
ResolutionKind = Literal["duplicate", "same_run", "superseded_by_review", "pooled", "run_id_reused", "conflicting_verdicts"]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class SubScores(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each kind of signal says by itself; null where there is none."""

    human: Share | None = None
    """1 accepted, 0.5 with changes, 0 rejected."""
    test: Share | None = None
    """Share of executed checks that passed."""
    judge: Share | None = None
    """Share of judges on the outcome that accepted."""
    self: Share | None = None
    """1 where the agent claims success, 0 where it admits failure."""


class ScoredRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The verdict on one evidence record by itself."""

    schema_version: Literal[1] = 1
    """Version of this record."""
    evidence_id: str
    """Id of the evidence record on the same line."""
    run_id: str | None
    """The run's id in its log."""
    task_id: str | None
    """Identity of the task."""
    category: Category
    """What may become of it."""
    score: Share
    """0..1, by the deciding reason, from the table in `distill.scores`."""
    reasons: Annotated[list[str], msgspec.Meta(min_length=1)]
    """Every rule that fired; the first decides."""
    sub_scores: SubScores
    """What each kind of signal says."""
    rules_version: str
    """Version of the rules."""


class ResolutionRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What only the whole corpus shows about one evidence record."""

    schema_version: Literal[1] = 1
    """Version of this record."""
    evidence_id: str
    """The record it is about."""
    run_id: str | None
    """The run's id in its log."""
    kind: ResolutionKind
    """What was found."""
    category: Category | None
    """Where set, it replaces the category of the ScoredRun in every later stage."""
    reasons: list[str]
    """Slugs; the first decides."""
    with_: list[str] = msgspec.field(name="with")
    """The other evidence ids it was found with, sorted."""
    provenance: str
    """Where the record stands; tells apart records of one id."""
