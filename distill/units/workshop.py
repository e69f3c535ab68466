"""One stage at work: its units, its parts, what can be taken over from the last run, and the engine that makes the rest."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from distill.books import Books
from distill.engine import AHEAD, Engine, Task, count_workers, make_engine
from distill.errors import InputError, IntegrityError
from distill.files import HashedFile
from distill.hashing import FileHasher, hash_file, row_id
from distill.plan import TEMPORARY, FileRef
from distill.schemas.stage_receipt import FileState
from distill.stages import Stage
from distill.units.cutting import UNIT_BYTES, Cut, Cuts, Unit, cut_file
from distill.units.jobs import Context, Job, Piece
from distill.units.parts import ORDERED, Bucket, Part, Range, Section, load_part
from distill.units.seats import Seat
from distill.units.streams import STREAMS

__all__ = ["PACKED", "PARTS", "Sitting", "Workshop"]

PARTS = ".distill/parts"
PACKED = (".gz", ".zst")
_WORTH = 2


Stands = Callable[[Part], bool]
"""Tells whether a part of before stands, where the digests of its job do not say all."""


def _stands(part: Part) -> bool:
    return True


class Sitting(Protocol):
    """Targets whose rows have seats."""

    def give(self, *paths: str) -> list[Seat]:
        """Return the next seat in every target."""

    def open(self, path: str) -> None:
        """Begin to write a target."""

    def is_open(self, path: str) -> bool:
        """Tell whether a target is being written."""


class _Shared(NamedTuple):
    """A job that is shared out."""

    job: Job
    path: str
    """Of its part."""
    part: Part | None
    """What is taken over."""
    seats: list[Seat]
    """One for each of its targets."""
    targets: tuple[str, ...]
    """Those in which its rows have seats."""
    asked: bool = True
    """Whether a worker was asked to make it, or to copy its rows."""

    def sections(self) -> list[dict[str, Section]]:
        """Return the sections of each of its targets that are taken over."""
        return [_sections(self.part, name) for _, name in self.job.rows] if self.part is not None else []


class Workshop:
    """The units of one stage."""

    def __init__(self, stage: Stage, work: Any) -> None:
        """Sweep what a killed run left and start the engine."""
        self.stage, self.work = stage, work
        self.folder = work.project / PARTS / stage.name
        self._place_of_parts = str(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cuts = Cuts(work.project / PARTS / "cuts")
        self._sweep()
        size = sum(_size(work.project / ref.path) for ref in stage.inputs(work.plan))
        alone = threading.current_thread() is threading.main_thread()  # a fork beside other threads may hold their locks for ever
        worth = size > _WORTH * UNIT_BYTES  # a small stage ends before a worker starts
        name = "inline" if not alone else work.config.engine or ("processes" if worth else "inline")
        workers = count_workers(name, work.config.workers)
        self.quoted = str(self.folder / f"quoted{TEMPORARY}{os.getpid()}")
        context = Context(str(work.project), work.plan, work.config, stage.name, stage.units, {}, AHEAD * workers, self.quoted)
        self.engine: Engine = make_engine(workers, context)
        self.books = Books(by_file=stage.by_file)
        self._used: set[str] = set()
        self.placed: dict[str, Range] = {}
        """Where units of the present targets lie, by their hash."""
        self.carried: set[str] = set()
        """Parts that were taken over."""
        self.seated: set[tuple[str, str]] = set()
        """Of those, paths and sections whose rows were copied into the new target."""
        if not work.always:
            for path in stage.outputs(work.plan):
                self._place(path)
        self._read: dict[FileRef, os.stat_result] = {}
        self.changed: set[FileRef] = set()
        """Inputs that are not what they were when they were last read."""

    def _place(self, path: str) -> None:
        """Note the units of a target as it is now."""
        known = self.work.known_hashes(path)
        cut = self.cuts.find(known[0]) if known is not None else None
        for unit in cut.units if cut is not None else ():
            self.placed[unit.digest] = Range(str(self.work.project / path), unit.start, unit.end - unit.start)

    # inputs

    def cut(self, ref: FileRef, *, whole: bool = False) -> Iterator[Unit]:
        """Yield the units of an input as it is read, or at once where it was cut before; it is in `work.inputs` afterwards."""
        whole = whole or ref.path.endswith(PACKED)
        work = self.work
        self._read[ref] = (work.project / ref.path).stat()
        known = work.known_hashes(ref.path)
        cut = self.cuts.find(known[0]) if known is not None else None
        if known is not None and cut is not None and (len(cut.units) == 1 or not whole):
            yield from cut.units
        else:
            file = HashedFile(work.project / ref.path, ref.recorded, sha256=known is None, progress=lambda count: None)
            if known is None:
                self.changed.add(ref)
            self._read[ref] = file.before
            units: list[Unit] = []
            for unit in cut_file(file, whole=whole):
                units.append(unit)
                yield unit
            if file.finish():
                work.unchanged[ref.path] = file.before
            elif file.path.stat().st_size > file.hasher.bytes:
                work.grown.append(ref.recorded)
            sha256 = file.hasher.sha256 or (known[1] if known is not None and known[0] == file.hasher.blake3 else "")
            sha256 = sha256 or hash_file(file.path, sha256=True, length=file.hasher.bytes).sha256
            cut = Cut(file.hasher.blake3, sha256, file.hasher.bytes, units)
            self.cuts.save(cut)
        sha256 = known[1] if known is not None and known[0] == cut.blake3 else cut.sha256
        work.inputs[ref.recorded] = FileState(path=ref.recorded, blake3=cut.blake3, sha256=sha256, bytes=cut.bytes, record_count=0)

    def pair(self, left: FileRef, right: FileRef) -> Iterator[tuple[Unit, Unit]]:
        """Yield the units of two files of the same number of lines, line by line the same.

        Raises:
            IntegrityError: they have not the same number of lines.
        """
        ours, theirs = list(self.cut(left)), list(self.cut(right))
        if [unit.lines for unit in ours] != [unit.lines for unit in theirs]:
            theirs = list(_cut_at(self.work.project / right.path, [unit.lines for unit in ours[1:]]))
        if len(ours) != len(theirs):
            raise IntegrityError(f"{right.recorded}: has not as many lines as {left.recorded}; run doit score")
        yield from zip(ours, theirs, strict=True)

    def count_lines(self, ref: FileRef) -> int:
        """Return the number of lines of one of our own files."""
        with (self.work.project / ref.path).open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))

    def count_input(self, ref: FileRef, records: int) -> None:
        """Say how many records an input held."""
        state = self.work.inputs[ref.recorded]
        self.work.inputs[ref.recorded] = msgspec.structs.replace(state, record_count=records)

    def count_records(self, refs: Sequence[FileRef], done: Iterable[tuple[Part, list[Piece]]]) -> None:
        """Say how many records each input held, as its parts tell."""
        counts = [0] * len(refs)
        for part, batch in done:
            for piece, records in zip(batch, part.facts["records"], strict=True):
                counts[piece.number] += records
        for ref, count in zip(refs, counts, strict=True):
            self.count_input(ref, count)

    def check_inputs(self) -> None:
        """Check that no input changed while units were read from it.

        Raises:
            InputError: one did, other than by growing.
        """
        for ref, before in self._read.items():
            path = self.work.project / ref.path
            try:
                after = path.stat()
            except FileNotFoundError as err:
                raise InputError(f"{ref.recorded}: vanished while it was read; run doit again") from err
            if _state(after) == _state(before):
                continue
            known = self.work.inputs[ref.recorded]
            self.work.unchanged.pop(ref.path, None)
            if after.st_ino != before.st_ino or after.st_size < known.bytes or hash_file(path, length=known.bytes).blake3 != known.blake3:
                raise InputError(f"{ref.recorded}: changed while it was read; run doit again when nobody writes to it")
            if after.st_size > known.bytes and ref.recorded not in self.work.grown:
                self.work.grown.append(ref.recorded)

    # parts

    def parts(self, jobs: Iterable[Job], *, stands: Stands = _stands, sitting: Sitting | None = None) -> Iterator[Part]:
        """Yield the part of every job, in order: taken over where its inputs and the stage are the same and it `stands`, else made now.

        With `sitting` workers write rows to their targets.
        """
        order: deque[_Shared] = deque()
        for made in self.engine.map(self._share(jobs, order, stands, sitting)):
            while not order[0].asked:
                yield self._take(order.popleft(), None)
            yield self._take(order.popleft(), made)
        while order:
            yield self._take(order.popleft(), None)

    def _share(self, jobs: Iterable[Job], order: deque[_Shared], stands: Stands, sitting: Sitting | None) -> Iterator[Task]:
        """Yield what workers are asked for; all jobs go to `order`.

        Rows that are taken over are copied to their seats as soon as anything of their target is made, or surely will be, else they stay
        where they are.
        """
        held: list[_Shared] = []
        for job in jobs:
            one = self._start(job, stands, sitting)
            if held and one.targets != held[0].targets:
                order += held
                held.clear()
            if one.part is not None:
                held.append(one._replace(asked=False))
            if sitting is None or not one.targets:
                order += held
                held.clear()
            elif one.part is None or job.changed or all(map(sitting.is_open, one.targets)):
                for target in one.targets:
                    sitting.open(target)
                for carried in held:
                    ranges = [[self.placed[one.digest] for one in named.values() if one.length] for named in carried.sections()]
                    order.append(carried._replace(asked=any(ranges)))
                    if any(ranges):
                        yield Task("distill.units.outputs:copy_rows", list(zip(ranges, carried.seats, strict=True)), carried.job.place)
                held.clear()
            if one.part is None:
                order.append(one)
                seats = (one.seats if one.targets else [],) if sitting is not None else ()
                yield Task(job.function, (one.path, *map(_spelt, job.payload), *seats), job.place)
        order += held

    def _start(self, job: Job, stands: Stands, sitting: Sitting | None) -> _Shared:
        key = row_id(job.function, self.work.identity, *job.digests)
        path = f"{self._place_of_parts}/{key}"
        self._used.add(key)
        targets = tuple(target for target, _ in job.rows) if sitting is not None else ()
        together = job.together or len(targets) == 1
        seats = [] if sitting is None else sitting.give(*targets) if together else [sitting.give(target)[0] for target in targets]
        part = load_part(path, keep=self._holds) if not (job.always or self.work.always) else None
        part = part if part is not None and stands(part) else None
        one = _Shared(job, path, part, seats, targets if together else ())
        if part is not None:
            self.carried.add(path)
            self._tell(one, part)
        return one

    @staticmethod
    def _tell(one: _Shared, part: Part) -> None:
        """Tell the seats of a job how long its rows are."""
        for seat, (_, name) in zip(one.seats, one.job.rows, strict=False):
            sections = _sections(part, name).values()
            if part.fresh and any(section.seated for section in sections):
                continue  # it was told when they were written
            seat.tell(sum(section.length for section in sections))

    def _holds(self, section: Section) -> bool:
        return section.digest in self.placed

    def locate(self, part: Part, name: str) -> Range:
        """Return where the lines of a section lie that are not keyed."""
        section = part.sections[name]
        if part.path in self.carried:
            return self.placed[section.digest]
        if section.streamed:
            return Range(part.stream, section.offset, section.length)
        return Range(f"{part.path}{ORDERED}{name}", 0, section.length)

    def _take(self, one: _Shared, made: Any) -> Part:
        """Take what was made of a job, or whether its rows were copied."""
        self.work.progress(one.job.bytes)
        part: Part = one.part or made
        if one.part is None:
            self._tell(one, part)
        elif made:
            self.seated |= {(one.path, name) for named in one.sections() for name in named}
        self.books.merge(part.facts.pop("books"))  # a stage holds thousands of parts
        return part

    def _sweep(self) -> None:
        """Take temporary files away."""
        for path in self.folder.glob(f"*{TEMPORARY}*"):
            path.unlink(missing_ok=True)

    def drop(self) -> None:
        """Take every part of the stage away."""
        for path in self.folder.iterdir():
            path.unlink(missing_ok=True)

    def close(self, *, good: bool) -> None:
        """Let the engine go; after a good run, parts that were not used go too."""
        self.engine.close()
        STREAMS.close()
        self._sweep()
        for path in self.folder.iterdir() if good else ():
            if path.name not in self._used:
                path.unlink(missing_ok=True)
        if good:
            self.cuts.trim(len(self.work.plan.logs))


def _cut_at(path: Path, bounds: list[int]) -> Iterator[Unit]:
    """Yield the units of a file that start at its first line and at those of `bounds`, counted from 0."""
    start = place = before = lines = 0
    digest, left = FileHasher(sha256=False), list(reversed(bounds))
    with path.open("rb") as file:
        for line in file:
            while left and lines == left[-1]:
                yield Unit(start, place, before, digest.blake3)
                start, before, digest = place, left.pop(), FileHasher(sha256=False)
            digest.update(line)
            place, lines = place + len(line), lines + 1
    while left and lines == left[-1]:
        yield Unit(start, place, before, digest.blake3)
        start, before, digest = place, left.pop(), FileHasher(sha256=False)
    if not left:
        yield Unit(start, place, before, digest.blake3)


def _sections(part: Part, name: str) -> dict[str, Section]:
    """Return the section of a name, or those it was cut into, in order."""
    return {key: section for key, section in part.sections.items() if key == name or key.startswith(f"{name}.")}


def _spelt(value: Any) -> Any:
    return value.ranges if isinstance(value, Bucket) else value


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _state(stat: os.stat_result) -> tuple[int, int, int, int]:
    return (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
