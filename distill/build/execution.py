"""One stage of one run: keep forged bytes, execute, write the receipt, and what follows a failure (SPEC 6, SPEC 7)."""

import os
import time
from typing import Any, NamedTuple

import msgspec

from distill.build.decision import Decision, Project, decide, find_forged, is_stale, stage_key
from distill.build.held import HELD, hold_file
from distill.build.identity import identity_of
from distill.build.progress import Progress
from distill.build.session import Git, Session, elapsed_ms, now, read_git
from distill.build.store import SETTLED, Fingerprint, Status, Trace, fingerprint_of
from distill.canonical import dump_canonical
from distill.errors import ContaminationError, DistillError, IntegrityError
from distill.jsonl import decode_document, encode_document
from distill.plan import EVIDENCE
from distill.runner import Finished, Work, file_set, run_stage
from distill.schemas.stage_receipt import FileSet, FileState, StageReceipt, Stats, Validation
from distill.stages import Stage
from distill.summary import stable_hash

__all__ = ["git_of_run", "perform_stage"]


class _Attempt(NamedTuple):
    """One attempt at a stage."""

    stage: Stage
    project: Project
    session: Session
    reason: str
    start: float


def perform_stage(stage: Stage, project: Project, session: Session, *, start: float) -> str:
    """Do what the decision on a stage asks for; return one line for the terminal.

    Raises:
        OSError: the store or the held files cannot be written.
    """
    decision = decide(stage, project)
    if session.always and decision.state in {"settled", "release"} and "blocked" not in decision.reason and decision.reason != "ignored":
        decision = Decision(run=True, state="execute", reason="forced by --always")
    if decision.state == "release":
        project.store.clear_status(stage.name)
        return f"{stage.name}: up to date"
    forged = _keep_forged(stage, project, session)
    if decision.state in {"blocked", "ignored"}:
        return _block(stage, project, session, decision.reason)
    if decision.state == "settled":
        return f"{stage.name}: {decision.reason}"
    project.store.save_meta("running", session.run_id)
    reason = f"changed by other hands: {', '.join(forged)}" if forged and decision.reason == "no execution is known" else decision.reason
    return _execute(_Attempt(stage, project, session, reason, start))


def _keep_forged(stage: Stage, project: Project, session: Session) -> list[str]:
    """Move bytes the build did not write out of the way, and remember to tell the ledger."""
    forged = find_forged(stage, project)
    for path in forged:
        found = project.store.hash_of(path)
        place = hold_file(project.folder, path, kind="tampered", run_id=session.run_id)
        project.store.add_event(session.run_id, path, f"found blake3:{found}, kept as {place}")
    return forged


def git_of_run(project: Project, session: Session) -> Git:
    """Return the state of the repository, asked once a run, so that its receipts agree."""
    cached = project.store.meta("git")
    if cached is not None and cached["run_id"] == session.run_id:
        return Git(cached["commit"], cached["dirty"])
    git = read_git(project.folder)
    project.store.save_meta("git", {"run_id": session.run_id, "commit": git.commit, "dirty": git.dirty})
    return git


def _receipt(stage: Stage, project: Project, session: Session, **values: Any) -> StageReceipt:
    git = git_of_run(project, session)
    identity = identity_of(stage, project.config, project.store)
    return StageReceipt(
        run_id=session.run_id, stage=stage.name, timestamp=now(), git_commit=git.commit, git_dirty=git.dirty, carried_from=None,
        executed_commit=git.commit, **identity, **values,
    )  # fmt: skip


def _block(stage: Stage, project: Project, session: Session, reason: str) -> str:
    """Write down that a stage cannot run; its old exports go where they mislead nobody if their inputs changed."""
    stale = is_stale(stage, project)
    errors = [
        f"ignored; doit forget {stage.task} takes it back" if reason == "ignored" else f"{reason}; repair that stage, then run doit again",
        *_hold_stale(stage, project, session, stale=stale),
    ]
    receipt = _receipt(
        stage, project, session, decision="blocked", decision_reason=reason, inputs=FileSet(), outputs=FileSet(),
        stats=Stats(unit=stage.unit), validation=Validation(passed=False, errors=errors), duration_ms=0,
    )  # fmt: skip
    state = "ignored" if reason == "ignored" else "blocked"
    key = f"{reason} {'stale' if stale else 'current'}"
    project.store.save_status(stage.name, Status(session.run_id, state, key, stable_hash(receipt), encode_document(receipt)))
    return f"{stage.name}: {reason}"


def _hold_stale(stage: Stage, project: Project, session: Session, *, stale: bool) -> list[str]:
    """Move exports that belong to other inputs to `data/held/stale/`; return what could not be moved."""
    problems: list[str] = []
    for path in stage.outputs(project.plan) if stale else ():
        if not path.startswith("exports/") or not (project.folder / path).is_file():
            continue
        try:
            hold_file(project.folder, path, kind="stale", run_id=session.run_id)
            project.store.drop_claim(path)
        except OSError as err:
            problems.append(f"{path}: belongs to other inputs and could not be moved away: {err}")
    return problems


def _execute(attempt: _Attempt) -> str:
    stage, project, session, reason, start = attempt
    store, seen = project.store, time.time_ns()
    before = _states(stage, project)
    progress = Progress(stage.name, sum(_size(project, ref.path) for ref in stage.inputs(project.plan)))
    work = Work(
        project=project.folder, plan=project.plan, config=project.config, known_hashes=store.known_hashes, progress=progress.advance,
        before_publish=lambda files: _claim_targets(attempt, work, files),
        identity=dump_canonical(identity_of(stage, project.config, store)), always=session.always,
        gone=_vanished(stage, project), leaked=f"{HELD}/leaked/{session.run_id}",
    )  # fmt: skip
    try:
        done = run_stage(stage, work)
    except Exception as err:  # noqa: BLE001 -- the one place that turns an exception into a receipt
        progress.close()
        return _fail(attempt, work, err, before)
    progress.close()
    receipt = _receipt(
        stage, project, session, decision="executed", decision_reason=reason, inputs=done.inputs, outputs=done.outputs, stats=done.stats,
        validation=done.validation, duration_ms=elapsed_ms(start),
    )  # fmt: skip
    _save(attempt, receipt, work, seen=seen)
    return _describe(stage, done, elapsed_ms(start))


