"""Progress of long work: a bar with rate and time to go on a terminal, a plain line now and then elsewhere."""

import sys
import time
from typing import Any

__all__ = ["Progress"]

_QUIET_S = 0.7
_LINE_S = 15.0


class Progress:
    """Progress of one stage over its bytes; says nothing about work that is done at once."""

    def __init__(self, label: str, total: int) -> None:
        """Begin; `total` is in bytes."""
        self._label, self._total, self._done = label, total, 0
        self._start = self._last = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def advance(self, count: int) -> None:
        """Tell that `count` further bytes were read."""
        self._done += count
        moment = time.monotonic()
        if moment - self._start < _QUIET_S or moment - self._last < 0.1:
            return
        if sys.__stderr__ is not None and sys.__stderr__.isatty():
            self._last = moment
            self._show()
        elif moment - self._last > _LINE_S:
            self._last = moment
            sys.stderr.write(f"{self._label}: {self._done / 1e6:,.0f} of {self._total / 1e6:,.0f} MB, {self._rate(moment):,.1f} MB/s\n")

    def _rate(self, moment: float) -> float:
        return self._done / 1e6 / max(moment - self._start, 1e-9)

    def _show(self) -> None:
        if self._bar is None:
            from rich.console import Console  # noqa: PLC0415 -- only for long work on a terminal
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn  # noqa: PLC0415

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._label, total=self._total)
            self._bar.start()
        self._bar.update(self._task, completed=self._done)

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.stop()
