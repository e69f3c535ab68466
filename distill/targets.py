"""Files as the build writes them: whole or not at all, hashed as they pass, brought to the disk before they take their places."""

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from distill.errors import InputError
from distill.hashing import FileHasher
from distill.plan import TEMPORARY

__all__ = ["TargetFile", "sync_files", "write_whole"]

_EACH = 16
"""Files that are synced one by one at most; each costs some milliseconds."""
_TICK_NS, _SECOND_NS = 20_000_000, 1_000_000_000
_WORTH = 1 << 20
"""Bytes of a file from which on it is worth to begin early."""
_BLOCK = 1 << 18
"""Bytes that are copied at a time; they stay in the cache of the core."""
_BEGIN = 2
"""Linux's SYNC_FILE_RANGE_WRITE."""


class TargetFile:
    """A file that appears whole or not at all: written beside its place, hashed as it passes, then renamed."""

    def __init__(self, project: Path, path: str) -> None:
        """Open the temporary file; its folder is made."""
        self.path = path
        self.final = project / path
        self.final.parent.mkdir(parents=True, exist_ok=True)
        self.temporary = self.final.with_name(f".{self.final.name}{TEMPORARY}{os.getpid()}")
        self._file = self.temporary.open("wb", buffering=0)
        self.hasher = FileHasher()
        self.records = 0
        self._written: os.stat_result | None = None

    @cached_property
    def _block(self) -> memoryview:
        return memoryview(bytearray(_BLOCK))

    def write_range(self, path: str, offset: int, length: int, records: int) -> None:
        """Add the lines of a range of another file.

        Raises:
            OSError: they cannot be read or written.
            InputError: the other file is too short.
        """
        handle, block, end = os.open(path, os.O_RDONLY), self._block, offset + length
        try:
            while offset < end:
                count = os.preadv(handle, [block[: end - offset]], offset)
                if not count:
                    raise InputError(f"{path}: ends at byte {offset:,}, before byte {end:,}; run doit again")
                self._write(block[:count])
                offset += count
        finally:
            os.close(handle)
        self.records += records

    def _write(self, data: memoryview) -> None:
        left = data
        try:
            while left:
                left = left[os.write(self._file.fileno(), left) :]
        except OSError as err:
            raise self._named(err) from err
        self.hasher.update(data)

    def _named(self, err: OSError) -> OSError:
        """Return the error with the path, which a failed write does not know."""
        return OSError(err.errno, err.strerror, self.path)

    def close(self) -> None:
        """Let the system begin with the rest; what waits for it comes later."""
        if self._file.closed:
            return
        self.__dict__.pop("_block", None)  # a build may have thousands of targets
        try:
            if self.hasher.bytes > _WORTH:
                _begin_sync(self._file.fileno())
            self._written = os.fstat(self._file.fileno())
            self._file.close()
        except OSError as err:
            raise self._named(err) from err

    def rewritten(self) -> None:
        """Take note that something else has written the temporary file anew, to its end."""
        self._written = self.temporary.stat()

    def publish(self) -> os.stat_result | None:
        """Put the file in its place; return its state there, or None where the clock cannot tell whether it is as we left it.

        Our last write is older than the rename by more than any tick of a clock, so a write by other hands moves its mtime, and mtime
        put back moves its ctime.
        """
        self.temporary.replace(self.final)
        now, then = self.final.stat(), self._written
        same = then is not None and (now.st_size, now.st_ino, now.st_mtime_ns) == (self.hasher.bytes, then.st_ino, then.st_mtime_ns)
        fine = now.st_mtime_ns % _SECOND_NS and now.st_ctime_ns - now.st_mtime_ns > _TICK_NS  # whole seconds: a coarse clock
        return now if same and fine else None

    def discard(self) -> None:
        """Take the temporary file away."""
        with suppress(OSError):  # a full disk: there is nothing to save
            self._file.close()
        self.temporary.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file by one rename, synced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{TEMPORARY}{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def sync_files(folder: Path, paths: Sequence[Path]) -> None:
    """Bring files of a folder to the disk: a few each by itself, many with everything that was written to its file system, at once."""
    if len(paths) > _EACH:
        _sync_all(folder)
        return
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _begin_sync(handle: int) -> None:
    """Let the system begin to write a file to the disk, where it knows how to without waiting for the end."""
    begin = getattr(_system(), "sync_file_range", None)
    if begin is not None:
        begin(handle, 0, 0, _BEGIN)


@cache
def _system() -> Any:
    """Return the C library."""
    import ctypes  # noqa: PLC0415 -- only where files are written

    library = ctypes.CDLL(None)
    with suppress(AttributeError):
        library.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return library


def _sync_all(folder: Path) -> None:
    sync = getattr(_system(), "syncfs", None)
    if sync is None:
        os.sync()
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        sync(handle)
    finally:
        os.close(handle)
