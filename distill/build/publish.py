"""Adds a run: its directory by one rename, then the ledger line, then `latest` (SPEC 1).

Nothing is added where the receipts say no more than the newest run's; then its verdict is repeated.
"""

import os
import shutil
from typing import Any, TextIO

import msgspec

from distill.baseline import Corpus, read_corpus
from distill.build.decision import Project
from distill.build.execution import git_of_run
from distill.build.growth import read_gains
from distill.build.history import AddedRun, complete_ledger, read_run, refresh_runs, run_facts, runs_on_disk, summaries_told
from distill.build.ledger import Ledger, append_lines, read_ledger, run_line, save_ledger, tamper_line
from distill.build.session import Session, now
from distill.build.verdict import adds_nothing, failure_of, names_latest, newest_full, newest_holding
from distill.canonical import dump_sorted
from distill.config import drift_fails, setting_values
from distill.drift import PriorRun, ThisRun, build_drift
from distill.errors import IntegrityError, SchemaError
from distill.hashing import hash_bytes
from distill.jsonl import decode_document, encode_document
from distill.plan import LATEST, REPORTS, TEMPORARY
from distill.report.markdown import render_summary
from distill.report.text import render_text
from distill.schemas.drift_report import DriftReport
from distill.schemas.stage_receipt import StageReceipt, check_books
from distill.stages import INDEX, Stage, stage_named
from distill.summary import build_summary
from distill.targets import write_whole

__all__ = ["publish_run"]


def publish_run(project: Project, session: Session, out: TextIO) -> str | None:
    """Add the run, or repeat the newest verdict; return why it fails, or None.

    Raises:
        OSError: the reports cannot be written.
    """
    store = project.store
    complete_ledger(project)
    refresh_runs(project)
    _name_latest(project)
    stages = [stage_named(name) for name in session.reached]
    found = newest_holding(project, stages)
    if found is not None and adds_nothing(project, stages, found[1]):
        run_id, facts = found
        ledger = _check_ledger(project)
        head = _remember_head(project, ledger) if ledger.problem is None else ledger.head or "empty"
        store.save_meta("running", None)
        run = read_run(project.folder, run_id)
        out.write(render_text(run, title=f"nothing new; the verdict of run {run_id} stands", head=head))
        return failure_of(facts, project.config.drift.fail_on) or _broken(ledger, project.config.drift.fail_on)
    store.save_meta("running", session.run_id)
    run = _add_run(project, session, [_receipt(stage, project, session) for stage in stages])
    head = _remember_head(project, read_ledger(project.folder))
    store.save_meta("running", None)
    out.write(render_text(run, title=f"run {run.run_id}", head=head))
    return failure_of(run_facts(run), project.config.drift.fail_on)


def _name_latest(project: Project) -> None:
    """Let `latest` name the newest full run, where it does not."""
    newest = newest_full(project)
    if newest is not None and not names_latest(project, newest):
        write_whole(project.folder / LATEST, f"{newest}\n".encode())


def _remember_head(project: Project, ledger: Ledger) -> str:
    """Return the head; it is remembered, and the ledger's hash beside it, so that a no-op sees that nobody changed it."""
    head = ledger.head or "empty"
    for name, value in (("head", head), ("ledger", hash_bytes(ledger.data))):
        if project.store.meta(name) != value:
            project.store.save_meta(name, value)
    return head


def _check_ledger(project: Project) -> Ledger:
    """Return the ledger; one without a run that is there, or without the head that was told last, is broken too."""
    ledger = read_ledger(project.folder)
    if ledger.problem is not None:
        return ledger
    lost = sorted(set(runs_on_disk(project.folder)) - {line.run_id for line in ledger.lines if line.kind == "run"})
    told = project.store.meta("head")
    if lost:
        return msgspec.structs.replace(ledger, problem=f"it has no line of run {', '.join(lost)}")
    if ledger.data and told not in {None, "empty", *map(hash_bytes, ledger.data.splitlines())}:
        return msgspec.structs.replace(ledger, problem=f"the head that was told last, {told}, is in no line of it")
    return ledger


def _broken(ledger: Ledger, fail_on: str) -> str | None:
    """Return why a ledger that broke since the newest run fails this one, or None."""
    return f"the ledger is broken: {ledger.problem}" if ledger.problem is not None and drift_fails("alert", fail_on) else None


def _receipt(stage: Stage, project: Project, session: Session) -> StageReceipt:
    """Return this run's receipt of a stage: written by its action, or carried over."""
    store = project.store
    status, trace = store.status(stage.name), store.trace(stage.name)
    present = status or trace
    if present is None:
        raise IntegrityError(f"{stage.name}: has neither run nor failed; run doit {stage.task}")
    receipt = decode_document(present.receipt, StageReceipt, place=f"the store's receipt of {stage.name}")
    if present.run_id == session.run_id:
        return receipt
    git = git_of_run(project, session)
    added = {run_id for run_id, _ in store.runs()}
    if status is not None:
        decision, reason = receipt.decision, receipt.decision_reason
    else:
        decision, reason = "up_to_date", "up to date" if present.run_id in added else "finished by an interrupted run"
    return msgspec.structs.replace(
        receipt, run_id=session.run_id, timestamp=now(), duration_ms=0, git_commit=git.commit, git_dirty=git.dirty, decision=decision,
        decision_reason=reason, carried_from=present.run_id,
    )  # fmt: skip


