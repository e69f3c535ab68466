"""The resolution: duplicates, runs told in several rows, reused run ids, contradictory verdicts (SPEC 4).

Computed once over the whole corpus, by key and never by arrival; exceptions only. How it is applied to a row is in
`distill.runs`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import msgspec

from distill.config import Source
from distill.conversation import answer_key, build_turns, text_key
from distill.hashing import join_parts, row_id, short_hash
from distill.rules import build_facts, score_run
from distill.runs import human_order
from distill.schemas.evidence import EvidenceRecord, Signal
from distill.schemas.scored_run import Category, ResolutionKind, ResolutionRow, ScoredRun

__all__ = ["Entry", "build_entry", "find_conflicts", "resolve", "resolve_runs", "run_heads", "run_keys"]


class Entry(msgspec.Struct, gc=False, array_like=True):
    """What the resolution must know of one row; plain enough to travel between workers."""

    place: tuple[str, int]
    """Partition, and line counted from 0: the order in which rows come."""
    group: str
    """32 hex digits that the rows of one run share, and equal rows; of a row without run id, its own id."""
    id: str
    """Evidence id."""
    run_id: str | None
    """The run's id in its log."""
    scope: str
    """What its run id is unique in."""
    where: str
    """Its provenance in one line."""
    order: tuple[str, str, int]
    """The order of decisions: time, then place."""
    signals: list[Signal]
    """What the row says of the run."""
    attempts: int | None
    """On which attempt it ended."""
    errors: bool
    """Whether it met errors of its own."""
    category: Category
    """Verdict of the row by itself, then of its pooled run."""
    reasons: list[str]
    """Likewise."""
    key: str | None
    """Of equal texts; None without an answer."""
    response: str
    """Key of the normalised answer; empty without one."""
    human: bool
    """Whether a person decided in this row."""
    correction: str | None
    """The correction of a person."""


def build_entry(
    record: EvidenceRecord, scored: ScoredRun, scope: str, *, place: tuple[str, int] = ("", 0), positional: bool = False
) -> Entry:
    """Reduce one row to what the resolution needs; a `positional` run id names a place, and equal rows have different ones."""
    human = any(signal.kind == "human" and signal.verdict != "none" for signal in record.signals)
    key = text_key(build_turns(record))
    group = record.id if record.run_id is None or positional else row_id("run", scope, record.run_id)
    return Entry(
        place, group, record.id, record.run_id, scope, str(record.provenance), human_order(record), record.signals, record.attempts,
        bool(record.errors), scored.category, list(scored.reasons), None if key is None else key.hex()[:32], answer_key(record), human,
        (record.corrected_response or None) if human else None,
    )  # fmt: skip


def run_heads(sources: Sequence[Source]) -> Callable[[str], bytes | None]:
    """Return the function that gives what the `group` of a source's rows is hashed after, None where a row's own id is its group."""
    scopes = {source.name: None if source.run_id == "position" else source.scope for source in sources}

    def head_of(source: str) -> bytes | None:
        scope = scopes.get(source, source)
        return None if scope is None else join_parts("run", scope)

    return head_of


def run_keys(sources: Sequence[Source]) -> Callable[[str, str | None, bytes], bytes]:
    """Return the function that gives the `group` of a row, in bytes, from its source, run id and evidence id."""
    head_of = cache(run_heads(sources))

    def key_of(source: str, run_id: str | None, identity: bytes) -> bytes:
        head = None if run_id is None else head_of(source)
        return identity if head is None else short_hash(head + join_parts(run_id)).hex().encode()

    return key_of


def resolve(entries: Iterable[Entry], *, judge_confidence: float) -> list[ResolutionRow]:
    """Return the exceptions, sorted by evidence id, then place: the reference for the same work done by key."""
    rows: list[ResolutionRow] = []
    by_run: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_run[entry.group].append(entry)
    by_text: dict[str, list[Entry]] = defaultdict(list)
    for members in by_run.values():
        found, standing = resolve_runs(members, judge_confidence=judge_confidence)
        rows += found
        for entry in standing:
            if entry.key is not None and entry.category != "needs_human_review":
                by_text[entry.key].append(entry)
    for group in by_text.values():
        rows += find_conflicts(group)
    return sorted(rows, key=lambda row: (row.evidence_id, row.provenance, row.kind))


def resolve_runs(members: list[Entry], *, judge_confidence: float) -> tuple[list[ResolutionRow], list[Entry]]:
    """Return the exceptions among all rows of one run, and what stands for it in the search for conflicts.

    Equal ids come from equal bytes and so share a run. The entries that stand get the verdict of their pooled run.
    """
    rows: list[ResolutionRow] = []
    singles = _drop_duplicates(members, rows)
    return rows, singles if len(singles) == 1 else _one_run(singles, rows, judge_confidence)


def _row(entry: Entry, kind: ResolutionKind, others: Iterable[Entry], *, decided: bool = False) -> ResolutionRow:
    return ResolutionRow(
        evidence_id=entry.id, run_id=entry.run_id, kind=kind, category=entry.category if decided else None,
        reasons=entry.reasons if decided else [kind], with_=sorted({other.id for other in others}), provenance=entry.where,
    )  # fmt: skip


def _drop_duplicates(entries: Iterable[Entry], rows: list[ResolutionRow]) -> list[Entry]:
    """Keep the first of equal ids by partition path and line."""
    first: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda entry: entry.place):
        kept = first.setdefault(entry.id, entry)
        if kept is not entry:
            rows.append(_row(entry, "duplicate", [kept]))
    return list(first.values())


def _one_run(members: list[Entry], rows: list[ResolutionRow], judge_confidence: float) -> list[Entry]:
    """Pool the rows of one run; return what stands for it in the search for conflicts."""
    members = sorted(members, key=lambda entry: entry.id)
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
        "attempts": entry.attempts,
        "correction": entry.correction,
    }


def _pool(members: list[Entry], judge_confidence: float) -> dict[str, Any]:
    """Score the signals of all rows of one run together."""
    ordered = sorted(members, key=lambda entry: entry.order)
    signals = [signal for entry in ordered for signal in entry.signals]
    attempts = [entry.attempts for entry in ordered if entry.attempts is not None]
    most = max(attempts) if attempts else None
    errors = any(entry.errors for entry in ordered)
    verdict = score_run(build_facts(signals, errors=errors, attempts=most, judge_confidence=judge_confidence), signals)
    corrections = [entry.correction for entry in ordered if entry.correction]
    return {
        "category": verdict.category, "reasons": verdict.reasons, "attempts": most, "correction": corrections[-1] if corrections else None,
    }  # fmt: skip


def find_conflicts(entries: list[Entry]) -> list[ResolutionRow]:
    """Return the exceptions among standing runs of one text, none of which needs review: accepted in one and rejected in another."""
    good = any(entry.category != "rejected" for entry in entries)
    bad = any(entry.category == "rejected" and entry.reasons[0] != "errors_unjudged" for entry in entries)
    if not (good and bad):
        return []
    judged = [entry for entry in entries if entry.human]
    if judged and len({entry.category == "rejected" for entry in judged}) == 1:
        return [_row(entry, "superseded_by_review", judged) for entry in entries if not entry.human]
    return [_row(entry, "conflicting_verdicts", [other for other in entries if other is not entry]) for entry in entries]
