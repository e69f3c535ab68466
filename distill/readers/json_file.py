"""One file is one record (SPEC 2): the whole text but a byte order mark and the white space around it."""

from collections.abc import Iterator
from typing import BinaryIO

from distill.jsonl import BadLine, RawLine
from distill.readers import Limits
from distill.readers.elements import take_whole

__all__ = ["read"]

_ZIP = b"PK\x03\x04"


def read(file: BinaryIO, *, limits: Limits) -> Iterator[RawLine | BadLine]:
    """Yield the record; a file that holds nothing holds none, and an archive is told as what it is."""
    line = take_whole(file, limits.max_line_bytes)
    if line.raw.startswith(_ZIP):
        yield BadLine("not_json", "the file is a zip; set reader = 'zip', and members to the pattern of its records", line)
    elif line.length:
        yield line
