"""Where the rows of each unit stand in their target, so that the worker that makes them can write them there itself.

The process that shares out the work gives every unit of a target a seat, in the order of the target. The rows of a seat start where
those of the seats before it end; the lengths of all lie in one file that every process writes and reads. So all workers write a target
at once, and the process that shares out the work is left with its hashes.
"""

import os
import select
from array import array
from pathlib import Path
from typing import Any, NamedTuple

from distill.plan import TEMPORARY
from distill.targets import temporary_of

__all__ = ["Seat", "Seats"]

_SIZE = 8
"""Bytes of a length. What is written is one more: 0 is a length that nobody told yet."""
_LOOKS, _LOOK = 10_000, 0.0005
"""How often to look for the lengths before, and seconds between; after that the rows are left to be copied into the target."""


class Seat(NamedTuple):
    """The place of one unit's rows in a target."""

    path: str
    """The target."""
    temporary: str
    """The file it is written to first."""
    lengths: str
    """File of the lengths of all seats."""
    first: int
    """Number of the first seat of this target."""
    number: int
    """Number of this one."""
    step: int
    """From one seat of the target to the next."""

    def tell(self, length: int) -> None:
        """Say how many bytes the rows have."""
        handle = os.open(self.lengths, os.O_WRONLY)
        try:
            os.pwrite(handle, array("Q", [length + 1]).tobytes(), _SIZE * self.number)
        finally:
            os.close(handle)

    def find_start(self) -> int | None:
        """Return the byte at which the rows start; None where a length before stays unknown for too long."""
        before = self.number - self.first
        if not before:
            return 0
        handle = os.open(self.lengths, os.O_RDONLY)
        try:
            for _ in range(_LOOKS):
                lengths = os.pread(handle, _SIZE * before, _SIZE * self.first)
                told = array("Q", lengths[: len(lengths) // _SIZE * _SIZE])
                if len(told) == before and 0 not in told[:: self.step]:
                    return sum(told[:: self.step]) - before // self.step
                select.select([], [], [], _LOOK)
            return None
        finally:
            os.close(handle)

    def write(self, data: Any) -> int | None:
        """Write the rows to the target; return where they start, or None where that is not known in time."""
        self.tell(len(data))
        start = self.find_start()
        if start is not None and data:
            self.write_at(data, start)
        return start

    def write_at(self, data: Any, place: int) -> int:
        """Write some of the rows at a byte of the target; return the byte behind them."""
        left = memoryview(data)
        try:
            handle = os.open(self.temporary, os.O_WRONLY)
            try:
                while left:
                    done = os.pwrite(handle, left, place)
                    left, place = left[done:], place + done
            finally:
                os.close(handle)
        except OSError as err:
            raise OSError(err.errno, err.strerror, self.path) from err
        return place


class Seats:
    """The seats of one stage."""

    def __init__(self, folder: Path, project: Path) -> None:
        """Take a folder for the lengths, and that of the project."""
        self._project, self._lengths = project, str(folder / f"lengths{TEMPORARY}{os.getpid()}")
        Path(self._lengths).write_bytes(b"")
        self._targets: tuple[str, ...] = ()
        self._temporary: tuple[str, ...] = ()
        self._first = self._next = 0

    def give(self, *targets: str) -> list[Seat]:
        """Return the next seat in every target; those of the same targets are asked for one after the other."""
        if targets != self._targets:
            self._targets, self._first = targets, self._next
            self._temporary = tuple(str(temporary_of(self._project / target)) for target in targets)
        start, self._next = self._next, self._next + len(targets)
        return [
            Seat(target, temporary, self._lengths, self._first + i, start + i, len(targets))
            for i, (target, temporary) in enumerate(zip(targets, self._temporary, strict=True))
        ]
