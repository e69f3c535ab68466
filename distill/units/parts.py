"""What one unit gives: sections of lines in one file, each sorted by key, so that a bucket of keys is one range of bytes.

A keyed line starts with 32 hex digits. Laws: a part is a function of its unit's bytes and the stage key, never of the worker; it
appears whole or not at all; of a part that is used again every byte is held against its sum when it is read, so that a damaged one is
found out and made anew. What a bucket holds is known from the sums in the footers, without reading a line.
"""

import os
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, starmap
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from distill.compiled import find_compiled
from distill.errors import DamagedPartError
from distill.hashing import hash_bytes, short_sums
from distill.plan import TEMPORARY
from distill.units.seats import Seat
from distill.units.streams import STREAMS

__all__ = [
    "EMPTY", "KEY", "NOTHING", "ORDERED", "Bucket", "Part", "PartWriter", "Range", "Section", "bucket_ranges", "load_part", "read_lines_of",
    "read_range", "read_ranges", "sort_lines", "span_ranges", "whole_range",
]  # fmt: skip

KEY = 32
ORDERED = "="
"""Between the name of a part and the name of a section that lies in a file of its own."""
_SLOTS = 1024
_FIRST = [b"%03x" % (slot * 4096 // _SLOTS) for slot in range(_SLOTS)]
"""What the first key of a slot begins with."""
_INDEX = 4 * (_SLOTS + 1)
"""Bytes of an index before its sums."""
_SUM = 16
_BUCKET = 8 << 20
_TAIL = 72
"""The length of the footer in 8 bytes and its blake3 in hex."""
EMPTY = hash_bytes(b"")
"""The digest of a range without bytes."""


class Section(msgspec.Struct, array_like=True, gc=False):
    """Lines of one kind in a part."""

    offset: int
    """Byte at which they start; lines that are not keyed lie in a file of their own, or in a stream, until they stand in a target."""
    length: int
    """Bytes."""
    records: int
    """Lines."""
    digest: str
    """blake3 of the bytes; of keyed lines, of their index."""
    index: int = 0
    """Byte of the part at which the index of keyed lines starts: where each 1,024th of all keys starts, relative to `offset`, and the
    end, as 32-bit numbers, then the first 16 bytes of the blake3 of each that holds something."""
    indexed: int = 0
    """Bytes of the index; 0 where lines are not keyed."""
    streamed: bool = False
    """Whether they lie in the part's stream."""
    seated: bool = False
    """Whether they were written to their seat in the target."""


class Part(msgspec.Struct):
    """A part as others find it."""

    path: str
    """File it lies in."""
    sections: dict[str, Section]
    """By name."""
    facts: Any
    """What the unit said of itself: its books, plain values."""
    fresh: bool = True
    """Whether it was written in this build, so that nobody can have touched it since."""
    stream: str = ""
    """Where its streamed lines lie until the parts before the next few are taken."""


class Range(NamedTuple):
    """Bytes of a part, or of a target."""

    path: str
    """File."""
    offset: int
    """First byte."""
    length: int
    """Bytes."""
    ends: bytes = b""
    """Of keyed lines, the ends of their pieces, relative to `offset`, as 32-bit numbers."""
    sums: bytes = b""
    """Likewise, their sums; empty where nobody can have touched them since."""


class Taken(Protocol):
    """Where lines lie, not spelt yet: of most buckets only the digest is asked."""

    def __len__(self) -> int:
        """Return how many ranges there are."""

    def fields(self) -> list[tuple[Any, ...]]:
        """Return the fields of each range."""


class Bucket(NamedTuple):
    """The lines of some keys in all parts."""

    taken: Taken
    """Where they lie."""
    digest: str
    """What they are."""
    first: int = 0
    """First slot of it."""
    last: int = 0
    """Slot after its last."""

    @property
    def ranges(self) -> list[Range]:
        """Where they lie, to be read."""
        return list(starmap(Range, self.taken.fields()))


_COMPILED, _TABLES = find_compiled("parts"), find_compiled("tables")


class _Lines(list[bytes]):
    """Lines without newline, in the order of arrival until they are finished: what `distill.compiled.parts.Lines` does in Python."""

    def finish(self) -> tuple[bytes, bytes, bytes]:
        """Return the sorted lines with their newlines, where each slot of keys starts, and the end, and the sum of each that holds any."""
        self.sort()
        data = b"\n".join(self) + b"\n" if self else b""
        slots = _slots_of(self, len(data))
        return data, slots.tobytes(), short_sums(data, sorted({*slots}))


class PartWriter:
    """Collects the lines of one part in memory; a unit is small."""

    def __init__(self, ahead: int = 0) -> None:
        """Start empty; `ahead` is how many parts with rows that go straight into a target may wait to be taken."""
        self.keyed: defaultdict[str, Any] = defaultdict(_Lines if _COMPILED is None else _COMPILED.Lines)
        """Lines without newline, to which more can be appended or added; sorted when saved."""
        self.ordered: defaultdict[str, list[bytes]] = defaultdict(list)
        """Lines with their newline, kept in the order of arrival."""
        self._spilled: dict[str, Section] = {}
        self._stream = ("", -1)
        self._streamed, self._ahead = 0, ahead

    def stream(self, path: str, name: str, data: bytes | memoryview, records: int, seat: Seat | None) -> None:
        """Write the ordered lines of a section that goes into a target in the order of the parts, as soon as its part is taken.

        They go to their seat at once where there is one.
        """
        start = seat.write(data) if seat is not None else None
        if start is not None:
            self._spilled[name] = Section(start, len(data), records, hash_bytes(data), seated=True)
            return
        if data and not self._stream[0]:
            self._stream = STREAMS.next(path, self._ahead)
        section = Section(self._streamed, len(data), records, hash_bytes(data), streamed=True)
        left = memoryview(data)
        try:
            while left:
                done = os.pwrite(self._stream[1], left, self._streamed)
                left, self._streamed = left[done:], self._streamed + done
        except OSError as err:
            raise OSError(err.errno, err.strerror, path) from err
        self._spilled[name] = section

    def spill(self, path: str, name: str) -> None:
        """Write the ordered lines of a section now; none may come after them."""
        lines = self.ordered.pop(name)
        self.write(path, name, b"".join(lines), len(lines))

    def write(self, path: str, name: str, data: bytes | memoryview, records: int) -> None:
        """Write the ordered lines of a section at once."""
        self._spilled[name] = Section(0, len(data), records, hash_bytes(data))
        if data:
            _write_whole(f"{path}{ORDERED}{name}", [data])

    def save(self, path: str, facts: Any) -> Part:
        """Write the part by one rename."""
        for name in sorted(self.ordered):
            self.spill(path, name)
        sections = dict(self._spilled)
        place = 0
        body: list[bytes] = []
        for name, lines in sorted(self.keyed.items()):
            if not lines:
                continue
            data, slots, sums = lines.finish()
            index = slots + sums
            sections[name] = Section(place, len(data), len(lines), hash_bytes(index), place + len(data), len(index))
            body += (data, index)
            place += len(data) + len(index)
        part = Part(path, sections, facts)
        footer = msgspec.msgpack.encode(part)
        tail = len(footer).to_bytes(8, "little") + hash_bytes(footer).encode()
        _write_whole(path, [*body, footer, tail])
        part.stream = self._stream[0]
        return part


def _write_whole(path: str, blocks: Sequence[bytes | memoryview]) -> None:
    """Write a file by one rename; what fails names the path and leaves nothing."""
    temporary = f"{path}{TEMPORARY}{os.getpid()}"
    try:
        with open(temporary, "wb") as file:  # noqa: PTH123 -- once a unit
            file.writelines(blocks)
        os.replace(temporary, path)  # noqa: PTH105 -- likewise
    except OSError as err:
        Path(temporary).unlink(missing_ok=True)
        raise OSError(err.errno, err.strerror, path) from err


def _slots_of(lines: list[bytes], length: int) -> "array[int]":
    """Return where each slot of sorted lines starts, and the end."""
    ends = list(accumulate(map(len, lines), initial=0))
    slots, place = array("I"), 0
    for slot in range(_SLOTS):
        place = bisect_left(lines, _FIRST[slot], place)
        slots.append(ends[place] + place)
    slots.append(length)
    return slots


def load_part(path: str, *, keep: Callable[[Section], bool] = lambda section: False) -> Part | None:
    """Return a part that was made before, or None where there is none or its footer is damaged.

    Its lines are held against their sums when they are read. `keep` tells of lines that are not keyed whether a target holds them.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            end = os.fstat(handle).st_size
            tail = os.pread(handle, _TAIL, max(0, end - _TAIL))
            size = int.from_bytes(tail[:8], "little")
            footer = os.pread(handle, size, end - _TAIL - size) if end >= size + _TAIL else b""
        finally:
            os.close(handle)
        if hash_bytes(footer).encode() != tail[8:]:
            return None
        part = msgspec.msgpack.decode(footer, type=Part)
    except (OSError, ValueError, msgspec.MsgspecError):
        return None
    part.fresh = False
    keyed = sum(one.length + one.indexed for one in part.sections.values() if one.indexed)
    whole = part.path == path and end == keyed + size + _TAIL
    return part if whole and all(one.indexed or not one.length or keep(one) for one in part.sections.values()) else None


def bucket_ranges(parts: Sequence[Part], *sections: str, growth: int = 1) -> Iterator[Bucket]:
    """Yield every bucket of keys that holds something, about 8 MB; fewer where its lines become `growth` times as long."""
    total = growth * sum(part.sections[name].length for part in parts for name in sections if name in part.sections)
    count = 1
    while count < _SLOTS and total > count * _BUCKET:
        count *= 2
    step = _SLOTS // count
    spans = ((first, first + step) for first in range(0, _SLOTS, step))
    yield from (bucket for bucket in span_ranges(parts, spans, *sections) if len(bucket.taken))


def span_ranges(parts: Sequence[Part], spans: Iterable[tuple[int, int]], *sections: str) -> Iterator[Bucket]:
    """Yield the bucket of every span of slots, in their order; it may hold nothing.

    Raises:
        DamagedPartError: the index of a part is not what was written.
    """
    tables = [_open_table(part, part.sections[name]) for part in parts for name in sections if name in part.sections]
    before = 0
    for first, last in spans:
        for table in tables if before < first else ():
            table.take(before, first)
        taken, sums = (_take_span if _TABLES is None else _TABLES.take_span)(tables, first, last)
        before = last
        yield Bucket(taken, hash_bytes(sums), first, last)


class _Taken(list[tuple[Any, ...]]):
    """The fields of some ranges."""

    def fields(self) -> list[tuple[Any, ...]]:
        return self


NOTHING = Bucket(_Taken(), "")
"""No lines at all."""


def _take_span(tables: list[Any], first: int, last: int) -> tuple[Taken, bytes]:
    """Return where some slots of every table lie, and the sums of those that hold anything, joined."""
    taken = [taken for table in tables if (taken := table.take(first, last)) is not None]
    return _Taken(one for one, _ in taken), b"".join([sums for _, sums in taken])


class _Table:
    """The slots of one section, taken in order: what `distill.compiled.tables.Table` does in Python."""

    def __init__(self, path: str, offset: int, index: int, fresh: bool) -> None:  # noqa: FBT001 -- as the compiled one
        self._path, self._offset, self._fresh = path, offset, fresh
        table = _read(path, index, _INDEX + _SUM * _SLOTS)
        self._slots, self._sums = array("I", table[:_INDEX]), table[_INDEX:]
        self._sum = 0

    def take(self, first: int, last: int) -> tuple[tuple[Any, ...], bytes] | None:
        """Return the fields of the `Range` of some slots, and their sums; None where they hold nothing."""
        start, end = self._slots[first], self._slots[last]
        if start == end:
            return None
        ends = sorted({*self._slots[first : last + 1]} - {start})
        sums = self._sums[_SUM * self._sum : _SUM * (self._sum + len(ends))]
        self._sum += len(ends)
        place = (self._path, self._offset + start, end - start)
        return (place if self._fresh else (*place, array("I", [one - start for one in ends]).tobytes(), sums)), sums


def _open_table(part: Part, section: Section) -> Any:
    if not part.fresh and hash_bytes(_read(part.path, section.index, section.indexed)) != section.digest:
        raise DamagedPartError(f"{part.path}: the index at byte {section.index:,} is not what was written")
    return (_Table if _TABLES is None else _TABLES.Table)(part.path, section.offset, section.index, part.fresh)


def whole_range(part: Part, name: str) -> Range:
    """Return the range of a whole keyed section."""
    found = _open_table(part, part.sections[name]).take(0, _SLOTS)
    return Range(*found[0]) if found else Range(part.path, 0, 0)


def _read(path: str, offset: int, length: int) -> bytes:
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.pread(handle, length, offset)
    finally:
        os.close(handle)


def read_range(one: Range) -> bytes:
    """Return the bytes of a range.

    Raises:
        DamagedPartError: they are not those that were written.
    """
    data = _read(one.path, one.offset, one.length)
    if one.sums and (len(data) != one.length or _sums_of(data, one.ends) != one.sums):
        raise DamagedPartError(f"{one.path}: bytes {one.offset:,} to {one.offset + one.length:,} are not those that were written")
    return data


def read_ranges(ranges: Sequence[Range]) -> list[bytes]:
    """Return the bytes of several ranges.

    Raises:
        DamagedPartError: those of one are not what was written.
    """
    found = [None] * len(ranges) if _COMPILED is None else _COMPILED.read_blocks(ranges)
    blocks = [read_range(one) if block is None else block for one, block in zip(ranges, found, strict=True)]
    for one, block in zip(ranges, blocks, strict=True):
        if len(block) != one.length:
            raise DamagedPartError(f"{one.path}: ends before byte {one.offset + one.length:,}")
    return blocks


def _sums_of(data: bytes, ends: bytes) -> bytes:
    bounds = array("I", [0, *memoryview(ends).cast("I")])
    sums: bytes = short_sums(data, bounds) if _COMPILED is None else _COMPILED.short_sums(data, bounds)
    return sums


def read_lines_of(ranges: Sequence[Range]) -> list[bytes]:
    """Return the lines of a bucket without their newlines, sorted."""
    return sort_lines(read_ranges(ranges))


def sort_lines(blocks: list[bytes]) -> list[bytes]:
    """Return the lines of blocks of bytes without their newlines, sorted."""
    if _COMPILED is not None:
        lines: list[bytes] = _COMPILED.sort_blocks(blocks)
        return lines
    return sorted(line for block in blocks for line in block.split(b"\n")[:-1])
