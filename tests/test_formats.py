"""The two native logs and the mapping (SPEC 2): tables of valid and invalid rows."""

from typing import Any

import pytest

from distill.config import Config, FieldSpec, Meaning, Range, SignalSpec, Source
from distill.errors import ConfigError
from distill.formats import FORMATS, format_module, outcomes, scrum_reviews
from distill.formats.reading import RECORD_FIELDS, Position, Reading
from distill.jsonl import BadLine
from distill.mapping import reader as mapping
from distill.schemas.evidence import EvidenceRecord, Provenance, Tokens
from tests.harness import outcome, review

CONFIG = Config()
PLACE = Position("src/log/gpt-4_x.jsonl", 7, {"file": "gpt-4_x", "folder": "log", "none": None})
CALL = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "add", "arguments": '{"a": 1}'}}]}
ASKED = {"role": "user", "content": "Add."}


def read_outcome(**fields: Any) -> Reading:
    """Read one row of the native log of outcomes."""
    return outcomes.build_reader(Source("o", "*", format="outcomes"), CONFIG)(outcome("r") | fields, PLACE)


def read_review(verdict: Any = "accept", **fields: Any) -> Reading:
    """Read one row of the native log of reviews."""
    return scrum_reviews.build_reader(Source("s", "*", format="scrum_reviews"), CONFIG)(review("r", verdict) | fields, PLACE)


def read_mapped(record: dict[str, Any], **settings: Any) -> Reading:
    """Read one raw record through a mapping."""
    reading = mapping.build_reader(Source("m", "*", reader="jsonl", **settings), CONFIG)(record, PLACE)
    assert isinstance(reading, Reading)
    return reading


def built(reading: Reading) -> EvidenceRecord:
    """Build the evidence of a reading, as collect does."""
    place = Provenance(source_file="f", line=1, offset=0, sig_hash="0")
    return EvidenceRecord(id="a", source="s", provenance=place, **reading.values)


