"""Pairs of a better and a worse answer (SPEC 5.4), judged by a brute-force second reading."""

import random
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.config import Config, Preference, Sft
from distill.conversation import Turn, text_key
from distill.hashing import row_id
from distill.outcome import Outcome
from distill.reasons import REASONS
from distill.runs import Run
from distill.stages import PREFERENCE, QUARANTINE, export_preference
from distill.stages.export_preference import Side, pair_task, run
from tests.strategies import chat, fates, made_run, rows_of

QUARANTINED = {"conflicting_verdicts", "run_id_reused", "missing_source_run_id", "empty_instruction", "empty_response", "answer_leak"}


def export(*runs: Run, **preference: Any) -> list[Outcome]:
    """Run the stage with these settings of the preference export."""
    return list(run(runs, Config(preference=Preference(**preference))))


def pairs_of(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    """Return the run ids of the pairs, sorted."""
    return sorted((row.chosen_run_id, row.rejected_run_id) for row in rows_of(outcomes, PREFERENCE))


def test_pair_has_these_columns() -> None:
    """A pair holds the common prompt, one message a side, runs, models, the slug and both places."""
    better, worse = made_run("a", instruction="Add.", model=None), made_run("b", "rejected", instruction="Add.")

    (row,) = rows_of(export(better, worse), PREFERENCE)

    assert ([m.content for m in row.prompt], row.chosen[0].content, row.rejected[0].content) == (["Add."], "answer a", "answer b")
    assert (row.chosen_run_id, row.rejected_run_id, row.chosen_model, row.rejected_model) == ("run-a", "run-b", "", "model-a")
    assert (row.id, row.reason) == (row_id("a", "b"), "tests_failed")
    assert row.provenance == f"{better.evidence.provenance}; {worse.evidence.provenance}"


LEAK = "a long enough reference answer"
KEPT_OUT: dict[str, tuple[dict[str, Any], str]] = {
    **{
        kind: ({"excluded": kind}, kind)
        for kind in ("duplicate", "same_run", "superseded_by_review", "conflicting_verdicts", "run_id_reused")
    },
    "resolution_before_side": ({"excluded": "same_run", "kind": "review"}, "same_run"),
    "neither_side": ({"kind": "review"}, "neither_side"),
    "partly_accepted_outside_include": ({"kind": "partial_reward"}, "neither_side"),
    "errors_unjudged": ({"kind": "errors_unjudged"}, "neither_side"),
    "rejected_with_infrastructure": ({"kind": "rejected", "infrastructure": True}, "neither_side"),
    "side_before_run_id": ({"kind": "review", "run_id": None}, "neither_side"),
    "missing_source_run_id": ({"run_id": None, "instruction": None}, "missing_source_run_id"),
    "empty_instruction": ({"instruction": " ", "response": None}, "empty_instruction"),
    "empty_response": ({"response": "", "reference": [LEAK], "instruction": LEAK}, "empty_response"),
    "answer_leak": ({"reference": [LEAK], "instruction": LEAK, "task_id": None}, "answer_leak"),
    "missing_task_id": ({"task_id": None}, "missing_task_id"),
    "no_counterpart": ({"task_id": "alone"}, "no_counterpart"),
    "no_counterpart_in_this_scope": ({"scope": "elsewhere"}, "no_counterpart"),
}


@pytest.mark.parametrize(("fields", "reason"), KEPT_OUT.values(), ids=KEPT_OUT)
def test_run_is_kept_out_with_the_first_reason_that_fits(fields: dict[str, Any], reason: str) -> None:
    """A run in no pair has the first reason of SPEC 5.4's order, quarantined or filtered as it says."""
    odd = made_run("odd", **({"kind": "accepted"} | fields))

    outcomes = export(odd, made_run("good"), made_run("worse", "rejected"))

    (found,) = [outcome for outcome in outcomes if outcome.unit == "odd"]
    assert (found.reason, found.kind) == (reason, "quarantined" if reason in QUARANTINED else "filtered")
    assert [row.target for row in found.rows] == ([f"{QUARANTINE}/preference.jsonl"] if reason in QUARANTINED else [])
    assert pairs_of(outcomes) == [("run-good", "run-worse")]


BASE = ("system: s", "user: q")
PARTING: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "system_messages_differ": ((*BASE, "assistant: x"), ("system: t", "user: q", "assistant: y"), "prompts_differ"),
    "user_messages_differ": (("user: p", "assistant: x"), ("user: q", "assistant: y"), "prompts_differ"),
    "tool_results_differ": (
        (*BASE, "assistant: c", "tool: 1", "assistant: x"), (*BASE, "assistant: c", "tool: 2", "assistant: y"), "diverges_before_agent",
    ),
    "one_ends_before_the_other": ((*BASE, "assistant: x"), (*BASE, "assistant: x", "user: r", "assistant: y"), "diverges_before_agent"),
    "middle_answers_differ": ((*BASE, "assistant: x", "user: r", "assistant: z"), (*BASE, "assistant: y", "user: r", "assistant: z"), "not_final_turn"),
    "last_answer_of_one_only": ((*BASE, "assistant: x"), (*BASE, "assistant: y", "user: r", "assistant: z"), "not_final_turn"),
}  # fmt: skip


