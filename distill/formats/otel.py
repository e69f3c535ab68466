"""OpenTelemetry traces of model calls: a run is a trace (docs/formats/otel.md).

Its conversation is that of the last model call that has an answer, its times those of the root span, its tokens the sum over model
calls. A trace that calls no model is a run with nothing in it, and is told by the warning `trace_without_model`. Metrics are not read.
"""

import re
from typing import Any

from distill.canonical import dump_sorted
from distill.config import Config, Source
from distill.formats.chat import Dialect, build_dialect, choose_warning, parse_arguments
from distill.formats.judging import name_aspect, read_verdict
from distill.formats.loose import count_at, id_at, render_epoch, text_at, unwrap_json
from distill.formats.native import compile_patterns, find_infrastructure, read_conversation
from distill.formats.otel_messages import read_input, read_output
from distill.formats.otel_spans import Event, Span, read_spans
from distill.formats.reading import Grouper, Position, Reading
from distill.schemas.evidence import Message, Signal, Tokens, ToolCall

__all__ = ["build_grouper"]

_MODEL_CALLS = frozenset({"chat", "completion", "generate_content", "text_completion"})
_EVALUATION = "gen_ai.evaluation.result"
Fragment = list[Span | Event]


class _Traces:
    """The grouper of one source."""

    def __init__(self, source: Source, patterns: list[re.Pattern[str]]) -> None:
        """Keep what reading depends on."""
        self._source = source
        self._patterns = patterns

    def split(self, record: dict[str, Any], position: Position, /) -> list[tuple[str, Fragment]]:
        """Return the spans of each trace in the record."""
        found: dict[str, Fragment] = {}
        for item in read_spans(record):
            found.setdefault(item.trace, []).append(item)
        return list(found.items())

    def merge(self, key: str, fragments: list[Fragment], position: Position, /) -> Reading:
        """Understand one trace; what stands in it twice counts once."""
        items = [item for fragment in fragments for item in fragment]
        met = [item for item in items if isinstance(item, Span)]
        spans = {span.id: span for span in sorted(met, key=lambda span: (span.end, span.start))}
        logs = sorted((item for item in items if isinstance(item, Event)), key=lambda event: (event.time, event.span, event.name))
        ordered = sorted(spans.values(), key=lambda span: (span.start, span.id))
        return _read_trace(key, ordered, logs, build_dialect(self._source), self._patterns)


def build_grouper(source: Source, config: Config, sides: object = None) -> Grouper:
    """Return the grouper of one source."""
    return _Traces(source, compile_patterns(config))


def _read_trace(trace: str, spans: list[Span], logs: list[Event], dialect: Dialect, patterns: list[re.Pattern[str]]) -> Reading:
    calls = [span for span in spans if _is_model_call(span)]
    agents = [span for span in spans if span.attributes.get("gen_ai.operation.name") == "invoke_agent"]
    chosen, messages = _find_conversation(calls, agents, logs, dialect)
    if chosen is not None:
        messages = _with_tools(messages, spans, chosen)
    conversation, warning = read_conversation(messages or None, None, None)
    infrastructure, errors = find_infrastructure(_errors(spans), patterns)
    judged = _evaluations(spans, logs)
    if judged and not ((conversation["instruction"] or "").strip() and (conversation["response"] or "").strip()):
        judged = []
        dialect.notes.add("judge_of_nothing")
    values = conversation | _circumstances(spans, chosen, calls)
    values |= {"run_id": trace, "errors": errors, "signals": [*judged, *infrastructure]}
    return Reading(values, choose_warning(dialect.notes, warning or (None if calls or agents else "trace_without_model")))


def _circumstances(spans: list[Span], chosen: Span | None, calls: list[Span]) -> dict[str, Any]:
    """Return everything of a run that is neither its conversation nor how it went."""
    known = {span.id for span in spans}
    root = next((span for span in spans if span.parent not in known), spans[0] if spans else None)
    line = [chosen.attributes, *(span.attributes for span in _above(chosen, spans))] if chosen else []
    everywhere = [*line, *(span.attributes for span in spans)]
    return {
        "created_at": render_epoch(root.start) if root else None, "latency_ms": (root.end - root.start) / 1_000_000 if root else None,
        "model": _first(line, "gen_ai.response.model", "gen_ai.request.model"),
        "provider": _first(line, "gen_ai.provider.name", "gen_ai.system"), "role": _first(line, "gen_ai.agent.name"),
        "task_id": _first(everywhere, "task_id", "task.id"), "group": _first(everywhere, "gen_ai.conversation.id", "session.id"),
        "subject": _first(everywhere, "enduser.id", "user.id"), "tokens": _tokens(calls, spans),
        "tags": {"trace_name": root.name} if root and root.name else {},
    }  # fmt: skip


def _is_model_call(span: Span) -> bool:
    held = span.attributes
    said = [held[key] for key in ("gen_ai.operation.name", "llm.request.type") if isinstance(held.get(key), str)]
    if said:
        return said[0] in _MODEL_CALLS
    return "gen_ai.tool.name" not in held and any(key in held for key in ("gen_ai.request.model", "gen_ai.response.model"))


