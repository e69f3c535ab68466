"""The build's own store: fingerprints, the last trace of each stage, claims on targets, runs added (DESIGN 2).

SQLite in WAL mode, one commit per finished stage. Deleting it costs work, never truth: a missing or broken store is
rebuilt from the receipts (`distill.build.history`). Standard library only.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any, NamedTuple

from distill.canonical import dump_canonical, load_plain

__all__ = ["SETTLED", "Fingerprint", "Status", "Store", "Trace", "close_stores", "fingerprint_of", "open_store"]

FOLDER = ".distill"
RACY_NS = 100_000_000
SETTLED = (1 << 63) - 1
"""Time at which a fingerprint was seen that is never too young: what wrote the file knows that it is its own."""
_UNREADABLE = "unreadable"
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INT, mtime INT, ctime INT, inode INT, seen INT, blake3 TEXT, sha256 TEXT);
CREATE TABLE IF NOT EXISTS traces (stage TEXT PRIMARY KEY, run_id TEXT, identity TEXT, inputs TEXT, stable TEXT, receipt BLOB);
CREATE TABLE IF NOT EXISTS status (stage TEXT PRIMARY KEY, run_id TEXT, state TEXT, key TEXT, stable TEXT, receipt BLOB);
CREATE TABLE IF NOT EXISTS claims (path TEXT PRIMARY KEY, stage TEXT, blake3 TEXT, pending TEXT);
CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, run_id TEXT, path TEXT, detail TEXT);
CREATE TABLE IF NOT EXISTS runs (run_id TEXT PRIMARY KEY, place INT, facts TEXT);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT);
"""


class Fingerprint(NamedTuple):
    """What the file system says of a file; equal fingerprints mean equal bytes unless it is too young."""

    size: int
    """Bytes."""
    mtime: int
    """Nanoseconds."""
    ctime: int
    """Nanoseconds; moves with every change, also where the mtime was put back."""
    inode: int
    """Changes where the file was replaced."""


class Trace(NamedTuple):
    """The last execution of a stage."""

    run_id: str
    """The run that executed it."""
    identity: dict[str, Any]
    """code_hash, config_hash and tool_versions."""
    inputs: dict[str, str]
    """Recorded path to blake3."""
    stable: str
    """Hash of the receipt without what may differ between two receipts of the same work."""
    receipt: bytes
    """Its receipt, as JSON."""


class Status(NamedTuple):
    """Why a stage has no good execution just now."""

    run_id: str
    """The run that found it."""
    state: str
    """failed_data, failed_world, blocked or ignored."""
    key: str
    """Stage key at that time, or what blocks it."""
    stable: str
    """As in a trace."""
    receipt: bytes
    """Its receipt, as JSON."""


