"""Records one after the other in one array or object, as they stand there: their bytes, their offset, their place or key.

The top is streamed. A whole element is found by one regular expression over the window; what that cannot tell (an element longer than
the window, nested deeper, broken) is told by a scan that knows strings and brackets. Nothing is decoded here but keys.
"""

import re
from collections.abc import Iterator
from typing import IO, BinaryIO, NamedTuple

import msgspec

from distill.hashing import FileHasher, hash_parts
from distill.jsonl import RAW_KEPT, BadLine, RawLine
from distill.readers import Limits

__all__ = ["Shape", "Take", "make_shape", "read_elements", "take_whole"]

_CHUNK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_BODY = re.compile(rb"[^ \t\r\n]")
_COMMA = ord(",")
_OPENING, _CLOSING = (b"{", b"["), (b"}", b"]")
_LONGEST_KEY = 1 << 20
_LEVELS = 7
_DEEPEST = 1 << 20
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PLAIN = rb'[^"\[\]{}]++'
_TOP = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb")*+", re.DOTALL).match
_DEEP = re.compile(rb"(?:" + _PLAIN + rb"|" + _STRING + rb")*+", re.DOTALL).match
_INSIDE = re.compile(rb'["\\]')
_KEY = re.compile(rb"[ \t\r\n]*(" + _STRING + rb")[ \t\r\n]*:[ \t\r\n]*", re.DOTALL)
_PAIRS = {ord("]"): ord("["), ord("}"): ord("{")}
_DECODE_KEY = msgspec.json.Decoder(str).decode


def _nested(levels: int) -> bytes:
    """Return the expression of an array or object with so many levels, each bracket closed by its own."""
    inner = rb"(?:" + _PLAIN + rb"|" + _STRING + rb")*+"
    for _ in range(levels - 1):
        inner = rb"(?:" + _PLAIN + rb"|" + _STRING + rb"|\{" + inner + rb"\}|\[" + inner + rb"\])*+"
    return rb"(?:\{" + inner + rb"\}|\[" + inner + rb"\])"


_ELEMENT = rb"[ \t\r\n]*+(" + _nested(_LEVELS) + rb")[ \t\r\n]*+([,%s])"


class Shape(NamedTuple):
    """What an array and an object differ in."""

    name: str
    """Word for messages."""
    opening: int
    """First byte."""
    closing: int
    """Last byte."""
    fast: re.Pattern[bytes]
    """A whole element and what follows it."""
    keyed: bool
    """Whether each record has a key before it."""
    hint: str
    """What to do where the file is something else."""


def make_shape(name: str, brackets: bytes, *, keyed: bool, hint: str) -> Shape:
    """Return the shape of an array or an object."""
    fast = re.compile(_ELEMENT % re.escape(brackets[1:]), re.DOTALL)
    return Shape(name, brackets[0], brackets[1], fast, keyed, hint)


class Take:
    """Bytes of one record as they come: all of them up to a bound, beyond it their first 64 KiB, their length and hash.

    White space at the end is held back, so that it belongs to the record only where something follows it.
    """

    def __init__(self, limit: int) -> None:
        """Start empty."""
        self._limit = limit
        self._kept: list[bytes] = []
        self._hasher: FileHasher | None = None
        self._space = b""
        self.length = 0

    def add(self, data: bytes) -> None:
        """Take more bytes."""
        data = self._space + data
        body = data.rstrip(_SPACE) if len(self._space) <= RAW_KEPT else data
        self._space = data[len(body) :]
        if not body:
            return
        self.length += len(body)
        if self._hasher is not None:
            self._hasher.update(body)
            self._kept = [(self._kept[0] + body)[:RAW_KEPT]] if len(self._kept[0]) < RAW_KEPT else self._kept
            return
        self._kept.append(body)
        if self.length > self._limit:
            self._hasher = FileHasher(sha256=False)
            for block in self._kept:
                self._hasher.update(block)
            self._kept = [b"".join(self._kept)[:RAW_KEPT]]

    def line(self, place: RawLine) -> RawLine:
        """Return the record at a place."""
        digest = self._hasher.blake3 if self._hasher is not None else None
        return place._replace(raw=b"".join(self._kept), length=self.length, hash=digest)


def take_whole(file: IO[bytes], limit: int) -> RawLine:
    """Return all of a file as one record, without byte order mark and the white space around it; beyond the limit, length and hash."""
    take, offset = Take(limit), 0
    chunk = file.read(_CHUNK)
    if chunk.startswith(_BOM):
        offset, chunk = 3, chunk[3:]
    while chunk:
        if not take.length:
            body = chunk.lstrip(_SPACE)
            offset, chunk = offset + len(chunk) - len(body), body
        take.add(chunk)
        chunk = file.read(_CHUNK)
    return take.line(RawLine(1, offset, b"", ended=True, length=0, hash=None))


