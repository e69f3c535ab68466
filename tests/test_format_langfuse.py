"""Langfuse traces (docs/formats/langfuse.md)."""

import json
from typing import Any

import pytest

from distill.formats.langfuse import build_reader, collect_observations
from distill.formats.reading import Reading
from distill.jsonl import BadLine
from distill.schemas.evidence import Tokens, ToolCall
from tests.format_cases import CONFIG, DATA, PLACE, SOURCE, break_values, build_evidence, judge, read_document, signals_of, survives

ADDER, AGAIN, GREETER = (read_document(f"langfuse/{name}.trace.json") for name in ("adder", "adder-again", "greeter"))
REAL = sorted((DATA / "langfuse-traces").rglob("*.trace.json"))
needs_data = pytest.mark.skipif(not REAL, reason="the real traces are not beside this checkout (../shared/data/langfuse-traces)")


def read(record: dict[str, Any]) -> Reading:
    """Read one record."""
    reading = build_reader(SOURCE, CONFIG, None)(record, PLACE)
    assert isinstance(reading, Reading)
    return reading


def trace(**fields: Any) -> dict[str, Any]:
    """Return a trace with an input and an output."""
    return {"trace": {"id": "t-1", "input": "Add.", "output": "5"} | fields}


def scored(**fields: Any) -> list[tuple[str, str | None, str]]:
    """Return the signals of a trace with one score."""
    return signals_of(read(trace(scores=[{"name": "outcome", "value": 1, "source": "EVAL"} | fields])))


def test_trace_is_a_run() -> None:
    """JSON in strings in strings is unwrapped; what stands twice is one observation; the cloud's path to the model is cut."""
    record = build_evidence(read(ADDER))

    assert [(message.role, message.content) for message in record.messages or ()] == [
        ("system", "You add numbers."), ("user", "What is 2 + 3?"), ("assistant", "5"),
    ]  # fmt: skip
    assert (record.run_id, record.created_at, record.model) == ("0af7651916cd43dd8448eb211c80319c", "2026-04-27T09:14:03Z", "model-a")
    assert (record.tokens, record.cost_usd, record.latency_ms) == (Tokens(input=12, output=1), 0.0002, 1500)
    assert (record.group, record.subject, record.tags["tags"]) == ("session-1", "user-1", "demo,sums")
    assert len(collect_observations(ADDER)) == 2


def test_judges_only_veto() -> None:
    """Each score has the direction of its name; an unknown name says nothing; correctness 1 accepts nothing (SPEC 2)."""
    reading = read(ADDER)

    assert signals_of(reading) == [
        ("judge", "toxicity", "fail"), ("judge", "hallucination", "pass"), ("judge", "correctness", "pass"), ("judge", "mood", "none"),
    ]  # fmt: skip
    assert judge(reading).category == "needs_human_review"


def test_metadata_is_not_copied() -> None:
    """Keys and addresses in metadata, and the cloud project in a model's name, reach no evidence."""
    text = repr(build_evidence(read(ADDER)))

    assert not [secret for secret in ("pk-lf", "example.org", "projects/") if secret in text]


def test_order_of_observations_changes_nothing() -> None:
    """The same trace in another file is the same run, whatever the order of its observations."""
    assert build_evidence(read(ADDER)) == build_evidence(read(AGAIN))


def test_empty_sides_are_those_of_the_model_call() -> None:
    """A trace without input and output speaks through its last model call; a judge of nothing is no signal and is told (SPEC 2)."""
    reading = read(GREETER)

    assert (reading.values["instruction"], reading.values["response"], reading.warning) == ("Say hello.", "Hello.", "judge_of_nothing")
    assert signals_of(reading) == [("human", "outcome", "pass"), ("infrastructure", None, "none")]
    assert judge(reading).reasons[0] == "human_accept"


