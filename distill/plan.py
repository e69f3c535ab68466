"""Which files there are: raw logs, their partitions, and what each stage reads and writes, known before anything runs.

Standard library only; a no-op build needs it. Laws: the list depends on paths alone, never on the order in which
the file system names them; no path leaves its root (SPEC 2).
"""

import glob
import os
import re
from pathlib import Path
from typing import NamedTuple

from distill.config import Config, Source, named_groups
from distill.errors import ConfigError

__all__ = ["DECISIONS", "EVIDENCE", "REPORTS", "RESOLUTION", "SCORED", "TEMPORARY", "FileRef", "Plan", "RawLog", "build_plan"]

EVIDENCE = "data/evidence"
SCORED = "data/scored-runs"
RESOLUTION = "data/scored-runs/resolution.jsonl"
DECISIONS = "reviews/decisions.jsonl"
TEMPORARY = ".distill-tmp"
REPORTS = "reports/distillation"


class FileRef(NamedTuple):
    """A file as doit and the disk know it, and as receipts record it."""

    path: str
    """Relative to the project, or absolute where its root is."""
    recorded: str
    """Path in receipts."""


class RawLog(NamedTuple):
    """One raw file of a source: one partition."""

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
    """Sorted by partition."""
    decisions: bool
    """Whether reviews/decisions.jsonl is there."""

    @property
    def partitions(self) -> tuple[str, ...]:
        """Partitions in the order of their path bytes."""
        return tuple(log.partition for log in self.logs)

    @property
    def evidence(self) -> tuple[str, ...]:
        """Evidence files, in the order of the partitions."""
        return tuple(f"{EVIDENCE}/{log.partition}" for log in self.logs)

    @property
    def scored(self) -> tuple[str, ...]:
        """Scored-run files, in the order of the partitions."""
        return tuple(f"{SCORED}/{log.partition}" for log in self.logs)


def build_plan(project: Path, config: Config) -> Plan:
    """Look up the raw logs of every source.

    Raises:
        ConfigError: a source matches no file, a file leaves its root or belongs to two sources, two partitions
            collide; all problems at once.
    """
    problems: list[str] = []
    logs = [log for source in config.sources for log in _find_logs(project, source, problems)]
    _check_partitions(project, logs, problems)
    if problems:
        raise ConfigError(problems)
    ordered = sorted(logs, key=lambda log: log.partition.encode())
    return Plan(tuple(ordered), (project / DECISIONS).is_file())


def _find_logs(project: Path, source: Source, problems: list[str]) -> list[RawLog]:
    root = project / source.root
    resolved = os.path.realpath(root)
    pattern = re.compile(source.file_pattern) if source.file_pattern else None
    found: list[RawLog] = []
    before = len(problems)
    for below in sorted(set(glob.glob(source.glob, root_dir=root, recursive=True))):  # noqa: PTH207 -- finds what is hidden or not as a shell does
        actual = os.path.join(root, below)  # noqa: PTH118 -- asked for every file, on every no-op
        if not os.path.isfile(actual):  # noqa: PTH113 -- likewise
            continue
        name = os.path.normpath(below).replace(os.sep, "/")
        recorded = f"{source.name}/{name}"
        if not os.path.realpath(actual).startswith(resolved + os.sep):
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
        found.append(RawLog(FileRef(path, recorded), source, groups, _partition(source, name)))
    if not found and len(problems) == before and not source.optional:
        problems.append(
            f"source {source.name!r}: no file matches {source.glob!r} below {source.root!r}; correct it, or set optional = true"
        )
    return found


def _partition(source: Source, below: str) -> str:
    name = below if below.endswith(".jsonl") else below + ".jsonl"
    return f"{source.prefix}/{name}".strip("/")


def _check_partitions(project: Path, logs: list[RawLog], problems: list[str]) -> None:
    by_file: dict[str, RawLog] = {}
    by_partition: dict[str, RawLog] = {}
    for log in logs:
        real = os.path.realpath(project / log.file.path)
        if real in by_file:
            problems.append(f"{log.file.recorded}: the same file is also {by_file[real].file.recorded}; one source may match it")
            continue
        by_file[real] = log
        other = by_partition.setdefault(log.partition, log)
        if other is not log:
            problems.append(
                f"partition {log.partition!r}: both {other.file.recorded} and {log.file.recorded}; set another partition_prefix"
            )
        if log.partition.split("/")[0] == "resolution.jsonl":
            problems.append(f"{log.file.recorded}: its partition would be resolution.jsonl, which is reserved; set a partition_prefix")
    for name in by_partition:
        parents = (parent.as_posix() for parent in Path(name).parents)
        problems += [
            f"partition {name!r}: {parent!r} is a partition too and cannot also be a folder" for parent in parents if parent in by_partition
        ]
