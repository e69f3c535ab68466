"""Generators of records and documents, and small builders of runs for the tests of pure modules."""

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st
from msgspec import inspect

from distill.outcome import Outcome
from distill.runs import Run
from distill.schemas.evidence import Checks, EvidenceRecord, Message, Provenance, Signal, Tokens, ToolCall

__all__ = [
    "RUN_KINDS", "chat", "checked", "evidence", "evidence_records", "fates", "human", "json_values", "judge", "made_run", "rows_of", "signal",
    "signals", "struct_values",
]  # fmt: skip

texts = st.text(st.characters(codec="utf-8"), max_size=12)
maybe_text = st.none() | texts
counts = st.integers(0, 10**6)
numbers = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)

signals = st.builds(
    Signal,
    kind=st.sampled_from(["human", "test", "judge", "self", "infrastructure"]),
    aspect=st.none() | st.sampled_from(["outcome", "style"]),
    verdict=st.sampled_from(["pass", "fail", "partial", "with_changes", "escalate", "none"]),
    value=json_values,
    confidence=st.none() | st.floats(0, 1),
    checks=st.none() | st.builds(Checks, passed=counts, failed=counts),
    by=maybe_text,
    where=texts,
)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=maybe_text,
    name=maybe_text,
    tool_calls=st.none() | st.lists(st.builds(ToolCall, id=maybe_text, name=texts, arguments=json_values), max_size=2),
    tool_call_id=maybe_text,
    failed=st.none() | st.booleans(),
)
provenances = st.builds(
    Provenance, source_file=texts, line=st.none() | counts, member=maybe_text, index=st.none() | counts, key=maybe_text, offset=counts,
    sig_hash=texts, recorded_at=maybe_text,
)  # fmt: skip
evidence_records = st.builds(
    EvidenceRecord, id=texts, run_id=maybe_text, task_id=maybe_text, source=texts, created_at=maybe_text, model=maybe_text,
    provider=maybe_text, role=maybe_text, instruction=maybe_text, context=maybe_text, messages=st.none() | st.lists(messages, max_size=3),
    response=maybe_text, corrected_response=maybe_text, signals=st.lists(signals, max_size=3), attempts=st.none() | counts,
    errors=st.lists(texts, max_size=2), lessons=st.lists(texts, max_size=2), reference=st.lists(texts, max_size=2),
    tags=st.dictionaries(texts, texts, max_size=2), cost_usd=st.none() | numbers, latency_ms=st.none() | numbers,
    tokens=st.none() | st.builds(Tokens, input=st.none() | counts, output=st.none() | counts), group=maybe_text, subject=maybe_text,
    provenance=provenances,
)  # fmt: skip


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return values of a type as msgspec describes it."""
    if isinstance(kind, inspect.StructType):
        return struct_values(kind.cls)
    if isinstance(kind, inspect.UnionType):
        return st.one_of(*(values_of(inner) for inner in kind.types))
    if isinstance(kind, inspect.ListType):
        return st.lists(values_of(kind.item_type), min_size=kind.min_length or 0, max_size=2)
    if isinstance(kind, inspect.DictType):
        return st.dictionaries(values_of(kind.key_type), values_of(kind.value_type), max_size=2)
    if isinstance(kind, inspect.LiteralType):
        return st.sampled_from(kind.values)
    if isinstance(kind, inspect.StrType):
        return st.from_regex(kind.pattern.replace("$", r"\Z")) if kind.pattern else texts
    simple = {inspect.NoneType: st.none(), inspect.BoolType: st.booleans(), inspect.AnyType: json_values}
    if isinstance(kind, inspect.IntType):
        return st.integers(kind.ge, 10**12)
    return st.floats(kind.ge, kind.le, allow_nan=False, allow_infinity=False) if isinstance(kind, inspect.FloatType) else simple[type(kind)]


def struct_values(kind: Any) -> st.SearchStrategy[Any]:
    """Return values of a struct that keep its schema."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return st.fixed_dictionaries({field.name: values_of(field.type) for field in described.fields}).map(lambda fields: kind(**fields))