class Store:
    """One connection to the store of a project."""

    def __init__(self, project: Path) -> None:
        """Open or make the store below `project`; a broken one is moved aside.

        Raises:
            sqlite3.Error: neither could be done, on a full disk for instance.
        """
        self.project = project
        self._folder = str(project)
        self.path = project / FOLDER / "store.sqlite"
        self.path.parent.mkdir(exist_ok=True)
        self._memo: dict[str, tuple[Fingerprint, str]] = {}
        self.fresh = not self.path.exists()
        try:
            self._connect()
        except sqlite3.DatabaseError:
            if not self.path.exists() or _is_sound(self.path):
                raise
            self.close()
            for suffix in ("", "-wal", "-shm"):
                broken = self.path.with_name(self.path.name + suffix)
                if broken.exists():
                    broken.replace(broken.with_name(broken.name + ".broken"))
            self.fresh = True
            self._connect()

    def _connect(self) -> None:
        self._base = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        self._base.execute("PRAGMA synchronous = NORMAL")  # a kill loses nothing; a power failure may cost work, never truth
        version = self._base.execute("PRAGMA user_version").fetchone()[0]
        if version == _VERSION:
            return
        self._base.execute("PRAGMA journal_mode = WAL")
        if version:
            raise sqlite3.DatabaseError(f"store version {version}, expected {_VERSION}")
        self._base.executescript(_SCHEMA)
        self._base.execute(f"PRAGMA user_version = {_VERSION}")

    def close(self) -> None:
        """Close the connection."""
        base = getattr(self, "_base", None)
        if base is not None:
            base.close()

    def begin(self) -> None:
        """Start a transaction; what follows appears together with `commit`."""
        self._base.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """End the transaction."""
        self._base.execute("COMMIT")

    def _write(self, sql: str, *values: Any) -> None:
        self._base.execute(sql, values)

    # files

    def hash_of(self, path: str) -> str | None:
        """Return the blake3 of a file as it is now, or None where there is none; hashed only where it moved."""
        actual = os.path.join(self._folder, path)  # noqa: PTH118 -- asked for every file of every stage
        try:
            stat = os.stat(actual)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return _UNREADABLE
        if not S_ISREG(stat.st_mode):
            return "a folder" if S_ISDIR(stat.st_mode) else "no regular file"
        now = fingerprint_of(stat)
        memo = self._known(path)
        if memo is not None and memo[0] == now:
            return memo[1]
        row = self._base.execute("SELECT size, mtime, ctime, inode, seen, blake3, sha256 FROM files WHERE path = ?", (path,)).fetchone()
        if row is not None and Fingerprint(*row[:4]) == now and now.ctime + RACY_NS < row[4]:
            self._memo[path] = (now, row[5])
            return str(row[5])
        return self._hash_again(path, actual, now, row)

    def _known(self, path: str) -> tuple[Fingerprint, str] | None:
        """Return the last fingerprint and blake3 of a file that was not young when it was recorded; all are recalled in one reading."""
        if not self._memo:
            self._memo = self._recall()
        return self._memo.get(path)

    def _recall(self) -> dict[str, tuple[Fingerprint, str]]:
        rows = self._base.execute("SELECT path, size, mtime, ctime, inode, blake3 FROM files WHERE ctime + ? < seen", (RACY_NS,))
        return {row[0]: (Fingerprint(*row[1:5]), row[5]) for row in rows}

    def _hash_again(self, path: str, actual: str, now: Fingerprint, row: Any) -> str:
        from distill.hashing import hash_file  # noqa: PLC0415 -- a no-op hashes nothing

        seen = time.time_ns()
        try:
            digest = hash_file(actual).blake3
        except OSError:
            return _UNREADABLE
        sha256 = row[6] if row is not None and row[5] == digest else ""
        with suppress(sqlite3.OperationalError):  # on a full disk it is hashed again
            self.remember(path, now, digest, sha256, seen=seen)
        if now.ctime + RACY_NS < seen:
            self._memo[path] = (now, digest)
        return digest

    def remember(self, path: str, fingerprint: Fingerprint, blake3: str, sha256: str, *, seen: int) -> None:
        """Keep what was hashed at the time `seen` (nanoseconds)."""
        self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", path, *fingerprint, seen, blake3, sha256)

    def known_hashes(self, path: str) -> tuple[str, str] | None:
        """Return (blake3, sha256) of a file as it is now, where its sha256 is known; one that cannot be known is not read."""
        row = self._base.execute("SELECT blake3, sha256 FROM files WHERE path = ?", (path,)).fetchone()
        return (row[0], row[1]) if row is not None and row[1] and self.holds(path, row[0]) else None

    def holds(self, path: str, digest: str) -> bool:
        """Tell whether a file has that blake3; one of another length than what had it is not read."""
        known = self._known(path)
        if known is not None and known[1] == digest:
            try:
                now = fingerprint_of(os.stat(os.path.join(self._folder, path)))  # noqa: PTH118 -- asked for every file of every stage
            except OSError:
                return False
            if now == known[0] or now.size != known[0].size:
                return now == known[0]
        return self.hash_of(path) == digest

    # stages

    def trace(self, stage: str) -> Trace | None:
        """Return the last execution of a stage."""
        row = self._base.execute("SELECT run_id, identity, inputs, stable, receipt FROM traces WHERE stage = ?", (stage,)).fetchone()
        return None if row is None else Trace(row[0], load_plain(row[1]), load_plain(row[2]), row[3], row[4])

    def save_trace(self, stage: str, trace: Trace) -> None:
        """Keep an execution; the stage has no other status any more."""
        inputs, identity = dump_canonical(trace.inputs), dump_canonical(trace.identity)
        self._write(
            "INSERT OR REPLACE INTO traces VALUES (?, ?, ?, ?, ?, ?)",
            stage,
            trace.run_id,
            identity,
            inputs,
            trace.stable,
            trace.receipt,
        )
        self._write("DELETE FROM status WHERE stage = ?", stage)

    def status(self, stage: str) -> Status | None:
        """Return why a stage failed or was blocked, or None where its last execution stands."""
        row = self._base.execute("SELECT run_id, state, key, stable, receipt FROM status WHERE stage = ?", (stage,)).fetchone()
        return None if row is None else Status(*row)

    def save_status(self, stage: str, status: Status) -> None:
        """Keep why a stage failed or was blocked."""
        self._write("INSERT OR REPLACE INTO status VALUES (?, ?, ?, ?, ?, ?)", stage, *status)

    def clear_status(self, stage: str) -> None:
        """Let the last execution of a stage stand again."""
        self._write("DELETE FROM status WHERE stage = ?", stage)

    def adopt(self, stage: str, run_id: str) -> None:
        """Let a run that was added hold the execution a killed one left."""
        self._write("UPDATE traces SET run_id = ? WHERE stage = ?", run_id, stage)

    def forget(self, stage: str) -> None:
        """Drop what is known of a stage but its claims, so that it runs again."""
        self._write("DELETE FROM traces WHERE stage = ?", stage)
        self._write("DELETE FROM status WHERE stage = ?", stage)

    # claims

    def claims(self, stage: str) -> dict[str, tuple[str, str | None]]:
        """Return path to (blake3, blake3 about to take its place) of what the build put there."""
        rows = self._base.execute("SELECT path, blake3, pending FROM claims WHERE stage = ? ORDER BY path", (stage,))
        return {path: (blake3, pending) for path, blake3, pending in rows}

    def claim(self, stage: str, files: Iterable[tuple[str, str]], *, pending: bool) -> None:
        """Claim targets by their hash; a pending claim is written before they take their places."""
        for path, digest in files:
            if pending:
                old = self._base.execute("SELECT blake3 FROM claims WHERE path = ?", (path,)).fetchone()
                self._write("INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?)", path, stage, old[0] if old else digest, digest)
            else:
                self._write("INSERT OR REPLACE INTO claims VALUES (?, ?, ?, NULL)", path, stage, digest)

    def drop_claim(self, path: str) -> None:
        """Give up a target."""
        self._write("DELETE FROM claims WHERE path = ?", path)

    # events, runs, marks

    def add_event(self, run_id: str, path: str, detail: str) -> None:
        """Keep a tamper event until the ledger holds it."""
        self._write("INSERT INTO events (run_id, path, detail) VALUES (?, ?, ?)", run_id, path, detail)

    def events(self) -> list[tuple[int, str, str]]:
        """Return (id, path, detail) of the events the ledger does not hold yet."""
        return list(self._base.execute("SELECT id, path, detail FROM events ORDER BY id"))

    def drop_events(self, ids: Iterable[int]) -> None:
        """Forget events the ledger holds now."""
        for identity in ids:
            self._write("DELETE FROM events WHERE id = ?", identity)

    def runs(self) -> list[tuple[str, dict[str, Any]]]:
        """Return (run id, facts) of the runs added, newest first."""
        return [(run_id, load_plain(facts)) for run_id, facts in self._base.execute("SELECT run_id, facts FROM runs ORDER BY place DESC")]

    def save_runs(self, runs: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Replace the list of runs, oldest first."""
        self._write("DELETE FROM runs")
        for place, (run_id, facts) in enumerate(runs):
            self._write("INSERT INTO runs VALUES (?, ?, ?)", run_id, place, dump_canonical(facts))

    def meta(self, key: str) -> Any:
        """Return a small fact, or None."""
        row = self._base.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else load_plain(row[0])

    def save_meta(self, key: str, value: Any) -> None:
        """Keep a small fact; None drops it."""
        if value is None:
            self._write("DELETE FROM meta WHERE key = ?", key)
        else:
            self._write("INSERT OR REPLACE INTO meta VALUES (?, ?)", key, dump_canonical(value))


def fingerprint_of(stat: os.stat_result) -> Fingerprint:
    """Return what the file system says of a file."""
    return Fingerprint(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def _is_sound(path: Path) -> bool:
    """Tell whether the file is a store of ours, so that an error came from elsewhere."""
    try:
        base = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        sound = base.execute("PRAGMA quick_check").fetchone()[0] == "ok"
        version = base.execute("PRAGMA user_version").fetchone()[0]
        base.close()
    except sqlite3.Error:
        return False
    return bool(sound) and version in {0, _VERSION}


_OPEN: dict[tuple[int, int, str], Store] = {}


def open_store(project: Path) -> Store:
    """Return this process's connection to the store of a project; a forked child and a thread get one of their own."""
    key = (os.getpid(), threading.get_ident(), str(project.absolute()))
    if key not in _OPEN or not _OPEN[key].path.exists():
        _OPEN[key] = Store(project)
    return _OPEN[key]


def close_stores() -> None:
    """Close the connections of this thread, so that what they wrote is in one file."""
    for key, store in _OPEN.items():
        if key[:2] == (os.getpid(), threading.get_ident()):
            store.close()
