"""OpenTelemetry traces (docs/formats/otel.md)."""

import json
from typing import Any

import pytest

from distill.formats.otel import build_grouper
from distill.formats.reading import Reading
from distill.jsonl import BadLine
from distill.schemas.evidence import Message, Tokens, ToolCall
from tests.format_cases import CONFIG, PLACE, SOURCE, break_values, build_evidence, group, judge, read_rows, signals_of, survives

OTLP, SPANS = read_rows("otel/otlp.jsonl"), read_rows("otel/spans.jsonl")
GROUPER = build_grouper(SOURCE, CONFIG, None)
TRACE, OLD = "5b8efff798038103d269b633813fc60c", "0000000000000001000000000000002a"


def span(identity: str = "a1", **fields: Any) -> dict[str, Any]:
    """Return a plain span of a model call."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "model-a"} | fields.pop("attributes", {})
    base = {"trace_id": "1" * 32, "span_id": identity, "name": "chat", "start_time": "2026-04-27T09:00:00Z", "attributes": attributes}
    return base | fields


def asked(question: str, answer: str) -> dict[str, Any]:
    """Return the attributes of a model call in the new form."""
    return {
        "gen_ai.input.messages": [{"role": "user", "content": question}],
        "gen_ai.output.messages": [{"role": "assistant", "content": answer}],
    }


def run_of(*records: dict[str, Any]) -> Reading:
    """Return the one run that the records hold."""
    (reading,) = group(GROUPER, list(records)).values()
    return reading


def refused(record: dict[str, Any]) -> tuple[str, str]:
    """Return slug and detail of a record that cannot be read."""
    with pytest.raises(BadLine) as caught:
        group(GROUPER, [record])
    return caught.value.reason, caught.value.detail


def test_run_is_a_trace_over_several_records() -> None:
    """The spans of a trace make one run, whatever request they stand in; its conversation is the last answered call's (SPEC 2)."""
    runs = group(GROUPER, OTLP)
    record = build_evidence(runs[TRACE])

    assert list(runs) == [TRACE, OLD]
    assert [message.role for message in record.messages or ()] == ["system", "user", "assistant", "tool", "assistant"]
    assert (record.run_id, record.instruction, record.response) == (TRACE, "What is 2 + 3?", "5")
    assert (record.created_at, record.latency_ms, record.tokens) == ("2026-04-27T09:14:03Z", 1000.0, Tokens(input=60, output=10))
    assert (record.model, record.provider, record.role) == ("model-a-2026-04", "provider-a", "adder")
    assert (record.task_id, record.group, signals_of(runs[TRACE])) == ("sum-2-3", "conversation-1", [("judge", "toxicity", "pass")])


def test_old_names_are_read() -> None:
    """Numbered attributes, `gen_ai.system` and the old token names say the same; a label outweighs its number (SPEC 3)."""
    reading = group(GROUPER, OTLP)[OLD]
    record = build_evidence(reading)

    assert (record.instruction, record.response, record.provider) == ("Say hello.", "Hello.", "provider-b")
    assert (record.tokens, signals_of(reading)) == (Tokens(input=4, output=2), [("judge", "helpfulness", "fail")])
    assert judge(reading).reasons == ["weak_reject"]


def test_plain_spans_and_events_are_read() -> None:
    """A span a line with attributes as an object is read as an OTLP span is, also where messages stand in events."""
    record = build_evidence(group(GROUPER, SPANS[:1])["c" * 32])

    assert [message.content for message in record.messages or ()] == ["Be brief.", "Say hello.", "Hello."]
    assert (record.created_at, record.latency_ms) == ("2026-04-27T09:14:03.25Z", 750.0)


def test_number_above_64_bits_is_its_hex_text() -> None:
    """A trace id that a log has as a whole number above 2^64 is the hex text it stands for (issue: trace ids above 2^64)."""
    number = SPANS[1]["trace_id"]
    same = span(trace_id="A" * 32, attributes=asked("x", "y"))

    assert number > 1 << 64
    assert list(group(GROUPER, [*SPANS[1:4], same])) == ["a" * 32]


BASE64 = {"standard": "W47/95gDgQPSabYzgTxgDA==", "url_safe": "W47_95gDgQPSabYzgTxgDA==", "hex": "0x5B8EFFF798038103D269B633813C600C"}


@pytest.mark.parametrize("identity", BASE64.values(), ids=BASE64)
def test_id_is_the_same_however_it_was_written(identity: str) -> None:
    """Protobuf's own JSON writes ids in base64, OTLP in hex: a trace in both forms is one run."""
    other = span("a2", trace_id="5b8efff798038103d269b633813fc60c".replace("3fc60c", "3c600c"))

    assert list(group(GROUPER, [span("7uGbfsPBsXU=", trace_id=identity), other])) == ["5b8efff798038103d269b633813c600c"]


