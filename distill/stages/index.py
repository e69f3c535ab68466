"""index: the retrieval rows as a full-text index, and its search (SPEC 1).

SQLite gives equal bytes for equal steps on one version, not across versions; what is compared between machines is
the logical content (`hash_index`).
"""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from distill.canonical import dump_canonical
from distill.errors import InputError
from distill.hashing import aggregate_hash, hash_bytes
from distill.outcome import Outcome, Row
from distill.schemas.export_rows import RagRow
from distill.stages import INDEX, RAG

__all__ = ["Hit", "check_index", "count_index", "hash_index", "run", "search_index", "write_index"]

_COLUMNS = ("id", "kind", "title", "content", "tags", "source_run_ids", "success_score", "provenance")


def run(rows: Iterable[RagRow]) -> Iterator[Outcome]:
    """Yield one outcome per retrieval row; all are indexed."""
    for row in rows:
        yield Outcome("accepted", row.id, rows=(Row(INDEX, row.id, row),))


def write_index(path: Path, rows: Iterable[RagRow]) -> None:
    """Write the index of rows that come in the order of their ids."""
    base = sqlite3.connect(path, isolation_level=None)
    try:
        base.execute("PRAGMA page_size = 4096")
        base.execute("PRAGMA journal_mode = OFF")
        base.execute("PRAGMA synchronous = OFF")
        base.execute("BEGIN")
        kinds = ", ".join(f"{name} {'REAL' if name == 'success_score' else 'TEXT'} NOT NULL" for name in _COLUMNS[1:])
        base.execute(f"CREATE TABLE rows (id TEXT PRIMARY KEY, {kinds}) WITHOUT ROWID")
        base.execute("CREATE VIRTUAL TABLE search USING fts5(id UNINDEXED, title, embedding_text, tokenize = 'unicode61')")
        for row in rows:
            values = _values(row)
            base.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
            base.execute("INSERT INTO search (id, title, embedding_text) VALUES (?, ?, ?)", (row.id, row.title, row.embedding_text))
        base.execute("INSERT INTO search (search) VALUES ('optimize')")
        base.execute("COMMIT")
    finally:
        base.close()


def _values(row: RagRow) -> tuple[str | float, ...]:
    return (
        row.id, row.kind, row.title, row.content, dump_canonical(row.tags), dump_canonical(row.source_run_ids), row.success_score,
        row.provenance,
    )  # fmt: skip


def check_index(path: Path, rows: Iterable[RagRow]) -> list[str]:
    """Return what an index holds beside the retrieval rows, or lacks, each with the index's path and row (SPEC 7, law 6)."""
    expected = {row.id: (*_values(row), row.embedding_text, row.title) for row in rows}
    base = _open(path)
    try:
        names = ", ".join(f"rows.{name}" for name in _COLUMNS)
        query = f"SELECT {names}, search.embedding_text, search.title FROM search JOIN rows USING (id) ORDER BY search.rowid"  # noqa: S608 -- our own names
        found = [
            f"{INDEX}:{number}: [unknown_row] row {row[0]!r} is not as it stands in {RAG}"
            for number, row in enumerate(base.execute(query), 1)
            if expected.get(row[0]) != row
        ]
        counts = [base.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("rows", "search")]  # noqa: S608 -- likewise
    finally:
        base.close()
    if not found and counts != [len(expected)] * 2:
        found.append(f"{INDEX}:1: [missing_row] {counts[0]} rows and {counts[1]} texts, {RAG} holds {len(expected)}")
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
        return aggregate_hash((row[0], hash_bytes(dump_canonical(row).encode())) for row in base.execute(query))
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
