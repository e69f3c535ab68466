"""Messages as many tools write them, in our own shape: one reader for all, so that no format has a dialect of its own (SPEC 3).

Laws: 1. a role that is not in the table, nor in the source's `roles`, is refused by name; 2. what is no text stands as a mark such as
`[image]` where it stood, and is told by a warning; 3. what a model thought to itself is left out, and told likewise; 4. a tool's
result is a message of its own, also where it stood as a part of a user's; 5. an assistant's message of `weight` 0, which its log would
not train on, is marked as `failed`: context only.
"""

import re
from typing import Any, NamedTuple

from distill.canonical import dump_sorted
from distill.config import Source
from distill.formats.loose import id_at, list_at, object_at, require_object, text_at, unwrap_json
from distill.jsonl import BadLine
from distill.schemas.evidence import Message, Role, ToolCall

__all__ = ["ROLES", "Dialect", "build_dialect", "choose_warning", "parse_arguments", "read_content", "read_message", "read_messages"]

ROLES: dict[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant", "ai": "assistant",
    "model": "assistant", "tool": "tool", "function": "tool",
}  # fmt: skip
"""Roles by the names that tools give them."""
_PLAIN = ("user", "assistant", "system")
_TEXT = frozenset({None, "text", "input_text", "output_text", "refusal"})
_THOUGHT = frozenset({"reasoning", "thinking", "redacted_thinking"})
_CALL = frozenset({"tool_call", "tool_use", "tool-call", "function_call"})
_RESULT = frozenset({"tool_call_response", "tool_result", "tool-result", "function_call_output"})
_WARNINGS = ("judge_of_nothing", "several_choices", "content_not_text", "reasoning_left_out", "instruction_not_seen")
"""What is told of a run where several things could be, in this order."""


class Dialect(NamedTuple):
    """What reading a message of a source depends on, and what it has to tell."""

    roles: dict[str, Role]
    """Known names of roles."""
    notes: set[str]
    """Slugs of what was met."""


class _Parts(NamedTuple):
    """The parts of one message."""

    texts: list[str]
    """Text and marks, in order."""
    calls: list[ToolCall]
    """Calls of tools."""
    results: list[Message]
    """Results of tools."""


def build_dialect(source: Source) -> Dialect:
    """Return the roles a source knows, and nothing met yet."""
    named: Any = getattr(source, "roles", ()) or ()
    return Dialect(ROLES | dict(named), set())


def choose_warning(notes: set[str], other: str | None = None) -> str | None:
    """Return the first warning of those met, in a fixed order; one not in the table comes last."""
    met = notes | ({other} if other else set())
    known = [slug for slug in _WARNINGS if slug in met]
    return next(iter(known or sorted(met)), None)


def read_messages(raw: Any, place: str, dialect: Dialect, *, default: str | None = None) -> list[Message]:
    """Return a list of raw messages as ours; `default` is the role of one that names none.

    Raises:
        BadLine: `missing_field` or `mistyped_field`, with the place of the message.
    """
    if not isinstance(raw, list):
        raise BadLine("mistyped_field", f"{place}: found {type(raw).__name__}, expected a list of messages")
    messages: list[Message] = []
    for i, item in enumerate(raw):
        if type(item) is dict and len(item) == 2 and type(item.get("content")) is str and item.get("role") in _PLAIN:  # most are so
            messages.append(Message(role=dialect.roles[item["role"]], content=item["content"]))
        else:
            messages += read_message(item, f"{place}[{i}]", dialect, default=default)
    return messages


def read_message(raw: Any, place: str, dialect: Dialect, *, default: str | None = None) -> list[Message]:
    """Return one raw message as ours: none where it only holds thoughts, several where results of tools stand in it.

    Raises:
        BadLine: as `read_messages`.
    """
    item = require_object(raw, place)
    if isinstance(item.get("kwargs"), dict) and isinstance(item.get("id"), list):  # a serialised object of LangChain
        item = item["kwargs"] | {"role": re.sub(r"Message(Chunk)?$", "", str(item["id"][-1])).lower()}
    kind = item["type"] if isinstance(item.get("type"), str) else None
    if "role" not in item and kind in _THOUGHT | _CALL | _RESULT:
        item = {"role": "tool" if kind in _RESULT else "assistant", "parts": [item]}
    role = _role(item, place, dialect, kind if kind in dialect.roles else default)
    parts = _Parts([], [], [])
    for key in ("content", "parts", "refusal"):
        _add(item.get(key), f"{place}.{key}", parts, dialect)
    _add_calls(item, place, parts)
    name = text_at(item, "name", f"{place}.")
    if role == "tool":
        name = name or (item["function"] if isinstance(item.get("function"), str) else None)
        own = Message(role="tool", content=_join(parts), name=name, tool_call_id=id_at(item, "tool_call_id", f"{place}."))
        return parts.results or [own]
    unweighted = True if role == "assistant" and type(item.get("weight")) is int and item["weight"] == 0 else None
    own = Message(role=role, content=_join(parts), name=name, tool_calls=parts.calls or None, failed=unweighted)
    if not parts.texts and not parts.calls and (parts.results or kind in _THOUGHT):
        return parts.results
    return [own, *parts.results] if role == "assistant" else [*parts.results, own]


