"""Playbooks (SPEC 5.1)."""

from typing import Any

import pytest

from distill.config import Config, Playbooks, Source
from distill.hashing import row_id
from distill.outcome import Outcome
from distill.runs import Run
from distill.schemas.evidence import Message, ToolCall
from distill.schemas.export_rows import Playbook
from distill.stages import PLAYBOOKS
from distill.stages.extract_playbooks import make_title, run
from tests.strategies import chat, fates, human, made_run, rows_of


def extract(*runs: Run, group_by: str = "task_id") -> list[Outcome]:
    """Run the stage."""
    return list(run(runs, Config(playbooks=Playbooks(group_by=group_by))))


def playbook(*runs: Run, **settings: Any) -> Playbook:
    """Return the only playbook of some runs."""
    (found,) = rows_of(extract(*runs, **settings), PLAYBOOKS)
    assert isinstance(found, Playbook)
    return found


def calling(name: str, *calls: ToolCall, kind: str = "accepted") -> Run:
    """Return a run that calls tools and then answers."""
    return made_run(
        name, kind, messages=[*chat("user: q"), Message(role="assistant", tool_calls=list(calls)), *chat("tool: t", "assistant: a")]
    )


def test_playbook_of_a_task() -> None:
    """One playbook a task: title, when, the shortest answer as worked example, counts and the runs behind it."""
    runs = [
        made_run("c", "rejected", model="m3"), made_run("b", response="short", model="m2"), made_run("a", "retried", response="short ", model=None),
        made_run("d", "review"),
    ]  # fmt: skip

    found = playbook(*runs)

    assert (found.id, found.group, found.kind, found.title, found.when) == (
        row_id("playbook", "task-1"),
        "task-1",
        "playbook",
        *2 * ["Add two numbers."],
    )
    assert [(step.text, step.support, step.of, step.evidence_ids) for step in found.steps] == [("short", 2, 2, ["b"])]
    assert found.counts == {"accepted": 1, "partially_accepted": 1, "rejected": 1, "needs_human_review": 1}
    assert (found.models, found.single_support, found.evidence_ids) == (["m2"], False, ["a", "b", "c", "d"])
    assert (found.source_run_ids, found.failed_run_ids) == (["run-a", "run-b"], ["run-c"])
    assert found.provenance.split("; ") == [str(one.evidence.provenance) for one in sorted(runs, key=lambda one: one.evidence.id)]


def test_tool_users_give_the_call_sequence_most_runs_share() -> None:
    """Steps of tool users are the calls with argument names only, and how many passing runs made them."""
    first, other = ToolCall(name="find", arguments={"q": 1, "by": 2}), ToolCall(name="stop", arguments="now")

    found = playbook(calling("a", first, other), calling("b", other), calling("c", first, other), made_run("d"))

    assert [(step.text, step.support, step.of, step.evidence_ids) for step in found.steps] == [
        ("find(by, q)", 2, 4, ["a", "c"]), ("stop()", 2, 4, ["a", "c"]),
    ]  # fmt: skip


def test_equal_support_takes_the_shorter_then_the_first_sequence() -> None:
    """Of call sequences with one support the shortest stands, then the first by name."""
    calls = {name: ToolCall(name=name) for name in "xyz"}

    found = playbook(calling("a", calls["x"], calls["y"]), calling("b", calls["z"]), calling("c", calls["y"]))

    assert [step.text for step in found.steps] == ["y()"]


def test_support_of_one_is_marked() -> None:
    """A playbook that rests on one run says so."""
    assert playbook(made_run("a"), made_run("b", "rejected")).single_support


