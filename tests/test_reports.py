"""What a run leaves behind: directories, ledger, latest, drift verdicts and their repetition (SPEC 1, SPEC 6)."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from distill.build.ledger import read_ledger
from distill.errors import SchemaError
from distill.hashing import hash_bytes
from distill.jsonl import decode_document, encode_document
from distill.plan import LEDGER
from distill.schemas.drift_report import DriftReport
from distill.schemas.ledger import LedgerLine
from distill.schemas.run_summary import RunSummary
from distill.schemas.stage_receipt import StageReceipt
from tests.harness import CONFIG, STAGE_NAMES, Project, many_outcomes, outcome

REPORTS = "reports/distillation"
LOG = "logs/2026/04/28/outcomes.jsonl"
SFT = "exports/sft/instruction_response.jsonl"


def change(project: Project, word: str = "time") -> None:
    """Change one record."""
    text = (project.folder / LOG).read_text()
    (project.folder / LOG).write_text(text.replace(text.split("Parse a ")[1].split(".")[0], word))


def test_a_run_directory_holds_every_document(built: Project) -> None:
    """SPEC 1: a full run has seven receipts, summary, drift report and config, and `latest` names it."""
    folder = built.folder / REPORTS / built.runs[0]

    assert {path.name for path in folder.iterdir()} == {f"{name}.json" for name in (*STAGE_NAMES, "summary", "drift", "config")} | {
        "summary.md"
    }
    assert (built.folder / REPORTS / "latest").read_text().strip() == built.runs[0]
    assert json.loads((folder / "config.json").read_text())["judge_confidence"] == 0.8
    assert read_ledger(built.folder).head is not None
    assert (read_ledger(built.folder).head or "") in (folder / "summary.md").read_text()


def test_documents_are_what_their_schemas_say(built: Project) -> None:
    """SPEC 7, law 5: every document of a run reads as its schema, and a damaged copy of it is refused."""
    folder = built.folder / REPORTS / built.runs[0]
    kinds: dict[str, Any] = {"summary": RunSummary, "drift": DriftReport, **dict.fromkeys(STAGE_NAMES, StageReceipt)}

    for name, kind in kinds.items():
        data = (folder / f"{name}.json").read_bytes()
        assert encode_document(decode_document(data, kind, place=name)) == data
        for damage in (data.replace(b'"schema_version": 1', b'"schema_version": 2'), data.replace(b"{", b'{"more": 1,', 1), data[:-9]):
            with pytest.raises(SchemaError):
                decode_document(damage, kind, place=name)
    for line in (built.folder / LEDGER).read_bytes().splitlines():
        assert decode_document(line, LedgerLine, place="ledger").kind == "run"


def test_what_breaks_its_schema_is_never_written(built: Project) -> None:
    """SPEC 7, law 5: a document with a field of a wrong kind is refused before it is a byte."""
    receipt = msgspec.convert(built.receipts()["score"], StageReceipt)

    for wrong in ({"decision": "done"}, {"duration_ms": -1}, {"code_hash": "md5:0"}, {"timestamp": None}):
        with pytest.raises(SchemaError):
            encode_document(msgspec.structs.replace(receipt, **wrong))


def test_the_summary_names_its_receipts_by_hash(built: Project) -> None:
    """SPEC 6: the summary holds the blake3 of each receipt's file, the ledger that of the summary."""
    folder = built.folder / REPORTS / built.runs[0]

    for stage in built.document("summary.json")["stages"]:
        assert stage["receipt_blake3"] == hash_bytes((folder / f"{stage['stage']}.json").read_bytes())
    assert built.ledger[0]["summary_blake3"] == hash_bytes((folder / "summary.json").read_bytes())


def test_a_partial_run_is_no_baseline(project: Project) -> None:
    """SPEC 1: a run of selected stages is partial, has no run_hash, is never `latest` and never the prior of another."""
    full = project.runs[0]
    change(project)

    assert project.doit("score").code == 0
    partial = project.runs[-1]
    assert project.doit().code == 0

    summary = project.document("summary.json", run=partial)
    assert (summary["scope"], summary["run_hash"], len(summary["stages"])) == ("partial", None, 2)
    assert len({full, partial, project.runs[-1]}) == 3
    assert project.document("drift.json")["prior_run_id"] == full
    assert (project.folder / REPORTS / "latest").read_text().strip() == project.runs[-1]


