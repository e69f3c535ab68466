"""Where the CPU time of a run goes: what receipts, hashes, the firewall's second reading and the summary cost."""

import json
import shutil
import sys
from statistics import median

from tests.benchmarks.corpus import write_corpus
from tests.benchmarks.measuring import run_measured
from tests.benchmarks.page import render_table, write_section
from tests.benchmarks.projects import FOUR, make_project, read_counts
from tests.benchmarks.sampled import GROUPS, REST
from tests.benchmarks.work import Order

__all__ = ["write_cpu"]


def _seconds(order: Order, tasks: tuple[str, ...]) -> dict[str, float]:
    """Return CPU seconds by group of one run of a new project."""
    project, out = (
        make_project(order.base / "turn", write_corpus(order.base / f"logs-{order.rows}", order.rows)),
        order.base / "sampled.json",
    )
    run_measured([sys.executable, "-m", "tests.benchmarks.sampled", str(out), *tasks], project, env={"DISTILL_ENGINE": "inline"})
    read_counts(project)  # fails where the run did
    shutil.rmtree(project)
    found: dict[str, float] = json.loads(out.read_text())
    return found


def write_cpu(order: Order) -> None:
    """Write the shares of the groups."""
    kinds = {"four stages": FOUR, "whole doit": ()}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for _ in range(order.rounds):
        for name, tasks in kinds.items():
            runs[name].append(_seconds(order, tasks))
    rows = []
    for group in (*GROUPS, REST):
        cells = [group]
        for found in runs.values():
            cells += [
                f"{median(one.get(group, 0) for one in found):.2f}",
                f"{median(one.get(group, 0) / sum(one.values()) for one in found):.1%}",
            ]
        rows.append((*cells, ", ".join(f"`{name}`" for name in GROUPS.get(group, ()))))
    head = ("group", *(title for name in kinds for title in (f"{name}: CPU s", "share")), "note")
    write_section(
        "cpu", command=order.command, body=render_table(head, rows),
        facts=f"{order.rows:,} rows of about 1 KB in eight files, engine inline, {order.rounds} rounds, medians; the stack is looked at every 2 ms of CPU "
        "time and belongs to the first group that any of its frames is in; `note`: the modules and functions of distill in it",
    )  # fmt: skip
