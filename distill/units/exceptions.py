"""The resolution as units look it up: the rows about a run, and which runs are told in several rows.

It may hold as many rows as the corpus, so it is not read into memory: a file of sorted ids with a table over their first two bytes
leads from an id to its rows.
"""

import mmap
import os
import threading
from array import array
from bisect import bisect_left
from pathlib import Path
from typing import Any

import msgspec

from distill.hashing import hash_parts
from distill.jsonl import row_decoder
from distill.plan import RESOLUTION, TEMPORARY
from distill.schemas.scored_run import ResolutionRow
from distill.units.workshop import PARTS

__all__ = ["Exceptions", "index_exceptions", "read_exceptions"]

_FOLDER = f"{PARTS}/exceptions"
_MEMBER = frozenset({"same_run", "superseded_by_review"})
_ID = 16
_HELD = 1 << 17
"""Ids that a worker holds in memory at most."""
_SLOTS = (1 << 16) + 1  # an odd number, so that with its end the table is a multiple of eight bytes
_ROW = row_decoder(ResolutionRow)


class _Told(msgspec.Struct, gc=False):
    """The fields of a resolution row that say who belongs together."""

    evidence_id: str
    kind: str
    with_: list[str] = msgspec.field(name="with")


_TOLD = msgspec.json.Decoder(_Told).decode


