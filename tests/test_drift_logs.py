"""Drift over real runs whose logs are kept as people keep them: written anew, put aside, reviewed late (SPEC 6, "Shares")."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.harness import CONFIG, Project, review
from tests.test_drift_runs import LOG, SETTINGS, asked, drift_of, rows


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of 600 runs, 15 % rejected."""
    found = Project(tmp_path / "project", config=f"max_skipped = 1\n{SETTINGS}{CONFIG}")
    found.log(LOG, rows(600, 90))
    found.log("scrum_reviews.jsonl", [review("run-599", "accept", task_id="task-599")])
    assert found.doit().code == 0
    return found


JOINED = (
    SETTINGS
    + """
[[sources]]
name = "bench"
root = "logs"
glob = "runs.jsonl"
reader = "jsonl"
created_at = "absent"
run_id = "position"
[sources.fields]
task_id = { path = "id" }
instruction = { path = "q" }
response = { path = "a" }
[[sources.verdicts]]
kind = "test"
path = "verdicts.jsonl"
key = "id"
value = "ok"
by = { path = "id" }
pass = [true]
fail = [false]
"""
)


def moved(drift: dict[str, Any]) -> set[str]:
    """Return what moved and where, without the figures."""
    return {flag.split(" from ")[0] for flag in drift["flags"] if " moved from " in flag}


@pytest.mark.parametrize(("failed", "code"), [(300, 1), (90, 0)], ids=["bad", "as before"])
def test_a_log_written_anew_is_compared_with_what_it_was(project: Project, failed: int, code: int) -> None:
    """Other runs at the same path are compared with the last good runs' of that path."""
    project.log(LOG, rows(600, failed, first=2000))

    result = project.doit()

    drift = drift_of(project)
    assert result.code == code
    assert bool(moved(drift)) is bool(code)
    assert all("of the last 1 good runs" in flag for flag in drift["flags"] if " moved " in flag)


def test_a_log_put_aside_is_not_new(project: Project) -> None:
    """A bad day in a fresh log is not hidden by the old one, which has another name by now."""
    project.log("outcomes-1.jsonl", rows(600, 90))
    project.log(LOG, rows(110, 66, first=2000))

    result = project.doit()

    drift = drift_of(project)
    assert (result.code, drift["severity"]) == (1, "alert")
    assert {test["n"] for test in asked(drift, "did the shares")} == {110}


def test_late_reviews_are_told(project: Project) -> None:
    """Where people reject what its tests accepted the runs are the same and their verdicts are not, which warns."""
    project.log("scrum_reviews.jsonl", [review(f"run-{number}", "reject", task_id=f"task-{number}") for number in range(400, 500)])

    result = project.doit()

    drift = drift_of(project)
    assert (result.code, drift["severity"]) == (0, "warn")
    (told,) = [flag for flag in drift["flags"] if "category" in flag]
    assert told == (
        "source outcomes: category accepted moved from 85.0 % to 68.3 % (-16.7 points) in 600 unchanged records, "
        "whose verdicts are others than in the prior run; that is not chance"
    )


def test_late_reviews_do_not_hide_a_bad_day(project: Project) -> None:
    """Where a log gains a bad day while old rows of it are decided the day is told by itself, and the decisions apart."""
    old = [*rows(600, 90), *rows(100, 0, first=1000, tests=None)]
    project.log(LOG, old)
    assert project.doit(env={"DISTILL_DRIFT_FAIL_ON": "never"}).code == 0
    project.log(LOG, [*old, *rows(110, 66, first=2000), "{"])
    project.log("scrum_reviews.jsonl", [review(f"run-{number}", "accept", task_id=f"task-{number}") for number in range(1000, 1100)])

    result = project.doit()

    drift = drift_of(project)
    found = {test["where"] + test["question"]: (test["n"], test["direction"]) for test in asked(drift, "shares of categories")}
    assert (result.code, drift["severity"]) == (1, "alert")
    place = "source outcomesdid the shares of categories move against "
    assert {flag.split(" (")[0] for flag in drift["flags"] if "source outcomes: category" in flag} == {
        "source outcomes: category rejected moved from 12.9 % to 60.0 %", "source outcomes: category needs_human_review moved from 14.3 % to 0.0 %",
    }  # fmt: skip
    assert found[f"{place}the rest"] == (110, "rejected 60.0 % against 12.9 % (+47.1 points)")
    assert found[f"{place}the verdicts before"] == (700, "needs_human_review 0.0 % against 14.3 % (-14.3 points)")


