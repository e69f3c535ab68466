"""Logs of inspect-ai (docs/formats/inspect_ai.md)."""

import json
import zipfile
from typing import Any

import pytest

from distill.formats.inspect_ai import build_reader
from distill.formats.reading import Position, Reading
from distill.jsonl import BadLine
from distill.schemas.evidence import Tokens
from tests.format_cases import CONFIG, FIXTURES, SOURCE, break_values, build_evidence, judge, read_document, signals_of, survives

NAME = "2026-04-27T09-00-00+00-00_tiny-sums_AbCdEf.json"
ARCHIVE = "2026-04-27T09-00-00+00-00_tiny-sums_GhIjKl.eval"
LOG = read_document(f"inspect_ai/{NAME}")
SAMPLE: dict[str, Any] = {
    "id": 1,
    "epoch": 1,
    "input": "Add.",
    "messages": [{"role": "user", "content": "Add."}, {"role": "assistant", "content": "5"}],
}


def read(record: dict[str, Any], name: str = NAME) -> Any:
    """Read one record of a file."""
    return build_reader(SOURCE, CONFIG, None)(record, Position(f"evals/{name}", 1, {}))


def read_one(**fields: Any) -> Reading:
    """Read one sample of an archive."""
    reading = read(SAMPLE | fields, ARCHIVE)
    assert isinstance(reading, Reading)
    return reading


def scored(**scores: Any) -> list[tuple[str, str | None, str]]:
    """Return the signals of a sample with these scores."""
    return signals_of(read_one(scores=scores))


def test_log_is_a_run_per_sample_and_epoch() -> None:
    """A whole log gives its samples in order, each with task, model and time of the log (SPEC 2, explode)."""
    readings = read(LOG)
    first = build_evidence(readings[0])

    assert [reading.values["run_id"] for reading in readings] == [
        "uuid-sum-1-1",
        "uuid-sum-1-2",
        "uuid-sum-2-1",
        "uuid-sum-3-1",
        "uuid-sum-4-1",
        "uuid-sum-5-1",
    ]
    assert (first.task_id, first.model, first.provider, first.created_at) == (
        "tiny-sums/sum-1",
        "provider-a/model-a",
        "provider-a",
        "2026-04-27T09:00:00Z",
    )
    assert (first.instruction, first.response, first.reference) == ("What is 2 + 3?", "5", ["5"])
    assert (first.tokens, first.latency_ms, first.tags) == (Tokens(input=12, output=1), 1250, {"epoch": "1", "task": "tiny-sums"})
    assert first.attempts is None


def test_verdicts_of_the_log() -> None:
    """Match is a test, a model's grade a judge without confidence, an edited score a person's; what broke is not judged (SPEC 4)."""
    readings = read(LOG)

    assert [judge(reading).reasons[0] for reading in readings] == [
        "tests_passed", "tests_failed", "judge_confidence_missing", "human_accept", "not_judged", "tests_failed",
    ]  # fmt: skip
    assert readings[2].warning == "unknown_scorer"
    assert readings[5].values["errors"] == ["token limit of 512 reached"]


def test_archive_gives_the_same_runs_as_the_log() -> None:
    """The samples of an archive are those of the log: the task is in the archive's name, the model in the sample (SPEC 2)."""
    with zipfile.ZipFile(FIXTURES / "inspect_ai" / ARCHIVE) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("samples/"))
        readings = [read(json.loads(archive.read(name)), ARCHIVE) for name in names]
    kept = ("task_id", "model", "instruction", "response", "signals", "reference", "tokens", "tags")

    assert [[one.values[key] for key in kept] for one in readings] == [[one.values[key] for key in kept] for one in read(LOG)[:3]]
    assert {one.values["created_at"] for one in readings} == {None}


def test_log_without_samples_holds_no_run() -> None:
    """The header of a log holds no run (`no_run`)."""
    assert read({key: value for key, value in LOG.items() if key != "samples"}) == []


