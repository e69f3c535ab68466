"""Runs one stage: read, call, count, write, re-read through the firewall, put in place, and say so in a receipt.

The runner owns the counting, so a receipt cannot disagree with what the stage did. When a stage runs at all, and
what becomes of the receipt, is in `distill.build`. Laws: every file is hashed as it passes; targets appear together
after the firewall, each by one rename; an exception leaves the old targets as they were.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec

from distill.config import Config
from distill.errors import ContaminationError, DamagedPartError, IntegrityError
from distill.files import HashedFile, keeper_of, read_log
from distill.firewall import ROW_TYPES, Verdicts, check_rows
from distill.formats import limits_of, reader_of
from distill.hashing import aggregate_hash, hash_file
from distill.jsonl import BadLine, RawLine, decode_document
from distill.outcome import Outcome
from distill.plan import EVIDENCE, RESOLUTION, SCORED, FileRef, Plan, RawLog
from distill.readers import Limits
from distill.runs import Run, assemble_runs
from distill.schemas.evidence import EvidenceRecord
from distill.schemas.export_rows import Playbook
from distill.schemas.scored_run import ResolutionRow, ScoredRun
from distill.schemas.stage_receipt import FileSet, FileState, Stats, Validation
from distill.stages import INDEX, PLAYBOOKS, Stage
from distill.targets import TargetFile, sync_files
from distill.units.outputs import Outputs
from distill.units.sides import Prepared, prepare_sides
from distill.units.space import check_space
from distill.units.verdicts import ask_plain
from distill.units.workshop import Workshop
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
    identity: str = ""
    """Code, settings and tools of the stage; parts of another identity are not taken over."""
    always: bool = False
    """Whether nothing is taken over."""
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
    kept: set[str] = field(default_factory=set)
    """Targets that stayed as they were."""
    unchanged: dict[str, os.stat_result] = field(default_factory=dict)
    """State of the files that were the same before and after reading, by path."""
    rows_hash: str = ""
    """Hash over the rows of an index, which is the same for every version of SQLite."""
    published: dict[str, os.stat_result] = field(default_factory=dict)
    """State of the targets of which the clock can tell that nobody else wrote to them, by path."""


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
        WorkerError: a worker died again and again on one unit.
    """
    try:
        return _attempt(stage, work)
    except DamagedPartError:
        for told in (work.inputs, work.pending, work.grown, work.kept, work.unchanged):
            told.clear()
        return _attempt(stage, work)


def _attempt(stage: Stage, work: Work) -> Finished:
    """Run one stage, with what it can take over."""
    shop = Workshop(stage, work)
    try:
        done = _run(stage, work, shop)
    except (ContaminationError, DamagedPartError):
        shop.close(good=False)
        shop.drop()  # what made the leak, or was damaged, is not taken over
        raise
    except BaseException:
        shop.close(good=False)
        raise
    shop.close(good=True)
    return done


def _run(stage: Stage, work: Work, shop: Workshop) -> Finished:
    check_space(stage, work)
    outputs = Outputs(work.project, stage.outputs(work.plan), shop=shop)
    books = shop.books
    try:
        check = import_module(stage.units).run_units(shop, outputs)
        shop.check_inputs()
        outputs.close()
        _check_units(stage, outputs, check, work)
        written = outputs.states()
        sync_files(work.project, [file.temporary for file in outputs.files.values()])
        work.kept |= outputs.kept.keys()
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
    stats = books.close(stage.unit)
    validation = validate_stage(stage, work.config, stats, books=books, written=written)
    return Finished(inputs=file_set(list(work.inputs.values())), outputs=file_set(written), stats=stats, validation=validation)


def _check_units(stage: Stage, outputs: Outputs, check: Callable[[], list[str]] | None, work: Work) -> None:
    """Let the fast reading speak; where it found something, the reference reads the whole and says what."""
    found = check() if check is not None else []
    if not found:
        return
    if INDEX in outputs.files:
        _keep_leaked([outputs.files[INDEX]], work)
        raise ContaminationError(found)
    outputs.states()
    verdicts = Verdicts(include=work.config.sft.include)
    for _ in _runs(Work(work.project, work.plan, work.config), verdicts, texts=stage.name == "export-rag"):
        pass
    _check_outputs(outputs, verdicts, work)
    if stage.name != "export-rag":  # there the reference knows what is harmless, elsewhere both know the same
        raise ContaminationError(found)


def _check_outputs(outputs: Outputs, verdicts: Verdicts, work: Work) -> None:
    """Read the exports back from disk through the firewall; leaked files are kept aside."""
    found: list[str] = []
    leaked: list[TargetFile] = []
    for path, file in outputs.files.items():
        if path not in ROW_TYPES:
            continue
        with file.temporary.open("rb") as lines:
            violations = check_rows(path, iter(lines), verdicts)
        if hash_file(file.temporary).blake3 != file.hasher.blake3:
            raise IntegrityError(f"{path}: the bytes on the disk are not those that were written; check the disk")
        if violations:
            found += violations
            leaked.append(file)
    _keep_leaked(leaked, work)
    if found:
        raise ContaminationError(found)


def _keep_leaked(leaked: list[TargetFile], work: Work) -> None:
    for file in leaked:
        place = work.project / work.leaked / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        file.temporary.replace(place)


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
    run: Callable[..., Iterator[Outcome]] = import_module(stage.module).run
    if stage.name == "collect":
        return _collect(work, run)
    if stage.name == "score":
        return run(_evidence(work), work.config)
    if stage.name == "index":
        from distill.stages.index import Document  # noqa: PLC0415 -- SQLite only where it is needed

        return run(_rows(work, stage.inputs(work.plan)[0], Document))
    runs = _runs(work, verdicts, texts=stage.name == "export-rag")
    if stage.name == "export-rag":
        playbooks = _rows(work, FileRef(PLAYBOOKS, PLAYBOOKS), Playbook)
        return run(runs, playbooks, work.config)
    return run(runs, work.config)


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


def _sides(work: Work, run: Callable[..., Iterator[Outcome]]) -> Prepared:
    """Read the second files of all sources and make them ready."""
    for ref in work.plan.sides:
        _finish(work, _open(work, ref), ref, 0)
    prepared = prepare_sides(work.project, work.config, {ref.recorded: work.inputs[ref.recorded].blake3 for ref in work.plan.sides})
    for recorded, records in prepared.records:
        work.inputs[recorded] = msgspec.structs.replace(work.inputs[recorded], record_count=records)
    return ask_plain(lambda find: run(_logs(work), work.config, find, partial(_keep, work)), work.config, prepared)


def _collect(work: Work, run: Callable[..., Iterator[Outcome]]) -> Iterator[Outcome]:
    prepared = _sides(work, run)
    yield from (Outcome("accepted", None, warning=text) for text in prepared.warnings)
    yield from run(_logs(work), work.config, prepared.of, partial(_keep, work))


def _keep(work: Work, log: RawLog) -> Any:
    return keeper_of(work.project / log.file.path, reader_of(log.source))


def _logs(work: Work) -> Iterator[tuple[RawLog, Iterator[RawLine | BadLine]]]:
    """Yield every raw log; it is finished when its lines are used up."""
    for log in work.plan.logs:
        file = _open(work, log.file)
        met = 0

        limits = limits_of(log.source, max_line_bytes=work.config.max_line_bytes)

        def lines(file: HashedFile = file, log: RawLog = log, limits: Limits = limits) -> Iterator[RawLine | BadLine]:
            nonlocal met
            for line in read_log(file, reader_of(log.source), limits):
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
