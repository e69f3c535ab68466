"""The resolution (SPEC 4, "Resolution"): a named case for each clause, and independence of the order of arrival."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.config import Config, Source
from distill.outcome import Outcome
from distill.schemas.evidence import EvidenceRecord
from distill.schemas.scored_run import ResolutionRow
from distill.stages.resolution import build_entry, resolve
from distill.stages.score import run, score_record
from tests.strategies import chat, checked, evidence, human, judge, signal

PASS, FAIL = [checked(1, 0)], [checked(0, 1)]
LATER = "2026-04-27T10:00:00Z"


def row(name: str, signals: Sequence[Any] = (), **fields: Any) -> EvidenceRecord:
    """Return a row of run `r` that says nothing but its signals."""
    return evidence(name, **({"run_id": "r", "signals": list(signals), "line": sum(map(ord, name))} | fields))


def resolved(*records: EvidenceRecord, scopes: dict[str, str] | None = None) -> list[ResolutionRow]:
    """Return the exceptions of rows in the order given."""
    known = scopes or {}
    entries = [build_entry(record, score_record(record, judge_confidence=0.8), known.get(record.source, "")) for record in records]
    return resolve(entries, judge_confidence=0.8)


def kinds(rows: list[ResolutionRow]) -> list[tuple[str, str, str | None, str]]:
    """Return id, kind, category and first reason of every row."""
    return [(found.evidence_id, found.kind, found.category, found.reasons[0]) for found in rows]


SILENT: dict[str, Any] = {"response": None, "instruction": None}
REVIEW = "needs_human_review"
CASES: dict[str, tuple[list[EvidenceRecord], list[tuple[str, str, str | None, str]]]] = {
    "nothing_to_say": ([row("a", PASS, run_id="1"), row("b", FAIL, run_id="2")], []),
    "runs_without_id_are_never_one": ([row("a", PASS, run_id=None), row("b", FAIL, run_id=None)], []),
    "duplicate": ([row("a", PASS), row("a", PASS, file="src/z.jsonl")], [("a", "duplicate", None, "duplicate")]),
    "same_run": ([row("a", PASS), row("b", **SILENT)], [("b", "same_run", None, "same_run")]),
    "one_with_the_response_stands": (
        [row("a", PASS, **SILENT), row("b")],
        [("a", "same_run", None, "same_run"), ("b", "pooled", "accepted", "tests_passed")],
    ),
    "smallest_of_equal_responses_stands": (
        [row("c", FAIL, response="x  y"), row("b", FAIL, response=" x y"), row("a", FAIL, **SILENT)],
        [("a", "same_run", None, "same_run"), ("c", "same_run", None, "same_run")],
    ),
    "smallest_of_no_response_stands": ([row("b", PASS, **SILENT), row("a", PASS, **SILENT)], [("b", "same_run", None, "same_run")]),
    "verdict_without_response": (
        [row("a", PASS), row("b", [human("fail")], **SILENT)],
        [("a", "pooled", "rejected", "human_reject"), ("b", "superseded_by_review", None, "superseded_by_review")],
    ),
    "pooled_reasons": (
        [row("a", [human("pass")]), row("b", PASS, **SILENT)],
        [("a", "pooled", "accepted", "human_accept"), ("b", "superseded_by_review", None, "superseded_by_review")],
    ),
    "pooled_signals_disagree": (
        [row("a", PASS), row("b", FAIL, **SILENT)],
        [("a", "pooled", REVIEW, "signals_disagree"), ("b", "same_run", None, "same_run")],
    ),
    "greatest_attempts": (
        [row("a", PASS, attempts=1), row("b", attempts=3, **SILENT), row("c", attempts=2, **SILENT)],
        [("a", "pooled", "partially_accepted", "retried"), ("b", "same_run", None, "same_run"), ("c", "same_run", None, "same_run")],
    ),
    "attempts_alone_are_a_pooled_row": (
        [row("a", FAIL), row("b", attempts=3, **SILENT)],
        [("a", "pooled", "rejected", "tests_failed"), ("b", "same_run", None, "same_run")],
    ),
    "persons_correction": (
        [row("a", [human("with_changes")]), row("b", [human("with_changes")], corrected_response="better", created_at=LATER, **SILENT)],
        [("a", "pooled", "partially_accepted", "with_changes"), ("b", "superseded_by_review", None, "superseded_by_review")],
    ),
    "judges_correction_is_none": (
        [row("a", FAIL), row("b", corrected_response="better", **SILENT)],
        [("b", "same_run", None, "same_run")],
    ),
    "errors_of_another_row": (
        [row("a"), row("b", errors=["boom"], **SILENT)],
        [("a", "pooled", "rejected", "errors_unjudged"), ("b", "same_run", None, "same_run")],
    ),
    "last_decision_of_a_reviewer": (
        [row("a", [human("pass")], created_at=LATER), row("b", [human("fail")], **SILENT)],
        [("b", "superseded_by_review", None, "superseded_by_review")],
    ),
    "fraction_is_later_than_its_second": (
        [row("a", [human("pass")], created_at="2026-04-27T09:00:00.5Z"), row("b", [human("fail")], **SILENT)],
        [("b", "superseded_by_review", None, "superseded_by_review")],
    ),
    "equal_times_by_place": (
        [row("b", [human("fail")], file="src/a.jsonl", **SILENT), row("a", [human("pass")], file="src/b.jsonl")],
        [("b", "superseded_by_review", None, "superseded_by_review")],
    ),
    "reused": (
        [row("a", PASS, response="x"), row("b", PASS, response="y"), row("c", PASS, **SILENT)],
        [(name, "run_id_reused", REVIEW, "run_id_reused") for name in "abc"],
    ),
    "reused_and_a_person_decided": (
        [row("a", FAIL, response="x"), row("b", [human("pass")], response="y")],
        [("a", "superseded_by_review", None, "superseded_by_review"), ("b", "pooled", "accepted", "human_accept")],
    ),
    "reused_and_decided_without_text": (
        [row("a", PASS, response="x"), row("b", PASS, response="y"), row("c", [human("pass")], **SILENT)],
        [(name, "run_id_reused", REVIEW, "run_id_reused") for name in "abc"],
    ),
    "reused_and_two_texts_decided": (
        [row("a", [human("pass")], response="x"), row("b", [human("fail", "human:2")], response="y")],
        [(name, "run_id_reused", REVIEW, "run_id_reused") for name in "ab"],
    ),
    "conflict": (
        [row("a", PASS, run_id="1", response="x y"), row("b", FAIL, run_id="2", response="x\n y"), row("c", run_id="3", response="x y")],
        [("a", "conflicting_verdicts", None, "conflicting_verdicts"), ("b", "conflicting_verdicts", None, "conflicting_verdicts")],
    ),
    "conflict_with_partly_accepted": (
        [row("a", PASS, run_id="1", response="x", attempts=2), row("b", FAIL, run_id="2", response="x")],
        [("a", "conflicting_verdicts", None, "conflicting_verdicts"), ("b", "conflicting_verdicts", None, "conflicting_verdicts")],
    ),
    "conflict_takes_the_unjudged_along": (
        [row("a", PASS, run_id="1", response="x"), row("b", FAIL, run_id="2", response="x"), row("c", run_id="3", response="x", errors=["e"])],
        [(name, "conflicting_verdicts", None, "conflicting_verdicts") for name in "abc"],
    ),
    "no_conflict_with_errors_unjudged": (
        [row("a", PASS, run_id="1", response="x"), row("b", run_id="2", response="x", errors=["e"])], [],
    ),
    "no_conflict_over_another_user_text": (
        [row("a", PASS, run_id="1", response="x"), row("b", FAIL, run_id="2", response="x", instruction="Another.")], [],
    ),
    "no_conflict_without_response": ([row("a", PASS, run_id="1", response=" "), row("b", FAIL, run_id="2", response="")], []),
    "no_conflict_over_other_messages": (
        [row("a", PASS, run_id="1", messages=chat("user: q", "assistant: one", "user: r", "assistant: x"), response="x"),
         row("b", FAIL, run_id="2", messages=chat("user: q", "assistant: two", "user: r", "assistant: x"), response="x")], [],
    ),
    "conflict_over_messages_up_to_the_last_answer": (
        [row("a", PASS, run_id="1", messages=chat("user: q", "assistant: x", "user: thanks")),
         row("b", FAIL, run_id="2", instruction="q", response="x")],
        [("a", "conflicting_verdicts", None, "conflicting_verdicts"), ("b", "conflicting_verdicts", None, "conflicting_verdicts")],
    ),
    "conflict_that_a_person_decided": (
        [row("a", [human("fail")], run_id="1", response="x"), row("b", PASS, run_id="2", response="x")],
        [("b", "superseded_by_review", None, "superseded_by_review")],
    ),
    "conflict_of_two_persons": (
        [row("a", [human("fail")], run_id="1", response="x"), row("b", [human("pass")], run_id="2", response="x")],
        [("a", "conflicting_verdicts", None, "conflicting_verdicts"), ("b", "conflicting_verdicts", None, "conflicting_verdicts")],
    ),
    "person_of_a_pooled_row_decides_the_text": (
        [row("a", PASS, response="x"), row("b", [human("fail")], **SILENT), row("c", PASS, run_id="2", response="x")],
        [("a", "pooled", "rejected", "human_reject"), ("b", "superseded_by_review", None, "superseded_by_review"),
         ("c", "superseded_by_review", None, "superseded_by_review")],
    ),
    "reused_run_takes_no_part_in_conflicts": (
        [row("a", PASS, response="x"), row("b", PASS, response="y"), row("c", FAIL, run_id="2", response="x")],
        [("a", "run_id_reused", REVIEW, "run_id_reused"), ("b", "run_id_reused", REVIEW, "run_id_reused")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("records", "expected"), CASES.values(), ids=CASES)
def test_case_of_the_resolution(records: list[EvidenceRecord], expected: list[tuple[str, str, str | None, str]]) -> None:
    """Each clause gives exactly the exceptions it names, in whichever order the rows come."""
    assert kinds(resolved(*records)) == expected
    if all(kind != "duplicate" for _, kind, _, _ in expected):
        assert kinds(resolved(*reversed(records))) == expected


def test_first_of_equal_ids_counts() -> None:
    """Of equal ids the first in the order of partitions and lines stands, and the others name it."""
    first, second = row("a", PASS, file="src/a.jsonl"), row("a", PASS, file="src/b.jsonl")

    (found,) = resolved(first, second)

    assert (found.provenance, found.with_, found.run_id) == (str(second.provenance), ["a"], "r")


def test_scope_keeps_run_ids_apart() -> None:
    """Equal run ids of two sources with scopes of their own are two runs; in one scope they are one."""
    records = row("a", PASS, source="one"), row("b", source="two", **SILENT)

    assert resolved(*records, scopes={"one": "one", "two": "two"}) == []
    assert kinds(resolved(*records)) == [("b", "same_run", None, "same_run")]


def test_exceptions_name_the_rows_they_were_found_with() -> None:
    """`with` holds the other ids, sorted: the standing row for a member, the members for a pooled row."""
    found = resolved(row("b", PASS), row("c", [human("fail")], **SILENT), row("a", **SILENT))

    assert [(item.evidence_id, item.with_) for item in found] == [("a", ["b"]), ("b", ["a", "c"]), ("c", ["b"])]


SIGNALS = st.lists(
    st.sampled_from([*PASS, *FAIL, human("pass"), human("fail", "human:2"), human("with_changes"), judge("pass"), judge("fail", 0.2),
                     signal("infrastructure", "none")]), max_size=2,
)  # fmt: skip
FIELDS = st.fixed_dictionaries({
    "run_id": st.sampled_from([None, "1", "2"]), "response": st.sampled_from([None, "x", "y", " x "]),
    "source": st.sampled_from(["src", "other"]), "attempts": st.sampled_from([None, 1, 2]), "signals": SIGNALS,
    "created_at": st.sampled_from([None, "2026-04-27T09:00:00Z", LATER]), "corrected_response": st.sampled_from([None, "better"]),
    "errors": st.sampled_from([[], ["boom"]]),
})  # fmt: skip


@given(st.lists(FIELDS, max_size=7), st.randoms(use_true_random=False))
def test_order_of_arrival_does_not_matter(fields: list[dict[str, Any]], random: Any) -> None:
    """Rows of different ids give the same exceptions in whatever order they come."""
    records = [evidence(f"e{i}", line=i + 1, **values) for i, values in enumerate(fields)]
    shuffled = list(records)
    random.shuffle(shuffled)

    assert resolved(*records, scopes={"other": "other"}) == resolved(*shuffled, scopes={"other": "other"})


@given(st.lists(FIELDS, max_size=6))
def test_every_exception_keeps_its_schema(fields: list[dict[str, Any]]) -> None:
    """Rows are sorted by id, name no row with itself, and carry a category where and only where SPEC 3 says so."""
    records = [evidence(f"e{i}", line=i + 1, **values) for i, values in enumerate(fields)]

    found = resolved(*records)

    assert [item.evidence_id for item in found] == sorted(item.evidence_id for item in found)
    for item in found:
        assert item.evidence_id not in item.with_
        assert item.with_ == sorted(item.with_) != []
        assert (item.category is not None) == (item.kind in {"pooled", "run_id_reused"})


def scored(*records: EvidenceRecord) -> list[Outcome]:
    """Run the stage over rows of one partition."""
    config = Config(sources=(Source("src", "*", format="outcomes"),))
    return list(run((("p.jsonl", record) for record in records), config))


def test_stage_counts_after_the_resolution() -> None:
    """Score counts the pooled category, writes each row's own verdict, and writes the resolution last."""
    outcomes = scored(row("a", PASS), row("b", [human("fail")], **SILENT), row("c", run_id="2"), row("d", PASS, run_id="3", attempts=2))

    assert [(found.kind, found.unit, found.reason, found.category) for found in outcomes[:4]] == [
        ("rejected", "a", "human_reject", "rejected"),
        ("rejected", "b", "human_reject", "rejected"),
        ("quarantined", "c", "no_signal", REVIEW),
        ("quarantined", "d", "retried", "partially_accepted"),
    ]
    written = [(outcome.rows[0].target, outcome.rows[0].value) for outcome in outcomes]
    assert [getattr(value, "category", None) for target, value in written[:4]] == ["accepted", "rejected", REVIEW, "partially_accepted"]
    assert {target for target, _ in written[:4]} == {"data/scored-runs/p.jsonl"}
    assert [outcome.unit for outcome in outcomes[4:]] == [None, None]
    assert [msgspec.to_builtins(value)["evidence_id"] for _, value in written[4:]] == ["a", "b"]
