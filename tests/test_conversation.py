"""The one text form of a conversation (SPEC 3, SPEC 5.5)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.conversation import Turn, build_turns, has_leak, normalise, render_messages, text_key, user_text
from distill.schemas.evidence import Message, ToolCall
from tests.strategies import chat, evidence, messages

CALL = Message(role="assistant", content="Look:", tool_calls=[ToolCall(id="1", name="f", arguments={"b": 1, "a": "é"}), ToolCall(name="g")])
CALLS = (
    'Look:\n<tool_call>{"name": "f", "arguments": {"a": "é", "b": 1}}</tool_call>\n<tool_call>{"name": "g", "arguments": null}</tool_call>'
)
RENDERED: dict[str, tuple[list[Message], list[tuple[str, str]]]] = {
    "plain": (chat("user: q", "assistant: a"), [("user", "q"), ("assistant", "a")]),
    "neighbours": (chat("user: q", "user: r", "assistant: a", "assistant: b"), [("user", "q\nr"), ("assistant", "a\nb")]),
    "calls": ([CALL], [("assistant", CALLS)]),
    "tool_results": (chat("tool: 1", "tool: 2"), [("user", "<tool_response>1</tool_response>\n<tool_response>2</tool_response>")]),
    "empty_tool_result": ([Message(role="tool")], [("user", "<tool_response></tool_response>")]),
    "empty_messages_left_out": ([*chat("user: q", "assistant:  "), Message(role="user", content="r")], [("user", "q\nr")]),
    "system_messages_joined": (chat("system: s", "system: t", "user: q"), [("system", "s\nt"), ("user", "q")]),
    "late_system_message": (chat("user: q", "system: s"), [("user", "q\ns")]),
}


@pytest.mark.parametrize(("given_messages", "expected"), RENDERED.values(), ids=RENDERED)
def test_messages_are_rendered(given_messages: list[Message], expected: list[tuple[str, str]]) -> None:
    """Messages become text turns in the form of SPEC 5.5."""
    assert [(turn.role, turn.content) for turn in render_messages(given_messages)] == expected


def test_failed_mark_survives_joining() -> None:
    """Joined neighbours are wrong where one of them is; a tool's mark does not make a user turn wrong."""
    turns = render_messages([*chat("user: q", "assistant: a", "!assistant: b"), Message(role="tool", content="x", failed=True)])

    assert [turn.failed for turn in turns] == [False, True, False]


@given(st.lists(messages, max_size=8))
def test_turns_alternate_and_end_with_an_answer(conversation: list[Message]) -> None:
    """Whatever the log says, turns alternate after an optional system message, start with the user and end with an answer."""
    turns = build_turns(evidence("a", messages=conversation))
    if not turns:
        return

    roles = [turn.role for turn in turns]
    spoken = roles[1:] if roles[0] == "system" else roles
    assert spoken == ["user", "assistant"] * (len(spoken) // 2)
    assert all(turn.content.strip() for turn in turns)


BUILT: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "instruction": ({"instruction": "q", "response": "a"}, [("user", "q"), ("assistant", "a")]),
    "context": ({"instruction": "q", "context": "c", "response": "a"}, [("user", "q\n\nc"), ("assistant", "a")]),
    "context_alone": ({"instruction": "", "context": "c", "response": "a"}, []),
    "no_instruction": ({"instruction": None, "response": "a"}, []),
    "blank_instruction": ({"instruction": " \n", "response": "a"}, []),
    "no_response": ({"instruction": "q", "response": None}, []),
    "blank_response": ({"instruction": "q", "response": " "}, []),
    "messages_first": ({"instruction": "x", "messages": chat("user: q", "assistant: a"), "response": "z"}, [("user", "q"), ("assistant", "a")]),
    "cut_after_the_answer": ({"messages": chat("user: q", "assistant: a", "tool: t", "user: u")}, [("user", "q"), ("assistant", "a")]),
    "cut_before_the_user": (
        {"messages": chat("system: s", "assistant: hello", "user: q", "assistant: a")}, [("system", "s"), ("user", "q"), ("assistant", "a")],
    ),
    "no_answer": ({"messages": chat("system: s", "user: q")}, []),
    "answer_before_the_user_only": ({"messages": chat("assistant: a", "user: q")}, []),
    "no_user": ({"messages": chat("system: s", "assistant: a")}, []),
    "no_messages": ({"messages": []}, []),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), BUILT.values(), ids=BUILT)
