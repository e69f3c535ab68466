"""doit's `run` command as this project needs it (DESIGN 2).

It adds `summary` to every selection, limited to the stages reached, and lets an ignored stage write its receipt.
doit finds it through `[tool.doit.plugins.command]` in pyproject.toml, or doit.cfg.
"""

import atexit
import gc
from typing import Any

from doit.cmd_run import Run as DoitRun
from doit.control import TaskControl
from doit.doit_cmd import DoitMain

from distill.build.backend import Backend
from distill.build.session import start_session
from distill.stages import STAGES

__all__ = ["Run", "run_doit"]

_SUMMARY = "summary"


class Run(DoitRun):  # type: ignore[misc]  # doit has no types
    """Run tasks; a project that is not distill's gets doit's own behaviour."""

    name = "run"
    sel_tasks: list[str] | None

    def _execute(  # noqa: PLR0913, PLR0917 -- doit looks at these names
        self, outfile: Any, verbosity: Any = None, always: bool = False, continue_: bool = False, reporter: Any = "console",  # noqa: FBT001, FBT002
        num_process: int = 0, par_type: str = "process", single: bool = False, auto_delayed_regex: bool = False,  # noqa: FBT001, FBT002
        force_verbosity: bool = False, failure_verbosity: int = 0, pdb: bool = False,  # noqa: FBT001, FBT002
    ) -> int:  # fmt: skip
        if any(task.name == _SUMMARY for task in self.task_list):
            self._prepare(always=always, single=single)
            single = False
            atexit.register(_end)
        Backend.hide_ignored = True
        try:
            result: int = super()._execute(
                outfile, verbosity, always, continue_, reporter, num_process, par_type, single, auto_delayed_regex, force_verbosity,
                failure_verbosity, pdb,
            )  # fmt: skip
        finally:
            Backend.hide_ignored = False
        if result == 0:
            self._say_verdict(reporter)
        return result

    def _prepare(self, *, always: bool, single: bool) -> None:
        """Add the summary of what the selection reaches."""
        control = TaskControl(list(self.task_list))
        control.process(self.sel_tasks)
        for task in self.task_list:
            task.options = None  # doit parses a task's options once; its own pass comes after this one
        reached = list(control.selected_tasks)
        for name in reached:
            if not (single and name != _SUMMARY):
                reached += [dep for dep in control.tasks[name].task_dep if dep not in reached]
        names = tuple(stage.name for stage in STAGES if stage.task in reached)
        if single:  # doit's own --single forgets all but the first of a selection, and so the summary
            reached = [name for name in control.selected_tasks if name != _SUMMARY]
            for name in reached:
                control.tasks[name].task_dep[:] = []
                control.tasks[name].file_dep.clear()
        control.tasks[_SUMMARY].task_dep[:] = [stage.task for stage in STAGES if stage.task in reached]
        self.sel_tasks = [name for name in control.selected_tasks if name != _SUMMARY] + [_SUMMARY]
        start_session(always=always, reached=names)

    def _say_verdict(self, reporter: Any) -> None:
        """Repeat the last verdict where nothing was executed."""
        from distill.build.verdict import repeat_verdict  # noqa: PLC0415 -- light, but only for our projects

        if reporter == "console":
            repeat_verdict(self.outstream)


def _end() -> None:
    """Close what has to be closed and keep the interpreter, as it ends, from looking for cycles: 20 ms that free what is freed anyway."""
    from distill.build.store import close_stores  # noqa: PLC0415 -- other projects of the environment load this module

    close_stores()
    gc.freeze()


def run_doit() -> int:
    """Run the whole pipeline as `doit` does; return its exit status."""
    status: int = DoitMain(extra_config={"COMMAND": {"run": "distill.build.command:Run"}}).run(["run"])
    return status
