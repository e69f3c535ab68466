"""Langfuse traces as they are exported: a trace with its observations and scores (docs/formats/langfuse.md).

Only what is named here is taken over: metadata, in which keys and addresses stand, is never read.
"""

import math
import re
from typing import Any

from distill.config import Config, Source
from distill.formats.chat import Dialect, build_dialect, choose_warning
from distill.formats.judging import LABELS, OUTCOME, name_aspect, read_verdict, read_whole_verdict
from distill.formats.langfuse_sides import Side, read_answered, read_asked
from distill.formats.loose import count_at, id_at, list_at, number_at, object_at, require_object, text_at
from distill.formats.native import compile_patterns, find_infrastructure, read_conversation
from distill.formats.reading import Position, Reader, Reading, convert_time
from distill.jsonl import BadLine
from distill.schemas.evidence import Message, Signal, Tokens

__all__ = ["build_reader", "collect_observations"]

_TAGS = ("name", "environment", "release", "version")


def build_reader(source: Source, config: Config, sides: object = None) -> Reader:
    """Return the reader of one source."""
    patterns = compile_patterns(config)

    def read(record: dict[str, Any], position: Position) -> Reading:
        trace = object_at(record, "trace") if "trace" in record else record
        if not id_at(trace, "id", "trace."):
            raise BadLine("missing_field", "trace.id: found none, expected a trace with its id")
        if trace is record and id_at(record, "traceId") and "observations" not in record:
            raise BadLine(
                "missing_field", "observations: found an observation alone, expected a trace; export traces with their observations"
            )
        return _read_trace(trace, collect_observations(record), source, patterns)

    return read


