"""Scoring: one table of rules, one run at a time, the first rule that speaks decides (SPEC 4).

What only the whole corpus shows (duplicates, pooling, conflicts) is in `distill.stages.resolution`. Law: adding a
signal with the verdict fail never raises a category.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from distill.schemas.evidence import Signal
from distill.schemas.scored_run import Category, SubScores
from distill.scores import SCORES

__all__ = ["RULES", "RULES_VERSION", "Facts", "Judgement", "Rule", "build_facts", "score_run"]

RULES_VERSION = "1"


class Facts(NamedTuple):
    """What the signals of one run amount to."""

    decisions: frozenset[str]
    """Verdicts of persons, the last of each reviewer."""
    infrastructure: bool
    """Something broke before a judgement."""
    errors: bool
    """The run logged errors of its own."""
    retried: bool
    """It ended on a later attempt than the first."""
    test_pass: bool
    """An executed test passed."""
    test_fail: bool
    """An executed test failed."""
    judge_pass: bool
    """A judge on the outcome accepted with enough confidence."""
    judge_fail: bool
    """A judge on the outcome rejected with enough confidence."""
    any_judge_fail: bool
    """Any judge rejected, whatever its aspect."""
    veto: bool
    """A judge of another aspect rejected."""
    partial: bool
    """A strong signal lies between its thresholds."""
    escalated: bool
    """A judge asked for a person."""
    ambiguous: bool
    """A verdict could not be joined to one run."""
    confidence_missing: bool
    """A judge on the outcome decided without saying how sure it is."""
    weak_accept: bool
    """A judge on the outcome accepted weakly, or with changes."""
    no_checks: bool
    """A test ran no check."""
    self_claim: bool
    """The agent says how it went."""

    @property
    def strong(self) -> bool:
        """Whether anything strong judged the run."""
        return bool(self.decisions) or self.test_pass or self.test_fail or self.judge_pass or self.judge_fail or self.partial


class Rule(NamedTuple):
    """One line of the table."""

    slug: str
    """Its reason."""
    category: Category
    """What it decides."""
    speaks: Callable[[Facts], bool]
    """Whether it fires."""
    last: bool = False
    """True for those asked only where no rule before them fired, and of which only the first speaks."""


RULES: tuple[Rule, ...] = (
    Rule("reviewers_disagree", "needs_human_review", lambda f: len(f.decisions) > 1),
    Rule("human_accept", "accepted", lambda f: f.decisions == {"pass"}),
    Rule("with_changes", "partially_accepted", lambda f: f.decisions == {"with_changes"}),
    Rule("human_reject", "rejected", lambda f: f.decisions == {"fail"}),
    Rule("escalated", "needs_human_review", lambda f: f.decisions == {"escalate"} or (f.escalated and not f.decisions)),
    Rule("not_judged", "needs_human_review", lambda f: f.infrastructure and not f.test_pass),
    Rule(
        "signals_disagree", "needs_human_review",
        lambda f: ((f.test_pass or f.judge_pass) and (f.test_fail or f.judge_fail))
        or (f.test_pass and f.any_judge_fail) or (f.judge_pass and f.veto),
    ),
    Rule("tests_failed", "rejected", lambda f: f.test_fail),
    Rule("strong_reject", "rejected", lambda f: f.judge_fail),
    Rule("errors_unjudged", "rejected", lambda f: f.errors and not f.strong),
    Rule("partial_reward", "partially_accepted", lambda f: f.partial),
    Rule("retried", "partially_accepted", lambda f: f.retried and (f.test_pass or f.judge_pass)),
    Rule("tests_passed", "accepted", lambda f: f.test_pass),
    Rule("strong_accept", "accepted", lambda f: f.judge_pass),
    Rule("ambiguous_verdict", "needs_human_review", lambda f: f.ambiguous, last=True),
    Rule("judge_confidence_missing", "needs_human_review", lambda f: f.confidence_missing, last=True),
    Rule("weak_reject", "needs_human_review", lambda f: f.any_judge_fail, last=True),
    Rule("weak_accept", "needs_human_review", lambda f: f.weak_accept, last=True),
    Rule("no_checks_ran", "needs_human_review", lambda f: f.no_checks, last=True),
    Rule("self_claim_only", "needs_human_review", lambda f: f.self_claim, last=True),
    Rule("no_signal", "needs_human_review", lambda f: True, last=True),
)  # fmt: skip
"""In the order they apply. Of groups 1 to 5 of SPEC 4 every rule that fires is a reason."""


class Judgement(NamedTuple):
    """What the rules say of a run."""

    category: Category
    """What may become of it."""
    score: float
    """0..1."""
    reasons: list[str]
    """Every rule that fired; the first decides."""
    sub_scores: SubScores
    """What each kind of signal says."""


def build_facts(signals: Sequence[Signal], *, errors: bool, attempts: int | None, judge_confidence: float) -> Facts:
    """Sum up signals in the order of their time and place."""
    tests = [s for s in signals if s.kind == "test" and (s.checks is None or s.checks.passed + s.checks.failed > 0)]
    judges = [s for s in signals if s.kind == "judge"]
    outcome = [s for s in judges if s.aspect == "outcome"]
    sure = [s for s in outcome if s.confidence is not None and s.confidence >= judge_confidence]
    decisions = _decisions(signals)
    return Facts(
        decisions=decisions,
        infrastructure=any(s.kind == "infrastructure" for s in signals),
        errors=errors,
        retried=(attempts or 1) > 1,
        test_pass=any(s.verdict == "pass" for s in tests),
        test_fail=any(s.verdict == "fail" for s in tests),
        judge_pass=any(s.verdict == "pass" for s in sure),
        judge_fail=any(s.verdict == "fail" for s in sure),
        any_judge_fail=any(s.verdict == "fail" for s in judges),
        veto=any(s.verdict == "fail" and s.aspect != "outcome" for s in judges),
        partial=any(s.verdict == "partial" for s in (*tests, *sure)) or "partial" in decisions,
        escalated=any(s.verdict == "escalate" for s in judges),
        ambiguous=any(s.aspect == "ambiguous" for s in signals),
        confidence_missing=any(s.verdict in {"pass", "fail"} and s.confidence is None for s in outcome),
        weak_accept=any(s.verdict in {"pass", "with_changes", "partial"} for s in outcome),
        no_checks=any(s.kind == "test" and s.checks is not None and s.checks.passed + s.checks.failed == 0 for s in signals),
        self_claim=any(s.kind == "self" and s.verdict != "none" for s in signals),
    )


def _decisions(signals: Sequence[Signal]) -> frozenset[str]:
    """Return what persons decided; a reviewer without name is a reviewer of their own."""
    last: dict[str | int, str] = {}
    for i, signal in enumerate(signals):
        if signal.kind == "human" and signal.verdict != "none":
            last[i if signal.by is None else signal.by] = signal.verdict
    return frozenset(last.values())


def judge_row(signals: Sequence[Signal], *, errors: bool, attempts: int | None, judge_confidence: float) -> Judgement:
    """Apply the rules to the signals of one row; rows that say the same are judged once."""
    key = (errors, (attempts or 1) > 1, judge_confidence, *[_shape(signal) for signal in signals])
    known = _JUDGED.get(key)
    if known is None:
        facts = build_facts(signals, errors=errors, attempts=attempts, judge_confidence=judge_confidence)
        known = score_run(facts, signals)
        if len(_JUDGED) < 1 << 16:
            _JUDGED[key] = known
    return known


_JUDGED: dict[Any, Judgement] = {}


def _shape(signal: Signal) -> tuple[Any, ...]:
    """Return everything of a signal that the rules look at."""
    checks = signal.checks
    counts = None if checks is None else (checks.passed, checks.failed)
    return (signal.kind, signal.verdict, signal.aspect, signal.confidence, signal.by, counts)


def score_run(facts: Facts, signals: Sequence[Signal]) -> Judgement:
    """Apply the table to the facts of one run."""
    fired = _fired(facts)
    return Judgement(fired[0].category, SCORES[fired[0].slug], [rule.slug for rule in fired], _sub_scores(facts, signals))


@lru_cache(maxsize=4096)
def _fired(facts: Facts) -> tuple[Rule, ...]:
    """Return the rules that speak; a corpus has few different facts, so they are remembered."""
    fired = tuple(rule for rule in RULES if not rule.last and rule.speaks(facts))
    return fired or (next(rule for rule in RULES if rule.last and rule.speaks(facts)),)


def _sub_scores(facts: Facts, signals: Sequence[Signal]) -> SubScores:
    human = {frozenset({"pass"}): 1.0, frozenset({"with_changes"}): 0.5, frozenset({"fail"}): 0.0}.get(facts.decisions)
    checks = [s.checks for s in signals if s.checks is not None]
    passed = sum(c.passed for c in checks) + sum(s.verdict == "pass" for s in signals if s.kind == "test" and s.checks is None)
    failed = sum(c.failed for c in checks) + sum(s.verdict == "fail" for s in signals if s.kind == "test" and s.checks is None)
    judges = [s.verdict == "pass" for s in signals if s.kind == "judge" and s.aspect == "outcome" and s.verdict in {"pass", "fail"}]
    claims = [s.verdict == "pass" for s in signals if s.kind == "self" and s.verdict in {"pass", "fail"}]
    return SubScores(
        human=human,
        test=passed / (passed + failed) if passed + failed else None,
        judge=sum(judges) / len(judges) if judges else None,
        self=sum(claims) / len(claims) if claims else None,
    )
