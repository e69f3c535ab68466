"""The scoring rules (SPEC 4): a case for every slug, and their law over all combinations of signals."""

from collections.abc import Sequence
from functools import cache
from itertools import combinations_with_replacement

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.rules import RULES, Judgement, build_facts, score_run
from distill.schemas.evidence import Signal
from distill.schemas.scored_run import SubScores
from distill.scores import SCORES
from tests.strategies import checked, human, judge, signal, signals

TESTS = {name: signal("test", name) for name in ("pass", "fail", "partial")} | {
    "counted_pass": checked(2, 0), "counted_fail": checked(2, 1), "unchecked": checked(0, 0),
}  # fmt: skip
BROKEN = signal("infrastructure", "none")
AMBIGUOUS = signal("test", "none", aspect="ambiguous")
OK, NOT_OK = signal("self", "pass"), signal("self", "fail")
REVIEW, ACCEPT, PARTLY, REJECT = "needs_human_review", "accepted", "partially_accepted", "rejected"
ORDER = (REJECT, REVIEW, PARTLY, ACCEPT)


def score(*given_signals: Signal, errors: bool = False, attempts: int | None = None) -> Judgement:
    """Score one run with the default confidence."""
    return score_run(build_facts(given_signals, errors=errors, attempts=attempts, judge_confidence=0.8), given_signals)


