"""JSON Lines: bytes to lines to values and back, and the one `validate` (STYLE 5).

What a log line *means* is in `distill.formats`. Laws:
1. A line is decoded in exactly one way or refused with a reason of SPEC 9; nothing is guessed.
2. Documents and rows are read back with their types before they are written, by `validate` and `encode_row`. Not so `encode_line`
   and `encode_trusted`: what goes through them was typed field by field when it was read, or is read back from disk before it is
   published.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple, TypeVar

import msgspec

from distill.compiled import find_compiled
from distill.errors import SchemaError
from distill.hashing import FileHasher

__all__ = [
    "RAW_KEPT",
    "BadLine",
    "RawLine",
    "decode_again",
    "decode_document",
    "decode_line",
    "encode_document",
    "encode_line",
    "encode_row",
    "encode_trusted",
    "read_lines",
    "row_decoder",
    "validate",
]

T = TypeVar("T")

MAX_DEPTH = 500
RAW_KEPT = 1 << 16
_CHUNK = 1 << 17
_BOM = b"\xef\xbb\xbf"
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder().decode
_STRINGS = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")\s*(:?)', re.DOTALL)
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)  # a string, also one that is cut off


class BadLine(Exception):  # noqa: N818 -- carries an outcome, not an error
    """A line that cannot be read; the caller turns it into a skipped outcome."""

    def __init__(self, reason: str, detail: str, place: "RawLine | None" = None) -> None:
        """Keep the slug and what was found; a reader also says where, and one without place ends its file."""
        self.reason = reason
        self.detail = detail
        self.place = place
        super().__init__(f"{reason}: {detail}")


class RawLine(NamedTuple):
    """One line as it stands in the file."""

    number: int
    """Counted from 1, blank lines included."""
    offset: int
    """Byte at which it starts, in the unpacked file."""
    raw: bytes
    """Without line end and byte order mark; cut to 64 KiB where it was too long."""
    ended: bool
    """False for a last line without newline."""
    length: int
    """Bytes of the whole line without its end."""
    hash: str | None
    """blake3 of a line too long to be kept; else None."""
    member: str | None = None
    """Member of an archive, where the record is one."""
    index: int | None = None  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    """Place in an array, counted from 0, where the record stands in one."""
    key: str | None = None
    """Key in an object, where the record stands in one."""


def validate(value: Any, kind: type[T]) -> T:
    """Return `value` converted to plain values and back to `kind` (law 2).

    Raises:
        SchemaError: a field breaks its type.
    """
    try:
        return msgspec.convert(msgspec.to_builtins(value), kind)
    except msgspec.ValidationError as err:
        raise SchemaError(f"{kind.__name__}: {err}") from err


def encode_row(value: msgspec.Struct) -> bytes:
    """Render one row as a line with its newline, read back before it is given out.

    Raises:
        SchemaError: a field breaks its type.
    """
    line = _ENCODE(value)
    try:
        _decoder(type(value)).decode(line)
    except msgspec.ValidationError as err:
        raise SchemaError(f"{type(value).__name__}: {err}") from err
    return line + b"\n"


def encode_trusted(value: msgspec.Struct) -> bytes:
    """Render one row as a line without newline; for rows that are read back with their types before they are published."""
    return _ENCODE(value)


def encode_line(value: msgspec.Struct) -> bytes:
    """Render one row as a line with its newline; for rows whose values were all checked when they were read."""
    return _ENCODE(value) + b"\n"


_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}


def row_decoder(kind: type[T]) -> Callable[[bytes], T]:
    """Return the function that decodes a row of our own files."""
    decode: Callable[[bytes], T] = _decoder(kind).decode
    return decode


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Return the decoder of a kind of record, built once."""
    if kind not in _DECODERS:
        _DECODERS[kind] = msgspec.json.Decoder(kind)
    return _DECODERS[kind]


def encode_document(value: msgspec.Struct) -> bytes:
    """Render one validated document as indented JSON with a newline at the end."""
    return msgspec.json.format(_ENCODE(validate(value, type(value))), indent=1) + b"\n"


def decode_document(data: bytes, kind: type[T], *, place: str) -> T:
    """Read one of our own documents or rows.

    Raises:
        SchemaError: it is not what its schema says; the message names `place`.
    """
    try:
        document: T = _decoder(kind).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise SchemaError(f"{place}: found {err}, expected a {kind.__name__} of schema version 1") from err
    return document


def read_lines(file: BinaryIO, *, max_line_bytes: int, number: int = 0, offset: int = 0) -> Iterator[RawLine]:
    """Yield the lines that hold something; memory stays bounded by `max_line_bytes` (SPEC 9).

    A byte order mark belongs to no line, CRLF ends a line as LF does, blank lines are counted and not yielded. `number` lines and
    `offset` bytes stand before what `file` gives.
    """
    long = _LongLine()
    rest = b""
    if not offset:
        rest = file.read(3)
        if rest == _BOM:
            offset, rest = 3, b""
    for chunk in _join_chunks(file, max_line_bytes):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop() if chunk else b""
        last = len(lines) - 1
        for i, line in enumerate(lines):
            number += 1
            ended, length = bool(chunk) or i < last, long.bytes + len(line)
            if length > max_line_bytes:
                whole = _finish_long(RawLine(number, offset, line, ended, length, None), long, max_line_bytes)
                long = _LongLine()
                yield whole
            else:
                raw = line[:-1] if line[-1:] == b"\r" else line
                if raw and not raw.isspace():
                    yield RawLine(number, offset, raw, ended, len(raw), None)
            offset += length + 1
        if not chunk:
            return
        if long.bytes or len(rest) > max_line_bytes + 1:
            long.update(rest[:-1])
            rest = rest[-1:]  # it may be the first half of a CRLF


