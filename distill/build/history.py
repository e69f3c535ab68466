"""The runs that were added: read from their directories, in the order of the ledger (SPEC 1, SPEC 6)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from distill.build.decision import Project
from distill.build.ledger import Ledger, append_lines, read_ledger, run_line, save_ledger, tamper_line
from distill.build.store import Trace
from distill.errors import SchemaError
from distill.hashing import hash_bytes
from distill.jsonl import decode_document, encode_document
from distill.plan import REPORTS
from distill.schemas.drift_report import DriftReport
from distill.schemas.run_summary import RunSummary
from distill.schemas.stage_receipt import StageReceipt, check_books
from distill.stages import STAGES
from distill.summary import stable_hash

__all__ = [
    "AddedRun", "complete_ledger", "read_receipt", "read_run", "read_runs", "rebuild_store", "refresh_runs", "run_facts", "runs_on_disk",
    "summaries_told",
]  # fmt: skip


class AddedRun(NamedTuple):
    """One run directory, as far as it can be read."""

    run_id: str
    """Its id."""
    summary: RunSummary | None
    """None where it is missing or damaged."""
    summary_blake3: str | None
    """blake3 of summary.json."""
    receipts: dict[str, StageReceipt]
    """Readable receipts by stage."""
    severity: str
    """Of its drift report; unknown where that cannot be read."""
    problems: list[str]
    """What could not be read."""


def runs_on_disk(project: Path) -> list[str]:
    """Return the ids of the run directories; names with a dot in front are not finished."""
    folder = project / REPORTS
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def read_receipt(path: Path) -> StageReceipt:
    """Read one receipt.

    Raises:
        SchemaError: it is damaged, or its books do not balance.
        OSError: it cannot be read.
    """
    receipt = decode_document(path.read_bytes(), StageReceipt, place=path.name)
    problems = check_books(receipt)
    if problems:
        raise SchemaError("; ".join(problems))
    return receipt


def summaries_told(ledger: Ledger) -> dict[str, str]:
    """Return run id to the blake3 of its summary, as the ledger has it."""
    return {line.run_id: line.summary_blake3 for line in ledger.lines if line.summary_blake3 is not None}


def read_run(project: Path, run_id: str, *, told: Mapping[str, str] | None = None) -> AddedRun:
    """Read one run directory; what is damaged, or has not the hash that was `told` of it, is named in `problems`."""
    folder = project / REPORTS / run_id
    problems: list[str] = []
    receipts: dict[str, StageReceipt] = {}
    summary, digest, severity = None, None, "unknown"
    try:
        data = (folder / "summary.json").read_bytes()
        digest = hash_bytes(data)
        summary = decode_document(data, RunSummary, place="summary.json")
        stated = (told or {}).get(run_id, digest)
        if stated != digest:
            problems.append(f"summary.json of run {run_id} was changed: blake3 is {digest}, the ledger says {stated}")
    except (OSError, SchemaError) as err:
        problems.append(f"summary.json of run {run_id} cannot be read: {err}")
    named = {stage.stage for stage in summary.stages} if summary else {stage.name for stage in STAGES}
    for stage in STAGES:
        path = folder / f"{stage.name}.json"
        if stage.name not in named or (summary is None and not path.exists()):
            continue
        try:
            receipt, stated = read_receipt(path), hash_bytes(path.read_bytes())
        except (OSError, SchemaError) as err:
            problems.append(f"{stage.name}.json of run {run_id} cannot be read: {err}")
            continue
        expected = {line.stage: line.receipt_blake3 for line in summary.stages}.get(stage.name) if summary else stated
        if stated != expected:
            problems.append(f"{stage.name}.json of run {run_id} was changed: blake3 is {stated}, its summary says {expected}")
        else:
            receipts[stage.name] = receipt
    try:
        severity = decode_document((folder / "drift.json").read_bytes(), DriftReport, place="drift.json").severity
    except (OSError, SchemaError) as err:
        problems.append(f"drift.json of run {run_id} cannot be read: {err}")
    return AddedRun(run_id, summary, digest, receipts, severity, problems)


def run_facts(run: AddedRun) -> dict[str, Any]:
    """Return what later runs must know of a run, as plain values for the store."""
    return {
        "stages": {name: stable_hash(receipt) for name, receipt in run.receipts.items()},
        "passed": bool(run.summary and run.summary.overall_passed),
        "severity": run.severity,
        "scope": run.summary.scope if run.summary else "damaged",
        "reasons": sorted(f"{name}:{slug}" for name, receipt in run.receipts.items() for slug in receipt.stats.reasons),
    }


def read_runs(project: Path) -> list[str]:
    """Return the ids of the runs added, oldest first: in the order of the ledger, those it has no line of among them by their end."""
    present = set(runs_on_disk(project))
    ended = {line.run_id: line.timestamp for line in read_ledger(project).lines if line.kind == "run" and line.run_id in present}
    ordered = list(ended)
    rest = [read_run(project, run_id) for run_id in sorted(present - set(ordered))]
    for run in sorted(rest, key=_end_of):
        ended[run.run_id] = _end_of(run)
        later = (place for place, run_id in enumerate(ordered) if ended[run_id] > ended[run.run_id])
        ordered.insert(next(later, len(ordered)), run.run_id)
    return ordered


def _end_of(run: AddedRun) -> str:
    return run.summary.ended_at if run.summary else ""


def refresh_runs(project: Project) -> list[str]:
    """Bring the store's list of runs in line with the directories; return the ids, oldest first."""
    present = read_runs(project.folder)
    known = dict(project.store.runs())
    if list(reversed(list(known))) != present:
        facts = [(run_id, known.get(run_id) or run_facts(read_run(project.folder, run_id))) for run_id in present]
        project.store.begin()
        project.store.save_runs(facts)
        project.store.commit()
    return present


