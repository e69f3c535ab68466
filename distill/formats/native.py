"""What the two native logs share: their common fields, messages, and errors that are infrastructure (SPEC 2.1)."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from distill.config import Config, Source
from distill.conversation import render_messages
from distill.formats.reading import Reading, convert_time, first_user_text
from distill.jsonl import BadLine, decode_line
from distill.schemas.evidence import Message, Signal, Tokens, ToolCall

__all__ = [
    "COMMON",
    "Count",
    "NativeRow",
    "Plain",
    "RawMessage",
    "build_messages",
    "common_values",
    "compile_patterns",
    "find_infrastructure",
    "plain_time",
    "read_conversation",
]

Count = Annotated[int, msgspec.Meta(ge=0)]


class RawFunction(msgspec.Struct):
    """The `function` of an OpenAI-style call."""

    name: str
    """Name of the tool."""
    arguments: Any = None
    """A JSON value, or JSON in a string."""


class RawCall(msgspec.Struct):
    """A tool call in our own or in OpenAI's shape."""

    id: str | None = None
    """Id of the call."""
    name: str | None = None
    """Name of the tool."""
    arguments: Any = None
    """A JSON value, or JSON in a string."""
    function: RawFunction | None = None
    """OpenAI's place for both."""


class RawMessage(msgspec.Struct):
    """A message as a log has it; unknown fields are accepted."""

    role: Literal["system", "user", "assistant", "tool"]
    """Who spoke."""
    content: str | None = None
    """Text."""
    name: str | None = None
    """Name of the speaker or tool."""
    tool_calls: list[RawCall] | None = None
    """Calls of an assistant turn."""
    tool_call_id: str | None = None
    """The call a tool message answers."""
    failed: bool | None = None
    """True where the log calls the turn wrong."""


class RawTokens(msgspec.Struct):
    """Tokens as a log counts them; unknown fields are accepted."""

    input: Count | None = None
    """Tokens read."""
    output: Count | None = None
    """Tokens written."""


class NativeRow(msgspec.Struct, kw_only=True):
    """Fields both native logs have."""

    task_id: str
    """Identity of the task."""
    created_at: str
    """When."""
    run_id: str | None = None
    """The run's id."""
    model: str | None = None
    """Model that acted."""
    provider: str | None = None
    """Who served it."""
    role: str | None = None
    """Role of the agent."""
    prompt: str | None = None
    """What it was asked."""
    context: str | None = None
    """What it was given besides."""
    response: str | None = None
    """Its answer."""
    messages: list[RawMessage] | None = None
    """The conversation."""
    cost_usd: float | None = None
    """US dollars."""
    latency_ms: float | None = None
    """Milliseconds."""
    tokens: RawTokens | None = None
    """Tokens read and written."""


class Plain(NamedTuple):
    """What a native log says of its plain rows, which `distill.compiled.collect` takes from their bytes."""

    kind: type[NativeRow]
    """The struct of its rows."""
    signals: Callable[[Any], list[Signal]]
    """Returns the signals of a row."""
    time: Callable[[str], str | None]
    """Returns a time in UTC, None where it cannot be read."""
    fields: dict[str, str]
    """What its fields become, by name, as the compiled loop calls it."""
    needs_response: bool
    """Whether a row without answer is never plain."""


COMMON = {name: name for name in ("run_id", "task_id", "created_at", "model", "provider", "role", "context", "response", "messages",
                                  "cost_usd", "latency_ms", "tokens")} | {"prompt": "instruction"}  # fmt: skip
"""What the fields of both logs become."""


def plain_time(source: Source) -> Callable[[str], str | None]:
    """Return the function that reads the times of a source's plain rows."""

    def read(text: str) -> str | None:
        try:
            return convert_time(text, source)
        except BadLine:
            return None

    return read


def common_values(row: NativeRow, source: Source) -> Reading:
    """Return the evidence fields both native logs fill.

    Raises:
        BadLine: an empty task id, or a time that cannot be read.
    """
    if not row.task_id:
        raise BadLine("missing_field", "task_id is empty, expected the identity of the task")
    values = {
        "run_id": row.run_id or None, "task_id": row.task_id, "created_at": convert_time(row.created_at, source), "model": row.model,
        "provider": row.provider, "role": row.role, "context": row.context, "cost_usd": row.cost_usd, "latency_ms": row.latency_ms,
        "tokens": None if row.tokens is None else Tokens(input=row.tokens.input, output=row.tokens.output),
    }  # fmt: skip
    messages = build_messages(row.messages)
    conversation, warning = read_conversation(messages, row.prompt, row.response)
    return Reading(values | conversation, warning)


def read_conversation(messages: list[Message] | None, instruction: str | None, response: str | None) -> tuple[dict[str, Any], str | None]:
    """Return instruction, messages and response with the defaults of SPEC 3, and a warning."""
    warning = None
    if messages is not None:
        seen = first_user_text(messages)
        if instruction and instruction not in (seen or ""):
            warning = "instruction_not_seen"
        instruction = instruction or seen
        if response is None:
            answers = [turn.content for turn in render_messages(messages) if turn.role == "assistant"]
            response = answers[-1] if answers else None
    return {"instruction": instruction, "messages": messages, "response": response}, warning


def build_messages(raw: list[RawMessage] | None) -> list[Message] | None:
    """Return messages in our own shape.

    Raises:
        BadLine: `mistyped_field` for a call without a name.
    """
    if raw is None:
        return None
    return [
        Message(
            role=message.role, content=message.content, name=message.name, tool_call_id=message.tool_call_id, failed=message.failed,
            tool_calls=[_call(call, i) for call in message.tool_calls] if message.tool_calls else None,
        )
        for i, message in enumerate(raw)
    ]  # fmt: skip


def _call(call: RawCall, turn: int) -> ToolCall:
    name = call.name or (call.function.name if call.function else None)
    if not name:
        raise BadLine("mistyped_field", f"messages[{turn}].tool_calls: found a call without name")
    arguments = call.arguments if call.function is None else call.function.arguments
    if isinstance(arguments, str) and arguments.lstrip().startswith("{"):
        with suppress(BadLine):  # a string that is no JSON is kept as the log has it
            arguments = decode_line(arguments.encode())
    return ToolCall(id=call.id, name=name, arguments=arguments)


def compile_patterns(config: Config) -> list[re.Pattern[str]]:
    """Return the patterns of errors that are infrastructure."""
    return [re.compile(pattern, re.IGNORECASE) for pattern in config.infrastructure_patterns]


def find_infrastructure(errors: list[str], patterns: list[re.Pattern[str]]) -> tuple[list[Signal], list[str]]:
    """Split errors into infrastructure signals and errors of the run itself."""
    signals: list[Signal] = []
    own: list[str] = []
    for i, error in enumerate(errors):
        if any(pattern.search(error) for pattern in patterns):
            signals.append(Signal(kind="infrastructure", verdict="none", value=error, where=f"errors[{i}]"))
        else:
            own.append(error)
    return signals, own
