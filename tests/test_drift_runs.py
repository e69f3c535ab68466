"""Drift over pairs of real runs (SPEC 6, DriftReport): every flag once, every bad input said, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from distill.drift import FIRST_RUN
from tests.harness import CONFIG, SFT_LEAK, STAGE_NAMES, Project, Result, outcome, review

SETTINGS = "min_rows = { sft = 0 }\n"
LOG = "outcomes.jsonl"
REPORTS = "reports/distillation"
DIFFERS = "run_hash differs from prior run"
WRONG = {"passed": 0, "failed": 1}
REVERSED = "def planted(logs, config):\n    yield from reversed(list(honest(logs, config)))\n"
WORDIER = """
def planted(*records):
    for out in honest(*records):
        rows = tuple(row._replace(value=msgspec.structs.replace(row.value, title=row.value.title + ' indeed')) for row in out.rows)
        yield msgspec.structs.replace(out, rows=rows)
"""
RAISING = "def planted(*given):\n    raise RuntimeError('the roof is open')\n"
HALFWAY = "def planted(logs, config):\n    for log, lines in logs:\n        list(lines)\n        break\n    raise RuntimeError('no further')\n    yield\n"


def rows(count: int, failed: int, *, first: int = 0, **fields: Any) -> list[dict[str, Any]]:
    """Return this many runs of tasks of their own, of which the first ones failed their tests."""
    return [
        outcome(f"run-{number}", task_id=f"task-{number}", prompt=f"Solve problem {number}.", response=f"the answer to problem {number}",
                **(fields or ({"tests": WRONG} if number < first + failed else {})))
        for number in range(first, first + count)
    ]  # fmt: skip


OLD = rows(600, 90)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of 600 runs, 15 % rejected, and one review, built once; tests work on copies."""
    project = Project(tmp_path_factory.mktemp("built") / "project", config=SETTINGS + CONFIG)
    project.log(LOG, OLD)
    project.log("2026/outcomes.jsonl", rows(2, 0, first=9000))
    project.log("scrum_reviews.jsonl", [review("run-599", "accept", task_id="task-599")])
    assert project.doit().code == 0
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A copy of the built project."""
    return built.copy(tmp_path / "project")


def drift_of(project: Project) -> dict[str, Any]:
    """Return the newest drift report; every flag of it stands in the run's page too."""
    drift = project.document("drift.json")
    page = (project.folder / REPORTS / project.runs[-1] / "summary.md").read_text()
    assert [flag for flag in drift["flags"] if flag not in page] == []
    return drift


def flags_of(drift: dict[str, Any]) -> list[str]:
    """Return the flags beside the one that outputs differ."""
    return [flag for flag in drift["flags"] if flag != DIFFERS]


def asked(drift: dict[str, Any], word: str) -> list[dict[str, Any]]:
    """Return the questions that name a word."""
    return [test for test in drift["tests"] if word in test["question"]]


def grow(project: Project, more: list[dict[str, Any]], **env: str) -> tuple[Result, dict[str, Any]]:
    """Append to the log and run doit."""
    project.log(LOG, [*OLD, *more])
    result = project.doit(env=env)
    return result, drift_of(project)


def test_the_first_run_is_the_baseline(built: Project) -> None:
    """The first run says that it is the baseline, and is ok without a question."""
    drift = built.document("drift.json", run=built.runs[0])

    assert (drift["severity"], drift["flags"], drift["prior_run_id"]) == ("ok", [FIRST_RUN], None)
    assert (drift["tests"], drift["stages"]) == ([], [])


def test_the_same_inputs_are_ok_without_flags_and_tests(project: Project) -> None:
    """`doit --always` on the same inputs adds a run that matches in every hash: ok, no flags, no tests."""
    result = project.doit("--always")

    drift = drift_of(project)
    assert (result.code, len(project.runs)) == (0, 2)
    assert (drift["severity"], drift["flags"], drift["tests"], drift["prior_run_id"]) == ("ok", [], [], project.runs[0])
    assert [stage["stage"] for stage in drift["stages"]] == list(STAGE_NAMES)
    assert all(stage[key] for stage in drift["stages"] for key in stage if key.endswith("_match"))
    assert all(not stage[key] for stage in drift["stages"] for key in stage if key.startswith("delta_") or key == "pct_change_out")
    assert not any(stage["notes"] or stage["deterministic_violation"] for stage in drift["stages"])