def _join_chunks(file: BinaryIO, limit: int) -> Iterator[bytes]:
    """Yield chunks that hold a line end or are beyond `limit`, so that a long line is joined once and not with every chunk."""
    held: list[bytes] = []
    size = 0
    while chunk := file.read(_CHUNK):
        held.append(chunk)
        size += len(chunk)
        if b"\n" in chunk or size > limit:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
    yield b""


class _LongLine(FileHasher):
    """A line beyond the bound, hashed as it passes while only its first 64 KiB are kept."""

    def __init__(self) -> None:
        super().__init__(sha256=False)
        self.head = b""

    def update(self, data: bytes) -> None:
        if len(self.head) < RAW_KEPT:
            self.head += data[: RAW_KEPT - len(self.head)]
        super().update(data)


def _finish_long(line: RawLine, long: _LongLine, limit: int) -> RawLine:
    """Return a line near or beyond the bound."""
    raw = line.raw.removesuffix(b"\r")
    if long.bytes or len(raw) > limit:
        long.update(raw)
        return line._replace(raw=long.head, length=long.bytes, hash=long.blake3)
    return line._replace(raw=raw, length=len(raw))


def decode_line(raw: bytes) -> dict[str, Any]:
    """Parse one JSON object, refusing everything SPEC 9 refuses.

    Raises:
        BadLine: `not_json`, `truncated`, `invalid_utf8`, `lone_surrogate`, `number_out_of_range`, `too_deep` or
            `duplicate_key`, with what was found.
    """
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as err:
            found = f"byte 0x{raw[err.start]:02x} at byte {err.start} is no UTF-8"
            raise BadLine("invalid_utf8", found) from err
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _depth(raw) > MAX_DEPTH:
        raise BadLine("too_deep", f"nested {_depth(raw)} levels deep, at most {MAX_DEPTH} are read")
    try:
        value = _DECODE(raw)
    except (msgspec.DecodeError, RecursionError) as err:
        raise _explain(raw, str(err)) from err
    if not isinstance(value, dict):
        raise BadLine("not_json", f"found a JSON {type(value).__name__}, expected an object")
    twice = _repeated_key(raw, value)
    if twice is not None:
        raise BadLine("duplicate_key", f"the key {twice!r} stands twice in one object")
    return value


def decode_again(raw: bytes) -> Any:
    """Parse a line that was found good before."""
    return _DECODE(raw)


def _explain(raw: bytes, message: str) -> BadLine:
    if re.search(rb"\\u[dD][89a-fA-F]", raw) and _has_lone_surrogate(raw):
        return BadLine("lone_surrogate", "a string holds half a surrogate pair")
    if "out of range" in message:
        return BadLine("number_out_of_range", message)
    if "truncated" in message:
        return BadLine("truncated", f"the record ends at byte {len(raw)} before it is complete")
    return BadLine("not_json", message)


def _has_lone_surrogate(raw: bytes) -> bool:
    for token, _ in _STRINGS.findall(raw):
        pending = False
        for match in re.finditer(rb"\\(u[0-9a-fA-F]{4}|.)|[^\\]+", token):
            escape = match.group(1)
            code = int(escape[1:], 16) if escape and escape[:1] == b"u" and len(escape) == 5 else 0
            if 0xDC00 <= code < 0xE000:
                if not pending:
                    return True
                pending = False
                continue
            if pending:
                return True
            pending = 0xD800 <= code < 0xDC00  # the closing quote ends the last one
    return False


def _depth(raw: bytes) -> int:
    deepest = level = 0
    for byte in _TEXT.sub(b"", raw):
        if byte in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif byte in b"]}":
            level -= 1
    return deepest


def _repeated_key(raw: bytes, value: dict[str, Any]) -> str | None:
    """Return a key that stands twice in one object.

    Where nothing is written in an unusual way, a row whose count of `":` is its count of decoded keys is cleared at once: a key that
    stands twice is decoded once.
    """
    compiled = find_compiled("records")
    if compiled is not None and compiled.has_clear_keys(raw):
        return None
    if b"\t" not in raw and b"\r" not in raw and b"\n" not in raw and b" :" not in raw:
        found = raw.count(b'":')
        if b"\\" in raw:
            found = -1 if b'\\\\"' in raw else found - raw.count(b'\\":')
        if found == _count_keys(value):
            return None
    keys = [token for token, colon in _STRINGS.findall(raw) if colon]
    if len(set(keys)) == len(keys) and b"\\" not in b"".join(keys):
        return None
    return _walk_keys(raw)


def _count_keys(value: Any) -> int:
    """Return the number of keys in a value, at every depth."""
    items = value.values() if type(value) is dict else value
    count = len(value) if type(value) is dict else 0
    for item in items:
        if type(item) is dict or type(item) is list:
            count += _count_keys(item)
    return count


def _walk_keys(raw: bytes) -> str | None:
    open_objects: list[set[str]] = []
    for match in re.finditer(rb'("[^"\\]*(?:\\.[^"\\]*)*")\s*(:?)|[{}]', raw, re.DOTALL):
        token, colon = match.group(1), match.group(2)
        if token is None:
            if match.group(0) == b"{":
                open_objects.append(set())
            else:
                open_objects.pop()
        elif colon:
            key = _DECODE(token)
            if key in open_objects[-1]:
                return str(key)
            open_objects[-1].add(key)
    return None
