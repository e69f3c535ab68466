"""The table of readers: how the records of a log lie in its files (SPEC 2). One module each, imported when a source needs it.

A reader gets the unpacked bytes of one file and yields its records as they stand there, each with its place; `.gz` and `.zst` are
unpacked before it (`distill.files`). What a record means is in `distill.formats`. Laws:
1. Every record of a file is yielded once, or once as a BadLine with its place; what stands between them is nothing but the reader's
   own punctuation.
2. Memory is bounded by the longest record that is read (`max_line_bytes`), never by the file.
3. A broken record is skipped alone where its end can be told; where it cannot, what came before is kept.
"""

from typing import NamedTuple

__all__ = ["READERS", "Limits", "ReaderEntry", "find_reader"]


class Limits(NamedTuple):
    """What bounds a reader, and what it takes from an archive."""

    max_line_bytes: int = 64 << 20
    """Bytes of the longest record that is read."""
    members: str = "*.json"
    """Pattern of the members of an archive that are records; `*` also crosses folders."""


class ReaderEntry(NamedTuple):
    """One line of the table."""

    name: str
    """What a source says in `reader`."""
    module: str
    """Where its `read(file, *, limits)` is."""
    doc: str
    """How records lie in a file."""
    suffixes: tuple[str, ...]
    """Endings of file names, without `.gz` and `.zst`, that such files often have."""
    by_folder: bool = False
    """Whether a partition is the folder, because a file is one record."""
    seeks: bool = False
    """Whether the file must be one in which `seek` works."""


READERS: tuple[ReaderEntry, ...] = (
    ReaderEntry("jsonl", "distill.readers.lines", "JSON Lines: one record a line", (".jsonl", ".ndjson")),
    ReaderEntry("json_array", "distill.readers.json_array", "one JSON array of records", (".json",)),
    ReaderEntry("json_object", "distill.readers.json_object", "one JSON object of records, each under its key", (".json",)),
    ReaderEntry("json_file", "distill.readers.json_file", "one file is one record", (".json",), by_folder=True),
    ReaderEntry("zip", "distill.readers.archive", "each member of a zip is one record", (".zip", ".eval"), seeks=True),
)


def find_reader(name: str) -> ReaderEntry:
    """Return the reader of that name.

    Raises:
        KeyError: there is none.
    """
    found = next((entry for entry in READERS if entry.name == name), None)
    if found is None:
        raise KeyError(name)
    return found
