"""The rows of a second file, as lookups and verdicts need them (SPEC 2): JSON Lines, JSON, CSV, each also packed.

A row that cannot be read is no unit and no failure: it is told with its place and leaves its number empty.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from distill.errors import InputError
from distill.jsonl import BadLine, RawLine, decode_line, read_lines
from distill.readers import Limits

__all__ = ["SideRow", "open_side", "read_document", "read_rows"]


class SideRow(NamedTuple):
    """One row of a second file."""

    place: str
    """Where it stands, for a person."""
    value: Any = None
    """The row; None where it could not be read."""
    key: str | None = None
    """Its key in a JSON object."""
    problem: str | None = None
    """Why it could not be read."""


def open_side(path: Path) -> BinaryIO:
    """Open a second file, unpacked by its ending."""
    if path.suffix == ".gz":
        return cast("BinaryIO", gzip.open(path, "rb"))
    if path.suffix == ".zst":
        import zstandard  # noqa: PLC0415 -- only where a file is packed so

        return cast("BinaryIO", io.BufferedReader(zstandard.open(path, "rb")))
    return path.open("rb")


def read_rows(path: Path, recorded: str, *, reader: str, limit: int) -> Iterator[SideRow]:
    """Yield the rows of a second file in their order; blank lines are none.

    Raises:
        InputError: a packed file is damaged.
    """
    import zstandard  # noqa: PLC0415 -- for its error alone

    try:
        with open_side(path) as file:
            yield from _csv(file, limit) if reader == "csv" else _json(file, reader, limit)
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as err:
        raise InputError(f"{recorded}: the packed data is damaged: {err}; pack the file anew") from err


def _json(file: BinaryIO, reader: str, limit: int) -> Iterator[SideRow]:
    limits = Limits(max_line_bytes=limit)
    if reader == "jsonl":
        for read in read_lines(file, max_line_bytes=limit):
            yield _row(read, f":{read.number}")
        return
    from distill.readers import json_array, json_object  # noqa: PLC0415 -- their expressions take 50 ms to compile

    buffered: Any = file if hasattr(file, "peek") else io.BufferedReader(cast("Any", file))
    first = buffered.peek(1 << 12).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    for one in json_object.read(buffered, limits=limits) if first == b"{" else json_array.read(buffered, limits=limits):
        twice = one.place if isinstance(one, BadLine) and one.reason == "duplicate_key" else None
        line: RawLine | BadLine = one if twice is None else twice
        place = "" if isinstance(line, BadLine) else f"[{line.index}]" if line.key is None else f"{{{line.key}}}"
        yield _row(line, place)  # a key that stands twice is told by what its rows say


def _row(line: RawLine | BadLine, place: str) -> SideRow:
    if isinstance(line, BadLine):
        return SideRow(place, problem=f"{line.reason}: {line.detail}")
    if line.hash is not None:
        return SideRow(place, problem=f"line_too_long: the row has {line.length} bytes; raise max_line_bytes")
    try:
        decoded = decode_line(b'{"":' + line.raw + b"}")  # any JSON value, held to the same laws as a record
    except BadLine as bad:
        return SideRow(place, problem=f"{bad.reason}: {bad.detail}")
    if len(decoded) > 1:
        return SideRow(place, problem="not_json: more than one value in a row")
    return SideRow(place, decoded[""], line.key)


def _csv(file: BinaryIO, limit: int) -> Iterator[SideRow]:
    """Yield the rows of a CSV file by the names in its first row."""
    before = csv.field_size_limit(limit)
    text = io.TextIOWrapper(cast("Any", file), encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        lines = csv.reader(text, strict=True)
        names: list[str] | None = None
        while True:
            try:
                cells = next(lines, None)
            except csv.Error as err:
                yield SideRow(f":{lines.line_num}", problem=f"not_csv: {err}")
                continue
            if cells is None:
                return
            if not cells:
                continue
            if names is None:
                names = cells
                continue
            yield _cells(f":{lines.line_num}", names, cells)
    finally:
        csv.field_size_limit(before)
        text.detach()  # the file is closed by whoever opened it


def _cells(place: str, names: list[str], cells: list[str]) -> SideRow:
    if len(cells) != len(names):
        return SideRow(place, problem=f"not_csv: found {len(cells)} cells, expected {len(names)}")
    if any("\udc80" <= letter <= "\udcff" for cell in cells if not cell.isascii() for letter in cell):
        return SideRow(place, problem="invalid_utf8: a cell is no UTF-8")
    return SideRow(place, dict(zip(names, cells, strict=True)))


def read_document(path: Path, recorded: str) -> dict[str, Any]:
    """Return a JSON object of lists of keys.

    Raises:
        InputError: it is none.
    """
    with open_side(path) as file:
        data = file.read().removeprefix(b"\xef\xbb\xbf")
    try:
        return decode_line(data)
    except BadLine as bad:
        raise InputError(f"{recorded}: found {bad.detail}, expected one JSON object with lists of keys") from bad
