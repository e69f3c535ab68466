"""Runs that lie over several records, as traces do: a run is all fragments of one key within a partition (SPEC 2).

Two passes. The first reads every record once and keeps a few numbers of it; the second asks a keeper for the raw bytes again, run by
run, in the order of their first records. Laws: a run has the place and the id of the first record that holds it, and the place among
that record's runs where it holds several; every other record that holds it is `same_run`; how many fragments lie in memory is bounded
by the longest run and by the records that were read last.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from distill.config import Config
from distill.formats.reading import Grouper, Position, Reading
from distill.jsonl import BadLine, RawLine, decode_line
from distill.outcome import Outcome
from distill.plan import RawLog
from distill.stages.records import accept_run, decode_log, leave_out, place_of_record, skip_record

__all__ = ["Group", "Keep", "Keeper", "hold"]

_RECENT = 32 << 20


class Keeper(Protocol):
    """Raw records that are asked for again."""

    def put(self, line: RawLine, /) -> int:
        """Keep a record and return where it is."""

    def get(self, place: int, length: int, /) -> bytes:
        """Return the bytes of a record."""

    def close(self) -> None:
        """Let go of everything."""


Keep = Callable[[RawLog], Keeper]
"""Gives the keeper of one file."""


class _Held:
    """Raw records in memory."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def put(self, line: RawLine, /) -> int:
        self._lines.append(line.raw)
        return len(self._lines) - 1

    def get(self, place: int, length: int, /) -> bytes:
        return self._lines[place][:length]

    def close(self) -> None:
        self._lines.clear()


def hold(log: RawLog) -> Keeper:
    """Return a keeper that holds the records of a file in memory."""
    return _Held()


class _Split(NamedTuple):
    """One record again."""

    log: RawLog
    """Where it lies."""
    line: RawLine
    """Its place and bytes."""
    fragments: dict[str, list[Any]]
    """What it holds of each run."""


class Group:
    """The records of one partition, grouped."""

    def __init__(self, grouper: Grouper, finish: Callable[[Reading, Position], Reading], config: Config, keep: Keep) -> None:
        """Start empty; `finish` is given every run that was read."""
        self._grouper, self._finish, self._config, self._keep = grouper, finish, config, keep
        self._logs: list[RawLog] = []
        self._keepers: list[Keeper] = []
        self._numbers = [array("Q") for _ in range(5)]
        self._names: dict[int, tuple[str | None, int | None, str | None]] = {}
        self._runs: dict[str, array[int]] = {}
        self._recent: dict[int, _Split] = {}
        self._held = 0

    def collect(self, logs: Iterable[tuple[RawLog, Iterable[RawLine | BadLine]]]) -> Iterator[Outcome]:
        """Yield the outcomes of a partition: first of records that are unreadable or hold no run, then of runs."""
        try:
            for log, lines in logs:
                yield from self._read(log, lines)
            for key, records in self._runs.items():
                yield from self._merge(key, records)
        finally:
            for keeper in self._keepers:
                keeper.close()

    def _read(self, log: RawLog, lines: Iterable[RawLine | BadLine]) -> Iterator[Outcome]:
        groups = dict(log.groups)
        self._logs.append(log)
        self._keepers.append(self._keep(log))
        for one in decode_log(log, lines, max_line_bytes=self._config.max_line_bytes):
            if isinstance(one, Outcome):
                yield one
                continue
            line, record = one
            try:
                parts = self._grouper.split(record, place_of_record(log, line, groups))
            except BadLine as bad:
                yield skip_record(log, line, bad)
                continue
            if not parts:
                yield leave_out(log, line, "no_run")
                continue
            number = self._note(line)
            for key in dict.fromkeys(key for key, _ in parts):
                self._runs.setdefault(key, array("Q")).append(number)

    def _note(self, line: RawLine) -> int:
        """Keep what is needed to find a record again, and return its number."""
        number = len(self._numbers[0])
        place = self._keepers[-1].put(line)
        for column, value in zip(self._numbers, (len(self._logs) - 1, line.number, line.offset, place, line.length), strict=True):
            column.append(value)
        if line.member is not None or line.index is not None or line.key is not None:
            self._names[number] = (line.member, line.index, line.key)
        return number

    def _merge(self, key: str, records: "array[int]") -> Iterator[Outcome]:
        """Yield the outcome of a run, and those of the records that hold more of it."""
        first = self._split(records[0])
        fragments = [fragment for number in records for fragment in self._split(number).fragments[key]]
        place = list(first.fragments).index(key) if len(first.fragments) > 1 else None
        position = place_of_record(first.log, first.line, dict(first.log.groups))
        try:
            reading = self._finish(self._grouper.merge(key, fragments, position), position)
        except BadLine as bad:
            yield skip_record(first.log, first.line, bad)
        else:
            yield accept_run(first.log, first.line, reading, self._config, place=place)
        for number in records[1:]:
            again = self._split(number)
            yield leave_out(again.log, again.line, "same_run")

    def _split(self, number: int) -> _Split:
        """Return a record again; those that were asked for last are at hand."""
        known = self._recent.get(number)
        if known is not None:
            return known
        which, count, offset, place, length = (column[number] for column in self._numbers)
        log, raw = self._logs[which], self._keepers[which].get(place, length)
        member, index, key = self._names.get(number, (None, None, None))
        line = RawLine(count, offset, raw, ended=True, length=length, hash=None, member=member, index=index, key=key)
        fragments: dict[str, list[Any]] = {}
        for name, fragment in self._grouper.split(decode_line(raw), place_of_record(log, line, dict(log.groups))):
            fragments.setdefault(name, []).append(fragment)
        while self._recent and self._held + length > _RECENT:
            oldest = next(iter(self._recent))
            self._held -= self._recent.pop(oldest).line.length
        self._recent[number] = _Split(log, line, fragments)
        self._held += length
        return self._recent[number]
