"""`distill init` (SPEC 8, issue 5.3): what it writes, what it proposes, and what it leaves to a person."""

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from distill.config_file import load_config
from distill.onboarding.globs import find_globs
from distill.onboarding.sniff import find_files, survey_files
from tests.harness import Project
from tests.small_logs import ROWS, lines_of, loaded, proposal

REAL = Path(__file__).parents[2] / "shared/data"
WRITTEN = ["distill.toml", "dodo.py", "doit.cfg"]


def empty_project(folder: Path) -> Project:
    """Return a folder with nothing in it."""
    project = Project.__new__(Project)
    project.folder = folder
    folder.mkdir(parents=True, exist_ok=True)
    return project


def test_an_empty_folder_becomes_a_project_that_builds(tmp_path: Path) -> None:
    """SPEC 8: in an empty folder outside any repository `distill init` writes three files, and `doit` runs on them and passes."""
    assert not any((parent / ".git").exists() for parent in tmp_path.parents)
    project = empty_project(tmp_path / "project")

    written = project.distill("init")
    built = project.doit()

    assert written.code == 0
    assert sorted(path.name for path in project.folder.iterdir() if path.is_file() and path.name[0] != ".") == WRITTEN
    assert len((project.folder / "dodo.py").read_text().splitlines()) == 1
    assert (built.code, "Traceback" in built.text) == (0, False)
    assert project.receipts()["collect"]["git_commit"] is None


def test_a_folder_of_logs_becomes_a_project_that_builds(tmp_path: Path) -> None:
    """`distill init FOLDER` gives a config that loads and builds; what nobody judged is accepted nowhere."""
    project = empty_project(tmp_path / "project")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.jsonl").write_bytes(lines_of(ROWS))

    written = project.distill("init", "../logs")
    built = project.doit()

    assert (written.code, built.code) == (0, 0)
    stats = project.receipts()["score"]["stats"]
    assert (stats["considered"], stats["accepted"], stats["reasons"]) == (6, 0, {"self_claim_only": 6})


@pytest.mark.parametrize("standing", ["pyproject.toml", "doit.cfg", "dodo.py", "distill.toml"])
@pytest.mark.parametrize("folder", [(), ("logs",)])
def test_where_a_file_stands_nothing_is_changed(tmp_path: Path, standing: str, folder: tuple[str, ...]) -> None:
    """SPEC 8: where one of the files stands already, the lines to add are printed and nothing is written."""
    project = empty_project(tmp_path)
    project.write("logs/a.jsonl", lines_of(ROWS))
    project.write(standing, "")

    result = project.distill("init", *folder)

    assert (result.code, sorted(path.name for path in tmp_path.iterdir())) == (0, sorted([standing, "logs"]))
    assert (tmp_path / standing).read_bytes() == b""
    assert "distill.build.command:Run" in result.out
    assert "from distill.build.tasks import DOIT_CONFIG, task_pipeline" in result.out
    assert ('run_id = { path = "id" }' in result.out) is bool(folder)


def test_the_printed_lines_are_enough(tmp_path: Path) -> None:
    """Beside a pyproject.toml, the printed lines put where they are said to go make a project that builds."""
    project = empty_project(tmp_path)
    project.write("pyproject.toml", '[project]\nname = "mine"\nversion = "1"\n')
    blocks = re.findall(r"^(\S.*):\n\n((?:    .*\n|\n(?=    ))+)", project.distill("init").out, re.MULTILINE)
    bodies = {title.split()[-1]: textwrap.dedent(body) for title, body in blocks}

    for name, body in bodies.items():
        before = (tmp_path / name).read_text() if (tmp_path / name).exists() else ""
        project.write(name, before + body)

    assert sorted(bodies) == ["distill.toml", "dodo.py", "pyproject.toml"]
    assert project.doit().code == 0


def test_a_command_that_is_named_is_not_named_twice(tmp_path: Path) -> None:
    """A doit.cfg that names our command already needs no line."""
    project = empty_project(tmp_path)
    project.distill("init")

    again = project.distill("init")

    assert (again.code, "doit's run command is named already" in again.out, "[COMMAND]" in again.out) == (0, True, False)


