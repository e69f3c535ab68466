"""`doit` with a look at its stack every 2 ms of CPU time: `python -m tests.benchmarks.sampled OUT [TASK ...]` writes seconds by group.

A look counts for the CPU time since the one before, so that a long call into C weighs what it took; a profiler of every call would
make Python dearer than C. A stack belongs to the first group of `GROUPS` that any of its frames belongs to.
"""

import json
import runpy
import signal
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from types import FrameType

__all__ = ["GROUPS", "REST"]

GROUPS = {
    "hashes of files": ("hashing.py:update", "hashing.py:hash_file", "hashing.py:aggregate_hash"),
    "hashes of rows and parts": ("hashing.py",),
    "firewall, reading again": ("units/guard.py", "firewall.py", "runner.py:_check_outputs", "runner.py:_check_units", "units/index.py:_check", "units/index.py:check_unit"),
    "summary, drift, ledger": ("build/publish.py", "build/ledger.py", "build/history.py"),
    "receipts and decisions": (
        "build/execution.py:_receipt", "build/execution.py:_save", "build/execution.py:_claim_targets", "build/identity.py", "build/store.py",
        "build/decision.py",
    ),
    "the stages' own work": ("runner.py:run_stage",),
}  # fmt: skip
"""Group to modules below `distill/`, or functions of them."""
REST = "starting, doit itself, loading modules"
_EVERY = 0.002


def _group_of(frame: FrameType | None) -> str:
    met = set()
    while frame is not None:
        _, found, name = frame.f_code.co_filename.rpartition("/distill/")
        if found:
            met |= {name, f"{name}:{frame.f_code.co_name}"}
        frame = frame.f_back
    return next((group for group, names in GROUPS.items() if not met.isdisjoint(names)), REST)


def _run(out: Path, arguments: list[str]) -> None:
    seconds: defaultdict[str, float] = defaultdict(float)
    before = 0.0

    def look(_: int, frame: FrameType | None) -> None:
        nonlocal before
        now = time.process_time()
        seconds[_group_of(frame)] += now - before
        before = now

    signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, _EVERY, _EVERY)
    sys.argv = ["doit", *arguments]
    try:
        with suppress(SystemExit):
            runpy.run_module("doit", run_name="__main__")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        out.write_text(json.dumps(seconds))


if __name__ == "__main__":
    _run(Path(sys.argv[1]), sys.argv[2:])
