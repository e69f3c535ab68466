"""SPEC 7, law 11: what other hands did to a target is noticed, kept, noted and undone."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness import STAGE_NAMES, Project, sample_project

DAYS = ("2026/04/27/outcomes.jsonl", "2026/04/27/scrum_reviews.jsonl", "2026/04/28/outcomes.jsonl")
TARGETS = (
    *(f"data/{folder}/{day}" for folder in ("evidence", "scored-runs") for day in DAYS),
    "data/scored-runs/resolution.jsonl", "data/playbooks/playbooks.jsonl", "exports/rag/playbooks.jsonl",
    "exports/sft/instruction_response.jsonl", "exports/sft/prompt_completion.jsonl", "exports/preference/chosen_rejected.jsonl",
    "exports/index/playbooks.sqlite", "exports/quarantine/rag.jsonl", "exports/quarantine/sft.jsonl",
)  # fmt: skip
EDITING = """
def planted(shared, given):
    if not hasattr(shared, 'plan') or 'NAME' in {shared.plan.evidence[number] for number, _ in given[1]}:
        data = open('NAME').read()
        open('NAME', 'w').write(data.replace('Parse', 'Pause'))
    return honest(shared, given)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that was built once; tests work on copies."""
    project = sample_project(tmp_path_factory.mktemp("built") / "project")
    assert project.doit().code == 0
    assert project.doit().executed == []
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A copy of the built project, known to the store as it lies there."""
    copy = built.copy(tmp_path / "project")
    assert copy.doit().executed == []
    return copy


def flip(path: Path) -> bytes:
    """Change one byte in the middle and put the time of change back; return the forged bytes."""
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return bytes(data)


def kept(project: Project, path: str) -> list[bytes]:
    """Return what lies in data/held/tampered for a path."""
    return [found.read_bytes() for found in (project.folder / "data/held/tampered").glob(f"*/{path}")]


def tampers(project: Project) -> list[str | None]:
    """Return the paths of the tamper events of the ledger."""
    return [line["path"] for line in project.ledger if line["kind"] == "tamper"]


def test_the_targets_are_all_of_them(built: Project) -> None:
    """SPEC 7, law 11: the cases below name every target that holds a byte."""
    assert {path for path in built.targets if (built.folder / path).stat().st_size} == set(TARGETS)


@pytest.mark.parametrize("path", TARGETS)
def test_one_changed_byte_is_noticed(built: Project, project: Project, path: str) -> None:
    """SPEC 7, law 11: a byte changed with its time put back is noticed, kept, noted in the ledger and rebuilt, and the run passes."""
    forged = flip(project.folder / path)

    result = project.doit()

    assert result.code == 0
    assert project.data_files() == built.data_files()
    assert kept(project, path) == [forged]
    assert tampers(project) == [path]
    executed = [receipt for receipt in project.receipts().values() if receipt["decision"] == "executed"]
    assert [(path in receipt["decision_reason"], receipt["validation"]["passed"]) for receipt in executed] == [(True, True)]
    assert project.doit().executed == []


def test_deleted_targets_are_rebuilt(built: Project, project: Project) -> None:
    """SPEC 7, law 11: a deleted target of each stage is rebuilt with the same bytes, and this is no forgery."""
    for receipt in project.receipts().values():
        (project.folder / receipt["outputs"]["files"][-1]["path"]).unlink()

    assert project.doit().code == 0

    assert project.data_files() == built.data_files()
    assert tampers(project) == []
    assert {receipt["decision"] for receipt in project.receipts().values()} == {"executed"}
    assert all(receipt["decision_reason"].startswith("missing: ") for receipt in project.receipts().values())


def test_a_deleted_folder_is_rebuilt(built: Project, project: Project) -> None:
    """SPEC 7, law 11: data and exports deleted as a whole come back with the same bytes."""
    shutil.rmtree(project.folder / "data")
    shutil.rmtree(project.folder / "exports")

    assert project.doit("-n", "2").code == 0

    assert project.data_files() == built.data_files()