@pytest.mark.parametrize("words", [("nowhere",), ("empty",), ("texts",)])
def test_a_folder_without_logs_is_told(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A folder that is none, or holds no log, is exit status 2; nothing is written."""
    project = empty_project(tmp_path)
    (tmp_path / "empty").mkdir()
    project.write("texts/readme.txt", "hello\n")
    project.write("texts/table.csv", "a,b\n1,2\n")
    project.write("texts/broken.jsonl", "{nothing\n")

    result = project.distill("init", *words)

    assert (result.code, result.out, sorted(path.name for path in tmp_path.iterdir())) == (2, "", ["empty", "texts"])
    assert words[0] in result.err
    assert ("broken.jsonl" in result.err) is (words[0] == "texts")


NATIVE = {
    "run_id": "r-1", "task_id": "t-1", "created_at": "2026-03-02T10:00:00Z", "prompt": "Do.", "response": "Done.", "ok": True, "errors": [],
    "tests": {"passed": 2, "failed": 0},
}  # fmt: skip
REVIEW = {"run_id": "r-1", "task_id": "t-1", "created_at": "2026-03-02T10:00:00Z", "reviewer": "human:a", "verdict": "accept"}


@pytest.mark.parametrize(("row", "known"), [(NATIVE, "outcomes"), (REVIEW, "scrum_reviews"), ({**NATIVE, "task_id": 7}, None)])
def test_a_built_in_format_is_recognised_where_it_reads_the_records(tmp_path: Path, row: dict[str, Any], known: str | None) -> None:
    """A built-in format is proposed by its telltale keys, and only where it can read most of the records."""
    project = empty_project(tmp_path)
    project.write("logs/a.jsonl", lines_of([{**row, "run_id": f"r-{i}"} for i in range(4)]))

    project.distill("init", "logs")

    source = load_config(tmp_path).sources[0]
    assert (source.format, source.reader) == ((known, None) if known else (None, "jsonl"))


def test_files_of_one_shape_and_keys_are_one_source(tmp_path: Path) -> None:
    """Files whose records have the same keys are one source; others in the same folder are another, and no glob takes a foreign file."""
    other = [{"env": f"e-{i}", "memory": ["a"], "won": True} for i in range(3)]
    for name, rows in (
        ("x/run_a.jsonl", ROWS),
        ("x/run_b.jsonl", ROWS),
        ("y/run_c.jsonl", ROWS),
        ("x/notes.jsonl", other),
        ("z/own.jsonl", other),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(lines_of(rows))
    (tmp_path / "x/table.csv").write_text("a,b\n")

    survey = survey_files(tmp_path, find_files(tmp_path, is_project=False))
    globs = [find_globs(tmp_path, group.files) for group in survey.groups]

    assert [group.files for group in survey.groups] == [
        ("x/notes.jsonl", "z/own.jsonl"),
        ("x/run_a.jsonl", "x/run_b.jsonl", "y/run_c.jsonl"),
    ]
    assert [sorted(name for _, files in found for name in files) for found in globs] == [sorted(group.files) for group in survey.groups]
    assert [pattern for pattern, _ in globs[1]] == ["**/run_*.jsonl"]
    assert len({source.name for source in loaded(proposal(tmp_path)).sources}) == sum(map(len, globs))


def test_a_file_outside_the_folder_is_left_out(tmp_path: Path) -> None:
    """A link that leaves the folder is named and not read (SPEC 9)."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "secret.jsonl").write_bytes(lines_of(ROWS))
    (tmp_path / "logs/link.jsonl").symlink_to(tmp_path / "secret.jsonl")

    survey = survey_files(tmp_path / "logs", find_files(tmp_path / "logs", is_project=False))

    assert (survey.groups, survey.left) == ((), (("link.jsonl", "lies outside the folder"),))


def test_logs_where_the_build_will_write_are_told(tmp_path: Path) -> None:
    """Logs in the project's own data folder are refused at once, not by the first build."""
    project = empty_project(tmp_path)
    project.write("data/raw/outcomes.jsonl", json.dumps(NATIVE) + "\n")

    result = project.distill("init", "data/raw")

    assert (result.code, result.out) == (2, "")
    assert result.err == "data/raw: is or lies below data/, where the build writes and deletes; move the logs elsewhere\n"


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    """A link that leads in a circle, and one that leads out, are told once each; every file counts once, where it lies."""
    (tmp_path / "logs/day").mkdir(parents=True)
    (tmp_path / "logs/day/a.jsonl").write_bytes(lines_of(ROWS))
    (tmp_path / "logs/day/up").symlink_to("..")
    (tmp_path / "logs/out").symlink_to(tmp_path)

    survey = survey_files(tmp_path / "logs", find_files(tmp_path / "logs", is_project=False))

    assert [group.files for group in survey.groups] == [("day/a.jsonl",)]
    assert dict(survey.left) == {
        "day/up": "a link to a folder; what is there counts where it lies", "out": "lies outside the folder",
    }  # fmt: skip


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TALK = [{"role": "user", "content": "u"}, {"role": "assistant", "content": None, "tool_calls": [CALL]}]
PARTS = [{"role": "user", "content": [{"type": "text", "text": "u"}]}, {"role": "assistant", "content": "a"}]
CHATS: dict[str, tuple[dict[str, Any], str, str]] = {
    "verdict": ({"messages": TALK, "usage": {}, "model": "m", "passed": True}, 'reader = "jsonl"', 'kind = "self"\npath = "passed"'),
    "no_verdict": ({"messages": TALK, "usage": {}, "model": "m"}, 'format = "openai_chat"', ""),
    "parts": ({"messages": PARTS, "tools": []}, 'format = "openai_chat"', ""),
    "parts_and_verdict": ({"messages": PARTS, "passed": True}, 'format = "openai_chat"', "# unsure: passed: in 100% of 6 records"),
    "printed_span": ({"name": "chat", "context": {"trace_id": "0x" + "1" * 32, "span_id": "0x2"}, "parent_id": None, "attributes": {}, "start_time": "2026-04-27T09:00:00Z"}, 'format = "otel"', ""),
}  # fmt: skip


@pytest.mark.parametrize(("row", "shape", "told"), CHATS.values(), ids=CHATS)
def test_no_verdict_is_lost_in_a_format(tmp_path: Path, row: dict[str, Any], shape: str, told: str) -> None:
    """A format that reads no verdict is proposed where no verdict stands in the records, or where a mapping cannot read them."""
    (tmp_path / "a.jsonl").write_bytes(lines_of([row] * 6))

    text = proposal(tmp_path)

    assert shape in text
    assert told in text
    assert len(loaded(text).sources) == 1


def test_what_the_project_builds_is_no_log(tmp_path: Path) -> None:
    """In a project's own folder, data, exports, reports and hidden files are no logs."""
    for name in ("data/evidence/a.jsonl", "exports/sft/a.jsonl", "reports/a.json", ".distill/a.jsonl", "runs/a.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(lines_of(ROWS))

    assert find_files(tmp_path, is_project=True) == ["runs/a.jsonl"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real logs lie beside the checkout only where they were put")
def test_real_logs_are_told_apart() -> None:
    """On the real logs each kind is one source, every proposal loads, and only what the logs call a boolean is a signal, as a claim."""
    sources = {source.glob: source for source in loaded(proposal(REAL)).sources}

    assert sorted((len(source.signals), source.reader or source.format) for source in sources.values()) == [
        (0, "json_array"), (0, "langfuse"), (1, "json_array"), (1, "jsonl"), (2, "jsonl"),
    ]  # fmt: skip
    assert {signal.kind for source in sources.values() for signal in source.signals} == {"self"}
    assert dict(next(source for source in sources.values() if "tau-bench" in source.glob).fields)["messages"][0].path == "traj"
