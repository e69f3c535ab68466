"""SPEC 7, law 4: the bytes of every data file depend on logs, code, config and tools, and on nothing else."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Project, many_outcomes, outcome, review, sample_project

LOCALES = {"TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "1"}
VARIANTS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "other zone and locale": ((), LOCALES),
    "C locale": ((), {"TZ": "America/Caracas", "LC_ALL": "C", "PYTHONHASHSEED": "2"}),
    "two workers": (("-n", "2"), {"PYTHONHASHSEED": "3"}),
    "two threads": (("-n", "2", "-P", "thread"), {"PYTHONHASHSEED": "4"}),
    "stage by stage": (("export_preference", "index"), {"PYTHONHASHSEED": "5"}),
}


def _logs() -> dict[str, list[Any]]:
    rows = many_outcomes(120)
    rows += [
        outcome("\u00fc-\u0130", task_id="\u0131", prompt="Schreib\u2028gr\u00f6\u00dfer", response="gr\u00f6\u00dfer \U0001f600"),
        rows[5],
        rows[5] | {"cost_usd": 1},
    ]
    reviews = [review(f"run-{number}", "accept" if number % 3 else "reject", task_id=f"task-{number // 4}") for number in range(0, 60, 5)]
    return {
        "b/outcomes.jsonl": rows[:70],
        "a/outcomes.jsonl": rows[70:],
        "\u00e9/outcomes.jsonl": [outcome("z", task_id="z")],
        "a/scrum_reviews.jsonl": reviews,
    }


def _project(folder: Path, *, backwards: bool = False) -> Project:
    project = Project(folder)
    names = list(_logs().items())
    for path, rows in reversed(names) if backwards else names:
        project.log(path, rows)
    return project


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The build the others are compared with."""
    project = _project(tmp_path_factory.mktemp("first") / "project")
    assert project.doit(env={"PYTHONHASHSEED": "0", "TZ": "UTC"}).code == 0
    return project


@pytest.mark.parametrize("name", VARIANTS)
def test_the_world_does_not_reach_the_bytes(first: Project, tmp_path: Path, name: str) -> None:
    """SPEC 7, law 4: folder, zone, locale, hash seed, order of creation and workers change no byte and no run_hash."""
    words, env = VARIANTS[name]
    other = _project(tmp_path / "another folder" / "p\u00fc", backwards=True)

    results = [other.doit(*words, env=env), other.doit(env=env)]

    assert [result.code for result in results] == [0, 0]
    assert other.data_files() == first.data_files()
    assert other.document("summary.json")["run_hash"] == first.document("summary.json")["run_hash"]


def test_names_that_would_be_read_in_another_way_are_refused(first: Project, tmp_path: Path) -> None:
    """SPEC 7, law 4: where Python does not take file names for UTF-8 nothing is built, since recorded paths would be others."""
    other = first.copy(tmp_path / "project")

    result = other.doit(env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})

    assert result.code == 2
    assert "PYTHONUTF8=1" in result.err
    assert other.data_files() == first.data_files()


def test_always_is_a_proof_of_determinism(first: Project, tmp_path: Path) -> None:
    """SPEC 7, law 4: executing everything again gives the same bytes and no deterministic violation."""
    other = first.copy(tmp_path / "project")

    assert other.doit("--always").code == 0

    assert other.data_files() == first.data_files()
    assert len(other.runs) == 2
    drift = other.document("drift.json")
    assert (drift["severity"], drift["flags"]) == ("ok", [])
    assert not any(stage["deterministic_violation"] for stage in drift["stages"])


def test_a_history_of_edits_does_not_reach_the_bytes(first: Project, tmp_path: Path) -> None:
    """SPEC 7, law 4: a project that went through other logs and back ends with the same bytes."""
    other = first.copy(tmp_path / "project")
    log = other.folder / "logs/a/outcomes.jsonl"
    kept = log.read_bytes()

    log.write_bytes(kept + json.dumps(outcome("new")).encode() + b"\n")
    other.log("c/outcomes.jsonl", [outcome("newer")])
    assert other.doit("export_sft").code == 0
    log.write_bytes(kept)
    shutil.rmtree(other.folder / "logs/c")
    other.doit()

    assert other.data_files() == first.data_files()
    assert other.document("summary.json")["run_hash"] == first.document("summary.json")["run_hash"]


def test_a_log_moved_to_another_root_gives_the_same_rows(tmp_path: Path) -> None:
    """SPEC 7, law 4: recorded paths are those below the root, so the root itself reaches no file."""
    near, far = sample_project(tmp_path / "one"), sample_project(tmp_path / "two")
    shutil.move(far.folder / "logs", tmp_path / "far away")
    far.replace_text("distill.toml", 'root = "logs"', f'root = "{tmp_path}/far away"')

    assert [near.doit().code, far.doit().code] == [0, 0]

    assert far.data_files() == near.data_files()
    assert str(tmp_path).encode() not in b"".join(far.data_files().values())
