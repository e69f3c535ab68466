"""OpenAI-style chat logs (docs/formats/openai_chat.md)."""

from typing import Any

import pytest

from distill.formats.openai_chat import build_reader
from distill.formats.reading import Reading
from distill.jsonl import BadLine
from distill.schemas.evidence import Message, Tokens, ToolCall
from tests.format_cases import CONFIG, PLACE, SOURCE, break_values, build_evidence, judge, read_rows, survives

ROWS = read_rows("openai_chat/chats.jsonl")
USER = {"role": "user", "content": "Add."}


def read(record: dict[str, Any]) -> Reading | list[Reading]:
    """Read one record."""
    return build_reader(SOURCE, CONFIG, None)(record, PLACE)


def read_one(record: dict[str, Any]) -> Reading:
    """Read one record that holds one run."""
    reading = read(record)
    assert isinstance(reading, Reading)
    return reading


def refused(record: dict[str, Any]) -> tuple[str, str]:
    """Return slug and detail of a record that cannot be read."""
    with pytest.raises(BadLine) as caught:
        read(record)
    return caught.value.reason, caught.value.detail


def test_conversation_alone_is_a_run() -> None:
    """A line of messages is a run; `developer` is a system message, `created` a time (SPEC 3)."""
    record = build_evidence(read_one(ROWS[0]))

    assert [message.role for message in record.messages or ()] == ["system", "user", "assistant"]
    assert (record.run_id, record.task_id, record.created_at) == ("chat-1", "greet", "2026-04-27T09:14:03Z")
    assert (record.instruction, record.response, record.model) == ("Say hello.", "Hello.", "model-a")


def test_request_and_response_are_one_conversation() -> None:
    """A logged pair gives the request's messages and the answer; arguments in a string are parsed (SPEC 3)."""
    record = build_evidence(read_one(ROWS[1]))

    assert record.messages is not None
    assert record.messages[-1] == Message(role="assistant", tool_calls=[ToolCall(id="call-1", name="add", arguments={"a": 2, "b": 3})])
    assert record.response == '<tool_call>{"name": "add", "arguments": {"a": 2, "b": 3}}</tool_call>'
    assert (record.run_id, record.model, record.subject) == ("chat-2", "model-a-2026-04", "customer-7")
    assert (record.tokens, record.latency_ms, record.tags) == (Tokens(input=21, output=9), 812.5, {"finish_reason": "tool_calls"})


def test_several_choices_are_several_runs() -> None:
    """Each choice is a run with an id of its own; what is no text stands as a mark and is told (SPEC 2, explode)."""
    readings = read(ROWS[2])

    assert isinstance(readings, list)
    assert [(one.values["run_id"], one.values["response"]) for one in readings] == [("chat-3#0", "A cat."), ("chat-3#1", "A cat, or")]
    assert {one.values["instruction"] for one in readings} == {"What is on this picture?\n[image]"}
    assert {one.warning for one in readings} == {"content_not_text"}


def test_batch_pair_and_old_function_call_are_read() -> None:
    """A pair of the batch interface is taken from its bodies; `function_call` and the role `function` are a tool's."""
    record = build_evidence(read_one(ROWS[3]))

    assert (record.run_id, record.task_id, record.response) == ("chat-4", "sum-4", "8")
    assert [message.role for message in record.messages or ()] == ["user", "assistant", "tool", "assistant"]


def test_old_prompt_is_a_user_message() -> None:
    """A text completion has a prompt and a text."""
    values = read_one({"prompt": "Add.", "choices": [{"text": "5"}]}).values

    assert (values["instruction"], values["response"]) == ("Add.", "5")


def test_completion_of_a_prompt_is_its_answer() -> None:
    """A pair for the tuning of old models is a run with an answer."""
    values = read_one({"prompt": "Add.", "completion": "5"}).values

    assert (values["instruction"], values["response"]) == ("Add.", "5")


