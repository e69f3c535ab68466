"""Cutting a file into units: line-aligned byte ranges of about the same size, the same whoever works on them (DESIGN 3)."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from distill.files import HashedFile
from distill.hashing import FileHasher, hash_bytes
from distill.plan import TEMPORARY

__all__ = ["UNIT_BYTES", "Cut", "Cuts", "Unit", "cut_file"]

UNIT_BYTES = 6 << 20
_CHUNK = 1 << 18
_CUTS = 1000


class Unit(msgspec.Struct, array_like=True, frozen=True):
    """A range of whole lines."""

    start: int
    """First byte."""
    end: int
    """Byte after the last."""
    lines: int
    """Lines before it in the file, blank ones included."""
    digest: str
    """blake3 of its bytes."""


class Cut(msgspec.Struct):
    """A file and its units."""

    blake3: str
    """Of its bytes."""
    sha256: str
    """Likewise."""
    bytes: int
    """Its length."""
    units: list[Unit]
    """In order."""


class Cuts:
    """How files were cut in this build and in those before, by the blake3 of the file."""

    def __init__(self, folder: Path) -> None:
        """Take the folder they are kept in; it is made."""
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def find(self, digest: str) -> Cut | None:
        """Return how a file of that blake3 is cut, where it was cut before."""
        try:
            data = (self._folder / digest).read_bytes()
            cut = msgspec.msgpack.decode(data[64:], type=Cut)
        except (OSError, ValueError, msgspec.MsgspecError):
            return None
        return cut if data[:64] == hash_bytes(data[64:]).encode() and cut.blake3 == digest and cut.units else None

    def save(self, cut: Cut) -> None:
        """Remember how a file is cut; one that holds nothing is one unit, however many made it."""
        if not cut.bytes:
            return
        temporary = self._folder / f"{cut.blake3}{TEMPORARY}{os.getpid()}-{threading.get_ident()}"
        data = msgspec.msgpack.encode(cut)
        temporary.write_bytes(hash_bytes(data).encode() + data)
        temporary.replace(self._folder / cut.blake3)

    def trim(self, files: int) -> None:
        """Forget all where most of them are of files that were changed long ago; one too many costs a reading."""
        cuts = list(self._folder.iterdir())
        for path in cuts if len(cuts) > _CUTS + 8 * files else ():
            path.unlink(missing_ok=True)


def cut_file(file: HashedFile, *, whole: bool = False, size: int = UNIT_BYTES) -> Iterator[Unit]:
    """Yield the units of a file as it is read and hashed: each ends at the first line end at or after `size` bytes.

    A unit's place depends on what stands before it alone, so a file that grows keeps its units but the last. A `whole` file (a
    packed one) is one unit.
    """
    start = place = lines = before = 0
    digest: Any = FileHasher(sha256=False)
    while chunk := file.read(_CHUNK):
        while not whole and place + len(chunk) - start >= size:
            cut = chunk.find(b"\n", max(0, start + size - place - 1)) + 1
            if not cut:
                break
            digest.update(chunk[:cut])
            lines += chunk.count(b"\n", 0, cut)
            yield Unit(start, place + cut, before, digest.blake3)
            digest = FileHasher(sha256=False)
            chunk, place = chunk[cut:], place + cut
            start, before = place, lines
        digest.update(chunk)
        lines += 0 if whole else chunk.count(b"\n")
        place += len(chunk)
    if place > start or not place:
        yield Unit(start, place, before, digest.blake3)