CASES: dict[str, tuple[Sequence[Signal], str, list[str]]] = {
    "human_accept": ([human("pass")], ACCEPT, ["human_accept"]),
    "human_accept_over_failed_tests": ([human("pass"), TESTS["fail"]], ACCEPT, ["human_accept", "tests_failed"]),
    "human_accept_over_infrastructure": ([human("pass"), BROKEN], ACCEPT, ["human_accept", "not_judged"]),
    "with_changes": ([human("with_changes")], PARTLY, ["with_changes"]),
    "human_reject": ([human("fail")], REJECT, ["human_reject"]),
    "human_reject_over_passed_tests": ([human("fail"), TESTS["pass"]], REJECT, ["human_reject", "tests_passed"]),
    "escalated": ([human("escalate")], REVIEW, ["escalated"]),
    "escalated_by_judge": ([judge("escalate")], REVIEW, ["escalated"]),
    "human_over_judge_escalation": ([judge("escalate"), human("pass")], ACCEPT, ["human_accept"]),
    "reviewers_disagree": ([human("pass", "human:1"), human("fail", "human:2")], REVIEW, ["reviewers_disagree"]),
    "accept_and_changes_disagree": ([human("pass", "human:1"), human("with_changes", "human:2")], REVIEW, ["reviewers_disagree"]),
    "unnamed_reviewers_are_two": ([human("pass", None), human("fail", None)], REVIEW, ["reviewers_disagree"]),
    "reviewers_agree": ([human("pass", "human:1"), human("pass", "human:2")], ACCEPT, ["human_accept"]),
    "last_of_one_reviewer": ([human("fail"), human("pass")], ACCEPT, ["human_accept"]),
    "not_judged": ([BROKEN], REVIEW, ["not_judged"]),
    "not_judged_whatever_fails": ([BROKEN, TESTS["fail"], judge("fail")], REVIEW, ["not_judged", "tests_failed", "strong_reject"]),
    "judge_does_not_heal_infrastructure": ([BROKEN, judge("pass")], REVIEW, ["not_judged", "strong_accept"]),
    "test_heals_infrastructure": ([BROKEN, TESTS["pass"]], ACCEPT, ["tests_passed"]),
    "strong_signals_disagree": ([TESTS["pass"], TESTS["counted_fail"]], REVIEW, ["signals_disagree", "tests_failed", "tests_passed"]),
    "judges_disagree": ([judge("pass"), judge("fail")], REVIEW, ["signals_disagree", "strong_reject", "strong_accept"]),
    "judge_against_failed_test": ([judge("pass"), TESTS["fail"]], REVIEW, ["signals_disagree", "tests_failed", "strong_accept"]),
    "weak_rejection_of_passed_test": ([TESTS["pass"], judge("fail", 0.1)], REVIEW, ["signals_disagree", "tests_passed"]),
    "veto_of_passed_test": ([TESTS["pass"], judge("fail", None, "style")], REVIEW, ["signals_disagree", "tests_passed"]),
    "veto_of_strong_acceptance": ([judge("pass"), judge("fail", 0.1, "style")], REVIEW, ["signals_disagree", "strong_accept"]),
    "weak_rejection_beside_strong_acceptance": ([judge("pass"), judge("fail", 0.1)], ACCEPT, ["strong_accept"]),
    "tests_failed": ([TESTS["counted_fail"]], REJECT, ["tests_failed"]),
    "test_without_counts_failed": ([TESTS["fail"]], REJECT, ["tests_failed"]),
    "strong_reject": ([judge("fail")], REJECT, ["strong_reject"]),
    "strong_at_the_bound": ([judge("fail", 0.8)], REJECT, ["strong_reject"]),
    "tests_passed": ([TESTS["counted_pass"]], ACCEPT, ["tests_passed"]),
    "test_without_counts_passed": ([TESTS["pass"]], ACCEPT, ["tests_passed"]),
    "strong_accept": ([judge("pass")], ACCEPT, ["strong_accept"]),
    "partial_reward": ([TESTS["partial"]], PARTLY, ["partial_reward"]),
    "partial_outranks_pass": ([TESTS["pass"], TESTS["partial"]], PARTLY, ["partial_reward", "tests_passed"]),
    "partial_of_a_sure_judge": ([judge("partial")], PARTLY, ["partial_reward"]),
    "fail_outranks_partial": ([TESTS["fail"], TESTS["partial"]], REJECT, ["tests_failed", "partial_reward"]),
    "ambiguous_verdict": ([AMBIGUOUS, judge("fail", None)], REVIEW, ["ambiguous_verdict"]),
    "judge_confidence_missing": ([judge("pass", None)], REVIEW, ["judge_confidence_missing"]),
    "missing_confidence_before_weak": ([judge("fail", None), judge("pass", 0.5)], REVIEW, ["judge_confidence_missing"]),
    "weak_reject": ([judge("fail", 0.79)], REVIEW, ["weak_reject"]),
    "veto_alone": ([judge("fail", 0.99, "style")], REVIEW, ["weak_reject"]),
    "weak_reject_before_weak_accept": ([judge("pass", 0.5), judge("fail", 0.5)], REVIEW, ["weak_reject"]),
    "weak_accept": ([judge("pass", 0.5)], REVIEW, ["weak_accept"]),
    "another_aspect_accepts_nothing": ([judge("pass", 0.99, aspect="style")], REVIEW, ["no_signal"]),
    "judge_accepts_with_changes": ([judge("with_changes", 0.99)], REVIEW, ["weak_accept"]),
    "no_checks_ran": ([TESTS["unchecked"], OK], REVIEW, ["no_checks_ran"]),
    "self_claim_only": ([OK], REVIEW, ["self_claim_only"]),
    "self_claim_of_failure": ([NOT_OK], REVIEW, ["self_claim_only"]),
    "no_signal": ([], REVIEW, ["no_signal"]),
    "signals_without_verdict": ([signal("self", "none"), human("none")], REVIEW, ["no_signal"]),
}


@pytest.mark.parametrize(("given_signals", "category", "reasons"), CASES.values(), ids=CASES)
def test_case_of_the_rules(given_signals: Sequence[Signal], category: str, reasons: list[str]) -> None:
    """The first rule that speaks decides, and every rule that fired is a reason."""
    judgement = score(*given_signals)

    assert (judgement.category, judgement.reasons) == (category, reasons)
    assert judgement.score == SCORES[reasons[0]]


