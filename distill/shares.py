"""Whether the shares of categories and reasons moved: what is new since the baseline against the rest (SPEC 6).

What is new and what it is compared with is in `distill.baseline`, with laws 1 to 3. Here:

4. An alarm needs both significance, corrected for the number of questions asked in the run, and a move that matters.
5. Other verdicts on the same evidence are compared with the verdicts before, and warn at most: a person or a rule decided.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from distill.baseline import QUESTIONS, UNREADABLE, Corpus, Counts, pool_corpora, split_corpus
from distill.config import Drift
from distill.schemas.drift_report import DriftTest, Severity
from distill.statistics import g_test, normal_tail, proportion_z

__all__ = ["Moved", "ask_shares"]

_NOUNS = {UNREADABLE: "records", "categories": "category", "reasons": "reason"}


class Moved(NamedTuple):
    """The answer to one question: its figures, and in words what moved where."""

    test: DriftTest
    """For the report, alarm or not."""
    sentence: str | None
    """One sentence for a person where it is an alarm."""
    subject: str = ""
    """Where and which share, as the sentence begins."""


class _Question(NamedTuple):
    """One question with both its sides."""

    name: str
    where: str
    baseline: str
    run_ids: list[str]
    new: Counts
    old: Counts
    again: bool = False
    """Whether both sides are the same records."""


def _questions(now: Corpus, prior: Corpus, good: Sequence[Corpus]) -> Iterator[_Question]:
    """Yield every question there is to ask: on the whole and by source, against the rest and against the pool.

    The whole is that of the sources that have something new, since a source that is silent today would stand on one side
    only; where none of them has a baseline it is everything.
    """
    sides, pool = split_corpus(now, prior), pool_corpora(now, prior, good)
    fresh = sides.new.sources
    known = {*sides.rest.sources, *pool.sources}
    whole = fresh if known.intersection(fresh) else sorted(known.union(fresh))
    ids = [corpus.run_id for corpus in good]
    for where, new_sources in _scopes(fresh):
        old_sources = whole if new_sources is fresh else new_sources
        for name in QUESTIONS:
            counts = sides.new.counts(new_sources, name)
            against_rest, against_pool = sides.rest.counts(old_sources, name), pool.counts(old_sources, name)
            yield _Question(name, where, "the rest", [prior.run_id], counts, against_rest)
            if ids and against_pool != against_rest:
                yield _Question(name, where, f"the last {len(ids)} good runs", ids, counts, against_pool)
    for where, sources in _scopes(sides.now.sources):
        for name in QUESTIONS[1:]:
            present, before = sides.now.counts(sources, name), sides.before.counts(sources, name)
            yield _Question(name, where, "the verdicts before", [prior.run_id], present, before, again=True)


def _scopes(sources: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the sources of the whole, then of each source where there are several."""
    if sources:
        yield "all sources" if len(sources) > 1 else f"source {sources[0]}", sources
    if len(sources) > 1:
        for source in sources:
            yield f"source {source}", [source]


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
        side = f"{new.total()} {_subject(question)}" if small else f"{old.total()} records in {question.baseline}"
        return Moved(_test(question, None, None, f"insufficient_sample: {side}, {thresholds.min_records} are wanted", "ok"), None)
    names = sorted(new.keys() | old.keys())
    result = g_test([new[name] for name in names], [old[name] for name in names])
    found = _verdict(question, result.p, family, thresholds)
    if question.again and found.severity == "alert":
        found = found._replace(severity="warn")
    name, moved = found.name, _points(question, found.name)
    direction = f"{name} {_share(new, name):.1f} % against {_share(old, name):.1f} % ({moved:+.1f} points)"
    sentence, subject = None, f"{question.where}: {_NOUNS[question.name]} {name}"
    if found.severity != "ok":
        sentence = (
            f"{subject} moved from {_share(old, name):.1f} % to {_share(new, name):.1f} % "
            f"({moved:+.1f} points) in {new.total():,} {_subject(question)}{_against(question, found.chance)}"
        )
    return Moved(_test(question, result.statistic, result.p, direction, found.severity), sentence, subject)


def _subject(question: _Question) -> str:
    return "unchanged records" if question.again else "new or changed records"


def _against(question: _Question, chance: float) -> str:
    if question.again:
        return ", whose verdicts are others than in the prior run; that is not chance"
    return f", against {question.old.total():,} of {question.baseline}; {_chance(chance)}"


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
