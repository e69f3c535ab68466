"""The laws of SPEC 7 on whole builds: receipts, dependencies, books, verdicts, no-op and lock; the others have files of their own."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from distill.config_file import load_config
from distill.firewall import Verdicts
from distill.plan import build_plan
from distill.runner import Work, read_outcomes
from distill.schemas.stage_receipt import StageReceipt, check_books
from distill.stages import STAGES
from tests.harness import CONFIG, STAGE_NAMES, Project, outcome, sample_project

KINDS = ("accepted", "rejected", "quarantined", "skipped", "filtered")
BROKEN = b'{"run_id": "run-broken", "task_id": '
_TASKS = """import json
from distill.build.tasks import task_pipeline
print(json.dumps([{key: task[key] for key in ("basename", "file_dep", "targets")} for task in task_pipeline() if "file_dep" in task]))
"""
SLOW = "def planted(*records):\n    open('started', 'w').close()\n    while not os.path.exists('go'):\n        time.sleep(0.02)\n    yield from honest(*records)\n"
RAISING = "def planted(*given):\n    raise RuntimeError('the roof is open')\n"


def tasks_of(project: Project) -> dict[str, tuple[list[str], list[str]]]:
    """Return doit's file_dep and targets of every task of a stage."""
    done = subprocess.run(
        [sys.executable, "-c", _TASKS], cwd=project.folder, capture_output=True, text=True, check=True, env=project.environment()
    )
    return {task["basename"]: (task["file_dep"], task["targets"]) for task in json.loads(done.stdout)}


def break_a_line(project: Project) -> None:
    """Put one line nobody can read at the head of a log."""
    path = project.folder / "logs/2026/04/27/outcomes.jsonl"
    path.write_bytes(BROKEN + b"\n" + path.read_bytes())


def test_every_stage_has_one_receipt_of_the_run(built: Project) -> None:
    """SPEC 7, law 1: a run has one receipt per stage, and all share its id."""
    receipts = built.receipts()

    assert tuple(receipts) == STAGE_NAMES
    assert {receipt["run_id"] for receipt in receipts.values()} == set(built.runs)
    assert [line["stage"] for line in built.document("summary.json")["stages"]] == list(STAGE_NAMES)


def test_failed_blocked_and_ignored_stages_have_receipts(project: Project) -> None:
    """SPEC 7, law 1: a failed, a blocked and an ignored stage each emit a receipt of the same run."""
    project.plant("units.export_rag:run_outcome", RAISING)
    project.log("2026/04/29/outcomes.jsonl", [outcome("run-7", task_id="task-7")])
    project.doit("ignore", "export_sft")

    result = project.doit()

    receipts = project.receipts()
    assert result.code == 1
    assert {receipt["run_id"] for receipt in receipts.values()} == {project.runs[-1]}
    assert [receipts[name]["decision"] for name in STAGE_NAMES] == [
        "executed",
        "executed",
        "executed",
        "failed",
        "blocked",
        "executed",
        "blocked",
    ]
    assert receipts["export-sft"]["decision_reason"] == "ignored"
    assert receipts["index"]["decision_reason"] == "blocked by export-rag"
    for name in ("export-rag", "export-sft", "index"):
        assert receipts[name]["outputs"] == {"files": [], "record_count": 0, "hash": None}
        assert receipts[name]["validation"]["passed"] is False


def test_dependencies_are_the_receipts_files(tmp_path: Path) -> None:
    """SPEC 7, law 2: file_dep and targets are the paths in the receipt, of executed and of up-to-date stages, also for a root elsewhere."""
    more = '[[sources]]\nname = "far"\nroot = "../elsewhere"\nglob = "**/*.log"\nformat = "outcomes"\n'
    project = sample_project(tmp_path / "project", config=CONFIG + more)
    project.write("../elsewhere/a/b.log", json.dumps(outcome("far-1", task_id="far")) + "\n")
    raw = {f"logs/{path}/outcomes.jsonl": f"outcomes/{path}/outcomes.jsonl" for path in ("2026/04/27", "2026/04/28")}
    raw |= {"logs/2026/04/27/scrum_reviews.jsonl": "scrum_reviews/2026/04/27/scrum_reviews.jsonl", "../elsewhere/a/b.log": "far/a/b.log"}

    for decision, words in (("executed", ()), ("up_to_date", ("--always", "index"))):
        project.doit()
        if words:
            project.write("distill.toml", CONFIG.replace("[[", "drift = { warn_pct = 30 }\n[[", 1) + more)
            project.replace_text("logs/2026/04/28/outcomes.jsonl", "Parse a date.", "Parse a time.")
            project.doit()
            (project.folder / "exports/index/playbooks.sqlite").unlink()
            project.doit()
        tasks = tasks_of(project)
        for stage in STAGES:
            receipt = project.receipts()[stage.name]
            assert receipt["decision"] == ("executed" if words and stage.name == "index" else decision)
            deps, targets = tasks[stage.task]
            assert sorted(raw.get(path, path) for path in deps) == [file["path"] for file in receipt["inputs"]["files"]]
            assert sorted(targets) == [file["path"] for file in receipt["outputs"]["files"]]