@pytest.mark.parametrize(("better", "worse", "reason"), PARTING.values(), ids=PARTING)
def test_runs_that_part_early_make_no_pair(better: tuple[str, ...], worse: tuple[str, ...], reason: str) -> None:
    """Where runs part before their final answers, both are filtered with where they part."""
    outcomes = export(made_run("a", messages=chat(*better)), made_run("b", "rejected", messages=chat(*worse)))

    assert fates(outcomes) == {"a": reason, "b": reason}


def test_step_pairs_take_a_first_divergence_that_is_not_wrong() -> None:
    """`step_pairs` makes a pair of the first differing steps, never with a chosen step that the log marks wrong."""
    worse = made_run("b", "rejected", messages=chat(*BASE, "assistant: y", "user: r", "assistant: z"))
    good = made_run("a", messages=chat(*BASE, "assistant: x", "user: r", "assistant: z"))
    wrong = made_run("a", messages=chat(*BASE, "!assistant: x", "user: r", "assistant: z"))

    (row,) = rows_of(export(good, worse, step_pairs=True), PREFERENCE)

    assert ([m.content for m in row.prompt], row.chosen[0].content, row.rejected[0].content) == (["s", "q"], "x", "y")
    assert fates(export(wrong, worse, step_pairs=True)) == {"a": "not_final_turn", "b": "not_final_turn"}


def test_equal_texts_of_one_side_are_one_candidate() -> None:
    """The smallest id stands with its model for equal texts of a side; white space does not tell them apart."""
    runs = [
        made_run("b", response="x  y", model="m2"), made_run("a", response="x y", model="m1"), made_run("c", "rejected"),
        made_run("d", "rejected", response=" answer c"),
    ]  # fmt: skip

    outcomes = export(*runs)

    assert fates(outcomes) == {"a": "accepted", "b": "duplicate_text", "c": "accepted", "d": "duplicate_text"}
    assert [row.chosen_model for row in rows_of(outcomes, PREFERENCE)] == ["m1"]


def test_self_pair_and_equal_text_make_no_pair() -> None:
    """Runs with one id or one text are never a pair, and find no counterpart in each other."""
    assert fates(export(made_run("a", run_id="r"), made_run("b", "rejected", run_id="r"))) == {"a": "no_counterpart", "b": "no_counterpart"}
    same = export(made_run("a", response="x"), made_run("b", "rejected", response=" x "))
    assert fates(same) == {"a": "no_counterpart", "b": "no_counterpart"}


def test_same_model_scope() -> None:
    """With `pair_scope = same_model` runs of different models find no counterpart; unknown models are one."""
    runs = [made_run("a", model=None), made_run("b", "rejected", model=None), made_run("c", "rejected", model="m")]

    assert fates(export(*runs, pair_scope="same_model")) == {"a": "accepted", "b": "accepted", "c": "no_counterpart"}


def test_pairs_beyond_the_cap_are_over_cap() -> None:
    """A run whose pairs all lie beyond `max_pairs_per_task` is over_cap; retried runs come after accepted ones."""
    runs = [made_run("a", "retried"), made_run("b"), made_run("c", "rejected"), made_run("d", "rejected")]

    assert fates(export(*runs, max_pairs_per_task=1)) == {"a": "over_cap", "b": "accepted", "c": "accepted", "d": "over_cap"}
    assert set(fates(export(*runs, max_pairs_per_task=0)).values()) == {"over_cap"}
    assert len(pairs_of(export(*runs))) == 4


def test_a_better_reason_replaces_a_worse_one() -> None:
    """Of the reasons of its candidates a run takes the best in the order of SPEC 5.4."""
    conversations = {"w1": ("system: t", "user: q", "assistant: y"), "w2": (*BASE, "assistant: y", "user: r", "assistant: z")}
    worse = [made_run(name, "rejected", messages=chat(*turns)) for name, turns in conversations.items()]

    for runs in (worse, worse[::-1]):
        assert fates(export(made_run("a", messages=chat(*BASE, "assistant: x")), *runs))["a"] == "not_final_turn"


