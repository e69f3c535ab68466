"""What the built-in formats share: values of foreign logs, messages of every dialect, directions of scores."""

import doctest
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.config import Source
from distill.formats import chat, inspect_ai, judging, loose
from distill.formats.chat import build_dialect, choose_warning, read_message
from distill.jsonl import BadLine
from distill.schemas.evidence import Message, ToolCall
from tests.format_cases import SOURCE


def read(raw: dict[str, Any]) -> list[Message]:
    """Read one message."""
    return read_message(raw, "m", build_dialect(SOURCE))


@pytest.mark.parametrize("module", [chat, inspect_ai, judging, loose])
def test_examples_in_docstrings_run(module: Any) -> None:
    """Examples in docstrings say what the code does (STYLE 7)."""
    assert doctest.testmod(module).failed == 0


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_epoch_agrees_with_the_standard_library(micros: int) -> None:
    """A moment counted from 1970 is the one the standard library names, there and back."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    text = loose.render_epoch(micros * 1000)

    assert datetime.fromisoformat(text) == moment
    assert loose.parse_epoch(text) == micros * 1000


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_json_in_strings_is_unwrapped(value: Any) -> None:
    """A list or object that stands in a string, or in a string in a string, is found again."""
    import json

    held = {"value": value}

    assert loose.unwrap_json(json.dumps(json.dumps(held))) == held


NO_JSON = [
    "{",
    "{not json}",
    "[1, 2",
    '"half',
    '{"a": 1} and more',
    '1,"held":2',
    '[1],"b":2',
    '{"a": 1, "a": 2}',
    '{"a": "\\ud800"}',
    "",
    "text",
]


def test_json_is_unwrapped_eight_times_at_most() -> None:
    """A string in more strings than anybody wraps it in is given as far as it was unwrapped."""
    import json

    text: Any = ["a"]
    for _ in range(9):
        text = json.dumps(text)

    assert loose.unwrap_json(text) == '["a"]'


@pytest.mark.parametrize("text", NO_JSON)
def test_text_that_is_no_json_stays(text: str) -> None:
    """Text that only looks like JSON, or says one key twice, is kept as logged."""
    assert loose.unwrap_json(text) == text


CALL = ToolCall(id="c", name="add", arguments={"a": 1})
DIALECTS: dict[str, dict[str, Any]] = {
    "ours": {"tool_calls": [{"id": "c", "name": "add", "arguments": {"a": 1}}]},
    "openai": {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}]},
    "anthropic": {"content": [{"type": "tool_use", "id": "c", "name": "add", "input": {"a": 1}}]},
    "otel": {"parts": [{"type": "tool_call", "id": "c", "name": "add", "arguments": '{"a": 1}'}]},
    "gemini": {"parts": [{"function_call": {"id": "c", "name": "add", "args": {"a": 1}}}]},
    "inspect": {"content": None, "tool_calls": [{"id": "c", "function": "add", "arguments": {"a": 1}}]},
    "langchain": {"additional_kwargs": {"tool_calls": [{"id": "c", "function": {"name": "add", "arguments": '{"a": 1}'}}]}},
    "twice": {
        "content": [{"type": "tool_use", "id": "c", "name": "add", "input": {"a": 1}}],
        "tool_calls": [{"id": "c", "name": "add", "args": {}}],
    },
}


@pytest.mark.parametrize("fields", DIALECTS.values(), ids=DIALECTS)
def test_call_is_the_same_in_every_dialect(fields: dict[str, Any]) -> None:
    """A call of a tool is the same, whoever wrote it down (SPEC 3)."""
    assert read({"role": "assistant"} | fields) == [Message(role="assistant", tool_calls=[CALL])]


def test_call_of_the_responses_interface_is_a_message() -> None:
    """A call that is an item of its own is an assistant's turn, its output a tool's."""
    assert read({"type": "function_call", "call_id": "c", "id": "x", "name": "add", "arguments": '{"a": 1}'}) == [
        Message(role="assistant", tool_calls=[CALL])
    ]
    assert read({"type": "function_call_output", "call_id": "c", "output": "1"}) == [Message(role="tool", content="1", tool_call_id="c")]


def test_result_in_a_user_message_is_a_message_of_its_own() -> None:
    """A tool's result that stands in a user's message comes before what the user said."""
    raw = {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "1"}]},
            {"type": "text", "text": "Go on."},
        ],
    }

    assert read(raw) == [Message(role="tool", content="1", tool_call_id="c"), Message(role="user", content="Go on.")]
    assert read(raw | {"content": raw["content"][:1]}) == [Message(role="tool", content="1", tool_call_id="c")]
    assert read({"type": "reasoning", "summary": []}) == []


def test_what_is_no_text_stands_as_a_mark() -> None:
    """Pictures and files are marked where they stood, thoughts are left out, and both are told."""
    dialect = build_dialect(SOURCE)
    parts = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "image_url"},
        {"type": "<b>"},
        {"type": "input_audio"},
        {"type": "text", "text": "a"},
    ]

    assert read_message({"role": "user", "content": parts}, "m", dialect)[0].content == "[image]\n[part]\n[audio]\na"
    assert choose_warning(dialect.notes) == "content_not_text"
    assert choose_warning({"reasoning_left_out"}, "instruction_not_seen") == "reasoning_left_out"


def test_roles_of_a_source_are_known() -> None:
    """A role that the source maps is read; another is refused by name with the way out (SPEC 2)."""
    source = Source("s", "*", roles=(("planner", "assistant"),))

    assert read_message({"role": "planner", "content": "x"}, "m", build_dialect(source)) == [Message(role="assistant", content="x")]
    with pytest.raises(BadLine, match=r"found 'critic', expected one of .*planner.*; map it with roles"):
        read_message({"role": "critic"}, "m", build_dialect(source))


VERDICTS: dict[str, tuple[str, Any, str | None, str]] = {
    "label_outweighs": ("toxicity", 0.9, "Pass", "pass"),
    "unknown_label": ("toxicity", 0.9, "toxic", "fail"),
    "outcome": ("outcome", 1, None, "pass"),
    "outcome_between": ("outcome", 0.9, None, "partial"),
    "outcome_false": ("outcome", False, None, "fail"),
    "good": ("relevance", 0.5, None, "pass"),
    "text": ("relevance", "high", None, "none"),
    "nothing": ("relevance", None, None, "none"),
    "scale_of_five": ("relevance", 4, None, "none"),
    "unknown_name": ("mood", 0, None, "none"),
}


@pytest.mark.parametrize(("aspect", "value", "label", "verdict"), VERDICTS.values(), ids=VERDICTS)
def test_score_has_the_direction_of_its_name(aspect: str, value: Any, label: str | None, verdict: str) -> None:
    """A score rejects by the direction of its name; one without known direction says nothing (SPEC 2)."""
    assert judging.read_verdict(aspect, value, label) == verdict
    assert not judging.BAD_WHEN_HIGH & judging.GOOD_WHEN_HIGH
