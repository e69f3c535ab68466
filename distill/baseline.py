"""What is new since the prior run, and what it is compared with, as counts by partition and source (SPEC 6).

What is asked of the counts, and when the answer is an alarm, is in `distill.shares`.

Laws:
1. Only records that are new or changed are on the one side; a total would hide a bad day behind the days before it.
2. A file that only grew is new by its difference; one that changed otherwise is new as a whole, and what it was stays in the pool.
3. Every file counts once in a baseline, however many runs read it and whatever its name.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from distill.schemas.scored_run import CATEGORIES
from distill.schemas.stage_receipt import StageReceipt

__all__ = ["QUESTIONS", "UNREADABLE", "Corpus", "Counts", "FileCounts", "Sample", "Sides", "pool_corpora", "read_corpus", "split_corpus"]

UNREADABLE = "unreadable records"
QUESTIONS = (UNREADABLE, "categories", "reasons")
"""What is asked about."""
_OUTCOMES = frozenset({"accepted", "rejected", "quarantined", "skipped", "filtered"})
_EVIDENCE = "data/evidence/"
Counts = Counter[str]


class FileCounts(NamedTuple):
    """What one partition held in one run."""

    hash: str
    """blake3 of its raw log, which a new name and other verdicts leave as it is; of its evidence where it is made of several."""
    source: str
    """Source it belongs to."""
    answers: dict[str, Counts]
    """Question to the counts of its answers."""


class Corpus(NamedTuple):
    """What one run read, by partition."""

    run_id: str
    """The run."""
    files: dict[str, FileCounts]
    """Partition to its counts."""
    gained: Mapping[str, Mapping[str, Counts]] = {}
    """Partition to what its log gained since the prior run, where the log only grew and its rows were read to tell."""


def read_corpus(run_id: str, receipts: Mapping[str, StageReceipt], sources: Mapping[str, str]) -> Corpus:
    """Return the counts of a run from the receipts of collect and score; `sources` says whose a partition is.

    Where one of them is missing or did not finish there are none.
    """
    collect, score = receipts.get("collect"), receipts.get("score")
    if collect is None or score is None or score.outputs.hash is None:
        return Corpus(run_id, {})
    hashes = {file.path.removeprefix(_EVIDENCE): file.blake3 for file in collect.outputs.files if file.path.startswith(_EVIDENCE)}
    logs = _logs_by_name(collect)
    files: dict[str, FileCounts] = {}
    for partition, digest in hashes.items():
        source, raw = _log_of(partition, logs, sources.get(partition))
        met = collect.stats.by_file.get(partition, {})
        judged = score.stats.by_file.get(partition, {})
        answers: dict[str, Counts] = {
            UNREADABLE: Counter({"read": met.get("accepted", 0), "unreadable": met.get("skipped", 0)}),
            "categories": Counter({name: judged.get(name, 0) for name in CATEGORIES}),
            "reasons": Counter({name: n for name, n in judged.items() if name not in _OUTCOMES and name not in CATEGORIES}),
        }
        files[partition] = FileCounts(raw or digest, source, answers)
    return Corpus(run_id, files)


def _logs_by_name(collect: StageReceipt) -> dict[str, dict[str, list[str]]]:
    """Return source and hashes of the raw logs by the last part of the partition they may be in: their own name, or their folder's."""
    found: dict[str, dict[str, list[str]]] = {}
    for file in collect.inputs.files:
        source, _, below = file.path.partition("/")
        own, folder = below.removesuffix(".jsonl"), below.rpartition("/")[0]
        for name in {own, folder} - {""}:
            found.setdefault(f"{name}.jsonl", {}).setdefault(source, []).append(file.blake3 if name == own else "")
    return found


def _log_of(partition: str, logs: Mapping[str, Mapping[str, Sequence[str]]], known: str | None) -> tuple[str, str | None]:
    """Return the source of a partition, and the hash of its raw log where it is one; a prefix may stand before the log's name."""
    parts = partition.split("/")
    for cut in range(len(parts)):
        found = logs.get("/".join(parts[cut:]), {})
        likely = (known,) if known else ("/".join(parts[:cut]), *(found if len(found) == 1 else ()))
        source = next((name for name in likely if name in found), None)
        if source is not None:
            return source, (found[source][0] or None) if len(found[source]) == 1 else None
    return known or parts[0], None