def _prior(project: Project) -> tuple[AddedRun, PriorRun] | None:
    """Return the newest full run before this one, passed or not."""
    runs = project.store.runs()
    known = frozenset(reason for _, facts in runs for reason in facts["reasons"])
    for run_id, facts in runs:
        if facts["scope"] != "partial":
            run = read_run(project.folder, run_id, told=summaries_told(read_ledger(project.folder)))
            return run, PriorRun(run_id, run.summary, run.receipts, run.problems, known, _good_runs(project))
    return None


def _sources(project: Project) -> dict[str, str]:
    """Return partition to the source it belongs to."""
    return {log.partition: log.source.name for log in project.plan.logs}


def _good_runs(project: Project) -> list[Corpus]:
    """Return what the last good runs read, newest first."""
    good = [run_id for run_id, facts in project.store.runs() if facts["scope"] == "full" and facts["passed"]]
    runs = [read_run(project.folder, run_id) for run_id in good[: project.config.drift.pool_runs]]
    return [read_corpus(run.run_id, run.receipts, _sources(project)) for run in runs]


def _add_run(project: Project, session: Session, receipts: list[StageReceipt]) -> AddedRun:
    for receipt in receipts:
        problems = check_books(receipt)
        if problems:
            raise SchemaError("; ".join(problems))
    prior = _prior(project)
    summary = build_summary(
        receipts, index_hash=_index_hash(project, receipts), run_id=session.run_id, started_at=session.started_at, ended_at=now(),
        git_commit=receipts[0].git_commit if receipts else None, prior_run_id=prior[0].run_id if prior else None,
        prior_summary_hash=prior[0].summary_blake3 if prior else None,
    )  # fmt: skip
    gained = read_gains(project, {receipt.stage: receipt for receipt in receipts}, prior[1].receipts) if prior else {}
    drift = build_drift(ThisRun(summary, receipts, _sources(project), gained), prior[1] if prior else None, project.config.drift)
    events = project.store.events()
    ledger = _check_ledger(project)
    if ledger.problem is not None:
        drift = msgspec.structs.replace(drift, severity="alert", flags=[f"the ledger is broken: {ledger.problem}", *drift.flags])
    data = encode_document(summary)
    lines = [tamper_line(summary, path, detail) for _, path, detail in events]
    ledger = append_lines(ledger, [*lines, run_line(summary, hash_bytes(data))])
    run = AddedRun(session.run_id, summary, hash_bytes(data), {r.stage: r for r in receipts}, drift.severity, [])
    _write_folder(project, run, drift, ledger.head or "")
    save_ledger(project.folder, ledger)
    _remember(project, run, [identity for identity, _, _ in events])
    _name_latest(project)
    return run


def _effective_config(project: Project) -> dict[str, Any]:
    """Return every setting in force, for config.json."""
    names = (
        "max_skipped",
        "human_reviewers",
        "judge_confidence",
        "infrastructure_patterns",
        "max_line_bytes",
        "recorded_at",
        "engine",
        "workers",
    )
    settings = setting_values(project.config, (*names, "sft", "preference", "playbooks", "min_rows", "drift", "sources"))
    settings["sources"] = [
        table | {"run_id_scope": "source" if source.scope else "project", "optional": source.optional, "license": source.license,
                 "terms": source.terms, "consent": source.consent, "uses": source.uses}
        for table, source in zip(settings["sources"], project.config.sources, strict=True)
    ]  # fmt: skip
    return settings


def _write_folder(project: Project, run: AddedRun, drift: DriftReport, head: str) -> None:
    """Write every document beside its place, then the directory appears by one rename."""
    folder = project.folder / REPORTS / run.run_id
    temporary = folder.with_name(f".{run.run_id}{TEMPORARY}{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    if folder.exists() or run.summary is None:
        raise IntegrityError(f"{REPORTS}/{run.run_id}: is there already; a run id is used once")
    files = {f"{name}.json": encode_document(receipt) for name, receipt in run.receipts.items()}
    files |= {"summary.json": encode_document(run.summary), "drift.json": encode_document(drift)}
    files["config.json"] = (dump_sorted(_effective_config(project)) + "\n").encode()
    files["summary.md"] = render_summary(run.summary, list(run.receipts.values()), drift, head=head).encode()
    for name, content in files.items():
        write_whole(temporary / name, content)
    temporary.replace(folder)


def _remember(project: Project, run: AddedRun, events: list[int]) -> None:
    """Let the store know the run, and who holds what a killed run left."""
    store = project.store
    before = list(reversed(store.runs()))
    added = {run_id for run_id, _ in before}
    store.begin()
    store.save_runs([*before, (run.run_id, run_facts(run))])
    for name in run.receipts:
        trace = store.trace(name)
        if trace is not None and trace.run_id not in added:
            store.adopt(name, run.run_id)
    store.drop_events(events)
    store.commit()


def _index_hash(project: Project, receipts: list[StageReceipt]) -> str | None:
    """Return the hash of the index's rows, which is the same for every version of SQLite; what wrote it has read them."""
    index = next((receipt for receipt in receipts if receipt.stage == "index"), None)
    if index is None or index.outputs.hash is None:
        return None
    digest, known = project.store.meta("index") or ("", "")
    if digest == index.outputs.files[0].blake3:
        return str(known)
    from distill.stages.index import hash_index  # noqa: PLC0415 -- only where the store was lost

    return hash_index(project.folder / INDEX)