def _claim_targets(attempt: _Attempt, work: Work, files: list[FileState]) -> None:
    """Claim what is about to take its place, where every input is still what the stage above wrote.

    Raises:
        IntegrityError: an input was changed by other hands since then.
    """
    store = attempt.project.store
    for name in attempt.stage.needs:
        for path, (written, _) in store.claims(name).items():
            if path in work.inputs and work.inputs[path].blake3 != written:
                raise IntegrityError(
                    f"{path}: changed by other hands since {name} wrote it; run doit again, which keeps it and rebuilds it"
                )
    store.claim(attempt.stage.name, [(file.path, file.blake3) for file in files], pending=True)


def _size(project: Project, path: str) -> int:
    try:
        return os.stat(project.folder / path).st_size
    except OSError:
        return 0


def _vanished(stage: Stage, project: Project) -> tuple[str, ...]:
    """Return the partitions of the last execution that are no longer there."""
    trace = project.store.trace("collect") if stage.name == "collect" else None
    if trace is None:
        return ()
    receipt = decode_document(trace.receipt, StageReceipt, place="the last receipt of collect")
    before = {file.path.removeprefix(f"{EVIDENCE}/") for file in receipt.outputs.files if file.path.startswith(EVIDENCE)}
    return tuple(sorted(before - set(project.plan.partitions)))


def _save(attempt: _Attempt, receipt: StageReceipt, work: Work, *, seen: int) -> None:
    """Keep the execution, its claims and fingerprints, together."""
    stage, project, session = attempt.stage, attempt.project, attempt.session
    store = project.store
    identity = {"code_hash": receipt.code_hash, "config_hash": receipt.config_hash, "tool_versions": receipt.tool_versions}
    inputs = {file.path: file.blake3 for file in receipt.inputs.files}
    store.begin()
    for path in set(store.claims(stage.name)) - set(stage.outputs(project.plan)):
        store.drop_claim(path)
    store.claim(stage.name, [(file.path, file.blake3) for file in receipt.outputs.files], pending=False)
    for file in receipt.outputs.files:
        if file.path in work.published:
            store.remember(file.path, fingerprint_of(work.published[file.path]), file.blake3, file.sha256, seen=SETTLED)
        elif file.path not in work.kept:  # without fingerprint: it may have been changed since its rename, so it is hashed once more
            store.remember(file.path, Fingerprint(0, 0, 0, 0), file.blake3, file.sha256, seen=0)
    for ref in stage.inputs(project.plan):
        state = work.inputs[ref.recorded]
        if ref.path in work.unchanged:
            store.remember(ref.path, fingerprint_of(work.unchanged[ref.path]), state.blake3, state.sha256, seen=seen)
    if work.rows_hash:
        store.save_meta("index", [receipt.outputs.files[0].blake3, work.rows_hash])
    store.save_trace(stage.name, Trace(session.run_id, identity, inputs, stable_hash(receipt), encode_document(receipt)))
    store.commit()


def _states(stage: Stage, project: Project) -> list[Fingerprint | None]:
    """Return what the file system says of every input."""
    states: list[Fingerprint | None] = []
    for ref in stage.inputs(project.plan):
        try:
            states.append(fingerprint_of(os.stat(project.folder / ref.path)))
        except OSError:
            states.append(None)
    return states


def _fail(attempt: _Attempt, work: Work, err: Exception, before: list[Fingerprint | None]) -> str:
    """Write down that a stage failed: by its data, or by the world; `before` are the states of its inputs at its start."""
    stage, project, session, reason, start = attempt
    by_data = isinstance(err, ContaminationError) and _states(stage, project) == before  # else it may be of other bytes: tried again
    text = str(err) if isinstance(err, DistillError | OSError) else f"{type(err).__name__}: {err}"
    text = text.replace(f"{project.folder}/", "")  # a receipt says the same wherever the project lies
    errors = [f"firewall: {text}" for text in err.violations] if isinstance(err, ContaminationError) else [text]
    errors += _hold_stale(stage, project, session, stale=is_stale(stage, project))
    read: list[FileState] = list(work.inputs.values())
    receipt = _receipt(
        stage, project, session, decision="failed", decision_reason=reason, inputs=file_set(read, finished=False), outputs=FileSet(),
        stats=Stats(unit=stage.unit), validation=Validation(passed=False, errors=errors), duration_ms=elapsed_ms(start),
    )  # fmt: skip
    state = "failed_data" if by_data else "failed_world"
    status = Status(session.run_id, state, stage_key(stage, project), stable_hash(receipt), encode_document(receipt))
    project.store.save_status(stage.name, status)
    return f"{stage.name}: failed: {text}"


def _describe(stage: Stage, done: Finished, duration_ms: int) -> str:
    counts = msgspec.structs.asdict(done.stats)
    parts = [f"{counts[kind]:,} {kind}" for kind in ("accepted", "rejected", "quarantined", "skipped", "filtered") if counts[kind]]
    verdict = "" if done.validation.passed else f"; not passed: {done.validation.errors[0]}"
    return f"{stage.name}: {done.stats.considered:,} {stage.unit}s: {', '.join(parts) or 'none'} ({duration_ms / 1000:.2f} s){verdict}"
