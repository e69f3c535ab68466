"""The benchmark suite: the same work by distill and by other tools, in turn on one machine.

`python -m tests.benchmarks [ROWS] [ROUNDS]` writes the table into reports/benchmarks.md. Every tool's counts are compared before
a time is written down. Peers that are not installed are left out and named (`pip install polars duckdb`).
"""

import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.corpus import write_corpus
from tests.benchmarks.peers import MISSING, PEERS

ROOT = Path(__file__).parents[2]
_CONFIG = """
max_skipped = 0.05

[[sources]]
name = "outcomes"
root = '{logs}'
glob = "*.jsonl"
format = "outcomes"
"""


class Measure(NamedTuple):
    """One run of a command."""

    seconds: float
    megabytes: float
    out: str


def measure(command: list[str], folder: Path) -> Measure:
    """Run a command to its end; memory is the peak of its largest process."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE" and not key.startswith("DISTILL_")}
    env["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {out.read()}")
        return Measure(seconds, usage.ru_maxrss / 1024, out.read())


def make_project(folder: Path, logs: Path) -> Path:
    """Make a project over the corpus."""
    folder.mkdir()
    (folder / "dodo.py").write_text("from distill.build.tasks import DOIT_CONFIG, task_pipeline\n")
    (folder / "doit.cfg").write_text("[COMMAND]\nrun = distill.build.command:Run\n")
    (folder / "distill.toml").write_text(_CONFIG.format(logs=logs))
    return folder


def our_counts(project: Path) -> dict[str, int]:
    """Return what the receipts of the newest run say."""
    newest = max((project / "reports/distillation").glob("*/summary.json"), key=lambda path: path.stat().st_mtime_ns).parent
    stats = {name: json.loads((newest / f"{name}.json").read_text()) for name in ("collect", "score", "export-sft", "export-preference")}
    score, collect = stats["score"]["stats"], stats["collect"]["stats"]
    pairs = next(file for file in stats["export-preference"]["outputs"]["files"] if file["path"].endswith("chosen_rejected.jsonl"))
    return {
        "malformed": collect["skipped"], "evidence": collect["accepted"], "passed": score["accepted"] + score["quarantined"],
        "rejected": score["rejected"], "sft": stats["export-sft"]["stats"]["accepted"], "pairs": pairs["record_count"],
    }  # fmt: skip


def run_suite(rows: int, rounds: int) -> str:
    """Return the table of one corpus."""
    present = [name for name in PEERS if name == "fused" or importlib.util.find_spec(name)]
    times: dict[str, list[Measure]] = {"distill": [], **{name: [] for name in present}}
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        write_corpus(base / "logs", rows)
        counts: dict[str, dict[str, int]] = {}
        for turn in range(rounds):
            project = make_project(base / f"project-{turn}", base / "logs")
            times["distill"].append(measure([sys.executable, "-m", "doit", "export_sft", "export_preference"], project))
            counts["distill"] = our_counts(project)
            for peer in present:
                out = base / f"{peer}-{turn}"
                out.mkdir()
                done = measure([sys.executable, "-m", "tests.benchmarks.peers", peer, str(base / "logs"), str(out)], out)
                times[peer].append(done)
                counts[peer] = json.loads(done.out)
        differing = {peer: found for peer, found in counts.items() if found != counts["distill"]}
        if differing:
            raise SystemExit(f"not the same work: distill {counts['distill']}, {differing}")
    own = statistics.median(one.seconds for one in times["distill"])
    lines = ["| tool | median s | of distill's time | peak MB | what it leaves out |", "|---|---:|---:|---:|---|"]
    for tool, runs in times.items():
        median = statistics.median(one.seconds for one in runs)
        peak = max(one.megabytes for one in runs)
        lines.append(f"| {tool} | {median:.2f} | {median / own:.2f} | {peak:.0f} | {MISSING.get(tool, '')} |")
    return "\n".join(lines)


def main(rows: int, rounds: int) -> None:
    """Run the suite and put its table into the report."""
    page = ROOT / "reports/benchmarks.md"
    before, rest = page.read_text(encoding="utf-8").split("<!-- suite -->\n")
    after = rest.split("<!-- end suite -->")[1]
    table = run_suite(rows, rounds)
    head = f"{rows:,} rows of about 1 KB, {rounds} rounds; {os.cpu_count()} cores, Python {platform.python_version()}."
    page.write_text(f"{before}<!-- suite -->\n{head}\n\n{table}\n<!-- end suite -->{after}", encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