@pytest.mark.parametrize(("attempts", "slug"), [(None, "tests_passed"), (0, "tests_passed"), (1, "tests_passed"), (2, "retried")])
def test_pass_after_retries_is_partial(attempts: int | None, slug: str) -> None:
    """A pass on a later attempt is `retried`; attempts null or 1 are the first."""
    assert score(TESTS["pass"], attempts=attempts).reasons[0] == slug
    assert score(attempts=attempts).reasons == ["no_signal"]


@pytest.mark.parametrize(
    ("given_signals", "slug"),
    [([], "errors_unjudged"), ([judge("pass", 0.5)], "errors_unjudged"), ([judge("fail", None)], "errors_unjudged"),
     ([OK], "errors_unjudged"), ([judge("with_changes")], "errors_unjudged"), ([TESTS["unchecked"]], "errors_unjudged"),
     ([TESTS["pass"]], "tests_passed"), ([TESTS["fail"]], "tests_failed"), ([judge("pass")], "strong_accept"),
     ([TESTS["partial"]], "partial_reward"), ([human("escalate")], "escalated"), ([BROKEN], "not_judged"),
     ([judge("escalate")], "escalated")],
)  # fmt: skip
def test_errors_reject_what_nothing_strong_judged(given_signals: list[Signal], slug: str) -> None:
    """Errors reject a run unless something strong judged it; weak judges and the agent's claim do not count."""
    assert score(*given_signals, errors=True).reasons[0] == slug


def test_every_slug_has_a_case() -> None:
    """No rule is without a named case in which it decides."""
    seen = {reasons[0] for _, _, reasons in CASES.values()} | {"errors_unjudged", "retried"}

    assert seen == {rule.slug for rule in RULES}


ATOMS = [
    *(human(verdict, by) for verdict in ("pass", "with_changes", "fail", "escalate") for by in ("human:1", "human:2")),
    *TESTS.values(), BROKEN, AMBIGUOUS, OK, NOT_OK,
    *(judge(v, c, a) for v in ("pass", "fail", "with_changes", "partial", "escalate") for c in (0.9, 0.5, None) for a in ("outcome", "style")),
]  # fmt: skip
FAILS = [atom for atom in ATOMS if atom.verdict == "fail"]
MODES = [(errors, attempts) for errors in (False, True) for attempts in (None, 1, 2)]


@cache
def rank(indexes: tuple[int, ...], mode: tuple[bool, int | None]) -> int:
    """Return the place of a category in the order of SPEC 4, of signals named by their place in ATOMS."""
    return ORDER.index(score(*(ATOMS[i] for i in indexes), errors=mode[0], attempts=mode[1]).category)


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_adding_a_failing_signal_never_raises_a_category(mode: tuple[bool, int | None]) -> None:
    """Over all combinations of up to three signals, one more that fails raises nothing, wherever it stands."""
    numbers = range(len(ATOMS))
    fails = [i for i in numbers if ATOMS[i] in FAILS]
    bases = [base for size in range(3) for base in combinations_with_replacement(numbers, size)]

    raised = [
        (base, fail) for base in bases for fail in fails if max(rank((*base, fail), mode), rank((fail, *base), mode)) > rank(base, mode)
    ]

    assert raised == []


@given(st.lists(signals, max_size=5), signals, st.integers(0, 5), st.booleans(), st.none() | st.integers(0, 3))
def test_law_holds_for_any_signals(base: list[Signal], extra: Signal, place: int, errors: bool, attempts: int | None) -> None:
    """Any signal of any shape with verdict fail raises no category of any run."""
    import msgspec

    failing = msgspec.structs.replace(extra, verdict="fail")
    if failing.kind == "infrastructure":
        return
    before = score(*base, errors=errors, attempts=attempts)
    after = score(*base[:place], failing, *base[place:], errors=errors, attempts=attempts)

    assert ORDER.index(after.category) <= ORDER.index(before.category)


