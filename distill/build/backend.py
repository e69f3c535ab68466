"""What doit keeps about tasks, answered from the build's own store (DESIGN 2).

doit's own rows decide nothing: whether a task is up to date says `distill.build.decision`. Only the mark that
`doit ignore` sets, and `doit forget`, reach the store. This module is loaded by every doit of the environment, so it
imports nothing heavy.
"""

from pathlib import Path
from typing import Any

__all__ = ["Backend", "Checker"]


class Backend:
    """doit's database, reduced to marks in the store."""

    desc = "the store of distill"
    hide_ignored = False
    """True while the pipeline runs: an ignored stage then still gets its action, which writes its receipt."""

    def __init__(self, name: str, codec: Any = None, module_name: str | None = None) -> None:
        """Accept what doit gives; the store is the project's whatever the name."""
        self.name = name

    def _store(self) -> Any:
        from distill.build.store import open_store  # noqa: PLC0415 -- other projects of the environment load this module

        return open_store(Path.cwd())

    def get(self, task_id: str, dependency: str) -> Any:
        """Return a mark; every file counts as known."""
        if dependency == "ignore:":
            return None if Backend.hide_ignored else (task_id in (self._store().meta("ignored") or [])) or None
        return None if dependency.endswith(":") else 1

    def set(self, task_id: str, dependency: str, value: Any) -> None:
        """Keep the mark of `doit ignore`; nothing else."""
        if dependency == "ignore:":
            store = self._store()
            store.save_meta("ignored", sorted({*(store.meta("ignored") or []), task_id}))

    def in_(self, task_id: str) -> bool:
        """Tell that a task is known."""
        return True

    def dump(self) -> None:
        """Write nothing; the store is always written."""

    def remove(self, task_id: str) -> None:
        """Forget a task: its mark goes and it runs again. While the pipeline runs nothing is forgotten: a failure is a status."""
        if Backend.hide_ignored:
            return
        from distill.stages import STAGES  # noqa: PLC0415 -- as above

        store = self._store()
        store.save_meta("ignored", [name for name in store.meta("ignored") or [] if name != task_id] or None)
        for stage in STAGES:
            if stage.task == task_id:
                store.forget(stage.name)

    def remove_all(self) -> None:
        """Forget every task."""
        from distill.stages import STAGES  # noqa: PLC0415 -- as above

        for stage in STAGES:
            self.remove(stage.task)


class Checker:
    """doit's file checker, which never says anything: the store compares files."""

    class CheckerError(Exception):
        """Never raised: an absent file is found by the store."""

    def exists(self, file_path: str) -> bool:
        """Tell that a file exists; the store looks for itself."""
        return True

    def info(self, file_path: str) -> None:
        """Return nothing about a file."""

    def check_modified(self, file_path: str, file_stat: Any, state: Any) -> bool:
        """Tell that a file is unchanged; the store looks for itself."""
        return False

    def get_state(self, dep: str, current_state: Any) -> None:
        """Keep nothing about a file."""
