"""What a small change costs: distill in three cases, and builders on the same graph."""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.benchmarks.builders import BUILDERS, build_with, make_builder
from tests.benchmarks.corpus import append_row, change_row, write_corpus
from tests.benchmarks.measuring import Measure
from tests.benchmarks.page import is_installed, render_table, versions_of, write_section
from tests.benchmarks.projects import FOUR, make_project, run_ours
from tests.benchmarks.work import Order

__all__ = ["write_rebuild"]

_SETTLE = 0.3
"""Seconds after which no file counts as just written."""


class Case(NamedTuple):
    """One way a corpus changes."""

    name: str
    files: int
    change: Callable[[Path, int], None]
    said: str


class Turn(NamedTuple):
    """One project: built in full, asked again, changed, built."""

    full: float
    same: float
    changed: float


_CASES = (
    Case("(a) one row appended to one of eight files", 8, append_row, "Appended"),
    Case("(b) one row appended to the only file", 1, append_row, "Appended"),
    Case("(c) one row changed in one of 64 files", 64, change_row, "Changed"),
)


def _turn(build: Callable[[], Measure], folder: Path, case: Case, turn: int) -> Turn:
    """Build, ask again, change a log, build; what was made must hold the change then.

    Raises:
        SystemExit: it does not.
    """
    name = f"runs-{case.files // 2}.jsonl"
    full = build().seconds
    time.sleep(_SETTLE)
    same = build().seconds
    case.change(folder / "logs" / name, turn)
    time.sleep(_SETTLE)
    changed = build().seconds
    made = [path for path in folder.rglob(name) if "evidence" in path.parts and f"{case.said} {turn}." in path.read_text(encoding="utf-8")]
    shutil.rmtree(folder)
    if not made:
        raise SystemExit(f"{case.name}: no evidence holds the change")
    return Turn(full, same, changed)


def _own_turn(order: Order, case: Case, turn: int, tasks: tuple[str, ...]) -> Turn:
    project = make_project(order.base / "turn", Path("logs"))
    shutil.copytree(_corpus(order, case), project / "logs")
    done = _turn(lambda: run_ours(project, *tasks, workers=2), project, case, turn)
    sys.stderr.write(f"distill {' '.join(tasks)} {case.name}: {done}\n")
    return done


def _builder_turn(order: Order, case: Case, turn: int, tool: str) -> Turn:
    folder = order.base / "turn"
    shutil.copytree(_corpus(order, case), folder / "logs")
    make_builder(tool, folder)
    done = _turn(lambda: build_with(tool, folder), folder, case, turn)
    sys.stderr.write(f"{tool} {case.name}: {done}\n")
    return done


def _corpus(order: Order, case: Case) -> Path:
    return write_corpus(order.base / f"logs-{order.rows}-in-{case.files}", order.rows, files=case.files)


def _cells(turns: list[Turn]) -> tuple[str, ...]:
    full, same, changed = (median(times) for times in zip(*turns, strict=True))
    share = median(turn.changed / turn.full for turn in turns)
    return (f"{full:.2f}", f"{same:.2f}", f"{changed:.2f}", f"{share:.1%}")


def write_rebuild(order: Order) -> None:
    """Measure distill in every case, on the four stages and the whole, then builders on the first case, in turn."""
    own: dict[tuple[str, str], list[Turn]] = {}
    for turn in range(order.rounds):
        for case in _CASES:
            for name, tasks in (("four stages", FOUR), ("whole doit", ())):
                own.setdefault((case.name, name), []).append(_own_turn(order, case, turn, tasks))
    first, others = _CASES[0], {tool: list[Turn]() for tool in BUILDERS if is_installed(tool)}
    for turn in range(order.rounds):
        for tool, turns in others.items():
            turns.append(_builder_turn(order, first, turn, tool))
    head = ("full s", "no-op s", "changed s", "changed / full")
    rows = [(case, what, *_cells(turns)) for (case, what), turns in own.items()]
    ours = render_table(("case", "what", *head), rows, texts=2)
    rivals = [
        ("distill, four stages", *_cells(own[first.name, "four stages"])),
        *((tool, *_cells(turns)) for tool, turns in others.items()),
    ]
    theirs = render_table(("tool", *head), rivals)
    absent = "".join(f"\n\nNot installed, so not measured: {tool}." for tool in BUILDERS if tool not in others)
    body = (
        f"{ours}\n\nCase (a) by builders, with the script's stages: collect and score per file, two exports over all of it; "
        f"DVC also copies what was made into its cache.\n\n{theirs}{absent}"
    )
    write_section(
        "rebuild", command=order.command, body=body,
        facts=f"{order.rows:,} rows of about 1 KB, {order.rounds} rounds, each a new project, built, asked again, changed, built; medians, shares "
        f"turn by turn; distill with 2 workers; {versions_of(*BUILDERS)}",
    )  # fmt: skip
