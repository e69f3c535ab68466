"""Exports over units: every run by itself, those of one text or task together, rows in the order of their ids.

What a run's verdict alone decides is decided before its texts are decoded. A run that is told in several rows is first brought
together by its id. The generators of `distill.stages` are the reference.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from distill.books import Books
from distill.errors import IntegrityError
from distill.hashing import row_id
from distill.jsonl import encode_trusted, row_decoder
from distill.outcome import Kind, Outcome, Row
from distill.plan import EVIDENCE, RESOLUTION, SCORED, FileRef
from distill.runs import Run, build_run, pool_run
from distill.schemas.evidence import Provenance, Signal
from distill.schemas.scored_run import ResolutionRow, ScoredRun
from distill.stages.export_common import leave_out
from distill.units.cutting import Unit
from distill.units.exceptions import Exceptions, index_exceptions, read_exceptions
from distill.units.fates import Fates
from distill.units.gists import Gists
from distill.units.guard import Verdict, build_verdict, check_exports
from distill.units.jobs import Context, Job, Piece, batch_pieces, bytes_of, later, place_of, read_unit
from distill.units.lean import decode_whole
from distill.units.outputs import Outputs, Target
from distill.units.parts import KEY, Part, PartWriter, Range, bucket_ranges, read_lines_of, read_ranges
from distill.units.quotes import QuotedUnit, may_quote, name_unit, save_units
from distill.units.workshop import Workshop

__all__ = [
    "Export", "Spreader", "bucket_jobs", "export_unit", "gather_bucket", "grouped", "pool_bucket", "run_export", "spread_corpus",
]  # fmt: skip


class _ScoredLine(msgspec.Struct, frozen=True, gc=False):
    """The fields of a scored run that exports read."""

    evidence_id: str
    run_id: str | None
    category: Any
    score: float
    reasons: list[str]


class _JudgedEvidence(msgspec.Struct, frozen=True, gc=False):
    """The fields of an evidence record that are read where its verdict alone keeps it out."""

    id: str
    source: str
    provenance: Provenance
    run_id: str | None = None
    signals: list[Signal] = []
    attempts: int | None = None
    corrected_response: str | None = None


_SCORED: Callable[[bytes], Any] = msgspec.json.Decoder(_ScoredLine).decode
_JUDGED: Callable[[bytes], Any] = msgspec.json.Decoder(_JudgedEvidence).decode
_WHOLE_SCORED = row_decoder(ScoredRun)
_ROWS = msgspec.json.Decoder(list[ResolutionRow]).decode
_ENCODE = msgspec.json.Encoder().encode
_TEXT: Callable[[bytes], str] = msgspec.json.Decoder(str).decode
Left = list[tuple[int, bytes, bytes]]
"""Runs that are not plain: place in the range, line of evidence, scored row."""


class Export(NamedTuple):
    """What is particular to one export."""

    hopeless: frozenset[str]
    """Categories that are kept out whatever else is known, so that their texts are not decoded."""
    keep_out: Callable[[Run, Any], tuple[Kind, str] | None]
    """Why a run's verdict alone keeps it out."""
    spread: Callable[[Run, list[bytes], Any, PartWriter], Outcome | None]
    """Puts a run among those of its group, or returns its fate; its evidence lines, its own first, are given too."""
    gather: Callable[[list[bytes], Context, PartWriter], Iterator[tuple[Outcome, int]]]
    """Yields the fates of the groups of a bucket, and how many met each, from blocks of lines with their keys."""
    targets: tuple[Target | tuple[Target, ...], ...]
    """Where its rows go, one file after the other or several together."""
    quarantine: str | None
    """Where quarantined runs are written."""
    decode: Callable[[bytes], Any]
    """Decodes the evidence fields it reads."""
    permit: Callable[[Verdict, Any], Iterator[tuple[str, bytes]]]
    """Yields what the firewall is told of a run, by section: from its scored row and the resolution, whatever the stage makes of it."""
    compiled: Callable[["Spreader"], Any] = lambda spreader: None
    """Builds what spreads the plain runs of a range from their bytes, a `distill.compiled.exports.Spread`, or None where nothing does."""
    quotes: bool = False
    """Whether its parts quote texts of the evidence."""
    looks: bool = False
    """Whether runs that their verdict alone keeps out are looked at all the same."""