@pytest.mark.parametrize("content", [None, '{"schema_version": 2}'], ids=["missing", "of another version"])
def test_an_alert_does_not_go_with_its_report(project: Project, content: str | None) -> None:
    """Where neither the store nor a readable report says what drift found the run fails as with an alert, and says so."""
    project.log(LOG, rows(600, 300, first=2000))
    assert project.doit().code == 1
    report = project.folder / "reports/distillation" / project.runs[-1] / "drift.json"
    report.unlink() if content is None else report.write_text(content)
    shutil.rmtree(project.folder / ".distill")

    result, listed = project.doit(), project.distill("runs")

    assert result.code == 1
    assert "drift severity is unknown" in result.text
    assert "drift unknown" in listed.out
    assert [project.doit("--always").code, project.document("drift.json")["severity"]] == [0, "warn"]


def test_many_flags_do_not_bury_the_page(tmp_path: Path) -> None:
    """Of forty partitions that vanished beside a bad day the page names the worst and says how many more there are."""
    project = Project(tmp_path / "project", config=SETTINGS + CONFIG)
    for day in range(50):
        project.log(f"{day}/outcomes.jsonl", rows(4, 1, first=1000 * day))
    assert project.doit().code == 0
    for day in range(40):
        (project.folder / f"logs/{day}/outcomes.jsonl").unlink()
    project.log("new/outcomes.jsonl", rows(120, 110, first=90_000))

    result = project.doit()

    flags = project.document("drift.json")["flags"]
    page = (project.folder / "reports/distillation" / project.runs[-1] / "summary.md").read_text()
    assert result.code == 1
    assert sum("partition vanished" in flag for flag in flags) == 40
    told = page.split("## Drift")[1]
    assert told.index("source outcomes: category") < told.index("partition vanished")
    assert f"- and {len(flags) - 20} more, none worse than these; drift.json has all" in told
    assert "- and 20 more, collect.json has all" in page


def test_a_category_that_vanished_is_an_alert(project: Project) -> None:
    """Where nothing new is rejected though 15 % were it is an alert, in words that name it."""
    project.log(LOG, [*rows(600, 90), *rows(110, 0, first=2000)])

    result = project.doit()

    drift = drift_of(project)
    (told,) = [flag for flag in drift["flags"] if "category" in flag]
    assert (result.code, drift["severity"]) == (1, "alert")
    assert told.startswith("source outcomes: category rejected moved from 15.0 % to 0.0 % (-15.0 points) in 110 new")


def test_late_verdicts_of_a_second_file_do_not_hide_a_bad_day(tmp_path: Path) -> None:
    """Where verdicts on old rows are joined later the new rows are told from them too, though the evidence of the old ones changed."""
    project = Project(tmp_path / "project", config=JOINED)
    for count, judged, failed in ((700, 600, range(90)), (810, 810, [*range(90), *range(700, 766)])):
        project.log("runs.jsonl", [{"id": f"t{number}", "q": f"Solve {number}.", "a": f"answer {number}"} for number in range(count)])
        project.log("verdicts.jsonl", [{"id": f"t{number}", "ok": number not in failed} for number in range(judged)])
        result = project.doit()

    found = {test["question"].split(" move ")[1]: test["n"] for test in asked(drift_of(project), "shares of categories")}
    assert result.code == 1
    assert found == {"against the rest": 110, "against the verdicts before": 700}


def test_a_log_that_is_gone_is_a_baseline_of_its_source(tmp_path: Path) -> None:
    """Where each run finds the day's logs alone a source is compared with the days that are gone, whatever prefix they had."""
    project = Project(tmp_path / "project", config=SETTINGS + CONFIG)
    for day, failed in (("1", 30), ("2", 120)):
        for path in (project.folder / "logs").rglob("*.jsonl"):
            path.unlink()
        project.log(f"{day}/outcomes.jsonl", rows(200, failed, first=1000 * int(day)))
        project.log(f"{day}/scrum_reviews.jsonl", [
            review(f"other-{day}-{number}", "accept", task_id=f"other-{number}", response=f"done {number}") for number in range(200)
        ])  # fmt: skip
        result = project.doit()

    found = {(test["where"], test["verdict"]) for test in asked(drift_of(project), "categories move against the last 1")}
    assert result.code == 1
    assert found == {("all sources", "alert"), ("source outcomes", "alert"), ("source scrum_reviews", "ok")}
