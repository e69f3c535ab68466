"""Whether the shares of categories and reasons moved: what is new since the baseline against the rest (SPEC 6).

Laws:
1. Only records that are new or changed are asked about; a total would hide a bad day behind the days before it.
2. A file that only grew is new by its difference; one that changed otherwise is new as a whole and no longer a baseline.
3. Every file counts once in a baseline, however many runs read it.
4. An alarm needs both significance, corrected for the number of questions asked in the run, and a move that matters.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from distill.config import Drift
from distill.schemas.drift_report import DriftTest, Severity
from distill.schemas.scored_run import CATEGORIES
from distill.schemas.stage_receipt import StageReceipt
from distill.statistics import g_test, normal_tail, proportion_z

__all__ = ["Corpus", "Moved", "ask_shares", "read_corpus"]

_OUTCOMES = frozenset({"accepted", "rejected", "quarantined", "skipped", "filtered"})
_QUESTIONS = ("unreadable records", "categories", "reasons")
_EVIDENCE = "data/evidence/"
Counts = Counter[str]


class FileCounts(NamedTuple):
    """What one partition held in one run."""

    hash: str
    """blake3 of its evidence."""
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


class Moved(NamedTuple):
    """The answer to one question: its figures, and in words what moved where."""

    test: DriftTest
    """For the report, alarm or not."""
    sentence: str | None
    """One sentence for a person where it is an alarm."""


def read_corpus(run_id: str, receipts: Mapping[str, StageReceipt], sources: Mapping[str, str]) -> Corpus:
    """Return the counts of a run from the receipts of collect and score; `sources` says whose a partition is.

    Where one of them is missing or did not finish there are none.
    """
    collect, score = receipts.get("collect"), receipts.get("score")
    if collect is None or score is None or score.outputs.hash is None:
        return Corpus(run_id, {})
    hashes = {file.path.removeprefix(_EVIDENCE): file.blake3 for file in collect.outputs.files if file.path.startswith(_EVIDENCE)}
    files: dict[str, FileCounts] = {}
    for partition, digest in hashes.items():
        met = collect.stats.by_file.get(partition, {})
        judged = score.stats.by_file.get(partition, {})
        answers: dict[str, Counts] = {
            "unreadable records": Counter({"read": met.get("accepted", 0), "unreadable": met.get("skipped", 0)}),
            "categories": Counter({name: judged.get(name, 0) for name in CATEGORIES}),
            "reasons": Counter({name: n for name, n in judged.items() if name not in _OUTCOMES and name not in CATEGORIES}),
        }
        files[partition] = FileCounts(digest, sources.get(partition, partition.split("/")[0]), answers)
    return Corpus(run_id, files)


class _Sample(NamedTuple):
    """One side of a question, by source."""

    by_source: dict[str, dict[str, Counts]]

    @property
    def sources(self) -> list[str]:
        """The sources of which it has records."""
        return sorted(source for source, answers in self.by_source.items() if any(map(Counter.total, answers.values())))

    def counts(self, sources: Collection[str], question: str) -> Counts:
        """Return the counts of some sources together."""
        return sum((self.by_source[source][question] for source in sources if source in self.by_source), Counter())


def _sample(parts: Iterable[tuple[str, Mapping[str, Counts]]]) -> _Sample:
    by_source: dict[str, dict[str, Counts]] = {}
    for source, answers in parts:
        present = by_source.setdefault(source, {question: Counter() for question in _QUESTIONS})
        for question, counts in answers.items():
            present[question].update(counts)
    return _Sample(by_source)


def _split(now: Corpus, prior: Corpus) -> tuple[_Sample, _Sample]:
    """Return what is new or changed since the prior run, and the rest (laws 1 and 2)."""
    new: list[tuple[str, Mapping[str, Counts]]] = []
    rest: list[tuple[str, Mapping[str, Counts]]] = []
    for partition, file in now.files.items():
        before = prior.files.get(partition)
        if before is None:
            new.append((file.source, file.answers))
        elif before.hash == file.hash:
            rest.append((file.source, file.answers))
        else:
            grown = _difference(file, before)
            new.append((file.source, file.answers if grown is None else grown))
            if grown is not None:
                rest.append((file.source, before.answers))
    return _sample(new), _sample(rest)


def _difference(file: FileCounts, before: FileCounts) -> dict[str, Counts] | None:
    """Return what a file gained, or None where it lost something, so that it did not only grow."""
    gained: dict[str, Counts] = {}
    for question in _QUESTIONS:
        counts = Counter(file.answers[question])
        counts.subtract(before.answers[question])
        if any(count < 0 for count in counts.values()):
            return None
        gained[question] = counts
    return gained


def _pool(now: Corpus, good: Sequence[Corpus]) -> _Sample:
    """Return the last good runs with each file once, in its newest version (law 3); a file that changed is left out.

    Of a file that only grew since, the old part stays in the pool.
    """
    newest: dict[str, FileCounts] = {}
    for corpus in reversed(good):
        newest.update(corpus.files)
    kept: list[tuple[str, Mapping[str, Counts]]] = []
    for partition, file in newest.items():
        present = now.files.get(partition)
        if present is None or present.hash == file.hash or _difference(present, file) is not None:
            kept.append((file.source, file.answers))
    return _sample(kept)


class _Question(NamedTuple):
    """One question with both its sides."""

    name: str
    where: str
    baseline: str
    run_ids: list[str]
    new: Counts
    old: Counts


def _questions(now: Corpus, prior: Corpus, good: Sequence[Corpus]) -> Iterator[_Question]:
    """Yield every question there is to ask: on the whole and by source, against the rest and against the pool.

    The whole is that of the sources that have something new, since a source that is silent today would stand on one side
    only; where none of them has a baseline it is everything.
    """
    new, rest = _split(now, prior)
    pool = _pool(now, good)
    fresh = new.sources
    known = {*rest.sources, *pool.sources}
    whole = fresh if known.intersection(fresh) else sorted(known.union(fresh))
    scopes = [("all sources" if len(fresh) > 1 else f"source {fresh[0]}", fresh, whole)] if fresh else []
    if len(fresh) > 1:
        scopes += [(f"source {source}", [source], [source]) for source in fresh]
    ids = [corpus.run_id for corpus in good]
    for where, new_sources, old_sources in scopes:
        for name in _QUESTIONS:
            counts = new.counts(new_sources, name)
            against_rest, against_pool = rest.counts(old_sources, name), pool.counts(old_sources, name)
            yield _Question(name, where, "the rest", [prior.run_id], counts, against_rest)
            if ids and against_pool != against_rest:
                yield _Question(name, where, f"the last {len(ids)} good runs", ids, counts, against_pool)


def ask_shares(now: Corpus, prior: Corpus, good: Sequence[Corpus], thresholds: Drift) -> list[Moved]:
    """Return the answer to every question; `good` are the last good runs, newest first.

    Nothing is asked where nothing is new; a run that cannot be read is in no pool.
    """
    readable = [corpus for corpus in good if corpus.files]
    asked = [question for question in _questions(now, prior, readable) if question.new.total()]
    family = 2 * sum(_is_large(question, thresholds) for question in asked)  # each is asked of all shares together and of each alone
    return [_answer(question, family, thresholds) for question in asked]


def _is_large(question: _Question, thresholds: Drift) -> bool:
    return min(question.new.total(), question.old.total()) >= max(1, thresholds.min_records)


def _answer(question: _Question, family: int, thresholds: Drift) -> Moved:
    new, old = question.new, question.old
    if not _is_large(question, thresholds):
        small = new.total() < max(1, thresholds.min_records)
        side = f"{new.total()} new or changed records" if small else f"{old.total()} records in {question.baseline}"
        return Moved(_test(question, None, None, f"insufficient_sample: {side}, {thresholds.min_records} are wanted", "ok"), None)
    names = sorted(new.keys() | old.keys())
    result = g_test([new[name] for name in names], [old[name] for name in names])
    found = _verdict(question, result.p, family, thresholds)
    name, moved = found.name, _points(question, found.name)
    direction = f"{name} {_share(new, name):.1f} % against {_share(old, name):.1f} % ({moved:+.1f} points)"
    sentence = None
    if found.severity != "ok":
        sentence = (
            f"{question.where}: {name} moved from {_share(old, name):.1f} % to {_share(new, name):.1f} % ({moved:+.1f} points) in "
            f"{new.total():,} new or changed records, against {old.total():,} of {question.baseline}; {_chance(found.chance)}"
        )
    return Moved(_test(question, result.statistic, result.p, direction, found.severity), sentence)


def _test(question: _Question, statistic: float | None, p: float | None, direction: str, verdict: Severity) -> DriftTest:
    return DriftTest(
        question=f"did the shares of {question.name} move against {question.baseline}", where=question.where, statistic=statistic, p=p,
        n=question.new.total(), direction=direction, baseline_run_ids=question.run_ids, verdict=verdict,
    )  # fmt: skip


def _share(counts: Counts, name: str) -> float:
    return counts[name] / counts.total() * 100


def _points(question: _Question, name: str) -> float:
    return _share(question.new, name) - _share(question.old, name)


class _Verdict(NamedTuple):
    """What the figures of a question amount to."""

    severity: Severity
    name: str
    """The share it is about."""
    chance: float
    """Of such a move without a change, corrected for the questions asked in this run."""


def _verdict(question: _Question, p: float, family: int, thresholds: Drift) -> _Verdict:
    """Return what the figures amount to (law 4); where that is nothing, of the share that moved furthest."""
    new, old = question.new, question.old
    names = sorted(new.keys() | old.keys(), key=lambda name: (-abs(_points(question, name)), name))
    chance, furthest = p * family, abs(_points(question, names[0]))
    for name in names:
        gone = _chance_of_none(question, name) * family
        if gone < thresholds.share_p and _share(old, name) >= thresholds.vanished_pct:
            return _Verdict("alert", name, gone)
    if chance < thresholds.alert_p and furthest > thresholds.alert_points:
        return _Verdict("alert", names[0], chance)
    if chance < thresholds.share_p and furthest > thresholds.share_points:
        return _Verdict("warn", names[0], chance)
    for name in names:
        z = proportion_z(new[name], new.total(), old[name], old.total())
        alone = normal_tail(z) * family * len(names)
        if abs(z) > thresholds.z and alone < thresholds.share_p and abs(_points(question, name)) > thresholds.share_points:
            return _Verdict("warn", name, alone)
    return _Verdict("ok", names[0], chance)


def _chance_of_none(question: _Question, name: str) -> float:
    """Return how likely a sample of this size holds none of a category that the baseline holds; 1 where it is not gone."""
    if question.name != "categories" or question.new[name]:
        return 1.0
    return float((1 - _share(question.old, name) / 100) ** question.new.total())


def _chance(p: float) -> str:
    """Say a small probability as people do."""
    return "chance does not explain this" if p < 1e-6 else f"chance alone would do this in 1 of {round(1 / p):,} runs"