BOTH_GOOD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {"run_id": "r", "task_id": "task-1", "model": "model-a", "tokens": None, "messages": None}),
    "unknown_fields": ({"future": {"x": 1}}, {"run_id": "r"}),
    "empty_run_id": ({"run_id": ""}, {"run_id": None}),
    "offset": ({"created_at": "2026-04-27T09:00:00+02:00"}, {"created_at": "2026-04-27T07:00:00Z"}),
    "figures": ({"cost_usd": 1, "latency_ms": 2.5, "tokens": {"input": 3}}, {"cost_usd": 1.0, "latency_ms": 2.5, "tokens": Tokens(input=3)}),
    "unknown_tokens": ({"tokens": {"input": 3, "total": 4}}, {"tokens": Tokens(input=3)}),
    "context": ({"context": "Be quick.", "prompt": "Add.", "messages": None}, {"context": "Be quick.", "instruction": "Add."}),
    "messages_fill": ({"messages": [ASKED, CALL], "prompt": None, "response": None},
                      {"instruction": "Add.", "response": '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'}),
    "messages_without_answer": ({"messages": [ASKED], "prompt": None, "response": None}, {"instruction": "Add.", "response": None}),
    "messages_without_user": ({"messages": [CALL], "prompt": None, "response": "x"}, {"instruction": None, "response": "x"}),
    "empty_conversation": ({"messages": [], "prompt": "p", "response": "x"}, {"instruction": "p", "messages": []}),
}  # fmt: skip
BOTH_BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "task_absent": ({"task_id": ...}, "missing_field", "missing required field `task_id`"),
    "task_null": ({"task_id": None}, "mistyped_field", "`$.task_id`"),
    "task_empty": ({"task_id": ""}, "missing_field", "task_id is empty"),
    "time_absent": ({"created_at": ...}, "missing_field", "missing required field `created_at`"),
    "time_number": ({"created_at": 3}, "mistyped_field", "Expected `str`, got `int` - at `$.created_at`"),
    "time_impossible": ({"created_at": "2026-02-30T00:00:00Z"}, "bad_time", "created_at: found '2026-02-30T00:00:00Z', an impossible time"),
    "time_without_zone": ({"created_at": "2026-02-03T00:00:00"}, "bad_time", "without zone"),
    "run_id_number": ({"run_id": 1}, "mistyped_field", "`$.run_id`"),
    "model_list": ({"model": []}, "mistyped_field", "`$.model`"),
    "cost_text": ({"cost_usd": "1"}, "mistyped_field", "`$.cost_usd`"),
    "tokens_negative": ({"tokens": {"input": -1}}, "mistyped_field", "`$.tokens.input`"),
    "role_unknown": ({"messages": [{"role": "developer"}]}, "mistyped_field", "Invalid enum value 'developer' - at `$.messages[0].role`"),
    "role_absent": ({"messages": [{"content": "x"}]}, "missing_field", "`$.messages[0]`"),
    "content_list": ({"messages": [{"role": "user", "content": []}]}, "mistyped_field", "`$.messages[0].content`"),
    "call_without_name": ({"messages": [ASKED, {"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "mistyped_field", "messages[1].tool_calls"),
}  # fmt: skip
OUTCOME_BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no_answer": ({"response": None}, "missing_field", "neither response nor messages"),
    "ok_text": ({"ok": "yes"}, "mistyped_field", "`$.ok`"),
    "errors_text": ({"errors": "boom"}, "mistyped_field", "`$.errors`"),
    "attempts_negative": ({"attempts": -1}, "mistyped_field", "`$.attempts`"),
    "attempts_fraction": ({"attempts": 1.5}, "mistyped_field", "`$.attempts`"),
    "tests_half": ({"tests": {"passed": 1}}, "missing_field", "`failed`"),
    "tests_list": ({"tests": []}, "mistyped_field", "`$.tests`"),
}
REVIEW_BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "nothing": ({"verdict": None}, "missing_field", "neither response nor messages nor verdict"),
    "verdict_unknown": ({"verdict": "approve"}, "mistyped_field", "Invalid enum value 'approve' - at `$.verdict`"),
    "confidence_text": ({"confidence": "high"}, "mistyped_field", "`$.confidence`"),
    "confidence_percent": ({"confidence": 85}, "mistyped_field", "Expected `float` <= 1.0 - at `$.confidence`"),
    "confidence_negative": ({"confidence": -0.1}, "mistyped_field", "Expected `float` >= 0.0 - at `$.confidence`"),
    "verdict_that_says_missing": ({"verdict": "missing required field"}, "mistyped_field", "Invalid enum value"),
    "cost_out_of_range": ({"cost_usd": 10**400}, "number_out_of_range", "`$.cost_usd`"),
    "attempt_text": ({"accepted_on_attempt": "2"}, "mistyped_field", "`$.accepted_on_attempt`"),
}


@pytest.mark.parametrize("read", [read_outcome, read_review], ids=["outcomes", "scrum_reviews"])
@pytest.mark.parametrize(("fields", "expected"), BOTH_GOOD.values(), ids=BOTH_GOOD)
def test_native_row_is_read(read: Any, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """A good row of either native log gives these evidence fields, and nothing outside the schema."""
    reading = read(**({"model": "model-a"} | fields))

    assert {key: reading.values[key] for key in expected} == expected
    assert set(reading.values) <= RECORD_FIELDS
    assert built(reading).task_id == "task-1"


NATIVE_BAD = [
    *((read_outcome, outcome, case) for case in (BOTH_BAD | OUTCOME_BAD).values()),
    *((read_review, review, case) for case in (BOTH_BAD | REVIEW_BAD).values()),
]


@pytest.mark.parametrize(
    ("read", "make", "case"), NATIVE_BAD, ids=[*(BOTH_BAD | OUTCOME_BAD), *(f"r_{name}" for name in BOTH_BAD | REVIEW_BAD)]
)
def test_bad_native_row_is_refused(read: Any, make: Any, case: tuple[dict[str, Any], str, str]) -> None:
    """A bad row is refused with its slug, the field's path and what was found."""
    fields, reason, detail = case
    reader = (outcomes if make is outcome else scrum_reviews).build_reader(Source("o", "*"), CONFIG)
    row = make("r", "accept") if make is review else make("r")
    row = {key: value for key, value in (row | fields).items() if value is not ...}

    with pytest.raises(BadLine) as caught:
        reader(row, PLACE)

    assert (caught.value.reason, detail in caught.value.detail) == (reason, True), caught.value.detail


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"tests": {"passed": 2, "failed": 0, "skipped": 1}}, [("test", "pass")]),
        ({"tests": {"passed": 2, "failed": 1}, "ok": True}, [("test", "fail"), ("self", "pass")]),
        ({"tests": {"passed": 0, "failed": 0}, "ok": False}, [("test", "none"), ("self", "fail")]),
        ({"tests": None, "errors": ["Rate Limit exceeded", "TypeError"]}, [("infrastructure", "none")]),
        ({"tests": None, "errors": ["Connection reset", "request timed out", "Out of memory"]}, [("infrastructure", "none")] * 3),
        ({"tests": None}, []),
    ],
)
def test_outcome_signals(fields: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Tests, the agent's claim and infrastructure become signals; other errors stay errors."""
    values = read_outcome(**fields).values

    assert [(signal.kind, signal.verdict) for signal in values["signals"]] == expected
    assert values["errors"] == [error for error in fields.get("errors", []) if error == "TypeError"]
    for signal in values["signals"]:
        if signal.kind == "infrastructure":
            index = int(signal.where.removeprefix("errors[").removesuffix("]"))
            assert fields["errors"][index] == signal.value


@pytest.mark.parametrize(
    ("verdict", "reviewer", "expected"),
    [
        ("accept", "human:1", ("human", None, "pass")), ("reject", "human:", ("human", None, "fail")),
        ("accept_with_changes", "human:1", ("human", None, "with_changes")), ("escalate", "human:1", ("human", None, "escalate")),
        ("accept", "Human:1", ("judge", "outcome", "pass")), ("reject", "model-b", ("judge", "outcome", "fail")),
        ("accept", None, ("judge", "outcome", "pass")),
    ],
)  # fmt: skip
def test_review_signal(verdict: str, reviewer: str | None, expected: tuple[str, str | None, str]) -> None:
    """A reviewer who matches `human_reviewers` is a person, anybody else a judge on the outcome."""
    values = read_review(verdict, reviewer=reviewer, confidence=0.7, notes="why", accepted_on_attempt=2, corrected_response="").values

    (signal,) = values["signals"]
    assert (signal.kind, signal.aspect, signal.verdict) == expected
    assert (signal.value, signal.by, signal.confidence, signal.where) == (verdict, reviewer, 0.7, "verdict")
    assert (values["lessons"], values["attempts"], values["corrected_response"]) == (["why"], 2, None)


def test_review_without_verdict_has_no_signal() -> None:
    """A reviewed run whose verdict is null says nothing."""
    values = read_review(None, response="x").values

    assert (values["signals"], values["lessons"], values["attempts"]) == ([], [], None)


def test_instruction_that_was_not_seen_is_a_warning() -> None:
    """A prompt that the first user message does not contain is told, and kept."""
    seen, unseen = (read_outcome(messages=[{"role": "user", "content": text}]) for text in ("Please: Add two numbers.", "Hello."))

    assert (seen.warning, unseen.warning) == (None, "instruction_not_seen")
    assert unseen.values["instruction"] == "Add two numbers."


ARGUMENTS = {
    "object": ({"a": [1]}, {"a": [1]}),
    "text_of_an_object": ('{"a": [1]}', {"a": [1]}),
    "plain_text": ("a=1", "a=1"),
    "broken_text": ('{"a": ', '{"a": '),
    "text_with_half_a_pair": ('{"a": "\\ud83d"}', '{"a": "\\ud83d"}'),
    "text_with_nan": ('{"a": NaN}', '{"a": NaN}'),
    "text_with_a_key_twice": ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
    "text_too_deep": ('{"a": ' + "[" * 5000, '{"a": ' + "[" * 5000),
    "list": ([1], [1]),
    "null": (None, None),
}


@pytest.mark.parametrize(("logged", "expected"), ARGUMENTS.values(), ids=ARGUMENTS)
@pytest.mark.parametrize("shape", ["own", "function"])
def test_call_arguments_are_read_or_kept(shape: str, logged: Any, expected: Any) -> None:
    """Arguments in either shape are a JSON value; a text that is no good JSON is kept as the log has it."""
    call = {"name": "f", "arguments": logged}
    message = {"role": "assistant", "tool_calls": [call if shape == "own" else {"function": call}]}

    reading = read_outcome(messages=[ASKED, message])

    assert reading.values["messages"][1].tool_calls[0].arguments == expected


F = FieldSpec
MAPPED: dict[str, tuple[str, FieldSpec, dict[str, Any], Any]] = {
    "path": ("instruction", F(path="prompt"), {"prompt": "p"}, "p"),
    "path_missing": ("instruction", F(path="prompt"), {}, None),
    "deep_path": ("response", F(path="a.b[0]"), {"a": {"b": ["x"]}}, "x"),
    "list_of_texts": ("response", F(path="a"), {"a": ["x", "y"]}, "x\ny"),
    "group": ("model", F(group="file"), {}, "gpt-4_x"),
    "group_without_value": ("model", F(group="none"), {}, None),
    "group_part": ("model", F(group="file", pattern=r"gpt-\d"), {}, "gpt-4"),
    "group_part_missing": ("model", F(group="file", pattern="claude"), {}, None),
    "const": ("provider", F(const="acme"), {}, "acme"),
    "template": ("group", F(template="{folder}/{file}/{none}!"), {}, "log/gpt-4_x/!"),
    "count": ("attempts", F(count="a", plus=1), {"a": [1, 2]}, 3),
    "count_missing": ("attempts", F(count="a", plus=1), {}, 1),
    "attempts": ("attempts", F(path="n"), {"n": 4}, 4),
    "attempts_null": ("attempts", F(path="n"), {"n": None}, None),
    "cost": ("cost_usd", F(path="n"), {"n": 0.5}, 0.5),
    "number_as_id": ("task_id", F(path="n"), {"n": 12}, "12"),
    "empty_id": ("run_id", F(path="n"), {"n": ""}, None),
    "empty_text": ("response", F(path="n"), {"n": ""}, ""),
    "time": ("created_at", F(path="t"), {"t": "2026-01-01T00:00:00+01:00"}, "2025-12-31T23:00:00Z"),
    "time_missing": ("created_at", F(path="t"), {}, None),
    "lesson": ("lessons", F(path="r"), {"r": "one"}, ["one"]),
    "lessons": ("lessons", F(path="r"), {"r": ["one", "two"]}, ["one", "two"]),
    "no_lessons": ("lessons", F(path="r"), {}, []),
    "reference_values": ("reference", F(path="r"), {"r": ["a", {"b": 1, "a": [2]}, 3]}, ["a", '{"a": [2], "b": 1}', "3"]),
    "reference_object": ("reference", F(path="r"), {"r": {"a": 1}}, ['{"a": 1}']),
    "messages": ("response", F(path="x"), {"x": "y"}, "y"),
}


@pytest.mark.parametrize(("name", "spec", "record", "expected"), MAPPED.values(), ids=MAPPED)
def test_mapped_field(name: str, spec: FieldSpec, record: dict[str, Any], expected: Any) -> None:
    """Each way to fill an evidence field gives this value, and tags take the same ways."""
    reading = read_mapped(record, fields=((name, (spec,)),))

    assert reading.values[name] == expected
    assert built(reading).source == "s"


def test_mapped_list_from_several_places_and_tags() -> None:
    """A list field joins its places in order; a tag is text, and an absent one is left out."""
    reading = read_mapped(
        {"a": "x", "b": ["y"], "n": 3}, fields=(("reference", (F(path="a"), F(path="b"))),),
        tags=(("trial", F(path="n")), ("none", F(path="z")), ("folder", F(group="folder"))),
    )  # fmt: skip

    assert reading.values["reference"] == ["x", "y"]
    assert reading.values["tags"] == {"trial": "3", "folder": "log"}


def test_mapped_messages_and_position() -> None:
    """Messages give instruction and response by default; a positional run id names source, path and line."""
    reading = read_mapped({"m": [ASKED, {"role": "assistant", "content": "2"}]}, fields=(("messages", (F(path="m"),)),), run_id="position")

    assert (reading.values["instruction"], reading.values["response"]) == ("Add.", "2")
    assert reading.values["run_id"] == "position:src/log/gpt-4_x.jsonl:7"


MAPPED_BAD: dict[str, tuple[str, FieldSpec, dict[str, Any], str, str]] = {
    "text_number": ("response", F(path="a"), {"a": 1}, "mistyped_field", "response: found int, expected text"),
    "text_mixed": ("response", F(path="a"), {"a": ["x", 1]}, "mistyped_field", "response: found list"),
    "id_flag": ("task_id", F(path="a"), {"a": True}, "mistyped_field", "task_id: found bool"),
    "count_of_text": ("attempts", F(count="a"), {"a": "xy"}, "mistyped_field", "a: found str, expected a list to count"),
    "attempts_fraction": ("attempts", F(path="a"), {"a": 1.5}, "mistyped_field", "attempts: found 1.5, expected a count"),
    "attempts_flag": ("attempts", F(path="a"), {"a": True}, "mistyped_field", "attempts: found True"),
    "cost_negative": ("cost_usd", F(path="a"), {"a": -1}, "mistyped_field", "cost_usd: found -1, expected a number"),
    "lessons_numbers": ("lessons", F(path="a"), {"a": [1]}, "mistyped_field", "lessons: found int"),
    "lessons_object": ("lessons", F(path="a"), {"a": {}}, "mistyped_field", "lessons: found dict"),
    "role_unmapped": ("messages", F(path="a"), {"a": [{"role": "bot"}]}, "mistyped_field", "Invalid enum value 'bot' - at `$.messages[0].role`"),
    "messages_text": ("messages", F(path="a"), {"a": "hi"}, "mistyped_field", "Expected `array`, got `str` - at `$.messages`"),
    "time_without_zone": ("created_at", F(path="a"), {"a": "2026-01-01T00:00:00"}, "bad_time", "created_at: found"),
    "expression_fails": ("response", F(path="length(a)"), {}, "mistyped_field", "length(a): In function length()"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "spec", "record", "reason", "detail"), MAPPED_BAD.values(), ids=MAPPED_BAD)
def test_bad_mapped_field_is_refused(name: str, spec: FieldSpec, record: dict[str, Any], reason: str, detail: str) -> None:
    """A mapped value of another type is a skipped record that names the field, never a failure of the stage."""
    with pytest.raises(BadLine) as caught:
        read_mapped(record, fields=((name, (spec,)),))

    assert (caught.value.reason, detail in caught.value.detail) == (reason, True), caught.value.detail


def test_source_may_require_tasks_and_name_a_zone() -> None:
    """`task_id_required` skips a record without task; `timezone` reads times that name no zone."""
    fields = (("created_at", (F(path="t"),)),)

    assert read_mapped({"t": "2026-01-01T00:00:00"}, fields=fields, timezone="+01:00").values["created_at"] == "2025-12-31T23:00:00Z"
    with pytest.raises(BadLine, match="missing_field: task_id is null"):
        read_mapped({}, fields=(("task_id", (F(path="t"),)),), task_id_required=True)


S = SignalSpec
WORDS = S("test", "v", meaning=Meaning(pass_=(True, "ok"), fail=(False, 0), partial=("half",), infrastructure=("down",)))
THRESHOLDS = Meaning(pass_range=Range(min=0.8), fail_range=Range(max=0.2))
BOUNDS = S("judge", "v", aspect="outcome", meaning=THRESHOLDS, by="who", confidence="sure")
SIGNALS: dict[str, tuple[SignalSpec, dict[str, Any], tuple[str, str] | None]] = {
    "pass": (WORDS, {"v": True}, ("test", "pass")),
    "pass_word": (WORDS, {"v": "ok"}, ("test", "pass")),
    "fail": (WORDS, {"v": False}, ("test", "fail")),
    "fail_number": (WORDS, {"v": 0}, ("test", "fail")),
    "partial": (WORDS, {"v": "half"}, ("test", "partial")),
    "infrastructure": (WORDS, {"v": "down"}, ("infrastructure", "none")),
    "missing": (WORDS, {}, None),
    "null": (WORDS, {"v": None}, None),
    "at_pass": (BOUNDS, {"v": 0.8}, ("judge", "pass")),
    "at_fail": (BOUNDS, {"v": 0.2}, ("judge", "fail")),
    "between": (BOUNDS, {"v": 0.5, "who": 7, "sure": 1}, ("judge", "partial")),
}


@pytest.mark.parametrize(("spec", "record", "expected"), SIGNALS.values(), ids=SIGNALS)
def test_mapped_signal(spec: SignalSpec, record: dict[str, Any], expected: tuple[str, str] | None) -> None:
    """A raw value gives the verdict it is mapped to, and an absent one gives no signal."""
    signals = read_mapped(record, signals=(spec,)).values["signals"]

    assert [(signal.kind, signal.verdict) for signal in signals] == ([] if expected is None else [expected])
    for signal in signals:
        assert (signal.value, signal.where) == (record["v"], "v")
        assert (signal.by, signal.confidence) == (("7", 1) if "who" in record else (None, None))


@pytest.mark.parametrize(
    ("record", "counts"),
    [({"q": "Add.", "a": "2"}, True), ({"q": "Add.", "a": " "}, False), ({"q": "Add."}, False), ({"q": "", "a": "2"}, False)],
    ids=["both", "empty_output", "no_output", "empty_input"],
)
def test_judge_over_nothing_is_no_signal(record: dict[str, Any], counts: bool) -> None:
    """SPEC 2: a judge over empty input or output is no signal; a test is one, and so is a judge in a log of verdicts alone."""
    named = (("instruction", (F(path="q"),)), ("response", (F(path="a"),)))
    test = S("test", "v", meaning=THRESHOLDS)

    mapped, alone = read_mapped(record | {"v": 1}, fields=named, signals=(BOUNDS, test)), read_mapped({"v": 1}, signals=(BOUNDS,))

    assert [signal.kind for signal in mapped.values["signals"]] == (["judge", "test"] if counts else ["test"])
    assert [signal.kind for signal in alone.values["signals"]] == ["judge"]


@pytest.mark.parametrize(
    ("spec", "record", "detail"),
    [(WORDS, {"v": 1}, "v: found 1, expected one of [True, 'ok', False, 0, 'half', 'down']"),
     (WORDS, {"v": []}, "v: found [], expected one of"), (BOUNDS, {"v": True}, "expected a number between the thresholds"),
     (BOUNDS, {"v": "0.5"}, "expected a number between the thresholds"), (BOUNDS, {"v": 1, "sure": "very"}, "sure: found 'very'"),
     (BOUNDS, {"v": 1, "sure": True}, "sure: found True"), (BOUNDS, {"v": 1, "sure": 85}, "sure: found 85, expected a fraction of 1"),
     (BOUNDS, {"v": 1, "sure": -1}, "sure: found -1, expected a fraction of 1")],
)  # fmt: skip
def test_unknown_raw_value_is_not_guessed_at(spec: SignalSpec, record: dict[str, Any], detail: str) -> None:
    """A raw value that the mapping does not name skips the record; 1 is not true and 0 is not false."""
    with pytest.raises(BadLine) as caught:
        read_mapped(record, signals=(spec,))

    assert caught.value.reason == "mistyped_field"
    assert detail in caught.value.detail


def test_wrong_expressions_are_all_told() -> None:
    """Every path expression that cannot be compiled is named with its source."""
    source = Source(
        "m", "*", fields=(("response", (F(path="a["),)), ("attempts", (F(count="b["),)), ("task_id", (F(path=""),)), ("model", (F(const="x"),))),
        tags=(("t", F(path="c[")),), signals=(S("self", "d[", by="e[", confidence="f["),),
    )  # fmt: skip

    with pytest.raises(ConfigError) as caught:
        mapping.build_reader(source, CONFIG)

    assert [problem.split(" is no path expression: ")[0] for problem in caught.value.problems] == [
        f"source 'm': {path!r}" for path in ("a[", "b[", "", "c[", "d[", "e[", "f[")
    ]


def test_every_format_has_a_module() -> None:
    """The table names modules that can be imported and read; anything else is a mapping."""
    from importlib import import_module

    for entry in FORMATS:
        assert callable(getattr(import_module(entry.module), "build_grouper" if entry.grouped else "build_reader"))
        assert entry.doc
    assert format_module("outcomes") == "distill.formats.outcomes"
    assert format_module(None) == "distill.mapping.reader"