def test_other_outputs_alone_are_ok_and_few_records_are_told(project: Project) -> None:
    """Two more runs change the run hash, which by itself is ok; that two are too few for shares is said."""
    result, drift = grow(project, rows(2, 1, first=700))

    assert (result.code, drift["severity"], drift["flags"]) == (0, "ok", [DIFFERS])
    shares = asked(drift, "did the shares")
    assert len(shares) == 3
    assert {test["direction"] for test in shares} == {"insufficient_sample: 2 new or changed records, 100 are wanted"}
    assert {test["where"] for test in asked(drift, "did the volume")} >= {"collect", "score", "export-sft"}


@pytest.mark.parametrize(("module", "body", "stage"), [
    ("collect", REVERSED, "collect"), ("stages.extract_playbooks:gather", WORDIER, "extract-playbooks"),
], ids=["another order", "extra text"])  # fmt: skip
def test_other_outputs_of_the_same_inputs_are_an_alert(project: Project, module: str, body: str, stage: str) -> None:
    """A stage that writes something else from the same inputs, code, settings and tools is an alert and exit status 1."""
    project.plant(module, body)

    result = project.doit("--always")

    drift = drift_of(project)
    assert (result.code, drift["severity"]) == (1, "alert")
    assert flags_of(drift) == [f"{stage}: deterministic violation: same inputs, code, settings and tools, other outputs"]
    assert [one["stage"] for one in drift["stages"] if one["deterministic_violation"]] == [stage]
    assert project.document("summary.json")["overall_passed"] is True


def test_more_volume_warns(project: Project) -> None:
    """A third more of the same warns for the stages that write it, with figures, and exits 0."""
    result, drift = grow(project, rows(200, 30, first=700))

    assert (result.code, drift["severity"]) == (0, "warn")
    assert "collect: +33.2 % records written, beyond 20 %" in drift["flags"]
    assert all("records written" in flag for flag in flags_of(drift))
    assert {test["verdict"] for test in asked(drift, "did the shares")} == {"ok"}


@pytest.mark.parametrize(("env", "code", "severity"), [
    ({"DISTILL_DRIFT_FAIL_ON": "warn"}, 1, "warn"), ({"DISTILL_DRIFT_FAIL_ON": "never"}, 0, "warn"),
    ({"DISTILL_DRIFT_WARN_PCT": "60"}, 0, "ok"), ({"DISTILL_DRIFT_WARN_PCT": "60", "DISTILL_DRIFT_FAIL_ON": "warn"}, 0, "ok"),
], ids=str)  # fmt: skip
def test_the_environment_decides_the_exit_status_alone(project: Project, env: dict[str, str], code: int, severity: str) -> None:
    """DISTILL_DRIFT_FAIL_ON and DISTILL_DRIFT_WARN_PCT decide severity and exit status, never `overall_passed`."""
    result, drift = grow(project, rows(200, 30, first=700), **env)

    assert (result.code, drift["severity"]) == (code, severity)
    assert drift["thresholds"]["warn_pct"] == float(env.get("DISTILL_DRIFT_WARN_PCT", "20"))
    assert project.document("summary.json")["overall_passed"] is True
    assert project.doit(env=env).code == code


def test_moved_shares_warn(project: Project) -> None:
    """Twice the rejections in 110 new runs warn in a sentence that names what moved, where, from what to what."""
    result, drift = grow(project, rows(110, 36, first=700))

    shares = [flag for flag in drift["flags"] if "moved from" in flag]
    assert (result.code, drift["severity"]) == (0, "warn")
    assert [flag.split("; ")[0] for flag in shares] == [
        f"source outcomes: {name} in 110 new or changed records, against 602 of the rest"
        for name in (
            "category accepted moved from 85.0 % to 67.3 % (-17.8 points)",
            "reason tests_failed moved from 15.0 % to 32.7 % (+17.8 points)",
        )
    ]


def test_an_alert_on_shares_stays_until_it_is_accepted(project: Project) -> None:
    """A day of 60 % rejections exits 1 on every doit without a new run, and `doit --always` accepts it."""
    result, drift = grow(project, rows(110, 66, first=700))

    assert (result.code, drift["severity"], project.document("summary.json")["overall_passed"]) == (1, "alert", True)
    assert any("chance does not explain this" in flag for flag in drift["flags"])
    assert [project.doit().code, len(project.runs)] == [1, 2]
    assert [project.doit("--always").code, len(project.runs), drift_of(project)["severity"]] == [0, 3, "ok"]
    assert [project.doit().code, len(project.runs)] == [0, 3]


@pytest.mark.parametrize(("fail_on", "code"), [("never", 0), ("warn", 1)])
def test_the_setting_decides_the_exit_status_alone(project: Project, fail_on: str, code: int) -> None:
    """`drift.fail_on` decides the exit status of an alert and leaves severity and `overall_passed` as they are."""
    project.write("distill.toml", f'drift = {{ fail_on = "{fail_on}" }}\n{SETTINGS}{CONFIG}')

    result, drift = grow(project, rows(110, 66, first=700))

    assert (result.code, drift["severity"], project.document("summary.json")["overall_passed"]) == (code, "alert", True)


