"""Names under which logs keep what evidence needs, and words that sound like a verdict.

Only tables and how a name is compared with them; what is made of a match is in `distill.onboarding.propose`.
"""

import re
from types import MappingProxyType
from typing import NamedTuple

from distill.onboarding.paths import Found

__all__ = [
    "EXPECTED", "FAIL_WORDS", "GUESSED", "MESSAGES", "NAMES", "NUMBERS", "PASS_WORDS", "ROLES", "TAGS", "TEXTS", "Names", "is_named",
    "is_negative", "sounds_like_verdict", "words_of",
]  # fmt: skip


class Names(NamedTuple):
    """Where an evidence field usually stands."""

    field: str
    """Evidence field."""
    names: tuple[str, ...]
    """Keys, the surest first; a dot means: this key below that one."""
    kinds: tuple[str, ...]
    """Kinds of value the field can take (`Found.kinds`)."""
    several: bool = False
    """Whether a list field takes all of them."""


_TEXT = ("text", "texts", "empty")
_ID = ("text", "integer")
NAMES: tuple[Names, ...] = (
    Names("run_id", ("run_id", "runid", "run.id", "trace_id", "traceid", "trajectory_id", "submission_id",
        "session_id", "session", "conversation_id", "episode_id", "request_id", "uuid", "id"), _ID),
    Names("task_id", (
        "task_id", "taskid", "task.id", "instance_id", "question_id", "problem_id", "task_name", "problem_name", "task", "name",
    ), _ID),
    Names("created_at", (
        "created_at", "createdat", "timestamp", "created", "finished_at", "started_at", "start_time", "starttime", "end_time",
        "finish_time", "task_finish_time", "datetime", "date", "time",
    ), ("text",)),
    Names("model", ("model", "model_name", "model_id", "model_name_or_path", "llm", "engine"), ("text",)),
    Names("provider", ("provider", "vendor"), ("text",)),
    Names("instruction", (
        "instruction", "prompt", "question", "problem_statement", "task_prompt", "task.prompt", "task.instruction", "user_prompt",
        "query", "problem",
        "input",
    ), _TEXT),
    Names("response", (
        "response", "answer", "completion", "solution", "final_answer", "model_output", "generation", "prediction", "model_patch", "output",
        "output.text", "response.text", "code",
    ), _TEXT),
    Names("reference", (
        "reference", "reference_answer", "gold", "gold_answer", "gold_patch", "ground_truth", "canonical_solution", "expected",
        "expected_output", "expected_answer", "expected_actions", "target", "test", "test_patch", "tests", "unit_tests",
    ), (*_TEXT, "list"), several=True),
    Names("lessons", ("lessons", "reflections", "reflection", "memory", "notes"), _TEXT, several=True),
    Names("errors", ("errors", "error", "error_message", "exception"), _TEXT, several=True),
    Names("attempts", ("attempts", "tries", "num_attempts", "n_attempts"), ("integer",)),
    Names("cost_usd", ("cost_usd", "total_cost_usd", "cost", "total_cost"), ("integer", "number")),
    Names("latency_ms", ("latency_ms", "duration_ms", "elapsed_ms"), ("integer", "number")),
    Names("context", ("context",), _TEXT),
)  # fmt: skip
"""Evidence fields in the order in which a mapping shows them."""
GUESSED = frozenset({"code", "name", "problem", "notes", "expected"})
"""Names that may as well mean something else; they are shown and never taken."""
EXPECTED = frozenset({"actions", "outputs", "expected_actions", "answer_key", "rubric"})
"""Names that, below another key, often hold what the agent should have done."""
MESSAGES = ("messages", "conversation", "conversations", "traj", "trajectory", "history", "chat", "dialog", "dialogue", "turns", "input")
"""Names of a conversation, the surest first; any other list of messages is one too."""
TAGS = frozenset(
    {"language", "lang", "strategy", "trial", "epoch", "seed", "difficulty", "split", "category", "dataset", "benchmark", "subset"}
)
"""What tells runs apart and is worth a tag."""
ROLES = MappingProxyType({
    "human": "user", "customer": "user", "gpt": "assistant", "ai": "assistant", "model": "assistant", "bot": "assistant",
    "agent": "assistant",
    "function": "tool", "observation": "tool", "environment": "tool", "env": "tool", "developer": "system",
})  # fmt: skip
"""Other names of the four roles."""
NUMBERS = frozenset({"reward", "score", "rating", "grade", "accuracy", "rate", "success", "passed", "solved", "resolved", "correct"})
"""Words in the name of a number that may be a verdict."""
TEXTS = frozenset({
    "status", "verdict", "result", "outcome", "grade", "label", "judgement", "judgment", "decision", "resolution", "state",
    "correctness", "exit",
})  # fmt: skip
"""Words in the name of a text that may be a verdict."""
PASS_WORDS = frozenset({
    "pass", "passed", "success", "successful", "succeeded", "solved", "resolved", "correct", "accepted", "accept", "approved", "yes",
    "true", "ok",
    "valid", "win", "won", "c",
})  # fmt: skip
"""What a pass is called."""
FAIL_WORDS = frozenset({
    "fail", "failed", "failure", "error", "unsolved", "unresolved", "incorrect", "wrong answer", "wrong", "rejected", "reject", "no",
    "false",
    "invalid", "lose", "lost", "runtime error", "time limit exceeded", "i",
})  # fmt: skip
"""What a failure is called."""
_NEGATIVE = frozenset(
    {"fail", "failed", "failure", "error", "errored", "incorrect", "wrong", "rejected", "refused", "timeout", "crashed", "unsolved"}
)
_VERDICT = (PASS_WORDS | _NEGATIVE | NUMBERS | TEXTS) - {"c", "i", "yes", "no", "true", "false", "state", "label", "exit"}
_COUNTS = frozenset({"total", "num", "count", "n", "number", "max", "min"})
_TOP = frozenset({
    "id", "session", "tries", "uuid", "input", "output", "time", "date", "created", "task", "test", "tests", "target", "model", "cost",
    "engine", "error", "context", "query", "problem", "notes", "memory", "expected", "code", "name",
})  # fmt: skip
"""Names so common that they mean the run only where they are keys of the record itself."""


def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a key, lower case: of `isSolved` and `is_solved` the same two."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return tuple(word for word in re.split(r"[^a-z0-9]+", apart.lower()) if word)


def is_named(found: Found, name: str, *, base: int = 1) -> bool:
    """Tell whether a path ends in a name of the table; `base` is how deep the keys of a run itself lie."""
    keys = tuple(part.lower() for part in found.parts)
    wanted = tuple(name.split("."))
    if keys[-len(wanted) :] != wanted:
        return False
    return len(keys) == base or (len(wanted) == 1 and name not in _TOP) or len(wanted) == 2


def sounds_like_verdict(name: str) -> bool:
    """Tell whether a key is called as verdicts are; a count of something is none."""
    words = words_of(name)
    return any(word in _VERDICT for word in words) and not _COUNTS & set(words)


def is_negative(name: str) -> bool:
    """Tell whether true under this key means a failure."""
    return any(word in _NEGATIVE for word in words_of(name)) or words_of(name)[:2] == ("timed", "out")