def collect_observations(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the observations of a record once each, by start and id, whether they stand beside the trace, in it, or both.

    Raises:
        BadLine: `mistyped_field`.
    """
    found: dict[str, dict[str, Any]] = {}
    trace = object_at(record, "trace")
    for holder, place in ((record, "observations"), (trace, "trace.observations")):
        for i, item in enumerate(list_at(holder, "observations", place.removesuffix("observations"))):
            if isinstance(item, str):  # a trace in a list of traces names its observations only
                continue
            at = f"{place}[{i}]"
            found.setdefault(id_at(require_object(item, at), "id", f"{at}.") or at, item)
    return sorted(found.values(), key=lambda item: (text_at(item, "startTime", "observation.") or "", str(item.get("id"))))


def _read_trace(trace: dict[str, Any], observations: list[dict[str, Any]], source: Source, patterns: list[re.Pattern[str]]) -> Reading:
    dialect = build_dialect(source)
    generations = [item for item in observations if item.get("type") == "GENERATION"]
    asked, answered = _sides(trace, observations, generations, dialect)
    conversation, warning = _converse(asked, answered)
    infrastructure, errors = find_infrastructure(_errors(observations), patterns)
    signals = _signals(trace, observations, dialect)
    tags = {key: text for key in _TAGS if (text := text_at(trace, key, "trace."))}
    labels = [label for label in list_at(trace, "tags", "trace.") if isinstance(label, str)]
    latency = number_at(trace, "latency", "trace.")
    time = text_at(trace, "timestamp", "trace.")
    leaves = _leaves(generations, observations)
    costs = [cost for item in leaves if (cost := number_at(item, "totalCost", "observation.")) is not None]
    values = conversation | {
        "run_id": id_at(trace, "id", "trace."), "created_at": convert_time(time, source) if time else None, "model": _model(generations),
        "group": id_at(trace, "sessionId", "trace."), "subject": id_at(trace, "userId", "trace."), "errors": errors,
        "latency_ms": None if latency is None else round(latency * 1000, 3), "tokens": _tokens(leaves),
        "cost_usd": round(math.fsum(costs), 12) if costs else None, "tags": tags | ({"tags": ",".join(sorted(labels))} if labels else {}),
        "signals": [*signals, *infrastructure],
    }  # fmt: skip
    return Reading(values, choose_warning(dialect.notes, warning))


def _sides(
    trace: dict[str, Any], observations: list[dict[str, Any]], generations: list[dict[str, Any]], dialect: Dialect
) -> tuple[Side, Side]:
    """Return what was asked and answered: the trace's own; else that of its last model call; else that of its first observation."""
    asked = read_asked(trace.get("input"), "trace.input", dialect)
    answered = read_answered(trace.get("output"), "trace.output", dialect)
    last: dict[str, Any] = next((item for item in reversed(generations) if item.get("output") is not None), {})
    if not asked and not answered:
        asked = read_asked(last.get("input"), "observation.input", dialect)
    if not asked:
        first: dict[str, Any] = next((item for item in observations if item.get("input") is not None), {})
        asked = read_asked(first.get("input"), "observation.input", dialect)
    if not answered:
        answered = read_answered(last.get("output"), "observation.output", dialect)
    return asked, answered


def _converse(asked: Side, answered: Side) -> tuple[dict[str, Any], str | None]:
    """Return instruction, messages and response; an output that holds the whole conversation stands for both sides."""
    if not isinstance(asked, list) and not isinstance(answered, list):
        return {"instruction": asked, "messages": None, "response": answered}, None
    before = asked if isinstance(asked, list) else [Message(role="user", content=asked)] if asked else []
    after = answered if isinstance(answered, list) else [Message(role="assistant", content=answered)] if answered else []
    if any(message.role == "user" for message in after):
        before = []
    return read_conversation([*before, *after], None, None)


def _model(generations: list[dict[str, Any]]) -> str | None:
    """Return the model of the last model call; a cloud's path to it, which names a project, is cut off."""
    named = [model for item in generations if (model := text_at(item, "model", "observation."))]
    return named[-1].rsplit("/models/", 1)[-1] if named else None


def _leaves(generations: list[dict[str, Any]], observations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the model calls that wrap no other: a wrapper repeats the tokens and the cost of what it wraps."""
    parents = {item.get("id"): item.get("parentObservationId") for item in observations if isinstance(item.get("id"), str)}
    wrapping: set[Any] = set()
    for item in generations:
        above = item.get("parentObservationId")
        while isinstance(above, str) and above not in wrapping:
            wrapping.add(above)
            above = parents.get(above)
    return [item for item in generations if item.get("id") not in wrapping]


def _tokens(leaves: list[dict[str, Any]]) -> Tokens | None:
    used = [object_at(item, "usageDetails", "observation.") for item in leaves]
    read = [count for usage in used if (count := count_at(usage, "input", "usageDetails.")) is not None]
    written = [count for usage in used if (count := count_at(usage, "output", "usageDetails.")) is not None]
    return Tokens(input=sum(read) if read else None, output=sum(written) if written else None) if read or written else None


def _errors(observations: list[dict[str, Any]]) -> list[str]:
    failed = [item for item in observations if item.get("level") == "ERROR"]
    told = (text_at(item, "statusMessage", "observation.") or f"{text_at(item, 'name', 'observation.')}: failed" for item in failed)
    return list(dict.fromkeys(told))


def _signals(trace: dict[str, Any], observations: list[dict[str, Any]], dialect: Dialect) -> list[Signal]:
    """Return one signal a score, by time and place; a judge of an empty input or output is none."""
    holders = {item["id"]: item for item in observations if isinstance(item.get("id"), str)}
    found: list[tuple[str, Signal]] = []
    for i, raw in enumerate(list_at(trace, "scores", "trace.")):
        place = f"trace.scores[{i}]"
        score = require_object(raw, place)
        step = id_at(score, "observationId", f"{place}.")
        signal = _signal(score, place, is_step=step is not None)
        judged = trace if step is None else holders.get(step, {})
        if signal is None:
            continue
        if signal.kind == "judge" and (_is_blank(judged.get("input")) or _is_blank(judged.get("output"))):
            dialect.notes.add("judge_of_nothing")
            continue
        found.append((text_at(score, "timestamp", f"{place}.") or "", signal))
    return [signal for _, signal in sorted(found, key=lambda pair: pair[0])]


def _signal(score: dict[str, Any], place: str, *, is_step: bool) -> Signal | None:
    """Return what a score says; that of one step only vetoes, and a person's speaks for the run under the name `outcome` alone."""
    name = text_at(score, "name", f"{place}.")
    kind = text_at(score, "dataType", f"{place}.")
    if not name or kind in {"CORRECTION", "TEXT"}:
        return None
    label = text_at(score, "stringValue", f"{place}.")
    value = score.get("value")
    if value is not None and (isinstance(value, dict | list)):
        raise BadLine("mistyped_field", f"{place}.value: found {type(value).__name__}, expected a number or a category")
    label = value if isinstance(value, str) else label
    aspect = name_aspect(name)
    author = id_at(score, "authorUserId", f"{place}.")
    where = f"trace.scores.{name}"
    shown = label if kind == "CATEGORICAL" and label else value
    if text_at(score, "source", f"{place}.") == "ANNOTATION" and author:
        whole = aspect == OUTCOME and not is_step
        verdict = (LABELS.get((label or "").strip().lower()) or read_whole_verdict(value)) if whole else "none"
        return Signal(kind="human", aspect=aspect, verdict=verdict, value=shown, by=author, where=where)
    if is_step and aspect == OUTCOME:
        aspect = "outcome_of_step"
        return Signal(kind="judge", aspect=aspect, verdict=read_verdict(OUTCOME, value, label), value=shown, where=where)
    return Signal(kind="judge", aspect=aspect, verdict=read_verdict(aspect, value, label), value=shown, where=where)


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in {"", '""', "null", "{}", "[]"}) or value in ({}, [])