CHOICES: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "messages": ({"gen_ai.output.messages": [{"role": "assistant", "content": text, "finish_reason": "stop"} for text in "AB"]}, "A", "several_choices"),
    "steps": ({"gen_ai.output.messages": [{"role": "assistant", "content": text} for text in "AB"]}, "A\nB", None),
    "events": ({"events": [{"event.name": "gen_ai.choice", "index": i, "message": {"content": "BA"[i]}} for i in (1, 0)]}, "B", "several_choices"),
    "chunks": ({"events": [{"event.name": "gen_ai.choice", "index": 0, "message": {"content": text}} for text in "AB"]}, "A\nB", None),
    "numbered": ({f"gen_ai.completion.{i}.{key}": value for i in (0, 1) for key, value in (("content", "AB"[i]), ("finish_reason", "stop"))}, "A", "several_choices"),
}  # fmt: skip


@pytest.mark.parametrize(("attributes", "response", "warning"), CHOICES.values(), ids=CHOICES)
def test_first_of_several_choices_is_the_answer(attributes: dict[str, Any], response: str, warning: str | None) -> None:
    """Candidates for one answer are never joined to an answer that no model gave; steps of one answer are."""
    reading = run_of(span(attributes=attributes | {"gen_ai.prompt": "Add."}))

    assert (reading.values["response"], reading.warning) == (response, warning)


def test_tool_runs_join_a_conversation_that_lacks_them() -> None:
    """Tools that ran are put before the answer only where the messages hold no call; errors that match are infrastructure."""
    reading = group(GROUPER, SPANS[1:4])["a" * 32]
    messages = reading.values["messages"]

    assert [message.role for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[1] == Message(role="assistant", tool_calls=[ToolCall(name="add", arguments={"a": 1, "b": 1})])
    assert judge(reading).reasons == ["not_judged"]
    assert sum(bool(m.tool_calls) for m in group(GROUPER, OTLP)[TRACE].values["messages"]) == 1


def test_trace_without_model_is_told() -> None:
    """A trace that calls no model is a run with nothing in it, and a warning."""
    reading = group(GROUPER, SPANS[4:5])["e" * 32]

    assert (reading.values["response"], reading.values["messages"], reading.warning) == (None, None, "trace_without_model")


def test_order_of_records_changes_nothing() -> None:
    """The same spans in another order give the same run; a span that stands twice counts once (SPEC 7, law 4)."""
    straight, turned = group(GROUPER, OTLP), group(GROUPER, [*reversed(OTLP), OTLP[0]])

    assert {key: build_evidence(reading) for key, reading in straight.items()} == {
        key: build_evidence(reading) for key, reading in turned.items()
    }


def test_last_call_by_time_then_id_speaks() -> None:
    """Of two calls that end together the one with the greater id speaks; one without answer never does."""
    first, second = span("a1", attributes=asked("q", "first")), span("a2", attributes=asked("q", "second"))
    silent = span("a3", end_time="2026-04-27T10:00:00Z")

    assert run_of(second, silent, first).values["response"] == "second"


def test_call_that_wraps_another_counts_no_tokens() -> None:
    """Tokens are summed over model calls, without those that repeat what they wrap."""
    usage = {"gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 1}
    outer, inner = span("a1", attributes=usage), span("a2", parent_span_id="a1", attributes=usage)

    assert run_of(outer, inner, span("a3", attributes=usage)).values["tokens"] == Tokens(input=6, output=2)


FORMS: dict[str, dict[str, Any]] = {
    "json_in_a_string": {"gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Add."}]}]),
                         "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "5"}]}])},
    "whole_texts": {"gen_ai.prompt": "Add.", "gen_ai.completion": "5"},
    "whole_json": {"gen_ai.prompt": '[{"role": "user", "content": "Add."}]', "gen_ai.completion": '[{"role": "assistant", "content": "5"}]'},
    "numbered_parts": {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": '[{"type": "text", "text": "Add."}]', "gen_ai.completion.0.content": "5"},
    "choice_text": {"gen_ai.prompt": "Add.", "events": '[{"event.name": "gen_ai.choice", "message": "5"}]'},
    "choice_body": {"gen_ai.prompt": "Add.", "events": '[{"event.name": "gen_ai.choice", "event_body": {"message": {"content": "5"}}}]'},
    "messages_object": {"gen_ai.input.messages": {"messages": [{"role": "user", "content": "Add."}]}, "gen_ai.output.messages": "5"},
    "messages_texts": {"gen_ai.input.messages": ["Add."], "gen_ai.output.messages": {"content": "5"}},
    "events_attribute": {"events": '[{"event.name": "gen_ai.user.message", "content": "Add."}, {"event.name": "gen_ai.choice", "message": {"content": "5"}}]'},
}  # fmt: skip


@pytest.mark.parametrize("attributes", FORMS.values(), ids=FORMS)
def test_each_form_gives_the_same_conversation(attributes: dict[str, Any]) -> None:
    """Every form that messages have had says the same."""
    reading = run_of(span(attributes=attributes))

    assert [(message.role, message.content) for message in reading.values["messages"]] == [("user", "Add."), ("assistant", "5")]