class TaskKeys:
    """The keys under which the runs of a task meet; neighbours are often of one task."""

    def __init__(self, scopes: dict[str, str]) -> None:
        """Take what the tasks of each source are unique in."""
        self._scopes, self._task, self._key = scopes, ("", ""), b""

    def of(self, source: str, task_id: str) -> bytes:
        """Return the key of a task."""
        if (source, task_id) != self._task:
            self._task = (source, task_id)
            self._key = row_id("task", self._scopes.get(source, source), task_id).encode()
        return self._key

    def of_spelt(self, source: bytes, task_id: bytes) -> bytes:
        """Return the same from a source and a task that are spelt as JSON."""
        return self.of(_TEXT(source), _TEXT(task_id))


class Spreader:
    """Spreads runs over groups in one part."""

    def __init__(self, context: Context) -> None:
        self.config = context.config
        self.stage = context.stage
        self.export: Export = import_module(context.module).EXPORT
        self.books, self.part = Books(by_file=False), PartWriter()
        self.scopes = {source.name: source.scope for source in context.config.sources}
        self.tasks = TaskKeys(self.scopes)
        self.fates = Fates(context.stage, self.export.keep_out, context.config)
        self._compiled = self.export.compiled(self)

    def take_range(self, evidence: bytes, scored: bytes, texts: bytes, spoken: frozenset[int], unit: bytes = b"") -> tuple[int, int, Left]:
        """Spread the plain runs of a range; return how many rows of both kinds there are, and those that are not plain or are spoken of.

        Their texts are quoted where the range is a unit that has a name.
        """
        if self._compiled is None:
            lines, verdicts = evidence.split(b"\n")[:-1], scored.split(b"\n")[:-1]
            return len(lines), len(verdicts), [(i, *both) for i, both in enumerate(zip(lines, verdicts, strict=False))]
        found: tuple[int, int, Left] = self._compiled.take(evidence, scored, texts, spoken, unit)
        for fate, times in self._compiled.kept_out():
            self.books.add(*fate.out, times=times)
        self.books.add("accepted", None, times=self._compiled.accepted)
        self._compiled.accepted = 0
        return found

    def close(self, path: str, **facts: Any) -> Part:
        """Write the part."""
        return self.part.save(path, {"books": self.books.facts(), **facts})

    def judge(self, one: Run) -> bool:
        """Count a run whose verdict alone keeps it out; tell whether it does."""
        out = None if self.export.looks else self.export.keep_out(one, self.config)
        if out is not None:
            self.count(leave_out(self.stage, one, *out, target=self.export.quarantine or ""))
        return out is not None

    def permit(self, evidence: Any, scored: Any, rows: Sequence[ResolutionRow] = (), mates: Sequence[Any] = ()) -> None:
        """Tell the firewall what a run may be used for."""
        scope = self.scopes.get(evidence.source, evidence.source)
        for section, line in self.export.permit(build_verdict(evidence, scored, rows, mates, scope), self.config):
            self.part.keyed[section].append(line)

    def spread(self, one: Run, lines: list[bytes]) -> None:
        """Put a run among those of its group, or count its fate."""
        outcome = self.export.spread(one, lines, self.config, self.part)
        if outcome is not None:
            self.count(outcome)

    def count(self, outcome: Outcome) -> None:
        """Count a fate and keep its quarantine row."""
        self.books.count(outcome)
        for row in outcome.rows:
            self.quarantine(row)

    def quarantine(self, row: Row) -> None:
        """Keep a quarantine row."""
        self.part.keyed["quarantine"].append(row.key[0].encode() + encode_trusted(row.value))


