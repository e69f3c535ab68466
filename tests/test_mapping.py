"""What a mapping can say beyond plain fields (SPEC 2, SPEC 9): conversations, several runs in one record."""

from typing import Any

import pytest

from distill.formats.reading import Position
from distill.schemas.evidence import Tokens
from tests.mapped import FIELDS, PLACE, TALK, read, refused, talk, turns, values

WAYS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "template_of_groups": ('{ template = "{folder}/{file}" }', {}, "gpt-4/a"),
    "template_of_values": ('{ template = "{.task.id}-{.trial}" }', {"task": {"id": 3}, "trial": 0}, "3-0"),
    "template_without_a_value": ('{ template = "{.task.id}-{.trial}" }', {"trial": 0}, None),
    "json_in_text": ('{ path = "x", json = true, inside = "a[0].b" }', {"x": '{"a": [{"b": "c"}]}'}, "c"),
    "json_in_text_in_text": ('{ path = "x", json = true, inside = "a" }', {"x": '"{\\"a\\": \\"b\\"}"'}, "b"),
    "text_in_text": ('{ path = "x", json = true }', {"x": '"say {}}"'}, "say {}}"),
    "json_that_is_none": ('{ path = "x", json = true, inside = "a" }', {}, None),
    "json_that_is_no_text": ('{ path = "x", json = true, inside = "a" }', {"x": {"a": "b"}}, "b"),
    "place_in_a_list": ('{ path = "a[-1].b" }', {"a": [{"b": "x"}, {"b": "y"}]}, "y"),
    "place_beyond_a_list": ('{ path = "a[2]" }', {"a": ["x"]}, None),
    "name_of_no_object": ('{ path = "a.b.c" }', {"a": {"b": "x"}}, None),
    "expression": ('{ path = "a[?b==`1`].c | [0]" }', {"a": [{"b": 1, "c": "x"}]}, "x"),
}


@pytest.mark.parametrize(("way", "record", "expected"), WAYS.values(), ids=WAYS)
def test_way_to_a_value(way: str, record: dict[str, Any], expected: Any) -> None:
    """SPEC 2: a value may come from a template over groups and values, from JSON in a text, from any path expression."""
    assert values(f"[sources.fields]\ntask_id = {way}\n", record)["task_id"] == expected


@pytest.mark.parametrize("text", ["no json", '{"a": 1', '{"a": 1, "a": 2}', '1, "b": 2', "1} {"], ids=str)
def test_text_that_is_no_json_is_refused(text: str) -> None:
    """SPEC 9: a value that should be JSON in a text and is not skips the record; two values in one text are none."""
    told = refused('[sources.fields]\ntask_id = { path = "x", json = true }\n', {"x": text})

    assert told.startswith("mistyped_field: ")


TIMES: dict[str, tuple[str, Any, str]] = {
    "seconds": ("s", 1681355563, "2023-04-13T03:12:43Z"),
    "fraction": ("s", 1681355563.25, "2023-04-13T03:12:43.25Z"),
    "milliseconds": ("ms", 1681355563991, "2023-04-13T03:12:43.991Z"),
    "nanoseconds": ("ns", 1681355563991000001, "2023-04-13T03:12:43.991Z"),
}


@pytest.mark.parametrize(("unit", "value", "expected"), TIMES.values(), ids=TIMES)
def test_time_as_a_number(unit: str, value: Any, expected: str) -> None:
    """SPEC 3: a time that is a number of a stated unit since 1970 is in UTC with at most six decimals."""
    assert values(f'[sources.fields]\ncreated_at = {{ path = "t", unit = "{unit}" }}\n', {"t": value})["created_at"] == expected


@pytest.mark.parametrize("value", [True, "1681355563", 10**30, -(10**30)], ids=str)
def test_impossible_number_of_a_time_is_refused(value: Any) -> None:
    """SPEC 9: an impossible time skips the record."""
    assert refused('[sources.fields]\ncreated_at = { path = "t", unit = "s" }\n', {"t": value}).startswith("bad_time: created_at: ")


def test_tokens_are_counts() -> None:
    """SPEC 3: `tokens` of a source fill the tokens of its runs; a negative count is refused."""
    text = FIELDS.replace("[sources.fields]", 'tokens = { input = { path = "u.i" }, output = { path = "u.o" } }\n[sources.fields]')

    assert values(text, {"u": {"i": 3}})["tokens"] == Tokens(input=3)
    assert values(text, {})["tokens"] is None
    assert refused(text, {"u": {"o": -1}}) == "mistyped_field: tokens.output: found -1, expected a count of zero or more"