def _role(item: dict[str, Any], place: str, dialect: Dialect, default: str | None) -> Role:
    found = item.get("role") or default
    if found is None:
        raise BadLine("missing_field", f"{place}.role: found none, expected one of {', '.join(sorted(dialect.roles))}")
    if not isinstance(found, str) or found not in dialect.roles:
        known = ", ".join(sorted(dialect.roles))
        raise BadLine("mistyped_field", f"{place}.role: found {found!r:.80}, expected one of {known}; map it with roles")
    return dialect.roles[found]


def _join(parts: _Parts) -> str | None:
    return "\n".join(parts.texts) if parts.texts else None


def read_content(content: Any, place: str, dialect: Dialect) -> str | None:
    """Return the text of a content: a string, a part or a list of parts.

    Raises:
        BadLine: `mistyped_field`.
    """
    parts = _Parts([], [], [])
    _add(content, place, parts, dialect)
    return _join(parts)


def _add(content: Any, place: str, parts: _Parts, dialect: Dialect) -> None:
    """Sort a content into texts, calls and results."""
    if content is None:
        return
    if isinstance(content, str):
        parts.texts.append(content)
    elif isinstance(content, list):
        for i, part in enumerate(content):
            _add_part(part, f"{place}[{i}]", parts, dialect)
    elif isinstance(content, dict):
        _add_part(content, place, parts, dialect)
    else:
        raise BadLine("mistyped_field", f"{place}: found {content!r:.80}, expected text or a list of parts")


def _add_part(part: Any, place: str, parts: _Parts, dialect: Dialect) -> None:
    if isinstance(part, str):
        parts.texts.append(part)
        return
    part = require_object(part, place)
    kind = text_at(part, "type", f"{place}.")
    if "parts" in part and kind is None:
        _add(part["parts"], f"{place}.parts", parts, dialect)
    elif kind in _THOUGHT or part.get("thought") is True:
        dialect.notes.add("reasoning_left_out")
    elif kind in _CALL or "function_call" in part or "functionCall" in part:
        parts.calls.append(_call(part.get("function_call") or part.get("functionCall") or part, place))
    elif kind in _RESULT or "function_response" in part or "functionResponse" in part:
        parts.results.append(_result(part.get("function_response") or part.get("functionResponse") or part, place, dialect))
    elif kind in _TEXT and (key := next((key for key in ("text", "content", "refusal") if part.get(key) is not None), None)):
        parts.texts.append(text_at(part, key, f"{place}.") or "")
    elif kind in _TEXT and kind is not None:
        return
    else:
        dialect.notes.add("content_not_text")
        parts.texts.append(f"[{_mark(kind)}]")


def _mark(kind: Any) -> str:
    """Return what stands for a part that is no text."""
    if not isinstance(kind, str) or not re.fullmatch(r"[A-Za-z][\w-]{0,31}", kind, re.ASCII):
        return "part"
    return kind.removeprefix("input_").removesuffix("_url")


def _add_calls(item: dict[str, Any], place: str, parts: _Parts) -> None:
    held = {call.id for call in parts.calls} - {None}
    calls = list_at(item, "tool_calls", f"{place}.")
    extra = item.get("additional_kwargs")
    if not calls and isinstance(extra, dict):
        calls = list_at(extra, "tool_calls", f"{place}.additional_kwargs.")
    for i, call in enumerate(calls):
        found = _call(require_object(call, f"{place}.tool_calls[{i}]"), f"{place}.tool_calls[{i}]")
        if found.id not in held:
            parts.calls.append(found)
    if item.get("function_call") is not None:
        parts.calls.append(_call(object_at(item, "function_call", f"{place}."), f"{place}.function_call"))


def _call(raw: Any, place: str) -> ToolCall:
    call = require_object(raw, place)
    function = call.get("function") or call.get("custom")
    inner = function if isinstance(function, dict) else call
    name = function if isinstance(function, str) else inner.get("name") or inner.get("toolName")
    if not isinstance(name, str) or not name:
        raise BadLine("missing_field", f"{place}: found a call without name, expected the name of its tool")
    found = next((inner[key] for key in ("arguments", "args", "input") if inner.get(key) is not None), None)
    ids = (id_at(call, key, f"{place}.") for key in ("call_id", "id", "toolCallId"))
    return ToolCall(id=next((one for one in ids if one), None), name=name, arguments=parse_arguments(found))


def parse_arguments(found: Any) -> Any:
    """Return the arguments of a call; those that stand as JSON in a string are parsed, a string that is none stays as logged."""
    held = unwrap_json(found)
    return held if isinstance(held, dict) else found


def _result(raw: Any, place: str, dialect: Dialect) -> Message:
    result = require_object(raw, place)
    value = next((result[key] for key in ("response", "result", "output", "content") if result.get(key) is not None), None)
    if isinstance(value, list) and all(isinstance(part, dict) and "type" in part for part in value):
        text = read_content(value, place, dialect)
    else:
        text = value if value is None or isinstance(value, str) else dump_sorted(value)
    ids = (id_at(result, key, f"{place}.") for key in ("tool_call_id", "tool_use_id", "call_id", "id"))
    name = text_at(result, "name", f"{place}.")
    return Message(role="tool", content=text, name=name, tool_call_id=next((one for one in ids if one), None))