def test_a_dataset_that_fell_to_nothing_is_an_alert(project: Project) -> None:
    """Where every run failed the exports are empty, and each that had rows is named."""
    project.log(LOG, rows(600, 600))
    project.log("2026/outcomes.jsonl", rows(2, 2, first=9000))
    project.log("scrum_reviews.jsonl", [])

    result = project.doit()

    drift = drift_of(project)
    assert (result.code, drift["severity"]) == (1, "alert")
    assert "dataset sft fell to nothing, from 512 rows" in drift["flags"]
    assert project.document("summary.json")["overall_passed"] is True


def test_the_firewall_is_an_alert(project: Project) -> None:
    """A stage whose rows leak is named, and the run does not pass."""
    project.plant("units.export_sft:EXPORT", SFT_LEAK)

    result, drift = grow(project, rows(2, 0, first=700))

    assert (result.code, drift["severity"], flags_of(drift)) == (1, "alert", ["export-sft: the firewall spoke"])
    assert "export-sft" not in [stage["stage"] for stage in drift["stages"]]
    assert project.document("summary.json")["overall_passed"] is False


@pytest.mark.parametrize(("count", "loud"), [(5, True), (4, False)])
def test_a_new_reason_warns_from_five_on(project: Project, count: int, loud: bool) -> None:
    """Five runs of a reason nobody has seen warn; four stand in the tests below and nowhere else."""
    result, drift = grow(project, rows(count, 0, first=700, tests=None))

    flag = f"score: reason 'no_signal' was never seen before, {count} times"
    (found,) = [test for test in asked(drift, "is the reason new") if test["where"] == "score"]
    assert (result.code, drift["severity"], flag in drift["flags"]) == (0, "warn" if loud else "ok", loud)
    assert (found["direction"], found["statistic"], found["verdict"]) == ("no_signal appeared", count, "warn" if loud else "ok")
    assert flags_of(drift) if loud else flags_of(drift) == []


def test_a_vanished_source_and_partition_are_named(project: Project) -> None:
    """A log that is gone is named, and its source where it was the last."""
    (project.folder / "logs/scrum_reviews.jsonl").unlink()
    (project.folder / "logs/2026/outcomes.jsonl").unlink()

    result = project.doit()

    drift = drift_of(project)
    assert (result.code, drift["severity"]) == (0, "warn")
    assert flags_of(drift) == [
        "source vanished: scrum_reviews", "partition vanished: outcomes/2026/outcomes.jsonl",
        "partition vanished: scrum_reviews/scrum_reviews.jsonl",
    ]  # fmt: skip


def test_small_stages_are_noted(tmp_path: Path) -> None:
    """A project of a few runs is told at every stage whose outputs moved that they are too few for tests on shares."""
    project = Project(tmp_path / "project")
    for count in (6, 8):
        project.log(LOG, rows(count, 2))
        assert project.doit().code == 0

    notes = {stage["stage"]: stage["notes"] for stage in drift_of(project)["stages"]}
    assert "insufficient_sample: 8 considered, 100 are wanted for tests on shares" in notes["score"]
    assert all(any(note.startswith("insufficient_sample") for note in notes[name]) for name in ("collect", "export-sft", "index"))


def damage(project: Project, name: str) -> None:
    """Damage a document of the prior run the way its name says."""
    path = project.folder / REPORTS / project.runs[0] / name
    if name == "score.json":
        path.unlink()
    elif name == "summary.json":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 2}))
    else:
        path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(("name", "compared", "code"), [("summary.json", 0, 1), ("collect.json", 7, 0), ("score.json", 7, 0)])
def test_a_prior_run_that_cannot_be_read_is_said(project: Project, name: str, compared: int, code: int) -> None:
    """A summary of another version, a cut receipt and a missing one are named, warn, and leave compared what can be: shares by receipts."""
    damage(project, name)

    result, drift = grow(project, rows(110, 66, first=700))

    assert "Traceback" not in result.text
    assert (result.code, drift["severity"], drift["prior_run_id"]) == (code, "alert" if code else "warn", project.runs[0])
    assert any(flag.startswith(f"{name} of run {project.runs[0]} cannot be read") for flag in drift["flags"])
    assert len(drift["stages"]) == compared
    if compared:
        (shares,) = asked(drift, "did the shares")
        assert shares["direction"].startswith("not asked: collect or score did not finish, or has no readable receipt")
        notes = {stage["stage"]: stage["notes"] for stage in drift["stages"]}
        assert notes[name.removesuffix(".json")][0].startswith("the prior run's receipt cannot be read")


