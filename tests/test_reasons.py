"""The table of reasons (SPEC 3) and the errors and scores that stand beside it."""

import re
from pathlib import Path

import pytest

import distill
from distill.errors import ConfigError, ContaminationError, DistillError
from distill.reasons import ACTIONS, REASONS, action_of, meaning_of
from distill.rules import RULES
from distill.scores import SCORES

SLUGS = {reason.slug for reason in REASONS}
COLLECT = [
    "not_json",
    "truncated",
    "invalid_utf8",
    "lone_surrogate",
    "number_out_of_range",
    "missing_field",
    "mistyped_field",
    "bad_time",
    "line_too_long",
    "too_deep",
    "unreadable_member",
    "duplicate_key",
]
EXPORTS = [
    "unsafe_category",
    "unsafe_sft_category",
    "category_disallowed",
    "missing_source_run_id",
    "empty_instruction",
    "empty_response",
    "conflicting_verdicts",
    "run_id_reused",
    "answer_leak",
    "duplicate",
    "same_run",
    "superseded_by_review",
    "duplicate_text",
    "failed_turns",
    "no_playbook",
    "missing_task_id",
    "neither_side",
    "no_counterpart",
    "over_cap",
    "not_final_turn",
    "diverges_before_agent",
    "prompts_differ",
]
SCORING = [
    "human_accept",
    "with_changes",
    "human_reject",
    "escalated",
    "reviewers_disagree",
    "not_judged",
    "signals_disagree",
    "tests_failed",
    "strong_reject",
    "errors_unjudged",
    "tests_passed",
    "strong_accept",
    "retried",
    "partial_reward",
    "ambiguous_verdict",
    "judge_confidence_missing",
    "weak_reject",
    "weak_accept",
    "no_checks_ran",
    "self_claim_only",
    "no_signal",
]


@pytest.mark.parametrize("slug", [*COLLECT, *EXPORTS, *SCORING])
def test_slug_of_the_specification_is_in_the_table(slug: str) -> None:
    """Every slug that SPEC 3 to 6 and 9 name has a meaning and an action of its own."""
    assert slug in SLUGS
    assert meaning_of(slug) != slug
    assert action_of(slug) in ACTIONS


def test_every_slug_stands_once_and_is_used() -> None:
    """The table repeats no slug, and holds none that no module gives."""
    package = Path(distill.__file__).parent
    source = "\n".join(path.read_text() for path in package.rglob("*.py") if path.name not in {"reasons.py", "scores.py"})

    assert len(SLUGS) == len(REASONS)
    assert sorted(slug for slug in SLUGS if not re.search(rf'["\']{slug}["\']', source)) == []


def test_unknown_slug_stands_for_itself_and_asks_for_review() -> None:
    """A slug outside the table is shown as it is, and a person should look."""
    assert (meaning_of("brand_new"), action_of("brand_new")) == ("brand_new", "review")


def test_every_rule_has_a_score_and_scores_fall_with_the_category() -> None:
    """The score table holds exactly the rules' slugs and never ranks a lower category above a higher one."""
    groups = {
        category: [SCORES[rule.slug] for rule in RULES if rule.category == category] for category in {rule.category for rule in RULES}
    }

    assert set(SCORES) == {rule.slug for rule in RULES} | {"run_id_reused"}
    assert all(0 <= score <= 1 for score in SCORES.values())
    assert min(groups["accepted"]) > max(groups["partially_accepted"]) >= min(groups["partially_accepted"])
    assert min(groups["partially_accepted"]) >= max(groups["needs_human_review"]) > max(groups["rejected"])


def test_errors_keep_every_problem() -> None:
    """A config error shows all problems, a contamination the first ten and how many more there are."""
    problems = [f"problem {i}" for i in range(12)]

    assert str(ConfigError(problems)) == "\n".join(problems)
    assert str(ContaminationError(problems)) == "\n".join([*problems[:10], "and 2 more"])
    assert str(ContaminationError(problems[:10])) == "\n".join(problems[:10])
    assert ContaminationError(problems).violations == tuple(problems)
    assert issubclass(ConfigError, DistillError)