def test_the_books_balance_and_every_fate_can_be_looked_up(tmp_path: Path) -> None:
    """SPEC 7, law 3: the same functions tell the fate of every unit again, and the fates add up to the receipt."""
    project = sample_project(tmp_path / "project", config="max_skipped = 2\n" + CONFIG)
    break_a_line(project)
    twice = json.dumps(outcome("run-8", task_id="task-1"))
    project.log("2026/04/30/outcomes.jsonl", [twice, twice, outcome(None), "[1]"])
    project.doit()
    config = load_config(project.folder)
    work = Work(project=project.folder, plan=build_plan(project.folder, config), config=config)

    for stage in STAGES:
        receipt = project.receipts()[stage.name]
        fates = [fate for fate in read_outcomes(stage, work, Verdicts(include=config.sft.include)) if fate.unit is not None]
        stats = receipt["stats"]
        assert Counter(fate.kind for fate in fates) == +Counter({kind: stats[kind] for kind in KINDS})
        assert Counter(fate.reason for fate in fates if fate.kind not in {"accepted", "rejected"}) == stats["reasons"]
        assert len(fates) == stats["considered"] == sum(stats[kind] for kind in KINDS)
    assert project.receipts()["collect"]["stats"]["skipped"] == 2


def test_units_are_the_records_of_the_stage_above(built: Project) -> None:
    """SPEC 7, law 3: every evidence row is considered once by score and by each export, whatever became of it."""
    stats = {name: receipt["stats"] for name, receipt in built.receipts().items()}
    rows = sum(len(built.rows(file["path"])) for file in built.receipts()["collect"]["outputs"]["files"] if "evidence" in file["path"])

    assert stats["collect"]["considered"] == stats["score"]["considered"] == rows == 7
    assert {stats[name]["considered"] for name in ("extract-playbooks", "export-sft", "export-preference")} == {rows}
    assert stats["export-rag"]["considered"] == rows + len(built.rows("data/playbooks/playbooks.jsonl"))
    assert stats["index"]["considered"] == len(built.rows("exports/rag/playbooks.jsonl"))


def test_unbalanced_books_are_refused(built: Project) -> None:
    """SPEC 7, law 3: a receipt whose outcomes or reasons do not add up is found."""
    import msgspec

    receipt = msgspec.convert(built.receipts()["export-sft"], StageReceipt)
    assert check_books(receipt) == []

    for change in ({"accepted": receipt.stats.accepted + 1}, {"reasons": {"duplicate": 1}}, {"considered": 0}):
        broken = msgspec.structs.replace(receipt, stats=msgspec.structs.replace(receipt.stats, **change))
        assert check_books(broken)


def test_a_failed_verdict_is_repeated_until_repaired(project: Project) -> None:
    """SPEC 7, law 7: a run that did not pass exits 1 on every doit, and 0 once its cause is gone."""
    break_a_line(project)

    codes = [project.doit().code for _ in range(3)]

    assert codes == [1, 1, 1]
    assert len(project.runs) == 2
    assert project.document("summary.json")["overall_passed"] is False
    project.replace_text("logs/2026/04/27/outcomes.jsonl", BROKEN.decode() + "\n", "")
    assert project.doit().code == 0
    assert project.document("summary.json")["overall_passed"] is True


