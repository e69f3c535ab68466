"""OpenAI-style chat logs: a conversation a line, or a logged request with its response (docs/formats/openai_chat.md).

Nothing in such a log says how a run went: verdicts are joined from elsewhere. Embeddings, images and streamed chunks are not read.
"""

import re
from typing import Any, NamedTuple

from distill.config import Config, Source
from distill.formats.chat import build_dialect, choose_warning, read_message, read_messages
from distill.formats.loose import count_at, id_at, list_at, number_at, object_at, render_epoch, require_object, text_at
from distill.formats.native import compile_patterns, find_infrastructure, read_conversation
from distill.formats.reading import Position, Reader, Reading, convert_time
from distill.jsonl import BadLine
from distill.schemas.evidence import Message, Tokens

__all__ = ["build_reader"]


class _Exchange(NamedTuple):
    """A record taken apart."""

    record: dict[str, Any]
    """The whole."""
    request: dict[str, Any]
    """What was asked: the record itself, its `request` or its `body`."""
    response: dict[str, Any]
    """What came back; empty where the record is a conversation alone."""
    answer: str | None
    """A response, or the completion of a prompt, that is plain text."""


def build_reader(source: Source, config: Config, sides: object = None) -> Reader:
    """Return the reader of one source."""
    patterns = compile_patterns(config)

    def read(record: dict[str, Any], position: Position) -> Reading | list[Reading]:
        exchange = _take_apart(record)
        choices = list_at(exchange.response, "choices") or list_at(record, "choices")
        if len(choices) < 2:
            return _read_choice(exchange, source, patterns, choice=choices[0] if choices else None)
        return [_read_choice(exchange, source, patterns, choice=choice, index=i) for i, choice in enumerate(choices)]

    return read


def _take_apart(record: dict[str, Any]) -> _Exchange:
    request = object_at(record, "request") or object_at(record, "body") or record
    request = object_at(request, "body", "request.") or request
    answer = record.get("response")
    if answer is None and "prompt" in request:  # an old-style pair
        answer = text_at(record, "completion")
    if isinstance(answer, str):
        return _Exchange(record, request, {}, answer)
    response = object_at(record, "response")
    return _Exchange(record, request, object_at(response, "body", "response.") or response, None)


def _read_choice(exchange: _Exchange, source: Source, patterns: list[re.Pattern[str]], *, choice: Any, index: int | None = None) -> Reading:
    record, request, response, answer = exchange
    dialect = build_dialect(source)
    held = "messages" in request or "prompt" in request
    asked = request if held else record
    messages = _asked(asked, dialect)
    place = f"choices[{index or 0}]"
    found = {} if choice is None else require_object(choice, place)
    if choice is not None:
        messages += _answered(found, place, dialect)
    elif answer is not None:
        messages.append(Message(role="assistant", content=answer))
    elif "role" in response or "content" in response:
        messages += read_message(response, "response", dialect, default="assistant")
    conversation, warning = read_conversation(messages, None, None)
    infrastructure, errors = find_infrastructure(_errors(record), patterns)
    reason = text_at(found, "finish_reason", f"{place}.")
    values = conversation | {
        "run_id": _run_id(exchange, index), "task_id": id_at(record, "task_id") or id_at(record, "custom_id"),
        "created_at": _created_at(exchange, source), "model": text_at(response, "model", "response.") or text_at(asked, "model")
        or text_at(record, "model"), "provider": text_at(record, "provider"), "subject": id_at(asked, "user"),
        "tags": {"finish_reason": reason} if reason else {}, "tokens": _tokens(response or record),
        "latency_ms": number_at(record, "latency_ms"), "errors": errors, "signals": infrastructure,
    }  # fmt: skip
    return Reading(values, choose_warning(dialect.notes, warning))


def _asked(asked: dict[str, Any], dialect: Any) -> list[Message]:
    """Return the messages of a request; an old-style `prompt` is a user's."""
    if asked.get("messages") is not None:
        return read_messages(asked["messages"], "messages", dialect)
    prompt = text_at(asked, "prompt")
    if prompt is None:
        raise BadLine("missing_field", "messages: found none, also not under request or body; expected a list of messages")
    return [Message(role="user", content=prompt)]


def _answered(choice: dict[str, Any], place: str, dialect: Any) -> list[Message]:
    text = text_at(choice, "text", f"{place}.")
    if choice.get("message") is None and text is not None:
        return [Message(role="assistant", content=text)]
    if choice.get("message") is None:
        raise BadLine("missing_field", f"{place}.message: found none, expected the message of the answer; streamed chunks are not read")
    return read_message(choice["message"], f"{place}.message", dialect, default="assistant")


def _run_id(exchange: _Exchange, index: int | None) -> str | None:
    record = exchange.record
    found = id_at(record, "run_id") or id_at(exchange.response, "id", "response.") or id_at(record, "id")
    return found if index is None or found is None else f"{found}#{index}"


def _created_at(exchange: _Exchange, source: Source) -> str | None:
    """Return `created_at` as text or as seconds from 1970, else `created`."""
    for key, place in (("created_at", ""), ("created", "response."), ("created", "")):
        found = (exchange.response if place else exchange.record).get(key)
        if isinstance(found, str):
            return convert_time(found, source)
        if found is not None:
            seconds = number_at({key: found}, key, place) or 0
            return render_epoch(int(seconds * 1_000_000) * 1_000)
    return None


def _tokens(holder: dict[str, Any]) -> Tokens | None:
    usage = object_at(holder, "usage")
    if not usage:
        return None
    read = [count_at(usage, key, "usage.") for key in ("prompt_tokens", "input_tokens")]
    written = [count_at(usage, key, "usage.") for key in ("completion_tokens", "output_tokens")]
    return Tokens(input=_first(read), output=_first(written))


def _first(found: list[int | None]) -> int | None:
    return next((one for one in found if one is not None), None)


def _errors(record: dict[str, Any]) -> list[str]:
    """Return what the record calls an error: of its own, of its response, and a status that is no success."""
    errors: list[str] = []
    response = record.get("response")
    holders = [(record, ""), (response, "response.")] if isinstance(response, dict) else [(record, "")]
    for holder, place in holders:
        error = holder.get("error")
        if isinstance(error, dict):
            error = text_at(error, "message", f"{place}error.") or text_at(error, "type", f"{place}error.") or id_at(error, "code")
        elif error is not None:
            error = text_at(holder, "error", place)
        status = count_at(holder, "status_code", place)
        if error:
            errors.append(error)
        elif status is not None and status >= 400:
            errors.append(f"status {status}")
    return errors
