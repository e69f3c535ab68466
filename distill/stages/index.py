"""index: the retrieval rows as a full-text index, and its search (SPEC 1).

SQLite gives equal bytes for equal steps on one version, not across versions; what is compared between machines is
the logical content (`hash_index`).
"""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import msgspec

from distill.errors import InputError
from distill.hashing import aggregate_sorted, hash_bytes
from distill.outcome import Outcome, Row
from distill.schemas.export_rows import RagRow
from distill.stages import INDEX, RAG

__all__ = ["Document", "Hit", "IndexWriter", "check_index", "count_index", "hash_index", "run", "search_index", "write_index"]

_COLUMNS = ("id", "kind", "title", "content", "tags", "source_run_ids", "success_score", "provenance")

_ENCODE = msgspec.json.Encoder().encode


class Document(msgspec.Struct, frozen=True, gc=False):
    """A retrieval row as the index holds it; its lists stay as they are spelt, for they were checked when the row was written."""

    id: str
    """Evidence id, or the playbook's id."""
    kind: str
    """What it is made of."""
    title: str
    """First line of the task's text."""
    content: str
    """What a reader is shown."""
    tags: msgspec.Raw
    """`key=value`, sorted."""
    source_run_ids: msgspec.Raw
    """Runs behind it that passed."""
    success_score: float
    """0..1."""
    embedding_text: str
    """What is embedded."""
    provenance: str
    """Where it comes from."""


Indexed = Document | RagRow
"""What can be indexed."""


def run(rows: Iterable[Indexed]) -> Iterator[Outcome]:
    """Yield one outcome per retrieval row; all are indexed."""
    for row in rows:
        yield Outcome("accepted", row.id, rows=(Row(INDEX, row.id, row),))


class IndexWriter:
    """Writes an index row by row."""

    def __init__(self, path: Path) -> None:
        """Make the tables."""
        self._base = sqlite3.connect(path, isolation_level=None)
        for setting in ("page_size = 4096", "journal_mode = OFF", "synchronous = OFF", "cache_size = -16384"):
            self._base.execute(f"PRAGMA {setting}")
        self._base.execute("BEGIN")
        kinds = ", ".join(f"{name} {'REAL' if name == 'success_score' else 'TEXT'} NOT NULL" for name in _COLUMNS[1:])
        self._base.execute(f"CREATE TABLE rows (id TEXT PRIMARY KEY, {kinds}) WITHOUT ROWID")
        self._base.execute("CREATE VIRTUAL TABLE search USING fts5(id UNINDEXED, title, embedding_text, tokenize = 'unicode61')")
        self._base.execute("INSERT INTO search (search, rank) VALUES ('hashsize', 16777216)")  # fewer merges; the bytes of memory
        self.count = 0

    def add(self, row: Indexed) -> None:
        """Add one row; rows come in the order of their ids."""
        self._base.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _values(row))
        self._base.execute("INSERT INTO search (id, title, embedding_text) VALUES (?, ?, ?)", (row.id, row.title, row.embedding_text))
        self.count += 1

    def close(self) -> None:
        """Bring everything to the file."""
        self._base.execute("INSERT INTO search (search) VALUES ('optimize')")
        self._base.execute("COMMIT")
        self._base.close()


def write_index(path: Path, rows: Iterable[Indexed]) -> None:
    """Write the index of rows that come in the order of their ids."""
    writer = IndexWriter(path)
    for row in rows:
        writer.add(row)
    writer.close()


def _values(row: Indexed) -> tuple[str | float, ...]:
    if isinstance(row, Document):
        tags, runs = bytes(row.tags).decode(), bytes(row.source_run_ids).decode()
    else:
        tags, runs = _ENCODE(row.tags).decode(), _ENCODE(row.source_run_ids).decode()
    return (row.id, row.kind, row.title, row.content, tags, runs, row.success_score, row.provenance)


def check_index(path: Path, rows: Iterable[Indexed]) -> list[str]:
    """Return what an index holds beside the retrieval rows, or lacks, each with the index's path and row (SPEC 7, law 6).

    Both stand in the order of ids, so that one row of each is held at a time.
    """
    found: list[str] = []
    expected = met = 0
    base = _open(path)
    try:
        names = ", ".join(f"rows.{name}" for name in _COLUMNS)
        query = f"SELECT {names}, search.embedding_text, search.title FROM search JOIN rows USING (id) ORDER BY search.rowid"  # noqa: S608 -- our own names
        for number, (row, held) in enumerate(zip_longest(rows, base.execute(query)), 1):
            expected, met = expected + (row is not None), met + (held is not None)
            if row is not None and held is not None and (*_values(row), row.embedding_text, row.title) != held:
                found.append(f"{INDEX}:{number}: [unknown_row] row {held[0]!r} is not as it stands in {RAG}")
        counts = [base.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("rows", "search")]  # noqa: S608 -- likewise
    finally:
        base.close()
    if not found and (counts != [expected] * 2 or met != expected):
        found.append(f"{INDEX}:1: [missing_row] {counts[0]} rows and {counts[1]} texts, {RAG} holds {expected}")
    return found


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)


def count_index(path: Path) -> int:
    """Return how many rows an index holds."""
    base = _open(path)
    try:
        return int(base.execute("SELECT count(*) FROM rows").fetchone()[0])
    finally:
        base.close()


def hash_index(path: Path) -> str:
    """Return the aggregate hash over the rows of an index, by id; the same for every version of SQLite."""
    base = _open(path)
    try:
        columns = ", ".join(f"rows.{name}" for name in _COLUMNS)
        query = f"SELECT {columns}, search.embedding_text FROM rows JOIN search USING (id)"  # noqa: S608 -- our own names
        return aggregate_sorted((row[0], hash_bytes(_ENCODE(row))) for row in base.execute(f"{query} ORDER BY search.rowid"))
    finally:
        base.close()


class Hit(NamedTuple):
    """One document found."""

    id: str
    """Evidence id or playbook id."""
    kind: str
    """run, playbook or pitfalls."""
    title: str
    """First line of the task."""
    success_score: float
    """0..1."""
    excerpt: str
    """Text around the words."""
    provenance: str
    """Where it comes from."""


def search_index(path: Path, words: str, *, limit: int) -> list[Hit]:
    """Return the best documents that hold all the words, best first.

    Raises:
        InputError: the file is no index of ours.
    """
    if not words.strip():
        return []
    query = " ".join('"' + word.replace('"', '""') + '"' for word in words.split())
    base = _open(path)
    try:
        found = base.execute(
            "SELECT rows.id, kind, rows.title, success_score, snippet(search, 2, '[', ']', '…', 24), provenance FROM search "
            "JOIN rows USING (id) WHERE search MATCH ? ORDER BY bm25(search), rows.id LIMIT ?",
            (query, limit),
        )
        return [Hit(*row) for row in found]
    except sqlite3.DatabaseError as err:
        raise InputError(f"{INDEX}: {err}, expected the index doit wrote; run doit index") from err
    finally:
        base.close()