def test_turns_of_a_run(fields: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """A run gives its turns up to the last answer, or none without user text or answer."""
    assert [(turn.role, turn.content) for turn in build_turns(evidence("a", **fields))] == expected


def test_correction_replaces_the_last_answer() -> None:
    """A person's correction stands for the last answer, with and without messages, and is not wrong."""
    conversation = evidence("a", messages=chat("user: q", "assistant: a", "user: r", "!assistant: b"))

    assert build_turns(conversation, response="c")[-2:] == [Turn("user", "r"), Turn("assistant", "c")]
    assert build_turns(evidence("a", response=None), response="c")[-1] == Turn("assistant", "c")


def test_user_text_is_the_first_user_message() -> None:
    """With messages the first user message that says something is the user text, whatever the instruction is."""
    assert user_text(evidence("a", instruction="x", messages=[Message(role="user"), *chat("system: s", "user: q", "user: r")])) == "q"
    assert user_text(evidence("a", instruction="x", messages=chat("assistant: a"))) == ""
    assert user_text(evidence("a", instruction=None)) == ""


@given(st.text(), st.text(" \t\n\u00a0", min_size=1))
def test_white_space_does_not_tell_texts_apart(text: str, space: str) -> None:
    """Texts that differ in runs of white space alone are equal."""
    assert normalise(space + text.replace(" ", space) + space) == normalise(text)
    assert "  " not in normalise(text)


def test_text_key_sees_roles_and_boundaries() -> None:
    """Equal turns have equal keys; another role, another cut or another word has another; no turns have none."""
    turns = [Turn("user", "a b"), Turn("assistant", "c")]
    others = [[Turn("user", "a"), Turn("assistant", "b c")], [Turn("user", "a b"), Turn("user", "c")], [Turn("user", "a bc")], turns[:1]]

    assert text_key([]) is None
    assert text_key(turns) == text_key([Turn("user", " a\nb"), Turn("assistant", "c ", failed=True)])
    assert len({text_key(turns), *map(text_key, others)}) == 5


GOLD = "def add(a, b): return a + b"
LEAKS: dict[str, tuple[dict[str, Any], bool]] = {
    "in_instruction": ({"instruction": f"Write:\n{GOLD}"}, True),
    "white_space_made_one": ({"instruction": GOLD.replace(" ", "\n  ")}, True),
    "in_context": ({"context": GOLD}, True),
    "in_system_message": ({"messages": chat(f"system: {GOLD}", "user: q")}, True),
    "in_first_user_message": ({"messages": chat(f"user: {GOLD}")}, True),
    "in_mapped_instruction_beside_messages": ({"instruction": GOLD, "messages": chat("user: q")}, True),
    "in_a_user_message_joined_to_the_first": ({"messages": chat("user: q", f"user: {GOLD}", "assistant: a")}, True),
    "in_later_user_message": ({"messages": chat("user: q", "assistant: a", f"user: {GOLD}")}, False),
    "in_answer": ({"response": GOLD}, False),
    "part_of_it": ({"instruction": GOLD[:-1]}, False),
    "short_reference": ({"instruction": "return a + b", "reference": ["return a + b"]}, False),
    "twenty_characters": ({"instruction": "x" * 20, "reference": ["short", "x" * 20]}, True),
    "nineteen_after_white_space": ({"instruction": "x" * 19, "reference": [" " + "x" * 19 + " "]}, False),
    "no_reference": ({"instruction": GOLD, "reference": []}, False),
}


@pytest.mark.parametrize(("fields", "leaks"), LEAKS.values(), ids=LEAKS)
def test_answer_leak(fields: dict[str, Any], leaks: bool) -> None:
    """A whole reference value of 20 characters or more inside what the agent was told is a leak."""
    assert has_leak(evidence("a", **({"reference": [GOLD]} | fields))) is leaks
