"""`distill preview`: what a source would give, from a bounded sample of it, with nothing written (SPEC 8).

Laws:
1. It reads at most the records asked for, spread over the files, the first of each.
2. The same functions that build read and score here; what a run's other rows, or the whole corpus, would change is not in it.
"""

import time  # noqa: TID251 -- measures; no figure of it reaches a data file
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from distill.canonical import dump_sorted
from distill.config import Config, Source
from distill.files import read_records
from distill.formats import find_format
from distill.jsonl import BadLine, RawLine, decode_line, encode_line
from distill.mapping.reader import found_values
from distill.onboarding.documents import Estimate, FieldFound, Preview, SkippedFound, ValueFound, ValuesFound
from distill.onboarding.paths import Catalog, Found, cut, render_value
from distill.plan import RawLog
from distill.readers import Limits
from distill.schemas.evidence import EvidenceRecord
from distill.schemas.quarantine_row import QuarantineRow
from distill.schemas.scored_run import ScoredRun
from distill.stages.collect import run
from distill.stages.score import score_record
from distill.units.sides import Prepared

__all__ = ["Sample", "build_preview", "describe_sample", "read_sample"]

_BYTES = 256 << 20
"""Bytes of records after which no more are read."""
_PACKED = (".gz", ".zst", ".zip", ".eval")
_UNPACKED = 10
"""Bytes a packed file unpacks to, for each of its own, where the sample cannot tell."""
_SHOWN = 3
_VALUES = 20
_PIPELINE = 3.5
"""CPU time of the whole pipeline for that of reading and scoring; see docs/performance.md."""
_EXPORTS = 5
"""Bytes of all exports for each byte of evidence that is exported; measured on fixtures/sample."""
_PARTS = 2
"""Bytes on the disk for each byte of data and exports: the build's own store takes as much again."""


class Sample(NamedTuple):
    """A bounded sample of a source, read and scored."""

    met: int
    """Raw records read."""
    bytes: int
    """Bytes of them."""
    files_read: int
    """Files they come from."""
    whole: bool
    """Whether there is nothing beyond them."""
    evidence: tuple[EvidenceRecord, ...]
    """What they give."""
    scored: tuple[ScoredRun, ...]
    """What each would be by itself."""
    skipped: tuple[QuarantineRow, ...]
    """What cannot be read."""
    filtered: Counter[str]
    """What gives no evidence of its own, by reason."""
    warnings: Counter[str]
    """What is worth telling."""
    unmatched: tuple[str, ...]
    """Expressions that matched nothing, with the nearest keys."""
    catalog: Catalog
    """Fields of the raw records."""
    values: dict[str, dict[str, int]]
    """Raw values each mapped signal met, understood or not."""
    seconds: float
    """CPU time of reading and scoring."""


def read_sample(project: Path, config: Config, logs: tuple[RawLog, ...], *, records: int, prepared: Prepared | None = None) -> Sample:
    """Read at most so many records of the config's first source and score what they give; `prepared` are its second files."""
    source, catalog = config.sources[0], Catalog()
    start = time.process_time()
    read = _take(project, config, logs, records)
    seconds = time.process_time() - start
    records_met = [record for taken in read for record in _decode(taken.lines)]
    for record in records_met:
        catalog.add(record)
    start = time.process_time()
    evidence: list[EvidenceRecord] = []
    skipped: list[QuarantineRow] = []
    unmatched: list[str] = []
    filtered: Counter[str] = Counter()
    warnings: Counter[str] = Counter()
    for outcome in run([(taken.log, taken.lines) for taken in read], config, (prepared or Prepared()).of):
        evidence += [row.value for row in outcome.rows if isinstance(row.value, EvidenceRecord)]
        skipped += [row.value for row in outcome.rows if isinstance(row.value, QuarantineRow)]
        filtered.update([outcome.reason or ""] if outcome.kind == "filtered" else [])
        warnings.update([outcome.warning] if outcome.warning else [])
        unmatched += [outcome.error] if outcome.error else []
    scored = [score_record(record, judge_confidence=config.judge_confidence) for record in evidence]
    seconds += time.process_time() - start
    return Sample(
        met=sum(len(taken.lines) for taken in read), files_read=sum(bool(taken.lines) for taken in read),
        bytes=sum(_length(line) for taken in read for line in taken.lines),
        whole=len(read) == len(logs) and all(taken.is_whole for taken in read), evidence=tuple(evidence), scored=tuple(scored),
        skipped=tuple(skipped), filtered=filtered, warnings=warnings, unmatched=tuple(unmatched), catalog=catalog,
        values=found_values(source, records_met), seconds=seconds,
    )  # fmt: skip


