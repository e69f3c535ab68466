"""One run of the pipeline as its processes share it: id, start, what was asked for; and the clock and git.

It travels in the environment, because doit may run actions in child processes. For reports that repeat to the byte
DISTILL_RUN_ID, DISTILL_NOW (RFC 3339) and DISTILL_GIT_COMMIT stand in for the id, the clock and git.
"""

import os
import re
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from distill.canonical import dump_canonical, load_plain
from distill.errors import ConfigError
from distill.stages import STAGES

__all__ = ["Git", "Session", "check_given", "current_session", "elapsed_ms", "now", "reached_tasks", "read_git", "start_session"]

_VARIABLE = "DISTILL_SESSION"


class Session(NamedTuple):
    """One run of the pipeline."""

    run_id: str
    """Its id."""
    started_at: str
    """When it began."""
    always: bool
    """Whether every stage runs, whatever is up to date."""
    reached: tuple[str, ...]
    """Receipt names of the stages it reaches, in the order of the pipeline."""


class Git(NamedTuple):
    """The state of the repository."""

    commit: str | None
    """HEAD, or None outside a repository or without git."""
    dirty: bool | None
    """Whether tracked files differ."""


def now() -> str:
    """Return the time in UTC with six decimals, so that runs within one second keep their order."""
    return os.environ.get("DISTILL_NOW") or f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def elapsed_ms(start: float) -> int:
    """Return the milliseconds since `start` of the monotonic clock; 0 where the clock is given."""
    return 0 if os.environ.get("DISTILL_NOW") else round((time.monotonic() - start) * 1000)


def check_given() -> None:
    """Refuse an id or a time that stands in for the run's own and cannot be one.

    Raises:
        ConfigError: the id is no name of a folder of its own, or the time is none.
    """
    problems: list[str] = []
    run_id, time_given = os.environ.get("DISTILL_RUN_ID"), os.environ.get("DISTILL_NOW")
    if run_id and (not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", run_id) or run_id == "latest"):
        problems.append(f"DISTILL_RUN_ID: found {run_id!r}, expected letters, digits, dash and underscore, such as a UUID")
    if time_given:
        from distill.times import BadTime, parse_time  # noqa: PLC0415 -- only where it is given

        try:
            parse_time(time_given, None)
        except BadTime as err:
            problems.append(f"DISTILL_NOW: {err}")
    if problems:
        raise ConfigError(problems)


def start_session(*, always: bool, reached: tuple[str, ...]) -> Session:
    """Begin a run and let child processes know it."""
    session = Session(os.environ.get("DISTILL_RUN_ID") or _random_id(), now(), always, reached)
    os.environ[_VARIABLE] = dump_canonical(session._asdict())
    return session


def _random_id() -> str:
    """Return a random UUID of version 4; the library's module costs a no-op 4 ms."""
    digits = (int.from_bytes(os.urandom(16), "big") & ~(0xF << 76) | 4 << 76) & ~(3 << 62) | 2 << 62
    text = f"{digits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def current_session() -> Session:
    """Return the run this process belongs to.

    Raises:
        KeyError: it belongs to none.
    """
    values = load_plain(os.environ[_VARIABLE])
    return Session(values["run_id"], values["started_at"], values["always"], tuple(values["reached"]))


def reached_tasks() -> tuple[str, ...]:
    """Return the tasks of the stages this run reaches; none where this process belongs to no run."""
    if _VARIABLE not in os.environ:
        return ()
    return tuple(stage.task for stage in STAGES if stage.name in current_session().reached)


def read_git(project: Path) -> Git:
    """Return the commit and whether tracked files differ from it."""
    given = os.environ.get("DISTILL_GIT_COMMIT")
    if given is not None:
        return Git(given or None, False if given else None)
    commit = _git(project, "rev-parse", "HEAD")
    if commit is None:
        return Git(None, None)
    return Git(commit, bool(_git(project, "status", "--porcelain", "--untracked-files=no")))


def _git(project: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=project, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603, S607
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
