"""How often drift cries wolf and how often it sleeps, by simulation of whole runs through the real `build_drift`.

`python -m tests.simulation` runs every cell and writes the table into docs/drift.md; `tests/test_drift_rates.py` runs a
fast core. Seeded; numpy draws the counts, everything else is the product's own code.
"""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distill.baseline import read_corpus
from distill.config import Drift
from distill.drift import PriorRun, ThisRun, build_drift
from distill.hashing import hash_bytes, tagged
from distill.runner import file_set
from distill.schemas.drift_report import DriftReport
from distill.schemas.run_summary import RunSummary
from distill.schemas.stage_receipt import FileSet, FileState, StageReceipt, Stats, Validation
from distill.stages import STAGES
from distill.summary import build_summary

SHARES = {"accepted": 0.45, "partially_accepted": 0.125, "rejected": 0.15, "needs_human_review": 0.275}
REASONS = {
    "accepted": {"tests_passed": 0.8, "human_accept": 0.2},
    "partially_accepted": {"retried": 0.7, "with_changes": 0.3},
    "rejected": {"tests_failed": 0.7, "human_reject": 0.2, "errors_unjudged": 0.1},
    "needs_human_review": {"no_signal": 0.5, "weak_accept": 0.3, "signals_disagree": 0.2},
}
SOURCES = {"outcomes": 0.7, "reviews": 0.3}
SKIPPED = 0.01
SIZES = (50, 200, 1000, 5000)
OLD_ROWS = 10_000
KINDS = {"accepted": "accepted", "rejected": "rejected", "partially_accepted": "quarantined", "needs_human_review": "quarantined"}


class File(NamedTuple):
    """One partition: its version and its counts."""

    version: str
    collect: dict[str, int]
    score: dict[str, int]
    exported: dict[str, int]


def shifted(rejected: float) -> dict[str, float]:
    """Return the shares with another share of rejections, the others in proportion."""
    scale = (1 - rejected) / (1 - SHARES["rejected"])
    return {name: rejected if name == "rejected" else share * scale for name, share in SHARES.items()}


def draw_file(rng: np.random.Generator, version: str, n: int, shares: Mapping[str, float]) -> File:
    """Draw the counts of `n` records."""
    skipped = int(rng.binomial(n, SKIPPED))
    score: dict[str, int] = {}
    drawn = rng.multinomial(n - skipped, list(shares.values()))
    for (category, reasons), count in zip(REASONS.items(), drawn, strict=True):
        for slug, part in zip(reasons, rng.multinomial(count, list(reasons.values())), strict=True):
            for name in {category, KINDS[category], slug}:
                score[name] = score.get(name, 0) + int(part)
    good = score["accepted"] + score["retried"]
    thinned = {"sft": (good, 0.8), "paired": (n - skipped, 0.3), "tasks": (n - skipped, 0.25)}
    exported = {name: int(rng.binomial(of, share)) for name, (of, share) in thinned.items()}
    return File(version, {"accepted": n - skipped, "skipped": skipped, "not_json": skipped}, score, exported)


