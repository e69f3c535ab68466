"""Drift on real logs: the reflexion files added one after the other, in three seeded orders.

`python -m tests.reflexion_orders` needs the data beside the checkout (see `tests/test_reflexion.py`) and writes its
table into docs/drift.md. Each warning is judged against the file itself: do its accepted, retried and rejected runs
really differ from those of all files before it, counted from the scored runs, beyond what chance gives?
"""

import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from scipy.stats import chi2_contingency

from tests.harness import Project
from tests.simulation import write_page
from tests.test_reflexion import CONFIG, ROOT

SEEDS = (1, 2, 3)
_DATA = ROOT or Path()


def _files() -> list[Path]:
    return sorted((_DATA / "programming_runs/root").rglob("*_pass_at_*.jsonl"))


def _is_true(folder: Project, new: str) -> tuple[bool, float, float]:
    """Return whether the new file's categories differ from the rest's, with both shares of passes in percent."""
    counts = {"new": [0, 0, 0], "rest": [0, 0, 0]}
    for path in sorted((folder.folder / "data/scored-runs").rglob("*.jsonl")):
        if path.name == "resolution.jsonl":
            continue
        name = path.relative_to(folder.folder / "data/scored-runs").as_posix()
        side = counts["new" if name.endswith(new) else "rest"]
        for row in folder.rows(f"data/scored-runs/{name}"):
            side[("accepted", "partially_accepted", "rejected").index(row["category"])] += 1
    fresh, rest = counts["new"], counts["rest"]
    columns = [pair for pair in zip(fresh, rest, strict=True) if any(pair)]
    p = float(chi2_contingency(list(zip(*columns, strict=True)))[1])
    return p < 0.01, 100 * sum(fresh[:2]) / sum(fresh), 100 * sum(rest[:2]) / sum(rest)


def run_order(seed: int) -> dict[str, Any]:
    """Add every file once, run doit each time, and return what drift said."""
    order = _files()
    random.Random(seed).shuffle(order)
    found: dict[str, Any] = {"steps": 0, "small": 0, "warned": 0, "true": 0, "alerts": 0, "missed": 0, "other": []}
    with tempfile.TemporaryDirectory() as name:
        project = Project(Path(name) / "project", config=CONFIG.replace("@ROOT@", str(Path(name) / "logs")))
        for i, path in enumerate(order):
            target = Path(name) / "logs" / path.relative_to(_DATA)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
            project.doit(env={"DISTILL_DRIFT_FAIL_ON": "never"})
            if i == 0:
                continue
            drift = project.document("drift.json")
            shares = [test for test in drift["tests"] if test["question"].startswith("did the shares")]
            moved = [test for test in shares if test["verdict"] != "ok"]
            true, new, rest = _is_true(project, path.relative_to(_DATA / "programming_runs/root").as_posix())
            found["steps"] += 1
            found["small"] += any(test["direction"].startswith("insufficient") for test in shares)
            found["warned"] += bool(moved)
            found["alerts"] += any(test["verdict"] == "alert" for test in moved)
            found["true"] += bool(moved) and true
            found["missed"] += true and not moved
            if moved and not true:
                found["other"].append(f"{path.parent.name}: {max(moved, key=lambda test: test['statistic'] or 0)['direction']}")
            sys.stderr.write(
                f"{seed} {i} {path.parent.name}: {new:.1f} % passed against {rest:.1f} %; {[t['direction'] for t in moved][:2]}\n"
            )
    return found


def main() -> None:
    """Run the three orders and write the table."""
    results = {seed: run_order(seed) for seed in SEEDS}
    lines = ["| order | files added | under 100 records | warned | of these alerts | categories really differ | differ, not warned |",
             "|---|---:|---:|---:|---:|---:|---:|"]  # fmt: skip
    for seed, found in results.items():
        cells = (seed, found["steps"], found["small"], found["warned"], found["alerts"], found["true"], found["missed"])
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    others = sorted({text for found in results.values() for text in found["other"]})
    if others:
        lines += [
            "",
            "Warned though the categories do not differ:",
            "",
            *(f"- {text}" for text in others),
        ]
    write_page("reflexion", "\n".join(lines))


if __name__ == "__main__":
    main()