def oracle(run: Sequence[Signal], *, errors: bool, attempts: int | None) -> str:
    """Return the deciding slug by SPEC 4 read clause by clause."""
    people = {signal.by: signal.verdict for signal in run if signal.kind == "human"}
    if people:
        of_people = {"pass": "human_accept", "with_changes": "with_changes", "fail": "human_reject", "escalate": "escalated"}
        return of_people[min(people.values())] if len(set(people.values())) == 1 else "reviewers_disagree"
    has = {(s.kind, s.verdict) for s in run if s.kind == "test"}
    sure = {s.verdict for s in run if s.kind == "judge" and s.aspect == "outcome" and (s.confidence or 0) >= 0.8}
    judges = [s for s in run if s.kind == "judge"]
    passed, failed = ("test", "pass") in has, ("test", "fail") in has
    vetoed = any(s.verdict == "fail" and s.aspect != "outcome" for s in judges)
    any_fail = any(s.verdict == "fail" for s in judges)
    partial = ("test", "partial") in has or "partial" in sure
    table = [
        ("escalated", any(s.verdict == "escalate" for s in judges)),
        ("not_judged", BROKEN in run and not passed),
        ("signals_disagree", (passed or "pass" in sure) and (failed or "fail" in sure)),
        ("signals_disagree", (passed and any_fail) or ("pass" in sure and vetoed)),
        ("tests_failed", failed),
        ("strong_reject", "fail" in sure),
        ("errors_unjudged", errors and not (passed or partial or "pass" in sure)),
        ("partial_reward", partial),
        ("retried", (passed or "pass" in sure) and (attempts or 1) > 1),
        ("tests_passed", passed),
        ("strong_accept", "pass" in sure),
        ("ambiguous_verdict", AMBIGUOUS in run),
        ("judge_confidence_missing", any(s.aspect == "outcome" and s.confidence is None and s.verdict in {"pass", "fail"} for s in judges)),
        ("weak_reject", any_fail),
        ("weak_accept", any(s.aspect == "outcome" and s.verdict in {"pass", "with_changes", "partial"} for s in judges)),
        ("no_checks_ran", TESTS["unchecked"] in run),
        ("self_claim_only", OK in run or NOT_OK in run),
    ]
    return next((slug for slug, speaks in table if speaks), "no_signal")


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_rules_agree_with_a_second_reading_of_the_specification(mode: tuple[bool, int | None]) -> None:
    """Over all combinations of up to two signals the deciding slug is the one of a plain list of clauses."""
    errors, attempts = mode
    runs = [run for size in range(3) for run in combinations_with_replacement(ATOMS, size)]

    differing = [
        run for run in runs if score(*run, errors=errors, attempts=attempts).reasons[0] != oracle(run, errors=errors, attempts=attempts)
    ]

    assert differing == []


@pytest.mark.parametrize(
    ("given_signals", "expected"),
    [
        ([], SubScores()),
        ([human("pass"), human("pass", "human:2")], SubScores(human=1.0)),
        ([human("with_changes")], SubScores(human=0.5)),
        ([human("fail")], SubScores(human=0.0)),
        ([human("escalate")], SubScores()),
        ([checked(3, 1)], SubScores(test=0.75)),
        ([checked(3, 0), TESTS["fail"]], SubScores(test=0.75)),
        ([TESTS["pass"], TESTS["partial"]], SubScores(test=1.0)),
        ([TESTS["unchecked"]], SubScores()),
        ([judge("pass"), judge("fail", 0.1), judge("fail", 0.9, "style")], SubScores(judge=0.5)),
        ([OK, NOT_OK, signal("self", "none")], SubScores(self=0.5)),
    ],
)
def test_sub_scores_tell_each_kind_by_itself(given_signals: list[Signal], expected: SubScores) -> None:
    """Each kind of signal has its own share, null where it says nothing."""
    assert score(*given_signals).sub_scores == expected