def add_files(one: File, two: File) -> File:
    """Return a file that grew by another's records."""

    def plus(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
        return {key: a.get(key, 0) + b.get(key, 0) for key in a.keys() | b.keys()}

    return File(two.version, plus(one.collect, two.collect), plus(one.score, two.score), plus(one.exported, two.exported))


def _receipt(stage: str, seed: str, stats: Stats, records: tuple[int, int], outputs: list[FileState] | None = None) -> StageReceipt:
    state = FileState(path=f"{stage}.in", blake3=hash_bytes(seed.encode()), sha256="0" * 64, bytes=1, record_count=records[0])
    out = FileState(path=f"{stage}.out", blake3=hash_bytes(seed.encode()), sha256="0" * 64, bytes=1, record_count=records[1])
    written: FileSet = file_set([*(outputs or []), out])
    return StageReceipt(
        run_id="run", stage=stage, timestamp="2026-01-01T00:00:00Z", git_commit=None, git_dirty=None, code_hash=tagged(bytes(32)),
        config_hash=tagged(bytes(32)), tool_versions={}, decision="executed", decision_reason="", carried_from=None, executed_commit=None,
        inputs=file_set([state]), outputs=written, stats=stats, validation=Validation(passed=True), duration_ms=0,
    )  # fmt: skip


def _total(files: Mapping[str, File], name: str) -> int:
    return sum(file.score.get(name, 0) for file in files.values())


class Run(NamedTuple):
    """One simulated run."""

    summary: RunSummary
    receipts: list[StageReceipt]


def build_run(run_id: str, files: Mapping[str, File]) -> Run:
    """Return the documents of a run over these files."""
    rows = sum(file.collect["accepted"] for file in files.values())
    skipped = sum(file.collect["skipped"] for file in files.values())
    evidence = [
        FileState(path=f"data/evidence/{name}", blake3=hash_bytes(f"{name}{file.version}".encode()), sha256="0" * 64, bytes=1,
                  record_count=file.collect["accepted"]) for name, file in files.items()
    ]  # fmt: skip
    good = _total(files, "accepted") + _total(files, "retried")
    unsafe = rows - good
    sft, paired, tasks = (sum(file.exported[name] for file in files.values()) for name in ("sft", "paired", "tasks"))
    counted: dict[str, tuple[Stats, tuple[int, int]]] = {
        "collect": (Stats(unit="record", considered=rows + skipped, accepted=rows, skipped=skipped, reasons={"not_json": skipped},
                          by_file={name: file.collect for name, file in files.items()}), (rows + skipped, skipped)),
        "score": (Stats(unit="run", considered=rows, accepted=_total(files, "accepted"), rejected=_total(files, "rejected"),
                        quarantined=_total(files, "quarantined"), reasons={}, by_file={name: file.score for name, file in files.items()}),
                  (rows, rows)),
        "extract-playbooks": (Stats(unit="run", considered=rows, accepted=rows), (2 * rows, tasks)),
        "export-rag": (Stats(unit="candidate", considered=rows + tasks, accepted=good + tasks, quarantined=unsafe,
                             reasons={"unsafe_category": unsafe}), (2 * rows + tasks, rows + tasks)),
        "export-sft": (Stats(unit="run", considered=rows, accepted=sft, quarantined=unsafe, filtered=good - sft,
                             reasons={"unsafe_sft_category": unsafe, "duplicate_text": good - sft}), (2 * rows, 2 * sft + unsafe)),
        "export-preference": (Stats(unit="run", considered=rows, accepted=paired, filtered=rows - paired,
                                    reasons={"no_counterpart": rows - paired}), (2 * rows, paired // 2)),
        "index": (Stats(unit="row", considered=good + tasks, accepted=good + tasks), (good + tasks, good + tasks)),
    }  # fmt: skip
    receipts = [
        _receipt(stage.name, f"{run_id}{stage.name}", *counted[stage.name], evidence if stage.name == "collect" else None)
        for stage in STAGES
    ]
    summary = build_summary(
        receipts, index_hash=None, run_id=run_id, started_at="", ended_at="", git_commit=None, prior_run_id=None, prior_summary_hash=None
    )
    return Run(summary, receipts)


def _sources(files: Mapping[str, File]) -> dict[str, str]:
    return {name: name.split("/")[0] for name in files}


def report(history: list[dict[str, File]], now: dict[str, File], thresholds: Drift) -> DriftReport:
    """Return the drift report of `now` after a history of good runs, oldest first."""
    runs = [build_run(f"run-{i}", files) for i, files in enumerate(history)]
    sources = {name: source for files in (*history, now) for name, source in _sources(files).items()}
    known = frozenset(f"{receipt.stage}:{slug}" for run in runs for receipt in run.receipts for slug in receipt.stats.reasons)
    good = [read_corpus(run.summary.run_id, {r.stage: r for r in run.receipts}, sources) for run in reversed(runs[-thresholds.pool_runs :])]
    last = runs[-1]
    prior = PriorRun(last.summary.run_id, last.summary, {r.stage: r for r in last.receipts}, [], known, good)
    this = build_run("now", now)
    return build_drift(ThisRun(this.summary, this.receipts, sources), prior, thresholds)


def independent(rng: np.random.Generator, n: int, rejected: float, *, runs: int = 5, anew: bool = False) -> DriftReport:
    """Every run reads a corpus of its own: `n` records in four files of two sources, `anew` at the same four paths."""

    def corpus(run: int, shares: Mapping[str, float]) -> dict[str, File]:
        return {
            f"{source}/{'log' if anew else f'run-{run}'}-{part}.jsonl": draw_file(rng, str(run), round(n * share / 2), shares)
            for source, share in SOURCES.items()
            for part in range(2)
        }

    history = [corpus(run, SHARES) for run in range(runs)]
    return report(history, corpus(runs, shifted(rejected)), Drift())


def growing(rng: np.random.Generator, n: int, rejected: float, *, days: int = 5) -> DriftReport:
    """One log a source grows by `n` records a day after 10,000 old ones."""
    files = {f"{source}/log.jsonl": draw_file(rng, "0", round(OLD_ROWS * share), SHARES) for source, share in SOURCES.items()}
    history = [files]
    for day in range(1, days + 1):
        shares = shifted(rejected) if day == days else SHARES
        grown = {
            name: add_files(file, draw_file(rng, str(day), round(n * SOURCES[name.split("/")[0]]), shares)) for name, file in files.items()
        }
        history.append(grown)
        files = grown
    return report(history[:-1], history[-1], Drift())


SCENARIOS: dict[str, Any] = {
    "independent corpora": independent,
    "growing log": growing,
    "log written anew": partial(independent, anew=True),
}
CHANGES = {"unchanged": SHARES["rejected"], "rejections doubled": 2 * SHARES["rejected"], "50 % rejected": 0.5}


def rate(scenario: str, change: str, n: int, *, trials: int, seed: int = 1) -> float:
    """Return the share of trials in which drift raised a warning or an alert."""
    rng = np.random.default_rng([seed, n, list(SCENARIOS).index(scenario), list(CHANGES).index(change)])
    alarms = sum(SCENARIOS[scenario](rng, n, CHANGES[change]).severity != "ok" for _ in range(trials))
    return float(alarms / trials)


def render_table(trials: int) -> str:
    """Return the table of every cell."""
    lines = [
        f"| runs, {trials:,} trials a cell | change | " + " | ".join(f"N = {n:,}" for n in SIZES) + " |",
        "|---|---|" + "---:|" * len(SIZES),
    ]
    for scenario in SCENARIOS:
        for change in CHANGES:
            rates = [rate(scenario, change, n, trials=trials) for n in SIZES]
            lines.append(f"| {scenario} | {change} | " + " | ".join(f"{100 * value:.2f} %" for value in rates) + " |")
            sys.stderr.write(lines[-1] + "\n")
    return "\n".join(lines)


def write_page(block: str, text: str) -> None:
    """Put a table between its markers in docs/drift.md."""
    page = Path(__file__).parent.parent / "docs" / "drift.md"
    before, rest = page.read_text(encoding="utf-8").split(f"<!-- {block} -->\n")
    after = rest.split(f"<!-- end {block} -->")[1]
    page.write_text(f"{before}<!-- {block} -->\n{text}\n<!-- end {block} -->{after}", encoding="utf-8")


if __name__ == "__main__":
    write_page("simulation", render_table(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
