"""What every format gives: the fields of one evidence record, before id and provenance are known."""

from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from distill.config import Source
from distill.jsonl import BadLine
from distill.schemas.evidence import EvidenceRecord, Message
from distill.times import BadTime, parse_time

__all__ = ["Grouper", "Position", "Reader", "Reading", "convert_row", "convert_time", "first_user_text"]


T = TypeVar("T")


class Position(NamedTuple):
    """Where a record stands, as far as its values may depend on it."""

    recorded_path: str
    """`<source>/<path below its root>`."""
    line: int
    """Line, counted from 1."""
    groups: dict[str, str | None]
    """Named groups of the file pattern."""
    offset: int = 0
    """Byte at which the record starts, in the unpacked file."""
    member: str | None = None
    """Member of an archive."""
    index: int | None = None  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    """Place in an array, counted from 0."""
    key: str | None = None
    """Key in an object."""


class Reading(NamedTuple):
    """One record understood."""

    values: dict[str, Any]
    """Fields of `EvidenceRecord` but id, source and provenance."""
    warning: str | None = None
    """Slug of something worth telling."""


class Reader(Protocol):
    """A compiled format: call it with a decoded record and its position.

    A list is for a record that may hold several runs: each run takes its place in the list into its id, and an empty list is a record
    that holds none (`no_run`).

    Raises:
        BadLine: the record says something that cannot be read.
    """

    def __call__(self, record: dict[str, Any], position: Position, /) -> Reading | list[Reading]:
        """Understand one record."""


class Grouper(Protocol):
    """A compiled format whose runs may lie over several records, as traces do: a run is all fragments of one key in a partition.

    Raises:
        BadLine: from both, where a record or a run says something that cannot be read.
    """

    def split(self, record: dict[str, Any], position: Position, /) -> list[tuple[str, Any]]:
        """Return the key and the fragment of each run the record holds, in its order; an empty list holds none (`no_run`)."""

    def merge(self, key: str, fragments: list[Any], position: Position, /) -> Reading:
        """Understand one run from its fragments in the order of the records; `position` is that of the first."""


def convert_row(record: dict[str, Any], kind: type[T]) -> T:
    """Check a raw record against the struct of its format; unknown fields are accepted.

    Raises:
        BadLine: `missing_field`, `number_out_of_range` or `mistyped_field`, with the field's path and what was found.
    """
    try:
        return msgspec.convert(record, kind)
    except msgspec.ValidationError as err:
        text = str(err)  # it may quote a word of the log, so only its beginning tells
        known = {"Object missing required field": "missing_field", "Number out of range": "number_out_of_range"}
        reason = next((known[start] for start in known if text.startswith(start)), "mistyped_field")
        raise BadLine(reason, text) from err


def convert_time(text: str, source: Source) -> str:
    """Return a row's own time in UTC.

    Raises:
        BadLine: `bad_time`.
    """
    try:
        return parse_time(text, source.timezone)
    except BadTime as err:
        raise BadLine("bad_time", f"created_at: {err}") from err


def first_user_text(messages: list[Message] | None) -> str | None:
    """Return the content of the first user message, or None."""
    return next((message.content for message in messages or () if message.role == "user" and message.content), None)


RECORD_FIELDS = frozenset(EvidenceRecord.__struct_fields__) - {"schema_version", "id", "source", "provenance"}
"""What a reading may fill."""
