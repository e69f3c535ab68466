"""Second files on the disk, for quick look-ups by any worker: one SQLite file each, by the hash of what it was made from (SPEC 2).

What a key is and what a verdict can be is in `distill.sides`. Laws: such a file is a function of the second file's bytes and of its
spec; it appears whole or not at all; one that was changed since is made anew; nothing of it is held in memory but the row asked for.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from distill.canonical import dump_sorted
from distill.config import Config, LookupSpec, Source, VerdictSpec
from distill.hashing import hash_bytes, hash_file
from distill.jsonl import decode_line
from distill.mapping.paths import compile_path
from distill.plan import TEMPORARY
from distill.sides import AMBIGUOUS, ASKED, SILENT, Joined, LookupSide, VerdictSide, join_key
from distill.units.side_files import read_rows
from distill.units.side_paths import Expected, RowsSeen, expected_paths
from distill.units.side_verdicts import Held, read_lists, read_verdicts

__all__ = ["SIDES", "OpenSides", "Prepared", "Store", "held_keys", "prepare_sides"]

SIDES = ".distill/parts/sides"
"""Folder of second files, below the project."""
_SHOWN = 3
_TOLD = 10
_VERSION = "2"


class Store(NamedTuple):
    """One second file as others find it."""

    source: str
    """Name of the source it belongs to."""
    name: str
    """Name of its lookup or verdicts."""
    path: str
    """SQLite file."""
    digest: str
    """Hash of the second file and its spec."""
    several: str | None = None
    """File of the keys that more than one run claims, one a line, as JSON; only of verdicts."""


class Prepared(NamedTuple):
    """The second files of all sources; plain values, to be sent to workers."""

    stores: tuple[Store, ...] = ()
    """One for each lookup and each file of verdicts."""
    records: tuple[tuple[str, int], ...] = ()
    """Rows of each second file, by its recorded path."""
    warnings: tuple[str, ...] = ()
    """What is worth telling, its slug first."""
    asks: bool = False
    """Whether verdicts are not given but asked for, by key."""

    def of(self, source: str) -> "OpenSides | None":
        """Return the second files of a source, or None where it has none."""
        stores = [store for store in self.stores if store.source == source]
        return OpenSides(stores, asks=self.asks) if stores else None

    def digest(self, source: str) -> str:
        """Return the hash of everything a source's second files say; empty where it has none."""
        stores = [store for store in self.stores if store.source == source]
        told = [f"{store.name} {store.digest} {Path(store.several).name if store.several else ''}" for store in stores]
        return hash_bytes("\n".join(told).encode()) if told else ""

    def asking(self) -> "Prepared":
        """Return the same, with every verdict asked for."""
        return self._replace(asks=True)


class OpenSides:
    """The second files of one source, opened when they are first asked."""

    def __init__(self, stores: list[Store], *, asks: bool) -> None:
        """Keep where they are."""
        self._stores = {store.name: store for store in stores}
        self._asks = asks

    def lookup(self, name: str, /) -> LookupSide:
        """Return the rows of a lookup."""
        return _Rows(self._stores[name].path)

    def verdict(self, name: str, /) -> VerdictSide:
        """Return the verdicts of a file."""
        return _Asking(name) if self._asks else _Verdicts(self._stores[name])


class _Rows:
    """One SQLite file, read only."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None

    def get(self, key: str, /) -> Any | None:
        return self._ask("SELECT row FROM rows JOIN keys USING (n) WHERE keys.key = ? AND NOT twice", key)

    def line(self, n: int, /) -> Any | None:
        return self._ask("SELECT row FROM rows WHERE n = ?", n) if -(1 << 63) <= n < 1 << 63 else None

    def _ask(self, question: str, value: Any) -> Any | None:
        found = self.execute(question, (value,)).fetchone()
        return None if found is None or found[0] is None else decode_line(b'{"":' + found[0] + b"}")[""]

    def execute(self, question: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Ask the database, opened now where it is not."""
        if self._database is None:
            self._database = sqlite3.connect(f"file:{quote(self._path)}?mode=ro&immutable=1", uri=True)
        return self._database.execute(question, values)

    def __del__(self) -> None:
        if self._database is not None:
            self._database.close()