def test_an_up_to_date_selection_repeats_the_full_run(project: Project) -> None:
    """SPEC 1: selecting stages that are up to date adds nothing and repeats the newest verdict that holds them."""
    result = project.doit("export_sft")

    assert (result.code, len(project.runs)) == (0, 1)
    assert project.runs[0] in result.text


def test_a_failing_full_run_is_the_prior_of_the_next(project: Project) -> None:
    """SPEC 6: the prior run is the newest full one, passed or not."""
    (project.folder / LOG).write_bytes(b"broken\n" + (project.folder / LOG).read_bytes())
    assert project.doit().code == 1
    (project.folder / LOG).write_bytes((project.folder / LOG).read_bytes().removeprefix(b"broken\n"))

    assert project.doit().code == 0

    assert project.document("drift.json")["prior_run_id"] == project.runs[1]
    assert project.document("summary.json")["prior_run_id"] == project.runs[1]
    assert project.document("summary.json")["run_hash"] == project.document("summary.json", run=project.runs[0])["run_hash"]


def test_the_ledger_is_a_chain(project: Project) -> None:
    """SPEC 6: every line of the ledger holds the hash of the one before, tamper events included."""
    (project.folder / SFT).write_bytes(b"forged\n")
    project.doit()
    change(project)
    project.doit()

    lines = (project.folder / LEDGER).read_bytes().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["run", "tamper", "run", "run"]
    assert [json.loads(line)["prev"] for line in lines] == [None, *(hash_bytes(line) for line in lines[:-1])]
    assert read_ledger(project.folder).problem is None


@pytest.mark.parametrize("damage", ["changed", "cut out", "rubbish"])
def test_a_broken_ledger_is_flagged_in_every_new_run(project: Project, damage: str) -> None:
    """SPEC 6: an edited, a missing or an unreadable line is an alert of the next run, and `distill runs` says so."""
    for word in ("time", "day"):
        change(project, word)
        project.doit()
    lines = (project.folder / LEDGER).read_text().splitlines()
    forged = {
        "changed": [lines[0].replace('"passed":true', '"passed":false'), *lines[1:]],
        "cut out": [lines[0], lines[2]],
        "rubbish": [*lines[:2], "rubbish", lines[2]],
    }
    (project.folder / LEDGER).write_text("\n".join(forged[damage]) + "\n")
    change(project, "week")

    result = project.doit()

    run = (project.folder / REPORTS / "latest").read_text().strip()
    drift = project.document("drift.json", run=run)
    assert (result.code, drift["severity"]) == (1, "alert")
    assert any(flag.startswith("the ledger is broken") for flag in drift["flags"])
    assert "BROKEN" in project.distill("runs").out


def test_a_missing_line_of_the_newest_run_is_completed(project: Project) -> None:
    """SPEC 1: a run directory a kill left without its ledger line gets it with the next doit, and this is no alarm."""
    change(project)
    project.doit()
    data = (project.folder / LEDGER).read_bytes()
    (project.folder / LEDGER).write_bytes(data.splitlines(keepends=True)[0])
    change(project, "day")

    assert project.doit().code == 0

    assert (project.folder / LEDGER).read_bytes().startswith(data)
    assert (project.document("drift.json")["severity"], len(project.runs)) == ("ok", 3)


@pytest.mark.parametrize("damage", ["emptied", "deleted", "last line changed", "cut"])
def test_a_ledger_that_others_changed_is_told_where_nothing_else_is_new(project: Project, damage: str) -> None:
    """SPEC 6: a no-op tells the head that lies there, and fails on every doit while it is not the one that was told before."""
    change(project)
    project.doit()
    ledger = project.folder / LEDGER
    data = ledger.read_bytes()
    first, last = data.splitlines(keepends=True)
    forged = {"emptied": b"", "cut": last, "last line changed": first + last.replace(b'"passed":true', b'"passed":false')}
    ledger.write_bytes(forged.get(damage, data))
    if damage == "deleted":
        ledger.unlink()

    results = [project.doit(), project.doit()]
    ledger.write_bytes(data)
    repaired = project.doit()

    assert [result.code for result in results] == [1, 1], results[0].text
    assert all("the ledger is broken" in result.text for result in results)
    assert (repaired.code, hash_bytes(last[:-1]) in repaired.text, len(project.runs)) == (0, True, 2)
    assert project.doit().executed == []


def test_a_new_store_tells_the_head_again(project: Project) -> None:
    """SPEC 6: a no-op after the store was deleted tells the ledger's head as every run does."""
    shutil.rmtree(project.folder / ".distill")

    result = project.doit()

    assert (result.code, read_ledger(project.folder).head in result.text.replace("\n", " ").split()) == (0, True)


