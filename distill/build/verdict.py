"""The verdict of a run that adds nothing: the newest run's, repeated (SPEC 7, laws 7 and 10). Standard library only."""

from typing import Any

from distill.build.decision import Project, decide
from distill.plan import LATEST, LEDGER, REPORTS
from distill.stages import STAGES, Stage

__all__ = ["adds_nothing", "failure_of", "is_settled", "names_latest", "newest_full", "newest_holding", "repeat_verdict"]

_SETTLED: list[str] = []


def newest_holding(project: Project, stages: list[Stage]) -> tuple[str, dict[str, Any]] | None:
    """Return the newest run whose directory holds these stages, with its facts."""
    for run_id, facts in project.store.runs():
        if all(stage.name in facts["stages"] for stage in stages) and (project.folder / REPORTS / run_id).is_dir():
            return run_id, facts
    return None


def newest_full(project: Project) -> str | None:
    """Return the newest full run, or None where there is none."""
    return next((run_id for run_id, facts in project.store.runs() if facts["scope"] == "full"), None)


def names_latest(project: Project, run_id: str) -> bool:
    """Tell whether `latest` names a run."""
    try:
        return (project.folder / LATEST).read_bytes() == f"{run_id}\n".encode()
    except OSError:
        return False


def adds_nothing(project: Project, stages: list[Stage], facts: dict[str, Any]) -> bool:
    """Tell whether the present receipts say no more than those of the run with these facts."""
    store = project.store
    if store.events():
        return False
    added = {run_id for run_id, _ in store.runs()}
    for stage in stages:
        status = store.status(stage.name)
        present = status or store.trace(stage.name)
        if present is None or present.stable != facts["stages"][stage.name]:
            return False
        if status is None and present.run_id not in added:
            return False
    return True


def failure_of(facts: dict[str, Any], fail_on: str) -> str | None:
    """Return why a run with these facts ends in exit status 1, or None."""
    from distill.config import drift_fails  # noqa: PLC0415 -- beside the threshold it reads

    if not facts["passed"]:
        return "the run did not pass"
    if drift_fails(facts["severity"], fail_on):
        return f"drift severity is {facts['severity']}, and drift.fail_on is {fail_on}"
    return None


def is_settled(project: Project, tasks: tuple[str, ...], *, known: set[str]) -> bool:
    """Tell whether the summary has nothing to add and nothing to fail; `known` stages were found settled just now."""
    _SETTLED.clear()
    stages = [stage for stage in STAGES if stage.task in tasks]
    found = newest_holding(project, stages)
    if found is None or any(stage.name not in known and decide(stage, project).run for stage in stages):
        return False
    run_id, facts = found
    if project.store.hash_of(LEDGER) != project.store.meta("ledger"):
        return False  # it is read again, so that the head is told that lies there
    newest = newest_full(project)
    if newest is not None and not names_latest(project, newest):
        return False
    if not adds_nothing(project, stages, facts) or failure_of(facts, project.config.drift.fail_on) is not None:
        return False
    _SETTLED.append(f"up to date: run {run_id} passed; ledger head {project.store.meta('head') or 'unknown'}\n")
    return True


def repeat_verdict(out: Any) -> None:
    """Write the newest run's verdict where the summary found nothing to add."""
    for line in _SETTLED:
        out.write(line)