SCORES: dict[str, tuple[dict[str, Any], list[tuple[str, str | None, str]]]] = {
    "judge_outcome": ({}, [("judge", "outcome", "pass")]),
    "person": ({"source": "ANNOTATION", "authorUserId": "p"}, [("human", "outcome", "pass")]),
    "person_category": ({"source": "ANNOTATION", "authorUserId": "p", "value": "fail"}, [("human", "outcome", "fail")]),
    "person_on_an_aspect": ({"source": "ANNOTATION", "authorUserId": "p", "name": "tone", "value": 0}, [("human", "tone", "none")]),
    "annotation_nobody_made": ({"source": "ANNOTATION"}, [("judge", "outcome", "pass")]),
    "of_a_step": ({"observationId": "o"}, []),
    "out_of_range": ({"name": "toxicity", "value": 4}, [("judge", "toxicity", "none")]),
    "bad_when_high": ({"name": "hallucination", "value": 0.5}, [("judge", "hallucination", "fail")]),
    "good_when_high": ({"name": "correctness", "value": 0.4}, [("judge", "correctness", "fail")]),
    "correction": ({"dataType": "CORRECTION", "value": "6"}, []),
}


@pytest.mark.parametrize(("fields", "expected"), SCORES.values(), ids=SCORES)
def test_score_says(fields: dict[str, Any], expected: list[tuple[str, str | None, str]]) -> None:
    """A score is a person's only where a person made it; what it says depends on its name and value (SPEC 3)."""
    assert scored(**fields) == expected


def test_outcome_of_a_step_only_vetoes() -> None:
    """A score on one observation is none on the run."""
    score = {"name": "outcome", "value": 0, "source": "EVAL", "observationId": "o"}
    reading = read(trace(scores=[score]) | {"observations": [{"id": "o", "input": "a", "output": "b"}]})

    assert signals_of(reading) == [("judge", "outcome_of_step", "fail")]


SIDES: dict[str, tuple[Any, Any, str | None, str | None]] = {
    "texts": ("Add.", "5", "Add.", "5"),
    "prompt_and_system": ({"prompt": "Add.", "system": "Be brief."}, {"content": [{"type": "text", "text": "5"}]}, "Add.", "5"),
    "contents": ({"contents": [{"role": "user", "parts": [{"text": "Add."}]}]},
                 {"candidates": [{"content": {"role": "model", "parts": [{"text": "5"}]}}]}, "Add.", "5"),
    "contents_text": ({"contents": "Add."}, {"content": {"role": "model", "parts": [{"text": "5"}]}}, "Add.", "5"),
    "arguments": ({"args": ["Add."], "kwargs": {}}, {"choices": [{"message": {"content": "5"}}]}, "Add.", "5"),
    "responses": ([{"role": "user", "content": "Add."}], {"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "5"}]}]},
                  "Add.", "5"),
    "langchain": ({"messages": [{"type": "human", "content": "Add."}]},
                  {"messages": [{"type": "human", "content": "Add."}, {"lc": 1, "id": ["m", "AIMessage"], "kwargs": {"content": "5"}}]}, "Add.", "5"),
    "message": ({"role": "user", "content": "Add."}, {"index": 0, "message": {"role": "assistant", "content": "5"}}, "Add.", "5"),
    "question": ({"question": "Add."}, {"candidates": [{"content": "5"}]}, "Add.", "5"),
    "candidate_parts": ("Add.", {"candidates": [{"content": [{"text": "5"}]}]}, "Add.", "5"),
    "unknown_object": ({"rows": [1]}, {"sum": 5}, '{"rows": [1]}', '{"sum": 5}'),
    "empty_objects": ({}, [], None, None),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "answered", "instruction", "response"), SIDES.values(), ids=SIDES)
def test_side_is_read(asked: Any, answered: Any, instruction: str | None, response: str | None) -> None:
    """Inputs and outputs of each framework's shape give the same conversation, plain or wrapped twice."""
    plain = read(trace(input=asked, output=answered)).values
    wrapped = read(trace(input=json.dumps(json.dumps(asked)), output=json.dumps(json.dumps(answered)))).values

    assert (plain["instruction"], plain["response"]) == (instruction, response)
    assert wrapped == plain


