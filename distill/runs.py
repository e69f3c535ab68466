"""A run as later stages see it: its evidence, its verdict after the resolution, and what other rows add to it.

The resolution itself is computed in `distill.stages.resolution`; here it is only applied, the same way in every
stage and when a fate is looked up.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from distill.schemas.evidence import EvidenceRecord
from distill.schemas.scored_run import Category, ResolutionRow, ScoredRun
from distill.scores import SCORES

__all__ = ["EXCLUDED", "Run", "admits", "assemble_runs", "build_run", "human_order", "pool_run"]

EXCLUDED = ("duplicate", "same_run", "superseded_by_review", "conflicting_verdicts", "run_id_reused")
"""Kinds of the resolution that keep a row out of every export, in the order of SPEC 6."""


class Run(msgspec.Struct, gc=False):
    """One evidence row and what became of it."""

    evidence: EvidenceRecord
    """As collected."""
    scope: str
    """What its run id and task are unique in; empty for the project."""
    category: Category
    """After the resolution."""
    reasons: list[str]
    """After the resolution; the first decides."""
    score: float
    """After the resolution."""
    excluded: str | None
    """Kind of the resolution that keeps it out, or None."""
    attempts: int | None
    """The greatest of its pooled rows."""
    corrected_response: str | None
    """The last correction by a person in its pooled rows."""
    infrastructure: bool
    """Whether any of its pooled rows has an infrastructure signal."""
    others: list[EvidenceRecord] = []
    """The other rows of the same run, by time."""

    @property
    def answer(self) -> str | None:
        """The correction where a person accepted with changes (None without one), else None to keep the answer."""
        return self.corrected_response if self.reasons[0] == "with_changes" else None

    @property
    def lacks_correction(self) -> bool:
        """Whether it was accepted with changes that nobody wrote down."""
        return self.reasons[0] == "with_changes" and not (self.corrected_response or "").strip()


def admits(run: Run, include: Sequence[str]) -> bool:
    """Tell whether `sft.include` admits the run as something to imitate."""
    if run.category == "accepted":
        return "accepted" in include
    return run.category == "partially_accepted" and run.reasons[0] in include


def human_order(record: EvidenceRecord) -> tuple[str, str, int]:
    """Return the order of decisions: by time, then by place (SPEC 4)."""
    moment = (record.created_at or "").removesuffix("Z")  # so that a fraction comes after its whole second
    return (moment, record.provenance.source_file, record.provenance.offset)


def _has_human(record: EvidenceRecord) -> bool:
    return any(signal.kind == "human" and signal.verdict != "none" for signal in record.signals)


def assemble_runs(
    rows: Iterable[tuple[EvidenceRecord, ScoredRun]], resolution: Sequence[ResolutionRow], scopes: dict[str, str]
) -> Iterator[Run]:
    """Yield one Run per row; those that other rows add to come last.

    Memory: the resolution, and the evidence of pooled runs.
    """
    found: dict[tuple[str, str], list[ResolutionRow]] = defaultdict(list)
    for row in resolution:
        found[row.evidence_id, row.provenance].append(row)
    members = {row.evidence_id: row.with_[0] for row in resolution if row.kind in {"same_run", "superseded_by_review"} and row.with_}
    standing = set(members.values()) | {row.evidence_id for row in resolution if row.kind == "pooled"}
    pooled: dict[str, list[EvidenceRecord]] = defaultdict(list)
    waiting: list[Run] = []
    for evidence, scored in rows:
        run = build_run(evidence, scored, found.get((evidence.id, str(evidence.provenance)), []), scopes)
        if evidence.id in members:
            pooled[members[evidence.id]].append(evidence)
        if evidence.id in standing and run.excluded != "duplicate":
            waiting.append(run)
        else:
            yield run
    for run in waiting:
        pool_run(run, pooled[run.evidence.id], scopes)
        yield run


def build_run(evidence: EvidenceRecord, scored: ScoredRun, rows: Sequence[ResolutionRow], scopes: dict[str, str]) -> Run:
    """Return one row with its verdict after the resolution; `rows` are those about it."""
    category, reasons, score, excluded = scored.category, scored.reasons, scored.score, None
    for row in rows:
        if row.category is not None:
            category, reasons, score = row.category, row.reasons, SCORES[row.reasons[0]]
    if rows:
        kinds = {row.kind for row in rows}
        excluded = next((kind for kind in EXCLUDED if kind in kinds), None)
    human = infrastructure = False
    for signal in evidence.signals:
        human = human or (signal.kind == "human" and signal.verdict != "none")
        infrastructure = infrastructure or signal.kind == "infrastructure"
    return Run(
        evidence, scopes.get(evidence.source, evidence.source), category, reasons, score, excluded, evidence.attempts,
        evidence.corrected_response if human else None, infrastructure,
    )  # fmt: skip


def pool_run(run: Run, others: Sequence[EvidenceRecord], scopes: dict[str, str]) -> None:
    """Add what the other rows of the same run say; rows of other runs with the same text add nothing."""
    own = run.evidence
    same = [
        other
        for other in others
        if own.run_id is not None and other.run_id == own.run_id and scopes.get(other.source, other.source) == run.scope
    ]
    rows = sorted([own, *same], key=human_order)
    attempts = [row.attempts for row in rows if row.attempts is not None]
    run.attempts = max(attempts) if attempts else None
    run.others = [row for row in rows if row is not own]
    run.infrastructure = any(signal.kind == "infrastructure" for row in rows for signal in row.signals)
    corrections = [row.corrected_response for row in rows if _has_human(row) and row.corrected_response]
    run.corrected_response = corrections[-1] if corrections else None
