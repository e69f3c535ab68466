"""The resolution: duplicates, runs told in several rows, reused run ids, contradictory verdicts (SPEC 4).

Computed once over the whole corpus, by key and never by arrival; exceptions only. How it is applied to a row is in
`distill.runs`.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from distill.conversation import build_turns, normalise, text_key
from distill.rules import build_facts, score_run
from distill.runs import human_order
from distill.schemas.evidence import EvidenceRecord
from distill.schemas.scored_run import Category, ResolutionKind, ResolutionRow, ScoredRun

__all__ = ["Entry", "build_entry", "resolve"]


class Entry(msgspec.Struct, gc=False):
    """What the resolution must know of one row."""

    record: EvidenceRecord
    """The evidence, without its texts."""
    scope: str
    """What its run id is unique in."""
    category: Category
    """Verdict of the row by itself, then of its pooled run."""
    reasons: list[str]
    """Likewise."""
    key: bytes | None
    """Of equal texts; None without an answer."""
    response: str
    """Key of the normalised answer; empty without one."""
    human: bool
    """Whether a person decided in this row."""
    correction: str | None
    """The correction of a person."""

    @property
    def where(self) -> str:
        """Its provenance in one line."""
        return str(self.record.provenance)


def build_entry(record: EvidenceRecord, scored: ScoredRun, scope: str) -> Entry:
    """Reduce one row to what the resolution needs."""
    human = any(signal.kind == "human" and signal.verdict != "none" for signal in record.signals)
    slim = msgspec.structs.replace(
        record,
        instruction=None,
        context=None,
        messages=None,
        response=None,
        corrected_response=None,
        lessons=[],
        reference=[],
        tags={},
    )
    return Entry(
        slim, scope, scored.category, list(scored.reasons), text_key(build_turns(record)), normalise(record.response or ""), human,
        (record.corrected_response or None) if human else None,
    )  # fmt: skip


def resolve(entries: Iterable[Entry], *, judge_confidence: float) -> list[ResolutionRow]:
    """Return the exceptions, sorted by evidence id, then place."""
    rows: list[ResolutionRow] = []
    singles = _drop_duplicates(entries, rows)
    standing: list[Entry] = []
    by_run: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in singles:
        if entry.record.run_id is None:
            standing.append(entry)
        else:
            by_run[entry.scope, entry.record.run_id].append(entry)
    for members in by_run.values():
        standing += members if len(members) == 1 else _one_run(members, rows, judge_confidence)
    _find_conflicts(standing, rows)
    return sorted(rows, key=lambda row: (row.evidence_id, row.provenance, row.kind))


def _row(entry: Entry, kind: ResolutionKind, others: Iterable[Entry], *, decided: bool = False) -> ResolutionRow:
    return ResolutionRow(
        evidence_id=entry.record.id, run_id=entry.record.run_id, kind=kind, category=entry.category if decided else None,
        reasons=entry.reasons if decided else [kind], with_=sorted({other.record.id for other in others}), provenance=entry.where,
    )  # fmt: skip


def _drop_duplicates(entries: Iterable[Entry], rows: list[ResolutionRow]) -> list[Entry]:
    """Keep the first of equal ids by partition path and line, the order in which `entries` come."""
    first: dict[str, Entry] = {}
    for entry in entries:
        kept = first.setdefault(entry.record.id, entry)
        if kept is not entry:
            rows.append(_row(entry, "duplicate", [kept]))
    return list(first.values())


def _one_run(members: list[Entry], rows: list[ResolutionRow], judge_confidence: float) -> list[Entry]:
    """Pool the rows of one run; return what stands for it in the search for conflicts."""
    members = sorted(members, key=lambda entry: entry.record.id)
    answers = {entry.response for entry in members if entry.response}
    if len(answers) > 1:
        decided = {entry.response for entry in members if entry.human and entry.response}
        if len(decided) != 1:
            for entry in members:
                entry.category, entry.reasons = "needs_human_review", ["run_id_reused"]
                rows.append(_row(entry, "run_id_reused", [other for other in members if other is not entry], decided=True))
            return []
        answers = decided
    stands = next((entry for entry in members if entry.response in answers and entry.response), members[0])
    pooled = _pool(members, judge_confidence)
    others = [entry for entry in members if entry is not stands]
    if pooled != _state(stands):
        stands.category, stands.reasons = pooled["category"], pooled["reasons"]
        rows.append(_row(stands, "pooled", others, decided=True))
    kind: ResolutionKind = "superseded_by_review" if any(entry.human for entry in members) else "same_run"
    rows.extend(_row(entry, kind, [stands]) for entry in others)
    stands.human = any(entry.human for entry in members)
    return [stands]


def _state(entry: Entry) -> dict[str, Any]:
    return {
        "category": entry.category,
        "reasons": entry.reasons,
        "attempts": entry.record.attempts,
        "correction": entry.correction,
    }


def _pool(members: list[Entry], judge_confidence: float) -> dict[str, Any]:
    """Score the signals of all rows of one run together."""
    ordered = sorted(members, key=lambda entry: human_order(entry.record))
    signals = [signal for entry in ordered for signal in entry.record.signals]
    attempts = [entry.record.attempts for entry in ordered if entry.record.attempts is not None]
    most = max(attempts) if attempts else None
    errors = any(entry.record.errors for entry in ordered)
    verdict = score_run(build_facts(signals, errors=errors, attempts=most, judge_confidence=judge_confidence), signals)
    corrections = [entry.correction for entry in ordered if entry.correction]
    return {
        "category": verdict.category, "reasons": verdict.reasons, "attempts": most, "correction": corrections[-1] if corrections else None,
    }  # fmt: skip


def _find_conflicts(standing: list[Entry], rows: list[ResolutionRow]) -> None:
    """Find texts that were accepted in one run and rejected in another."""
    by_text: dict[bytes, list[Entry]] = defaultdict(list)
    for entry in standing:
        if entry.key is not None and entry.category != "needs_human_review":
            by_text[entry.key].append(entry)
    for entries in by_text.values():
        good = any(entry.category != "rejected" for entry in entries)
        bad = any(entry.category == "rejected" and entry.reasons[0] != "errors_unjudged" for entry in entries)
        if not (good and bad):
            continue
        judged = [entry for entry in entries if entry.human]
        if judged and len({entry.category == "rejected" for entry in judged}) == 1:
            rows.extend(_row(entry, "superseded_by_review", judged) for entry in entries if not entry.human)
        else:
            rows.extend(_row(entry, "conflicting_verdicts", [o for o in entries if o is not entry]) for entry in entries)