def complete_ledger(project: Project) -> None:
    """Write the ledger line of the newest run where a kill left it without one; this is no alarm, an older one without is."""
    present = runs_on_disk(project.folder)
    ledger = read_ledger(project.folder)
    told = [line for line in ledger.lines if line.kind == "run"]
    missing = set(present) - {line.run_id for line in told}
    runs = sorted((read_run(project.folder, run_id) for run_id in missing), key=_end_of)
    for run in runs[-1:]:
        if run.summary is None or run.summary_blake3 is None or (told and told[-1].timestamp > run.summary.ended_at):
            continue
        events = project.store.events()
        lines = [tamper_line(run.summary, path, detail) for _, path, detail in events]
        save_ledger(project.folder, append_lines(ledger, [*lines, run_line(run.summary, run.summary_blake3)]))
        project.store.drop_events(identity for identity, _, _ in events)


def rebuild_store(project: Project) -> None:
    """Take traces, claims and runs over from the receipts into a new store."""
    store = project.store
    store.begin()
    store.save_meta("running", "unknown")
    waiting = {stage.name for stage in STAGES}
    runs = [read_run(project.folder, run_id) for run_id in read_runs(project.folder)]
    store.save_runs((run.run_id, run_facts(run)) for run in runs)
    for run in reversed(runs):
        for name in sorted(waiting & run.receipts.keys()):
            receipt = run.receipts[name]
            if receipt.outputs.hash is None:
                continue
            waiting.discard(name)
            identity = {
                "code_hash": receipt.code_hash,
                "config_hash": receipt.config_hash,
                "tool_versions": receipt.tool_versions,
            }
            inputs = {file.path: file.blake3 for file in receipt.inputs.files}
            store.save_trace(name, Trace(run.run_id, identity, inputs, stable_hash(receipt), encode_document(receipt)))
            store.claim(name, [(file.path, file.blake3) for file in receipt.outputs.files], pending=False)
    store.commit()