class _Verdicts(_Rows):
    """Verdicts by key; those that cannot be told are ambiguous."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.path)
        lines = Path(store.several).read_bytes().splitlines() if store.several else []
        self._several = frozenset(decode_line(line)["key"] for line in lines)
        self._lost: bool | None = None

    def get(self, key: str, /) -> Joined | None:
        found = self.execute("SELECT row, twice FROM rows JOIN keys USING (n) WHERE keys.key = ?", (key,)).fetchone()
        if key in self._several or (found is not None and found[1]):
            return Joined(AMBIGUOUS)
        if found is None:
            return None
        return Joined(SILENT) if found[0] is None else Joined(**decode_line(found[0]))

    def is_whole(self) -> bool:
        if self._lost is None:
            self._lost = self.execute("SELECT text FROM told WHERE name = 'lost'").fetchone()[0] != "0"
        return not self._lost


class _Asking:
    """Says of every key that it was asked."""

    def __init__(self, name: str) -> None:
        self._name = name

    def get(self, key: str, /) -> Joined | None:
        return Joined(ASKED, value=self._name)

    def is_whole(self) -> bool:
        return True


def held_keys(store: Store) -> Iterator[str]:
    """Yield the keys of which a second file says something, sorted."""
    rows = _Rows(store.path)  # it closes its database when it goes
    for (key,) in rows.execute("SELECT keys.key FROM keys JOIN rows USING (n) WHERE row IS NOT NULL ORDER BY keys.key"):
        yield key


def prepare_sides(project: Path, config: Config, digests: Mapping[str, str], *, folder: Path | None = None) -> Prepared:
    """Build what lookups and verdicts are asked in, where it is not there yet.

    `digests` are the blake3 of the second files by their recorded paths; `folder` is where the SQLite files lie.

    Raises:
        InputError: a file cannot be read as its spec says.
    """
    place = project / SIDES if folder is None else folder
    stores: list[Store] = []
    records: dict[str, int] = {}
    warnings: list[str] = []
    for source, spec in _specs(config):
        place.mkdir(parents=True, exist_ok=True)
        below = os.path.normpath(spec.path).replace(os.sep, "/")
        recorded = f"{source.name}/{below}"
        side = _Side(project / source.root / below, recorded, source.name, spec, config.max_line_bytes, expected_paths(source, spec))
        digest = hash_bytes(repr((_VERSION, digests[recorded], *side[2:])).encode())
        path = place / digest
        if not _is_whole(path):
            _build(path, side)
        store = Store(source.name, spec.name, str(path), digest)
        stores.append(store)
        records[recorded] = int(_told(store, "records")[0])
        warnings += _told(store, "warnings")
    if folder is None and place.is_dir():
        _sweep(place, {store.digest for store in stores})
    return Prepared(tuple(stores), tuple(sorted(records.items())), tuple(warnings))


def _specs(config: Config) -> Iterator[tuple[Source, LookupSpec | VerdictSpec]]:
    for source in config.sources:
        for lookup in source.lookups:
            yield source, lookup
        for verdicts in source.verdicts:
            yield source, verdicts


def _told(store: Store, name: str) -> list[str]:
    rows = _Rows(store.path)  # likewise
    return [text for (text,) in rows.execute("SELECT text FROM told WHERE name = ? ORDER BY n", (name,))]


def _is_whole(path: Path) -> bool:
    """Tell whether a file stands as it was written."""
    try:
        return Path(f"{path}.blake3").read_text() == hash_file(path).blake3
    except OSError:
        return False


def _sweep(place: Path, used: set[str]) -> None:
    """Take away what belongs to no spec any more."""
    for path in place.iterdir():
        if path.name.split(".")[0] not in used:
            path.unlink(missing_ok=True)


class _Side(NamedTuple):
    """A second file to be read."""

    file: Path
    """Where it lies."""
    recorded: str
    """Its recorded path."""
    source: str
    """Name of its source."""
    spec: LookupSpec | VerdictSpec
    """What it is."""
    limit: int
    """Bytes of the longest row."""
    expected: Expected
    """Expressions that must find something in one of its rows."""


def _build(path: Path, side: _Side) -> None:
    """Write one SQLite file by one rename."""
    temporary = path.with_name(f"{path.name}{TEMPORARY}{os.getpid()}")
    temporary.unlink(missing_ok=True)
    database = sqlite3.connect(temporary)
    try:
        _fill(database, side)
    finally:
        database.close()
    Path(f"{path}.blake3").write_text(hash_file(temporary).blake3)
    temporary.replace(path)


def _fill(database: sqlite3.Connection, side: _Side) -> None:
    database.executescript(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
        "CREATE TABLE rows (n INTEGER PRIMARY KEY, key TEXT, same BLOB, row BLOB);"
        "CREATE TABLE told (name TEXT, n INTEGER, text TEXT);"
    )
    spec, telling, seen = side.spec, _Telling(side.recorded), RowsSeen(side.expected)
    held = _said(side, spec, seen) if isinstance(spec, VerdictSpec) else _held(side, spec, seen)
    database.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", telling.through(held))
    seen.verify(side.source, side.recorded)
    database.executescript(
        "CREATE TABLE keys (key TEXT PRIMARY KEY, n INTEGER, twice INTEGER) WITHOUT ROWID;"
        "INSERT INTO keys SELECT key, coalesce(min(CASE WHEN row IS NOT NULL THEN n END), min(n)), count(DISTINCT same) > 1"
        " FROM rows WHERE key IS NOT NULL GROUP BY key;"
    )
    twice = _tell_twice(database, side)
    told = [("records", str(telling.rows)), ("lost", str(telling.lost))]
    told += [("warnings", text) for text in (*telling.told, *twice, *telling.more())]
    database.executemany("INSERT INTO told VALUES (?, ?, ?)", [(name, i, text) for i, (name, text) in enumerate(told)])
    database.commit()


def _tell_twice(database: sqlite3.Connection, side: _Side) -> list[str]:
    """Return what is to be told of keys that stand twice with different rows."""
    total = database.execute("SELECT count(*) FROM keys WHERE twice").fetchone()[0]
    if not total:
        return []
    shown = [key for (key,) in database.execute("SELECT key FROM keys WHERE twice ORDER BY key LIMIT ?", (_SHOWN,))]
    named = ", ".join(shown) + (", …" if total > len(shown) else "")
    if isinstance(side.spec, VerdictSpec):
        return [f"ambiguous_verdict: {side.source}: {total} keys have two different verdicts in {side.recorded} ({named})"]
    return [f"ambiguous_lookup: {side.source}: {total} keys have two different rows in {side.recorded} ({named}); they give null"]


class _Telling:
    """Counts rows as they pass and keeps what is worth telling."""

    def __init__(self, recorded: str) -> None:
        self.recorded = recorded
        self.rows = 0
        self.told: list[str] = []
        self.lost = 0
        self._problems = 0

    def through(self, held: Iterator[Held]) -> Iterator[tuple[int, str | None, bytes | None, bytes | None]]:
        for one in held:
            self.lost += one.lost
            if one.problem is not None:
                self._problems += 1
                if self._problems <= _TOLD:
                    self.told.append(f"unreadable_row: {self.recorded}{one.place}: {one.problem}")
            if one.warning is not None:
                self.told.append(one.warning)
                continue
            yield self.rows, one.key, one.same.encode() or None, None if one.row is None else one.row.encode()
            self.rows += one.counts

    def more(self) -> list[str]:
        return [f"unreadable_row: {self.recorded}: {self._problems - _TOLD} more"] if self._problems > _TOLD else []


def _said(side: _Side, spec: VerdictSpec, seen: RowsSeen) -> Iterator[Held]:
    """Yield what a file of verdicts says of each key."""
    if spec.lists:
        return read_lists(side.file, side.recorded, spec)
    return read_verdicts(seen.through(read_rows(side.file, side.recorded, reader=spec.reader, limit=side.limit)), spec)


def _held(side: _Side, spec: LookupSpec, seen: RowsSeen) -> Iterator[Held]:
    """Yield the rows of a lookup under their keys."""
    find = compile_path(spec.key) if spec.key else None
    for row in seen.through(read_rows(side.file, side.recorded, reader=spec.reader, limit=side.limit)):
        key = join_key(find(row.value)) if find is not None else row.key
        text = dump_sorted(row.value)
        problem = row.problem or (
            f"missing_field: {spec.key}: found no key, expected a text or a whole number" if find and key is None else None
        )
        yield Held(row.place, key, text, None if row.problem else text, problem=problem)
