"""One file is one record (SPEC 2): the whole text but a byte order mark and the white space around it."""

from collections.abc import Iterator
from typing import BinaryIO

from distill.jsonl import BadLine, RawLine
from distill.readers import Limits
from distill.readers.elements import take_whole

__all__ = ["read"]


def read(file: BinaryIO, *, limits: Limits) -> Iterator[RawLine | BadLine]:
    """Yield the record; a file that holds nothing holds none."""
    line = take_whole(file, limits.max_line_bytes)
    if line.length:
        yield line