def test_answer_that_calls_a_tool_is_kept() -> None:
    """An answer that is a call of a tool is a call, its arguments parsed."""
    reading = read(trace(output=[{"toolCallId": "c", "toolName": "add", "input": '{"a": 2}'}]))

    assert reading.values["messages"][-1].tool_calls == [ToolCall(id="c", name="add", arguments={"a": 2})]


def test_trace_alone_is_read() -> None:
    """A trace object without the document around it is read too; of observations that are only named nothing is known."""
    assert read({"id": "t", "input": "a", "output": "b", "observations": ["o-1"]}).values["run_id"] == "t"


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no_trace": ({"rows": []}, "missing_field", "trace.id: found none"),
    "trace_list": ({"trace": []}, "mistyped_field", "trace: found a list"),
    "observation": (
        {"id": "o", "traceId": "t", "type": "GENERATION", "input": "x"},
        "missing_field",
        "observations: found an observation alone",
    ),
    "empty_id": (trace(id=""), "missing_field", "trace.id: found none"),
    "bad_time": (trace(timestamp="soon"), "bad_time", "created_at: found 'soon'"),
    "observations_text": (trace() | {"observations": "x"}, "mistyped_field", "observations: found text"),
    "observation_number": (trace() | {"observations": [1]}, "mistyped_field", "observations[0]: found a number"),
    "score_text": (trace(scores=["x"]), "mistyped_field", "trace.scores[0]: found text"),
    "score_value_list": (trace(scores=[{"name": "a", "value": []}]), "mistyped_field", "trace.scores[0].value: found list"),
    "unknown_role": (trace(input=[{"role": "planner", "content": "x"}]), "mistyped_field", "trace.input[0].role: found 'planner'"),
}


@pytest.mark.parametrize(("record", "reason", "detail"), BAD.values(), ids=BAD)
def test_bad_record_is_refused(record: dict[str, Any], reason: str, detail: str) -> None:
    """A record that says something unreadable is refused with its place and what was found (SPEC 9)."""
    with pytest.raises(BadLine) as caught:
        read(record)

    assert caught.value.reason == reason
    assert detail in caught.value.detail


@pytest.mark.parametrize("record", [ADDER, GREETER], ids=["adder", "greeter"])
def test_every_broken_value_is_data(record: dict[str, Any]) -> None:
    """Whatever value stands in any place, the record is refused with a reason or gives evidence (SPEC 9)."""
    assert all(survives(read, broken) for broken in break_values(record))


@needs_data
def test_real_traces_are_read() -> None:
    """Of 20 real traces with 138 observations 11 have judge scores; 2 of these judged nothing; none is accepted."""
    records = [json.loads(path.read_text()) for path in REAL]
    readings = [read(record) for record in records]

    assert (len(readings), len({reading.values["run_id"] for reading in readings})) == (20, 19)
    assert sum(len(collect_observations(record)) for record in records) == 138
    assert sum(bool(record["trace"]["scores"]) for record in records) == 11
    assert (sum(bool(r.values["signals"]) for r in readings), sum(r.warning == "judge_of_nothing" for r in readings)) == (9, 2)
    assert {judge(reading).category for reading in readings} == {"needs_human_review"}
    assert all(reading.values["model"] and reading.values["instruction"] and reading.values["response"] for reading in readings)


@needs_data
def test_real_traces_leave_secrets_behind() -> None:
    """Keys, addresses and a cloud project in the metadata of real traces reach no evidence."""
    text = "".join(repr(build_evidence(read(json.loads(path.read_text())))) for path in REAL)

    assert not [secret for secret in ("pk-lf", "sk-lf", "vertex-ai-integration", "projects/") if secret in text]
