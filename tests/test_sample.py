"""The sample in fixtures/sample: made by its generator byte for byte, passing, and meeting every reason there is."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from distill.reasons import REASONS
from distill.schemas.stage_receipt import StageReceipt, check_books
from tests.harness import STAGE_NAMES, Project, Result

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "fixtures/sample"
ABSENT = {"ambiguous_verdict", "no_run"}
"""Reasons the sample cannot show: verdicts joined from a second file."""

SKIPPED = {
    "not_json": 2, "truncated": 1, "invalid_utf8": 1, "lone_surrogate": 1, "number_out_of_range": 2, "missing_field": 4,
    "mistyped_field": 4, "duplicate_key": 1, "bad_time": 2, "line_too_long": 1, "too_deep": 1, "unreadable_member": 1,
}  # fmt: skip

DECIDED = {
    "run-human-accept": "human_accept", "run-with-changes-corrected": "with_changes", "run-with-changes-uncorrected": "with_changes",
    "run-human-reject": "human_reject", "run-escalated-by-person": "escalated", "run-escalated-by-judge": "escalated",
    "run-judge-without-name": "strong_accept", "run-reviewers-disagree": "reviewers_disagree",
    "run-reviewer-changed-mind": "human_accept", "run-not-judged": "not_judged", "run-out-of-memory": "not_judged",
    "run-signals-disagree": "signals_disagree", "run-tests-failed": "tests_failed", "run-strong-reject": "strong_reject",
    "run-errors-unjudged": "errors_unjudged", "run-retried": "retried", "run-tests-passed": "tests_passed",
    "run-strong-accept": "strong_accept", "run-judge-unsure-how-sure": "judge_confidence_missing", "run-weak-reject": "weak_reject",
    "run-weak-accept": "weak_accept", "run-judge-with-changes": "weak_accept", "run-no-checks-ran": "no_checks_ran",
    "run-self-claim": "self_claim_only", "run-no-playbook": "no_signal", "run-tests-passed-review-rejected": "human_reject",
    "run-id-reused": "run_id_reused", "graded-08": "partial_reward",
}  # fmt: skip

RESOLVED = {
    "run-logged-twice": {"duplicate"}, "run-told-in-two-logs": {"same_run", "pooled"}, "run-id-reused": {"run_id_reused"},
    "run-same-text-passed": {"conflicting_verdicts"}, "run-same-text-failed": {"conflicting_verdicts"},
    "run-same-text-flaky": {"superseded_by_review"}, "run-tests-passed-review-rejected": {"superseded_by_review", "pooled"},
}  # fmt: skip

SET_ASIDE = {
    "sft": {
        "run-tests-failed": "unsafe_sft_category", "run-with-changes-corrected": "category_disallowed", None: "missing_source_run_id",
        "run-empty-instruction": "empty_instruction", "run-no-user-turn": "empty_instruction", "run-empty-response": "empty_response",
        "run-same-text-passed": "conflicting_verdicts", "run-id-reused": "run_id_reused", "graded-leak": "answer_leak",
    },
    "rag": {
        "run-tests-failed": "unsafe_category", None: "missing_source_run_id", "run-no-user-turn": "empty_instruction",
        "run-with-changes-uncorrected": "empty_response", "run-same-text-passed": "conflicting_verdicts",
        "run-id-reused": "run_id_reused", "graded-leak": "answer_leak",
    },
    "preference": {
        None: "missing_source_run_id", "run-empty-instruction": "empty_instruction", "run-empty-response": "empty_response",
        "run-same-text-failed": "conflicting_verdicts", "run-id-reused": "run_id_reused", "graded-leak": "answer_leak",
    },
}  # fmt: skip

FILTERED = {
    "extract-playbooks": {"duplicate", "same_run", "superseded_by_review", "conflicting_verdicts", "run_id_reused", "no_playbook", "missing_task_id"},
    "export-rag": {"duplicate", "same_run", "superseded_by_review"},
    "export-sft": {"duplicate", "same_run", "superseded_by_review", "duplicate_text", "failed_turns"},
    "export-preference": {
        "duplicate", "same_run", "superseded_by_review", "neither_side", "missing_task_id", "no_counterpart", "over_cap", "duplicate_text",
        "not_final_turn", "diverges_before_agent", "prompts_differ",
    },
}  # fmt: skip


def _copy_sample(folder: Path, *, max_skipped: int | None = None) -> Project:
    """Return a project with the settings and the sample of a fresh clone."""
    project = Project(folder)
    (folder / "distill.toml").unlink()
    (folder / "doit.cfg").unlink()
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if max_skipped is not None:
        present = f"max_skipped = {sum(SKIPPED.values())} "
        assert settings.count(present) == 1
        settings = settings.replace(present, f"max_skipped = {max_skipped} ")
    project.write("pyproject.toml", settings)
    project.write("dodo.py", (ROOT / "dodo.py").read_bytes())
    shutil.copytree(SAMPLE, folder / "fixtures/sample")
    return project


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Result]:
    """Return the sample built once, and what doit said."""
    project = _copy_sample(tmp_path_factory.mktemp("sample") / "clone")
    return project, project.doit()


@pytest.fixture(scope="module")
def project(built: tuple[Project, Result]) -> Project:
    """Return the sample built once."""
    return built[0]


def _all_rows(project: Project, folder: str) -> list[dict[str, Any]]:
    files = sorted(path.relative_to(project.folder).as_posix() for path in (project.folder / folder).rglob("*.jsonl"))
    return [row for path in files if not path.endswith("/resolution.jsonl") for row in project.rows(path)]


def _evidence(project: Project, run_id: str) -> dict[str, Any]:
    return next(row for row in _all_rows(project, "data/evidence") if row["run_id"] == run_id)


def _decided(project: Project) -> dict[str | None, set[str]]:
    """Return the deciding reasons of every run, after the resolution."""
    found: dict[str | None, set[str]] = {}
    for row in _all_rows(project, "data/scored-runs"):
        found.setdefault(row["run_id"], set()).add(row["reasons"][0])
    resolution = [row for row in project.rows("data/scored-runs/resolution.jsonl") if row["category"] is not None]
    return found | {row["run_id"]: {row["reasons"][0]} for row in resolution}


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("seed", "zone"), [("1", "Asia/Tokyo"), ("2", "America/Caracas")])
def test_generator_rewrites_the_sample(tmp_path: Path, seed: str, zone: str) -> None:
    """The generator gives the committed bytes, whatever the hash seed and the time zone; rewrite with `python fixtures/generate_sample.py`."""
    command = [sys.executable, str(ROOT / "fixtures/generate_sample.py"), str(tmp_path / "sample")]

    subprocess.run(
        command, check=True, capture_output=True, timeout=60, env={"PYTHONHASHSEED": seed, "TZ": zone, "PYTHONDONTWRITEBYTECODE": "1"}
    )

    assert _files(tmp_path / "sample") == _files(SAMPLE)


def test_sample_passes(built: tuple[Project, Result]) -> None:
    """A full run on the sample passes, and every export has rows."""
    project, result = built
    summary = project.document("summary.json")

    assert result.code == 0, result.text
    assert summary["overall_passed"]
    assert all(summary["datasets"][name] for name in ("sft", "rag", "preference"))
    assert project.document("drift.json")["severity"] == "ok"


def test_sample_is_of_a_useful_size() -> None:
    """The native logs hold several hundred rows, of about forty tasks and of several models."""
    lines = [line for path in SAMPLE.glob("2026/*/*/*.jsonl") for line in path.read_bytes().lstrip(b"\xef\xbb\xbf").splitlines()]
    rows = [json.loads(line) for line in lines if line.startswith(b'{"run_id":"run-2')]

    assert 500 <= sum(bool(line.strip()) for line in lines) <= 700
    assert len({row["task_id"] for row in rows}) == 40
    assert len({(row["model"], row["provider"]) for row in rows if "model" in row}) == 5


@pytest.mark.parametrize("stage", STAGE_NAMES)
def test_books_balance(project: Project, stage: str) -> None:
    """The books of every receipt balance."""
    receipt = msgspec.json.decode(json.dumps(project.document(f"{stage}.json")).encode(), type=StageReceipt)

    assert receipt.stats.considered > 0
    assert check_books(receipt) == []


def test_every_unreadable_row_is_skipped_and_counted(project: Project) -> None:
    """Every kind of unreadable row occurs, and max_skipped is exactly their number."""
    stats = project.document("collect.json")["stats"]
    kept = Counter(row["reason"] for row in project.rows("exports/quarantine/collect.jsonl"))

    assert stats["reasons"] == SKIPPED == dict(kept)
    assert stats["skipped"] == sum(SKIPPED.values()) == project.document("config.json")["max_skipped"]


def test_no_unreadable_row_becomes_evidence(project: Project) -> None:
    """What was planted as unreadable stands in no evidence."""
    runs = {row["run_id"] for row in _all_rows(project, "data/evidence")}

    assert not runs & {"run-unreadable", "run-packed-3", "graded-unreadable"}


@pytest.mark.parametrize(("run_id", "reason"), DECIDED.items())
def test_scoring_reason(project: Project, run_id: str, reason: str) -> None:
    """The planted run is decided by the reason it was planted for (SPEC 4)."""
    assert _decided(project)[run_id] == {reason}


@pytest.mark.parametrize(("run_id", "kinds"), RESOLVED.items())
def test_resolution_kind(project: Project, run_id: str, kinds: set[str]) -> None:
    """The planted run meets the resolution it was planted for (SPEC 4)."""
    rows = project.rows("data/scored-runs/resolution.jsonl")

    assert {row["kind"] for row in rows if row["run_id"] == run_id} == kinds


@pytest.mark.parametrize(
    ("export", "run_id", "reason"), [(e, run, reason) for e, runs in SET_ASIDE.items() for run, reason in runs.items()]
)
def test_quarantine_reason(project: Project, export: str, run_id: str | None, reason: str) -> None:
    """The planted run is set aside by the export for the reason it was planted for (SPEC 5)."""
    ids = {row["id"] for row in _all_rows(project, "data/evidence") if row["run_id"] == run_id}
    rows = project.rows(f"exports/quarantine/{export}.jsonl")

    assert {row["reason"] for row in rows if row["evidence_id"] in ids} == {reason}


@pytest.mark.parametrize("stage", FILTERED)
def test_filter_reasons(project: Project, stage: str) -> None:
    """Every reason for which a stage leaves a run out on purpose occurs."""
    assert FILTERED[stage] <= project.document(f"{stage}.json")["stats"]["reasons"].keys()


def test_every_reason_of_the_table_occurs(project: Project) -> None:
    """Of the whole table of reasons only those the sample cannot show are missing."""
    found = {slug for stage in STAGE_NAMES for slug in project.document(f"{stage}.json")["stats"]["reasons"]}
    found |= {slug for row in _all_rows(project, "data/scored-runs") for slug in row["reasons"]}

    assert {reason.slug for reason in REASONS} - found == ABSENT


@pytest.mark.parametrize("kind", ["tool", "reply", "context"])
def test_runs_that_part_elsewhere_make_no_pair(project: Project, kind: str) -> None:
    """Runs whose tool calls, user turns or context differ are paired with nothing."""
    paired = {
        row[side] for row in project.rows("exports/preference/chosen_rejected.jsonl") for side in ("chosen_run_id", "rejected_run_id")
    }

    assert "run-over-cap-rejected" in paired
    assert not paired & {f"run-other-{kind}-passed", f"run-other-{kind}-failed"}


def test_pairs_of_a_task_are_capped(project: Project) -> None:
    """Of six good runs and a bad one four make pairs."""
    pairs = [row for row in project.rows("exports/preference/chosen_rejected.jsonl") if row["rejected_run_id"] == "run-over-cap-rejected"]

    assert len({row["chosen_run_id"] for row in pairs}) == 4


def test_rejecting_review_outweighs_passing_tests(project: Project) -> None:
    """A run whose tests passed and whose review rejected it has no SFT row and is the chosen of no pair."""
    run = "run-tests-passed-review-rejected"
    trained = [row for name in ("instruction_response", "prompt_completion") for row in project.rows(f"exports/sft/{name}.jsonl")]
    pairs = project.rows("exports/preference/chosen_rejected.jsonl")

    assert any(signal["kind"] == "test" and signal["verdict"] == "pass" for signal in _evidence(project, run)["signals"])
    assert trained
    assert run not in {row["source_run_id"] for row in trained}
    assert pairs
    assert run not in {row["chosen_run_id"] for row in pairs}


def test_failed_turn_is_context_only(project: Project) -> None:
    """A turn that the log calls wrong is no completion, and its run stands in no whole conversation."""
    completions = [row for row in project.rows("exports/sft/prompt_completion.jsonl") if row["source_run_id"] == "run-failed-turn"]

    assert [row["completion"][0]["content"] for row in completions] == ["Added under Unreleased: the flag --dry-run."]
    assert "run-failed-turn" not in {row["source_run_id"] for row in project.rows("exports/sft/instruction_response.jsonl")}


def test_unusual_values_survive(project: Project) -> None:
    """Non-ASCII, a NUL character and an integer of 41 digits survive unchanged."""
    arguments = _evidence(project, "run-big-integer")["messages"][-1]["tool_calls"][0]["arguments"]
    answers = {row["source_run_id"]: row["response"] for row in project.rows("exports/sft/instruction_response.jsonl")}

    assert arguments["seed"] == 10**40 + 7
    assert answers["run-non-ascii"] == "So: 5 \u00b5m, 20 \u00b0C, \u65e5\u672c, und ein Zeichen jenseits der BMP: \U0001f6e0"
    assert answers["run-nul"] == "The NUL byte, \u0000, which no file name can hold."


def test_unusual_files_are_read_as_a_person_expects(project: Project) -> None:
    """A byte order mark, CRLF, blank lines, a missing last newline and an empty file cost no record."""
    days = SAMPLE / "2026/04"
    raw = {
        name: (days / name).read_bytes()
        for name in ("28/outcomes.jsonl", "29/scrum_reviews.jsonl", "29/outcomes.jsonl", "30/outcomes.jsonl")
    }
    skipped = Counter(row["provenance"].split(":")[0].partition("/")[2] for row in project.rows("exports/quarantine/collect.jsonl"))
    read = {name: len(project.rows(f"data/evidence/2026/04/{name}")) + skipped[f"2026/04/{name}"] for name in raw}

    assert raw["28/outcomes.jsonl"].startswith(b"\xef\xbb\xbf{")
    assert raw["29/scrum_reviews.jsonl"].count(b"\r\n") == raw["29/scrum_reviews.jsonl"].count(b"\n") > 0
    assert b"\n\n \t\n" in raw["29/outcomes.jsonl"]
    assert not raw["30/outcomes.jsonl"].endswith(b"\n")
    assert read == {name: sum(bool(line.strip()) for line in data.split(b"\n")) for name, data in raw.items()}
    assert project.rows("data/evidence/2026/05/01/scrum_reviews.jsonl") == []


def test_what_stands_before_a_damage_is_kept(project: Project) -> None:
    """Of a packed log cut short the whole records before the cut are read, and the damage is one skipped row."""
    rows = project.rows("data/evidence/2026/05/01/outcomes.jsonl.gz.jsonl")

    assert [row["run_id"] for row in rows] == ["run-packed-1", "run-packed-2"]


def test_one_skipped_row_too_many_fails_the_run_and_stops_no_stage(tmp_path: Path, project: Project) -> None:
    """With max_skipped one lower the run fails with the counts in its message, and every export is built all the same."""
    total, allowed = sum(SKIPPED.values()), sum(SKIPPED.values()) - 1
    strict = _copy_sample(tmp_path / "clone", max_skipped=allowed)

    result = strict.doit()

    considered = strict.document("collect.json")["stats"]["considered"]
    summary = strict.document("summary.json")
    assert result.code == 1
    assert f"{total} of {considered} records could not be read" in result.text
    assert f"max_skipped is {allowed}" in result.text
    assert {stage["decision"] for stage in summary["stages"]} == {"executed"}
    assert [stage["stage"] for stage in summary["stages"] if not stage["passed"]] == ["collect"]
    assert strict.data_files() == project.data_files()


def test_readme_names_every_planted_run_and_reason() -> None:
    """The table of what is planted names every planted run, and every reason of the table of reasons."""
    text = (ROOT / "fixtures/README.md").read_text(encoding="utf-8")
    runs = {run for run in (*DECIDED, *RESOLVED, *(run for plants in SET_ASIDE.values() for run in plants)) if run}

    assert [name for name in sorted(runs | {reason.slug for reason in REASONS}) if f"`{name}`" not in text] == []


def test_readme_says_where_every_unreadable_row_stands(project: Project) -> None:
    """Every skipped row has a line of its own in the table, with its reason and its file."""
    lines = (ROOT / "fixtures/README.md").read_text(encoding="utf-8").splitlines()
    told = Counter(
        (line.split("`")[1], line.split("`")[-2]) for line in lines if line.endswith(("jsonl` |", "jsonl.gz` |")) and line.count("|") == 4
    )
    found = Counter(
        (row["reason"], row["provenance"].split(":")[0].removeprefix("outcomes/").removeprefix("scrum_reviews/"))
        for row in project.rows("exports/quarantine/collect.jsonl")
    )

    assert told == found
