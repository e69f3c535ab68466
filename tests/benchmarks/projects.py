"""Projects of distill over a corpus, and what their receipts say."""

import json
import sys
from pathlib import Path

from tests.benchmarks.measuring import Measure, run_measured

__all__ = ["FOUR", "make_project", "read_collected", "read_counts", "run_ours"]

FOUR = ("export_sft", "export_preference")
"""The tasks that need collect and score and nothing else: four stages."""
_CONFIG = """
max_skipped = 0.05

[[sources]]
name = "outcomes"
root = '{logs}'
glob = "*.jsonl"
format = "outcomes"
"""


def make_project(folder: Path, logs: Path) -> Path:
    """Make a project over the logs in a folder."""
    folder.mkdir(parents=True)
    (folder / "dodo.py").write_text("from distill.build.tasks import DOIT_CONFIG, task_pipeline\n")
    (folder / "doit.cfg").write_text("[COMMAND]\nrun = distill.build.command:Run\n")
    (folder / "distill.toml").write_text(_CONFIG.format(logs=logs))
    return folder


def run_ours(project: Path, *tasks: str, engine: str = "processes", workers: int = 0, memory: bool = False) -> Measure:
    """Run doit on a project: the tasks named, or all."""
    env = {"DISTILL_ENGINE": engine, "DISTILL_WORKERS": str(workers)} if workers or engine == "inline" else {}
    return run_measured([sys.executable, "-m", "doit", *tasks], project, env=env, memory=memory)


def read_collected(project: Path) -> tuple[int, int]:
    """Return the records that were accepted and skipped by the newest run."""
    newest = max((project / "reports/distillation").glob("*/collect.json"), key=lambda path: path.stat().st_mtime_ns)
    stats = json.loads(newest.read_text())["stats"]
    return stats["accepted"], stats["skipped"]


def read_counts(project: Path) -> dict[str, int]:
    """Return what the receipts of the newest run say."""
    newest = max((project / "reports/distillation").glob("*/summary.json"), key=lambda path: path.stat().st_mtime_ns).parent
    stats = {name: json.loads((newest / f"{name}.json").read_text()) for name in ("collect", "score", "export-sft", "export-preference")}
    score, collect = stats["score"]["stats"], stats["collect"]["stats"]
    pairs = next(file for file in stats["export-preference"]["outputs"]["files"] if file["path"].endswith("chosen_rejected.jsonl"))
    return {
        "malformed": collect["skipped"], "evidence": collect["accepted"], "passed": score["accepted"] + score["quarantined"],
        "rejected": score["rejected"], "sft": stats["export-sft"]["stats"]["accepted"], "pairs": pairs["record_count"],
    }  # fmt: skip
