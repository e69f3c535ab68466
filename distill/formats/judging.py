"""What a named score of a foreign log says: its direction stands in one table, an unknown one says nothing (SPEC 2, SPEC 3).

Only the aspect `outcome` can accept; every other can only veto, so a score that passes there adds nothing. What is missing from
the table is kept with its value and the verdict `none`: a direction is never guessed.
"""

import re
from typing import Any

from distill.schemas.evidence import Verdict

__all__ = ["BAD_WHEN_HIGH", "GOOD_WHEN_HIGH", "LABELS", "OUTCOME", "name_aspect", "read_verdict", "read_whole_verdict"]

OUTCOME = "outcome"
BAD_WHEN_HIGH = frozenset({
    "bias", "hallucination", "hallucinations", "harm", "harmfulness", "hate", "jailbreak", "pii", "pii_leakage", "prompt_injection",
    "self_harm", "sexual", "toxicity", "violence",
})  # fmt: skip
"""Aspects whose score of 1 is bad: 0.5 or more rejects."""
GOOD_WHEN_HIGH = frozenset({
    "accuracy", "answer_correctness", "answer_relevance", "answer_relevancy", "coherence", "completeness", "conciseness",
    "context_precision", "context_recall", "context_relevance", "correctness", "faithfulness", "fluency", "goal_accuracy", "groundedness",
    "helpfulness", "instruction_following", "intent_resolution", "quality", "relevance", "safety", "task_adherence", "task_completion",
    "tool_call_accuracy",
})  # fmt: skip
"""Aspects whose score of 1 is good: less than 0.5 rejects."""
LABELS: dict[str, Verdict] = {
    "pass": "pass", "passed": "pass", "correct": "pass", "accept": "pass", "accepted": "pass",
    "fail": "fail", "failed": "fail", "incorrect": "fail", "reject": "fail", "rejected": "fail",
}  # fmt: skip
"""Words that mean the same under every name."""


def name_aspect(name: str) -> str:
    """Return the name of a score as an aspect: lower case, words joined by `_`.

    >>> name_aspect("Intent Resolution"), name_aspect("IntentResolution"), name_aspect("self-harm")
    ('intent_resolution', 'intent_resolution', 'self_harm')
    """
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\s\-]+", "_", parted).lower()


def read_verdict(aspect: str, value: Any, label: str | None) -> Verdict:
    """Return what a score says: by its label where that is a known word, else by its value between 0 and 1.

    >>> read_verdict("toxicity", 0.8, None), read_verdict("correctness", 1, None), read_verdict("mood", 1, None)
    ('fail', 'pass', 'none')
    """
    by_label = LABELS.get((label or "").strip().lower())
    if by_label is not None:
        return by_label
    if aspect == OUTCOME:
        return read_whole_verdict(value)
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        return "none"
    if aspect in BAD_WHEN_HIGH:
        return "fail" if value >= 0.5 else "pass"
    if aspect in GOOD_WHEN_HIGH:
        return "fail" if value < 0.5 else "pass"
    return "none"


def read_whole_verdict(value: Any) -> Verdict:
    """Return what a score on the whole run says: 1 or true passes, 0 or false fails, between them is partial."""
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        return "none"
    return "pass" if value == 1 else "fail" if value == 0 else "partial"
