"""The targets of one stage, in temporary files until they are published; what was appended to them, unit by unit, is their cut."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from distill.books import Books
from distill.schemas.stage_receipt import FileState
from distill.targets import Behind, TargetFile, read_blocks
from distill.units.cutting import Cut, Unit
from distill.units.jobs import Context, Job, Piece
from distill.units.merging import Kind, Template, merge_rows
from distill.units.parts import EMPTY, KEY, Part, PartWriter, Range, Section, bucket_ranges, read_lines_of
from distill.units.quotes import quotes_of
from distill.units.seats import Seat, Seats
from distill.units.workshop import Workshop

__all__ = ["Outputs", "Target", "copy_rows", "merge_bucket"]


_ROOM = 4 << 20
"""Bytes of rows that are copied at a time: as many as are written when rows are made, so that the pages of the one fit the other."""
_FEW = 16
"""Targets up to which files that were replaced stay open until a thread closes them."""


class Target(NamedTuple):
    """A file of rows that come from keyed sections of parts."""

    path: str
    """The file."""
    sections: tuple[str, ...]
    """That hold its rows, each line up to the brace its key, or name those that do not stand: a key and a dash."""
    template: Template = ()
    """How a row is spelt of which a section holds the values."""
    mark: bytes = b""
    """What follows the key in lines that are rows of its own, where it shares a section with others; values are rows of all of them."""
    growth: int = 1
    """How many times as long its rows may be as the lines of its sections."""
    order: str | None = None
    """`module:name` of a function that orders lines of one key."""


class Outputs:
    """The targets of one stage."""

    def __init__(self, project: Path, paths: tuple[str, ...], *, shop: Workshop) -> None:
        """Open nothing yet: a project may have more targets than a process may have files."""
        self._project, self._paths, self._shop = project, paths, shop
        self.cuts: defaultdict[str, list[Unit]] = defaultdict(list)
        """Units of each target, where it was appended to by units."""
        self.spans: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        """Slots of keys that each unit of a merged target holds."""
        self.files: dict[str, TargetFile] = {}
        """Targets that are written."""
        self.kept: dict[str, FileState] = {}
        """Targets that stay as they are, because they hold what they would be given."""
        self.read_back: set[tuple[str, int]] = set()
        """Targets and where units start in them that were copied, and are held against their digest as their hashes are taken."""
        self._seats = Seats(shop.folder, project)
        self._behind = Behind()

    def parts(self, jobs: Iterable[Job]) -> Iterator[Part]:
        """Yield the part of every job whose rows go into targets; a worker writes them there itself where it can."""
        return self._shop.parts(jobs, sitting=self)

    def give(self, *paths: str) -> list[Seat]:
        """Return the next seat in every target."""
        return self._seats.give(*paths)

    def open(self, path: str) -> None:
        """Begin to write a target."""
        self.file(path)

    def is_open(self, path: str) -> bool:
        """Tell whether a target is being written."""
        return path in self.files

    def file(self, path: str) -> TargetFile:
        """Return a target, opened when it is first needed."""
        if path not in self.files:
            self.files[path] = TargetFile(self._project, path, self._behind)
        return self.files[path]

    def append(self, path: str, sections: Iterable[tuple[Part, str]]) -> None:
        """Write the lines of sections, in their order, and close the target; one that holds them already is kept."""
        self._append(((path, part, name) for part, name in sections), path)

    def _append(self, sections: Iterable[tuple[str, Part, str]], *paths: str) -> None:
        """Do so with several targets whose sections come in turn."""
        waiting: dict[str, list[tuple[Part, str]]] = {path: [] for path in paths}
        ends = dict.fromkeys(paths, (0, 0))
        for path, part, name in sections:
            section, (start, lines) = part.sections.get(name) or Section(0, 0, 0, EMPTY), ends[path]
            self.cuts[path].append(Unit(start, start + section.length, lines, section.digest))
            ends[path] = start + section.length, lines + section.records
            waiting[path].append((part, name))
            if part.path not in self._shop.carried or path in self.files:
                self._write(path, waiting[path])
        for path, (size, lines) in ends.items():
            known = self._shop.work.known_hashes(path) if path not in self.files else None
            cut = self._shop.cuts.find(known[0]) if known is not None else None
            if known is not None and cut is not None and cut.units == self.cuts[path]:
                self.kept[path] = FileState(path=path, blake3=known[0], sha256=known[1], bytes=size, record_count=lines)
                continue
            self._write(path, waiting[path])
            self.file(path).close()

    def _write(self, path: str, waiting: list[tuple[Part, str]]) -> None:
        """Write the lines of sections that waited to be written."""
        file = self.file(path)
        for part, name in waiting:
            section = part.sections.get(name)
            if section is None or not section.length:
                continue
            if (part.path, name) in self._shop.seated:
                self.read_back.add((path, file.hasher.bytes))
                file.take_written(section.length, section.records, copied=section.digest)
                continue
            if part.path not in self._shop.carried and section.seated:
                file.take_written(section.length, section.records)
                continue
            place = self._shop.locate(part, name)
            file.write_range(place.path, place.offset, place.length, section.records)
            if part.path not in self._shop.carried and not section.streamed:
                Path(place.path).unlink()  # it stands in the target now
        waiting.clear()

    def append_batches(self, paths: Sequence[str], name: str, parts: Iterable[tuple[Part, list[Piece]]]) -> list[tuple[Part, list[Piece]]]:
        """Write the target of every partition as soon as its last unit is there; return the parts.

        Section `name:i` of a part belongs to its i-th piece.
        """
        done: list[tuple[Part, list[Piece]]] = []

        def sections() -> Iterator[tuple[int, Part, str]]:
            for part, batch in parts:
                done.append((part, batch))
                for i, piece in enumerate(batch):
                    yield piece.number, part, f"{name}:{i}"

        for number, several in groupby(sections(), key=lambda one: one[0]):
            self.append(paths[number], ((part, section) for _, part, section in several))
        return done

    def merge(self, parts: Sequence[Part], *targets: Target | tuple[Target, ...]) -> None:
        """Give targets the lines of keyed sections of all parts, in the order of their keys, one after the other or several together."""
        groups = [(one,) if isinstance(one, Target) else one for one in targets]
        owners: deque[tuple[str, ...]] = deque()

        def jobs() -> Iterator[Job]:
            for group in groups:
                paths, kinds = tuple(one.path for one in group), tuple((one.mark, one.template) for one in group)
                sections = dict.fromkeys(name for one in group for name in one.sections)
                rows = tuple((path, f"rows:{i}") for i, path in enumerate(paths))
                for bucket in bucket_ranges(parts, *sections, growth=sum(one.growth for one in group)):
                    for path in paths:
                        self.spans[path].append((bucket.first, bucket.last))
                    owners.append(paths)
                    place = f"bucket {len(self.spans[paths[0]])} of {group[0].sections[0]}"
                    payload = (bucket, group[0].order, kinds)
                    yield Job(f"{__name__}:merge_bucket", payload, (*paths, bucket.digest), place, rows=rows, together=True)

        merged = ((owners.popleft(), part) for part in self.parts(jobs()))
        for paths, several in groupby(merged, key=lambda one: one[0]):
            self._append(((path, part, f"rows:{i}") for _, part in several for i, path in enumerate(paths)), *paths)
        for target in (one for group in groups for one in group):
            if target.path not in self.cuts:
                self.append(target.path, ())

    def present(self, path: str) -> Path:
        """Return where the bytes of a target lie before it is published."""
        return self.files[path].temporary if path in self.files else self._project / path

    def close(self) -> None:
        """Close every target; one that got nothing is empty."""
        for path in self._paths:
            if path in self.kept:
                continue
            self.file(path).close()

    def states(self) -> list[FileState]:
        """Return the state of every target that was closed, as soon as all are hashed.

        Raises:
            InputError: what was copied to one is not there.
        """
        self._behind.wait()
        states = list(self.kept.values())
        for path, file in self.files.items():
            hasher = file.hasher
            states.append(FileState(path=path, blake3=hasher.blake3, sha256=hasher.sha256, bytes=hasher.bytes, record_count=file.records))
        return sorted(states, key=lambda state: state.path)

    def publish(self) -> None:
        """Put every target in its place, and remember the cuts of those that units were appended to."""
        for path, file in self.files.items():
            state = file.publish(self._behind if len(self.files) <= _FEW else None)
            if state is not None:
                self._shop.work.published[path] = state
            if self.cuts.get(path):
                hasher = file.hasher
                self._shop.cuts.save(Cut(hasher.blake3, hasher.sha256, hasher.bytes, self.cuts[path]))
        self._behind.leave()

    def discard(self) -> None:
        """Take every temporary file away."""
        self._behind.drop()
        for file in self.files.values():
            file.discard()


def copy_rows(context: Context, payload: list[tuple[list[Range], Seat]]) -> bool:
    """Copy rows that other files hold to their seats; tell whether it was known in time where those are.

    Raises:
        InputError: such a file is too short.
    """
    places = [seat.find_start() for _, seat in payload]
    if None in places:
        return False
    room = context.memo.setdefault("room", memoryview(bytearray(_ROOM)))
    for (ranges, seat), start in zip(payload, places, strict=True):
        place = start or 0
        for one in ranges:
            for block in read_blocks(one.path, one.offset, one.length, room, last=True):
                place = seat.write_at(block, place)
    return True


def merge_bucket(context: Context, payload: tuple[str, list[Range], str | None, tuple[Kind, ...], list[Seat]]) -> Part:
    """Put the lines of one bucket in the order of their keys, without the keys, for one target or several."""
    path, ranges, order, kinds, seats = payload
    part = PartWriter(context.ahead)
    if order is None:
        merged = merge_rows(ranges, kinds, quotes_of(context))
    else:
        module, name = order.split(":")
        rank: Callable[[bytes], Any] = getattr(import_module(module), name)
        groups = groupby(read_lines_of(ranges), lambda line: line[:KEY])
        rows = [row + b"\n" for _, group in groups for row in sorted((line[line.index(b"{") :] for line in group), key=rank)]
        merged = [(b"".join(rows), len(rows))]
    for i, (data, records) in enumerate(merged):
        part.stream(path, f"rows:{i}", data, records, seats[i] if seats else None)
    return part.save(path, {"books": Books(by_file=False).facts()})