SCORES: dict[str, tuple[dict[str, Any], list[tuple[str, str | None, str]]]] = {
    "no_answer": ({"choice": {"value": "N"}}, [("test", None, "fail")]),
    "partial": ({"pattern": {"value": "P"}}, [("test", None, "partial")]),
    "number": ({"f1": {"value": 0.4}}, [("test", None, "partial")]),
    "twice": ({"includes1": {"value": True}}, [("test", None, "pass")]),
    "out_of_range": ({"match": {"value": 7}}, [("test", None, "none")]),
    "model_graded": ({"model_graded_fact": {"value": "I"}}, [("judge", "outcome", "fail")]),
    "unknown": ({"style": {"value": 0}}, [("judge", "style", "fail")]),
    "unknown_called_outcome": ({"outcome": {"value": 1}}, [("judge", "outcome_scorer", "pass")]),
    "parts": ({"grader": {"value": {"tone": 1, "depth": None}}}, [("judge", "grader_tone", "pass")]),
    "null": ({"match": {"value": None}, "includes": None}, []),
    "edited_explanation": ({"match": {"value": "I", "history": [{"value": "UNCHANGED", "provenance": {"author": "p"}}]}}, [("test", None, "fail")]),
    "edited": ({"match": {"value": "I", "history": [{"value": "C"}, {"value": "I", "provenance": {"author": "p"}}]}},
               [("test", None, "pass"), ("human", None, "fail")]),
    "edited_aspect": ({"style": {"value": 1, "history": [{"value": 0}, {"value": 1, "provenance": {"author": "p"}}]}},
                      [("judge", "style", "fail"), ("human", "style", "none")]),
}  # fmt: skip


@pytest.mark.parametrize(("scores", "expected"), SCORES.values(), ids=SCORES)
def test_score_says(scores: dict[str, Any], expected: list[tuple[str, str | None, str]]) -> None:
    """What a scorer says, and who speaks through it (SPEC 3)."""
    assert scored(**scores) == expected


def test_old_single_score_is_read() -> None:
    """A log from before scorers had names has one score, of which nobody knows who gave it."""
    assert signals_of(read_one(score={"value": "C"})) == [("judge", "score", "pass")]


def test_stop_by_a_person_is_no_failure() -> None:
    """A sample that the operator stopped, or that somebody declared invalid, was not judged (SPEC 4, rule 2)."""
    stopped = read_one(limit={"type": "operator", "limit": 1}, scores={"match": {"value": "I"}})
    invalid = read_one(invalidation={"author": "p", "reason": "wrong prompt"})

    assert [judge(reading).reasons[0] for reading in (stopped, invalid)] == ["not_judged", "not_judged"]


def test_judge_of_nothing_is_no_signal() -> None:
    """A model that graded an empty answer is no signal; a test of it is (SPEC 2)."""
    empty = read_one(messages=[{"role": "user", "content": "Add."}], scores={"model_graded_qa": {"value": "I"}, "match": {"value": "I"}})

    assert (signals_of(empty), empty.warning) == ([("test", None, "fail")], "judge_of_nothing")


def test_attachments_stand_in_their_places() -> None:
    """Long texts that a log keeps beside the messages are put back."""
    reading = read_one(attachments={"0a": "Add 2 and 3."}, messages=[{"role": "user", "content": "attachment://0a"}])

    assert reading.values["instruction"] == "Add 2 and 3."


