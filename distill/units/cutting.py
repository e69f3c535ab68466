"""Cutting a file into units: line-aligned byte ranges of about the same size, the same whoever works on them (DESIGN 3)."""

from collections.abc import Iterator
from typing import Any

import msgspec

from distill.files import HashedFile
from distill.hashing import FileHasher

__all__ = ["UNIT_BYTES", "Unit", "cut_file"]

UNIT_BYTES = 6 << 20
_CHUNK = 1 << 18


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
