"""Files as the runner reads them: hashed as they are read, unpacked, and a second time where records must be looked at again.

What a line means is not here (`distill.jsonl`, `distill.formats`); which files there are is in `distill.plan`; how they are
written in `distill.targets`.
"""

import gzip
import io
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from distill.errors import InputError
from distill.hashing import FileHasher, hash_file
from distill.jsonl import BadLine, RawLine
from distill.readers import Limits, ReaderEntry, find_reader

__all__ = ["HashedFile", "keeper_of", "read_log", "read_records", "read_stream"]

PACKED_SUFFIXES = frozenset({".gz", ".zst"})
_SPOOLED, _SPARE = 16, 64 << 20
_STEP = 1 << 10  # of packed bytes at a time: a hostile frame unpacks to 32 MB at most from them


class HashedFile(io.RawIOBase):
    """A file that is hashed as it is read, up to its length at the start.

    Raises:
        InputError: on `finish`, where the file changed while it was read; a log that only grew, or was only touched, is accepted.
    """

    def __init__(self, path: Path, recorded: str, *, sha256: bool, progress: Callable[[int], None]) -> None:
        """Open `path`; `recorded` names it in messages."""
        self.path, self.recorded = path, recorded
        self._file = path.open("rb", buffering=0)
        self.before = os.fstat(self._file.fileno())
        self._left = self.before.st_size
        self.hasher = FileHasher(sha256=sha256)
        self._progress = progress

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, hashed."""
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted) if wanted else b""
        data = data or b""
        self._left -= len(data)
        self.hasher.update(data)
        self._progress(len(data))
        return data

    def readinto(self, buffer: object, /) -> int:
        """Fill a buffer with the next bytes."""
        view = memoryview(cast("bytearray", buffer))
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def finish(self) -> bool:
        """Read what is left and compare the file with its state at the start; tell whether it is unchanged."""
        while self.read(1 << 18):
            pass
        after = os.fstat(self._file.fileno())
        self._file.close()
        try:
            named = self.path.stat()
        except FileNotFoundError as err:
            raise InputError(f"{self.recorded}: vanished while it was read; run doit again") from err
        same = (after.st_size, after.st_mtime_ns, after.st_ctime_ns) == (
            self.before.st_size, self.before.st_mtime_ns, self.before.st_ctime_ns,
        )  # fmt: skip
        if same and named.st_ino == self.before.st_ino and self.hasher.bytes == self.before.st_size:
            return True
        grown = after.st_size >= self.before.st_size and named.st_ino == self.before.st_ino
        if grown and hash_file(self.path, length=self.before.st_size).blake3 == self.hasher.blake3:
            return False
        raise InputError(f"{self.recorded}: changed while it was read; run doit again when nobody writes to it")


class _Gzip(gzip.GzipFile):
    """A gzip stream that hands over what it has; the library's own `read` drops it where the data behind is damaged."""

    def read(self, size: int | None = -1) -> bytes:
        return self.read1(-1 if size is None else size)


class _Zstd(io.RawIOBase):
    """A zstandard stream of any number of frames; unlike the library's own reader it reports a cut last frame."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._frame: Any = None
        self._rest = b""
        self._out = b""

    def read(self, size: int = -1, /) -> bytes:
        import zstandard  # noqa: PLC0415 -- only where a log is packed so

        while not self._out:
            data = self._rest or self._file.read(_STEP)
            self._rest = b""
            if not data:
                if self._frame is not None:
                    raise EOFError("the last frame ends before it is complete")
                return b""
            frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._out = frame.decompress(data)
            self._frame = None if frame.eof else frame
            self._rest = frame.unused_data if frame.eof else b""
        data, self._out = (self._out, b"") if size < 0 else (self._out[:size], self._out[size:])
        return data


class _Steady(io.RawIOBase):
    """A stream that gives as much as is asked for; damage is told after all that came before it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._damage: Exception | None = None

    def read(self, size: int = -1, /) -> bytes:
        if self._damage is not None:
            raise self._damage
        pieces: list[bytes] = []
        left = size
        while left:
            try:
                piece = self._file.read(left)
            except _damages() as err:
                self._damage = err
                if not pieces:
                    raise
                break
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)


@cache
def _damages() -> tuple[type[Exception], ...]:
    import zstandard  # noqa: PLC0415 -- only where a log is packed

    return (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError)


def read_stream(file: BinaryIO, path: Path, reader: ReaderEntry, limits: Limits) -> Iterator[RawLine | BadLine]:
    """Yield the records of `path`, whose bytes `file` gives; where a packed one is damaged, a BadLine without place ends them.

    A reader that must go back and forth opens the file a second time, and unpacks one that is packed besides to a temporary file.
    """
    read = import_module(reader.module).read
    packed = path.suffix in PACKED_SUFFIXES
    if not packed and reader.seeks:
        with path.open("rb") as again:
            yield from read(again, limits=limits)
    elif not packed:
        yield from read(file, limits=limits)
    else:
        unpacked: Any = _Gzip(fileobj=file, mode="rb") if path.suffix == ".gz" else _Zstd(file)
        try:
            if reader.seeks:
                with tempfile.TemporaryFile() as whole:
                    _spool(unpacked, whole, _SPOOLED * path.stat().st_size + _SPARE)
                    yield from read(whole, limits=limits)
            else:
                yield from read(unpacked if reader.name == "jsonl" else _Steady(unpacked), limits=limits)
        except _damages() as err:
            yield BadLine("unreadable_member", f"the packed data is damaged: {err}; what came before is kept")


def _spool(file: BinaryIO, whole: IO[bytes], limit: int) -> None:
    """Write all that a packed archive unpacks to.

    Raises:
        EOFError: it unpacks to more than `limit` bytes; an archive is packed already and hardly packs again.
    """
    while chunk := file.read(1 << 18):
        whole.write(chunk)
        if whole.tell() > limit:
            raise EOFError(f"it unpacks to more than {limit} bytes, {_SPOOLED} times its own and {_SPARE}")
    whole.seek(0)


def read_records(path: Path, reader: str, limits: Limits) -> Iterator[RawLine | BadLine]:
    """Yield the records of one file, unpacked where its name ends in `.gz` or `.zst`; nothing is hashed.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        yield from read_stream(cast("BinaryIO", file), path, find_reader(reader), limits)


def read_log(file: HashedFile, reader: ReaderEntry, limits: Limits) -> Iterator[RawLine | BadLine]:
    """Yield the records of a raw log."""
    return read_stream(cast("BinaryIO", file), file.path, reader, limits)


class _Reread:
    """Raw records that are read again from where they stand."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY)

    def put(self, line: RawLine, /) -> int:
        return line.offset

    def get(self, place: int, length: int, /) -> bytes:
        return os.pread(self._handle, length, place)

    def close(self) -> None:
        os.close(self._handle)


class _Spooled:
    """Raw records in a temporary file, because where they stand is packed."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by `close`

    def put(self, line: RawLine, /) -> int:
        place = self._file.seek(0, os.SEEK_END)
        self._file.write(line.raw)
        return place

    def get(self, place: int, length: int, /) -> bytes:
        self._file.seek(place)
        return self._file.read(length)

    def close(self) -> None:
        self._file.close()


def keeper_of(path: Path, reader: ReaderEntry) -> _Reread | _Spooled:
    """Return what gives the raw records of a file a second time."""
    return _Spooled() if reader.seeks or path.suffix in PACKED_SUFFIXES else _Reread(path)
