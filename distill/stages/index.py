"""index: the retrieval rows as a full-text index, and its search (SPEC 1).

SQLite gives equal bytes for equal steps on one version, not across versions; what is compared between machines is
the logical content (`hash_index`).
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from distill.compiled import find_compiled
from distill.errors import InputError
from distill.hashing import MerkleTree, fold_leaves, hash_bytes, hash_leaf, hash_messages, leaf_message
from distill.outcome import Outcome, Row
from distill.schemas.export_rows import RagRow
from distill.stages import INDEX, RAG

__all__ = [
    "Checked", "Document", "Hit", "IndexWriter", "Texts", "WordsWriter", "check_counts", "check_range", "hash_index", "run", "search_index",
    "take_words",
]  # fmt: skip

_COLUMNS = ("id", "kind", "title", "content", "tags", "source_run_ids", "success_score", "provenance", "embedding_text")
_NAMES = ", ".join(_COLUMNS)
_CONTENT = 3
_TABLES = ("data", "idx", "docsize")
"""Of a full-text index: its words and where they stand, and the lengths of its texts."""

_COMPILED = find_compiled("parts")
_ENCODE = msgspec.json.Encoder().encode
_TEXT: Callable[[msgspec.Raw], str] = msgspec.json.Decoder(str).decode


class Document(msgspec.Struct, frozen=True, gc=False):
    """A retrieval row as the index takes it; what it holds stays spelt as JSON, for it was checked when the row was written."""

    id: msgspec.Raw
    """Evidence id, or the playbook's id."""
    kind: msgspec.Raw
    """What it is made of."""
    title: msgspec.Raw
    """First line of the task's text."""
    content: msgspec.Raw
    """What a reader is shown."""
    tags: msgspec.Raw
    """`key=value`, sorted."""
    source_run_ids: msgspec.Raw
    """Runs behind it that passed."""
    success_score: float
    """0..1."""
    embedding_text: msgspec.Raw
    """What is embedded; often the content."""
    provenance: msgspec.Raw
    """Where it comes from."""


class Texts(msgspec.Struct, frozen=True, gc=False):
    """What is searched of a retrieval row."""

    title: str
    """First line of the task's text."""
    embedding_text: str
    """What is embedded."""


Indexed = Document | RagRow
"""What can be indexed."""


def run(rows: Iterable[Indexed]) -> Iterator[Outcome]:
    """Yield one outcome per retrieval row; all are indexed. `distill.units.index` does the same over units."""
    for row in rows:
        name = row.id if isinstance(row, RagRow) else _TEXT(row.id)
        yield Outcome("accepted", name, rows=(Row(INDEX, name, row),))


class IndexWriter:
    """Writes the rows of an index: a table that counts them, which holds a text once that is both shown and embedded.

    Their words are found into a file of their own (`WordsWriter`), so that both are made side by side.
    """

    def __init__(self, path: Path) -> None:
        """Make the tables."""
        self._base = _begin(path)
        kinds = ", ".join(f"{name} {'REAL' if name == 'success_score' else 'TEXT'} NOT NULL" for name in _COLUMNS[1:-1])
        self._base.execute(f"CREATE TABLE documents (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, {kinds}, embedding_text TEXT)")
        names = ", ".join(_COLUMNS[:-1])
        self._base.execute(
            f"CREATE VIEW rows AS SELECT number, {names}, coalesce(embedding_text, content) AS embedding_text FROM documents"  # noqa: S608 -- our own names
        )
        self.count = 0

    def add(self, rows: Sequence[Indexed]) -> None:
        """Add the next rows; they come in the order of their ids."""
        places = ", ".join("?" * (len(_COLUMNS) + 1))
        numbered = ((number, *_stored(_values(row))) for number, row in enumerate(rows, self.count + 1))
        self._base.executemany(f"INSERT INTO documents VALUES ({places})", numbered)  # noqa: S608 -- question marks
        self.count += len(rows)

    def close(self) -> None:
        """Bring everything to the file."""
        self._base.execute("COMMIT")
        self._base.close()


