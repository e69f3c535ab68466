"""Five kinds of real logs in one corpus, by config alone, where they lie beside the checkout (SPEC 2).

Looked for in `<checkout>/../shared/data`, or in the folder that DISTILL_SHARED_DATA names. The figures are those of the data's own
description, `PROVENANCE.md`, and what SPEC 4 and 5 make of them.
"""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from distill.config import Preference
from distill.conversation import Turn, build_turns, text_key
from distill.jsonl import decode_document
from distill.schemas.evidence import EvidenceRecord
from distill.stages.export_preference import Pair, Side, find_split
from tests.harness import Project

SHARED = Path(os.environ.get("DISTILL_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
pytestmark = pytest.mark.skipif(
    not all((SHARED / name).is_dir() for name in ("reflexion", "tau-bench", "langfuse-traces")),
    reason=f"no reflexion, tau-bench and langfuse-traces below {SHARED}: set DISTILL_SHARED_DATA to the folder of the data",
)

CONFIG = r"""
max_skipped = 0
preference = { max_pairs_per_task = 4 }

[[sources]]
name = "reflexion"
root = '@ROOT@/reflexion'
glob = "programming_runs/root/**/*_pass_at_*.jsonl"
reader = "jsonl"
file_pattern = '(?P<folder>[^/]+)/(?P<file>[^/]+)\.jsonl$'
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

[[sources]]
name = "leetcode"
root = '@ROOT@/reflexion'
glob = "programming_runs/root/leetcode_metadata/*"
reader = "jsonl"
[sources.fields]
run_id = { path = "info.submission_id" }
task_id = { path = "info.question_id || name" }
created_at = { path = "info.task_finish_time", unit = "ms" }
response = { path = "code" }
[sources.tags]
status = { path = "status" }
[[sources.signals]]
kind = "test"
path = "status"
pass = ["Accepted"]
fail = ["Wrong Answer", "Time Limit Exceeded", "Runtime Error"]
infrastructure = ["Submission Timed-Out"]

[[sources]]
name = "alfworld"
root = '@ROOT@/reflexion'
glob = "alfworld_runs/root/*/env_results_trial_*.json"
reader = "json_array"
file_pattern = '(?P<series>[^/]+)/env_results_trial_(?P<trial>\d+)\.json$'
created_at = "absent"
run_id = "position"
cumulative = "task_id"
[sources.fields]
task_id = { template = "{series}/{.name}" }
lessons = { path = "memory" }
[sources.tags]
trial = { group = "trial" }
[[sources.signals]]
kind = "test"
path = "is_success"
pass = [true]
fail = [false]

[[sources]]
name = "tau-bench"
root = '@ROOT@/tau-bench'
glob = "historical_trajectories/*.json"
reader = "json_array"
file_pattern = '(?P<model>gpt-4o)-(?P<domain>\w+)\.json$'
created_at = "absent"
strip_markers = ["###STOP###"]
[sources.fields]
run_id = { template = "{domain}-{.task_id}-{.trial}" }
task_id = { template = "{domain}-{.task_id}" }
model = { group = "model" }
messages = { path = "traj" }
reference = [{ path = "info.task.actions" }, { path = "info.task.outputs" }, { path = "info.task.instruction" }]
[sources.tags]
trial = { template = "{.trial}" }
[[sources.signals]]
kind = "test"
path = "reward"
pass = 1
fail = 0

[[sources]]
name = "langfuse"
root = '@ROOT@/langfuse-traces'
glob = "**/*.trace.json"
format = "langfuse"
"""
Exports = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project over all of them, built once."""
    made = Project(tmp_path_factory.mktemp("real") / "project", config=CONFIG.replace("@ROOT@", str(SHARED.resolve())))
    result = made.doit()
    assert result.code == 0, result.text
    return made


@pytest.fixture(scope="module")
def exports(project: Project) -> Exports:
    """The rows of every export, by the name of its file."""
    return {path: project.rows(f"exports/{path}.jsonl") for path in ("sft/instruction_response", "sft/prompt_completion", "rag/playbooks")}


def evidence_of(project: Project, source: str) -> list[EvidenceRecord]:
    """Return the evidence of a source."""
    paths = sorted((project.folder / "data/evidence" / source).rglob("*.jsonl"))
    return [decode_document(line, EvidenceRecord, place=path.name) for path in paths for line in path.read_bytes().splitlines()]


def verdicts_of(project: Project, source: str) -> Counter[str]:
    """Return how often each category and reason stands in the runs of a source."""
    found: Counter[str] = Counter()
    for path, counts in project.receipts()["score"]["stats"]["by_file"].items():
        if path.startswith(f"{source}/"):
            found.update(counts)
    return found


def of_source(rows: list[dict[str, Any]], source: str) -> list[dict[str, Any]]:
    """Return the rows that come from a source."""
    return [row for row in rows if row["provenance"].startswith(f"{source}/")]


def test_every_record_is_read(project: Project) -> None:
    """All 8,053 records of 95 files are evidence, and none is skipped."""
    stats = project.receipts()["collect"]["stats"]
    counts = {source: len(evidence_of(project, source)) for source in ("reflexion", "leetcode", "alfworld", "tau-bench", "langfuse")}

    assert counts == {"reflexion": 4673, "leetcode": 212, "alfworld": 2948, "tau-bench": 200, "langfuse": 20}
    assert (stats["considered"], stats["accepted"], stats["skipped"]) == (8053, 8053, 0)


def test_reflexion_is_as_it_is_alone(project: Project, exports: Exports) -> None:
    """Beside other sources the 35 programming-run files give what they give alone."""
    found = verdicts_of(project, "reflexion")

    assert (found["accepted"], found["partially_accepted"], found["rejected"]) == (2854, 492, 1327)
    assert len(of_source(exports["sft/instruction_response"], "reflexion")) == 1839
    assert len(project.rows("exports/preference/chosen_rejected.jsonl")) == 542


def test_leetcode_submissions_that_were_never_judged_are_for_a_person(project: Project) -> None:
    """Of 212 submissions 18 pass and 147 fail; the 47 whose judge timed out wait for a person, though their reward is false."""
    found = verdicts_of(project, "leetcode")

    assert (found["accepted"], found["rejected"], found["needs_human_review"], found["not_judged"]) == (18, 147, 47, 47)
    scored = project.folder / "data/scored-runs/leetcode"
    rows = [json.loads(line) for path in scored.rglob("*.jsonl") for line in path.read_text().splitlines()]
    category = {row["evidence_id"]: row["category"] for row in rows}
    statuses = {(record.tags["status"], category[record.id]) for record in evidence_of(project, "leetcode")}
    assert statuses == {
        ("Accepted", "accepted"), ("Wrong Answer", "rejected"), ("Time Limit Exceeded", "rejected"), ("Runtime Error", "rejected"),
        ("Submission Timed-Out", "needs_human_review"),
    }  # fmt: skip


def test_alfworld_successes_count_once(project: Project, exports: Exports) -> None:
    """An environment that stays solved in every later file is one success: 101 of one series, 134 of the other; no row for SFT."""
    books = [row for row in project.rows("data/playbooks/playbooks.jsonl") if row["group"].startswith("alfworld:")]
    series: Counter[str] = Counter()
    for row in books:
        series[row["group"].split(":")[1].split("/")[0]] += row["counts"]["accepted"]

    assert series == {"base_run_logs": 101, "reflexion_run_logs": 134}
    assert len(books) == 268
    assert sum(bool(record.lessons) for record in evidence_of(project, "alfworld")) == 1100
    assert sum(bool(row["pitfalls"]) for row in books) > 60
    assert of_source(exports["sft/instruction_response"], "alfworld") == []


def test_tau_bench_runs_are_rows_with_their_tool_calls(project: Project, exports: Exports) -> None:
    """84 of 200 runs pass and are rows; calls are in the fixed form, simulator marks are cut, and a final call is an answer."""
    found, rows = verdicts_of(project, "tau-bench"), of_source(exports["sft/instruction_response"], "tau-bench")
    called = sum(message["content"].count("<tool_call>") for row in rows for message in row["messages"])
    raw = json.loads(next((SHARED / "tau-bench").rglob("*.json")).read_text())
    passed = {f"airline-{run['task_id']}-{run['trial']}": run for run in raw if run["reward"] == 1}

    assert (found["accepted"], found["rejected"], len(rows)) == (84, 116, 84)
    assert {row["source_run_id"] for row in rows} == set(passed)
    told = [run["traj"][: 1 + max(i for i, turn in enumerate(run["traj"]) if turn["role"] == "assistant")] for run in passed.values()]
    assert called == sum(len(message.get("tool_calls") or []) for messages in told for message in messages)
    assert sum(row["response"].startswith("<tool_call>") for row in rows) == 28
    assert "###STOP###" in json.dumps(raw)
    assert not [name for name, found in exports.items() if "###STOP###" in json.dumps(found)]


def test_tau_bench_keeps_its_answers_and_what_the_simulator_was_told(project: Project, exports: Exports) -> None:
    """The expected actions and the simulated user's own instruction stand in the evidence, and in no export."""
    raw = json.loads(next((SHARED / "tau-bench").rglob("*.json")).read_text())
    texts = json.dumps(exports) + json.dumps(project.rows("exports/preference/chosen_rejected.jsonl"))

    kept = {text for record in evidence_of(project, "tau-bench") for text in record.reference}
    secrets = {run["info"]["task"]["instruction"] for run in raw}
    actions = {json.dumps(action["kwargs"])[1:-1] for run in raw for action in run["info"]["task"]["actions"] if len(action["kwargs"]) > 3}

    assert secrets <= kept
    assert not [text for text in secrets if json.dumps(text)[1:-1] in texts]
    assert actions
    assert '"kwargs"' not in texts.replace("\\", "")


def test_tau_bench_makes_no_pair(project: Project) -> None:
    """26 of 50 tasks are mixed and give 88 candidates: 86 whose prompts differ, 2 that part at a user's message; so no pair."""
    sides: dict[str, list[Side]] = {}
    for record in evidence_of(project, "tau-bench"):
        turns: list[Turn] = build_turns(record)
        key = (text_key(turns) or b"").hex()
        good = record.signals[0].verdict == "pass"
        side = Side(record.id, good, key, record.run_id or "", record.model or "", False, "tests_failed", str(record.provenance), turns)
        sides.setdefault(record.task_id or "", []).append(side)
    mixed = [task for task in sides.values() if {side.chosen for side in task} == {True, False}]
    splits = [
        find_split(chosen, rejected, Preference())
        for task in mixed for chosen in task for rejected in task if chosen.chosen and not rejected.chosen
    ]  # fmt: skip

    assert (len(sides), len(mixed), len(splits)) == (50, 26, 88)
    assert Counter("pair" if isinstance(split, Pair) else split for split in splits) == {"prompts_differ": 86, "diverges_before_agent": 2}
    assert of_source(project.rows("exports/preference/chosen_rejected.jsonl"), "tau-bench") == []


def test_langfuse_traces_are_judged_by_nobody_who_can_accept(project: Project) -> None:
    """20 traces with 138 observations: judges scored 11, two of them nothing; none is accepted; one trace in two files is one run."""
    records = evidence_of(project, "langfuse")
    found, collect = verdicts_of(project, "langfuse"), project.receipts()["collect"]
    raw = [json.loads(path.read_text()) for path in (SHARED / "langfuse-traces").rglob("*.trace.json")]
    told = [row for row in project.rows("data/scored-runs/resolution.jsonl") if row["kind"] == "same_run"]

    assert (len(raw), sum(len(trace["observations"]) for trace in raw)) == (20, 138)
    assert sum(bool(trace["trace"].get("scores")) for trace in raw) == 11
    assert sum(any(signal.kind == "judge" for signal in record.signals) for record in records) == 9
    assert "judge_of_nothing: langfuse (2 records)" in collect["validation"]["warnings"]
    assert (found["accepted"], found["partially_accepted"], found["needs_human_review"]) == (0, 0, 20)
    assert {signal.aspect for record in records for signal in record.signals if signal.kind == "judge"} <= {
        "hallucination", "toxicity", "correctness",
    }  # fmt: skip
    assert len({record.run_id for record in records}) == 19
    assert len([row for row in told if row["provenance"].startswith("langfuse/")]) == 1