RUN_KINDS: dict[str, tuple[str, list[str], float]] = {
    "accepted": ("accepted", ["tests_passed"], 1.0),
    "retried": ("partially_accepted", ["retried", "tests_passed"], 0.8),
    "with_changes": ("partially_accepted", ["with_changes"], 0.7),
    "partial_reward": ("partially_accepted", ["partial_reward"], 0.6),
    "rejected": ("rejected", ["tests_failed"], 0.0),
    "errors_unjudged": ("rejected", ["errors_unjudged"], 0.1),
    "review": ("needs_human_review", ["no_signal"], 0.5),
}
"""Category, reasons and score of runs by a short name."""


def signal(kind: str, verdict: str, **fields: Any) -> Signal:
    """Return a signal of some field."""
    return Signal(kind=kind, verdict=verdict, where="field", **fields)  # type: ignore[arg-type]


def human(verdict: str, by: str | None = "human:1") -> Signal:
    """Return a person's decision."""
    return signal("human", verdict, by=by)


def checked(passed: int, failed: int) -> Signal:
    """Return an executed test with its counts."""
    verdict = "none" if passed + failed == 0 else "fail" if failed else "pass"
    return signal("test", verdict, checks=Checks(passed=passed, failed=failed))


def judge(verdict: str, confidence: float | None = 0.9, aspect: str = "outcome") -> Signal:
    """Return a model's verdict."""
    return signal("judge", verdict, confidence=confidence, aspect=aspect, by="judge-1")


def evidence(name: str, **fields: Any) -> EvidenceRecord:
    """Return evidence with the id `name`, by default a run of its own at task-1 that answered."""
    line = fields.pop("line", 1)
    place = Provenance(source_file=fields.pop("file", "src/log.jsonl"), line=line, offset=line * 100, sig_hash="0" * 64)
    values: dict[str, Any] = {
        "id": name, "run_id": f"run-{name}", "task_id": "task-1", "source": "src", "instruction": "Add two numbers.",
        "response": f"answer {name}", "model": "model-a", "created_at": "2026-04-27T09:00:00Z", "provenance": place,
    }  # fmt: skip
    return EvidenceRecord(**(values | fields))


def chat(*turns: str, **fields: Any) -> list[Message]:
    """Return messages from `role: content` texts; a leading `!` marks a turn as wrong."""
    built = []
    for turn in turns:
        role, content = turn.removeprefix("!").split(": ", 1)
        built.append(Message(role=role, content=content, failed=True if turn.startswith("!") else None, **fields))  # type: ignore[arg-type]
    return built


def made_run(name: str, kind: str = "accepted", **fields: Any) -> Run:
    """Return a run as a stage sees it; `kind` is one of RUN_KINDS."""
    category, reasons, score = RUN_KINDS[kind]
    given = {key: fields.pop(key) for key in ("excluded", "scope", "infrastructure") if key in fields}
    record = evidence(name, **fields)
    values: dict[str, Any] = {"scope": "", "excluded": None, "attempts": record.attempts, "infrastructure": False} | given
    return Run(
        evidence=record, category=category, reasons=list(reasons), score=score,  # type: ignore[arg-type]
        corrected_response=record.corrected_response, **values,
    )  # fmt: skip


def fates(outcomes: Iterable[Outcome]) -> dict[str, str]:
    """Return unit to reason, or to the kind of outcome where there is no reason."""
    return {str(outcome.unit): outcome.reason or outcome.kind for outcome in outcomes}


def rows_of(outcomes: Iterable[Outcome], target: str) -> list[Any]:
    """Return the rows of one target, in the order of their keys."""
    found = [row for outcome in outcomes for row in outcome.rows if row.target == target]
    return [row.value for row in sorted(found, key=lambda row: row.key)]
