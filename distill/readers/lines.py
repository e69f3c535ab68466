"""JSON Lines: one record a line (SPEC 2, SPEC 9)."""

from collections.abc import Iterator
from typing import BinaryIO

from distill.jsonl import BadLine, RawLine, read_lines
from distill.readers import Limits

__all__ = ["read"]


def read(file: BinaryIO, *, limits: Limits) -> Iterator[RawLine | BadLine]:
    """Yield the lines that hold something."""
    yield from read_lines(file, max_line_bytes=limits.max_line_bytes)
