"""The score of a run by the reason that decided it (SPEC 3); which reason that is, is in `distill.rules`."""

from types import MappingProxyType

__all__ = ["SCORES"]

SCORES = MappingProxyType({
    "human_accept": 1.0, "tests_passed": 1.0, "strong_accept": 0.9, "retried": 0.8, "with_changes": 0.7, "partial_reward": 0.6,
    "weak_accept": 0.6, "reviewers_disagree": 0.5, "escalated": 0.5, "not_judged": 0.5, "signals_disagree": 0.5,
    "ambiguous_verdict": 0.5, "judge_confidence_missing": 0.5, "no_checks_ran": 0.5, "self_claim_only": 0.5, "no_signal": 0.5,
    "run_id_reused": 0.5, "weak_reject": 0.3, "errors_unjudged": 0.1, "tests_failed": 0.0, "strong_reject": 0.0, "human_reject": 0.0,
})  # fmt: skip
"""Deciding reason to 0..1."""