def test_behind_a_damaged_run_the_last_good_one_is_asked(project: Project) -> None:
    """Where the prior run's receipt is gone what is new since the run before it is asked about, so a bad day has no way in."""
    grow(project, rows(2, 0, first=700))
    (project.folder / REPORTS / project.runs[1] / "score.json").unlink()

    result, drift = grow(project, [*rows(2, 0, first=700), *rows(110, 66, first=800)])

    assert (result.code, drift["severity"], drift["prior_run_id"]) == (1, "alert", project.runs[1])
    assert {tuple(test["baseline_run_ids"]) for test in asked(drift, "did the shares")} == {(project.runs[0],)}


def test_what_came_with_a_failed_run_is_still_new(project: Project) -> None:
    """A bad day whose first run failed before it was scored is an alert of the run that repairs it."""
    project.plant("units.score:score_unit", RAISING)
    failed, first = grow(project, rows(110, 66, first=700))
    (project.folder / "planted").unlink()

    result = project.doit()

    drift = drift_of(project)
    assert (failed.code, first["severity"]) == (1, "ok")
    assert [test["direction"][:9] for test in asked(first, "did the shares")] == ["not asked"]
    assert (result.code, drift["severity"], drift["prior_run_id"]) == (1, "alert", project.runs[1])
    assert {test["n"] for test in asked(drift, "did the shares")} == {110}


def test_a_collect_that_failed_halfway_misses_no_partition(project: Project) -> None:
    """A collect that came to read one log of three does not report the others as vanished."""
    project.plant("collect", HALFWAY)

    result, drift = grow(project, rows(2, 0, first=700))

    assert result.code == 1
    assert len(project.receipts()["collect"]["inputs"]["files"]) < 3
    assert flags_of(drift) == []


def test_a_baseline_of_other_sources_only_is_said(project: Project) -> None:
    """Where every source is another one what vanished is named, and what is new is compared with the last good run as a whole."""
    project.write("distill.toml", SETTINGS + '[[sources]]\nname = "other"\nroot = "logs"\nglob = "new/*.jsonl"\nformat = "outcomes"\n')
    project.log("new/day.jsonl", rows(600, 300, first=2000))

    result = project.doit()

    drift = drift_of(project)
    assert (result.code, drift["severity"]) == (1, "alert")
    assert {"source vanished: outcomes", "source vanished: scrum_reviews"} < set(drift["flags"])
    assert any(flag.startswith("source other: ") and "of the last 1 good runs" in flag for flag in drift["flags"])
    assert any(test["direction"].startswith("insufficient_sample: 0 records in the rest") for test in drift["tests"])


def test_no_rows_now_are_said(project: Project) -> None:
    """Logs that were emptied warn at every stage by how much, and are an alert for the datasets they fed."""
    for name in (LOG, "2026/outcomes.jsonl", "scrum_reviews.jsonl"):
        project.log(name, [])

    result = project.doit()

    drift = drift_of(project)
    assert (result.code, drift["severity"], asked(drift, "did the shares")) == (1, "alert", [])
    assert {"collect: -100.0 % records written, beyond 20 %", "dataset sft fell to nothing, from 512 rows"} < set(drift["flags"])


def test_no_files_now_are_said(project: Project) -> None:
    """Where every source is optional and no file is left each is named as vanished."""
    project.write("distill.toml", (SETTINGS + CONFIG).replace('partition_prefix = ""', 'partition_prefix = ""\noptional = true', 1))
    for path in sorted((project.folder / "logs").rglob("*.jsonl")):
        path.unlink()

    result = project.doit()

    drift = drift_of(project)
    assert (result.code, drift["severity"]) == (1, "alert")
    assert {"source vanished: outcomes", "source vanished: scrum_reviews"} < set(drift["flags"])


def test_no_rows_before_are_said(tmp_path: Path) -> None:
    """After a run of no rows both volume and shares say that there was nothing to compare with, and no share is an alarm."""
    project = Project(tmp_path / "project", config=SETTINGS + CONFIG)
    project.log(LOG, [])
    assert project.doit().code == 0
    project.log(LOG, rows(200, 30))

    result = project.doit()

    drift = drift_of(project)
    assert (result.code, drift["severity"]) == (0, "warn")
    assert all("was never seen before" in flag for flag in flags_of(drift))
    assert "unknown, the prior run wrote nothing" in {test["direction"] for test in asked(drift, "did the volume")}
    assert {test["direction"] for test in asked(drift, "did the shares")} == {"insufficient_sample: 0 records in the rest, 100 are wanted"}