def export_unit(context: Context, payload: tuple[str, list[tuple[int, tuple[Unit, ...]]], str, bool]) -> Part:
    """Spread the runs of one range of evidence and of its scored runs, or of several small partitions."""
    path, batch, resolution, quoting = payload
    spreader, exceptions = Spreader(context), read_exceptions(Path(context.project), resolution, context.memo)
    hopeless, decode = spreader.export.hopeless, spreader.export.decode
    records: list[int] = []
    unit, gists = "", Gists(Path(context.project))
    for number, units in batch:
        partition = context.plan.partitions[number]
        evidence, scored = _read_pair(context, partition, units)
        gist = gists.of(partition, units[0])
        spoken = frozenset[int]() if exceptions is None else exceptions.spoken(gist.ids)
        unit = name_unit(partition, units[0].start) if quoting and evidence else ""  # an empty one lies where the next does
        ours, theirs, left = spreader.take_range(evidence, scored, gist.texts, spoken, unit.encode())
        if ours != theirs:
            raise IntegrityError(f"{SCORED}/{partition}: has not as many lines as {EVIDENCE}/{partition}; run doit score")
        records.append(ours)
        for i, line, verdict in left:
            row = _SCORED(verdict)
            if row.evidence_id.encode() not in line[:80]:
                raise IntegrityError(f"{SCORED}/{partition}: holds {row.evidence_id!r} where its evidence holds another; run doit score")
            if exceptions is not None and i in spoken:
                _spread_exception(spreader, exceptions, line, verdict)
                continue
            record = _JUDGED(line) if row.category in hopeless else decode(line)
            one = build_run(record, row, (), spreader.scopes)
            if not spreader.judge(one):
                spreader.permit(record, row)
                spreader.spread(one, [line])
    return spreader.close(path, records=records, quoted=unit)


def _read_pair(context: Context, partition: str, units: tuple[Unit, ...]) -> tuple[bytes, bytes]:
    """Return the bytes of a range of evidence and of its scored runs."""
    evidence, scored = (
        read_unit(f"{context.project}/{folder}/{partition}", unit, f"{folder}/{partition}")
        for folder, unit in zip((EVIDENCE, SCORED), units, strict=True)
    )
    return evidence, scored


def _spread_exception(spreader: Spreader, exceptions: Exceptions, line: bytes, verdict: bytes) -> None:
    """Spread a run where the resolution may speak of it; what adds to another run goes to that one's bucket."""
    record, row = spreader.export.decode(line), _SCORED(verdict)
    rows = exceptions.about(record.id, str(record.provenance))
    one = build_run(record, row, rows, spreader.scopes)
    stands = exceptions.leads_to(record.id)
    if stands is not None:
        spreader.part.keyed["pool"].append(stands.encode() + b"+" + line)
    if exceptions.is_joined(record.id) and one.excluded != "duplicate":
        spreader.part.keyed["pool"].append(record.id.encode() + b"=" + b"\t".join((line, verdict, _ENCODE(rows))))
    elif not spreader.judge(one):
        spreader.permit(record, row, rows)
        spreader.spread(one, [line])


def pool_bucket(context: Context, payload: tuple[str, list[Range]]) -> Part:
    """Bring together the rows of each run in a bucket and spread it."""
    path, ranges = payload
    spreader = Spreader(context)
    for _, group in groupby(read_lines_of(ranges), lambda line: line[:KEY]):
        lines = [line[KEY:] for line in group]
        added = [line[1:] for line in lines if line[:1] == b"+"]
        others = [decode_whole(line) for line in added]
        for line in lines:
            if line[:1] != b"=":
                continue
            own, verdict, about = line[1:].split(b"\t")
            record, rows = decode_whole(own), _ROWS(about)
            one = build_run(record, _WHOLE_SCORED(verdict), rows, spreader.scopes)
            pool_run(one, others, spreader.scopes)
            if not spreader.judge(one):
                mates = {mate.id: raw for mate, raw in zip(others, added, strict=True)}
                scope = spreader.scopes.get(record.source, record.source)
                same = [m for m in others if m.run_id == record.run_id and spreader.scopes.get(m.source, m.source) == scope]
                spreader.permit(record, _WHOLE_SCORED(verdict), rows, same)
                spreader.spread(one, [own, *(mates[mate.id] for mate in one.others)])
    return spreader.close(path)