def test_message_of_no_weight_is_context_only() -> None:
    """An assistant's message of weight 0 is one its log would not train on: it stands as a failed turn (SPEC 5.3)."""
    said = [{"role": "assistant", "content": str(weight), "weight": weight} for weight in (0, 1)]

    values = read_one({"messages": [USER, said[0], USER, said[1]]}).values

    assert [message.failed for message in values["messages"]] == [None, True, None, None]


def test_call_of_a_custom_tool_is_read() -> None:
    """A custom tool takes free text."""
    call = {"id": "c", "type": "custom", "custom": {"name": "run", "input": "ls"}}

    values = read_one({"messages": [USER, {"role": "assistant", "tool_calls": [call]}]}).values

    assert values["messages"][1].tool_calls == [ToolCall(id="c", name="run", arguments="ls")]


def test_error_that_matches_is_infrastructure() -> None:
    """A request that ended in a service's timeout judged nothing; another error is the run's own (SPEC 4, rules 2 and 4)."""
    assert judge(read_one(ROWS[4])).reasons == ["not_judged"]
    assert judge(read_one({"messages": [USER], "error": "refused"})).reasons == ["errors_unjudged"]
    assert read_one({"messages": [USER], "response": {"status_code": 500}}).values["errors"] == ["status 500"]


ANSWERS: dict[str, tuple[dict[str, Any], str | None]] = {
    "text": ({"response": "5"}, "5"),
    "message": ({"response": {"role": "assistant", "content": "5"}}, "5"),
    "refusal": ({"choices": [{"message": {"role": "assistant", "content": None, "refusal": "No."}}]}, "No."),
    "old_text": ({"choices": [{"text": "5"}]}, "5"),
    "none": ({"choices": []}, None),
    "parts": ({"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}]}, "a\nb"),
}


@pytest.mark.parametrize(("fields", "response"), ANSWERS.values(), ids=ANSWERS)
def test_answer_is_found(fields: dict[str, Any], response: str | None) -> None:
    """The answer is found in each place and shape that such logs have."""
    assert read_one({"messages": [USER]} | fields).values["response"] == response


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown_role": (ROWS[5], "mistyped_field", "messages[0].role: found 'planner'"),
    "content_number": (ROWS[6], "mistyped_field", "messages[0].content: found 7"),
    "no_messages": (ROWS[7], "missing_field", "messages: found none"),
    "no_role": ({"messages": [{"content": "x"}]}, "missing_field", "messages[0].role: found none"),
    "messages_text": ({"messages": "x"}, "mistyped_field", "messages: found str"),
    "message_text": ({"messages": ["x"]}, "mistyped_field", "messages[0]: found text"),
    "chunk": ({"messages": [USER], "choices": [{"delta": {"content": "x"}}]}, "missing_field", "choices[0].message"),
    "call_without_name": ({"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "missing_field", "tool_calls[0]"),
    "created_text": ({"messages": [USER], "created": "soon"}, "bad_time", "created_at: found 'soon'"),
    "created_far": ({"messages": [USER], "created": 1e18}, "bad_time", "the year"),
    "usage_negative": ({"messages": [USER], "usage": {"prompt_tokens": -1}}, "mistyped_field", "usage.prompt_tokens: found -1"),
    "usage_half": ({"messages": [USER], "usage": {"prompt_tokens": 1.5}}, "mistyped_field", "usage.prompt_tokens: found 1.5"),
}


@pytest.mark.parametrize(("record", "reason", "detail"), BAD.values(), ids=BAD)
def test_bad_record_is_refused(record: dict[str, Any], reason: str, detail: str) -> None:
    """A record that says something unreadable is refused with its place and what was found (SPEC 9)."""
    found = refused(record)

    assert found[0] == reason
    assert detail in found[1]


@pytest.mark.parametrize("row", ROWS[:5], ids=lambda row: str(row.get("id", "pair")))
def test_every_broken_value_is_data(row: dict[str, Any]) -> None:
    """Whatever value stands in any place, the record is refused with a reason or gives evidence (SPEC 9)."""
    assert all(survives(read, broken) for broken in break_values(row))