class Sample(NamedTuple):
    """One side of a question, by source."""

    by_source: dict[str, dict[str, Counts]]
    """Source to question to the counts of its answers."""

    @property
    def sources(self) -> list[str]:
        """The sources of which it has records."""
        return sorted(source for source, answers in self.by_source.items() if any(map(Counter.total, answers.values())))

    def counts(self, sources: Collection[str], question: str) -> Counts:
        """Return the counts of some sources together."""
        return sum((self.by_source[source][question] for source in sources if source in self.by_source), Counter())


def _sample(parts: Iterable[tuple[str, Mapping[str, Counts]]]) -> Sample:
    by_source: dict[str, dict[str, Counts]] = {}
    for source, answers in parts:
        present = by_source.setdefault(source, {question: Counter() for question in QUESTIONS})
        for question, counts in answers.items():
            present[question].update(counts)
    return Sample(by_source)


class Sides(NamedTuple):
    """What there is to compare inside this run and the prior one."""

    new: Sample
    """New or changed since the prior run."""
    rest: Sample
    """The others of this run."""
    now: Sample
    """Records that are the same and were judged otherwise: their verdicts now."""
    before: Sample
    """The verdicts on the same records in the prior run."""


def split_corpus(now: Corpus, prior: Corpus) -> Sides:
    """Return what is new or changed since the prior run, the rest, and what was judged otherwise (laws 1, 2 and 5)."""
    new: list[tuple[str, Mapping[str, Counts]]] = []
    rest: list[tuple[str, Mapping[str, Counts]]] = []
    otherwise: list[tuple[str, Mapping[str, Counts], Mapping[str, Counts]]] = []
    elsewhere = {file.hash: file for file in prior.files.values()}
    for partition, file in now.files.items():
        before = prior.files.get(partition)
        if before is None or before.hash != file.hash:
            before = elsewhere.get(file.hash, before)
        if before is None:
            new.append((file.source, file.answers))
        elif before.hash == file.hash:
            broken = file.answers[UNREADABLE] - before.answers[UNREADABLE]  # lines that left no evidence
            new.append((file.source, {UNREADABLE: broken}))
            rest.append((file.source, {**file.answers, UNREADABLE: file.answers[UNREADABLE] - broken}))
            otherwise.append((file.source, _judged(file.answers), _judged(before.answers)))
        elif partition in now.gained:
            new.append((file.source, now.gained[partition]))
            old = _without(file, now.gained[partition])
            rest.append((file.source, old))
            otherwise.append((file.source, _judged(old), _judged(before.answers)))
        else:
            grown = _difference(file, before)
            new.append((file.source, file.answers if grown is None else grown))
            if grown is not None:
                rest.append((file.source, before.answers))
    otherwise = [found for found in otherwise if found[1] != found[2]]
    again, was = [(source, judged) for source, judged, _ in otherwise], [(source, judged) for source, _, judged in otherwise]
    return Sides(_sample(new), _sample(rest), _sample(again), _sample(was))


def _without(file: FileCounts, gained: Mapping[str, Counts]) -> dict[str, Counts]:
    """Return what a file held before it gained, by the present verdicts."""
    return {question: file.answers[question] - gained[question] for question in QUESTIONS}


def _judged(answers: Mapping[str, Counts]) -> dict[str, Counts]:
    """Return what was said of the records that could be read."""
    return {question: +answers[question] for question in QUESTIONS if question != UNREADABLE}


def _difference(file: FileCounts, before: FileCounts) -> dict[str, Counts] | None:
    """Return what a file gained, or None where it lost something, so that it did not only grow."""
    gained: dict[str, Counts] = {}
    for question in QUESTIONS:
        counts = Counter(file.answers[question])
        counts.subtract(before.answers[question])
        if any(count < 0 for count in counts.values()):
            return None
        gained[question] = counts
    return gained


def pool_corpora(now: Corpus, prior: Corpus, good: Sequence[Corpus]) -> Sample:
    """Return the last good runs with each file once, in its newest version, by the present verdicts where they are known (law 3).

    Of a file that changed since, what it was stays in the pool.
    """
    newest: dict[str, FileCounts] = {}
    for corpus in reversed(good):
        newest.update(corpus.files)
    present = {file.hash: file.answers for file in now.files.values()}
    present |= {prior.files[name].hash: _without(now.files[name], gain) for name, gain in now.gained.items()}
    kept = {file.hash: file for file in newest.values()}  # a file that has another name by now is one file
    parts = [(file.source, {**file.answers, **_judged(present.get(file.hash, file.answers))}) for file in kept.values()]
    return _sample(parts)
