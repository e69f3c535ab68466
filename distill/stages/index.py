"""index: the retrieval rows as a full-text index, and its search (SPEC 1).

SQLite gives equal bytes for equal steps on one version, not across versions; what is compared between machines is
the logical content (`hash_index`).
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from distill.errors import InputError
from distill.hashing import MerkleTree, hash_bytes, hash_leaf
from distill.outcome import Outcome, Row
from distill.schemas.export_rows import RagRow
from distill.stages import INDEX, RAG

__all__ = ["Checked", "Document", "Hit", "IndexWriter", "check_counts", "check_range", "hash_index", "run", "search_index"]

_COLUMNS = ("id", "kind", "title", "content", "tags", "source_run_ids", "success_score", "provenance", "embedding_text")
_NAMES = ", ".join(_COLUMNS)

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
    """Yield one outcome per retrieval row; all are indexed. `distill.units.index` does the same over units."""
    for row in rows:
        yield Outcome("accepted", row.id, rows=(Row(INDEX, row.id, row),))


class IndexWriter:
    """Writes an index: the rows, in a table that counts them, and over it a full-text index that keeps no text of its own."""

    def __init__(self, path: Path) -> None:
        """Make the tables."""
        self._base = sqlite3.connect(path, isolation_level=None)
        for setting in ("page_size = 16384", "journal_mode = OFF", "synchronous = OFF", "cache_size = -16384"):
            self._base.execute(f"PRAGMA {setting}")
        self._base.execute("BEGIN")
        kinds = ", ".join(f"{name} {'REAL' if name == 'success_score' else 'TEXT'} NOT NULL" for name in _COLUMNS[1:])
        self._base.execute(f"CREATE TABLE rows (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, {kinds})")
        self._base.execute(
            "CREATE VIRTUAL TABLE search USING "
            "fts5(title, embedding_text, content = 'rows', content_rowid = 'number', tokenize = 'unicode61')"
        )
        self._base.execute("INSERT INTO search (search, rank) VALUES ('hashsize', 16777216)")  # fewer merges; the bytes of memory
        self.count = 0

    def add(self, rows: Sequence[Indexed]) -> None:
        """Add the next rows; they come in the order of their ids."""
        places = ", ".join("?" * (len(_COLUMNS) + 1))
        numbered = ((number, *_values(row)) for number, row in enumerate(rows, self.count + 1))
        self._base.executemany(f"INSERT INTO rows VALUES ({places})", numbered)  # noqa: S608 -- question marks
        self.count += len(rows)

    def close(self) -> None:
        """Find the words of all rows, and bring everything to the file."""
        for command in ("rebuild", "optimize"):
            self._base.execute("INSERT INTO search (search) VALUES (?)", (command,))
        self._base.execute("COMMIT")
        self._base.close()


def _values(row: Indexed) -> list[str | float]:
    if isinstance(row, Document):
        tags, runs = bytes(row.tags).decode(), bytes(row.source_run_ids).decode()
    else:
        tags, runs = _ENCODE(row.tags).decode(), _ENCODE(row.source_run_ids).decode()
    return [row.id, row.kind, row.title, row.content, tags, runs, row.success_score, row.provenance, row.embedding_text]


class Checked(NamedTuple):
    """What was found in a range of rows of an index."""

    found: list[str]
    """What it holds otherwise than the retrieval rows, each with the index's path and row (SPEC 7, law 6)."""
    ids: list[str]
    """Of the rows it holds."""
    leaves: list[bytes]
    """Their leaves in the hash over all rows."""


def check_range(path: Path, rows: Sequence[Indexed], first: int) -> Checked:
    """Hold a range of an index, from row `first` on, against the retrieval rows that should stand there."""
    found: list[str] = []
    base = _open(path)
    try:
        query = f"SELECT number, {_NAMES} FROM rows WHERE number BETWEEN ? AND ? ORDER BY number"  # noqa: S608 -- our own names
        held = {number: row for number, *row in base.execute(query, (first, first + len(rows) - 1))}
    finally:
        base.close()
    for number, row in enumerate(rows, first):
        one = held.get(number)
        if one is None:
            found.append(f"{INDEX}:{number}: [missing_row] there is no row {row.id!r}")
        elif _values(row) != one:
            found.append(f"{INDEX}:{number}: [unknown_row] row {one[0]!r} is not as it stands in {RAG}")
    return Checked(found, [one[0] for one in held.values()], [_leaf(one) for one in held.values()])


def check_counts(path: Path, expected: int) -> list[str]:
    """Return whether an index holds more or fewer rows than there are, or has found the words of another number of them."""
    base = _open(path)
    try:
        counts = [base.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("rows", "search_docsize")]  # noqa: S608 -- likewise
    finally:
        base.close()
    return [f"{INDEX}:1: [missing_row] {counts[0]} rows and {counts[1]} texts, {RAG} holds {expected}"] if counts != [expected] * 2 else []


def _leaf(row: Sequence[Any]) -> bytes:
    return hash_leaf(row[0], hash_bytes(_ENCODE(row)))


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)


def hash_index(path: Path) -> str:
    """Return the aggregate hash over the rows of an index, by id; the same for every version of SQLite."""
    base, tree = _open(path), MerkleTree()
    try:
        for row in base.execute(f"SELECT {_NAMES} FROM rows ORDER BY id"):  # noqa: S608 -- our own names
            tree.add(_leaf(row))
    finally:
        base.close()
    return tree.root()


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
            "SELECT rows.id, kind, rows.title, success_score, snippet(search, 1, '[', ']', '…', 24), provenance FROM search "
            "JOIN rows ON rows.number = search.rowid WHERE search MATCH ? ORDER BY bm25(search), rows.id LIMIT ?",
            (query, limit),
        )
        return [Hit(*row) for row in found]
    except sqlite3.DatabaseError as err:
        raise InputError(f"{INDEX}: {err}, expected the index doit wrote; run doit index") from err
    finally:
        base.close()