@pytest.mark.parametrize("kind", ["empty", "half", "folder", "link to the same bytes elsewhere", "link to other bytes", "loop", "pipe"])
def test_a_target_replaced_by_something_else_is_rebuilt(built: Project, project: Project, tmp_path: Path, kind: str) -> None:
    """SPEC 7, law 11: an emptied, half-written or replaced target, be it a folder, a link or a pipe, ends as the file it was."""
    name = "exports/sft/instruction_response.jsonl"
    path = project.folder / name
    data = path.read_bytes()
    path.unlink()
    forged = {"empty": b"", "half": data[: len(data) // 2], "link to other bytes": b"other\n"}.get(kind, data)
    if "link" in kind:
        (tmp_path / "elsewhere").write_bytes(forged)
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        path.mkdir()
        (path / "inside").write_bytes(b"x")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(forged)

    assert project.doit().code == 0

    assert project.data_files() == built.data_files()
    if kind in {"empty", "half", "link to other bytes"}:
        assert kept(project, name) == [forged]
        (tmp_path / "elsewhere").unlink(missing_ok=True)
        assert kept(project, name) == [forged]
    assert project.doit().executed == []


def test_quick_edits_of_equal_size_are_noticed(built: Project, project: Project) -> None:
    """SPEC 7, law 11: edits of equal size right after the build, with all times put back, are noticed each time."""
    path = project.folder / "exports/preference/chosen_rejected.jsonl"

    for number in range(3):
        stat = path.stat()
        for _ in range(2):
            flip(path)
        path.write_bytes(built.data_files()["exports/preference/chosen_rejected.jsonl"].replace(b"answer of", b"ANSWER OF"))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert project.doit().code == 0
        assert len(tampers(project)) == number + 1

    assert project.data_files() == built.data_files()


def test_an_edit_put_back_is_no_forgery(project: Project) -> None:
    """SPEC 7, law 11: a target that was edited and holds its old bytes again is up to date."""
    path = project.folder / "exports/sft/instruction_response.jsonl"
    data = path.read_bytes()
    flip(path)
    path.write_bytes(data)

    assert project.doit().executed == []

    assert tampers(project) == []


def test_a_forged_target_beside_changed_inputs_is_kept(project: Project) -> None:
    """SPEC 7, law 11: forged bytes are kept also where the stage would have been executed anyway."""
    forged = flip(project.folder / "exports/sft/prompt_completion.jsonl")
    project.replace_text("logs/2026/04/28/outcomes.jsonl", "Parse a date.", "Parse a time.")

    assert project.doit().code == 0

    assert kept(project, "exports/sft/prompt_completion.jsonl") == [forged]
    assert tampers(project) == ["exports/sft/prompt_completion.jsonl"]


def test_forged_bytes_are_kept_while_the_stage_is_blocked_or_failed(project: Project) -> None:
    """SPEC 7, law 11: a target forged while its stage is ignored is noticed, kept and noted, and the verdict stays 1."""
    project.doit("ignore", "export_sft")
    assert project.doit().code == 1
    forged = flip(project.folder / "exports/sft/prompt_completion.jsonl")

    assert project.doit().code == 1

    assert kept(project, "exports/sft/prompt_completion.jsonl") == [forged]
    assert tampers(project) == ["exports/sft/prompt_completion.jsonl"]


@pytest.mark.parametrize(("place", "told"), [
    ("units.score:run_units", "changed by other hands since collect wrote it"), ("units.score:score_unit", "changed while it was read"),
], ids=["before it is read", "while it is read"])  # fmt: skip
def test_an_edit_between_two_stages_fails_the_reader(built: Project, project: Project, place: str, told: str) -> None:
    """SPEC 7, law 11: evidence changed after collect and before score reads it is no input: score fails, and the next doit heals it."""
    name = "data/evidence/2026/04/28/outcomes.jsonl"
    project.plant(place, EDITING.replace("NAME", name))

    result = project.doit("--always")

    receipts = project.receipts()
    assert result.code == 1
    assert [receipts[stage]["decision"] for stage in STAGE_NAMES[:3]] == ["executed", "failed", "blocked"]
    assert receipts["score"]["validation"]["errors"][0].startswith(f"{name}: {told}")
    (project.folder / "planted").unlink()
    assert project.doit().code == 0
    assert project.data_files() == built.data_files()
    assert tampers(project) == [name]


def test_an_edit_right_after_a_stage_is_not_taken_for_its_output(built: Project, project: Project) -> None:
    """SPEC 7, law 11: a target changed between its rename and the end of its stage, however long that takes, is noticed later."""
    name = "exports/sft/instruction_response.jsonl"
    (project.folder / name).unlink()
    git = shutil.which("git")
    assert git is not None
    forge = f"if [ $1 = status ]; then sleep 0.3; printf x >> {name}; sleep 0.3; fi"
    project.write("bin/git", f'#!/bin/sh\n{forge}\nexec {git} "$@"\n').chmod(0o755)
    for words in (["init", "-q"], ["-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([git, *words], cwd=project.folder, check=True)
    assert project.doit(env={"PATH": f"{project.folder}/bin:{os.environ['PATH']}"}).code == 0
    assert (project.folder / name).read_bytes().endswith(b"x")

    assert project.doit().code == 0

    assert project.data_files()[name] == built.data_files()[name]
    assert tampers(project) == [name]


def test_an_index_edited_in_place_is_rebuilt(built: Project, project: Project) -> None:
    """SPEC 7, law 11: a row changed in the index through SQLite is noticed, also where a journal file lies beside it."""
    path = project.folder / "exports/index/playbooks.sqlite"
    with closing(sqlite3.connect(path)) as base:
        base.execute("UPDATE documents SET title = 'forged'")
        base.commit()

    assert project.doit().code == 0

    assert project.data_files()["exports/index/playbooks.sqlite"] == built.data_files()["exports/index/playbooks.sqlite"]
    assert tampers(project) == ["exports/index/playbooks.sqlite"]


def test_strangers_below_data_are_deleted_and_elsewhere_left(project: Project) -> None:
    """SPEC 1: a file below data/evidence that is no target goes when collect runs; one below exports stays."""
    project.write("data/evidence/2025/old.jsonl", "{}\n")
    project.write("data/scored-runs/old.jsonl", "{}\n")
    project.write("exports/mine.txt", "mine")

    assert project.doit("--always").code == 0

    assert not (project.folder / "data/evidence/2025").exists()
    assert not (project.folder / "data/scored-runs/old.jsonl").exists()
    assert (project.folder / "exports/mine.txt").read_text() == "mine"
