"""What a span of a model call holds of the conversation: attributes and events, by their new and their old names.

The new form (`gen_ai.input.messages`, `gen_ai.output.messages`, `gen_ai.system_instructions`) is asked first, then the events
(`gen_ai.user.message`, `gen_ai.choice`), then the numbered attributes (`gen_ai.prompt.0.content`), then whole texts. Input and output
are each taken from the first form that has them. Of several choices for one answer the first is the answer.
"""

import re
from collections.abc import Iterable
from typing import Any

from distill.formats.chat import Dialect, read_content, read_message, read_messages
from distill.formats.loose import unwrap_json
from distill.formats.otel_spans import Event, Span
from distill.schemas.evidence import Message

__all__ = ["read_input", "read_output"]

_NUMBERED = re.compile(r"gen_ai\.(prompt|completion)\.(\d{1,6})\.(.+)", re.ASCII)
_CALL = re.compile(r"tool_calls\.(\d{1,6})\.(id|name|arguments)", re.ASCII)
_TOLD = re.compile(r"gen_ai\.(system|user|assistant|tool)\.message")
_DETAILS = "gen_ai.client.inference.operation.details"


def read_output(span: Span, logs: Iterable[Event], dialect: Dialect) -> list[Message]:
    """Return what the model of a span answered; empty where the span does not say.

    Raises:
        BadLine: a message cannot be read.
    """
    events = _events(span, logs)
    for held in _holders(span, events):
        if held.get("gen_ai.output.messages") is not None:
            return _read_side(
                _first_choice(held["gen_ai.output.messages"], dialect), "gen_ai.output.messages", dialect, default="assistant"
            )
    choices = [event for event in events if event.name == "gen_ai.choice"]
    told = [message for event in _first_index(choices, dialect) for message in _choice(event, dialect)]
    if told:
        return told
    return _numbered(span, "completion", dialect) or _whole(span, events, "gen_ai.completion", dialect, default="assistant")


def _first_choice(value: Any, dialect: Dialect) -> Any:
    """Return the first of several choices: messages of the assistant of which each says why it ended (OpenTelemetry, output messages)."""
    held = unwrap_json(value)
    if not isinstance(held, list) or len(held) < 2 or not all(isinstance(one, dict) and one.get("finish_reason") for one in held):
        return value
    if {one.get("role", "assistant") for one in held if isinstance(one.get("role", ""), str)} != {"assistant"}:
        return value
    dialect.notes.add("several_choices")
    return held[:1]


def _first_index(choices: list[Event], dialect: Dialect) -> list[Event]:
    """Return the events of the choice with the smallest index; all of them where one has none."""
    indexes = [_body(event).get("index") for event in choices]
    known = [index for index in indexes if type(index) is int]
    if len(known) < len(choices) or len(set(known)) < 2:
        return choices
    dialect.notes.add("several_choices")
    return [event for event, index in zip(choices, known, strict=True) if index == min(known)]


def read_input(span: Span, logs: Iterable[Event], dialect: Dialect) -> list[Message]:
    """Return what the model of a span was given, its system instructions first; empty where the span does not say.

    Raises:
        BadLine: a message cannot be read.
    """
    events = _events(span, logs)
    for held in _holders(span, events):
        if held.get("gen_ai.input.messages") is not None:
            messages = _read_side(held["gen_ai.input.messages"], "gen_ai.input.messages", dialect, default="user")
            return _instructions(held, dialect, messages) + messages
    messages = [message for event in events if (match := _TOLD.fullmatch(event.name)) for message in _told(event, match[1], dialect)]
    messages = messages or _numbered(span, "prompt", dialect) or _whole(span, events, "gen_ai.prompt", dialect, default="user")
    return _instructions(span.attributes, dialect, messages) + messages


def _events(span: Span, logs: Iterable[Event]) -> list[Event]:
    """Return the events of a span: its own, those in log records, and those that stand as JSON in its attribute `events`."""
    listed = unwrap_json(span.attributes.get("events"))
    inner = [
        Event(span.trace, span.id, 0, str(item.get("event.name")), item)
        for item in (listed if isinstance(listed, list) else [])
        if isinstance(item, dict)
    ]
    return [*span.events, *(event for event in logs if event.span == span.id), *inner]


