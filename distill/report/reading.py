"""The answers of `distill read`, `distill runs` and `distill search`, from the documents and files of a project."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from distill.build.history import read_run, read_runs, runs_on_disk, summaries_told
from distill.build.ledger import read_ledger
from distill.canonical import dump_sorted, load_plain
from distill.errors import ConfigError
from distill.plan import EVIDENCE, LATEST, REPORTS, RESOLUTION, SCORED
from distill.schemas.evidence import Provenance
from distill.schemas.run_summary import RunSummary, StageSummary
from distill.stages import INDEX, PLAYBOOKS, PREFERENCE, QUARANTINE, RAG, SFT
from distill.stages.index import search_index

__all__ = ["list_runs", "read_log_run", "read_pipeline_run", "search_project"]

_BARS = "▁▂▃▄▅▆▇█"
_TREND = 20
_TRACED = (SFT, PREFERENCE, RAG, PLAYBOOKS, *(f"{QUARANTINE}/{name}.jsonl" for name in ("sft", "preference", "rag")))


def read_pipeline_run(project: Path, run_id: str | None, *, as_json: bool) -> str | None:
    """Return the summary of a run of the pipeline, or None where there is none of that id.

    Raises:
        ConfigError: no run was added yet.
    """
    if run_id is None:
        run_id = _latest_run(project)
    folder = project / REPORTS / run_id
    if run_id not in runs_on_disk(project):
        return None
    run = read_run(project, run_id, told=summaries_told(read_ledger(project)))
    if not as_json:
        page = folder / "summary.md"
        if not page.exists():
            raise ConfigError([f"{REPORTS}/{run_id}/summary.md: is missing; `distill read --json` shows what is left of the run"])
        return "".join(f"DAMAGED: {problem}\n\n" for problem in run.problems) + page.read_text(encoding="utf-8")
    drift = folder / "drift.json"
    found: dict[str, Any] = {
        "summary": msgspec.to_builtins(run.summary),
        "drift": load_plain(drift.read_bytes()) if drift.exists() else None,
        "receipts": {name: msgspec.to_builtins(receipt) for name, receipt in run.receipts.items()},
        "problems": run.problems,
    }
    return dump_sorted(found) + "\n"


def _latest_run(project: Path) -> str:
    latest = project / LATEST
    if not latest.exists():
        raise ConfigError([f"{LATEST}: no full run was added yet; run doit"])
    run_id = latest.read_text(errors="replace").strip()
    if run_id not in runs_on_disk(project):
        raise ConfigError([f"{LATEST}: found {run_id!r}, expected the id of a run; run doit, or choose one of `distill runs`"])
    return run_id


def _rows(project: Path, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    base = project / folder
    for path in sorted(base.rglob("*.jsonl")) if base.is_dir() else [base] if base.is_file() else []:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                yield f"{path.relative_to(project).as_posix()}:{number}", load_plain(line)


def read_log_run(project: Path, run_id: str, *, as_json: bool) -> str | None:
    """Return what became of a run in a log, given its run id or evidence id; None where no log names it."""
    found = [(place, row) for place, row in _rows(project, EVIDENCE) if run_id in {row["run_id"], row["id"]}]
    if not found:
        return None
    ids = {row["id"] for _, row in found}
    verdicts = [(place, row) for place, row in _rows(project, SCORED) if row.get("evidence_id") in ids]
    traces = [(place, row) for path in _TRACED for place, row in _rows(project, path) if _names(row, ids, found)]
    if as_json:
        plain = {"run_in_log": run_id, "evidence": found, "verdicts": verdicts, "rows": traces}
        return dump_sorted(plain) + "\n"
    lines = [f"{run_id!r} is a run in a log, not one of the pipeline. What became of it:"]
    for place, row in found:
        stood = msgspec.convert(row["provenance"], Provenance)
        at = str(stood).rsplit(" blake3:", 1)[0].removesuffix(f"@{stood.offset}")
        lines.append(f"- evidence {row['id']} at {place}, from {at} at byte {stood.offset}")
    for place, row in verdicts:
        what = f"{row['kind']} of" if place.startswith(RESOLUTION) else "scored"
        lines.append(f"- {what} {row['evidence_id']}: {row['category']} ({', '.join(row['reasons'])}) at {place}")
    for place, row in traces:
        lines.append(f"- {row.get('reason') or 'a row'} at {place}")
    return "\n".join(lines) + "\n"


def _names(row: dict[str, Any], ids: set[str], found: list[tuple[str, dict[str, Any]]]) -> bool:
    runs = {record["run_id"] for _, record in found} - {None}
    named = {
        row.get("id"),
        row.get("evidence_id"),
        row.get("chosen_run_id"),
        row.get("rejected_run_id"),
        row.get("source_run_id"),
    }
    named |= {*row.get("source_run_ids", ()), *row.get("failed_run_ids", ()), *row.get("evidence_ids", ())}
    return bool(named & (ids | runs))


def list_runs(project: Path) -> str:
    """Return one line per run that was added, oldest first, then small trends over the last full runs."""
    lines: list[str] = []
    full: list[RunSummary] = []
    ledger = read_ledger(project)
    for run_id in read_runs(project):
        run = read_run(project, run_id, told=summaries_told(ledger))
        if run.summary is None:
            lines.append(f"{run_id}  damaged: {run.problems[0]}")
            continue
        if run.summary.scope == "full":
            full.append(run.summary)
        sets, verdict = run.summary.datasets, "passed" if run.summary.overall_passed else "NOT PASSED"
        named = (("sft", sets.sft), ("pairs", sets.preference), ("rag", sets.rag))
        counts = " ".join(f"{name} {'-' if count is None else count}" for name, count in named)
        lines.append(f"{run_id}  {run.summary.ended_at}  {run.summary.scope:7}  {verdict:10}  drift {run.severity:5}  {counts}")
        lines += [f"  DAMAGED: {problem}" for problem in run.problems]
    lines += _trends(full[-_TREND:])
    lines.append(f"ledger head {ledger.head or 'empty'}" + (f"; BROKEN: {ledger.problem}" if ledger.problem else ""))
    return "\n".join(lines) + "\n"


def _trends(runs: list[RunSummary]) -> list[str]:
    """Return a line per figure worth following, drawn small: records, runs accepted in percent, and the datasets."""
    if len(runs) < 2:
        return []
    score = [next(stage for stage in run.stages if stage.stage == "score") for run in runs]
    collect = [next(stage for stage in run.stages if stage.stage == "collect") for run in runs]
    figures: dict[str, list[float | None]] = {
        "evidence": [stage.accepted for stage in collect],
        "skipped": [stage.skipped for stage in collect],
        "accepted %": [_percent(stage.accepted, stage) for stage in score],
        "rejected %": [_percent(stage.rejected, stage) for stage in score],
        "sft": [run.datasets.sft for run in runs],
        "pairs": [run.datasets.preference for run in runs],
    }
    lines = [f"the last {len(runs)} full runs:"]
    for name, values in figures.items():
        ends = [value for value in values if value is not None]
        if ends:
            lines.append(f"  {name:10} {_spark(values)}  {ends[0]:,.6g} to {ends[-1]:,.6g}")
    return lines


def _percent(count: int, stage: StageSummary) -> float | None:
    judged = stage.accepted + stage.rejected + stage.quarantined
    return round(count / judged * 100, 1) if judged else None


def _spark(values: list[float | None]) -> str:
    """Return values as bars between their smallest and their greatest; a gap where there is none."""
    known = [value for value in values if value is not None]
    low, span = min(known), max(known) - min(known)
    return "".join(" " if value is None else _BARS[round((value - low) / span * (len(_BARS) - 1)) if span else 3] for value in values)


def search_project(project: Path, words: str, *, limit: int) -> str:
    """Return the best documents of the index that hold all the words.

    Raises:
        ConfigError: there is no index yet.
    """
    path = project / INDEX
    if not path.exists():
        raise ConfigError([f"{INDEX}: no index yet; run doit index"])
    hits = search_index(path, words, limit=limit)
    if not hits:
        return f"nothing holds all of: {words}\n"
    return "\n".join(
        f"{hit.title}\n  {hit.kind} {hit.id}  success {hit.success_score:.2f}\n  {' '.join(hit.excerpt.split())}\n" for hit in hits
    )
