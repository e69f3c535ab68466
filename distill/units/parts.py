"""What one unit gives: sections of lines in one file, each sorted by key, so that a bucket of keys is one range of bytes.

A keyed line starts with 32 hex digits. Laws: a part is a function of its unit's bytes and the stage key, never of the worker; it
appears whole or not at all; a part that is used again is hashed first, so that a damaged one is made anew.
"""

import os
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from distill.hashing import hash_bytes
from distill.plan import TEMPORARY

__all__ = ["EMPTY", "KEY", "ORDERED", "Part", "PartWriter", "Range", "Section", "bucket_ranges", "load_part", "read_lines_of", "read_range"]

KEY = 32
ORDERED = "="
"""Between the name of a part and the name of a section that lies in a file of its own."""
_SLOTS = 1024
_BUCKET = 4 << 20
_TAIL = 72
"""The length of the footer in 8 bytes and its blake3 in hex."""
EMPTY = hash_bytes(b"")
"""The digest of a range without bytes."""
_FIRST = [b"%03x" % (slot * 4096 // _SLOTS) for slot in range(_SLOTS)]


class Section(msgspec.Struct, array_like=True, gc=False):
    """Lines of one kind in a part."""

    offset: int
    """Byte at which they start; lines that are not keyed lie in a file of their own until they stand in a target."""
    length: int
    """Bytes."""
    records: int
    """Lines."""
    digest: str
    """blake3 of the bytes."""
    slots: bytes
    """Where each 1024th of all keys starts, relative to `offset`, and the end, as 32-bit numbers; empty where lines are not keyed."""


class Part(msgspec.Struct):
    """A part as others find it."""

    path: str
    """File it lies in."""
    sections: dict[str, Section]
    """By name."""
    facts: Any
    """What the unit said of itself: its books, plain values."""


class Range(NamedTuple):
    """Bytes of a part."""

    path: str
    """File."""
    offset: int
    """First byte."""
    length: int
    """Bytes."""


class PartWriter:
    """Collects the lines of one part in memory; a unit is small."""

    def __init__(self) -> None:
        """Start empty."""
        self.keyed: defaultdict[str, list[bytes]] = defaultdict(list)
        """Lines without newline, sorted when saved."""
        self.ordered: defaultdict[str, list[bytes]] = defaultdict(list)
        """Lines with their newline, kept in the order of arrival."""

    def save(self, path: str, facts: Any) -> Part:
        """Write the part by one rename."""
        sections: dict[str, Section] = {}
        place = 0
        body: list[bytes] = []
        for name, lines in sorted(self.ordered.items()):
            data = b"".join(lines)
            sections[name] = Section(0, len(data), len(lines), hash_bytes(data), b"")
            if data:
                _write_whole(f"{path}{ORDERED}{name}", [data])
        for name, lines in sorted(self.keyed.items()):
            if not lines:
                continue
            lines.sort()
            body.append(b"\n".join(lines) + b"\n")
            sections[name] = Section(place, len(body[-1]), len(lines), hash_bytes(body[-1]), _slots_of(lines))
            place += len(body[-1])
        part = Part(path, sections, facts)
        footer = msgspec.msgpack.encode(part)
        tail = len(footer).to_bytes(8, "little") + hash_bytes(footer).encode()
        _write_whole(path, [*body, footer, tail])
        return part


def _write_whole(path: str, blocks: list[bytes]) -> None:
    """Write a file by one rename; what fails names the path and leaves nothing."""
    temporary = f"{path}{TEMPORARY}{os.getpid()}"
    try:
        with open(temporary, "wb") as file:  # noqa: PTH123 -- once a unit
            file.writelines(blocks)
        os.replace(temporary, path)  # noqa: PTH105 -- likewise
    except OSError as err:
        Path(temporary).unlink(missing_ok=True)
        raise OSError(err.errno, err.strerror, path) from err


def _slots_of(lines: list[bytes]) -> bytes:
    if len(lines) < _SLOTS:
        few, place = array("I"), 0
        for line in lines:
            missing = int(line[:3], 16) * _SLOTS // 4096 + 1 - len(few)
            if missing > 0:
                few.extend([place] * missing)
            place += len(line) + 1
        few.extend([place] * (_SLOTS + 1 - len(few)))
        return few.tobytes()
    ends = [0, *accumulate(len(line) + 1 for line in lines)]
    return array("I", [*(ends[bisect_left(lines, first)] for first in _FIRST), ends[-1]]).tobytes()


def load_part(path: str, *, keep: Callable[[Section], bool] = lambda section: False) -> Part | None:
    """Return a part that was made before, or None where there is none or it is damaged.

    `keep` tells of lines that are not keyed whether a target holds them.
    """
    try:
        with Path(path).open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - _TAIL))
            tail = file.read(_TAIL)
            size = int.from_bytes(tail[:8], "little")
            if end < size + _TAIL:
                return None
            file.seek(end - _TAIL - size)
            footer = file.read(size)
        if hash_bytes(footer).encode() != tail[8:]:
            return None
        part = msgspec.msgpack.decode(footer, type=Part)
        whole = part.path == path and all(
            hash_bytes(read_range(Range(path, one.offset, one.length))) == one.digest if one.slots else not one.length or keep(one)
            for one in part.sections.values()
        )
    except (OSError, ValueError, msgspec.MsgspecError):
        return None
    return part if whole else None


def bucket_ranges(parts: Sequence[Part], *sections: str) -> Iterator[list[Range]]:
    """Yield, for every bucket of keys that holds something, its range in each part; a bucket of about 4 MB fits in memory."""
    found = [(part.path, part.sections[name]) for part in parts for name in sections if name in part.sections]
    total = sum(one.length for _, one in found)
    count = 1
    while count < _SLOTS and total > count * _BUCKET:
        count *= 2
    step = _SLOTS // count
    tables = [(path, one.offset, memoryview(one.slots).cast("I")) for path, one in found]
    for first in range(0, _SLOTS, step):
        ranges = [Range(path, offset + slots[first], slots[first + step] - slots[first]) for path, offset, slots in tables]
        ranges = [one for one in ranges if one.length]
        if ranges:
            yield ranges


def read_range(one: Range) -> bytes:
    """Return the bytes of a range."""
    handle = os.open(one.path, os.O_RDONLY)
    try:
        return os.pread(handle, one.length, one.offset)
    finally:
        os.close(handle)


def read_lines_of(ranges: Iterable[Range]) -> list[bytes]:
    """Return the lines of a bucket without their newlines, sorted."""
    lines: list[bytes] = []
    for one in ranges:
        lines += read_range(one).split(b"\n")[:-1]
    lines.sort()
    return lines