@pytest.mark.parametrize("name", ["latency_ms", "cost_usd"])
def test_a_number_no_float_holds_skips_its_record(name: str) -> None:
    """SPEC 9: a number out of range skips that record alone, and not the whole of collect; a count keeps it."""
    text = f'[sources.fields]\n{name} = {{ path = "n" }}\nattempts = {{ path = "a" }}\n'

    assert refused(text, {"n": 10**400}) == f"number_out_of_range: {name}: found a number of 401 digits, expected one a float can hold"
    assert values(text, {"n": 10**300, "a": 10**400})["attempts"] == 10**400


# the conversation

ROLES = 'roles = { Planner = "assistant", env = "tool" }\n'


def test_agents_names_as_roles() -> None:
    """SPEC 2: names of other agents become our roles and stay as names; an unmapped role is an error that names it."""
    found = values(ROLES + TALK, {"m": talk(("user", "Go."), ("Planner", "I call."), ("env", "done"))})

    assert turns(found) == [("user", "Go."), ("assistant", "I call."), ("tool", "done")]
    assert [message.name for message in found["messages"]] == [None, "Planner", "env"]
    assert refused(ROLES + TALK, {"m": talk(("Critic", "x"))}) == (
        "mistyped_field: messages[0].role: found the role 'Critic', expected one of user, assistant, tool, system, Planner, env; add it to roles"
    )


def test_messages_with_other_names() -> None:
    """SPEC 2: role and text of a message may stand under other names; parts of a text are joined by line ends."""
    text = ROLES.replace("env", "gpt") + '[sources.fields]\nmessages = { path = "c", role = "from", content = "v[].text" }\n'
    said = [{"from": "user", "v": [{"text": "a"}, {"text": "b"}]}, {"from": "Planner", "v": [{"text": "c"}]}]

    assert turns(values(text, {"c": said})) == [("user", "a\nb"), ("assistant", "c")]


def test_messages_as_json_in_a_text() -> None:
    """SPEC 2: a conversation that is JSON in a text in a text is read."""
    text = '[sources.fields]\nmessages = { path = "m", json = true }\n'

    found = values(text, {"m": '"[{\\"role\\": \\"user\\", \\"content\\": \\"hi\\"}]"'})

    assert turns(found) == [("user", "hi")]


ZIP = '[sources.fields]\nmessages = { zip = [{ role = "system", path = "s" }, { role = "user", path = "q" }, { role = "assistant", path = "a" }] }\n'


@pytest.mark.parametrize(
    ("record", "expected", "warning"),
    [
        ({"s": "S", "q": ["1", "3"], "a": ["2", "4"]}, "S1234", None),
        ({"q": ["1", "3"], "a": ["2"]}, "123", "unequal_lists"),
        ({"q": ["1", None], "a": ["2", "4"]}, "124", None),
        ({"q": ["1"]}, "1", "unequal_lists"),
    ],
    ids=["equal", "surplus", "null_turn", "missing_list"],
)
def test_messages_are_zipped(record: dict[str, Any], expected: str, warning: str | None) -> None:
    """SPEC 2: parallel lists are taken in turns; a surplus is kept and counted."""
    reading = read(ZIP, record)

    assert "".join(message.content for message in reading.values["messages"]) == expected
    assert reading.warning == warning


def test_zip_of_nothing() -> None:
    """A record without any of the lists has no conversation; one whose list is no list is refused."""
    assert values(ZIP, {})["messages"] is None
    assert refused(ZIP, {"q": {}}) == "mistyped_field: q: found dict, expected a list of texts"
    assert refused(ZIP, {"q": [1]}).startswith("mistyped_field: q[0]: found int")


def test_markers_are_cut() -> None:
    """SPEC 2: marks of a simulator are cut from messages, instruction and response, and what they left at the ends is trimmed."""
    text = 'strip_markers = ["###STOP###", "<end>"]\n' + TALK + 'instruction = { path = "q" }\nresponse = { path = "a" }\n'
    record = {"m": talk(("user", " Hi. "), ("assistant", "Yes. <end>"), ("user", "###STOP###")), "q": "Hi. <end>", "a": " Yes. ###STOP### "}

    found = values(text, record)

    assert turns(found) == [("user", " Hi. "), ("assistant", "Yes."), ("user", "")]
    assert (found["instruction"], found["response"]) == ("Hi.", "Yes.")


def test_run_that_ends_with_a_tool_call_has_an_answer() -> None:
    """SPEC 3, SPEC 5.5: the answer of a run that ends with a tool call is the call as text."""
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "function": {"name": "book", "arguments": '{"b": 1, "a": 2}'}}],
    }

    found = values(TALK, {"m": [*talk(("user", "Go.")), call, {"role": "tool", "content": "ok"}]})

    assert found["response"] == '<tool_call>{"name": "book", "arguments": {"a": 2, "b": 1}}</tool_call>'


