"""Spans and events of OpenTelemetry in one shape, however they were written: OTLP requests in JSON, or one span a line.

What a trace of them means is in `distill.formats.otel`. Attributes of the resource and the scope are not read.
"""

import base64
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from distill.formats.loose import id_at, list_at, object_at, parse_epoch, require_object, text_at
from distill.jsonl import BadLine
from distill.times import BadTime, parse_time

__all__ = ["Event", "Span", "read_spans"]

_GENAI = "gen_ai."
_BASE64 = {32: r"(?:[A-Za-z0-9+/]{22}|[A-Za-z0-9_-]{22})==", 16: r"(?:[A-Za-z0-9+/]{11}|[A-Za-z0-9_-]{11})="}


class Event(NamedTuple):
    """Something a span, or a log record beside it, tells."""

    trace: str
    """Id of the trace."""
    span: str
    """Id of its span; empty where it names none."""
    time: int
    """Nanoseconds from 1970; 0 where it has none."""
    name: str
    """Name of the event."""
    attributes: dict[str, Any]
    """Its attributes, and those of its body."""


class Span(NamedTuple):
    """One span."""

    trace: str
    """Id of the trace, 32 hex digits where the log has them so."""
    id: str
    """Id of the span."""
    parent: str | None
    """Id of the span above it."""
    name: str
    """Name."""
    start: int
    """Nanoseconds from 1970."""
    end: int
    """Nanoseconds from 1970; the start where it has none."""
    error: str | None
    """What its status says went wrong; empty where it only says that something did."""
    attributes: dict[str, Any]
    """Its attributes as plain values."""
    events: tuple[Event, ...]
    """Its events, in order."""


def read_spans(record: dict[str, Any]) -> Iterator[Span | Event]:
    """Yield the spans and events of a record, in its order.

    Raises:
        BadLine: `missing_field` or `mistyped_field`: it is neither an OTLP request nor a span, or one of its spans cannot be read.
    """
    requests = [key for key in ("resourceSpans", "resource_spans", "resourceLogs", "resource_logs", "resourceMetrics") if key in record]
    if requests:
        for key in requests:
            yield from _read_resources(record, key)
    elif _raw_trace(record) is None:
        raise BadLine("missing_field", "traceId: found none, and no resourceSpans; expected an OTLP request or a span")
    elif _pick(record, "startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime") is None and "body" in record:
        yield from _read_log(record, "")
    else:
        yield _read_span(record, "")


def _read_resources(record: dict[str, Any], key: str) -> Iterator[Span | Event]:
    is_logs = key in {"resourceLogs", "resource_logs"}
    inner = ("scopeLogs", "scope_logs") if is_logs else ("scopeSpans", "scope_spans", "instrumentationLibrarySpans")
    leaves = ("logRecords", "log_records") if is_logs else ("spans",)
    for place, resource in _objects(record, key, ""):
        for name in inner:
            for below, scope in _objects(resource, name, place):
                for leaf in leaves:
                    for at, item in _objects(scope, leaf, below):
                        if is_logs:
                            yield from _read_log(item, at)
                        else:
                            yield _read_span(item, at)


