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
from distill.units.exceptions import Exceptions, index_exceptions

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
    exceptions = _exceptions(project, receipts["score"])
    for log in _grown(project, receipts["collect"], prior["collect"]):
        name = log.partition
        met, old = collect.get(name, {}), before.get(name, {})
        lines = {key: max(0, met.get(kind, 0) - old.get(kind, 0)) for key, kind in (("read", "accepted"), ("unreadable", "skipped"))}
        fates = Counter(_fates(project, name, old.get("accepted", 0), exceptions))
        gained[name] = {UNREADABLE: Counter(lines), "categories": Counter(), "reasons": Counter()}
        for (category, reason), times in fates.items():
            gained[name]["categories"][category] += times
            gained[name]["reasons"][reason] += times
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


def _exceptions(project: Project, score: StageReceipt) -> Exceptions | None:
    """Return the resolution as it is looked up, or None where it is empty."""
    state = next(file for file in score.outputs.files if file.path == RESOLUTION)
    if not state.record_count:
        return None
    index_exceptions(project.folder, state.blake3)
    return Exceptions(project.folder, state.blake3)


def _fates(project: Project, partition: str, first: int, exceptions: Exceptions | None) -> Iterator[tuple[str, str]]:
    """Yield category and deciding reason of the scored runs from a line on, after the resolution."""
    with (project.folder / SCORED / partition).open("rb") as lines:
        for line in islice(lines, first, None):
            row = load_plain(line)
            resolved = exceptions.verdict_on(row["evidence_id"]) if exceptions is not None else None
            yield resolved or (row["category"], row["reasons"][0])
