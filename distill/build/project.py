"""The project this process builds, and doit's question whether a task is up to date."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from distill.build.decision import Decision, Project, decide
from distill.build.session import reached_tasks
from distill.build.store import open_store
from distill.config import Config
from distill.config_file import load_config, parse_toml
from distill.errors import ConfigError
from distill.plan import Plan, build_plan
from distill.stages import stage_named

__all__ = ["UpToDate", "check_paths", "current_project", "load_settings", "set_project"]

_PROJECTS: dict[str, Project] = {}
_SETTLED: set[str] = set()


def load_settings(folder: Path) -> Config:
    """Return the settings of a project; a text of TOML that was parsed before is not parsed again.

    Raises:
        ConfigError: something in them is wrong.
    """

    def parse(text: str) -> dict[str, Any]:
        store = open_store(folder)
        known = store.meta("toml")
        if known is None or known["text"] != text:
            known = {"text": text, "data": parse_toml(text)}
            with suppress(TypeError):  # a time in another tool's table has no place in JSON
                store.save_meta("toml", known)
        return dict(known["data"])

    return load_config(folder, parse=parse)


def set_project(folder: Path, config: Config, plan: Plan) -> Project:
    """Remember the project that was loaded; where the store is new, what its receipts say is taken over."""
    project = Project(folder, config, plan)
    _PROJECTS[str(folder)] = project
    _SETTLED.clear()
    if project.store.fresh:
        from distill.build.history import rebuild_store  # noqa: PLC0415 -- once in a store's life

        rebuild_store(project)
        project.store.fresh = False
    return project


def current_project() -> Project:
    """Return the project below the working folder; a spawned child loads it again."""
    folder = Path.cwd()
    if str(folder) not in _PROJECTS:
        config = load_settings(folder)
        return set_project(folder, config, build_plan(folder, config))
    return _PROJECTS[str(folder)]


def check_paths(project: Project) -> None:
    """Check the path expressions of mapped sources, once per text.

    Raises:
        ConfigError: with every wrong one.
    """
    mapped = [source for source in project.config.sources if source.format is None]
    text = repr([(source.fields, source.tags, source.signals) for source in mapped])
    if not mapped or project.store.meta("expressions") == text:
        return
    from distill.mapping.reader import check_expressions  # noqa: PLC0415 -- it compiles expressions

    problems = [problem for source in mapped for problem in check_expressions(source)]
    if problems:
        raise ConfigError(problems)
    project.store.save_meta("expressions", text)


class UpToDate:
    """doit's `uptodate` of one task; compares and changes nothing."""

    def __init__(self, name: str) -> None:
        """Ask about a stage by its receipt name, or about `summary`."""
        self._name = name
        self._last: Decision | None = None

    def __call__(self, task: Any, values: Any) -> bool:
        """Tell whether nothing is to be done."""
        if self._name == "summary":
            from distill.build.verdict import is_settled  # noqa: PLC0415 -- the summary alone needs it

            return is_settled(current_project(), reached_tasks() or tuple(task.task_dep), known=_SETTLED)
        self._last = decide(stage_named(self._name), current_project())
        if not self._last.run:
            _SETTLED.add(self._name)
        return not self._last.run

    def __repr__(self) -> str:
        """Say why, for `doit info`."""
        return self._last.reason if self._last is not None else f"{self._name} against its last execution"