def _objects(holder: dict[str, Any], key: str, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for i, item in enumerate(list_at(holder, key, place)):
        at = f"{place}{key}[{i}]"
        yield f"{at}.", require_object(item, at)


def _read_span(raw: dict[str, Any], place: str) -> Span:
    trace, span = _trace_id(raw, place), _span_id(raw, place, "spanId", "span_id")
    if trace is None or span is None:
        name = "traceId" if trace is None else "spanId"
        raise BadLine("missing_field", f"{place}{name}: found none, expected the id of the {name[:-2]}")
    start = _time(raw, place, "startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime")
    end = _time(raw, place, "endTimeUnixNano", "end_time_unix_nano", "end_time", "endTime")
    if start is None:
        raise BadLine("missing_field", f"{place}startTimeUnixNano: found none, expected the start of the span")
    events = (_read_event(item, at, trace, span) for at, item in _objects(raw, "events", place))
    attributes = _attributes(raw, place)
    return Span(
        trace, span, _span_id(raw, place, "parentSpanId", "parent_span_id", "parent_id"), text_at(raw, "name", place) or "",
        start, max(end or start, start), _error(raw, place), attributes, tuple(events),
    )  # fmt: skip


def _read_event(raw: dict[str, Any], place: str, trace: str, span: str) -> Event:
    time = _time(raw, place, "timeUnixNano", "time_unix_nano", "timestamp", "time") or 0
    return Event(trace, span, time, text_at(raw, "name", place) or "", _attributes(raw, place))


def _read_log(raw: dict[str, Any], place: str) -> Iterator[Event]:
    """Yield a log record that belongs to a trace and speaks of a model; other records of an application are no events of a run."""
    attributes = _attributes(raw, place)
    name = raw.get("eventName") or raw.get("event_name") or attributes.get("event.name")
    trace = _trace_id(raw, place)
    if trace is None or not isinstance(name, str) or not name.startswith(_GENAI):
        return
    body = _plain(raw.get("body"), f"{place}body")
    time = _time(raw, place, "timeUnixNano", "time_unix_nano", "timestamp", "observedTimeUnixNano") or 0
    held = body if isinstance(body, dict) else {} if body is None else {"content": body}
    yield Event(trace, _span_id(raw, place, "spanId", "span_id") or "", time, name, attributes | held)


def _pick(raw: dict[str, Any], *keys: str) -> Any:
    return next((raw[key] for key in keys if raw.get(key) not in (None, "")), None)


def _raw_trace(raw: dict[str, Any]) -> Any:
    context = raw.get("context")
    return _pick(raw, "traceId", "trace_id") or (_pick(context, "trace_id", "traceId") if isinstance(context, dict) else None)


def _trace_id(raw: dict[str, Any], place: str) -> str | None:
    return _hex(_raw_trace(raw), f"{place}traceId", 32)


def _span_id(raw: dict[str, Any], place: str, *keys: str) -> str | None:
    found = _pick(raw, *keys)
    if found is None and keys[0] == "spanId" and isinstance(raw.get("context"), dict):
        found = _pick(raw["context"], "span_id", "spanId")
    return _hex(found, f"{place}{keys[0]}", 16)


def _hex(value: Any, place: str, digits: int) -> str | None:
    """Return an id as text: hex in lower case without `0x`, also of a number or of base64 as protobuf's JSON has it; all zeros is none."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << digits * 4:
        value = f"{value:0{digits}x}"
    if not isinstance(value, str):
        raise BadLine("mistyped_field", f"{place}: found {type(value).__name__}, expected {digits} hex digits or the number they stand for")
    text = value.removeprefix("0x")
    if re.fullmatch(r"[0-9A-Fa-f]{16}|[0-9A-Fa-f]{32}", text):
        text = text.lower()
    elif re.fullmatch(_BASE64[digits], value):
        text = base64.b64decode(value, altchars=b"-_" if re.search("[-_]", value) else None).hex()
    return text if text.strip("0") else None


def _time(raw: dict[str, Any], place: str, *keys: str) -> int | None:
    value = _pick(raw, *keys)
    if value is None:
        return None
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        try:
            return parse_epoch(parse_time(value, "UTC"))  # exporters write UTC
        except BadTime as err:
            raise BadLine("bad_time", f"{place}{keys[0]}: {err}") from err
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > 20 or int(value) < 0:
        raise BadLine("mistyped_field", f"{place}{keys[0]}: found {value!r:.80}, expected nanoseconds from 1970 or a time")
    return int(value)


def _error(raw: dict[str, Any], place: str) -> str | None:
    status = raw.get("status")
    if isinstance(status, str):
        status = {"code": status}
    elif status is not None:
        require_object(status, f"{place}status")
    if not status:
        return None
    code = _pick(status, "code", "status_code")
    if code not in (2, "2", "ERROR", "STATUS_CODE_ERROR", "error", "Error"):
        return None
    return text_at(status, "message", f"{place}status.") or text_at(status, "description", f"{place}status.") or ""


def _attributes(raw: dict[str, Any], place: str) -> dict[str, Any]:
    """Return attributes as an object: given as one, or as OTLP's list of keys and values."""
    found = raw.get("attributes")
    if not isinstance(found, list):
        return object_at(raw, "attributes", place)
    pairs = [(id_at(item, "key", at), _plain(item.get("value"), f"{at}value")) for at, item in _objects(raw, "attributes", place)]
    return {key: value for key, value in pairs if key is not None}


def _plain(value: Any, place: str) -> Any:
    """Return OTLP's AnyValue as a plain value; whole numbers stand in it as text."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    kind, held = next(iter(value.items()))
    kind = kind.replace("_v", "V")
    if kind == "intValue":
        if isinstance(held, int) or (isinstance(held, str) and re.fullmatch(r"-?\d{1,20}", held, re.ASCII)):
            return int(held)
        raise BadLine("mistyped_field", f"{place}.intValue: found {held!r:.80}, expected a whole number or its digits")
    if kind in {"arrayValue", "kvlistValue"}:
        inner = require_object(held, f"{place}.{kind}")
        if kind == "arrayValue":
            return [_plain(item, f"{place}[{i}]") for i, item in enumerate(list_at(inner, "values", f"{place}."))]
        return {str(item.get("key")): _plain(item.get("value"), f"{at}value") for at, item in _objects(inner, "values", f"{place}.")}
    return held if kind in {"stringValue", "boolValue", "doubleValue", "bytesValue"} else value
