"""Runs one stage: read, call, count, write, re-read through the firewall, put in place, and say so in a receipt.

The runner owns the counting, so a receipt cannot disagree with what the stage did. When a stage runs at all, and
what becomes of the receipt, is in `distill.build`. Laws: every file is hashed as it passes; targets appear together
after the firewall, each by one rename; an exception leaves the old targets as they were.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec

from distill import engine
from distill.config import Config
from distill.errors import ContaminationError, IntegrityError
from distill.files import HashedFile, TargetFile, read_log, sync_folder
from distill.firewall import ROW_TYPES, Verdicts, check_rows
from distill.hashing import aggregate_hash, hash_file
from distill.jsonl import BadLine, RawLine, decode_document, encode_row
from distill.outcome import Outcome
from distill.plan import EVIDENCE, RESOLUTION, SCORED, FileRef, Plan, RawLog
from distill.runs import Run, assemble_runs
from distill.schemas.evidence import EvidenceRecord
from distill.schemas.export_rows import Playbook, RagRow
from distill.schemas.scored_run import ResolutionRow, ScoredRun
from distill.schemas.stage_receipt import FileSet, FileState, Stats, Validation
from distill.stages import INDEX, PLAYBOOKS, RAG, Stage
from distill.validation import validate_stage

_CHUNK = 1 << 17

__all__ = ["Finished", "Work", "file_set", "read_outcomes", "run_stage"]


@dataclass
class Work:
    """Everything one stage needs from outside, and what it has read so far."""

    project: Path
    """Folder of the project."""
    plan: Plan
    """Every file of the build."""
    config: Config
    """The settings."""
    known_hashes: Callable[[str], tuple[str, str] | None] = lambda path: None
    """Returns (blake3, sha256) of a file whose fingerprint says that it is unchanged."""
    progress: Callable[[int], None] = lambda count: None
    """Told the bytes read."""
    before_publish: Callable[[list[FileState]], None] = lambda files: None
    """Told the targets before they take their places, so that a kill in between is no forgery."""
    gone: tuple[str, ...] = ()
    """Partitions of the prior run that are no longer there."""
    leaked: str = "data/held/leaked"
    """Folder in which leaked files are kept."""
    inputs: dict[str, FileState] = field(default_factory=dict)
    """Files read to their end."""
    pending: set[str] = field(default_factory=set)
    """Partitions whose last line is not finished yet; it is in no count."""
    grown: list[str] = field(default_factory=list)
    """Recorded paths of files that grew while they were read."""
    unchanged: dict[str, os.stat_result] = field(default_factory=dict)
    """State of the files that were the same before and after reading, by path."""


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage did."""

    inputs: FileSet
    """What was read."""
    outputs: FileSet
    """What was written."""
    stats: Stats
    """The books."""
    validation: Validation
    """Whether it passed."""


def file_set(files: list[FileState], *, finished: bool = True) -> FileSet:
    """Return files as a set with its sum and aggregate, sorted by path."""
    ordered = sorted(files, key=lambda file: file.path.encode())
    total = aggregate_hash((file.path, file.blake3) for file in ordered) if finished else None
    return FileSet(files=ordered, record_count=sum(file.record_count for file in ordered), hash=total)


def run_stage(stage: Stage, work: Work) -> Finished:
    """Run one stage and put its targets in place.

    Raises:
        ContaminationError: the firewall spoke; the files lie in `leaked`.
        InputError, OSError: the world is not as it must be; the old targets are as they were.
    """
    outputs = Outputs(work.project, stage.outputs(work.plan))
    books = Books(stage)
    verdicts = Verdicts(include=work.config.sft.include)
    try:
        for outcome in read_outcomes(stage, work, verdicts):
            books.count(outcome)
            if outcome.unit is None and outcome.file is not None:
                work.pending.add(outcome.file)
            for row in outcome.rows:
                outputs.add(row.target, row.key, row.value)
        written = outputs.close()
        _check_outputs(outputs, verdicts, work)
        sync_folder(work.project)
        work.before_publish(written)
        outputs.publish()
    except BaseException:
        outputs.discard()
        raise
    _delete_strangers(stage, work)
    if stage.name == "score" and work.plan.decisions:
        books.warnings["reviews/decisions.jsonl is reserved for reviews and not read yet"] += 1
    books.warnings.update(f"{path}: grew while it was read, and was read to its length at the start" for path in work.grown)
    books.warnings.update(f"partition vanished since the prior run: {partition}" for partition in work.gone)
    stats = books.close()
    validation = validate_stage(stage, work.config, stats, warnings=books.warnings, written=written)
    return Finished(inputs=file_set(list(work.inputs.values())), outputs=file_set(written), stats=stats, validation=validation)


