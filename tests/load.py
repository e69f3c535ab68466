"""A heavy load: one corpus, every engine and number of workers, and workers that are killed in every stage; the bytes must be the same.

`python -m tests.load [MB]` (default 200) writes a corpus of that size, one file of which is more than half of it, builds it with the
engine `inline` and with 1, 2 and 7 processes, and with 2 processes of which one is killed with SIGKILL in every stage that works over
units. It prints a table and ends with 1 where data files or `run_hash` differ. It is no part of the suite; a small core of it is
(`tests/test_load.py`).
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from distill.hashing import aggregate_hash, hash_file
from tests.harness import STAGE_NAMES, Project

__all__ = ["KILLED", "WAYS", "Seen", "fingerprint", "run_way", "write_load"]

CONFIG = """
max_skipped = 0.05
[[sources]]
name = "outcomes"
root = '{logs}'
glob = "*.jsonl"
format = "outcomes"
"""
TASKS = ("export_sft", "export_preference")
KILLED = "2, one killed"
WAYS: dict[str, dict[str, str]] = {
    "inline": {"DISTILL_ENGINE": "inline"},
    **{f"{count} processes": {"DISTILL_ENGINE": "processes", "DISTILL_WORKERS": str(count)} for count in (1, 2, 7)},
    KILLED: {"DISTILL_ENGINE": "processes", "DISTILL_WORKERS": "2"},
}
"""What is compared, by name; the last one loses a worker in every stage."""
_WORDS = [
    "parse",
    "render",
    "merge",
    "index",
    "token",
    "stream",
    "buffer",
    "branch",
    "commit",
    "deploy",
    "query",
    "schema",
    "worker",
    "retry",
]


class Seen(NamedTuple):
    """What one build left."""

    seconds: float
    """Wall time."""
    code: int
    """Exit status."""
    killed: tuple[str, ...]
    """Stages in which a worker was killed."""
    files: str
    """Aggregate hash of every data file."""
    run_hash: str
    """Over the output hashes of the stages."""


def write_load(folder: Path, megabytes: float, *, seed: int = 1) -> None:
    """Write a corpus of that size in four files, the first of which is more than half of it; some rows repeat across the files."""
    folder.mkdir(parents=True)
    rng = random.Random(seed)
    for number, share in enumerate((0.55, 0.25, 0.15, 0.05)):
        left = int(megabytes * 1e6 * share)
        with (folder / f"runs-{number}.jsonl").open("w", encoding="utf-8") as file:
            row = 0
            while left > 0:
                line = _line(rng, number, row)
                left -= file.write(line * (2 if rng.random() < 0.01 else 1))
                row += 1


def _line(rng: random.Random, number: int, row: int) -> str:
    """Return one row of about 1 KB: runs of tasks of six across the files, some reused run ids, some broken rows."""
    if rng.random() < 0.01:
        return '{"run_id": "broken", "task_id"\n'
    task, good = row // 6, rng.random() < 0.55
    prompt = f"Task {task}: {' '.join(random.Random(task).choices(_WORDS, k=40))}."
    answer = (
        f"answer {rng.randrange(40)} to {task}: done." if rng.random() < 0.1 else f"{number}-{row}: {' '.join(rng.choices(_WORDS, k=80))}."
    )
    record = {
        "run_id": f"run-{row if rng.random() < 0.02 else f'{number}-{row}'}", "task_id": f"task-{task}", "created_at": "2026-04-27T09:14:03Z",
        "model": f"model-{rng.randrange(4)}", "prompt": prompt, "response": answer, "ok": True, "errors": [], "attempts": rng.choice([1, 1, 2]),
        "tests": {"passed": rng.randrange(1, 9), "failed": 0 if good else 1},
    }  # fmt: skip
    return json.dumps(record) + "\n"


def make_project(folder: Path, logs: Path, *, head: str = "") -> Project:
    """Return a project over the corpus; `head` stands in front of its dodo.py."""
    project = Project(folder, config=CONFIG.format(logs=logs))
    (folder / "dodo.py").write_text(head + (folder / "dodo.py").read_text())
    return project


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


class _Killer(threading.Thread):
    """Kills one worker of a build in every stage, once the stage has made its first part."""

    def __init__(self, project: Project, pid: int) -> None:
        super().__init__(daemon=True)
        self.project, self.pid, self.killed, self.over = project, pid, list[str](), False

    def run(self) -> None:
        while not self.over:
            parts = self.project.folder / ".distill/parts"
            for folder in sorted(parts.glob("*")) if parts.is_dir() else ():
                workers = _children(self.pid)
                if folder.name in STAGE_NAMES and folder.name not in self.killed and workers and any(folder.iterdir()):
                    os.kill(workers[0], signal.SIGKILL)
                    self.killed.append(folder.name)
            time.sleep(0.002)


def run_way(project: Project, name: str, *words: str) -> Seen:
    """Build with one engine, and look at what was made."""
    start = time.perf_counter()
    process = subprocess.Popen(
        project.command(*words),
        cwd=project.folder,
        env=project.environment(WAYS[name]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    killer = _Killer(project, process.pid)
    if name == KILLED:
        killer.start()
    code = process.wait()
    killer.over = True
    seconds = time.perf_counter() - start
    files, run_hash = fingerprint(project)
    return Seen(seconds, code, tuple(sorted(killer.killed)), files, run_hash)


def fingerprint(project: Project) -> tuple[str, str]:
    """Return a hash of every data file, and one of the output hashes of every stage."""
    files = [path for top in ("data", "exports") for path in (project.folder / top).rglob("*") if path.is_file()]
    outputs = (
        [(name, str(receipt["outputs"]["hash"]).removeprefix("blake3:")) for name, receipt in project.receipts().items()]
        if project.runs
        else []
    )
    hashed = aggregate_hash((path.relative_to(project.folder).as_posix(), hash_file(path).blake3) for path in files)
    return hashed, aggregate_hash(one for one in outputs if len(one[1]) == 64)


def main() -> int:
    """Run everything and print the table; return the exit status."""
    megabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 200.0
    with tempfile.TemporaryDirectory(prefix="distill-load-") as base:
        write_load(Path(base) / "logs", megabytes)
        size = sum(path.stat().st_size for path in (Path(base) / "logs").iterdir())
        print(f"{size / 1e6:,.0f} MB of logs, {(Path(base) / 'logs/runs-0.jsonl').stat().st_size / size:.0%} of it in one file")
        print(f"{'engine':16} {'seconds':>8} {'MB/s':>6} {'status':>6}  data files       run hash         workers killed in")
        seen: list[Seen] = []
        for name in WAYS:
            project = make_project(Path(base) / "project", Path(base) / "logs")
            one = run_way(project, name, *TASKS)
            shutil.rmtree(project.folder)
            seen.append(one)
            print(
                f"{name:16} {one.seconds:8.1f} {size / 1e6 / one.seconds:6.1f} {one.code:6}  {one.files[7:23]} {one.run_hash[7:23]} {', '.join(one.killed)}",
                flush=True,
            )
    same = len({(one.code, one.files, one.run_hash) for one in seen}) == 1 and seen[0].code == 0
    print("all the same" if same else "THEY DIFFER")
    return 0 if same and len(seen[-1].killed) >= 2 else 1


if __name__ == "__main__":
    sys.exit(main())