def describe_sample(catalog: Catalog) -> Sample:
    """Return a sample whose records were looked at and not read as anything."""
    return Sample(
        met=catalog.records, bytes=0, files_read=0, whole=False, evidence=(), scored=(), skipped=(), filtered=Counter(), warnings=Counter(),
        unmatched=(), catalog=catalog, values={}, seconds=0.0,
    )  # fmt: skip


def _length(line: RawLine | BadLine) -> int:
    return line.length + 1 if isinstance(line, RawLine) else 0


class _Taken(NamedTuple):
    """The first records of one file."""

    log: RawLog
    lines: list[RawLine | BadLine]
    is_whole: bool


def _take(project: Path, config: Config, logs: tuple[RawLog, ...], records: int) -> list[_Taken]:
    """Return evenly chosen files with their first records; what small files do not need goes to larger ones."""
    source = config.sources[0]
    entry = find_format(source.format)
    reader = source.reader or (entry.reader if entry is not None else "jsonl")
    limits = Limits(config.max_line_bytes, source.members)
    chosen = logs if len(logs) <= records else tuple(logs[i * len(logs) // records] for i in range(records))
    taken: dict[int, _Taken] = {}
    left, room = records, _BYTES
    for done, i in enumerate(sorted(range(len(chosen)), key=lambda i: ((project / chosen[i].file.path).stat().st_size, i))):
        wanted = left // (len(chosen) - done)
        lines: list[RawLine | BadLine] = []
        found = read_records(project / chosen[i].file.path, reader, limits)
        for line in islice(found, wanted if room > 0 else 0):
            lines.append(line)
            room -= _length(line)
            if room < 0:
                break
        left -= len(lines)
        taken[i] = _Taken(chosen[i], lines, is_whole=room > 0 and next(found, None) is None)
    return [taken[i] for i in sorted(taken)]


def _decode(lines: Iterable[RawLine | BadLine]) -> Iterator[dict[str, Any]]:
    """Yield what can be decoded."""
    for line in lines:
        if isinstance(line, RawLine) and line.hash is None:
            with suppress(BadLine):
                yield decode_line(line.raw)


def build_preview(source: Source, sample: Sample, *, sizes: tuple[int, ...], proposal: str | None) -> Preview:
    """Return what a person is shown.

    `sizes` are the bytes of all files of the source, `proposal` its tables where they were only proposed.
    """
    categories = Counter(str(row.category) for row in sample.scored)
    return Preview(
        source=source.name, files=len(sizes), files_read=sample.files_read, bytes=sum(sizes), records_read=sample.met,
        records=_records(source, sample, sizes), complete=sample.whole, evidence_count=len(sample.evidence),
        fields=[_field(sample.catalog, found) for found in sample.catalog.found.values()], evidence=list(sample.evidence[:_SHOWN]),
        categories=dict(sorted(categories.items())), reasons=dict(sorted(Counter(row.reasons[0] for row in sample.scored).items())),
        skipped=_skipped(sample.skipped), filtered=dict(sorted(sample.filtered.items())), warnings=dict(sorted(sample.warnings.items())),
        values=_values(source, sample), unmatched=list(sample.unmatched), estimate=_estimate(source, sample, sizes), proposal=proposal,
    )  # fmt: skip


def _field(catalog: Catalog, found: Found) -> FieldFound:
    kinds = [kind for kind, _ in sorted(found.kinds.items(), key=lambda item: (-item[1], item[0]))]
    return FieldFound(path=found.path, share=catalog.share(found), kinds=kinds, example=cut(render_value(found.example)))


def _skipped(rows: tuple[QuarantineRow, ...]) -> list[SkippedFound]:
    """Return each reason with its count and its first row, the most frequent first."""
    first: dict[str, QuarantineRow] = {}
    for row in rows:
        first.setdefault(row.reason, row)
    counts = Counter(row.reason for row in rows)
    ordered = sorted(counts, key=lambda reason: (-counts[reason], reason))
    return [_reason(counts[reason], first[reason]) for reason in ordered]


def _reason(count: int, row: QuarantineRow) -> SkippedFound:
    return SkippedFound(reason=row.reason, count=count, action=row.action, detail=row.detail or "", place=row.provenance)


def _values(source: Source, sample: Sample) -> list[ValuesFound]:
    """Return the raw values each signal met and what they were taken for; those of a mapped one also where they were not understood."""
    met: dict[tuple[str, str], Counter[tuple[str, str]]] = {}
    for record in sample.evidence:
        for signal in record.signals:
            place = met.setdefault((signal.where or "", signal.kind), Counter())
            place[dump_sorted(signal.value), signal.verdict] += 1
    for name, counts in sample.values.items():
        spec = source.signals[int(name[len("signals[") : name.index("]")])]
        if spec.each is None:
            known = {value for (where, _), values in met.items() if where == spec.path for value, _ in values}
            unread = {(value, "not understood"): count for value, count in counts.items() if value not in known and value != "null"}
            met.setdefault((spec.path or "", spec.kind), Counter()).update(unread)
    return [_signal(where, kind, counts) for (where, kind), counts in sorted(met.items())]


def _signal(where: str, kind: str, counts: Counter[tuple[str, str]]) -> ValuesFound:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_VALUES]
    return ValuesFound(
        where=where, kind=kind, values=[ValueFound(value=cut(value), verdict=verdict, count=n) for (value, verdict), n in ordered]
    )


def _is_packed(source: Source) -> bool:
    return source.glob.endswith(_PACKED)


def _unpacked(source: Source, sample: Sample, sizes: tuple[int, ...]) -> int:
    """Return the bytes of all records, unpacked: what was read where that is all of them."""
    return sample.bytes if sample.whole else sum(sizes) * (_UNPACKED if _is_packed(source) else 1)


def _records(source: Source, sample: Sample, sizes: tuple[int, ...]) -> int:
    """Return how many records the source has, estimated from their mean size where not all were read."""
    if sample.whole or not sample.bytes:
        return sample.met
    return max(sample.met, round(_unpacked(source, sample, sizes) / sample.bytes * sample.met))


def _estimate(source: Source, sample: Sample, sizes: tuple[int, ...]) -> Estimate:
    """Return time and disk of a full run over the source, as the sample tells."""
    if not sample.bytes:
        return Estimate(seconds=0.0, disk_bytes=0, bytes_per_second=0)
    exported = {row.evidence_id for row in sample.scored if row.category in {"accepted", "partially_accepted"}}
    lines = [(record, len(encode_line(record))) for record in sample.evidence]
    written = sum(length for _, length in lines) + sum(len(encode_line(row)) for row in sample.scored)
    written += _EXPORTS * sum(length for record, length in lines if record.id in exported)
    scale = _unpacked(source, sample, sizes) / sample.bytes
    seconds = max(sample.seconds, 1e-6)
    return Estimate(
        seconds=round(seconds * _PIPELINE * scale, 1),
        disk_bytes=round(written * _PARTS * scale),
        bytes_per_second=round(sample.bytes / seconds),
    )
