"""This run against the prior one: what moved, and whether that is an alarm (SPEC 6).

Here: hash matches, deterministic violations, volume, new reasons, vanished partitions, exports that fell to nothing,
and the firewall. The tests on shares are in `distill.shares`; `tests` of the report names every question asked.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from distill.baseline import Corpus, Counts, read_corpus
from distill.config import Drift
from distill.schemas.drift_report import DriftReport, DriftTest, Severity, StageDrift
from distill.schemas.run_summary import RunSummary, StageSummary
from distill.schemas.stage_receipt import StageReceipt
from distill.shares import ask_shares

__all__ = ["FIRST_RUN", "PriorRun", "ThisRun", "build_drift"]

FIRST_RUN = "no prior; baseline established"
_ORDER: tuple[Severity, ...] = ("ok", "warn", "alert")


class ThisRun(NamedTuple):
    """The run that is reported on."""

    summary: RunSummary
    """Its summary."""
    receipts: Sequence[StageReceipt]
    """Its receipts, in the order of the pipeline."""
    sources: Mapping[str, str] = {}
    """Partition to the source it belongs to."""
    gained: Mapping[str, Mapping[str, Counts]] = {}
    """Partition to what its log gained since the prior run, where that had to be read."""


class PriorRun(NamedTuple):
    """The newest full run before, as far as it can still be read."""

    run_id: str
    """Its id."""
    summary: RunSummary | None
    """Its summary, or None where it is missing or damaged."""
    receipts: dict[str, StageReceipt]
    """Its readable receipts by stage."""
    problems: list[str]
    """What could not be read."""
    known_reasons: frozenset[str]
    """`stage:slug` of every reason in earlier runs."""
    good: Sequence[Corpus] = ()
    """The last good runs, full and passed, newest first."""


class _Findings:
    """Flags with their severity."""

    def __init__(self) -> None:
        self._flags: list[tuple[Severity, str]] = []
        self.severity: Severity = "ok"
        self.tests: list[DriftTest] = []

    def add(self, flag: str, severity: Severity) -> None:
        self._flags.append((severity, flag))
        self.severity = max(self.severity, severity, key=_ORDER.index)

    @property
    def flags(self) -> list[str]:
        """The flags, the worst first."""
        return [flag for _, flag in sorted(self._flags, key=lambda found: -_ORDER.index(found[0]))]


def build_drift(run: ThisRun, prior: PriorRun | None, thresholds: Drift) -> DriftReport:
    """Return the report; every question is in `tests` with its figures, alarm or not."""
    found = _Findings()
    stages: list[StageDrift] = []
    if prior is None:
        found.add(FIRST_RUN, "ok")
    else:
        for problem in prior.problems:
            found.add(problem, "warn")
        stages = _compare(run, prior, thresholds, found)
    _check_firewall(run, found)
    return DriftReport(
        run_id=run.summary.run_id, prior_run_id=prior.run_id if prior else None, severity=found.severity, flags=found.flags,
        thresholds=thresholds._asdict(), tests=found.tests, stages=stages,
    )  # fmt: skip


def _compare(run: ThisRun, prior: PriorRun, thresholds: Drift, found: _Findings) -> list[StageDrift]:
    _check_partitions(run, prior, found)
    _check_shares(run, prior, thresholds, found)
    if prior.summary is None:  # what its receipts say can still be asked
        return []
    before = {stage.stage: stage for stage in prior.summary.stages}
    summary = run.summary
    if summary.run_hash != prior.summary.run_hash and summary.run_hash and prior.summary.run_hash:
        found.add("run_hash differs from prior run", "ok")
    drifts: list[StageDrift] = []
    for stage, receipt in zip(summary.stages, run.receipts, strict=True):
        old = before.get(stage.stage)
        if old is None or old.output_hash is None or stage.output_hash is None:
            continue
        drift = _stage_drift(stage, old, _tools_note(receipt, prior))
        drifts.append(drift)
        if drift.deterministic_violation:
            found.add(f"{stage.stage}: deterministic violation: same inputs, code, settings and tools, other outputs", "alert")
        _check_volume(drift, stage, prior, thresholds, found)
        _check_reasons(receipt, prior, thresholds, found)
    _check_datasets(summary, prior.summary, found)
    return drifts


def _tools_note(receipt: StageReceipt, prior: PriorRun) -> str | None:
    """Return what keeps equal inputs, code and settings from promising equal outputs, or None."""
    old = prior.receipts.get(receipt.stage)
    if old is None:
        return "the prior run's receipt cannot be read, so its tool versions are not known"
    return None if old.tool_versions == receipt.tool_versions else "other tool versions than in the prior run"


def _stage_drift(stage: StageSummary, old: StageSummary, tools_note: str | None) -> StageDrift:
    matches = {
        f"{name}_match": getattr(stage, name) == getattr(old, name) for name in ("input_hash", "output_hash", "code_hash", "config_hash")
    }
    alike = matches["input_hash_match"] and matches["code_hash_match"] and matches["config_hash_match"] and tools_note is None
    change = (stage.records_out - old.records_out) / old.records_out * 100 if old.records_out else None
    deltas = {
        f"delta_{name}": getattr(stage, name) - getattr(old, name)
        for name in ("records_in", "records_out", "accepted", "rejected", "quarantined", "skipped", "filtered")
    }
    return StageDrift(
        stage=stage.stage, pct_change_out=change, deterministic_violation=alike and not matches["output_hash_match"],
        notes=[] if tools_note is None else [tools_note], **deltas, **matches,
    )  # fmt: skip


def _check_volume(drift: StageDrift, stage: StageSummary, prior: PriorRun, thresholds: Drift, found: _Findings) -> None:
    """Warn where a stage wrote much more or less, unless it read as much as before and chance explains the difference."""
    if drift.output_hash_match:
        return
    change = drift.pct_change_out
    large = change is not None and abs(change) > thresholds.warn_pct
    loud = large and not _is_chance(drift, stage, thresholds)
    direction = "unknown, the prior run wrote nothing" if change is None else f"{change:+.1f} %"
    if large and not loud:
        drift.notes.append(f"{direction} records written from as many read: chance may explain it")
    considered = stage.accepted + stage.rejected + stage.quarantined + stage.skipped + stage.filtered
    if considered < thresholds.min_records:
        drift.notes.append(f"insufficient_sample: {considered} considered, {thresholds.min_records} are wanted for tests on shares")
    found.tests.append(
        DriftTest(
            question="did the volume move", where=stage.stage, statistic=change, p=None, n=stage.records_out, direction=direction,
            baseline_run_ids=[prior.run_id], verdict="warn" if loud else "ok",
        )
    )  # fmt: skip
    if loud:
        found.add(f"{stage.stage}: {change:+.1f} % records written, beyond {thresholds.warn_pct:g} %", "warn")


def _is_chance(drift: StageDrift, stage: StageSummary, thresholds: Drift) -> bool:
    """Tell whether a stage that read about as much as before wrote no more or less than chance would."""
    read_before = stage.records_in - drift.delta_records_in
    if not read_before or abs(drift.delta_records_in) / read_before * 100 > thresholds.warn_pct:
        return False
    both = 2 * stage.records_out - drift.delta_records_out
    return abs(drift.delta_records_out) <= thresholds.z * math.sqrt(both)


def _check_reasons(receipt: StageReceipt, prior: PriorRun, thresholds: Drift, found: _Findings) -> None:
    for slug, count in receipt.stats.reasons.items():
        if f"{receipt.stage}:{slug}" in prior.known_reasons:
            continue
        loud = count >= thresholds.new_reason_min
        found.tests.append(
            DriftTest(
                question="is the reason new", where=receipt.stage, statistic=float(count), p=None, n=receipt.stats.considered,
                direction=f"{slug} appeared", baseline_run_ids=[prior.run_id], verdict="warn" if loud else "ok",
            )
        )  # fmt: skip
        if loud:
            found.add(f"{receipt.stage}: reason {slug!r} was never seen before, {count} times", "warn")


def _check_partitions(run: ThisRun, prior: PriorRun, found: _Findings) -> None:
    old = prior.receipts.get("collect")
    new = next((receipt for receipt in run.receipts if receipt.stage == "collect"), None)
    if old is None or new is None or new.outputs.hash is None:  # a collect that did not finish lists only what it came to read
        return
    gone = sorted({file.path for file in old.inputs.files} - {file.path for file in new.inputs.files})
    kept = {file.path.split("/")[0] for file in new.inputs.files}
    for source in sorted({path.split("/")[0] for path in gone} - kept):
        found.add(f"source vanished: {source}", "warn")
    moved = {file.blake3: file.path for file in new.inputs.files if file.bytes}
    held = {file.path: moved.get(file.blake3) for file in old.inputs.files}
    for path in gone:
        found.add(f"partition vanished: {path}" + (f"; {held[path]} holds the same bytes" if held[path] else ""), "warn")


def _check_shares(run: ThisRun, prior: PriorRun, thresholds: Drift, found: _Findings) -> None:
    now = read_corpus(run.summary.run_id, {receipt.stage: receipt for receipt in run.receipts}, run.sources)
    before = read_corpus(prior.run_id, prior.receipts, run.sources)
    if before.files:
        now = now._replace(gained=run.gained)
    if not before.files:  # what came with a run that did not get as far as score is still new
        before = next((corpus for corpus in prior.good if corpus.files), before)
    if not now.files or not before.files:
        found.tests.append(
            DriftTest(
                question="did the shares move", where="all sources", statistic=None, p=None, n=0,
                direction="not asked: collect or score did not finish, or has no readable receipt, here or in the runs before",
                baseline_run_ids=[prior.run_id], verdict="ok",
            )
        )  # fmt: skip
        return
    told: set[tuple[str, Severity]] = set()
    for moved in ask_shares(now, before, prior.good, thresholds):
        found.tests.append(moved.test)
        verdict = (moved.subject, moved.test.verdict)
        if moved.sentence is not None and verdict not in told:  # the pool often says what the rest has said
            found.add(moved.sentence, moved.test.verdict)
            told.add(verdict)


def _check_datasets(summary: RunSummary, prior: RunSummary, found: _Findings) -> None:
    for name in ("rag", "sft", "preference"):
        before, after = getattr(prior.datasets, name), getattr(summary.datasets, name)
        if before and after == 0:
            found.add(f"dataset {name} fell to nothing, from {before} rows", "alert")


def _check_firewall(run: ThisRun, found: _Findings) -> None:
    for receipt in run.receipts:
        if receipt.decision == "failed" and any(error.startswith("firewall: ") for error in receipt.validation.errors):
            found.add(f"{receipt.stage}: the firewall spoke", "alert")
