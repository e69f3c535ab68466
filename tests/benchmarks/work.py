"""The four stages by distill and by its peers, in turn; and the whole `doit` against the four stages."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.benchmarks.corpus import write_corpus
from tests.benchmarks.measuring import Measure, median_of, memory_kind, run_measured
from tests.benchmarks.page import is_installed, render_table, versions_of, write_section
from tests.benchmarks.peers import MISSING, PEERS
from tests.benchmarks.projects import FOUR, make_project, read_counts, run_ours

__all__ = ["ENGINES", "Order", "write_memory", "write_million", "write_whole", "write_work"]

ENGINES = {"distill, inline": ("inline", 0), "distill, 1 worker": ("processes", 1), "distill, 2 workers": ("processes", 2)}
_OWN = {"fused", "staged"}
_RIVAL = "duckdb"
_WHOLE = 1_000_000


class Order(NamedTuple):
    """What was asked for on the command line."""

    base: Path
    """Empty folder to work in."""
    rows: int
    """Rows of the corpus."""
    rounds: int
    """Rounds in turn."""
    sizes: tuple[int, ...]
    """Rows of the corpora whose memory is measured."""
    command: str
    """The command line."""


Tool = Callable[[Path, bool], tuple[Measure, dict[str, int]]]


def _ours(logs: Path, engine: str, workers: int) -> Tool:
    def run(folder: Path, memory: bool) -> tuple[Measure, dict[str, int]]:
        project = make_project(folder, logs)
        done = run_ours(project, *FOUR, engine=engine, workers=workers, memory=memory)
        return done, read_counts(project)

    return run


def _peer(logs: Path, name: str) -> Tool:
    def run(folder: Path, memory: bool) -> tuple[Measure, dict[str, int]]:
        folder.mkdir()
        env = {"HF_HOME": str(folder / "home"), "HF_DATASETS_OFFLINE": "1"}
        done = run_measured([sys.executable, "-m", "tests.benchmarks.peers", name, str(logs), str(folder)], folder, env=env, memory=memory)
        return done, json.loads(done.out)

    return run


def _take_turns(tools: dict[str, Tool], order: Order) -> tuple[dict[str, list[Measure]], dict[str, float], dict[str, int]]:
    """Return the runs of every tool, its peak memory, and the counts that all agree on.

    Raises:
        SystemExit: two tools did not do the same work.
    """
    runs: dict[str, list[Measure]] = {name: [] for name in tools}
    peaks: dict[str, float] = {}
    counts: dict[str, int] = {}
    for turn in range(order.rounds + 1):
        for name, run in tools.items():
            folder = order.base / "turn"
            memory = turn == order.rounds
            done, found = run(folder, memory)
            shutil.rmtree(folder)
            counts = counts or found
            if found != counts:
                raise SystemExit(f"not the same work: {name} counts {found}, {next(iter(tools))} {counts}")
            if memory:
                peaks[name] = done.megabytes
            else:
                runs[name].append(done)
            sys.stderr.write(f"{name}: {done.seconds:.2f} s{', looked at' if memory else ''}\n")
    return runs, peaks, counts


def write_work(order: Order) -> None:
    """Measure the four stages by every tool."""
    _write_tools(order, "work", engines=list(ENGINES), peers=list(PEERS))


def write_million(order: Order) -> None:
    """Measure the four stages on ten times the rows, by the tools that hold their own there."""
    _write_tools(order._replace(rows=10 * order.rows), "million", engines=["distill, 2 workers"], peers=["fused", "duckdb", "polars"])


def _write_tools(order: Order, section: str, *, engines: list[str], peers: list[str]) -> None:
    logs = write_corpus(order.base / f"logs-{order.rows}", order.rows)
    tools = {name: _ours(logs, *ENGINES[name]) for name in engines}
    missing = [name for name in peers if name not in _OWN and not is_installed(name)]
    tools |= {name: _peer(logs, name) for name in peers if name not in missing}
    runs, peaks, counts = _take_turns(tools, order)
    rival = median_of(runs[_RIVAL]) if _RIVAL in runs else None
    rows = []
    for name, done in runs.items():
        ratio = f"{median_of(done) / rival:.2f}" if rival else "-"
        cpu = median(one.cpu for one in done)
        rows.append((name, f"{median_of(done):.2f}", ratio, f"{cpu:.2f}", f"{peaks[name]:.0f}", MISSING.get(name, "")))
    table = render_table(("tool", "median s", f"of {_RIVAL}", "CPU s", "peak MB", "note"), rows)
    agreed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    absent = "".join(f"\n\nNot installed, so not measured: {name}." for name in missing)
    packages = [name for name in peers if name not in _OWN]
    write_section(
        section, command=order.command, body=f"All agree on {agreed}. `note`: what a tool leaves out of distill's work.\n\n{table}{absent}",
        facts=f"{order.rows:,} rows of about 1 KB in eight files, {order.rounds} rounds in turn; {versions_of(*packages, 'msgspec', 'doit')}; "
        f"peak, in a round of its own: {memory_kind()}",
    )  # fmt: skip


def write_whole(order: Order) -> None:
    """Measure the whole `doit` against its first four stages, with two workers."""
    logs = write_corpus(order.base / f"logs-{order.rows}", order.rows)
    kinds = {"four stages": FOUR, "whole doit": ()}
    runs: dict[str, list[Measure]] = {name: [] for name in kinds}
    peaks: dict[str, float] = {}
    for turn in range(order.rounds + 1):
        for name, tasks in kinds.items():
            project = make_project(order.base / "turn", logs)
            done = run_ours(project, *tasks, workers=2, memory=turn == order.rounds)
            shutil.rmtree(project)
            if turn == order.rounds:
                peaks[name] = done.megabytes
            else:
                runs[name].append(done)
    first = median_of(runs["four stages"])
    rows = [
        (name, f"{median_of(done):.2f}", f"{median_of(done) / first:.2f}", f"{median(one.cpu for one in done):.2f}", f"{peaks[name]:.0f}")
        for name, done in runs.items()
    ]
    write_section(
        "whole", command=order.command, body=render_table(("what", "median s", "of four stages", "CPU s", "peak MB"), rows),
        facts=f"{order.rows:,} rows of about 1 KB in eight files, {order.rounds} rounds in turn, 2 workers; peak, in a round of its own: {memory_kind()}",
    )  # fmt: skip


def write_memory(order: Order) -> None:
    """Measure how the memory of the four stages and of the whole grows with the corpus; each once, the whole up to a million rows."""
    rows = []
    for size in order.sizes:
        logs = write_corpus(order.base / f"logs-{size}", size)
        cells = [f"{size:,}", f"{sum(path.stat().st_size for path in logs.iterdir()) / 1e6:,.0f}"]
        for tasks in (FOUR, ()):
            if not tasks and size > _WHOLE:
                cells += ["-", "-"]
                continue
            project = make_project(order.base / "turn", logs)
            try:
                done = run_ours(project, *tasks, engine="processes", workers=2, memory=True)
                cells += [f"{done.megabytes:,.0f}", f"{done.seconds:,.1f}"]
            except SystemExit as err:
                sys.stderr.write(f"{err}\n")
                cells += ["failed", "-"]
            shutil.rmtree(project)
        rows.append(cells)
        shutil.rmtree(logs)
    head = ("rows", "MB of logs", "2 workers, four stages: MB", "s", "2 workers, whole doit: MB", "s")
    write_section(
        "memory", command=order.command, body=render_table(head, rows), facts=f"eight files, each run once and looked at meanwhile, so seconds are not those of `work`; peak: {memory_kind()}",
    )  # fmt: skip
