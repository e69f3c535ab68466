"""One JSON array of records, streamed (SPEC 2, SPEC 9)."""

from collections.abc import Iterator
from typing import BinaryIO

from distill.jsonl import BadLine, RawLine
from distill.readers import Limits
from distill.readers.elements import make_shape, read_elements

__all__ = ["read"]

_SHAPE = make_shape(
    "array",
    b"[]",
    keyed=False,
    hint="for records line by line set reader = 'jsonl', for one object of records 'json_object', for one record 'json_file'",
)


def read(file: BinaryIO, *, limits: Limits) -> Iterator[RawLine | BadLine]:
    """Yield the records of the array with index and offset; a broken one is skipped alone, a cut array keeps what came before."""
    return read_elements(file, _SHAPE, limits)
