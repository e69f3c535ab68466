"""SPEC 7, law 9: a build that is killed at any moment leaves whole files, and the next doit goes on from there.

Six moments are tried by default, twenty of each kind with DISTILL_SLOW=1 in the environment.
"""

import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness import STAGE_NAMES, Project, many_outcomes, sample_project

KILLS = 20 if os.environ.get("DISTILL_SLOW") == "1" else 3
MOMENTS = [(words, number) for words in ((), ("-n", "2")) for number in range(KILLS)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Project, float]:
    """A project not built yet, its copy that was built in peace, and the seconds this took."""
    fresh = Project(tmp_path_factory.mktemp("fresh") / "project")
    fresh.log("2026/outcomes.jsonl", many_outcomes(2000))
    fresh.log("2027/outcomes.jsonl", many_outcomes(4))
    built = fresh.copy(fresh.folder.parent / "built")
    start = time.monotonic()
    assert built.doit().code == 0
    return fresh, built, time.monotonic() - start


def kill_at(project: Project, words: tuple[str, ...], seconds: float) -> None:
    """Start doit and end it with SIGKILL after that time; its children end themselves."""
    process = project.start(*words)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.4)


def finished_stages(project: Project) -> set[str]:
    """Return the stages whose execution the store holds."""
    if not (project.folder / ".distill/store.sqlite").exists():
        return set()
    tables = {name for (name,) in project.query("SELECT name FROM sqlite_master")}
    return {name for (name,) in project.query("SELECT stage FROM traces")} if "traces" in tables else set()


@pytest.mark.parametrize(("words", "number"), MOMENTS)
def test_a_killed_build_is_finished_by_the_next(
    undisturbed: tuple[Project, Project, float], tmp_path: Path, words: tuple[str, ...], number: int
) -> None:
    """SPEC 7, law 9: after kill -9 at a random moment the next doit ends with the bytes of an undisturbed run and repeats no stage."""
    fresh, built, seconds = undisturbed
    project = fresh.copy(tmp_path / "project")
    moment = random.Random(f"{words} {number}").uniform(0.15, 1.1) * seconds
    kill_at(project, words, moment)
    finished, added = finished_stages(project), list((project.folder / "reports/distillation").glob("[!.]*/summary.json"))

    result = project.doit(*words)

    assert (result.code, result.text.count("Traceback")) == (0, 0)
    assert project.data_files() == built.data_files()
    assert project.document("summary.json")["run_hash"] == built.document("summary.json")["run_hash"]
    assert project.temporaries() == []
    assert {line["kind"] for line in project.ledger} == {"run"}
    assert not (project.folder / "data/held").exists()
    executed = {name.replace("_", "-") for name in result.executed} - {"summary"}
    assert executed == (set() if added else set(STAGE_NAMES) - finished)
    reasons = {receipt["decision_reason"] for name, receipt in project.receipts().items() if name in finished and not added}
    assert reasons <= {"finished by an interrupted run"}


def test_a_build_killed_again_and_again_ends_all_the_same(undisturbed: tuple[Project, Project, float], tmp_path: Path) -> None:
    """SPEC 7, law 9: several kills in a row, with edits of the log between them, cost no truth."""
    fresh, built, seconds = undisturbed
    project = fresh.copy(tmp_path / "project")
    log = project.folder / "logs/2027/outcomes.jsonl"
    kept = log.read_bytes()

    for number in range(4):
        log.write_bytes(kept if number % 2 else kept.replace(b"model-0", b"model-9"))
        kill_at(project, (), random.Random(number).uniform(0.3, 1.0) * seconds)
    log.write_bytes(kept)
    project.doit()

    assert project.data_files() == built.data_files()
    assert project.temporaries() == []
    assert {line["kind"] for line in project.ledger} == {"run"}
    assert project.doit().executed == []


def test_what_a_killed_build_was_writing_is_swept_wherever_it_lies(tmp_path: Path) -> None:
    """SPEC 7, law 9: temporary files are taken away from every folder the build writes to, its own store among them."""
    project = sample_project(tmp_path / "project")
    assert project.doit().code == 0
    folders = [
        path for name in ("data", "exports", "reports", ".distill/parts") for path in (project.folder / name).rglob("*") if path.is_dir()
    ]
    for folder in folders:
        (folder / f"{'a' * 64}.distill-tmp1-2").write_bytes(b"half")
        (folder / ".b.jsonl.distill-tmp1").write_bytes(b"half")
    with closing(sqlite3.connect(project.folder / ".distill/store.sqlite")) as base, base:
        base.execute("INSERT OR REPLACE INTO meta VALUES ('running', '\"killed\"')")

    result = project.doit()

    assert (result.code, result.executed) == (0, [])
    assert {path.name for path in folders} >= {"cuts", "exceptions", "collect", "sft"}
    assert project.temporaries() == []
