"""Which files there are: raw logs, their partitions, and what each stage reads and writes, known before anything runs.

Standard library only; a no-op build needs it. Laws: the list depends on paths alone, never on the order in which
the file system names them; no path leaves its root (SPEC 2).
"""

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from distill.config import Config, Source, named_groups
from distill.errors import ConfigError
from distill.formats import reader_of

__all__ = [
    "DECISIONS",
    "EVIDENCE",
    "LATEST",
    "LEDGER",
    "OWN",
    "REPORTS",
    "RESOLUTION",
    "SCORED",
    "TEMPORARY",
    "FileRef",
    "Plan",
    "RawLog",
    "build_plan",
]

EVIDENCE = "data/evidence"
SCORED = "data/scored-runs"
RESOLUTION = "data/scored-runs/resolution.jsonl"
DECISIONS = "reviews/decisions.jsonl"
TEMPORARY = ".distill-tmp"
REPORTS = "reports/distillation"
LEDGER = f"{REPORTS}/ledger.jsonl"
LATEST = f"{REPORTS}/latest"
OWN = ("data", REPORTS, ".distill", *(f"exports/{name}" for name in ("index", "preference", "quarantine", "rag", "sft")))
"""Folders the build alone writes to, and deletes from: no log may lie there."""


class FileRef(NamedTuple):
    """A file as doit and the disk know it, and as receipts record it."""

    path: str
    """Relative to the project, or absolute where its root is."""
    recorded: str
    """Path in receipts."""


class RawLog(NamedTuple):
    """One raw file of a source: one partition, or one of those in the folder that is its partition."""

    file: FileRef
    """Where it lies."""
    source: Source
    """Whose it is."""
    groups: tuple[tuple[str, str | None], ...]
    """Named groups of the file pattern, in its order."""
    partition: str
    """Path of its evidence and scored runs below their folders."""


class Plan(NamedTuple):
    """Every file of the build."""

    logs: tuple[RawLog, ...]
    """Sorted by partition, within one by their recorded paths."""
    decisions: bool
    """Whether reviews/decisions.jsonl is there."""
    partitions: tuple[str, ...] = ()
    """Partitions in the order of their path bytes."""
    sides: tuple[FileRef, ...] = ()
    """Files that lookups and verdicts are taken from, sorted by their recorded paths."""

    @property
    def evidence(self) -> tuple[str, ...]:
        """Evidence files, in the order of the partitions."""
        return tuple(f"{EVIDENCE}/{partition}" for partition in self.partitions)

    @property
    def scored(self) -> tuple[str, ...]:
        """Scored-run files, in the order of the partitions."""
        return tuple(f"{SCORED}/{partition}" for partition in self.partitions)


def build_plan(project: Path, config: Config) -> Plan:
    """Look up the raw logs of every source, and the files its lookups and verdicts name.

    Raises:
        ConfigError: a source matches no file, a file leaves its root, is not there, belongs to two sources or lies where
            the build writes, two partitions collide; all problems at once.
    """
    problems: list[str] = []
    real: dict[str, str] = {}
    logs = [log for source in config.sources for log in _find_logs(project, source, problems, real)]
    sides = {ref.recorded: ref for source in config.sources for ref in _find_sides(project, source, problems)}
    places = {path: log.file for path, log in _check_partitions(logs, real, problems).items()}
    places |= {os.path.realpath(project / ref.path): ref for ref in sides.values()}
    _check_places(project, places, problems)
    twice = [log.file.recorded for log in logs if log.file.recorded in sides]
    problems += [f"{name}: is a log and a lookup or verdict file of one source; narrow its glob" for name in twice]
    if problems:
        raise ConfigError(problems)
    ordered = sorted(logs, key=lambda log: (log.partition.encode(), log.file.recorded.encode()))
    beside = sorted(sides.values(), key=lambda ref: ref.recorded.encode())
    partitions = tuple(dict.fromkeys(log.partition for log in ordered))
    return Plan(tuple(ordered), (project / DECISIONS).is_file(), partitions, tuple(beside))


def _find_sides(project: Path, source: Source, problems: list[str]) -> Iterator[FileRef]:
    """Yield the files that a source's lookups and verdicts name."""
    resolved = os.path.realpath(project / source.root)
    for name in sorted({lookup.path for lookup in source.lookups} | {verdict.path for verdict in source.verdicts}):
        below = os.path.normpath(name).replace(os.sep, "/")
        path = os.path.normpath(os.path.join(source.root, below))  # noqa: PTH118 -- as for logs
        actual = os.path.realpath(project / path)
        if not actual.startswith(resolved + os.sep):
            problems.append(
                f"source {source.name!r}: {name!r}, which a lookup or verdict names, leaves the root {source.root!r}; "
                "copy it below the root, or move the root"
            )
        elif not os.path.isfile(actual):  # noqa: PTH113 -- likewise
            problems.append(f"source {source.name!r}: there is no file {name!r} below {source.root!r}, which a lookup or verdict names")
        else:
            yield FileRef(path, f"{source.name}/{below}")


