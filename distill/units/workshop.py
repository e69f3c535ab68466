"""One stage at work: its units, its parts, what can be taken over from the last run, and the engine that makes the rest."""

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from distill.books import Books
from distill.config import Config
from distill.engine import AHEAD, Engine, Task, count_workers, make_engine
from distill.errors import InputError, IntegrityError
from distill.files import HashedFile
from distill.hashing import FileHasher, hash_bytes, hash_file, row_id
from distill.plan import TEMPORARY, FileRef, Plan
from distill.schemas.stage_receipt import FileState
from distill.stages import Stage
from distill.units.cutting import UNIT_BYTES, Unit, cut_file
from distill.units.parts import ORDERED, Part, Range, Section, load_part, read_range
from distill.units.streams import close_streams

__all__ = [
    "PACKED", "PARTS", "Context", "Cut", "Job", "Piece", "Workshop", "batch_pieces", "bytes_of", "later", "place_of",
    "read_unit",
]  # fmt: skip

PARTS = ".distill/parts"
PACKED = (".gz", ".zst")
_CUTS = 1000
_WORTH = 2
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


class Job(NamedTuple):
    """One part to be made."""

    function: str
    """`module:name` of a function of (context, (path of the part, *payload)) that returns the Part."""
    payload: tuple[Any, ...]
    """Plain values."""
    digests: tuple[str, ...]
    """Hashes of everything it reads."""
    place: str
    """What it works on, for a person."""
    bytes: int = 0
    """Size of what it reads, for the progress."""


class Cut(msgspec.Struct):
    """A file and its units."""

    blake3: str
    """Of its bytes."""
    sha256: str
    """Likewise."""
    bytes: int
    """Its length."""
    units: list[Unit]
    """In order."""


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


class Workshop:
    """The units of one stage."""

    def __init__(self, stage: Stage, work: Any) -> None:
        """Sweep what a killed run left and start the engine."""
        self.stage, self.work = stage, work
        self.folder = work.project / PARTS / stage.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self._cuts = work.project / PARTS / "cuts"
        self._cuts.mkdir(exist_ok=True)
        for path in self.folder.glob(f"*{TEMPORARY}*"):
            path.unlink(missing_ok=True)
        size = sum(_size(work.project / ref.path) for ref in stage.inputs(work.plan))
        alone = threading.current_thread() is threading.main_thread()  # a fork beside other threads may hold their locks for ever
        worth = size > _WORTH * UNIT_BYTES  # a small stage ends before a worker starts
        name = "inline" if not alone else work.config.engine or ("processes" if worth else "inline")
        workers = count_workers(name, work.config.workers)
        context = Context(str(work.project), work.plan, work.config, stage.name, stage.units, {}, AHEAD * workers)
        self.engine: Engine = make_engine(workers, context)
        self.books = Books(by_file=stage.by_file)
        self._used: set[str] = set()
        self.placed: dict[str, Range] = {}
        """Where units of the present targets lie, by their hash."""
        self.carried: set[str] = set()
        """Parts that were taken over."""
        if not work.always:
            for path in stage.outputs(work.plan):
                self._place(path)
        self._read: dict[FileRef, os.stat_result] = {}

    def _place(self, path: str) -> None:
        """Note the units of a target as it is now."""
        known = self.work.known_hashes(path)
        cut = self.known_cut(known[0]) if known is not None else None
        for unit in cut.units if cut is not None else ():
            self.placed[unit.digest] = Range(str(self.work.project / path), unit.start, unit.end - unit.start)

    # inputs

    def cut(self, ref: FileRef, *, whole: bool = False) -> Iterator[Unit]:
        """Yield the units of an input as it is read, or at once where it was cut before; it is in `work.inputs` afterwards."""
        whole = whole or ref.path.endswith(PACKED)
        work = self.work
        self._read[ref] = (work.project / ref.path).stat()
        known = work.known_hashes(ref.path)
        cut = self.known_cut(known[0]) if known is not None else None
        if known is not None and cut is not None and (len(cut.units) == 1 or not whole):
            yield from cut.units
        else:
            file = HashedFile(work.project / ref.path, ref.recorded, sha256=known is None, progress=lambda count: None)
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
            self.save_cut(cut)
        sha256 = known[1] if known is not None and known[0] == cut.blake3 else cut.sha256
        work.inputs[ref.recorded] = FileState(path=ref.recorded, blake3=cut.blake3, sha256=sha256, bytes=cut.bytes, record_count=0)

    def known_cut(self, digest: str) -> Cut | None:
        """Return how a file of that blake3 is cut, where it was cut before."""
        try:
            data = (self._cuts / digest).read_bytes()
            cut = msgspec.msgpack.decode(data[64:], type=Cut)
        except (OSError, ValueError, msgspec.MsgspecError):
            return None
        return cut if data[:64] == hash_bytes(data[64:]).encode() and cut.blake3 == digest and cut.units else None

    def save_cut(self, cut: Cut) -> None:
        """Remember how a file is cut; one that holds nothing is one unit, however many made it."""
        if not cut.bytes:
            return
        temporary = self._cuts / f"{cut.blake3}{TEMPORARY}{os.getpid()}-{threading.get_ident()}"
        data = msgspec.msgpack.encode(cut)
        temporary.write_bytes(hash_bytes(data).encode() + data)
        temporary.replace(self._cuts / cut.blake3)

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

    def parts(self, jobs: Iterable[Job], *, reuse: bool = True) -> Iterator[Part]:
        """Yield the part of every job, in order: taken over where its inputs and the stage are the same, else made now.

        Without `reuse` the function is called in any case and decides for itself.
        """
        order: deque[tuple[Job, Part | None]] = deque()

        def missing() -> Iterator[Task]:
            for job in jobs:
                key = row_id(job.function, self.work.identity, *job.digests)
                path = str(self.folder / key)
                self._used.add(key)
                part = load_part(path, keep=self._holds) if reuse and not self.work.always else None
                if part is not None:
                    self.carried.add(path)
                order.append((job, part))
                if part is None:
                    yield Task(job.function, (path, *job.payload), job.place)

        for made in self.engine.map(missing()):
            while order[0][1] is not None:
                job, part = order.popleft()
                yield self._take(job, part)
            job, _ = order.popleft()
            yield self._take(job, made)
        while order:
            job, part = order.popleft()
            yield self._take(job, part)

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

    def _take(self, job: Job, part: Part | None) -> Part:
        self.work.progress(job.bytes)
        if part is None:
            raise AssertionError(job.place)
        self.books.merge(part.facts["books"])
        return part

    def drop(self) -> None:
        """Take every part of the stage away."""
        for path in self.folder.iterdir():
            path.unlink(missing_ok=True)

    def close(self, *, good: bool) -> None:
        """Let the engine go; after a good run, parts that were not used go too."""
        self.engine.close()
        close_streams(self.folder)
        for path in self.folder.iterdir() if good else ():
            if path.name not in self._used:
                path.unlink(missing_ok=True)
        cuts = list(self._cuts.iterdir()) if good else []
        if len(cuts) > _CUTS + 8 * len(self.work.plan.logs):  # of files that were changed long ago; one too many costs a reading
            for path in cuts:
                path.unlink(missing_ok=True)


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


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _state(stat: os.stat_result) -> tuple[int, int, int, int]:
    return (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


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
