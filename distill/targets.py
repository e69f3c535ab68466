"""Files as the build writes them: whole or not at all, hashed as they pass, brought to the disk before they take their places."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache, cached_property, partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from distill.errors import DamagedPartError, InputError
from distill.hashing import FileHasher, hash_file
from distill.plan import TEMPORARY

__all__ = ["Behind", "TargetFile", "read_blocks", "sync_files", "temporary_of", "write_whole"]

_EACH = 16
"""Files that are synced one by one at most; each costs some milliseconds."""
_TICK_NS, _SECOND_NS = 20_000_000, 1_000_000_000
_WORTH = 1 << 20
"""Bytes from which on it is worth to begin early with the disk, or to leave hashes to a thread."""
_BLOCK = 1 << 18
"""Bytes that are copied at a time; they stay in the cache of the core."""
_BEGIN = 2
"""Linux's SYNC_FILE_RANGE_WRITE."""


class Behind:
    """Does in threads what stays behind the workers: reading what they wrote to take its hashes, each in a thread of its own.

    Each does what it is asked in order. Those calls let other threads run, so the process that shares out the work is there when a
    worker has done its own.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._lanes: dict[str, tuple[SimpleQueue[Callable[[], object] | None], threading.Thread]] = {}
        self._error: BaseException | None = None

    def ask(self, act: Callable[[], object], lane: str = "") -> None:
        """Have something done by the thread of a lane; after an error nothing is."""
        if lane not in self._lanes:
            waiting: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
            thread = threading.Thread(target=self._serve, args=(waiting,), daemon=True)
            thread.start()
            self._lanes[lane] = waiting, thread
        self._lanes[lane][0].put(act)

    def _serve(self, waiting: "SimpleQueue[Callable[[], object] | None]") -> None:
        while (act := waiting.get()) is not None:
            try:
                if self._error is None:
                    act()
            except BaseException as err:  # noqa: BLE001 -- raised where it is waited for
                self._error = err

    def wait(self) -> None:
        """Wait until all is done; what went wrong is raised here."""
        for thread in self._end():
            thread.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def leave(self) -> None:
        """Let what was asked be done without waiting for it."""
        self._end()

    def _end(self) -> list[threading.Thread]:
        """Let every thread end behind what it was asked; return them."""
        lanes = list(self._lanes.values())
        self._lanes.clear()
        for waiting, _ in lanes:
            waiting.put(None)
        return [thread for _, thread in lanes]

    def drop(self) -> None:
        """Wait for what is being done and do no more."""
        self._error = self._error or InterruptedError()
        with suppress(BaseException):
            self.wait()


class TargetFile:
    """A file that appears whole or not at all: written beside its place, hashed as it passes, then renamed."""

    def __init__(self, project: Path, path: str, behind: Behind | None = None) -> None:
        """Open the temporary file; its folder is made. What others copy to it may be hashed `behind` them."""
        self.path = path
        self._behind, self._trails, self._closed = behind, False, False
        self.final = project / path
        self.final.parent.mkdir(parents=True, exist_ok=True)
        self.temporary = temporary_of(self.final)
        self._file = self.temporary.open("w+b", buffering=0)
        self._before = _Replaced(self.final)
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
        self._before.forget(length)
        if self._behind is not None and self._trails:
            self._behind.wait()  # these lines come after those
        for block in read_blocks(path, offset, length, self._block):
            left, place = block, self.hasher.bytes
            try:
                while left:
                    done = os.pwrite(self._file.fileno(), left, place)
                    left, place = left[done:], place + done
            except OSError as err:
                raise self._named(err) from err
            self.hasher.update(block)
        self.records += records

    def take_written(self, length: int, records: int, *, copied: str | None = None) -> None:
        """Take the next lines as others wrote them into the temporary file.

        Of lines that were only copied, `copied` is the blake3 they must have. Workers are done with those sooner than their hashes are
        taken, so that is done behind them. Beside workers who make rows that is a thread too many: the cores are busy, and it costs a
        million rows 7 % more of their time.

        Raises:
            InputError: they did not write so much.
            DamagedPartError: what was copied is not what was written. Where hashes are taken behind the workers, both are raised where
                those are waited for.
        """
        self.records += records
        self._before.forget(length)
        if self._behind is None or not (self._trails or (copied is not None and length >= _WORTH)):
            self._hash_written(length, copied)
        else:
            self._trails = True
            self._hash_behind(length, self._behind, copied)

    def _hash_behind(self, length: int, behind: Behind, expected: str | None = None) -> None:
        """Let the hashes of the next bytes be taken side by side."""
        offset, self.hasher.bytes = self.hasher.bytes, self.hasher.bytes + length
        for name, add in self.hasher.adders().items():
            behind.ask(partial(self._hash_range, add, offset, length, expected if name == "blake3" else None), lane=name)

    def _hash_range(self, add: Callable[[memoryview], object], offset: int, length: int, expected: str | None) -> None:
        blocks = read_blocks(str(self.temporary), offset, length, memoryview(bytearray(min(length, _WORTH))))
        self._add(blocks, add, expected)

    def _hash_written(self, length: int, expected: str | None) -> None:
        blocks = _blocks_of(self._file.fileno(), str(self.temporary), self.hasher.bytes, length, self._block)
        self._add(blocks, self.hasher.update, expected)

    def _add(self, blocks: Iterator[memoryview], add: Callable[[memoryview], object], expected: str | None) -> None:
        """Add blocks to hashes, and hold them against the blake3 they must have."""
        alone = FileHasher(sha256=False)
        for block in blocks:
            add(block)
            if expected is not None:
                alone.update(block)
        if expected is not None and alone.blake3 != expected:
            raise DamagedPartError(f"{self.path}: what was copied is not what was written before")

    def _named(self, err: OSError) -> OSError:
        """Return the error with the path, which a failed write does not know."""
        return OSError(err.errno, err.strerror, self.path)

    def close(self) -> None:
        """Let the system begin with the rest; what waits for it comes later."""
        if self._closed:
            return
        self._closed = True
        self._before.close()
        try:
            self._written = os.fstat(self._file.fileno())
            if self._written.st_size >= _WORTH:
                _begin_sync(self._file.fileno())
        except OSError as err:
            raise self._named(err) from err
        self.__dict__.pop("_block", None)  # a build may have thousands of targets
        try:
            self._file.close()
        except OSError as err:
            raise self._named(err) from err

    def leave(self) -> Path:
        """Leave the temporary file to something that writes files itself; return where."""
        self._before.forget(0)  # all of it
        self.close()
        self.temporary.unlink()
        return self.temporary

    def take_whole(self, records: int) -> None:
        """Take the temporary file as something else has written it, to its end; it is hashed behind us."""
        self.records, self._written = records, self.temporary.stat()
        handle = os.open(self.temporary, os.O_RDONLY)
        try:
            _begin_sync(handle)
        finally:
            os.close(handle)
        if self._behind is not None:
            self._hash_behind(self._written.st_size, self._behind)
        else:
            self.hasher = hash_file(self.temporary, sha256=True)

    def publish(self, behind: Behind | None = None) -> os.stat_result | None:
        """Put the file in its place; return its state there, or None where the clock cannot tell whether it is as we left it.

        The system takes a quarter of a second to free a gigabyte of the file that was there before, `behind` us where that is given.
        Our last write is older than the rename by more than any tick of a clock, so a write by other hands moves its mtime, and mtime
        put back moves its ctime.
        """
        held = _hold(self.final) if behind is not None else -1
        try:
            self.temporary.replace(self.final)
        finally:
            if behind is not None and held >= 0:
                behind.ask(partial(os.close, held))
        now, then = self.final.stat(), self._written
        same = then is not None and (now.st_size, now.st_ino, now.st_mtime_ns) == (self.hasher.bytes, then.st_ino, then.st_mtime_ns)
        fine = now.st_mtime_ns % _SECOND_NS and now.st_ctime_ns - now.st_mtime_ns > _TICK_NS  # whole seconds: a coarse clock
        return now if same and fine else None

    def discard(self) -> None:
        """Take the temporary file away."""
        self._before.close()
        with suppress(OSError):  # a full disk: there is nothing to save
            self._file.close()
        self.temporary.unlink(missing_ok=True)


class _Replaced:
    """A file that another will replace: as that one grows, it leaves the cache of the system and leaves its pages to the new bytes.

    Both in the cache would push out what is needed, and on a virtual machine a page that was long free costs ten times as much to write.
    """

    def __init__(self, path: Path) -> None:
        """Look for the file; there may be none."""
        self._handle, self._place = _hold(path), 0

    def forget(self, length: int) -> None:
        """Let go of the next bytes, or with 0 of all that follow; what is still to be read of them comes from the disk."""
        if self._handle >= 0 and hasattr(os, "posix_fadvise"):
            with suppress(OSError):  # a folder, or a system that does not care
                os.posix_fadvise(self._handle, self._place, length, os.POSIX_FADV_DONTNEED)
        self._place += length

    def close(self) -> None:
        """Close it."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _hold(path: Path) -> int:
    """Open what lies at a place, so that it stays when its name goes; -1 where nothing does."""
    with suppress(OSError):
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for a writer
    return -1