def _holders(span: Span, events: list[Event]) -> list[dict[str, Any]]:
    return [span.attributes, *(event.attributes for event in events if event.name == _DETAILS)]


def _read_side(value: Any, place: str, dialect: Dialect, *, default: str) -> list[Message]:
    """Return messages from JSON in a string, a list of messages, one message, or plain text."""
    held = unwrap_json(value)
    if isinstance(held, dict):
        held = held["messages"] if isinstance(held.get("messages"), list) else [held]
    if isinstance(held, str):
        held = [{"content": held}] if held else []
    if isinstance(held, list):
        held = [{"content": item} if isinstance(item, str) else item for item in held]
    return read_messages(held, place, dialect, default=default)


def _instructions(held: dict[str, Any], dialect: Dialect, messages: list[Message]) -> list[Message]:
    found = unwrap_json(held.get("gen_ai.system_instructions"))
    if not found or (messages and messages[0].role == "system"):
        return []
    text = read_content(found, "gen_ai.system_instructions", dialect)
    return [Message(role="system", content=text)] if text else []


def _body(event: Event) -> dict[str, Any]:
    for key in ("event_body", "body", "gen_ai.event.content"):
        held = unwrap_json(event.attributes.get(key))
        if isinstance(held, dict):
            return held
    return event.attributes


def _told(event: Event, role: str, dialect: Dialect) -> list[Message]:
    body = _body(event)
    raw = {"role": body.get("role") or role, "content": _parts(body.get("content")), "tool_calls": unwrap_json(body.get("tool_calls"))}
    if role == "tool":
        raw |= {"role": "tool", "tool_call_id": body.get("id") or body.get("tool_call_id"), "name": body.get("name")}
    return read_message(raw, event.name, dialect)


def _choice(event: Event, dialect: Dialect) -> list[Message]:
    body = _body(event)
    message = unwrap_json(body.get("message"))
    held = message if isinstance(message, dict) else {"content": message} if isinstance(message, str) else body
    raw = {"role": held.get("role") or "assistant", "content": _parts(held.get("content"))}
    calls = unwrap_json(held.get("tool_calls") or body.get("tool_calls"))
    read = read_message(raw | {"tool_calls": calls}, event.name, dialect)
    return [message for message in read if message.content or message.tool_calls]


def _parts(content: Any) -> Any:
    """Return the parts that stand as JSON in a content; text that happens to be JSON stays text."""
    held = unwrap_json(content)
    return held if isinstance(held, list) and held and all(isinstance(part, dict) and "type" in part for part in held) else content


def _numbered(span: Span, side: str, dialect: Dialect) -> list[Message]:
    found: dict[int, dict[str, Any]] = {}
    for key, value in span.attributes.items():
        match = _NUMBERED.fullmatch(key)
        if match and match[1] == side:
            found.setdefault(int(match[2]), {})[match[3]] = value
    if side == "completion" and len(found) > 1 and all(held.get("finish_reason") for held in found.values()):
        dialect.notes.add("several_choices")
        found = {min(found): found[min(found)]}
    messages: list[Message] = []
    for number, held in sorted(found.items()):
        calls: dict[int, dict[str, Any]] = {}
        for key, value in held.items():
            if call := _CALL.fullmatch(key):
                calls.setdefault(int(call[1]), {})[call[2]] = value
        raw = {"role": held.get("role") or ("user" if side == "prompt" else "assistant"), "content": _parts(held.get("content"))}
        raw |= {"tool_calls": [calls[i] for i in sorted(calls)], "tool_call_id": held.get("tool_call_id"), "name": held.get("name")}
        messages += read_message(raw, f"gen_ai.{side}.{number}", dialect)
    return messages


def _whole(span: Span, events: list[Event], key: str, dialect: Dialect, *, default: str) -> list[Message]:
    for held in (span.attributes, *(event.attributes for event in events)):
        if held.get(key) is not None:
            return _read_side(held[key], key, dialect, default=default)
    return []