def _find_conversation(calls: list[Span], agents: list[Span], logs: list[Event], dialect: Dialect) -> tuple[Span | None, list[Message]]:
    """Return the last span in time that has an answer, and its messages; agents are asked where no model call has one."""
    for group in (calls, agents):
        for span in sorted(group, key=lambda span: (span.end, span.start, span.id), reverse=True):
            output = read_output(span, logs, dialect)
            if output:
                return span, read_input(span, logs, dialect) + output
    for span in sorted((*calls, *agents), key=lambda span: (span.end, span.start, span.id), reverse=True):
        asked = read_input(span, logs, dialect)
        if asked:
            return span, asked
    return (calls[-1] if calls else None), []


def _with_tools(messages: list[Message], spans: list[Span], chosen: Span) -> list[Message]:
    """Return the messages with the tools that ran before the answer, where the messages hold no call of them."""
    tools = [span for span in spans if span.attributes.get("gen_ai.operation.name") == "execute_tool" and span.end <= chosen.end]
    if not tools or any(message.tool_calls or message.role == "tool" for message in messages):
        return messages
    ran: list[Message] = []
    for span in tools:
        held, place = span.attributes, "attributes."
        name = text_at(held, "gen_ai.tool.name", place) or span.name.removeprefix("execute_tool ")
        if not name:
            continue
        call = id_at(held, "gen_ai.tool.call.id", place)
        asked = held.get("gen_ai.tool.call.arguments")
        result = held.get("gen_ai.tool.call.result")
        arguments = parse_arguments(asked)
        text = result if result is None or isinstance(result, str) else dump_sorted(result)
        ran.append(Message(role="assistant", tool_calls=[ToolCall(id=call, name=name, arguments=arguments)]))
        ran.append(Message(role="tool", content=text, name=name, tool_call_id=call))
    end = next((i for i in range(len(messages), 0, -1) if messages[i - 1].role != "assistant"), 0)
    return messages[:end] + ran + messages[end:]


def _above(span: Span, spans: list[Span]) -> list[Span]:
    """Return the spans above one, the nearest first."""
    by_id = {other.id: other for other in spans}
    found: list[Span] = []
    above = by_id.pop(span.parent or "", None)
    while above is not None:
        found.append(above)
        above = by_id.pop(above.parent or "", None)
    return found


def _tokens(calls: list[Span], spans: list[Span]) -> Tokens | None:
    """Return the tokens of all model calls; one that wraps another repeats its tokens and is left out."""
    counted = [(span, _usage(span.attributes)) for span in calls]
    counted = [(span, usage) for span, usage in counted if usage != (None, None)]
    wrapping = {above.id for span, _ in counted for above in _above(span, spans)}
    kept = [usage for span, usage in counted if span.id not in wrapping]
    if not kept:
        return None
    sums = [[usage[i] for usage in kept if usage[i] is not None] for i in (0, 1)]
    return Tokens(input=sum(sums[0]) if sums[0] else None, output=sum(sums[1]) if sums[1] else None)


def _usage(held: dict[str, Any]) -> tuple[Any, Any]:
    names = (("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"), ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"))
    found = [[count_at(held, name, "attributes.") for name in pair] for pair in names]
    return tuple(next((count for count in pair if count is not None), None) for pair in found)  # type: ignore[return-value]  # two


def _first(holders: list[dict[str, Any]], *keys: str) -> str | None:
    for key in keys:
        for held in holders:
            found = id_at(held, key, "attributes.")
            if found:
                return found
    return None


def _errors(spans: list[Span]) -> list[str]:
    """Return what went wrong by the status of spans, once each; what a span above repeats is one error."""
    found: dict[str, None] = {}
    for span in spans:
        if span.error is None:
            continue
        raised = (event.attributes for event in span.events if event.name == "exception")
        said = [text for held in raised if (text := text_at(held, "exception.message", "exception."))]
        kind = text_at(span.attributes, "error.type", "attributes.")
        found[span.error or (said[0] if said else kind or f"{span.name}: failed")] = None
    return list(found)


def _evaluations(spans: list[Span], logs: list[Event]) -> list[Signal]:
    """Return one judge signal an evaluation, in the order of time and place; one that failed itself says nothing."""
    events = [event for span in spans for event in span.events if event.name == _EVALUATION]
    events += [event for event in logs if event.name == _EVALUATION]
    own = [span for span in spans if "gen_ai.evaluation.name" in span.attributes]
    events += [Event(span.trace, span.id, span.start, _EVALUATION, span.attributes) for span in own]
    signals: list[Signal] = []
    for event in sorted(events, key=lambda event: event.time):
        held = event.attributes
        name = text_at(held, "gen_ai.evaluation.name", f"{_EVALUATION}.")
        if not name or held.get("error.type") is not None:
            continue
        value = unwrap_json(held.get("gen_ai.evaluation.score.value"))
        label = text_at(held, "gen_ai.evaluation.score.label", f"{_EVALUATION}.")
        aspect = name_aspect(name)
        verdict = read_verdict(aspect, value, label)
        where = f"{_EVALUATION}.{name}"
        signals.append(Signal(kind="judge", aspect=aspect, verdict=verdict, value=label if value is None else value, where=where))
    return signals
