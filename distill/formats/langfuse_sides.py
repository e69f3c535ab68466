"""What went into a trace and what came out of it, in the shapes that agent frameworks give their inputs and outputs.

A side is text, or a list of messages. An object of no known shape stands as sorted JSON: it is what the log says, unguessed.
"""

from typing import Any

from distill.canonical import dump_sorted
from distill.formats.chat import Dialect, read_content, read_message, read_messages
from distill.formats.loose import unwrap_json
from distill.schemas.evidence import Message

__all__ = ["Side", "read_answered", "read_asked"]

Side = str | list[Message] | None
_TYPED = frozenset({"human", "ai", "system", "tool", "function_call", "function_call_output", "reasoning"})
_ANSWER_ITEMS = frozenset({"message", "function_call", "reasoning"})


def read_asked(value: Any, place: str, dialect: Dialect) -> Side:
    """Return what the agent was asked: text, messages, or None where there is nothing.

    Raises:
        BadLine: a message in it cannot be read.
    """
    held = unwrap_json(value)
    if _is_messages(held):
        return read_messages(held, place, dialect, default="user")
    if not isinstance(held, dict):
        return _text(held)
    found = _messages_in(held, place, dialect)
    if found is not None:
        return found
    if isinstance(held.get("prompt"), str):
        system = [Message(role="system", content=held["system"])] if isinstance(held.get("system"), str) else []
        return [*system, Message(role="user", content=held["prompt"])]
    if "role" in held and ("content" in held or "parts" in held):
        return read_message(held, place, dialect)
    for key in ("contents", "new_message", "input", "question", "query"):
        if held.get(key):
            return read_asked(held[key], f"{place}.{key}", dialect)
    args = held.get("args")
    if isinstance(args, list) and len(args) == 1 and isinstance(args[0], str) and not held.get("kwargs"):
        return args[0]
    return _text(held)


def read_answered(value: Any, place: str, dialect: Dialect) -> Side:
    """Return what the agent answered: text, messages, or None where there is nothing.

    Raises:
        BadLine: a message in it cannot be read.
    """
    held = unwrap_json(value)
    if isinstance(held, list) and held and all(isinstance(item, dict) and "toolName" in item for item in held):
        return read_message({"role": "assistant", "tool_calls": held}, place, dialect)
    if _is_messages(held):
        return read_messages(held, place, dialect, default="assistant")
    if not isinstance(held, dict):
        return _text(held)
    for key in ("choices", "candidates"):
        if isinstance(held.get(key), list) and held[key] and isinstance(held[key][0], dict):
            return _first_choice(held[key][0], f"{place}.{key}[0]", dialect)
    found = _messages_in(held, place, dialect)
    if found is not None:
        return found
    if isinstance(held.get("output"), list) and all(
        isinstance(item, dict) and str(item.get("type")) in _ANSWER_ITEMS for item in held["output"]
    ):
        return read_messages(held["output"], f"{place}.output", dialect, default="assistant")
    if isinstance(held.get("message"), dict):
        return read_message(held["message"], f"{place}.message", dialect, default="assistant")
    if isinstance(held.get("content"), dict | list) or "role" in held:
        return read_message({"role": "assistant"} | held, place, dialect)
    return _text(held)


def _is_messages(held: Any) -> bool:
    """Tell whether a value is a list of messages, and not of anything else."""
    return isinstance(held, list) and bool(held) and all(isinstance(item, dict) and _is_message(item) for item in held)


def _is_message(item: dict[str, Any]) -> bool:
    return "role" in item or "kwargs" in item or (isinstance(item.get("type"), str) and item["type"] in _TYPED)


def _messages_in(held: dict[str, Any], place: str, dialect: Dialect) -> list[Message] | None:
    found = held.get("messages")
    return read_messages(found, f"{place}.messages", dialect) if _is_messages(found) else None


def _first_choice(choice: dict[str, Any], place: str, dialect: Dialect) -> Side:
    message = choice.get("message") or choice.get("content")
    if isinstance(message, dict):
        return read_message({"role": "assistant"} | message, place, dialect)
    return _text(message) if isinstance(message, str) else read_content(message, place, dialect)


def _text(held: Any) -> str | None:
    if held is None or isinstance(held, str):
        return held
    return dump_sorted(held) if held not in ({}, []) else None