class Books:
    """Counts outcomes; every unit once."""

    def __init__(self, stage: Stage) -> None:
        """Start at nothing."""
        self._stage = stage
        self._kinds: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._by_file: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.warnings: Counter[str] = Counter()

    def count(self, outcome: Outcome) -> None:
        """Count one outcome; one without unit only brings rows or a warning."""
        if outcome.warning is not None:
            self.warnings[outcome.warning] += 1
        if outcome.unit is None:
            return
        self._kinds[outcome.kind] += 1
        if outcome.kind in {"quarantined", "skipped", "filtered"}:
            self._reasons[outcome.reason or "unnamed"] += 1
        if self._stage.by_file and outcome.file is not None:
            names = {outcome.kind, outcome.category, outcome.reason} - {None}
            self._by_file[outcome.file].update(str(name) for name in names)

    def close(self) -> Stats:
        """Return the books."""
        by_file = {path: dict(sorted(counts.items())) for path, counts in sorted(self._by_file.items())}
        return Stats(
            unit=self._stage.unit, considered=self._kinds.total(), reasons=dict(sorted(self._reasons.items())), by_file=by_file,
            **{kind: self._kinds[kind] for kind in ("accepted", "rejected", "quarantined", "skipped", "filtered")},
        )  # fmt: skip


class Outputs:
    """The targets of one stage, in temporary files until they are published."""

    def __init__(self, project: Path, paths: tuple[str, ...]) -> None:
        """Open every target, so that an empty one appears too."""
        self._keyed: defaultdict[str, list[tuple[Any, bytes]]] = defaultdict(list)
        self._index: list[RagRow] = []
        self.files: dict[str, TargetFile] = {}
        try:
            for path in paths:
                self.files[path] = TargetFile(project, path)
        except BaseException:
            self.discard()
            raise

    def add(self, path: str, key: Any, value: msgspec.Struct) -> None:
        """Add one row; rows with a key are sorted by it at the end."""
        if path == INDEX and isinstance(value, RagRow):
            self._index.append(value)
        elif key is None:
            self.files[path].write(encode_row(value))
        else:
            self._keyed[path].append((key, encode_row(value)))

    def close(self) -> list[FileState]:
        """Write what was waiting and return the state of every target."""
        for path, rows in self._keyed.items():
            for _, line in sorted(rows):
                self.files[path].write(line)
        self._keyed.clear()
        for file in self.files.values():
            file.close()
        if INDEX in self.files:
            self._write_index(self.files[INDEX])
        return [
            FileState(
                path=path,
                blake3=file.hasher.blake3,
                sha256=file.hasher.sha256,
                bytes=file.hasher.bytes,
                record_count=file.records,
            )
            for path, file in sorted(self.files.items())
        ]

    def _write_index(self, file: TargetFile) -> None:
        from distill.stages.index import write_index  # noqa: PLC0415 -- SQLite only where it is needed

        file.temporary.unlink()
        write_index(file.temporary, sorted(self._index, key=lambda row: row.id))
        file.hasher = hash_file(file.temporary, sha256=True)
        file.records = len(self._index)

    def publish(self) -> None:
        """Put every target in its place."""
        for file in self.files.values():
            file.publish()

    def discard(self) -> None:
        """Take every temporary file away."""
        for file in self.files.values():
            file.discard()


def _check_outputs(outputs: Outputs, verdicts: Verdicts, work: Work) -> None:
    """Read the exports back from disk through the firewall; leaked files are kept aside."""
    found: list[str] = []
    leaked: list[TargetFile] = []
    for path, file in outputs.files.items():
        if path not in ROW_TYPES and path != INDEX:
            continue
        violations = _violations(path, file, verdicts, work)
        if hash_file(file.temporary).blake3 != file.hasher.blake3:
            raise IntegrityError(f"{path}: the bytes on the disk are not those that were written; check the disk")
        if violations:
            found += violations
            leaked.append(file)
    for file in leaked:
        place = work.project / work.leaked / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        file.temporary.replace(place)
    if found:
        raise ContaminationError(found)


def _violations(path: str, file: TargetFile, verdicts: Verdicts, work: Work) -> list[str]:
    if path == INDEX:
        from distill.stages.index import check_index  # noqa: PLC0415 -- SQLite only where it is needed

        return check_index(file.temporary, _rows(work, FileRef(RAG, RAG), RagRow))
    with file.temporary.open("rb") as lines:
        return check_rows(path, iter(lines), verdicts)


