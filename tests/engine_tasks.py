"""Functions that the tests of engines give to workers."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from distill.errors import ConfigError, ContaminationError

__all__ = ["add", "end_itself", "name_process", "raise_error", "sleep", "unpicklable"]


def add(context: int, payload: int) -> int:
    """Return the sum of what is shared and what is given."""
    return context + payload


def name_process(context: Any, payload: Any) -> int:
    """Return the process that works."""
    time.sleep(0.02)
    return os.getpid()


def sleep(context: Any, payload: float) -> float:
    """Return after that many seconds."""
    time.sleep(payload)
    return payload


def raise_error(context: Any, payload: str) -> None:
    """Raise one of the errors of a stage."""
    errors: dict[str, Exception] = {
        "contamination": ContaminationError([f"line {number}" for number in range(12)]), "config": ConfigError(["one", "two"]),
        "os": FileNotFoundError(2, "No such file or directory", "some/file"), "value": ValueError("wrong"),
    }  # fmt: skip
    raise errors[payload]


def end_itself(context: Any, payload: tuple[str, int, int]) -> int:
    """Die the first `times` times it is asked for this number, then return it."""
    folder, number, times = payload
    tries = len(list(Path(folder).glob(f"{number}-*")))
    if tries < times:
        Path(folder, f"{number}-{tries}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def unpicklable(context: Any, payload: Any) -> Any:
    """Return what cannot travel."""
    return lambda: payload