FAILED = 'failed_turns = { path = "ok", fail = [false] }\n' + TALK
THREE = talk(("user", "1"), ("assistant", "2"), ("user", "3"), ("assistant", "4"))


def test_failed_turns_are_marked() -> None:
    """SPEC 5.3: a list parallel to the assistant turns marks those that are wrong."""
    assert [message.failed for message in values(FAILED, {"m": THREE, "ok": [True, False]})["messages"]] == [None, None, None, True]
    assert [message.failed for message in values(FAILED, {"m": THREE})["messages"]] == [None] * 4


@pytest.mark.parametrize(("flags", "found"), [([True], "1 values"), ({}, "dict")], ids=["too_few", "no_list"])
def test_failed_turns_of_another_length_are_refused(flags: Any, found: str) -> None:
    """SPEC 9: marks that cannot be told to turns skip the record."""
    assert (
        refused(FAILED, {"m": THREE, "ok": flags}) == f"mistyped_field: ok: found {found}, expected one for each of the 2 assistant turns"
    )


# several runs in one record

EXPLODED = '[sources.fields]\ntask_id = { path = "id" }\nresponse = { path = "item.text" }\nmodel = { path = "KEY" }\n'
SHAPES: dict[str, tuple[str, str, dict[str, Any], list[tuple[Any, Any]], str | None]] = {
    "list": ('{ list = "s.runs" }', "item.by", {"s": {"runs": [{"text": "x", "by": "m1"}, {"text": "y"}]}}, [("x", "m1"), ("y", None)], None),
    "keys": ('{ keys = "answers" }', "key", {"answers": {"m1": {"text": "x"}, "m2": {"text": "y"}}}, [("x", "m1"), ("y", "m2")], None),
    "parallel": ('{ parallel = ["s.text", "by"] }', "item.by", {"s": {"text": ["x", "y"]}, "by": ["m1", "m2"]}, [("x", "m1"), ("y", "m2")], None),
    "surplus": ('{ parallel = ["text", "by"] }', "item.by", {"text": ["x", "y"], "by": ["m1"]}, [("x", "m1"), ("y", None)], "unequal_lists"),
    "none": ('{ list = "runs" }', "item.by", {}, [], None),
    "no_keys": ('{ keys = "runs" }', "key", {"runs": None}, [], None),
    "empty": ('{ parallel = ["text", "by"] }', "item.by", {"text": []}, [], None),
}  # fmt: skip


@pytest.mark.parametrize(("explode", "key", "record", "expected", "warning"), SHAPES.values(), ids=SHAPES)
def test_record_of_several_runs(explode: str, key: str, record: dict[str, Any], expected: Any, warning: str | None) -> None:
    """SPEC 2: a list, parallel lists or the keys of an object are several runs, each with the fields of its record."""
    readings = read(f'explode = {explode}\nrun_id = "position"\n' + EXPLODED.replace("KEY", key), record | {"id": "t"})

    assert [(one.values["response"], one.values["model"]) for one in readings] == expected
    assert [one.values["run_id"] for one in readings] == [f"position:m/a.jsonl:7#{i}" for i in range(len(expected))]
    assert {one.values["task_id"] for one in readings} <= {"t"}
    assert [one.warning for one in readings] == [warning, *[None] * (len(expected) - 1)][: len(expected)]


@pytest.mark.parametrize(
    ("explode", "detail"),
    [
        ('{ list = "runs" }', "runs: found str, expected a list of runs"),
        ('{ keys = "runs" }', "runs: found str, expected an object of runs"),
        ('{ parallel = ["runs"] }', "runs: found str, expected a list with one value a run"),
    ],
)
def test_runs_of_another_shape_are_refused(explode: str, detail: str) -> None:
    """SPEC 9: a record whose runs do not lie as the config says is skipped."""
    assert refused(f"explode = {explode}\n" + EXPLODED.replace("KEY", "x"), {"runs": "x"}) == f"mistyped_field: {detail}"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (PLACE._replace(member="x/y.json"), "!x/y.json"),
        (PLACE._replace(key="k", index=3), "{k}"),
        (PLACE._replace(index=3), "[3]"),
        (PLACE, ":7"),
    ],
)
def test_run_id_of_a_place(place: Position, expected: str) -> None:
    """SPEC 2: `run_id = "position"` names file and line, member, key or place."""
    assert read('run_id = "position"\n' + FIELDS, {"q": "x"}, place).values["run_id"] == f"position:m/a.jsonl{expected}"