def index_exceptions(project: Path, digest: str) -> None:
    """Write the ids of the resolution of that blake3 for the units to look up, unless that was done before."""
    target = project / _FOLDER / digest
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    for old in target.parent.iterdir():
        if old.name != digest and TEMPORARY not in old.name:  # another stage may be about to write the same
            old.unlink(missing_ok=True)
    ids, offsets, place = bytearray(), array("Q"), 0
    joined = [bytearray() for _ in range(256)]
    with (project / RESOLUTION).open("rb") as lines:
        for line in lines:
            row = _TOLD(line)
            ids += bytes.fromhex(row.evidence_id)
            offsets.append(place)
            place += len(line)
            for name in [row.with_[0]] if row.kind in _MEMBER and row.with_ else [row.evidence_id] if row.kind == "pooled" else []:
                one = bytes.fromhex(name)
                joined[one[0]] += one
    stands = b"".join(b"".join(sorted({bytes(some[i : i + _ID]) for i in range(0, len(some), _ID)})) for some in joined)
    temporary = target.with_name(f"{digest}{TEMPORARY}{os.getpid()}-{threading.get_ident()}")
    with temporary.open("wb") as file:
        file.write(array("Q", [len(offsets), len(stands) // _ID]).tobytes())
        for block in (_slots(ids), _slots(stands), offsets.tobytes(), ids, stands):
            file.write(block)
    temporary.replace(target)


def _slots(ids: bytes | bytearray) -> bytes:
    """Return the place of the first id of each two leading bytes, and the count."""
    slots, count = array("I", bytes(4 * (_SLOTS + 1))), len(ids) // _ID
    for i in range(count):
        slots[int.from_bytes(ids[i * _ID : i * _ID + 2], "big") + 1] += 1
    for slot in range(_SLOTS):
        slots[slot + 1] += slots[slot]
    return slots.tobytes()


class _Ids:
    """Sorted ids in a file."""

    def __init__(self, data: mmap.mmap, slots: int, start: int) -> None:
        self._data, self._start = data, start
        self._slots = memoryview(data)[slots : slots + 4 * (_SLOTS + 1)].cast("I")

    def __getitem__(self, place: int) -> bytes:
        return self._data[self._start + place * _ID : self._start + (place + 1) * _ID]

    def __len__(self) -> int:
        return self._slots[_SLOTS]

    def data(self) -> "memoryview[int]":
        """Return all of them as numbers of 8 bytes, two an id."""
        return memoryview(self._data)[self._start : self._start + len(self) * _ID].cast("Q")

    def find(self, identity: bytes) -> int | None:
        """Return the place of the first equal id, or None."""
        slot = (identity[0] << 8) + identity[1]
        low, high = self._slots[slot], self._slots[slot + 1]
        if low == high:
            return None
        place = bisect_left(self, identity, low, high)
        return place if place < high and self[place] == identity else None


class Exceptions:
    """The resolution by evidence id."""

    def __init__(self, project: Path, digest: str) -> None:
        """Open the ids and the rows."""
        with (project / _FOLDER / digest).open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        with (project / RESOLUTION).open("rb") as file:
            self._rows = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        count = int.from_bytes(data[:8], "little")
        table, first = 4 * (_SLOTS + 1), 16
        places = first + 2 * table
        self._places = memoryview(data)[places : places + 8 * count].cast("Q")
        self._ids = _Ids(data, first, places + 8 * count)
        self._joined = _Ids(data, first + table, places + 8 * count + _ID * count)
        self._known: frozenset[int] | None = None
        self._last: tuple[str, list[ResolutionRow], dict[str, list[ResolutionRow]]] = ("", [], {})

    def _lines_of(self, wanted: bytes) -> list[bytes]:
        place = self._ids.find(wanted)
        lines: list[bytes] = []
        while place is not None and place < len(self._ids) and self._ids[place] == wanted:
            start = self._places[place]
            lines.append(self._rows[start : self._rows.find(b"\n", start)])
            place += 1
        return lines

    def _of(self, identity: str) -> tuple[list[ResolutionRow], dict[str, list[ResolutionRow]]]:
        """Return the rows of an id, also by provenance; those of the last one are kept, for a record may stand in a log very often."""
        if self._last[0] != identity:
            rows = [_ROW(line) for line in self._lines_of(bytes.fromhex(identity))]
            placed: dict[str, list[ResolutionRow]] = {}
            for row in rows:
                placed.setdefault(row.provenance, []).append(row)
            self._last = (identity, rows, placed)
        return self._last[1:]

    def _hits(self, ids: bytes) -> list[int]:
        """Return the places of ids of which something may be said; few known ids are held in memory, many are looked up one by one."""
        if len(self._ids) + len(self._joined) > _HELD:
            every = (ids[place : place + _ID] for place in range(0, len(ids), _ID))
            return [i for i, one in enumerate(every) if self._ids.find(one) is not None or self._joined.find(one) is not None]
        if self._known is None:
            ours, theirs = (memoryview(one.data())[::2] for one in (self._ids, self._joined))
            self._known = frozenset(ours) | frozenset(theirs)
        heads = memoryview(ids).cast("Q")[::2]
        hits = self._known.intersection(heads)
        return [place for place, head in enumerate(heads) if head in hits] if hits else []

    def digest_of(self, ids: bytes) -> str:
        """Return what is said of the rows with these ids; empty where nothing is."""
        hits = self._hits(ids)
        if not hits:
            return ""
        said: list[bytes] = []
        for identity in dict.fromkeys(ids[place * _ID : (place + 1) * _ID] for place in hits):
            said += (identity, b"joined" if self._joined.find(identity) is not None else b"", *self._lines_of(identity))
        return hash_parts(said).hex()

    def spoken(self, ids: bytes) -> frozenset[int]:
        """Return the places of those rows, by their ids, of which anything is said."""
        return frozenset(
            place
            for place in self._hits(ids)
            for identity in (ids[place * _ID : (place + 1) * _ID],)
            if self._ids.find(identity) is not None or self._joined.find(identity) is not None
        )

    def about(self, identity: str, where: str) -> list[ResolutionRow]:
        """Return the rows about one evidence row."""
        return self._of(identity)[1].get(where, [])

    def verdict_on(self, identity: str) -> tuple[str, str] | None:
        """Return the category and the reason that replace those of an evidence row, or None."""
        return next(((row.category, row.reasons[0]) for row in self._of(identity)[0] if row.category is not None), None)

    def leads_to(self, identity: str) -> str | None:
        """Return the evidence id of the row that this one adds to, or None."""
        return next((row.with_[0] for row in reversed(self._of(identity)[0]) if row.kind in _MEMBER and row.with_), None)

    def is_joined(self, identity: str) -> bool:
        """Tell whether other rows add to this one."""
        return self._joined.find(bytes.fromhex(identity)) is not None


def read_exceptions(project: Path, digest: str, memo: dict[str, Any]) -> Exceptions | None:
    """Return the resolution of that blake3, opened once by each worker; None for no digest, where it is empty."""
    if digest and digest not in memo:
        memo[digest] = Exceptions(project, digest)
    return memo[digest] if digest else None