def test_tool_messages_in_events_are_read() -> None:
    """A call and its result stand in events as they do in messages; numbered attributes hold calls too."""
    call = {"id": "c", "function": {"name": "add", "arguments": "{}"}}
    told = [
        {"event.name": "gen_ai.assistant.message", "tool_calls": [call]},
        {"event.name": "gen_ai.tool.message", "id": "c", "content": "5"},
    ]
    by_event = run_of(span(attributes={"events": json.dumps(told), "gen_ai.completion": "5"}))
    numbered = {
        "gen_ai.completion.0.tool_calls.0.id": "c",
        "gen_ai.completion.0.tool_calls.0.name": "add",
        "gen_ai.completion.0.tool_calls.0.arguments": "{}",
    }

    assert [message.role for message in by_event.values["messages"]] == ["assistant", "tool", "assistant"]
    assert run_of(span(attributes=numbered)).values["messages"][0].tool_calls == [ToolCall(id="c", name="add", arguments={})]


def test_lists_and_objects_of_otlp_are_plain_values() -> None:
    """Messages that stand as OTLP values, not as text, are read the same."""
    message = {
        "kvlistValue": {"values": [{"key": "role", "value": {"stringValue": "user"}}, {"key": "content", "value": {"stringValue": "Add."}}]}
    }
    attributes = [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.input.messages", "value": {"arrayValue": {"values": [message]}}},
    ]
    unnamed = span("a2", attributes={"gen_ai.operation.name": "execute_tool"}, name="")

    assert run_of(span() | {"attributes": attributes}, unnamed).values["instruction"] == "Add."


def test_evaluation_of_nothing_is_no_signal() -> None:
    """A judge over an empty answer is no signal, and one that failed itself says nothing (SPEC 2)."""
    event = {
        "name": "gen_ai.evaluation.result",
        "attributes": {"gen_ai.evaluation.name": "outcome", "gen_ai.evaluation.score.label": "pass"},
    }
    failed = event | {"attributes": event["attributes"] | {"error.type": "timeout"}}  # type: ignore[operator]
    empty = run_of(span(events=[event]))
    full = run_of(span(events=[event, failed], attributes=asked("q", "a")))

    assert (signals_of(empty), empty.warning) == ([], "judge_of_nothing")
    assert (signals_of(full), judge(full).reasons) == ([("judge", "outcome", "pass")], ["judge_confidence_missing"])


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no_trace": (SPANS[5], "missing_field", "traceId: found none"),
    "fraction": (SPANS[6], "mistyped_field", "traceId: found float"),
    "too_large": (span(trace_id=1 << 128), "mistyped_field", "traceId: found int"),
    "zeros": (span(trace_id="0" * 32), "missing_field", "traceId: found none"),
    "no_start": (span(start_time=None), "missing_field", "startTimeUnixNano: found none"),
    "bad_start": (span(start_time="now"), "bad_time", "startTimeUnixNano: found 'now'"),
    "unknown_role": (span(attributes={"gen_ai.output.messages": [{"role": "planner"}]}), "mistyped_field", "role: found 'planner'"),
    "spans_text": ({"resourceSpans": [{"scopeSpans": [{"spans": "x"}]}]}, "mistyped_field", "resourceSpans[0].scopeSpans[0].spans: found text"),
    "int_text": ({"resourceSpans": [{"scopeSpans": [{"spans": [span(attributes={}) | {"attributes": [{"key": "a", "value": {"intValue": "x"}}]}]}]}]},
                 "mistyped_field", "intValue: found 'x'"),
}  # fmt: skip


@pytest.mark.parametrize(("record", "reason", "detail"), BAD.values(), ids=BAD)
def test_bad_record_is_refused(record: dict[str, Any], reason: str, detail: str) -> None:
    """A record that says something unreadable is refused with its place and what was found (SPEC 9)."""
    found = refused(record)

    assert found[0] == reason
    assert detail in found[1]


def test_record_without_spans_holds_no_run() -> None:
    """An empty request, metrics, and a log record of the application hold no run (`no_run`)."""
    records: list[dict[str, Any]] = [
        {"resourceSpans": []},
        {"resourceMetrics": []},
        {"traceId": TRACE, "body": "started", "timeUnixNano": "1"},
    ]

    assert [GROUPER.split(record, PLACE) for record in records] == [[], [], []]


@pytest.mark.parametrize("row", [*OTLP, *SPANS[:4]], ids=lambda row: str(row.get("name", "request")))
def test_every_broken_value_is_data(row: dict[str, Any]) -> None:
    """Whatever value stands in any place, the record is refused with a reason or gives evidence (SPEC 9)."""
    assert all(survives(lambda record: list(group(GROUPER, [record]).values()), broken) for broken in break_values(row))
