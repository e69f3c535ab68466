"""The table of reasons: slug, what it means, and what to do about it (SPEC 3).

Slugs are stable: receipts, quarantine files and drift count them. Summaries group them by action.
"""

from typing import Literal, NamedTuple

__all__ = ["ACTIONS", "REASONS", "Action", "Reason", "action_of", "meaning_of"]

Action = Literal["none", "review", "fix_source", "fix_config"]

ACTIONS: dict[Action, str] = {
    "review": "look at the runs in exports/quarantine/ and have a person decide in a review log; then `doit`",
    "fix_source": "repair the log at the place named in exports/quarantine/; then `doit`",
    "fix_config": "change the mapping or the settings; then `doit`",
    "none": "nothing to do",
}
"""What to do about the reasons of each action, with the next command."""


class Reason(NamedTuple):
    """One line of the table."""

    slug: str
    """The name in receipts and quarantine files."""
    meaning: str
    """What happened, in one clause."""
    action: Action
    """Who can do something about it."""


REASONS: tuple[Reason, ...] = (
    # collect
    Reason("not_json", "the line is no JSON object", "fix_source"),
    Reason("truncated", "the record ends before it is complete", "fix_source"),
    Reason("invalid_utf8", "the bytes are no UTF-8", "fix_source"),
    Reason("lone_surrogate", "a string holds half a surrogate pair", "fix_source"),
    Reason("number_out_of_range", "a number is too large to be kept", "fix_source"),
    Reason("missing_field", "a required field is absent", "fix_source"),
    Reason("mistyped_field", "a field has another type or an unknown word", "fix_source"),
    Reason("duplicate_key", "an object has the same key twice", "fix_source"),
    Reason("bad_time", "the time is impossible or has no zone", "fix_source"),
    Reason("line_too_long", "the line is longer than max_line_bytes", "fix_config"),
    Reason("too_deep", "the record is nested beyond 500 levels", "fix_source"),
    Reason("unreadable_member", "the compressed data is damaged", "fix_source"),
    Reason("no_run", "the record holds no run", "none"),
    # resolution
    Reason("duplicate", "the same record was read before", "none"),
    Reason("same_run", "another row stands for this run", "none"),
    Reason("superseded_by_review", "a person's decision stands in another row", "none"),
    Reason("conflicting_verdicts", "the same text was accepted in one run and rejected in another", "review"),
    Reason("run_id_reused", "one run id stands over different answers", "review"),
    # exports
    Reason("unsafe_category", "the run was rejected or nobody judged it", "review"),
    Reason("unsafe_sft_category", "the run was rejected or nobody judged it", "review"),
    Reason("category_disallowed", "partially accepted in a way that sft.include leaves out", "fix_config"),
    Reason("missing_source_run_id", "the run has no id to trace it by", "fix_source"),
    Reason("empty_instruction", "there is no user text", "fix_source"),
    Reason("empty_response", "there is no answer to train on", "none"),
    Reason("answer_leak", "the reference answer stands in the instruction", "fix_config"),
    Reason("failed_turns", "the log marks a turn as wrong; its good turns stand in prompt_completion", "none"),
    Reason("duplicate_text", "another row has the same text", "none"),
    Reason("no_playbook", "the task has no run that could stand in a playbook", "none"),
    Reason("missing_task_id", "the run names no task", "fix_source"),
    Reason("neither_side", "neither admitted as chosen nor judged and rejected", "none"),
    Reason("no_counterpart", "the task has no run on the other side that it may be paired with", "none"),
    Reason("over_cap", "its task has max_pairs_per_task better pairs", "none"),
    Reason("not_final_turn", "the runs part before their final answers", "none"),
    Reason("diverges_before_agent", "the runs part at a user's or a tool's message", "none"),
    Reason("prompts_differ", "the runs of the task did not see the same prompt", "none"),
    # scoring
    Reason("human_accept", "a person accepted the run", "none"),
    Reason("with_changes", "a person accepted the run with changes", "none"),
    Reason("human_reject", "a person rejected the run", "none"),
    Reason("escalated", "the reviewer asked for a person", "review"),
    Reason("reviewers_disagree", "different reviewers decided differently", "review"),
    Reason("not_judged", "the infrastructure failed before anything was judged", "review"),
    Reason("signals_disagree", "strong signals say opposite things", "review"),
    Reason("tests_failed", "an executed test failed", "none"),
    Reason("strong_reject", "a judge rejected with enough confidence", "none"),
    Reason("errors_unjudged", "the run logged errors and nothing strong judged it", "none"),
    Reason("partial_reward", "the reward lies between the thresholds", "none"),
    Reason("retried", "the run passed after retries", "none"),
    Reason("tests_passed", "the executed tests passed", "none"),
    Reason("strong_accept", "a judge accepted with enough confidence", "none"),
    Reason("ambiguous_verdict", "a verdict could not be joined to one run", "review"),
    Reason("judge_confidence_missing", "a judge decided without saying how sure it is", "review"),
    Reason("weak_reject", "a judge rejected without enough confidence, or vetoed", "review"),
    Reason("weak_accept", "a judge accepted without enough confidence, or with changes", "review"),
    Reason("no_checks_ran", "the tests ran no check", "review"),
    Reason("self_claim_only", "only the agent itself says how it went", "review"),
    Reason("no_signal", "nothing says how the run went", "review"),
)

_BY_SLUG = {reason.slug: reason for reason in REASONS}


def action_of(slug: str) -> Action:
    """Return who can do something about a reason; an unknown slug asks for a review."""
    return _BY_SLUG[slug].action if slug in _BY_SLUG else "review"


def meaning_of(slug: str) -> str:
    """Return what a reason means; an unknown slug stands for itself."""
    return _BY_SLUG[slug].meaning if slug in _BY_SLUG else slug