def test_an_ignored_stage_fails_every_run_until_it_is_forgotten(project: Project) -> None:
    """SPEC 7, law 7: an ignored stage does not pass, again on every doit, until `doit forget` takes the mark away."""
    project.doit("ignore", "index")

    assert [project.doit().code for _ in range(2)] == [1, 1]
    verdict = project.receipts()["index"]["validation"]
    assert (verdict["passed"], verdict["errors"]) == (False, ["ignored; doit forget index takes it back"])
    project.doit("forget", "index")
    assert project.doit().code == 0


@pytest.mark.parametrize(("allowed", "code"), [("0", 1), ("0.05", 1), ("1", 0), ("0.5", 0)])
def test_skipped_rows_beyond_the_bound_fail_the_run_and_stop_nothing(tmp_path: Path, allowed: str, code: int) -> None:
    """SPEC 7, law 8: more skipped rows than `max_skipped`, a count or a share, fail the run, yet every stage is executed."""
    project = sample_project(tmp_path / "project", config=f"max_skipped = {allowed}\n" + CONFIG)
    break_a_line(project)

    result = project.doit()

    receipts = project.receipts()
    assert result.code == code
    assert {receipt["decision"] for receipt in receipts.values()} == {"executed"}
    assert receipts["collect"]["validation"]["passed"] is (code == 0)
    assert receipts["collect"]["stats"]["skipped"] == 1
    assert [name for name in STAGE_NAMES if not receipts[name]["validation"]["passed"]] == (["collect"] if code else [])


def test_a_stage_that_raised_stops_those_below_and_no_others(project: Project) -> None:
    """SPEC 7, law 8: what raises stops the stages below it, old exports of other inputs are moved away, and it is tried again."""
    project.plant("units.score:score_unit", RAISING)
    project.replace_text("logs/2026/04/28/outcomes.jsonl", "Parse a date.", "Parse a time.")

    result = project.doit()

    receipts = project.receipts()
    assert result.code == 1
    assert [receipts[name]["decision"] for name in STAGE_NAMES] == ["executed", "failed", *["blocked"] * 5]
    assert receipts["score"]["validation"]["errors"][0] == "RuntimeError: the roof is open"
    left = {path for path in project.data_files() if path.startswith("exports/")}
    assert left == {"exports/quarantine/collect.jsonl"}
    assert "exports/sft/instruction_response.jsonl" in project.held("stale")
    again = project.doit()
    assert (again.code, again.executed) == (1, ["score", "summary"])
    assert len(project.runs) == 2
    (project.folder / "planted").unlink()
    assert project.doit().code == 0


@pytest.mark.parametrize("passing", [True, False])
def test_a_no_op_changes_nothing(project: Project, passing: bool) -> None:
    """SPEC 7, law 10: nothing is executed, no file outside the store changes, and the last verdict is repeated."""
    if not passing:
        break_a_line(project)
        project.doit()
    before = project.tree()

    results = [project.doit() for _ in range(2)]

    for result in results:
        assert result.code == (0 if passing else 1)
        assert result.executed in ([], ["summary"])
        assert project.runs[-1] in result.text
        assert "passed" in result.text if passing else "DID NOT PASS" in result.text
    assert project.tree() == before


def test_a_second_build_says_so_and_touches_nothing(project: Project) -> None:
    """SPEC 7, law 12: while one doit runs, another and a `clean` exit 2, say who builds, and the first ends undisturbed."""
    project.plant("collect", SLOW)
    first = project.start("--always")
    while not (project.folder / "started").exists():
        assert first.poll() is None
        time.sleep(0.02)
    before = set(project.data_files())

    seconds = [project.doit(), project.doit("clean"), project.doit("forget", "index"), project.doit("ignore", "index")]

    assert [second.code for second in seconds] == [2, 2, 2, 2]
    assert all(f"process {first.pid} builds this project" in second.text for second in seconds)
    assert set(project.data_files()) >= before
    project.write("go", "")
    assert first.wait(timeout=60) == 0
    assert len(project.runs) == 2


def test_two_builds_started_together_leave_a_sound_project(tmp_path: Path) -> None:
    """SPEC 7, law 12: of builds started together at least one passes, the others exit 2, and the next doit is a no-op."""
    project = sample_project(tmp_path / "project")

    codes = sorted(process.wait(timeout=60) for process in [project.start() for _ in range(3)])

    assert codes[0] == 0
    assert set(codes) <= {0, 2}
    assert project.doit().executed == []
    assert project.temporaries() == []