def temporary_of(final: Path) -> Path:
    """Return where this process writes a file before it takes its place."""
    return final.with_name(f".{final.name}{TEMPORARY}{os.getpid()}")


def read_blocks(path: str, offset: int, length: int, block: memoryview | None = None, *, last: bool = False) -> Iterator[memoryview]:
    """Yield the bytes of a range of a file, a block at a time, each in the place of the one before.

    Where nobody will read them again, because this is the `last` time, they leave the cache of the system, whose pages the copy is given.

    Raises:
        OSError: they cannot be read.
        InputError: the file is too short.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        yield from _blocks_of(handle, path, offset, length, memoryview(bytearray(_BLOCK)) if block is None else block)
        if last and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(handle, offset, length, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _blocks_of(handle: int, path: str, offset: int, length: int, block: memoryview) -> Iterator[memoryview]:
    end = offset + length
    while offset < end:
        count = os.preadv(handle, [block[: end - offset]], offset)
        if not count:
            raise InputError(f"{path}: ends at byte {offset:,}, before byte {end:,}; run doit again")
        yield block[:count]
        offset += count


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
    """Let the system begin to write a file to the disk, where it knows how to without waiting for the end.

    A thread asks for it: the system takes a second to take in a gigabyte.
    """
    begin = getattr(_system(), "sync_file_range", None)
    if begin is not None:
        threading.Thread(target=_ask_to_begin, args=(begin, os.dup(handle)), daemon=True).start()


def _ask_to_begin(begin: Callable[[int, int, int, int], int], handle: int) -> None:
    try:
        begin(handle, 0, 0, _BEGIN)
    finally:
        os.close(handle)


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