def _find_logs(project: Path, source: Source, problems: list[str], real: dict[str, str]) -> list[RawLog]:
    """Return the logs of a source; where each lies when links are followed goes to `real`."""
    root = project / source.root
    resolved = os.path.realpath(root)
    pattern = re.compile(source.file_pattern) if source.file_pattern else None
    found: list[RawLog] = []
    by_folder = reader_of(source).by_folder
    before = len(problems)
    for below in sorted(set(glob.glob(source.glob, root_dir=root, recursive=True))):  # noqa: PTH207 -- finds what is hidden or not as a shell does
        actual = os.path.join(root, below)  # noqa: PTH118 -- asked for every file, on every no-op
        if not os.path.isfile(actual):  # noqa: PTH113 -- likewise
            continue
        name = os.path.normpath(below).replace(os.sep, "/")
        recorded = f"{source.name}/{name}"
        followed = os.path.realpath(actual)
        if not followed.startswith(resolved + os.sep):
            problems.append(
                f"{recorded}: resolves outside the root {source.root!r} of its source; copy it below the root, or move the root"
            )
            continue
        try:
            name.encode()
        except UnicodeEncodeError:
            problems.append(f"{recorded!r}: the name is no UTF-8; rename the file")
            continue
        match = pattern.search(name) if pattern else None
        if pattern and match is None:
            problems.append(f"{recorded}: file_pattern {source.file_pattern!r} does not match; narrow the glob or widen the pattern")
            continue
        groups = tuple((group, match[group]) for group in named_groups(source.file_pattern)) if match else ()
        path = os.path.normpath(os.path.join(source.root, below))  # noqa: PTH118 -- likewise
        real[recorded] = followed
        found.append(RawLog(FileRef(path, recorded), source, groups, _partition(source, name, by_folder=by_folder)))
    if not found and len(problems) == before and not source.optional:
        problems.append(
            f"source {source.name!r}: no file matches {source.glob!r} below {source.root!r}; correct it, or set optional = true"
        )
    return found


def _partition(source: Source, below: str, *, by_folder: bool) -> str:
    """Return the partition of a file: itself, or its folder where a file is one record; the root's own stands for the source."""
    if by_folder:
        below = below.rpartition("/")[0]
        if not below:
            return f"{source.prefix or source.name}.jsonl"
    name = below if below.endswith(".jsonl") else below + ".jsonl"
    return f"{source.prefix}/{name}".strip("/")


def _check_partitions(logs: list[RawLog], followed: dict[str, str], problems: list[str]) -> dict[str, RawLog]:
    """Return the logs by their real paths; note what two of them share."""
    by_file: dict[str, RawLog] = {}
    by_partition: dict[str, RawLog] = {}
    for log in logs:
        real = followed[log.file.recorded]
        if real in by_file:
            problems.append(f"{log.file.recorded}: the same file is also {by_file[real].file.recorded}; one source may match it")
            continue
        by_file[real] = log
        other = by_partition.setdefault(log.partition, log)
        if other is not log and not (other.source is log.source and reader_of(log.source).by_folder):
            problems.append(
                f"partition {log.partition!r}: both {other.file.recorded} and {log.file.recorded}; set another partition_prefix"
            )
        if log.partition.split("/")[0] == "resolution.jsonl":
            problems.append(f"{log.file.recorded}: its partition would be resolution.jsonl, which is reserved; set a partition_prefix")
    for name in by_partition:
        parent = name.rpartition("/")[0]
        while parent:
            if parent in by_partition:
                problems.append(f"partition {name!r}: {parent!r} is a partition too and cannot also be a folder")
            parent = parent.rpartition("/")[0]
    return by_file


def _check_places(project: Path, files: dict[str, FileRef], problems: list[str]) -> None:
    """Note files where the build writes: it would read its own output, and `doit clean` would delete what it cannot make again."""
    own = [(name, os.path.realpath(project / name) + os.sep) for name in OWN]
    met: dict[tuple[str, str], list[str]] = {}
    for real, file in files.items():
        for name, folder in own:
            if file.path.startswith(name + os.sep) or real.startswith(folder):
                met.setdefault((file.recorded.split("/")[0], name), []).append(file.recorded)
    for (_, name), found in met.items():
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        problems.append(f"{found[0]}{more}: below {name}/, where the build writes and deletes; keep logs elsewhere, or narrow the glob")
