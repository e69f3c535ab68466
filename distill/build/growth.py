"""What a log gained since the prior run, read from its rows where counts cannot tell (SPEC 6, "Shares").

Late reviews judge old rows anew on the day on which new rows come; then the difference of two counts mixes both. Rows are read
only where a log grew, kept its first bytes, and old verdicts may be others: everywhere else the counts of the receipts do.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice

from distill.baseline import UNREADABLE, Counts
from distill.build.decision import Project
from distill.canonical import load_plain
from distill.hashing import hash_file
from distill.plan import RESOLUTION, SCORED, RawLog
from distill.schemas.stage_receipt import FileSet, FileState, StageReceipt

__all__ = ["read_gains"]

Receipts = Mapping[str, StageReceipt]


def read_gains(project: Project, receipts: Receipts, prior: Receipts) -> dict[str, dict[str, Counts]]:
    """Return partition to question to the counts of the rows it gained; a partition of which the receipts tell is not named.

    Raises:
        OSError: scored runs or the resolution cannot be read.
    """
    if not _may_differ(receipts, prior, sides={side.recorded for side in project.plan.sides}):
        return {}
    collect, before = receipts["collect"].stats.by_file, prior["collect"].stats.by_file
    gained: dict[str, dict[str, Counts]] = {}
    fates: dict[str, list[tuple[str, str, str]]] = {}
    for log in _grown(project, receipts["collect"], prior["collect"]):
        name = log.partition
        met, old = collect.get(name, {}), before.get(name, {})
        lines = {key: max(0, met.get(kind, 0) - old.get(kind, 0)) for key, kind in (("read", "accepted"), ("unreadable", "skipped"))}
        gained[name] = {UNREADABLE: Counter(lines)}
        fates[name] = list(_scored(project, name, old.get("accepted", 0)))
    resolved = _resolved(project, {row for rows in fates.values() for row, _, _ in rows})
    for name, rows in fates.items():
        judged = [resolved.get(row, (category, reason)) for row, category, reason in rows]
        gained[name]["categories"] = Counter(category for category, _ in judged)
        gained[name]["reasons"] = Counter(reason for _, reason in judged)
    return gained


def _may_differ(receipts: Receipts, prior: Receipts, *, sides: set[str]) -> bool:
    """Tell whether the same records were read in both runs and old ones may be judged otherwise now; verdicts may come in `sides`."""
    both = [found.get(stage) for found in (receipts, prior) for stage in ("collect", "score")]
    if any(receipt is None or receipt.outputs.hash is None for receipt in both):
        return False
    read, read_before = receipts["collect"], prior["collect"]
    if any(getattr(read, name) != getattr(read_before, name) for name in ("code_hash", "config_hash", "tool_versions")):
        return False
    judged, judged_before = receipts["score"], prior["score"]
    rules = any(getattr(judged, name) != getattr(judged_before, name) for name in ("code_hash", "config_hash"))
    joined = _hashes(read.inputs, sides) != _hashes(read_before.inputs, sides)
    return rules or joined or _hashes(judged.outputs, {RESOLUTION}) != _hashes(judged_before.outputs, {RESOLUTION})


def _hashes(files: FileSet, paths: set[str]) -> dict[str, str]:
    return {file.path: file.blake3 for file in files.files if file.path in paths}


def _grown(project: Project, collect: StageReceipt, prior: StageReceipt) -> Iterator[RawLog]:
    """Yield the logs whose first bytes are all that the prior run read of them."""
    logs = project.plan.logs
    alone = Counter(log.partition for log in logs)
    before, present = ({file.path: file for file in receipt.inputs.files} for receipt in (prior, collect))
    for log in logs:
        old, new = before.get(log.file.recorded), present.get(log.file.recorded)
        if old is not None and new is not None and alone[log.partition] == 1 and _only_grew(project, log, old, new):
            yield log


def _only_grew(project: Project, log: RawLog, old: FileState, new: FileState) -> bool:
    try:
        return new.bytes > old.bytes and hash_file(project.folder / log.file.path, length=old.bytes).blake3 == old.blake3
    except OSError:  # gone since collect read it; the counts must do
        return False


def _scored(project: Project, partition: str, first: int) -> Iterator[tuple[str, str, str]]:
    """Yield evidence id, category and deciding reason of the scored runs from a line on."""
    with (project.folder / SCORED / partition).open("rb") as lines:
        for line in islice(lines, first, None):
            row = load_plain(line)
            yield row["evidence_id"], row["category"], row["reasons"][0]


def _resolved(project: Project, wanted: set[str]) -> dict[str, tuple[str, str]]:
    """Return what the resolution says instead of some rows."""
    with (project.folder / RESOLUTION).open("rb") as lines:
        rows = (load_plain(line) for line in lines)
        return {
            row["evidence_id"]: (row["category"], row["reasons"][0]) for row in rows if row["category"] and row["evidence_id"] in wanted
        }
