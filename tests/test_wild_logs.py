"""Logs as they lie in the wild: fixtures/wild has a source for each way, by config alone, and this is what becomes of their runs."""

import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Project

WILD = Path(__file__).parents[1] / "fixtures/wild"
DECIDED = {
    "agents": {"a1": ("accepted", "human_accept")},
    "answers": {
        "q1/model-a": ("accepted", "tests_passed"), "q1/model-b": ("rejected", "tests_failed"), "q2/model-a": ("accepted", "tests_passed"),
        "q2/model-b": ("accepted", "tests_passed"),
    },
    "broken_world": {
        "w1": ("needs_human_review", "not_judged"), "w2": ("rejected", "tests_failed"), "w3": ("accepted", "tests_passed"),
    },
    "elsewhere": {"0": ("accepted", "tests_passed"), "1": ("rejected", "tests_failed"), "7": ("accepted", "tests_passed")},
    "rewards": {
        "r0": ("accepted", "tests_passed"), "r1": ("rejected", "tests_failed"), "r2": ("partially_accepted", "partial_reward"),
        "r3": ("partially_accepted", "partial_reward"), "r4": ("accepted", "tests_passed"),
    },
    "samples": {
        "t1/0": ("accepted", "tests_passed"), "t1/1": ("rejected", "tests_failed"), "t2/0": ("accepted", "tests_passed"),
        "t2/1": ("rejected", "tests_failed"), "t2/2": ("needs_human_review", "no_signal"),
    },
    "shared_id": {
        "fix-1/model-a": ("needs_human_review", "ambiguous_verdict"), "fix-1/model-b": ("needs_human_review", "ambiguous_verdict"),
        "fix-2/model-a": ("accepted", "tests_passed"), "fix-3/model-a": ("rejected", "tests_failed"),
    },
    "traces": {"f" * 32: ("needs_human_review", "no_signal"), "f" * 31 + "e": ("needs_human_review", "no_signal")},
}  # fmt: skip
"""Run id to category and deciding reason, by source."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project over the fixtures, built once."""
    made = Project(tmp_path_factory.mktemp("wild") / "project", config=(WILD / "distill.toml").read_text(encoding="utf-8"))
    for folder in DECIDED:
        shutil.copytree(WILD / folder, made.folder / folder)
    result = made.doit()
    assert result.code == 0, result.text
    return made


def rows_of(project: Project, folder: str, source: str) -> list[dict[str, Any]]:
    """Return the rows of a source below a folder."""
    paths = sorted((project.folder / folder / source).rglob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("source", DECIDED)
def test_runs_are_decided(project: Project, source: str) -> None:
    """SPEC 2, SPEC 4: every run of a source has the verdict its log means, and no other run is there."""
    found = {row["run_id"]: (row["category"], row["reasons"][0]) for row in rows_of(project, "data/scored-runs", source)}

    assert found == DECIDED[source]


def test_what_cannot_be_read_or_joined_is_told(project: Project) -> None:
    """SPEC 2: keys that hit no run or two, totals that disagree and lists of two lengths are warnings; an unmapped role is skipped."""
    warnings = project.receipts()["collect"]["validation"]["warnings"]
    (skipped,) = project.rows("exports/quarantine/collect.jsonl")

    assert [text for text in warnings if "shared_id" in text] == [
        "ambiguous_verdict: shared_id: 1 keys of report.json hit no run (fix-9)",
        "ambiguous_verdict: shared_id: 1 keys of report.json hit several runs (fix-1)",
        "verdict_totals: shared_id/report.json: resolved_instances says 2, but the lists hold 3 (pass)",
    ]
    assert "unequal_lists: samples" in warnings
    assert (skipped["reason"], skipped["provenance"].split("@")[0]) == ("mistyped_field", "agents/talks.jsonl:2")
    assert "'Critic'" in skipped["detail"]


def test_what_stands_elsewhere_is_found(project: Project) -> None:
    """SPEC 2: the task text comes from the line of the other file; a line that is not there gives none, and no row for training."""
    evidence = {row["run_id"]: row for row in rows_of(project, "data/evidence", "elsewhere")}
    rows = [row for row in project.rows("exports/sft/instruction_response.jsonl") if row["provenance"].startswith("elsewhere/")]

    assert [evidence[name]["instruction"] for name in "017"] == ["What is two, and two more?", "What is five, and three more?", None]
    assert [evidence[name]["tags"] for name in "017"] == [{"topic": "sums"}, {"topic": "sums"}, {}]
    assert [row["source_run_id"] for row in rows] == ["0"]


def test_agents_are_turned_into_roles(project: Project) -> None:
    """SPEC 2, SPEC 5.5: names of agents become roles, tool results turns of the user, and the framework's mark is cut."""
    (row,) = [row for row in project.rows("exports/sft/instruction_response.jsonl") if row["provenance"].startswith("agents/")]

    assert [(message["role"], message["content"]) for message in row["messages"]] == [
        ("user", "Sort the names."), ("assistant", "names.sort()"), ("user", "<tool_response>ok</tool_response>"),
        ("assistant", "They are sorted."),
    ]  # fmt: skip


def test_an_error_of_the_service_is_no_verdict(project: Project) -> None:
    """SPEC 4, rule 2: a run whose service failed is for a person whatever failing verdict stands beside it, and no side of a pair."""
    evidence: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows_of(project, "data/evidence", "broken_world"):
        evidence[row["run_id"]] = [signal["kind"] for signal in row["signals"]]
    pairs = [row for row in project.rows("exports/preference/chosen_rejected.jsonl") if row["provenance"].startswith("broken_world/")]

    assert evidence == {"w1": ["test", "infrastructure"], "w2": ["test"], "w3": ["test", "infrastructure"]}
    assert [(row["chosen_run_id"], row["rejected_run_id"]) for row in pairs] == [("w3", "w2")]
