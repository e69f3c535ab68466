"""One command measured from outside: seconds, CPU seconds of its tree, and on request the peak memory of its tree.

A command gets a session of its own; every process of that session is its tree. Memory is the sum over the tree, of each
process's share of its pages (PSS) where the kernel tells it, else of its resident pages (RSS), looked at every 20 ms: a round that looks
is a round by itself, because looking costs time. CPU seconds are user and system of the command and of every child that was waited for.
"""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from resource import struct_rusage
from statistics import median
from typing import IO, NamedTuple

__all__ = ["ROOT", "Measure", "median_of", "memory_kind", "run_measured"]

ROOT = Path(__file__).parents[2]
_EVERY = 0.02
_SESSION = 3
"""Place of the session id behind the name in /proc/<pid>/stat."""


class Measure(NamedTuple):
    """One run of a command."""

    seconds: float
    cpu: float
    megabytes: float
    out: str


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a measured command: ours without what would change distill or keep compiled code away."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE" and not key.startswith("DISTILL_")}
    return {**kept, "PYTHONPATH": str(ROOT), **(more or {})}


def run_measured(command: list[str], folder: Path, *, env: dict[str, str] | None = None, memory: bool = False) -> Measure:
    """Run a command to its end; with `memory` its tree is looked at meanwhile.

    Raises:
        SystemExit: the command failed; the message has the end of what it said.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment(env), stdout=out, stderr=err, start_new_session=True)
        try:
            peak, status, usage = _wait(process.pid, memory=memory)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        said = _text(out)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {said[-2000:]}{_text(err)[-4000:]}")
        return Measure(seconds, usage.ru_utime + usage.ru_stime, peak / 1024, said)


def _wait(pid: int, *, memory: bool) -> tuple[int, int, struct_rusage]:
    """Return the peak in KB (0 unless looked at), the status and the usage."""
    peak = 0
    while True:
        found, status, usage = os.wait4(pid, os.WNOHANG if memory else 0)
        if found:
            return peak, status, usage
        peak = max(peak, sum(_kilobytes(one) for one in _tree(pid)))
        time.sleep(_EVERY)


def _tree(session: int) -> list[Path]:
    """Return the folders in /proc of every process of a session."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(") ")[2].split()
            except OSError:
                continue
            if fields[_SESSION] == str(session):
                found.append(folder)
    return found


def _kilobytes(process: Path) -> int:
    for name, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            lines = (process / name).read_text().splitlines()
        except OSError:
            continue
        return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)
    return 0


def memory_kind() -> str:
    """Return what memory is summed up here."""
    readable = os.access("/proc/self/smaps_rollup", os.R_OK)
    return f"sum over all processes of the command of {'PSS' if readable else 'RSS'}, every {_EVERY * 1000:.0f} ms"


def median_of(runs: list[Measure]) -> float:
    """Return the median of the seconds."""
    return median(one.seconds for one in runs)


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
