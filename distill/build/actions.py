"""What doit calls: one stage, the summary, and cleaning.

Top-level functions with plain arguments, so that they can run in spawned children too. A stage's task never fails for
doit; its receipt says how it went, and the summary alone returns the failure.
"""

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from doit.exceptions import TaskFailed

from distill.build.decision import Project
from distill.build.held import HELD
from distill.build.lock import watch_parent
from distill.build.project import current_project
from distill.build.session import current_session
from distill.errors import DistillError
from distill.stages import STAGES, Stage, stage_named

__all__ = ["clean_rest", "clean_stage", "run_stage_task", "summarise"]


def run_stage_task(name: str) -> Any:
    """Run one stage, or write down why it cannot run."""
    watch_parent()
    from distill.build.execution import perform_stage  # noqa: PLC0415 -- a no-op build executes nothing

    start = time.monotonic()
    project, session, stage = current_project(), current_session(), stage_named(name)
    try:
        line = perform_stage(stage, project, session, start=start)
    except (OSError, sqlite3.Error) as err:
        return TaskFailed(f"{name}: {err}; the build's own folder .distill or data/held cannot be written")
    except DistillError as err:
        return TaskFailed(f"{name}: {err}")
    sys.stderr.write(f"{line}\n")
    return None


def summarise() -> Any:
    """Add the run where it says something new, and return the verdict."""
    watch_parent()
    from distill.build.publish import publish_run  # noqa: PLC0415 -- as above

    try:
        failure = publish_run(current_project(), current_session(), sys.stderr)
    except (OSError, sqlite3.Error) as err:
        return TaskFailed(f"summary: {err}; the reports or the build's own folder .distill cannot be written")
    except DistillError as err:
        return TaskFailed(f"summary: {err}")
    return TaskFailed(failure) if failure is not None else None


def clean_stage(name: str, dryrun: bool) -> None:  # noqa: FBT001 -- doit passes it by name
    """Remove the targets of a stage and the build's claim to them."""
    project = current_project()
    with _telling():
        _clean_targets(project, stage_named(name), dryrun=dryrun)


def _clean_targets(project: Project, stage: Stage, *, dryrun: bool) -> None:
    store = project.store
    targets = {*stage.outputs(project.plan), *store.claims(stage.name)}
    for path in sorted(targets):
        target = project.folder / path
        if target.is_file() or target.is_symlink():
            sys.stdout.write(f"{stage.task} - removing file '{path}'\n")
            if not dryrun:
                target.unlink()
    if dryrun:
        return
    for path in targets:
        store.drop_claim(path)
        _drop_empty(project.folder, (project.folder / path).parent)
    store.forget(stage.name)


def clean_rest(dryrun: bool) -> None:  # noqa: FBT001 -- doit passes it by name
    """Remove everything else below `data/`, but never what is held."""
    project = current_project()
    data, held = project.folder / "data", project.folder / HELD
    known = {project.folder / path for stage in STAGES for path in stage.outputs(project.plan)}
    found = [path for path in data.rglob("*") if path != held and held not in path.parents and path not in known]
    with _telling():
        for path in sorted(found, reverse=True):  # what a folder holds before the folder
            if path.is_dir() and not path.is_symlink():
                if not dryrun and not any(path.iterdir()):
                    path.rmdir()
                continue
            sys.stdout.write(f"summary - removing file '{path.relative_to(project.folder)}'\n")
            if not dryrun:
                path.unlink()
        if not dryrun:
            _drop_empty(project.folder, data)


@contextmanager
def _telling() -> Iterator[None]:
    """Tell in one line what cannot be removed; doit would show a traceback and exit with 0."""
    try:
        yield
    except OSError as err:
        raise SystemExit(f"clean: {err}") from err  # doit drops what is written to stderr here


def _drop_empty(project: Path, folder: Path) -> None:
    """Remove a folder and those above it that hold nothing, up to the project or a link."""
    while folder != project and folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
