"""Files that carry what goes straight into a target from the worker that made it to the process that writes the target."""

import os
import threading

from distill.plan import TEMPORARY

__all__ = ["STREAMS"]

_STREAM = f"stream{TEMPORARY}"


class _Streams(threading.local):
    """Files of one worker that hold what goes straight into a target, each written over again and again.

    A file that is there already costs a third of a new one. Results are taken in their order, and no more of them than an engine is
    `ahead` wait to be taken, so that many tasks later what a file held is in its target.
    """

    def __init__(self) -> None:
        self._owner, self._folder = 0, ""
        self._files: list[tuple[str, int]] = []
        self._next = 0

    def next(self, path: str, ahead: int) -> tuple[str, int]:
        """Return a file beside a part and its handle."""
        folder = os.path.dirname(path)  # noqa: PTH120 -- once a unit
        if (self._owner, self._folder) != (os.getpid(), folder):
            self.close()
            self._owner, self._folder = os.getpid(), folder
        self._next = self._next % (ahead + 1)
        if self._next == len(self._files):
            name = f"{folder}/{_STREAM}{self._owner}-{self._next}"
            self._files.append((name, os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)))
        self._next += 1
        return self._files[self._next - 1]

    def close(self) -> None:
        """Forget the files."""
        for _, handle in self._files if self._owner == os.getpid() else ():
            os.close(handle)
        self._owner, self._folder, self._files, self._next = 0, "", [], 0


STREAMS = _Streams()
"""Those of this worker."""
