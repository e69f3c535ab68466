"""What it costs to find that nothing is to be done, in turn: distill, a bare doit project of the same graph, DVC and Snakemake.

`python -m tests.benchmarks.noop [RUNS]` prints medians and the ratio; the sample is what the pipeline ran on.
"""

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.benchmarks.builders import BUILDERS, SEVEN, build_with, make_seven
from tests.benchmarks.corpus import write_corpus
from tests.benchmarks.measuring import ROOT, Measure, run_measured
from tests.benchmarks.page import is_installed, render_table, versions_of, write_section
from tests.benchmarks.projects import make_project
from tests.benchmarks.work import Order

__all__ = ["write_noop"]

_RUNS = 21
_FILES = 1000
_BARE = f"""
GRAPH = {[(name, needs, [makes]) for name, needs, makes in SEVEN]!r} + [("summary", ["e", "f", "g", "h"], ["i"])]


def write(targets):
    for target in targets:
        open(target, "w").write(target)


def task_graph():
    for name, needs, makes in GRAPH:
        yield {{"basename": name, "actions": [(write, [makes])], "file_dep": needs, "targets": makes}}
"""


def _doit(folder: Path) -> Callable[[], Measure]:
    return lambda: run_measured([sys.executable, "-m", "doit"], folder)


def _builder(tool: str, folder: Path) -> Callable[[], Measure]:
    return lambda: build_with(tool, folder)


def _settings(text: str) -> str:
    """Return the settings in a pyproject.toml as they stand in a distill.toml."""
    tables = re.split(r"(?m)^(?=\[)", text)
    ours = [table for table in tables if table.startswith(("[tool.distill", "[[tool.distill"))]
    return "".join(ours).replace("[tool.distill]\n", "").replace("tool.distill.", "")


def _make_projects(base: Path) -> dict[str, Callable[[], Measure]]:
    """Return what brings each project up to date."""
    bare = base / "bare"
    bare.mkdir()
    ours = make_project(base / "ours", Path())  # laid out as `distill init` does, with the settings of the sample
    (ours / "distill.toml").write_text(_settings((ROOT / "pyproject.toml").read_text()))
    whole = base / "whole"
    for folder in (ours, whole):
        shutil.copytree(ROOT / "fixtures/sample", folder / "fixtures/sample")
    for file in ("dodo.py", "pyproject.toml"):
        shutil.copy(ROOT / file, whole / file)
    (bare / "dodo.py").write_text(_BARE)
    (bare / "a").write_text("a")
    many = make_project(base / "many", write_corpus(base / "logs", _FILES * 10, files=_FILES))
    found = {
        "distill": _doit(ours), "bare doit": _doit(bare), f"distill, {_FILES:,} input files": _doit(many),
        "distill, settings in a pyproject.toml, which doit reads too": _doit(whole),
    }  # fmt: skip
    return found | {tool: _builder(tool, make_seven(tool, base / tool)) for tool in BUILDERS if is_installed(tool)}


def measure_noop(runs: int) -> dict[str, list[float]]:
    """Return seconds of no-ops; all in turn, so that a slow moment of the machine hits all."""
    with tempfile.TemporaryDirectory() as folder:
        projects = _make_projects(Path(folder))
        for build in projects.values():
            build()
        time.sleep(1)
        for build in projects.values():
            build()
        times: dict[str, list[float]] = {name: [] for name in projects}
        for _ in range(runs):
            for name, build in projects.items():
                times[name].append(build().seconds)
    return times


def _table(times: dict[str, list[float]]) -> str:
    bare = times["bare doit"]
    rows = [
        (name, f"{median(found) * 1000:,.0f}", f"{median(one / two for one, two in zip(found, bare, strict=True)):.2f}")
        for name, found in times.items()
    ]
    return render_table(("no-op", "median ms", "of bare doit, pair by pair"), rows)


def write_noop(order: Order) -> None:
    """Measure no-ops, seven for each round asked for."""
    runs = order.rounds * _RUNS // 3
    write_section(
        "noop", command=order.command, body=_table(measure_noop(runs)),
        facts=f"{runs} no-ops each, in turn; distill on the sample, the others on stages of the same graph that write a letter; "
        f"{versions_of('doit', *BUILDERS)}",
    )  # fmt: skip


if __name__ == "__main__":
    print(_table(measure_noop(int(sys.argv[1]) if len(sys.argv) > 1 else _RUNS)))