def _delete_strangers(stage: Stage, work: Work) -> None:
    """Delete files below the stage's own folder that are no target of this build (SPEC 1, "Partitions")."""
    folder = {"collect": EVIDENCE, "score": SCORED}.get(stage.name)
    if folder is None:
        return
    targets = {work.project / path for path in stage.outputs(work.plan)}
    for path in sorted((work.project / folder).rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in targets:
            path.unlink()


def read_outcomes(stage: Stage, work: Work, verdicts: Verdicts) -> Iterator[Outcome]:
    """Yield the outcomes of a stage over its present inputs; the fate of every unit can be looked up so (law 3)."""
    if stage.name == "collect":
        return engine.run_inline(stage.module, _logs(work), work.config)
    if stage.name == "score":
        return engine.run_inline(stage.module, _evidence(work), work.config)
    if stage.name == "index":
        return engine.run_inline(stage.module, _rows(work, stage.inputs(work.plan)[0], RagRow))
    runs = _runs(work, verdicts, texts=stage.name == "export-rag")
    if stage.name == "export-rag":
        playbooks = _rows(work, FileRef(PLAYBOOKS, PLAYBOOKS), Playbook)
        return engine.run_inline(stage.module, runs, playbooks, work.config)
    return engine.run_inline(stage.module, runs, work.config)


def _open(work: Work, ref: FileRef) -> HashedFile:
    return HashedFile(work.project / ref.path, ref.recorded, sha256=work.known_hashes(ref.path) is None, progress=work.progress)


def _finish(work: Work, file: HashedFile, ref: FileRef, records: int) -> None:
    if file.finish():
        work.unchanged[ref.path] = file.before
    elif file.path.stat().st_size > file.hasher.bytes:
        work.grown.append(ref.recorded)
    hasher = file.hasher
    sha256 = hasher.sha256
    if not sha256:
        known = work.known_hashes(ref.path)
        same = known is not None and known[0] == hasher.blake3
        sha256 = known[1] if known is not None and same else hash_file(file.path, sha256=True, length=hasher.bytes).sha256
    work.inputs[ref.recorded] = FileState(path=ref.recorded, blake3=hasher.blake3, sha256=sha256, bytes=hasher.bytes, record_count=records)


def _logs(work: Work) -> Iterator[tuple[RawLog, Iterator[RawLine | BadLine]]]:
    """Yield every raw log; it is finished when its lines are used up."""
    for log in work.plan.logs:
        file = _open(work, log.file)
        met = 0

        def lines(file: HashedFile = file) -> Iterator[RawLine | BadLine]:
            nonlocal met
            for line in read_log(file, max_line_bytes=work.config.max_line_bytes):
                met += 1
                yield line

        yield log, lines()
        _finish(work, file, log.file, met - (log.partition in work.pending))


def _lines(work: Work, ref: FileRef) -> Iterator[bytes]:
    """Yield the lines of one of our own files."""
    file = _open(work, ref)
    records, rest = 0, b""
    while chunk := file.read(_CHUNK):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        records += len(lines)
        yield from lines
    if rest:
        records += 1
        yield rest
    _finish(work, file, ref, records)


def _rows(work: Work, ref: FileRef, kind: type[Any]) -> Iterator[Any]:
    for number, line in enumerate(_lines(work, ref), 1):
        yield decode_document(line, kind, place=f"{ref.path}:{number}")


def _evidence(work: Work) -> Iterator[tuple[str, EvidenceRecord]]:
    if work.plan.decisions:
        for _ in _lines(work, FileRef("reviews/decisions.jsonl", "reviews/decisions.jsonl")):
            pass
    for partition, path in zip(work.plan.partitions, work.plan.evidence, strict=True):
        for record in _rows(work, FileRef(path, path), EvidenceRecord):
            yield partition, record


def _runs(work: Work, verdicts: Verdicts, *, texts: bool) -> Iterator[Run]:
    """Yield every run with its verdict, and let the firewall's verdicts see the same rows."""
    resolution: list[ResolutionRow] = list(_rows(work, FileRef(RESOLUTION, RESOLUTION), ResolutionRow))
    scopes = {source.name: source.scope for source in work.config.sources}
    yield from assemble_runs(_corpus(work, verdicts, texts=texts), resolution, scopes)
    for row in resolution:
        verdicts.add_resolution(row)
    verdicts.settle()


def _corpus(work: Work, verdicts: Verdicts, *, texts: bool) -> Iterator[tuple[EvidenceRecord, ScoredRun]]:
    scopes = {source.name: source.scope for source in work.config.sources}
    for evidence, scored in zip(work.plan.evidence, work.plan.scored, strict=True):
        left = _rows(work, FileRef(evidence, evidence), EvidenceRecord)
        right = _rows(work, FileRef(scored, scored), ScoredRun)
        for record, row in zip_longest(left, right):
            if record is None or row is None:
                raise IntegrityError(f"{scored}: has not as many lines as {evidence}; run doit score")
            if record.id != row.evidence_id:
                raise IntegrityError(f"{scored}: holds {row.evidence_id!r} where {evidence} holds {record.id!r}; run doit score")
            scope = scopes.get(record.source, record.source)
            verdicts.add_scored(record, row, scope)
            if texts:
                verdicts.add_text(record, scope)
            yield record, row
