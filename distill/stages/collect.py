"""collect: raw logs to evidence, one outcome for each run a record holds (SPEC 2, SPEC 6, SPEC 9).

What becomes of one record is in `distill.stages.records`; runs that lie over several records are in `distill.stages.grouping`.
"""

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import chain, groupby
from typing import Any

from distill.config import Config, Source
from distill.formats import find_format
from distill.formats.reading import Grouper, Position, Reader, Reading
from distill.jsonl import BadLine, RawLine, decode_again
from distill.mapping.joining import join_reader, join_reading
from distill.mapping.matching import describe_facts, merge_facts
from distill.outcome import Outcome
from distill.plan import RawLog
from distill.schemas.evidence import Signal
from distill.sides import Sides
from distill.stages.collect_plain import plain_rows
from distill.stages.constant import Constants, describe_constants
from distill.stages.grouping import Group, Keep, hold
from distill.stages.records import accept_run, decode_log, leave_out, place_of_record, skip_record

__all__ = ["Collector", "judge_facts", "run"]

Lines = Iterable[RawLine | BadLine]
FindSides = Callable[[str], Sides | None]


def no_sides(name: str) -> None:
    """Return that a source has no second files."""


def run(logs: Iterable[tuple[RawLog, Lines]], config: Config, sides: FindSides = no_sides, keep: Keep = hold) -> Iterator[Outcome]:
    """Yield one outcome per run or unreadable record, in the order of partitions and records, then what is to be told of the sources.

    `logs` are raw files with their records in the order of the plan; a record that cannot be read comes as a BadLine with its place, a
    file that cannot be read further ends with a BadLine without. `sides` gives the second files of a source, `keep` a place for the raw
    records of formats that group.
    """
    collector = Collector(config, sides, keep)
    yield from collector.collect(logs)
    yield from judge_facts({name: [facts] for name, facts in collector.facts().items()}, config)


def judge_facts(facts: dict[str, list[dict[str, Any]]], config: Config) -> Iterator[Outcome]:
    """Yield the errors and warnings that only all records of a source show; `facts` are those of every unit, by source."""
    for source in config.sources:
        told = facts.get(source.name, [])
        for text in describe_constants(source.name, [one["constant"] for one in told]):
            yield Outcome("accepted", None, warning=text)
        seen = [one["seen"] for one in told if one["seen"] is not None]
        for text in describe_facts(source, merge_facts(seen)) if seen else ():
            yield Outcome("accepted", None, error=text)


class _Compiled:
    """A source made ready to be read, and what was seen of it."""

    def __init__(self, source: Source, config: Config, sides: Sides | None) -> None:
        form = find_format(source.format)
        if form is None:
            raise KeyError(source.format)
        module = import_module(form.module)
        self._source, self._sides, self.constants = source, sides, Constants()
        self.grouper: Grouper | None = module.build_grouper(source, config, sides) if form.grouped else None
        reader: Reader = _refuse if form.grouped else module.build_reader(source, config, sides)
        self._seen: Any = getattr(self.grouper or reader, "seen", None)
        self.read = reader if source.format is None else join_reader(reader, source, sides)
        self.plain = module.build_plain(source, config) if form.typed and self.read is reader else None

    def finish(self, reading: Reading, position: Position) -> Reading:
        """Return a run of several records with what second files say of it."""
        joined = join_reading(reading, self._source, self._sides, position)
        self.constants.note(joined.values, {}, position.line)
        return joined

    def facts(self) -> dict[str, Any]:
        """Return what was seen, as plain values."""
        return {"constant": self.constants.facts(), "seen": None if self._seen is None else self._seen.facts()}


def _refuse(record: dict[str, Any], position: Position) -> Reading:
    raise AssertionError(position)


class Collector:
    """Reads logs and keeps what is to be told of their sources; one lives as long as a unit."""

    def __init__(self, config: Config, sides: FindSides = no_sides, keep: Keep = hold) -> None:
        """Compile nothing yet."""
        self._config, self._sides, self._keep = config, sides, keep
        self._compiled: dict[str, _Compiled] = {}

    def collect(self, logs: Iterable[tuple[RawLog, Lines]]) -> Iterator[Outcome]:
        """Yield the outcomes of some logs; where a source's runs lie over several records, its whole partition is among them."""
        for _, several in groupby(logs, key=lambda one: one[0].partition):
            for log, lines in several:
                source = self._source(log.source)
                if source.grouper is None:
                    yield from self._read_log(log, lines, source)
                else:
                    group = Group(source.grouper, source.finish, self._config, self._keep)
                    yield from group.collect(chain([(log, lines)], several))  # noqa: B031 -- the rest of the same reading

    def plain(self, log: RawLog) -> Any:
        """Return what takes a log's plain rows from its bytes, or None where nothing does."""
        plain = self._source(log.source).plain
        return None if plain is None else plain_rows(log, self._config, plain)

    def collect_line(self, log: RawLog, line: RawLine | BadLine) -> Iterator[Outcome]:
        """Yield the outcome of one record that is not plain."""
        yield from self._read_log(log, (line,), self._source(log.source))

    def note_signals(self, log: RawLog, signals: list[Signal], times: int) -> None:
        """Count the signals that so many plain rows have."""
        self._source(log.source).constants.add(signals, times)

    def look(self, log: RawLog, raw: bytes) -> None:
        """Look at one of the first plain rows of a log for fields that could be a verdict."""
        self._source(log.source).constants.look(decode_again(raw))

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return what was seen of each source, as plain values."""
        return {name: one.facts() for name, one in self._compiled.items()}

    def _source(self, source: Source) -> _Compiled:
        if source.name not in self._compiled:
            self._compiled[source.name] = _Compiled(source, self._config, self._sides(source.name))
        return self._compiled[source.name]

    def _read_log(self, log: RawLog, lines: Lines, source: _Compiled) -> Iterator[Outcome]:
        config, read, note = self._config, source.read, source.constants.note
        groups = dict(log.groups)
        for one in decode_log(log, lines, max_line_bytes=config.max_line_bytes):
            if isinstance(one, Outcome):
                yield one
                continue
            line, record = one
            try:
                found = read(record, place_of_record(log, line, groups))
            except BadLine as bad:
                yield skip_record(log, line, bad)
                continue
            if isinstance(found, Reading):
                note(found.values, record, line.number)
                yield accept_run(log, line, found, config)
                continue
            if not found:
                yield leave_out(log, line, "no_run")
            for i, reading in enumerate(found):
                note(reading.values, record, line.number)
                yield accept_run(log, line, reading, config, place=i)
