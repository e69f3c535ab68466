"""What `distill init` proposes (issue 5.3): which reader and which mapping, what is sure and what is left to a person."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.onboarding.paths import Catalog
from distill.onboarding.propose import propose_mapping
from distill.onboarding.shapes import tell_shape
from distill.readers import Limits
from tests.small_logs import ROWS, lines_of, loaded, proposal


def mapping_of(rows: list[dict[str, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what is proposed for rows: what is sure, and what is not, each by name."""
    catalog = Catalog()
    for row in rows:
        catalog.add(row)
    mapping = propose_mapping(catalog)
    lines = [*mapping.source, *mapping.fields, *mapping.tags]
    sure = {line.key: line.value for line in lines if line.sure}
    return sure, {line.key: f"{line.value} {line.note}" for line in lines if not line.sure}


def zipped(names: dict[str, Any]) -> bytes:
    """Return a zip of JSON members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, value in names.items():
            archive.writestr(name, json.dumps(value))
    return buffer.getvalue()


SHAPES: dict[str, tuple[str, bytes, str | None]] = {
    "lines": ("a.jsonl", lines_of(ROWS), "jsonl"),
    "lines of another suffix": ("a.ndjson", lines_of(ROWS), "jsonl"),
    "lines under .json": ("a.json", lines_of(ROWS), "jsonl"),
    "lines without suffix": ("2026-03-02", lines_of(ROWS), "jsonl"),
    "lines, the first one broken": ("a.json", b'{"a": tru}\n' + lines_of(ROWS), "jsonl"),
    "one line": ("a.jsonl", lines_of(ROWS[:1]), "jsonl"),
    "packed with gzip": ("a.jsonl.gz", gzip.compress(lines_of(ROWS)), "jsonl"),
    "packed with zstandard": ("a.jsonl.zst", zstandard.compress(lines_of(ROWS)), "jsonl"),
    "a byte order mark": ("a.jsonl", b"\xef\xbb\xbf" + lines_of(ROWS), "jsonl"),
    "an array": ("a.json", json.dumps(ROWS).encode(), "json_array"),
    "a pretty array": ("a.json", json.dumps(ROWS, indent=2).encode(), "json_array"),
    "an object of records": ("a.json", json.dumps({row["id"]: row for row in ROWS}).encode(), "json_object"),
    "a pretty object of records": ("a.json", json.dumps({row["id"]: row for row in ROWS}, indent=2).encode(), "json_object"),
    "one record": ("a.json", json.dumps(ROWS[0]).encode(), "json_file"),
    "one pretty record": ("a.json", json.dumps(ROWS[0], indent=2).encode(), "json_file"),
    "one record of unlike objects": ("a.json", json.dumps({"input": {"text": "x"}, "output": {"answer": "y"}}).encode(), "json_file"),
    "a zip of records": ("a.zip", zipped({"1.json": ROWS[0], "2.json": ROWS[1]}), "zip"),
    "a zip of texts": ("a.zip", zipped({"1.txt": 1}), None),
    "no zip": ("a.zip", b"PK nothing", None),
    "text": ("a.log", b"started\nended\n", None),
    "nothing": ("a.jsonl", b"", None),
    "a cut gzip": ("a.jsonl.gz", gzip.compress(lines_of(ROWS))[:9], None),
    "not utf-8": ("a.jsonl", b'{"a": "\xff"}\n', None),
}


@pytest.mark.parametrize("case", SHAPES)
def test_the_shape_of_a_file_is_told_from_its_bytes(tmp_path: Path, case: str) -> None:
    """How records lie in a file is told from the file; what cannot be read says why."""
    name, data, reader = SHAPES[case]
    (tmp_path / name).write_bytes(data)

    shape = tell_shape(tmp_path / name, limits=Limits())

    assert (None if isinstance(shape, str) else shape.reader) == reader


def test_a_list_of_runs_is_exploded(tmp_path: Path) -> None:
    """A file whose one record holds a list of runs is read run by run; a list inside of a run is not."""
    (tmp_path / "a.json").write_text(json.dumps({"config": {"seed": 1}, "results": ROWS}))
    (tmp_path / "b.json").write_text(json.dumps({"prompt": "Do.", "answer": "Done.", "steps": [{"name": "a"}, {"name": "b"}]}))

    sources = {source.name: source for source in loaded(proposal(tmp_path)).sources}

    assert [source.explode.list if source.explode else None for source in sources.values()] == ["results", None]
    assert dict(sources["a"].fields)["instruction"][0].path == "item.prompt"


SURE: dict[str, tuple[list[dict[str, Any]], dict[str, str]]] = {
    "plain names": (ROWS, {
        "run_id": '{ path = "id" }', "task_id": '{ path = "task_id" }', "instruction": '{ path = "prompt" }', "response": '{ path = "answer" }',
    }),
    "an id that stands twice is no run id": ([{"id": "a", "output": "x"}, {"id": "a", "output": "y"}], {"run_id": '"position"'}),
    "no time": (ROWS, {"created_at": '"absent"'}),
    "a time": ([{"timestamp": "2026-03-02T10:00:00Z"}], {"created_at": '{ path = "timestamp" }'}),
    "a time without zone": ([{"timestamp": "2026-03-02 10:00:00"}], {"created_at": '{ path = "timestamp" }', "timezone": '"UTC"'}),
    "a time in milliseconds": ([{"created": 1772445600000}], {"created_at": '{ path = "created", unit = "ms" }'}),
    "a time in seconds": ([{"created": 1772445600.5}], {"created_at": '{ path = "created", unit = "s" }'}),
    "a text that is no time": ([{"date": "Monday"}], {"created_at": '"absent"'}),
    "nested": ([{"task": {"id": "t", "prompt": "Do."}, "output": {"text": "Done."}}], {
        "task_id": '{ path = "task.id" }', "instruction": '{ path = "task.prompt" }', "response": '{ path = "output.text" }',
    }),
    "gold answers": ([{"prompt": "a", "gold": "b", "test": "c"}], {
        "reference": '[{ path = "gold", optional = true }, { path = "test", optional = true }]',
    }),
    "counts and costs": ([{"attempts": 2, "cost_usd": 0.5, "usage": {"prompt_tokens": 5, "completion_tokens": 6}}], {
        "attempts": '{ path = "attempts" }', "cost_usd": '{ path = "cost_usd" }',
        "tokens": '{ input = { path = "usage.prompt_tokens" }, output = { path = "usage.completion_tokens" } }',
    }),
    "a conversation": ([{"traj": [{"role": "user", "content": "Do."}, {"role": "assistant", "content": None}]}], {"messages": '{ path = "traj" }'}),
    "other names of roles": ([{"conversations": [{"from": "human", "value": "Do."}, {"from": "planner", "value": "Done."}]}], {
        "messages": '{ path = "conversations", role = "from", content = "value" }', "roles": '{ "human" = "user", "planner" = "assistant" }',
    }),
}  # fmt: skip


@pytest.mark.parametrize("case", SURE)
def test_well_known_names_are_taken(case: str) -> None:
    """A name that leaves no doubt, with values that fit, is a setting."""
    rows, expected = SURE[case]

    sure, _ = mapping_of(rows)

    assert {key: sure.get(key) for key in expected} == expected


UNSURE: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "a second name": ([{"prompt": "a", "question": "b"}], "instruction", '"question"'),
    "an instruction beside the conversation": (
        [{"messages": [{"role": "user", "content": "Do."}], "prompt": "secret"}], "instruction", "the conversation says it; found",
    ),
    "a name that may mean anything": ([{"code": "x = 1"}], "response", "in 100% of the records"),
    "a text in few records": ([{"prompt": "a"}, {"q": 1}, {"q": 2}, {"q": 3}], "instruction", "in 25% of the records"),
    "marks of a simulator": ([{"messages": [{"role": "user", "content": "Bye ###STOP###"}]}], "strip_markers", '["###STOP###"]'),
    "expected actions": ([{"info": {"task": {"actions": [{"name": "a"}]}}}], "reference", '"info.task.actions"'),
    "parts instead of text": (
        [{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text"}]}]}], "messages", "not always text",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNSURE)
def test_what_is_not_sure_is_a_comment(case: str) -> None:
    """What may mean something else is shown with what was found, and is no setting."""
    rows, key, told = UNSURE[case]

    sure, unsure = mapping_of(rows)

    assert told in unsure[key]
    assert told.strip('"') not in sure.get(key, "")


def test_unsure_lines_show_values(tmp_path: Path) -> None:
    """An unsure line stands as a comment with up to three values that were found."""
    (tmp_path / "a.jsonl").write_bytes(lines_of([{"prompt": "a", "code": f"x = {i}"} for i in range(5)]))

    text = proposal(tmp_path)

    assert '# unsure: response = { path = "code" }  # in 100% of the records; found "x = 0", "x = 1", "x = 2"' in text.splitlines()


VERDICTS: dict[str, tuple[list[Any], list[str]]] = {
    "passed": ([True, False], ['kind = "self"', "pass = [true]", "fail = [false]"]),
    "is_failed": ([True, False], ['kind = "self"', "pass = [false]", "fail = [true]"]),
    "isSolved": ([True, None], ['kind = "self"', "pass = [true]", "fail = [false]"]),
    "reward": ([0.0, 1.0], ["# pass = 1.0", "# fail = 0.0"]),
    "status": (["passed", "weird"], ['# pass = ["passed"]', "# fail = []", '# not known: "weird"']),
    "streamed": ([True, False], ['# kind = "self"', '# path = "streamed"', "# pass = [true]", "# fail = [false]"]),
    "temperature": ([0.0, 1.0], []),
    "total_correct": ([3, 5], []),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_a_verdict_is_never_ascribed_to_anybody(tmp_path: Path, name: str) -> None:
    """A boolean that sounds like a verdict is the agent's own claim; numbers and words are shown and left to a person."""
    values, expected = VERDICTS[name]
    (tmp_path / "a.jsonl").write_bytes(lines_of([{"prompt": str(i), name: value} for i, value in enumerate(values)]))

    text = proposal(tmp_path)

    signals = loaded(text).sources[0].signals
    assert [line for line in expected if line not in text.splitlines()] == []
    assert [signal.kind for signal in signals] == (["self"] if 'kind = "self"' in expected else [])
    assert ("# who decided?" in text) is bool(signals)


