"""score: evidence to scored runs, then the resolution over all of them (SPEC 4)."""

from collections.abc import Iterable, Iterator

from distill.config import Config
from distill.outcome import Kind, Outcome, Row
from distill.plan import RESOLUTION, SCORED
from distill.rules import RULES_VERSION, Judgement, judge_row
from distill.schemas.evidence import EvidenceRecord
from distill.schemas.scored_run import Category, ScoredRun
from distill.stages.resolution import Entry, build_entry, resolve

__all__ = ["OUTCOMES", "run", "score_record", "scored_run"]

OUTCOMES: dict[Category, Kind] = {
    "accepted": "accepted", "rejected": "rejected", "partially_accepted": "quarantined", "needs_human_review": "quarantined",
}  # fmt: skip
"""Category to the column of the books."""


def score_record(record: EvidenceRecord, *, judge_confidence: float) -> ScoredRun:
    """Score one row by itself."""
    verdict = judge_row(record.signals, errors=bool(record.errors), attempts=record.attempts, judge_confidence=judge_confidence)
    return scored_run(record.id, record.run_id, record.task_id, verdict)


def scored_run(identity: str, run_id: str | None, task_id: str | None, verdict: Judgement) -> ScoredRun:
    """Return the scored run of a row that was judged."""
    return ScoredRun(
        evidence_id=identity, run_id=run_id, task_id=task_id, category=verdict.category, score=verdict.score, reasons=verdict.reasons,
        sub_scores=verdict.sub_scores, rules_version=RULES_VERSION,
    )  # fmt: skip


def run(rows: Iterable[tuple[str, EvidenceRecord]], config: Config) -> Iterator[Outcome]:
    """Yield one outcome per evidence row, counted after the resolution, and the resolution's rows.

    `rows` are (partition, record) in the order of partitions and lines. The reference for `distill.units.score`, which does the same
    by key without holding the corpus.
    """
    scopes = {source.name: source.scope for source in config.sources}
    places = {source.name for source in config.sources if source.run_id == "position"}
    entries: list[Entry] = []
    waiting: list[tuple[str, ScoredRun, str]] = []
    for line, (partition, record) in enumerate(rows):
        scored = score_record(record, judge_confidence=config.judge_confidence)
        scope, positional = scopes.get(record.source, record.source), record.source in places
        entries.append(build_entry(record, scored, scope, place=(partition, line), positional=positional))
        waiting.append((partition, scored, str(record.provenance)))
    resolution = resolve(entries, judge_confidence=config.judge_confidence)
    decided = {(row.evidence_id, row.provenance): row for row in resolution if row.category is not None}
    for partition, scored, where in waiting:
        row = decided.get((scored.evidence_id, where))
        category = row.category if row is not None and row.category is not None else scored.category
        reasons = row.reasons if row is not None else scored.reasons
        yield Outcome(
            OUTCOMES[category], scored.evidence_id, reason=reasons[0], file=partition, category=category,
            rows=(Row(f"{SCORED}/{partition}", None, scored),),
        )  # fmt: skip
    yield from (Outcome("accepted", None, rows=(Row(RESOLUTION, None, row),)) for row in resolution)
