"""The lock around a build: one at a time, and none left behind (SPEC 7, law 12)."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness import Project, sample_project

SLEEPING = "def planted(*records):\n    open('started', 'w').close()\n    time.sleep(60)\n    yield from honest(*records)\n"
_HOLD = "import pathlib, sys, time\nfrom distill.build.lock import take_lock\ntake_lock(pathlib.Path('.'))\ntake_lock(pathlib.Path('.'))\nprint('held', flush=True)\ntime.sleep(60)\n"


def start_sleeping(project: Project, *words: str) -> "subprocess.Popen[bytes]":
    """Start a build whose first stage sleeps, and wait until it does."""
    project.plant("collect", SLEEPING)
    process = project.start(*words)
    while not (project.folder / "started").exists():
        assert process.poll() is None
        time.sleep(0.02)
    (project.folder / "planted").unlink()
    return process


@pytest.mark.parametrize("words", [(), ("-n", "2"), ("-n", "4"), ("-n", "2", "-P", "thread")])
def test_a_killed_build_leaves_no_lock(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A build killed in a stage leaves no lock, neither itself nor a worker of `-n` that still waits for its first stage."""
    project = sample_project(tmp_path / "project")
    process = start_sleeping(project, *words)
    process.send_signal(signal.SIGKILL)
    process.wait()

    result = project.doit()

    assert result.code == 0, result.text


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    """No worker of a killed `doit -n` outlives it by more than a moment."""
    project = sample_project(tmp_path / "project")
    process = start_sleeping(project, "-n", "3")
    workers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert workers

    process.send_signal(signal.SIGKILL)
    process.wait()

    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/cwd").exists() and Path(f"/proc/{pid}/cwd").samefile(project.folder) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_holder_is_named(tmp_path: Path) -> None:
    """The second process is told which one builds, and where the lock lies; taking it twice in one process is no conflict."""
    project = sample_project(tmp_path / "project")
    holder = subprocess.Popen([sys.executable, "-c", _HOLD], cwd=project.folder, env=project.environment(), stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"

    result = project.doit()

    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert (result.code, list(project.folder.glob("data"))) == (2, [])
    assert result.text == f".distill/lock: process {holder.pid} builds this project; wait for it, then run doit again\n"
    assert project.doit().code == 0


def test_asking_needs_no_lock(tmp_path: Path) -> None:
    """`doit list`, `distill runs` and `distill read` answer while a build runs."""
    project = sample_project(tmp_path / "project")
    assert project.doit().code == 0
    project.replace_text("logs/2026/04/28/outcomes.jsonl", "Parse a date.", "Parse a time.")
    process = start_sleeping(project)

    codes = [project.doit("list").code, project.doit("list", "-s").code, project.distill("runs").code, project.distill("read").code]

    process.kill()
    process.wait()
    assert codes == [0, 0, 0, 0]
