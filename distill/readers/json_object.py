"""One JSON object whose values are records, each under its key, streamed (SPEC 2, SPEC 9)."""

from collections.abc import Iterator
from typing import BinaryIO

from distill.jsonl import BadLine, RawLine
from distill.readers import Limits
from distill.readers.elements import make_shape, read_elements

__all__ = ["read"]

_SHAPE = make_shape("object", b"{}", keyed=True, hint="for an array set reader = 'json_array'")


def read(file: BinaryIO, *, limits: Limits) -> Iterator[RawLine | BadLine]:
    """Yield the values of the object with key and offset; of a key that stands twice the second is skipped (`duplicate_key`)."""
    return read_elements(file, _SHAPE, limits)
