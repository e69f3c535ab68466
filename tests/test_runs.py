"""How the resolution is applied to rows (distill.runs), the same way in every stage."""

from typing import Any

import pytest

from distill.runs import EXCLUDED, Run, admits, assemble_runs, human_order
from distill.schemas.evidence import EvidenceRecord
from distill.stages.resolution import build_entry, resolve
from distill.stages.score import score_record
from tests.strategies import checked, evidence, human, made_run, signal

PASS, FAIL = [checked(1, 0)], [checked(0, 1)]


def assembled(*records: EvidenceRecord, scopes: dict[str, str] | None = None) -> list[Run]:
    """Score, resolve and assemble rows."""
    known = {"src": ""} if scopes is None else scopes
    scored = [score_record(record, judge_confidence=0.8) for record in records]
    entries = [build_entry(record, row, known.get(record.source, record.source)) for record, row in zip(records, scored, strict=True)]
    return list(assemble_runs(zip(records, scored, strict=True), resolve(entries, judge_confidence=0.8), known))


def one(name: str, **fields: Any) -> EvidenceRecord:
    """Return a row of run `r`."""
    return evidence(name, **({"run_id": "r"} | fields))


def test_row_without_exception_keeps_its_own_verdict() -> None:
    """A run that the resolution does not name is what its score says."""
    (run,) = assembled(one("a", signals=PASS, attempts=1, corrected_response="not by a person"))

    assert (run.category, run.reasons, run.score, run.excluded) == ("accepted", ["tests_passed"], 1.0, None)
    assert (run.attempts, run.corrected_response, run.infrastructure, run.scope) == (1, None, False, "")


def test_standing_row_takes_what_the_others_say() -> None:
    """The row that stands has the pooled verdict, the most attempts and the last correction, and comes last."""
    rows = [
        one("a", signals=[human("with_changes")], attempts=1, corrected_response="first", line=1),
        one("b", signals=[human("with_changes")], response=None, attempts=4, corrected_response="second", line=2),
        one("c", signals=[signal("infrastructure", "none")], response=None, line=3),
        evidence("z", signals=PASS, line=4),
    ]

    *others, stands = assembled(*rows)

    assert (stands.evidence.id, stands.category, stands.score, stands.excluded) == ("a", "partially_accepted", 0.7, None)
    assert (stands.attempts, stands.corrected_response, stands.infrastructure) == (4, "second", True)
    assert (stands.answer, stands.lacks_correction) == ("second", False)
    assert [(run.evidence.id, run.excluded) for run in others] == [
        ("b", "superseded_by_review"),
        ("c", "superseded_by_review"),
        ("z", None),
    ]


def test_infrastructure_of_another_row_counts_where_nothing_else_changed() -> None:
    """A member that only says that the infrastructure failed marks the standing run too."""
    runs = assembled(one("a", signals=PASS), one("b", signals=[signal("infrastructure", "none")], response=None, line=2))

    assert [(run.evidence.id, run.infrastructure, run.excluded) for run in runs] == [("b", True, "same_run"), ("a", True, None)]


def test_duplicate_of_a_standing_row_is_not_the_standing_row() -> None:
    """Of two rows with one id only the first stands for the run."""
    first, second = one("a", file="src/1.jsonl"), one("a", file="src/2.jsonl")

    runs = assembled(first, second, one("b", signals=PASS, response=None, file="src/3.jsonl"))

    assert [(run.evidence.provenance.source_file, run.excluded) for run in runs] == [
        ("src/2.jsonl", "duplicate"), ("src/3.jsonl", "same_run"), ("src/1.jsonl", None),
    ]  # fmt: skip
    assert runs[-1].category == "accepted"


def test_reused_run_is_for_review() -> None:
    """A reused run id replaces category, reasons and score, and keeps the rows out."""
    runs = assembled(one("a", signals=PASS, response="x"), one("b", signals=PASS, response="y", line=2))

    assert {(run.category, run.reasons[0], run.score, run.excluded) for run in runs} == {
        ("needs_human_review", "run_id_reused", 0.5, "run_id_reused")
    }


@pytest.mark.parametrize("run_id", [None, "other"], ids=["without_id", "another_id"])
def test_rows_of_other_runs_with_the_same_text_add_nothing(run_id: str | None) -> None:
    """A run that a person's verdict on its text supersedes lends its attempts and signals to nobody."""
    rows = [
        one("a", run_id=None if run_id is None else "r", signals=[human("fail")], response="x"),
        one("b", run_id=run_id, signals=[*PASS, signal("infrastructure", "none")], response="x", attempts=7, line=2),
    ]

    *_, stands = assembled(*rows)

    assert (stands.evidence.id, stands.attempts, stands.infrastructure) == ("a", None, False)


def test_rows_of_another_scope_add_nothing() -> None:
    """Equal run ids of two scopes stay two runs, even where one text supersedes the other."""
    rows = [
        one("a", signals=[human("fail")], response="x"),
        one("b", source="other", signals=PASS, response="x", attempts=7, line=2),
    ]

    *_, stands = assembled(*rows)

    assert (stands.evidence.id, stands.attempts, stands.scope) == ("a", None, "")


def test_exclusions_rank_as_in_the_books() -> None:
    """The order of exclusions is the one in which SPEC 6 says the first reason wins."""
    assert EXCLUDED == ("duplicate", "same_run", "superseded_by_review", "conflicting_verdicts", "run_id_reused")


@pytest.mark.parametrize(
    ("kind", "include", "admitted"),
    [("accepted", ["accepted"], True), ("accepted", ["retried"], False), ("retried", ["retried"], True), ("retried", ["accepted"], False),
     ("with_changes", ["with_changes"], True), ("partial_reward", ["accepted", "retried"], False), ("rejected", ["accepted"], False),
     ("review", ["accepted", "retried", "with_changes", "partial_reward"], False)],
)  # fmt: skip
def test_include_admits_by_category_and_reason(kind: str, include: list[str], admitted: bool) -> None:
    """`sft.include` admits accepted runs by category and partially accepted ones by their deciding reason."""
    assert admits(made_run("a", kind), include) is admitted


@pytest.mark.parametrize(("corrected", "answer", "lacks"), [("better", "better", False), (None, None, True), (" ", " ", True)])
def test_accepted_with_changes_needs_its_correction(corrected: str | None, answer: str | None, lacks: bool) -> None:
    """A run accepted with changes answers with the correction; other runs keep their own answer."""
    run, other = made_run("a", "with_changes", corrected_response=corrected), made_run("b", corrected_response=corrected)

    assert (run.answer, run.lacks_correction) == (answer, lacks)
    assert (other.answer, other.lacks_correction) == (None, False)


def test_decisions_are_ordered_by_time_then_place() -> None:
    """A missing time comes first, a fraction after its whole second, equal times by file and offset."""
    rows = [
        evidence("1", created_at=None), evidence("2", created_at="2026-04-27T09:00:00Z", file="a"),
        evidence("3", created_at="2026-04-27T09:00:00Z", file="b"), evidence("4", created_at="2026-04-27T09:00:00Z", file="b", line=2),
        evidence("5", created_at="2026-04-27T09:00:00.25Z", file="a"), evidence("6", created_at="2026-04-27T09:00:00.3Z", file="a"),
        evidence("7", created_at="2026-04-27T09:00:01Z", file="a"),
    ]  # fmt: skip

    backwards = list(reversed(rows))
    assert [row.id for row in sorted(backwards, key=human_order)] == list("1234567")