class WordsWriter:
    """Finds the words of the rows of an index."""

    def __init__(self, path: Path) -> None:
        """Make the full-text index, which keeps no text of its own."""
        self._base = _begin(path)
        _create_search(self._base, "content = ''")
        for setting, value in (("hashsize", 1 << 24), ("automerge", 0), ("crisismerge", 64)):  # the bytes of memory, and fewer merges
            self._base.execute("INSERT INTO search (search, rank) VALUES (?, ?)", (setting, value))
        self._count = 0

    def add(self, rows: Sequence[Texts | RagRow]) -> None:
        """Add the texts of the next rows."""
        numbered = ((number, row.title, row.embedding_text) for number, row in enumerate(rows, self._count + 1))
        self._base.executemany("INSERT INTO search (rowid, title, embedding_text) VALUES (?, ?, ?)", numbered)
        self._count += len(rows)

    def close(self) -> None:
        """Bring all words together, and to the file."""
        self._base.execute("INSERT INTO search (search) VALUES ('optimize')")
        self._base.execute("COMMIT")
        self._base.close()


def take_words(path: Path, words: Path) -> None:
    """Give an index of rows the words that were found in them.

    SQLite keeps them in tables, which are copied. Where a system lets nobody write to those, the words are found once more.
    """
    base = _begin(path, words)
    _create_search(base, "content = 'rows', content_rowid = 'number'")
    try:
        for table in _TABLES:
            base.execute(f"DELETE FROM main.search_{table}")  # noqa: S608 -- our own names
            base.execute(f"INSERT INTO main.search_{table} SELECT * FROM words.search_{table}")  # noqa: S608 -- likewise
    except sqlite3.OperationalError:
        base.execute("INSERT INTO search (search) VALUES ('rebuild')")
    base.execute("COMMIT")
    base.close()


def _create_search(base: sqlite3.Connection, content: str) -> None:
    base.execute(f"CREATE VIRTUAL TABLE search USING fts5(title, embedding_text, {content}, tokenize = 'unicode61')")


def _begin(path: Path, words: Path | None = None) -> sqlite3.Connection:
    """Open a file that nobody else knows yet, and the words beside it."""
    base = sqlite3.connect(path, isolation_level=None)
    for setting in ("page_size = 16384", "journal_mode = OFF", "synchronous = OFF", "cache_size = -16384"):
        base.execute(f"PRAGMA {setting}")
    if words is not None:
        base.execute("ATTACH ? AS words", (str(words),))
    base.execute("BEGIN")
    return base


def _values(row: Indexed) -> list[str | float]:
    """Return the columns of a row."""
    if isinstance(row, RagRow):
        tags, runs = _ENCODE(row.tags).decode(), _ENCODE(row.source_run_ids).decode()
        return [row.id, row.kind, row.title, row.content, tags, runs, row.success_score, row.provenance, row.embedding_text]
    tags, runs, content = bytes(row.tags).decode(), bytes(row.source_run_ids).decode(), _TEXT(row.content)
    embedded = content if row.embedding_text == row.content else _TEXT(row.embedding_text)
    texts = (_TEXT(row.id), _TEXT(row.kind), _TEXT(row.title), content, tags, runs)
    return [*texts, row.success_score, _TEXT(row.provenance), embedded]


def _stored(values: list[str | float]) -> list[str | float | None]:
    """Return the columns as the table holds them: a text that is shown and embedded stands there once."""
    *others, embedded = values
    return [*others, None if embedded == values[_CONTENT] else embedded]


class Checked(NamedTuple):
    """What was found in a range of rows of an index."""

    found: list[str]
    """What it holds otherwise than the retrieval rows, each with the index's path and row (SPEC 7, law 6)."""
    rows: int
    """How many it holds."""
    first: str
    """Id of the first of them."""
    last: str
    """Id of the last."""
    nodes: list[tuple[bytes, int]]
    """What they add to the hash over all rows: nodes of its tree, with their levels."""