def test_missing_lines_of_older_runs_are_an_alarm(project: Project) -> None:
    """SPEC 6: a ledger cut by more than the newest line is told, since nothing but the newest can be missing by a kill."""
    for word in ("time", "day"):
        change(project, word)
        project.doit()
    lost = project.runs[1]
    (project.folder / LEDGER).write_bytes((project.folder / LEDGER).read_bytes().splitlines(keepends=True)[0])
    change(project, "week")

    assert project.doit().code == 1

    assert any(lost in flag and "ledger" in flag for flag in project.document("drift.json")["flags"])


@pytest.mark.parametrize(("name", "text"), [("score.json", "{"), ("summary.json", "[]"), ("collect.json", None)])
def test_a_damaged_document_of_the_prior_run_is_told(project: Project, name: str, text: str | None) -> None:
    """SPEC 7, law 5: what cannot be read of the prior run is a flag that names it, and no crash."""
    path = project.folder / REPORTS / project.runs[0] / name
    path.unlink() if text is None else path.write_text(text)
    change(project)

    result = project.doit()

    assert "Traceback" not in result.text
    assert any(name in flag and "cannot be read" in flag for flag in project.document("drift.json")["flags"])


def test_a_deleted_run_directory_is_no_crash(project: Project) -> None:
    """Where the newest run's directory was deleted the next doit adds a run again, carried over from it."""
    first = project.runs[0]
    shutil.rmtree(project.folder / REPORTS / first)

    result = project.doit()

    assert result.code == 0
    assert set(result.executed) <= {"summary"}
    assert len(list((project.folder / REPORTS).glob("*/summary.json"))) == 1


def alerting(folder: Path, *, config: str = CONFIG) -> Project:
    """Return a project whose newest run fell to no SFT rows, which drift calls an alert."""
    project = Project(folder, config="min_rows = { sft = 0 }\n" + config)
    project.log("outcomes.jsonl", [outcome("run-1"), outcome("run-2", tests={"passed": 0, "failed": 1})])
    assert project.doit().code == 0
    project.log("outcomes.jsonl", [outcome("run-2", tests={"passed": 0, "failed": 1})])
    return project


def test_an_alert_is_repeated_until_it_is_accepted(tmp_path: Path) -> None:
    """SPEC 6: an alert exits 1 on every doit and leaves overall_passed; `doit --always` adds a run that accepts it."""
    project = alerting(tmp_path / "project")

    assert [project.doit().code for _ in range(3)] == [1, 1, 1]

    assert len(project.runs) == 2
    assert project.document("drift.json")["severity"] == "alert"
    assert project.document("summary.json")["overall_passed"] is True
    assert (project.doit("--always").code, project.doit().code, len(project.runs)) == (0, 0, 3)


@pytest.mark.parametrize(("fail_on", "code"), [("alert", 1), ("warn", 1), ("never", 0)])
def test_fail_on_decides_the_exit_status_alone(tmp_path: Path, fail_on: str, code: int) -> None:
    """SPEC 6: `drift.fail_on`, or DISTILL_DRIFT_FAIL_ON, decides the exit status and never changes the verdict."""
    project = alerting(tmp_path / "project", config=f'drift = {{ fail_on = "{fail_on}" }}\n' + CONFIG)

    assert [project.doit().code for _ in range(2)] == [code, code]

    assert project.doit(env={"DISTILL_DRIFT_FAIL_ON": "never"}).code == 0
    assert project.doit(env={"DISTILL_DRIFT_FAIL_ON": "alert"}).code == 1
    assert project.document("summary.json")["overall_passed"] is True


def test_thresholds_come_from_the_environment(tmp_path: Path) -> None:
    """SPEC 6: DISTILL_DRIFT_WARN_PCT overrides the setting, stands in the report, and a wrong value is a config error."""
    project = Project(tmp_path / "project")
    project.log("outcomes.jsonl", many_outcomes(100))
    project.doit()
    project.log("outcomes.jsonl", many_outcomes(108))

    result = project.doit(env={"DISTILL_DRIFT_WARN_PCT": "5", "DISTILL_DRIFT_FAIL_ON": "warn"})

    drift = project.document("drift.json")
    assert (result.code, drift["severity"], drift["thresholds"]["warn_pct"]) == (1, "warn", 5)
    assert project.doit().code == 0
    assert project.doit(env={"DISTILL_DRIFT_WARN_PCT": "much"}).code == 2