class _Window:
    """The part of a file that is looked at."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.data = b""
        self.place = 0
        self._base = 0
        self.damage: Exception | None = None
        """What reading on failed with; raised when all that came before is used up."""

    @property
    def offset(self) -> int:
        """Offset of the place in the file."""
        return self._base + self.place

    def more(self) -> bool:
        """Read on, and let go of what stands before the place; tell whether anything came."""
        try:
            chunk = b"" if self.damage is not None else self._file.read(_CHUNK)
        except Exception as err:  # noqa: BLE001 -- raised again where the records end
            self.damage, chunk = err, b""
        self._base += self.place
        self.data, self.place = self.data[self.place :] + chunk, 0
        return bool(chunk)

    def skip_space(self) -> int:
        """Go to the next byte that is no white space and return it, or 0 at the end."""
        while True:
            found = _BODY.search(self.data, self.place)
            if found is not None:
                self.place = found.start()
                return self.data[self.place]
            self.place = len(self.data)
            if not self.more():
                return 0


def read_elements(file: BinaryIO, shape: Shape, limits: Limits) -> Iterator[RawLine | BadLine]:
    """Yield the records of an array or object, broken ones with their place; memory is bounded by `limits.max_line_bytes`."""
    window = _Window(file)
    while len(window.data) < RAW_KEPT and window.more():
        pass
    if window.data.startswith(_BOM):
        window.place = 3
    first = window.skip_space()
    if first == shape.opening:
        window.place += 1
        try:
            yield from _Elements(window, shape, limits.max_line_bytes).read()
        except BadLine as bad:
            yield bad
    elif first:
        found = window.data[window.place : window.place + RAW_KEPT]
        told = f"the file starts with {chr(first)!r}, expected {chr(shape.opening)!r}: it is no JSON {shape.name}; {shape.hint}"
        yield BadLine("not_json", told, RawLine(1, window.offset, found, ended=True, length=len(found), hash=None))
    if window.damage is not None:
        raise window.damage


class _Found(NamedTuple):
    """One element as it stands in the file."""

    line: RawLine
    """Its place and bytes."""
    after: int
    """The byte behind it: a comma, the closing bracket, or 0 at the end of the file."""
    whole: bool = True
    """False where the file ends inside it."""


class _Elements:
    """One array or object while it is read."""

    def __init__(self, window: _Window, shape: Shape, limit: int) -> None:
        self.window, self.shape, self.limit = window, shape, limit
        self.count = 0
        self.keys: set[bytes] = set()

    def read(self) -> Iterator[RawLine | BadLine]:
        """Yield every record after the opening bracket."""
        window, shape = self.window, self.shape
        while True:
            first = window.skip_space()
            if first == shape.closing:
                if self.count:
                    yield BadLine("not_json", f"a comma stands before the end of the {shape.name}", self._at(window.offset))
                break
            if not first:
                yield from self._cut(self._at(window.offset))
                return
            key, problem = self._key() if shape.keyed else (None, None)
            found = self._fast(key) or self._slow(key)
            if not found.whole:
                yield from self._cut(found.line)
                return
            yield self._judge(found.line, problem)
            self.count += 1
            if not found.after:
                yield from self._cut(self._at(window.offset))
                return
            if found.after == shape.closing:
                break
        window.place += first == shape.closing
        yield from self._rest()

    def _at(self, offset: int, key: str | None = None) -> RawLine:
        """Return the place of the present record, without its bytes."""
        index = None if key is not None else self.count
        return RawLine(self.count + 1, offset, b"", ended=True, length=0, hash=None, index=index, key=key)

    def _cut(self, place: RawLine) -> Iterator[BadLine]:
        """Yield that the file ends too early, unless it could not be read on, which is told by itself."""
        if self.window.damage is not None:
            return
        where = f"inside record {self.count} (counted from 0)" if place.length else f"without {chr(self.shape.closing)!r}"
        told = f"the {self.shape.name} ends at byte {self.window.offset} {where}; what came before is kept"
        yield BadLine("truncated", told, place)

    def _judge(self, line: RawLine, problem: tuple[str, str] | None) -> RawLine | BadLine:
        """Return a record, or what is wrong with it before it is decoded."""
        if problem is not None:
            return BadLine(*problem, line)
        if not line.length:
            return BadLine("not_json", f"nothing stands where record {self.count} of the {self.shape.name} should be", line)
        return line

    def _key(self) -> tuple[str | None, tuple[str, str] | None]:
        """Go behind the key of the next record; return it, and what is wrong with it."""
        window = self.window
        match = _KEY.match(window.data, window.place)
        while match is None and len(window.data) - window.place < _LONGEST_KEY and window.more():
            match = _KEY.match(window.data, window.place)
        if match is None:
            return None, ("not_json", "a record has no key, expected a string and a colon before it")
        try:
            key = _DECODE_KEY(match[1])
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            window.place = match.end()
            return None, ("not_json", f"the key of a record cannot be read: {err}")
        window.place = match.end()
        known = hash_parts((key.encode(),))[:16]
        if known in self.keys:
            return key, ("duplicate_key", f"the key {key!r} stands twice in the object; the first is kept")
        self.keys.add(known)
        return key, None

    def _fast(self, key: str | None) -> _Found | None:
        """Return the next record where the window holds it whole and nothing is unusual about it."""
        window = self.window
        match = self.shape.fast.match(window.data, window.place)
        if match is None and len(window.data) - window.place < _CHUNK and window.data[window.place : window.place + 1] in _OPENING:
            window.more()
            match = self.shape.fast.match(window.data, window.place)
        if match is None or len(match[1]) > self.limit:
            return None
        place = self._at(window.offset + match.start(1) - window.place, key)
        window.place = match.end()
        return _Found(place._replace(raw=match[1], length=len(match[1])), match[2][0])

    def _slow(self, key: str | None) -> _Found:
        """Return the next record by a scan for the comma or bracket behind it; the last bytes of the file may be missing.

        Raises:
            BadLine: `too_deep`, where so many brackets are open that the scan gives up.
        """
        window, take, scan = self.window, Take(self.limit), _Scan(self.shape.closing)
        window.skip_space()
        place = self._at(window.offset, key)
        while True:
            end = scan.find_end(window.data, window.place)
            take.add(window.data[window.place : len(window.data) if end is None else end])
            if len(scan.open) > _DEEPEST:
                raise BadLine("too_deep", f"more than {_DEEPEST} brackets are open; what came before is kept", take.line(place))
            if end is not None:
                after = window.data[end]
                window.place = end + 1
                return _Found(take.line(place), after)
            window.place = len(window.data)
            if not window.more():
                line = take.line(place)
                return _Found(line, 0, whole=not scan.inside and line.raw[-1:] in _CLOSING)

    def _rest(self) -> Iterator[BadLine]:
        """Tell of anything but white space behind the end."""
        window = self.window
        if not window.skip_space():
            return
        take, place = Take(self.limit), self._at(window.offset)
        while True:
            take.add(window.data[window.place :])
            window.place = len(window.data)
            if not window.more():
                break
        yield BadLine("not_json", f"text stands at byte {place.offset}, behind the end of the {self.shape.name}", take.line(place))


class _Scan:
    """What is open at a place of JSON text that may be broken."""

    def __init__(self, closing: int) -> None:
        self._closing = closing
        self._string = False
        self._carry = 0
        self.open = bytearray()

    @property
    def inside(self) -> bool:
        """Tell whether a bracket or a string is open."""
        return bool(self.open) or self._string

    def find_end(self, data: bytes, place: int) -> int | None:
        """Return where the comma or bracket behind the element stands, or None where it is not in `data`."""
        place += self._carry
        while place < len(data) and len(self.open) <= _DEEPEST:
            if self._string:
                place = self._leave_string(data, place)
                continue
            place = (_DEEP if self.open else _TOP)(data, place).end()  # type: ignore[union-attr]  # they match nothing at all, too
            byte = data[place : place + 1]
            if byte == b'"':
                self._string = True
            elif byte in _OPENING:
                self.open += byte
            elif byte and self._ends(byte[0]):
                return place
            place += 1
        self._carry = max(0, place - len(data)) if self._string else 0
        return None

    def _leave_string(self, data: bytes, place: int) -> int:
        """Return the place behind the next quote or escape of a string; behind the data, where neither is there."""
        match = _INSIDE.search(data, place)
        if match is None:
            return len(data)
        self._string = match[0] != b'"'
        return match.end() + self._string

    def _ends(self, byte: int) -> bool:
        """Close what a bracket closes; tell whether the element ends before this byte."""
        if byte == _COMMA:
            return not self.open
        opener = self.open.rfind(_PAIRS[byte])
        if opener >= 0:
            del self.open[opener:]
            return False
        return byte == self._closing