def check_range(path: Path, rows: Sequence[Indexed], first: int) -> Checked:
    """Hold a range of an index, from row `first` on, against the retrieval rows that should stand there."""
    base = _open(path)
    try:
        query = f"SELECT number, {_NAMES} FROM documents WHERE number BETWEEN ? AND ? ORDER BY number"  # noqa: S608 -- our own names
        held = base.execute(query, (first, first + len(rows) - 1)).fetchall()
    finally:
        base.close()
    spelt = [_ENCODE(row[1:] if row[-1] is not None else (*row[1:-1], row[1 + _CONTENT])) for row in held]
    good = len(held) == len(rows) and all(_spell(row) == text for row, text in zip(rows, spelt, strict=True))
    found = [] if good else _compare({number: row for number, *row in held}, rows, first)
    ids = [row[1] for row in held]
    found += [
        f"{INDEX}:{number}: [order] id {one!r} does not come after {before!r}"
        for number, (before, one) in enumerate(pairwise(ids), first + 1) if one <= before
    ]  # fmt: skip
    nodes = fold_leaves(_leaves(ids, spelt), first - 1, hash_messages if _COMPILED is None else _COMPILED.hash_messages)
    return Checked(found, len(ids), ids[0] if ids else "", ids[-1] if ids else "", nodes)


def _spell(row: Indexed) -> bytes:
    """Return the columns of a row as a list in JSON; those of a document are spelt as they came."""
    if isinstance(row, RagRow):
        return _ENCODE(_values(row))
    tags, runs, score = _ENCODE(bytes(row.tags).decode()), _ENCODE(bytes(row.source_run_ids).decode()), _ENCODE(row.success_score)
    texts = (row.id, row.kind, row.title, row.content, tags, runs, score, row.provenance, row.embedding_text)
    return b"[%b]" % b",".join(texts)


def _compare(held: dict[int, list[Any]], rows: Sequence[Indexed], first: int) -> list[str]:
    """Return where rows of an index are not those that should be there; the same values may be spelt in another way."""
    found: list[str] = []
    for number, row in enumerate(rows, first):
        one, values = held.get(number), _values(row)
        if one is None:
            found.append(f"{INDEX}:{number}: [missing_row] there is no row {values[0]!r}")
        elif _stored(values) != one:
            found.append(f"{INDEX}:{number}: [unknown_row] row {one[0]!r} is not as it stands in {RAG}")
    return found


def check_counts(path: Path, expected: int) -> list[str]:
    """Return whether an index holds more or fewer rows than there are, or has found the words of another number of them."""
    base = _open(path)
    try:
        counts = [base.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("rows", "search_docsize")]  # noqa: S608 -- likewise
    finally:
        base.close()
    return [f"{INDEX}:1: [missing_row] {counts[0]} rows and {counts[1]} texts, {RAG} holds {expected}"] if counts != [expected] * 2 else []


def _leaves(ids: list[str], spelt: list[bytes]) -> list[bytes]:
    """Return the leaf of every row, many at a time where that is compiled."""
    if _COMPILED is None:
        return [hash_leaf(one, hash_bytes(text)) for one, text in zip(ids, spelt, strict=True)]
    digests = _COMPILED.hash_messages(spelt)
    leaves: list[bytes] = _COMPILED.hash_messages([leaf_message(one, digest) for one, digest in zip(ids, digests, strict=True)])
    return leaves


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)


def hash_index(path: Path) -> str:
    """Return the aggregate hash over the rows of an index, by id; the same for every version of SQLite."""
    base, tree = _open(path), MerkleTree()
    try:
        for row in base.execute(f"SELECT {_NAMES} FROM rows ORDER BY id"):  # noqa: S608 -- our own names
            tree.add(hash_leaf(row[0], hash_bytes(_ENCODE(row))))
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