def test_pitfalls_come_from_lessons_persons_and_errors() -> None:
    """Each lesson, reason of a person and error stands once, with every run behind it; blank ones do not."""
    found = playbook(
        made_run("a", lessons=["Check the sign.", " "], errors=["boom"]), made_run("b", "rejected", lessons=["Check  the sign."], errors=["boom"]),
        made_run("c", lessons=["Check the sign."], signals=[human("fail")]), made_run("d", lessons=["Well done."], signals=[human("pass")]),
    )  # fmt: skip

    assert [(pitfall.kind, pitfall.text, pitfall.evidence_ids) for pitfall in found.pitfalls] == [
        ("error", "boom", ["a", "b"]), ("human_reason", "Check the sign.", ["c"]), ("lesson", "Check the sign.", ["a", "b"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("runs", "when"),
    [([made_run("a", "rejected")], "Add two numbers."), ([made_run("a", "review", lessons=["x"], instruction="Review me.")], "Review me.")],
    ids=["rejected", "lesson_only"],
)  # fmt: skip
def test_group_without_passing_run_gives_pitfalls(runs: list[Run], when: str) -> None:
    """Where no run passed the playbook is of kind pitfalls and has no steps."""
    found = playbook(*runs)

    assert (found.kind, found.steps, found.when, found.single_support) == ("pitfalls", [], when, False)


def test_fates_of_runs() -> None:
    """Excluded runs, runs without group and groups that teach nothing are filtered; the playbook comes once."""
    outcomes = extract(
        made_run("a"), made_run("b"), made_run("c", task_id=None), made_run("d", excluded="same_run"), made_run("e", "review", task_id="t2"),
        made_run("f", excluded="run_id_reused", task_id=None),
    )  # fmt: skip

    assert fates(outcomes) == {
        "a": "accepted", "b": "accepted", "c": "missing_task_id", "d": "same_run", "e": "no_playbook", "f": "run_id_reused",
    }  # fmt: skip
    assert [outcome.kind for outcome in outcomes if outcome.reason] == ["filtered"] * 4
    assert len(rows_of(outcomes, PLAYBOOKS)) == 1


def test_calls_that_only_failing_runs_made_are_pitfalls() -> None:
    """A call that rejected runs made and no other run did is a pitfall, with the runs that made it."""
    good, bad = ToolCall(name="find", arguments={"q": 1}), ToolCall(name="delete", arguments={"all": True})

    found = playbook(calling("a", good), calling("b", good, bad, kind="rejected"), calling("c", bad, kind="rejected"))

    assert [(pitfall.kind, pitfall.text, pitfall.evidence_ids) for pitfall in found.pitfalls] == [("call", "delete(all)", ["b", "c"])]


def test_groups_are_by_field_or_tag_within_a_scope() -> None:
    """`group_by` may name a field or a tag; equal values of two scopes are two groups, named apart."""
    runs = [made_run("a", tags={"t": "x"}), made_run("b", tags={"t": "x"}, scope="src"), made_run("c", attempts=3)]

    by_tag, by_count = extract(*runs, group_by="tags.t"), extract(*runs, group_by="attempts")

    assert sorted(found.group for found in rows_of(by_tag, PLAYBOOKS)) == ["src:x", "x"]
    assert fates(by_tag)["c"] == "missing_task_id"
    assert [found.group for found in rows_of(by_count, PLAYBOOKS)] == ["3"]


def test_order_of_arrival_does_not_matter() -> None:
    """The same runs give the same playbooks in whatever order they come."""
    runs = [made_run(name, kind, response=name) for name, kind in zip("abcd", ["accepted", "rejected", "retried", "review"], strict=True)]

    assert playbook(*runs) == playbook(*reversed(runs))


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("", ""),
        (" \n\t\n  Second  line \nthird", "Second line"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
        ("word " * 30, "word " * 15 + "word…"),
    ],
)
def test_title_is_the_first_line_that_says_something(text: str, title: str) -> None:
    """A title is the first line with text, cut to 80 characters."""
    assert make_title(text) == title
    assert len(title) <= 80


def test_a_cumulative_success_counts_once() -> None:
    """Of successes that later files repeat, the first by file and place counts; failures, other tasks and other sources count as ever."""
    runs = [made_run(name, kind) for name, kind in (("d", "accepted"), ("a", "accepted"), ("c", "rejected"), ("b", "accepted"))]
    config = Config(sources=(Source(name=made_run("a").evidence.source, glob="*", cumulative="task_id"),))

    (found,) = rows_of(list(run(runs, config)), PLAYBOOKS)
    (usual,) = rows_of(list(run(runs, Config())), PLAYBOOKS)
    (other,) = rows_of(list(run(runs, Config(sources=(Source(name="other", glob="*", cumulative="task_id"),)))), PLAYBOOKS)

    assert isinstance(found, Playbook)
    assert isinstance(usual, Playbook)
    assert (usual.counts["accepted"], found.counts["accepted"], found.counts["rejected"]) == (3, 1, 1)
    assert (usual.source_run_ids, found.source_run_ids) == (["run-a", "run-b", "run-d"], ["run-a"])
    assert (found.single_support, found.evidence_ids) == (True, ["a", "b", "c", "d"])
    assert [step.of for step in found.steps] == [1]
    assert other == usual


def test_lessons_of_repeated_successes_are_heard() -> None:
    """A success that only repeats an earlier one adds to no count, and its lessons stand among the others."""
    runs = [made_run("a"), made_run("b", lessons=["look first"])]

    (found,) = rows_of(
        list(run(runs, Config(sources=(Source(name=made_run("a").evidence.source, glob="*", cumulative="tags.env"),)))), PLAYBOOKS
    )
    (once,) = rows_of(
        list(run(runs, Config(sources=(Source(name=made_run("a").evidence.source, glob="*", cumulative="task_id"),)))), PLAYBOOKS
    )

    assert isinstance(found, Playbook)
    assert isinstance(once, Playbook)
    assert (found.counts["accepted"], once.counts["accepted"]) == (2, 1)
    assert [pitfall.text for pitfall in once.pitfalls] == ["look first"]


def test_accepted_runs_without_answer_make_a_playbook_without_steps() -> None:
    """A log that holds verdicts and lessons and no answers gives a playbook of lessons, with the runs that passed."""
    found = playbook(made_run("a", response=None, lessons=["look first"]), made_run("b", "rejected", response=None))

    assert (found.kind, found.steps, found.source_run_ids, found.failed_run_ids) == ("playbook", [], ["run-a"], ["run-b"])
    assert [pitfall.text for pitfall in found.pitfalls] == ["look first"]