def gather_bucket(context: Context, payload: tuple[str, list[Range]]) -> Part:
    """Decide the groups of a bucket."""
    path, ranges = payload
    spreader = Spreader(context)
    for outcome, times in spreader.export.gather(read_ranges(ranges), context, spreader.part):
        spreader.books.add(outcome.kind, outcome.reason, times=times)
    return spreader.close(path)


def grouped(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield the lines of each key."""
    for _, group in groupby(lines, lambda line: line[:KEY]):
        yield list(group)


def spread_corpus(shop: Workshop) -> list[Part]:
    """Return the parts of every range of evidence, and of the runs that are told in several rows."""
    plan, project = shop.work.plan, shop.work.project
    quoting = import_module(shop.stage.units).EXPORT.quotes and may_quote(sum((project / path).stat().st_size for path in plan.evidence))
    left = [FileRef(path, path) for path in plan.evidence]
    right = [FileRef(path, path) for path in plan.scored]
    batches: list[list[Piece]] = []
    resolution = FileRef(RESOLUTION, RESOLUTION)
    told = list(shop.cut(resolution))[-1].end > 0
    shop.count_input(resolution, shop.count_lines(resolution))
    digest = shop.work.inputs[RESOLUTION].blake3 if told else ""
    if told:
        index_exceptions(shop.work.project, digest)
    exceptions, gists = read_exceptions(shop.work.project, digest, {}), Gists(shop.work.project)

    def jobs() -> Iterator[Job]:
        pieces = (Piece(n, units) for n in range(len(left)) for units in shop.pair(left[n], right[n]))
        for batch in batch_pieces(pieces):
            batches.append(batch)
            said = [exceptions.digest_of(gists.of(plan.partitions[one.number], one.units[0]).ids) if exceptions else "" for one in batch]
            digests = (*said, *(unit.digest for piece in batch for unit in piece.units))
            plain, alone = [tuple(piece) for piece in batch], quoting and len(batch) == 1  # many small files are not opened again and again
            digests = (*digests, "quoted") if alone else digests
            yield Job("distill.units.exports:export_unit", (plain, digest, alone), digests, place_of(left, batch), bytes_of(batch))

    done = list(zip(shop.parts(jobs()), later(batches), strict=False))
    places = ((part.facts["quoted"], batch[0]) for part, batch in done)
    save_units(
        shop.quoted,
        [QuotedUnit(name, str(project / plan.evidence[piece.number]), piece.units[0].start) for name, piece in places if name],
    )
    shop.count_records(left, done)
    shop.count_records(right, done)
    parts = [part for part, _ in done]
    return [*parts, *shop.parts(bucket_jobs("distill.units.exports:pool_bucket", parts, "pool"))] if told else parts


def run_export(shop: Workshop, outputs: Outputs) -> Callable[[], list[str]] | None:
    """Export every run; return the reading of what was written."""
    export: Export = import_module(shop.stage.units).EXPORT
    parts = spread_corpus(shop)
    gathered = list(shop.parts(bucket_jobs("distill.units.exports:gather_bucket", parts, "groups")))
    rows = [*parts, *gathered]
    if export.quarantine is None:
        outputs.merge(rows, *export.targets)
        return None
    outputs.merge(rows, *export.targets, Target(export.quarantine, ("quarantine",)))
    return lambda: check_exports(shop, outputs, rows)


def bucket_jobs(function: str, parts: list[Part], section: str) -> Iterator[Job]:
    """Yield a job for every bucket of a section."""
    for bucket in bucket_ranges(parts, section):
        yield Job(function, (bucket,), (bucket.digest,), f"{section} of {len(bucket.taken)} units")
