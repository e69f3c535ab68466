"""SPEC 9: full disks, unwritable targets and damaged logs on whole builds."""

import gzip
import json
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
import zstandard

from distill.config_file import load_config
from distill.plan import build_plan
from distill.runner import Work, run_stage
from distill.stages import stage_named
from tests.harness import CONFIG, Project, outcome

LIMIT = 5_000_000  # above what the write-ahead log of the store grows to
SFT = "exports/sft/instruction_response.jsonl"
LOG = "logs/2026/04/28/outcomes.jsonl"
LINES = b"".join(json.dumps(outcome(f"packed-{number}", task_id=f"task-{number}")).encode() + b"\n" for number in range(400))


def doit_on_full_disk(project: Project, *words: str, limit: int = LIMIT) -> "subprocess.CompletedProcess[str]":
    """Run doit where no file may grow beyond some bytes, which writes answer as on a full disk."""
    return subprocess.run(
        project.command(*words), cwd=project.folder, env=project.environment(), capture_output=True, text=True, timeout=120, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip


@pytest.mark.parametrize("words", [(), ("-n", "2")])
def test_a_full_disk_fails_the_stage_and_keeps_old_files_whole(project: Project, words: tuple[str, ...]) -> None:
    """SPEC 9: a write that finds no space fails its stage with its path; old files stay whole, and with space the next doit passes."""
    before = project.data_files()
    project.log("2026/05/01/outcomes.jsonl", [outcome(f"long-{number}", response="word " * 200_000) for number in range(6)])

    done = doit_on_full_disk(project, *words)

    receipts = project.receipts()
    failed = [name for name, receipt in receipts.items() if receipt["decision"] == "failed"]
    assert (done.returncode, failed[:1]) == (1, ["collect"]), done.stdout + done.stderr
    assert any(place in receipts["collect"]["validation"]["errors"][0] for place in ("data/evidence/", ".distill/parts/collect/"))
    assert not [path for path in project.temporaries() if ".distill" not in path]
    for path, data in before.items():
        places = [project.folder / path, *(project.folder / "data/held/stale").glob(f"*/{path}")]
        assert [place.read_bytes() for place in places if place.exists()] == [data]
    assert project.doit().code == 0
    assert project.temporaries() == []
    assert len(project.rows("data/evidence/2026/05/01/outcomes.jsonl")) == 6


def test_a_disk_that_fills_up_in_an_export_stops_only_what_is_below(project: Project) -> None:
    """SPEC 9: an export that finds no space fails with its path and blocks what is below it; the other stages are built."""
    project.log("2026/05/01/outcomes.jsonl", [outcome("long", task_id="long", prompt="Write much.", response="word " * 600_000)])

    done = doit_on_full_disk(project)

    receipts = project.receipts()
    assert done.returncode == 1, done.stdout + done.stderr
    assert [receipts[name]["decision"] for name in ("collect", "score", "extract-playbooks", "export-rag", "index")] == [
        "executed", "executed", "executed", "failed", "blocked",
    ]  # fmt: skip
    assert any(
        place in receipts["export-rag"]["validation"]["errors"][0]
        for place in ("exports/rag/playbooks.jsonl", ".distill/parts/export-rag/")
    )
    assert receipts["export-preference"]["decision"] == "executed"
    assert project.doit().code == 0


def test_a_store_that_finds_no_space_is_told(built: Project, project: Project) -> None:
    """SPEC 9: where the build's own store cannot grow doit ends in 1 or 2 with its name and no traceback, and heals with space."""
    before = (project.folder / SFT).read_bytes()

    done = doit_on_full_disk(project, "--always", limit=(project.folder / ".distill/store.sqlite").stat().st_size // 2)

    assert done.returncode in {1, 2}, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert ".distill" in done.stdout + done.stderr
    assert (project.folder / SFT).read_bytes() == before
    assert project.doit().code == 0
    assert project.data_files() == built.data_files()


@pytest.mark.parametrize(("place", "path", "stage"), [
    ("exports/sft", SFT, "export-sft"), ("data/playbooks", "data/playbooks/playbooks.jsonl", "extract-playbooks"),
    ("exports/index", "exports/index/playbooks.sqlite", "index"), ("data/evidence/2026", "data/evidence/2026/04", "collect"),
])  # fmt: skip
def test_an_unwritable_target_fails_its_stage_with_its_path(built: Project, project: Project, place: str, path: str, stage: str) -> None:
    """SPEC 9: where a file stands in the place of a folder the stage fails and names it; after the repair the next doit passes."""
    shutil.rmtree(project.folder / place)
    (project.folder / place).write_text("in the way")

    result = project.doit()

    receipts = project.receipts()
    assert result.code == 1
    assert receipts[stage]["decision"] == "failed"
    assert place in receipts[stage]["validation"]["errors"][0]
    assert (project.folder / place).read_text() == "in the way"
    assert project.temporaries() == []
    (project.folder / place).unlink()
    assert project.doit().code == 0
    assert project.data_files() == built.data_files()
    assert (project.folder / path).exists()


def test_a_failure_of_the_world_is_tried_again_without_a_new_run(project: Project) -> None:
    """SPEC 1: a stage the world stopped is executed on every doit; the same failure adds no run directory."""
    shutil.rmtree(project.folder / "exports/sft")
    (project.folder / "exports/sft").write_text("in the way")

    results = [project.doit() for _ in range(3)]

    assert [(result.code, result.executed) for result in results] == [(1, ["export_sft", "summary"])] * 3
    assert len(project.runs) == 2


def test_reports_that_cannot_be_written_are_told(project: Project) -> None:
    """SPEC 9: where the reports' folder cannot be written the build does not pass, and says which path."""
    shutil.rmtree(project.folder / "reports")
    (project.folder / "reports").write_text("in the way")
    project.replace_text(LOG, "Parse a date.", "Parse a time.")

    result = project.doit()

    assert result.code != 0
    assert "reports" in result.text
    (project.folder / "reports").unlink()
    assert project.doit().code == 0


def pack(kind: str, data: bytes) -> bytes:
    """Return packed bytes."""
    return gzip.compress(data, mtime=0) if kind == "gz" else zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_a_packed_log_gives_the_rows_of_the_plain_one(tmp_path: Path, kind: str) -> None:
    """SPEC 2: a packed log is read as the plain one; its receipt names the packed bytes."""
    project = Project(tmp_path / "project", config=CONFIG.replace("*.jsonl", f"*.{kind}"))
    project.write(f"logs/outcomes.jsonl.{kind}", pack(kind, LINES[:2000].rsplit(b"\n", 1)[0] + b"\n") + pack(kind, b""))

    assert project.doit().code == 0

    file = project.receipts()["collect"]["inputs"]["files"][0]
    assert file["bytes"] == (project.folder / f"logs/outcomes.jsonl.{kind}").stat().st_size
    assert file["record_count"] == LINES[:2000].count(b"\n") == len(project.rows(f"data/evidence/outcomes.jsonl.{kind}.jsonl"))


@pytest.mark.parametrize("kind", ["gz", "zst"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "no packed data", "rubbish behind"])
def test_a_damaged_packed_log_is_skipped_from_there_on(tmp_path: Path, kind: str, damage: str) -> None:
    """SPEC 9: where packed data is damaged, one record `unreadable_member` is skipped, what came before is kept, and the run fails."""
    project = Project(tmp_path / "project", config=CONFIG.replace("*.jsonl", f"*.{kind}"))
    data = pack(kind, LINES)
    middle = len(data) // 2
    damaged = {
        "cut": data[:middle], "flipped": data[:middle] + bytes(byte ^ 255 for byte in data[middle : middle + 40]) + data[middle + 40 :],
        "no packed data": LINES, "rubbish behind": data + b"rubbish behind the end",
    }[damage]  # fmt: skip
    project.write(f"logs/outcomes.jsonl.{kind}", damaged)

    result = project.doit()

    receipt = project.receipts()["collect"]
    assert result.code == 1
    assert receipt["decision"] == "executed"
    assert receipt["stats"]["reasons"]["unreadable_member"] == 1
    assert receipt["stats"]["accepted"] + receipt["stats"]["skipped"] == receipt["stats"]["considered"] == receipt["inputs"]["record_count"]
    assert receipt["inputs"]["files"][0]["bytes"] == len(damaged)
    assert (receipt["stats"]["accepted"] == 400) is (damage == "rubbish behind")
    project.write(f"logs/outcomes.jsonl.{kind}", data)
    assert project.doit().code == 0


def test_a_pending_last_line_is_no_record_yet(project: Project) -> None:
    """SPEC 6: an unfinished last line is a warning and in no count; when it is finished it is a record."""
    path = project.folder / LOG
    line = json.dumps(outcome("run-8", task_id="task-8")).encode()
    path.write_bytes(path.read_bytes() + line[:30])

    assert project.doit().code == 0

    receipt = project.receipts()["collect"]
    file = next(file for file in receipt["inputs"]["files"] if "04/28" in file["path"])
    assert (file["record_count"], receipt["stats"]["skipped"]) == (1, 0)
    assert any("pending" in warning or "not finished" in warning for warning in receipt["validation"]["warnings"])
    path.write_bytes(path.read_bytes() + line[30:])
    assert project.doit().code == 0
    assert len(project.rows("data/evidence/2026/04/28/outcomes.jsonl")) == 2
    assert not project.receipts()["collect"]["validation"]["warnings"]


def test_an_empty_log_gives_no_records(project: Project) -> None:
    """SPEC 9: an empty log is zero records and no failure."""
    (project.folder / LOG).write_bytes(b"")

    assert project.doit().code == 0

    assert project.data_files()["data/evidence/2026/04/28/outcomes.jsonl"] == b""


def test_a_log_that_grows_while_it_is_read_is_told(tmp_path: Path) -> None:
    """SPEC 6: a log that only grows is read to its length at the start, and the receipt says so."""
    project = Project(tmp_path / "project")
    path = project.log("outcomes.jsonl", [outcome("run-early")])
    config = load_config(project.folder, {})
    length = path.stat().st_size
    late = json.dumps(outcome("run-late", task_id="task-late")).encode() + b"\n"

    def grow(count: int) -> None:
        if path.stat().st_size == length:
            path.write_bytes(path.read_bytes() + late)

    done = run_stage(stage_named("collect"), Work(project.folder, build_plan(project.folder, config), config, progress=grow))

    assert done.validation.warnings == ["outcomes/outcomes.jsonl: grew while it was read, and was read to its length at the start"]
    assert [(file.bytes, file.record_count) for file in done.inputs.files] == [(length, 1)]


def test_a_run_id_given_twice_is_told(project: Project) -> None:
    """A run id from outside that was used before fails the run with the folder that is in the way, and without a traceback."""
    env = {"DISTILL_RUN_ID": "given"}
    runs = []
    for text in ("first", "second"):
        project.log("2026/05/01/outcomes.jsonl", [outcome("run-new", response=text)])
        runs.append(project.doit(env=env))

    assert [(run.code, "Traceback" in run.text) for run in runs] == [(0, False), (1, False)]
    assert "reports/distillation/given: is there already; a run id is used once" in runs[1].text


@pytest.mark.parametrize(("name", "value"), [("DISTILL_RUN_ID", "../../evil"), ("DISTILL_RUN_ID", "latest"), ("DISTILL_NOW", "today")])
def test_what_cannot_stand_in_for_the_run_is_refused(project: Project, name: str, value: str) -> None:
    """A run id that is no folder of its own, and a clock that tells no time, are exit status 2 before anything is written."""
    before = project.tree()

    result = project.doit("--always", env={name: value})

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"{name}: found {value!r}, expected")
    assert project.tree() == before
