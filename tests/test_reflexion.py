"""Real logs by config alone: the 35 programming-run files of reflexion, where they lie beside the checkout (SPEC 2).

Looked for in `<checkout>/../shared/data/reflexion`, or in the folder that DISTILL_SHARED_DATA names. The figures are those of
the data's own description, `PROVENANCE.md`, and what SPEC 4 and 5 make of them.
"""

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Project

SHARED = Path(os.environ.get("DISTILL_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
ROOT = next((folder for folder in (SHARED / "reflexion", SHARED) if (folder / "programming_runs").is_dir()), None)
pytestmark = pytest.mark.skipif(
    ROOT is None, reason=f"no programming_runs below {SHARED}: set DISTILL_SHARED_DATA to the folder of the data"
)

CONFIG = """
preference = { max_pairs_per_task = 4 }

[[sources]]
name = "reflexion"
root = '@ROOT@'
glob = "programming_runs/root/**/*_pass_at_*.jsonl"
reader = "jsonl"
file_pattern = '(?P<folder>[^/]+)/(?P<file>[^/]+)\\.jsonl$'
created_at = "absent"
run_id = "position"
[sources.fields]
task_id = { path = "prompt" }
instruction = { path = "prompt" }
response = { path = "solution" }
model = { group = "file", pattern = "gpt-4|gpt-3.5-turbo|text-davinci-003" }
lessons = { path = "reflections" }
attempts = { count = "reflections", plus = 1 }
reference = [{ path = "canonical_solution" }, { path = "test" }]
[sources.tags]
strategy = { group = "file", pattern = "simple|reflexion-ucs|reflexion|immediate-refinement|immediate-reflexion|test-acc" }
[[sources.signals]]
kind = "test"
path = "is_solved"
pass = [true]
fail = [false]
"""
FILES = {
    "reflexion_mbpp_py/mbpp-py._reflexion_5_gpt-4_pass_at_k_1_py.jsonl": 397,
    "reflexion_mbpp_py3/mbpp-py._reflexion_5_gpt-4_pass_at_k_1_py.jsonl": 257,
    "reflexion_leetcode_python3/leetcode-hard-py-40-uncontaminated._reflexion_5_gpt-3.5-turbo_pass_at_k_1_py.jsonl": 1,
    "simple_test_run/simple_1_text-davinci-003_pass_at_k_1.jsonl": 164,
    "reflexion_humaneval_py_pass_at_1/reflexion_humaneval_py_pass_at_1.jsonl": 164,
}
SCORED = "data/scored-runs/reflexion/programming_runs/root"
EVIDENCE = "data/evidence/reflexion/programming_runs/root"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project over the real files, built once."""
    made = Project(tmp_path_factory.mktemp("reflexion") / "project", config=CONFIG.replace("@ROOT@", str(ROOT)))
    result = made.doit()
    assert result.code == 0, result.text
    return made


@pytest.fixture(scope="module")
def stats(project: Project) -> dict[str, dict[str, Any]]:
    """The books of every stage of the first run."""
    return {name: receipt["stats"] for name, receipt in project.receipts(run=project.runs[0]).items()}


def scored(project: Project) -> list[dict[str, Any]]:
    """Return every scored run."""
    paths = sorted((project.folder / SCORED).rglob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_the_run_passes(project: Project, stats: dict[str, dict[str, Any]]) -> None:
    """The whole run passes, and the books of all seven stages balance."""
    assert project.document("summary.json", run=project.runs[0])["overall_passed"] is True
    assert len(stats) == 7
    for name, book in stats.items():
        parts = {kind: book[kind] for kind in ("accepted", "rejected", "quarantined", "skipped", "filtered")}
        assert book["considered"] == sum(parts.values()), name
        named = sum(book["reasons"].values())
        assert named == parts["quarantined"] + parts["skipped"] + parts["filtered"], name


def test_every_record_is_read(project: Project, stats: dict[str, dict[str, Any]]) -> None:
    """All 4,673 records of the 35 files become evidence."""
    inputs = project.receipts(run=project.runs[0])["collect"]["inputs"]

    assert (len(inputs["files"]), inputs["record_count"]) == (35, 4_673)
    assert (stats["collect"]["accepted"], stats["collect"]["skipped"]) == (4_673, 0)


@pytest.mark.parametrize("path", FILES)
def test_a_file_has_the_rows_of_its_description(project: Project, path: str) -> None:
    """A file gives as many evidence rows as its description counts."""
    assert len(project.rows(f"{EVIDENCE}/{path}")) == FILES[path]


def test_the_verdicts_are_those_of_the_tests(project: Project) -> None:
    """3,346 runs passed their tests and 1,327 failed them; 492 of the first needed a retry."""
    runs = scored(project)

    assert Counter(run["sub_scores"]["test"] for run in runs) == {1.0: 3_346, 0.0: 1_327}
    found = Counter((run["category"], run["reasons"][0]) for run in runs)
    assert found == {("accepted", "tests_passed"): 2_854, ("partially_accepted", "retried"): 492, ("rejected", "tests_failed"): 1_327}


def test_contradictory_texts_are_set_aside(project: Project, stats: dict[str, dict[str, Any]]) -> None:
    """34 texts passed in one file and failed in another; their 101 rows reach no export."""
    found = {
        row["evidence_id"]: set(row["with"])
        for row in project.rows("data/scored-runs/resolution.jsonl")
        if row["kind"] == "conflicting_verdicts"
    }
    texts = {frozenset({identity, *others}) for identity, others in found.items()}
    rows = sum(row["kind"] == "conflicting_verdicts" for row in project.rows("data/scored-runs/resolution.jsonl"))

    assert (len(texts), rows) == (34, 101)
    for name in ("export-rag", "export-sft", "export-preference"):
        assert stats[name]["reasons"]["conflicting_verdicts"] == 101


def test_empty_answers_are_kept_out(project: Project, stats: dict[str, dict[str, Any]]) -> None:
    """The 234 failed runs without an answer are set aside and stand in no pair."""
    empty = [
        row
        for path in sorted((project.folder / EVIDENCE).rglob("*.jsonl"))
        for row in map(json.loads, path.read_text().splitlines())
        if not row["response"].strip()
    ]
    aside = {row["evidence_id"] for row in project.rows("exports/quarantine/preference.jsonl") if row["reason"] == "empty_response"}

    assert len(empty) == stats["export-preference"]["reasons"]["empty_response"] == 234
    assert aside == {row["id"] for row in empty}


def test_equal_texts_are_one_sft_row(project: Project, stats: dict[str, dict[str, Any]]) -> None:
    """The passing runs give 1,839 different SFT rows; 1,452 repeat one of them."""
    rows = project.rows("exports/sft/instruction_response.jsonl")
    texts = {(" ".join(row["instruction"].split()), " ".join(row["response"].split())) for row in rows}

    assert len(rows) == len(texts) == stats["export-sft"]["accepted"] == 1_839
    assert stats["export-sft"]["reasons"]["duplicate_text"] == 1_452


def test_no_export_has_a_reference_column(project: Project) -> None:
    """No row of an export has a column for the gold answer or the tests."""
    exports = [path for path in (project.folder / "exports").rglob("*.jsonl") if "quarantine" not in path.parts]
    columns = {key for path in exports for line in path.read_text().splitlines() for key in json.loads(line)}

    assert len(exports) == 4
    assert not columns & {"reference", "canonical_solution", "test", "tests", "gold", "expected"}


def test_a_task_gives_at_most_four_pairs(project: Project) -> None:
    """225 tasks have pairs, 542 at four a task; texts of a pair differ and its prompt is the task's."""
    pairs = project.rows("exports/preference/chosen_rejected.jsonl")
    tasks = Counter(pair["prompt"][0]["content"] for pair in pairs)

    assert (len(pairs), len(tasks), max(tasks.values())) == (542, 225, 4)
    assert all(pair["chosen"][0]["content"].split() != pair["rejected"][0]["content"].split() for pair in pairs)


def test_without_a_cap_every_pair_is_taken(project: Project, tmp_path: Path) -> None:
    """636 pairs are possible; the setting re-runs the preference export alone."""
    shutil.copytree(project.folder, tmp_path / "project")
    copy = Project(tmp_path / "project", config=(project.folder / "distill.toml").read_text().replace("task = 4", "task = 1000"))

    result = copy.doit("export_preference")

    assert result.code == 0, result.text
    assert "export_preference" in result.executed
    assert not {"collect", "score", "export_sft"} & set(result.executed)
    assert len(copy.rows("exports/preference/chosen_rejected.jsonl")) == 636
