"""What a stage's workers are asked for: units and pieces of files, several small ones together, and the jobs made of them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from distill.config import Config
from distill.engine import AHEAD
from distill.errors import InputError
from distill.hashing import hash_bytes
from distill.plan import FileRef, Plan
from distill.units.cutting import Unit
from distill.units.parts import Range, read_range

__all__ = ["Context", "Job", "Piece", "batch_pieces", "bytes_of", "later", "place_of", "read_unit"]

_SMALL, _BATCH = 1 << 18, 1 << 20
_LAST = "08"  # one hash in 32


class Context(NamedTuple):
    """What every unit of a stage shares, on whatever worker."""

    project: str
    """Folder of the project."""
    plan: Plan
    """Every file of the build."""
    config: Config
    """The settings."""
    stage: str
    """Receipt name."""
    module: str
    """Of its units."""
    memo: dict[str, Any]
    """What a worker builds once."""
    ahead: int = AHEAD
    """How many parts may wait to be taken."""
    quoted: str = ""
    """File that says where the units lie that parts quote (`distill.units.quotes`)."""


class Job(NamedTuple):
    """One part to be made."""

    function: str
    """`module:name` of a function of (context, (path of the part, *payload)) that returns the Part."""
    payload: tuple[Any, ...]
    """Plain values, and buckets, of which the function is given the ranges."""
    digests: tuple[str, ...]
    """Hashes of everything it reads."""
    place: str
    """What it works on, for a person."""
    bytes: int = 0
    """Size of what it reads, for the progress."""
    rows: tuple[tuple[str, str], ...] = ()
    """Targets that its rows go into in the order of the jobs, and the section of each; a list of seats in them, or none, is given last."""
    together: bool = False
    """Whether all of these targets get rows of every job; else only one that is alone has seats."""
    always: bool = False
    """Whether the function is called in any case, and decides for itself what of before stands."""
    changed: bool = False
    """Whether what its targets are made of changed, so that these will be written."""


class Piece(NamedTuple):
    """One unit of one file of the plan, with those that belong to it line by line."""

    number: int
    """Place of the partition in the plan."""
    units: tuple[Unit, ...]
    """Its unit, and the unit of each file read beside it."""


def batch_pieces(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Yield what one part is made of: one unit, or several small ones (DESIGN 3).

    Where a batch of small ones ends is told by the hash of its last, so that a file that comes or goes moves no other batch.
    """
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        first = piece.units[0]
        if first.end - first.start >= _SMALL:
            if batch:
                yield batch
            yield [piece]
            batch, size = [], 0
            continue
        batch.append(piece)
        size += first.end - first.start
        if size >= _BATCH or first.digest < _LAST:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def place_of(refs: Sequence[FileRef], batch: Sequence[Piece]) -> str:
    """Return what a part is made of as a person is told of it."""
    unit = batch[0].units[0]
    more = f" and {len(batch) - 1} more files" if len(batch) > 1 else ""
    return f"{refs[batch[0].number].recorded}, bytes {unit.start:,} to {unit.end:,}{more}"


def bytes_of(batch: Sequence[Piece]) -> int:
    """Return the bytes a part is made of."""
    return sum(unit.end - unit.start for piece in batch for unit in piece.units)


def read_unit(path: str, unit: Unit, recorded: str) -> bytes:
    """Return the bytes of a unit.

    Raises:
        InputError: they are not those that were cut.
    """
    data = read_range(Range(path, unit.start, unit.end - unit.start))
    if hash_bytes(data) != unit.digest:
        raise InputError(f"{recorded}: changed while it was read; run doit again when nobody writes to it")
    return data


def later(items: list[Any]) -> Iterator[Any]:
    """Yield what is put into a list while it is read."""
    place = 0
    while True:
        yield items[place]
        place += 1