ANSWERS: dict[str, tuple[dict[str, Any], str | None, str | None]] = {
    "input_alone": ({"messages": None, "output": {"completion": "5"}}, "Add.", "5"),
    "choices_alone": ({"messages": [], "output": {"choices": [{"message": {"role": "assistant", "content": "5"}}]}}, "Add.", "5"),
    "answer_not_in_messages": ({"messages": [{"role": "user", "content": "Add."}], "output": {"choices": [{"message": {"role": "assistant", "content": "5"}}]}},
                               "Add.", "5"),
    "input_messages": ({"messages": None, "input": [{"role": "system", "content": "s"}, {"role": "user", "content": "Add."}]}, "Add.", None),
    "tool_call": ({"messages": [{"role": "user", "content": "Add."}, {"role": "assistant", "content": "", "tool_calls": [
        {"id": "c", "function": "add", "arguments": {"a": 1}}]}]}, "Add.", '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "instruction", "response"), ANSWERS.values(), ids=ANSWERS)
def test_conversation_is_found(fields: dict[str, Any], instruction: str | None, response: str | None) -> None:
    """The conversation is found in each place that a log keeps it."""
    values = read_one(**fields).values

    assert (values["instruction"], values["response"]) == (instruction, response)


MODELS: dict[str, tuple[dict[str, Any], str | None]] = {
    "usage": ({"model_usage": {"p/m": {}}, "output": {"model": "x"}}, "p/m"),
    "event": ({"model_usage": {"p/m": {}, "p/grader": {}}, "events": [{"event": "state"}, {"event": "model", "model": "p/m"}]}, "p/m"),
    "output": ({"output": {"model": "m-1"}}, "m-1"),
    "nowhere": ({}, None),
}


@pytest.mark.parametrize(("fields", "model"), MODELS.values(), ids=MODELS)
def test_model_of_a_sample_alone(fields: dict[str, Any], model: str | None) -> None:
    """A sample without its log names its model by its usage, its events or its output."""
    assert read_one(**fields).values["model"] == model


def test_file_pattern_names_the_task() -> None:
    """The group `task` of the file pattern goes before inspect's own way to name files; without either the id stands alone."""
    reader = build_reader(SOURCE, CONFIG, None)
    places = [Position("s/any.eval", 1, {"task": "sums"}), Position("s/any.eval", 1, {})]
    found = [reader(SAMPLE, place) for place in places]

    assert [one.values["task_id"] for one in found if isinstance(one, Reading)] == ["sums/1", "1"]


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no_id": ({"epoch": 1, "input": "x"}, "missing_field", "id: found none"),
    "no_input": ({"id": 1, "epoch": 1}, "missing_field", "input: found none"),
    "samples_object": (LOG | {"samples": {}}, "mistyped_field", "samples: found an object"),
    "sample_text": (LOG | {"samples": ["x"]}, "mistyped_field", "samples[0]: found text"),
    "bad_time": (SAMPLE | {"started_at": "soon"}, "bad_time", "created_at: found 'soon'"),
    "target_number": (SAMPLE | {"target": 5}, "mistyped_field", "target: found 5"),
    "scores_list": (SAMPLE | {"scores": []}, "mistyped_field", "scores: found a list"),
    "score_nested": (SAMPLE | {"scores": {"grader": {"value": {"tone": {}}}}}, "mistyped_field", "scores.grader.value: found dict"),
    "score_text": (SAMPLE | {"scores": {"match": "C"}}, "mistyped_field", "scores.match: found text"),
    "unknown_role": (SAMPLE | {"messages": [{"role": "planner"}]}, "mistyped_field", "messages[0].role: found 'planner'"),
    "epoch_text": (SAMPLE | {"epoch": "1"}, "mistyped_field", "epoch: found '1'"),
}


@pytest.mark.parametrize(("record", "reason", "detail"), BAD.values(), ids=BAD)
def test_bad_record_is_refused(record: dict[str, Any], reason: str, detail: str) -> None:
    """A record that says something unreadable is refused with its place and what was found (SPEC 9)."""
    with pytest.raises(BadLine) as caught:
        read(record)

    assert caught.value.reason == reason
    assert detail in caught.value.detail


def test_every_broken_value_is_data() -> None:
    """Whatever value stands in any place, the record is refused with a reason or gives evidence (SPEC 9)."""
    assert all(survives(read, broken) for broken in break_values(LOG))