def brute(runs: list[Run], cap: int, scope: str) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Return pairs and fates of one task whose runs hold an instruction and a response each, by trying everything."""

    def words(one: Run) -> str:
        return " ".join((one.evidence.response or "").split())

    sides = {name: [r for r in runs if (r.category == "rejected") == (name == "worse")] for name in ("better", "worse")}
    first = {
        name: [r for r in side if not any(words(o) == words(r) and o.evidence.id < r.evidence.id for o in side)]
        for name, side in sides.items()
    }
    possible = [
        (c, r) for c, r in product(first["better"], first["worse"])
        if words(c) != words(r) and c.evidence.run_id != r.evidence.run_id and (scope == "any" or c.evidence.model == r.evidence.model)
    ]  # fmt: skip
    taken: list[tuple[Run, Run]] = []
    for _ in range(cap):
        used = [words(one) for pair in taken for one in pair]
        left = sorted(
            (pair for pair in possible if pair not in taken),
            key=lambda p: (p[0].evidence.model != p[1].evidence.model, p[0].category != "accepted",
                           sum(used.count(words(one)) for one in p), p[0].evidence.id, p[1].evidence.id),
        )  # fmt: skip
        taken += left[:1]
    paired = {one.evidence.id for pair in taken for one in pair}
    candidate = {one.evidence.id for pair in possible for one in pair}
    standing = {one.evidence.id for side in first.values() for one in side}
    fate = {
        name: "accepted" if name in paired else "no_counterpart" if not all(sides.values()) else "over_cap" if name in candidate
        else "no_counterpart" if name in standing else "duplicate_text"
        for name in (one.evidence.id for one in runs)
    }  # fmt: skip
    return sorted((c.evidence.run_id or "", r.evidence.run_id or "") for c, r in taken), fate


TASK = st.lists(
    st.tuples(st.sampled_from(["accepted", "retried", "rejected"]), st.sampled_from("uvwxyz"), st.sampled_from(["m1", "m2"]), st.sampled_from("1234567")),
    max_size=8,
)  # fmt: skip


@settings(max_examples=200)
@given(TASK, st.integers(0, 5), st.sampled_from(["any", "same_model"]), st.randoms(use_true_random=False))
def test_choice_agrees_with_brute_force(task: list[tuple[str, str, str, str]], cap: int, scope: str, random: Any) -> None:
    """Pairs and fates of random tasks are those of a plain reading of SPEC 5.4, in any order of arrival."""
    runs = [
        made_run(f"e{i}", kind, response=f"{text} end", model=model, run_id=f"{run_id}")
        for i, (kind, text, model, run_id) in enumerate(task)
    ]
    shuffled = list(runs)
    random.shuffle(shuffled)

    outcomes = export(*shuffled, max_pairs_per_task=cap, pair_scope=scope)

    assert (pairs_of(outcomes), fates(outcomes)) == brute(runs, cap, scope)
    rows = rows_of(outcomes, PREFERENCE)
    assert all(row.chosen_run_id != row.rejected_run_id for row in rows)
    assert all(row.chosen[0].content.split() != row.rejected[0].content.split() for row in rows)


def test_include_decides_what_may_be_chosen() -> None:
    """`sft.include` admits a run accepted with changes, whose correction is then the chosen answer."""
    config = Config(sft=Sft(include=("with_changes",)))
    runs = [
        made_run("a", "with_changes", corrected_response="corrected"),
        made_run("b", "with_changes"),
        made_run("c", "rejected"),
        made_run("d"),
    ]

    outcomes = list(run(runs, config))

    assert fates(outcomes) == {"a": "accepted", "b": "empty_response", "c": "accepted", "d": "neither_side"}
    assert [row.chosen[0].content for row in rows_of(outcomes, PREFERENCE)] == ["corrected"]


def test_every_reason_of_the_export_is_in_the_table() -> None:
    """The reasons the cases above name are slugs of the table."""
    named = {reason for _, reason in KEPT_OUT.values()} | {reason for *_, reason in PARTING.values()} | {"over_cap", "duplicate_text"}

    assert named <= {reason.slug for reason in REASONS}


@given(seed=st.integers(0, 10_000), cap=st.integers(1, 4), scope=st.sampled_from(["any", "same_model"]))
def test_a_task_of_many_runs_gives_what_trying_every_pair_gives(seed: int, cap: int, scope: str) -> None:
    """The way that does not try every pair chooses the same pairs and gives every run the same fate."""
    rng = random.Random(seed)
    sides: list[Side] = []
    for number in range(rng.randrange(2, 24)):
        turns = [Turn("user", rng.choice(["one", "two"])), Turn("assistant", f"answer {rng.randrange(8)}", rng.random() < 0.1)]
        if rng.random() < 0.3:
            turns = [*turns, Turn("user", rng.choice(["more", "less"])), Turn("assistant", f"last {rng.randrange(5)}")]
        key = (text_key(turns) or b"").hex()[:32]
        chosen, identity = rng.random() < 0.5, f"{number:032x}"
        model, retried = rng.choice("ab"), chosen and rng.random() < 0.4
        sides.append(Side(identity, chosen, key, f"run {number}", model, retried, "tests_failed", f"log:{number}", turns))
    wanted = Preference(max_pairs_per_task=cap, pair_scope=scope)
    every = list(pair_task(sides, wanted))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_preference, "MANY", -1)
        thin = list(pair_task(sides, wanted))

    assert [(one.kind, one.unit, one.reason, one.rows) for one in thin] == [(one.kind, one.unit, one.reason, one.rows) for one in every]