def test_logs_of_which_nothing_is_recognised_load_all_the_same(tmp_path: Path) -> None:
    """Where no field is recognised the source stands as a comment with the fields met, and the file loads."""
    (tmp_path / "a.jsonl").write_bytes(lines_of([{"alpha": "x", "beta": {"gamma": 1}}]))

    text = proposal(tmp_path)

    assert [source.name for source in loaded(text).sources] == ["outcomes"]
    assert "#   beta.gamma: 1" in text


KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["id", "prompt", "passed", "status", "reward", "messages"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6,
)  # fmt: skip


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=5), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_every_proposal_loads(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    """Whatever the keys and values, the proposal is a config that loads."""
    folder = tmp_path_factory.mktemp("logs")
    (folder / 'an "odd" [name].jsonl').write_bytes(lines_of(rows))

    config = loaded(proposal(folder))

    assert len(config.sources) == 1


def test_the_proposal_depends_on_the_files_alone(tmp_path: Path) -> None:
    """The same logs give the same proposal, whatever the order in which files were made."""
    for folder, order in (("a", (0, 1, 2)), ("b", (2, 1, 0))):
        (tmp_path / folder / "logs").mkdir(parents=True)
        for i in order:
            (tmp_path / folder / f"logs/{i}.jsonl").write_bytes(lines_of(ROWS[i:]))

    texts = [proposal(tmp_path / folder / "logs").replace(str(tmp_path / folder), "") for folder in "ab"]

    assert texts[0] == texts[1]
