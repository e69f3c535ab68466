"""Whether a stage must run, and why: the verifying trace against the files, code and settings as they are now.

Only compares. It is asked by doit's `uptodate`, also for `doit list -s`, and again by the stage's action.
"""

from pathlib import Path
from typing import Any, NamedTuple

from distill.build.identity import identity_of
from distill.build.store import Store, Trace, open_store
from distill.canonical import dump_canonical
from distill.config import Config
from distill.plan import Plan
from distill.stages import Stage, stage_named

__all__ = ["Decision", "Project", "decide", "find_forged", "is_stale", "stage_key"]


class Project(NamedTuple):
    """A project as this process sees it."""

    folder: Path
    """Where it lies."""
    config: Config
    """Its settings."""
    plan: Plan
    """Its files."""

    @property
    def store(self) -> Store:
        """This process's connection to the build's store."""
        return open_store(self.folder)


class Decision(NamedTuple):
    """What is to be done about a stage."""

    run: bool
    """Whether its action must be called."""
    state: str
    """execute, release (only the mark of a failure goes), blocked, ignored or settled (nothing to do)."""
    reason: str
    """Why, in one clause."""


def decide(stage: Stage, project: Project) -> Decision:
    """Return what is to be done about a stage, from what is on the disk now."""
    store = project.store
    status = store.status(stage.name)
    blocker = _blocker(stage, store)
    if blocker is not None:
        state = "ignored" if blocker == "ignored" else "blocked"
        settled = status is not None and status.state == state and status.key == _blocked_key(blocker, stage, project)
        return Decision(run=not settled or bool(find_forged(stage, project)), state="settled" if settled else state, reason=blocker)
    if status is not None and status.state == "failed_data" and status.key == stage_key(stage, project):
        return Decision(run=bool(find_forged(stage, project)), state="settled", reason="unchanged since it failed")
    if status is not None and status.state == "failed_world":
        return Decision(run=True, state="execute", reason="tried again after a failure")
    reason = _difference(stage, project, store.trace(stage.name))
    if reason is not None:
        return Decision(run=True, state="execute", reason=reason)
    if status is not None:
        return Decision(run=True, state="release", reason="up to date")
    return Decision(run=False, state="settled", reason="up to date")


def _blocker(stage: Stage, store: Store) -> str | None:
    """Return `ignored`, or `blocked by` the first stage above that has no good execution."""
    if stage.task in (store.meta("ignored") or []):
        return "ignored"
    for name in stage.needs:
        if store.status(name) is not None:
            return f"blocked by {name}"
    return None


def _blocked_key(blocker: str, stage: Stage, project: Project) -> str:
    return f"{blocker} {'stale' if is_stale(stage, project) else 'current'}"


def stage_key(stage: Stage, project: Project) -> str:
    """Return everything that decides a stage's output, as one text."""
    identity = identity_of(stage, project.config, project.store)
    return dump_canonical([identity, read_inputs(stage, project)])


def read_inputs(stage: Stage, project: Project) -> dict[str, str]:
    """Return recorded path to blake3 of the inputs as they are now; an absent one is empty."""
    hash_of = project.store.hash_of
    return {ref.recorded: hash_of(ref.path) or "" for ref in stage.inputs(project.plan)}


def _difference(stage: Stage, project: Project, trace: Trace | None) -> str | None:
    """Return the first difference between the last execution and now, or None."""
    if trace is None:
        return "no execution is known"
    return _changed_inside(stage, project, trace) or _changed_targets(stage, project)


def _changed_inside(stage: Stage, project: Project, trace: Trace) -> str | None:
    identity = identity_of(stage, project.config, project.store)
    if trace.identity.get("code_hash") != identity["code_hash"]:
        return "changed: the code of the stage"
    if trace.identity.get("config_hash") != identity["config_hash"]:
        return "changed: settings"
    if trace.identity.get("tool_versions") != identity["tool_versions"]:
        return f"changed: tools {_first_difference(trace.identity.get('tool_versions', {}), identity['tool_versions'])}"
    changed = _changed_inputs(stage, project, trace)
    return f"changed: {_first_of(changed)}" if changed else None


def _changed_inputs(stage: Stage, project: Project, trace: Trace) -> set[str]:
    """Return the recorded paths of inputs that came, went or are not what the last execution read."""
    holds, refs = project.store.holds, stage.inputs(project.plan)
    changed = {ref.recorded for ref in refs if not holds(ref.path, trace.inputs.get(ref.recorded, ""))}
    return changed | (trace.inputs.keys() - {ref.recorded for ref in refs})


def _first_difference(before: dict[str, Any], after: dict[str, Any]) -> str:
    return _first_of({name for name in before.keys() | after.keys() if before.get(name) != after.get(name)})


def _first_of(found: set[str]) -> str:
    names = sorted(found)
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}"


def _changed_targets(stage: Stage, project: Project) -> str | None:
    claims, hash_of = project.store.claims(stage.name), project.store.hash_of
    for path in stage.outputs(project.plan):
        digest = hash_of(path)
        if digest is None:
            return f"missing: {path}"
        if path in claims and digest == claims[path][1]:
            return f"left by an interrupted run: {path}"
        if path not in claims or claims[path][0] != digest:
            return f"changed by other hands: {path}"
    return None


def find_forged(stage: Stage, project: Project) -> list[str]:
    """Return the claimed targets of a stage whose bytes the build did not write."""
    forged: list[str] = []
    hash_of = project.store.hash_of
    for path, (digest, pending) in project.store.claims(stage.name).items():
        present = hash_of(path)
        if present is not None and present not in {digest, pending}:
            forged.append(path)
    return forged


def is_stale(stage: Stage, project: Project) -> bool:
    """Tell whether what a stage last wrote belongs to other inputs, code or settings than the present ones."""
    trace = project.store.trace(stage.name)
    if trace is None or _changed_inside(stage, project, trace) is not None:
        return True
    return any(is_stale(stage_named(name), project) for name in stage.needs)
