"""The table of stages as doit tasks, and the checks at load time.

Config errors, a held lock and a doit that does not use our command and backend are printed and end in exit status 2
here, and nowhere else.
"""

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doit.cmd_base import DoitCmdBase

from distill.build.actions import clean_rest, clean_stage, run_stage_task, summarise
from distill.build.backend import Backend, Checker
from distill.build.decision import Project
from distill.build.lock import take_lock
from distill.build.project import UpToDate, check_paths, load_settings, set_project
from distill.build.session import check_given
from distill.errors import ConfigError, LockedError
from distill.plan import TEMPORARY, build_plan
from distill.stages import STAGES

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["DOIT_CONFIG", "task_pipeline"]

DOIT_CONFIG = {
    "backend": "distill",
    "dep_file": ".distill/doit",
    "check_file_uptodate": Checker,
    "verbosity": 2,
    "default_tasks": [*(stage.task for stage in STAGES), "summary"],
}
"""What doit must use; the `run` command is named in pyproject.toml or doit.cfg, where alone doit looks for it."""

_WAY_OUT = """add to pyproject.toml

    [tool.doit.plugins.command]
    run = "distill.build.command:Run"

or to doit.cfg

    [COMMAND]
    run = distill.build.command:Run

and start doit in the folder of dodo.py"""
_LOCKING = frozenset({"run", "clean", "forget", "ignore", "resetdep"})


def task_pipeline() -> Iterator[dict[str, Any]]:
    """Yield a task per stage and the summary."""
    yield from _tasks(_load())  # doit tokenises the source of this function at every start: keep it short


def _load() -> Project:
    """Load the project, or say what keeps it from being built and exit."""
    folder = Path.cwd()
    command = _find_command()
    try:
        _check_encoding()
        _check_guard(command)
        check_given()
        if command is not None and command.name in _LOCKING:
            take_lock(folder)
        config = load_settings(folder)
        project = set_project(folder, config, build_plan(folder, config))
        check_paths(project)
        if command is not None and command.name == "run":
            _sweep(project)
    except (ConfigError, LockedError) as err:
        sys.stderr.write(f"{_explain(folder, err)}\n")
        raise SystemExit(2) from err
    except (OSError, sqlite3.Error) as err:
        sys.stderr.write(f"the project cannot be loaded: {err}; its folder .distill must be writable, and the settings readable\n")
        raise SystemExit(2) from err
    return project


def _explain(folder: Path, err: ConfigError | LockedError) -> ConfigError | LockedError:
    if not isinstance(err, ConfigError):
        return err
    from distill.onboarding.values import tell_values  # noqa: PLC0415 -- only where the config is wrong

    return tell_values(folder, err)


def _tasks(project: Project) -> Iterator[dict[str, Any]]:
    plan = project.plan
    for stage in STAGES:
        yield {
            "basename": stage.task,
            "doc": stage.doc,
            "actions": [(run_stage_task, [stage.name])],
            "file_dep": [ref.path for ref in stage.inputs(plan)],
            "targets": list(stage.outputs(plan)),
            "task_dep": [above.task for above in STAGES if above.name in stage.needs],
            "uptodate": [UpToDate(stage.name)],
            "clean": [(clean_stage, [stage.name])],
        }
    yield {
        "basename": "summary",
        "doc": "receipts, summary, drift report and ledger line of the run",
        "actions": [(summarise, [])],
        "task_dep": [stage.task for stage in STAGES],
        "uptodate": [UpToDate("summary")],
        "clean": [(clean_rest, [])],
    }


def _find_command() -> DoitCmdBase | None:
    """Return the doit command that is loading the tasks; doit hands it to nobody, so it is looked up on the stack."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 -- see above
    while frame is not None:
        found = frame.f_locals.get("self")
        if isinstance(found, DoitCmdBase):
            return found
        frame = frame.f_back
    return None


def _check_encoding() -> None:
    """Refuse to run where file names are not UTF-8 (SPEC 7, law 4).

    Raises:
        ConfigError: paths would be recorded as other ones than elsewhere.
    """
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8":
        raise ConfigError([f"file names are read as {encoding!r} here, so paths would be recorded as other ones; set PYTHONUTF8=1"])


def _check_guard(command: DoitCmdBase | None) -> None:
    """Refuse to run without our command and backend.

    Raises:
        ConfigError: one of them is not ours.
    """
    if command is None or command.name != "run":
        return
    from distill.build.command import Run  # noqa: PLC0415 -- it imports what doit has loaded by now

    if not isinstance(command, Run):
        raise ConfigError([f"doit's run command is not distill's, so no receipt would be written; {_WAY_OUT}"])
    backend = getattr(command.dep_manager, "db_class", None)
    if backend is not Backend:
        raise ConfigError(["doit's backend is not distill's; leave --backend and DOIT_CONFIG['backend'] as dodo.py sets them"])


def _sweep(project: Project) -> None:
    """Take away temporary files where the last run did not come to its end."""
    if project.store.meta("running") is None:
        return
    for name in ("data", "exports", "reports", ".distill/parts"):
        for path in (project.folder / name).rglob(f"*{TEMPORARY}*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    project.store.save_meta("running", None)
