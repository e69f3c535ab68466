"""What is new against the rest and against the last good runs (SPEC 6, "Shares"): laws 4 and 5 of `distill.shares`."""

from collections import Counter

import pytest

from distill.baseline import Corpus, FileCounts
from distill.config import Drift
from distill.schemas.scored_run import CATEGORIES
from distill.shares import Moved, ask_shares

PLAIN = {"accepted": 450, "partially_accepted": 125, "rejected": 150, "needs_human_review": 275}
BAD = {"accepted": 250, "partially_accepted": 75, "rejected": 500, "needs_human_review": 175}
SLUGS = {"accepted": "tests_passed", "partially_accepted": "retried", "rejected": "tests_failed", "needs_human_review": "no_signal"}
CATEGORY = "did the shares of categories move against "


def counts(shares: dict[str, int], *, version: str = "1", source: str = "one", unreadable: int = 0) -> FileCounts:
    """Return the counts of a file with these categories, each decided by its reason."""
    answers: dict[str, Counter[str]] = {
        "unreadable records": Counter({"read": sum(shares.values()), "unreadable": unreadable}),
        "categories": Counter({name: shares.get(name, 0) for name in CATEGORIES}),
        "reasons": Counter({SLUGS[name]: count for name, count in shares.items()}),
    }
    return FileCounts(version, source, answers)


def part(shares: dict[str, int], percent: int) -> dict[str, int]:
    """Return this part of the counts."""
    return {name: count * percent // 100 for name, count in shares.items()}


def plus(one: dict[str, int], two: dict[str, int]) -> dict[str, int]:
    """Return both together."""
    return {name: one.get(name, 0) + two.get(name, 0) for name in one | two}


def corpus(run_id: str = "r1", /, **named: FileCounts) -> Corpus:
    """Return what a run read; versions are of a file, so that two files are never the same one."""
    return Corpus(run_id, {name: file._replace(hash=f"{name} {file.hash}") for name, file in named.items()})


def ask(now: Corpus, *before: Corpus, thresholds: Drift | None = None) -> list[Moved]:
    """Return every answer, with `before` the good runs, newest first, of which the newest is the prior run."""
    return ask_shares(now, before[0], before, thresholds or Drift())


def said(answers: list[Moved]) -> dict[tuple[str, str], tuple[int, str]]:
    """Return where and question to the new records and the verdict."""
    return {(found.test.where, found.test.question): (found.test.n, found.test.verdict) for found in answers}


def about_categories(answers: list[Moved], where: str = "source one") -> Moved:
    """Return the answer on the categories of one place, against the rest."""
    (found,) = [one for one in answers if one.test.where == where and one.test.question == CATEGORY + "the rest"]
    return found


def test_other_verdicts_on_the_same_evidence_warn() -> None:
    """Law 5: what was judged otherwise is compared with the verdicts before it, by source, and warns at most."""
    before = corpus(a=counts(PLAIN), b=counts(PLAIN, source="two"), c=counts(PLAIN))

    found = ask(corpus("r2", a=counts(BAD), b=counts(PLAIN, source="two"), c=counts(PLAIN)), before)

    assert said(found) == {
        ("source one", CATEGORY + "the verdicts before"): (1000, "warn"),
        ("source one", "did the shares of reasons move against the verdicts before"): (1000, "warn"),
    }
    assert found[0].sentence == (
        "source one: category rejected moved from 15.0 % to 50.0 % (+35.0 points) in 1,000 unchanged records, "
        "whose verdicts are others than in the prior run; that is not chance"
    )


def test_without_good_runs_the_rest_alone_is_asked() -> None:
    """Where no good run is known, or none is wanted, nothing is compared with a pool."""
    answers = ask_shares(corpus("r2", old=counts(PLAIN), new=counts(PLAIN)), corpus(old=counts(PLAIN)), [], Drift())

    assert [found.test.question.rsplit(" against ", 1)[1] for found in answers] == ["the rest"] * 3


def test_several_sources_are_asked_together_and_apart() -> None:
    """The whole is asked, then every source with something new, so that a bad source is named."""
    old = {"a": counts(PLAIN), "b": counts(PLAIN, source="two")}

    answers = ask(corpus("r2", **old, c=counts(PLAIN), d=counts(BAD, source="two")), corpus(**old))

    verdicts = {where: about_categories(answers, where).test.verdict for where in ("all sources", "source one", "source two")}
    assert verdicts == {"all sources": "alert", "source one": "ok", "source two": "alert"}


def test_a_source_is_compared_with_itself() -> None:
    """A day on which only one of two unlike sources grew is no alarm: the silent one is on neither side."""
    old = {"a": counts(part(PLAIN, 1000)), "b": counts(part(BAD, 1000), source="two")}

    answers = ask(corpus("r2", **old, c=counts(BAD, source="two")), corpus(**old))

    assert {(found.test.where, found.test.verdict) for found in answers} == {("source two", "ok")}
    assert about_categories(answers, "source two").test.direction == "accepted 25.0 % against 25.0 % (+0.0 points)"


def test_a_source_without_a_baseline_is_a_move_of_the_whole() -> None:
    """A new source alone is compared with everything else; beside a known one it moves the whole and is too small by itself."""
    old = corpus(a=counts(PLAIN))

    alone = ask(corpus("r2", a=counts(PLAIN), b=counts(BAD, source="two")), old)
    both = ask(corpus("r2", a=counts(PLAIN), b=counts(BAD, source="two"), c=counts(PLAIN)), old)

    assert about_categories(alone, "source two").test.verdict == "alert"
    assert about_categories(both, "all sources").test.verdict == "alert"
    assert about_categories(both, "source one").test.verdict == "ok"
    assert about_categories(both, "source two").test.direction.startswith("insufficient_sample: 0 records in the rest")


def test_a_new_category_is_a_move() -> None:
    """A category or a reason the baseline never had is a move like any other."""
    before = {"accepted": 500, "rejected": 500}
    now = {"accepted": 450, "rejected": 450, "needs_human_review": 100}

    found = about_categories(ask(corpus("r2", a=counts(before), b=counts(now)), corpus(a=counts(before))))

    assert found.test.verdict == "warn"
    assert found.test.direction == "needs_human_review 10.0 % against 0.0 % (+10.0 points)"


@pytest.mark.parametrize(("share", "new", "verdict"), [
    (50, 400, "alert"), (50, 100, "ok"), (49, 400, "warn"), (20, 3000, "ok"), (500, 100, "alert"),
], ids=["five percent", "chance in few", "under five percent", "two percent", "half"])  # fmt: skip
def test_a_category_that_vanished_is_an_alert(share: int, new: int, verdict: str) -> None:
    """A category of at least 5 % of which nothing new is left is an alert, unless so few new records miss it by chance."""
    before = counts({"accepted": 1000 - share, "rejected": share})

    found = about_categories(ask(corpus("r2", a=before, b=counts({"accepted": new})), corpus(a=before)))

    assert found.test.verdict == verdict
    if verdict == "alert":
        assert found.sentence is not None
        assert f"rejected moved from {share / 10:.1f} % to 0.0 %" in found.sentence


def test_a_vanished_reason_is_no_vanished_category() -> None:
    """A reason may go without an alert; it is judged by how far it moved."""
    before, now = counts(PLAIN), counts(PLAIN)
    before.answers["reasons"].update({"tests_failed": -50, "human_reject": 50})

    answers = said(ask(corpus("r2", a=before, b=now), corpus(a=before)))

    assert answers["source one", "did the shares of reasons move against the rest"] == (1000, "warn")


def rejected(of_hundred: float, n: int) -> FileCounts:
    """Return a file of n records with this share of rejections."""
    bad = round(n * of_hundred / 100)
    return counts({"accepted": n - bad, "rejected": bad})


@pytest.mark.parametrize(("share", "n", "verdict"), [
    (15, 10_000, "ok"), (17.9, 100_000, "ok"), (18.1, 100_000, "warn"), (24.9, 100_000, "warn"), (25.1, 100_000, "alert"),
    (30, 100, "warn"), (24, 150, "ok"), (60, 100, "alert"),
], ids=["same", "sure and small", "just beyond 3", "just below 10", "just beyond 10", "large and not sure", "chance", "small and sure"])  # fmt: skip
def test_warning_and_alert_want_both_size_and_certainty(share: float, n: int, verdict: str) -> None:
    """Law 4: a move warns beyond 3 points and is an alert beyond 10, and only where chance does not explain it."""
    old = rejected(15, 100_000)

    assert about_categories(ask(corpus("r2", a=old, b=rejected(share, n)), corpus(a=old))).test.verdict == verdict


def test_one_share_may_be_significant_by_itself() -> None:
    """A single share beyond z 3.5 warns where the test over many shares together sees no more than chance."""
    names = [f"reason_{number}" for number in range(20)]
    old, new = counts({"accepted": 10_000}), counts({"accepted": 1000}, version="2")
    old.answers["reasons"].clear()
    old.answers["reasons"].update(dict.fromkeys(names, 500))
    new.answers["reasons"].clear()
    new.answers["reasons"].update(dict.fromkeys(names[1:], 48) | {"reason_0": 88})

    (found,) = [one for one in ask(corpus("r2", a=old, b=new), corpus(a=old)) if "reasons" in one.test.question]

    assert found.test.p is not None
    assert found.test.p * 6 > 0.01
    assert found.test.verdict == "warn"
    assert found.sentence is not None
    assert "reason_0 moved from 5.0 % to 8.8 % (+3.8 points)" in found.sentence
    strict = ask(corpus("r2", a=old, b=new), corpus(a=old), thresholds=Drift(z=6))
    assert {one.test.verdict for one in strict} == {"ok"}


def test_more_questions_ask_for_more_certainty() -> None:
    """Law 4: a move that is significant as one of three questions is not as one of thirty."""
    old, new = rejected(15, 10_000), rejected(27, 150)
    crowd = {f"s{number}": rejected(15, 10_000)._replace(source=f"s{number}") for number in range(9)}
    grown = {f"n{number}": rejected(15, 1000)._replace(source=f"s{number}") for number in range(9)}

    alone = about_categories(ask(corpus("r2", a=old, b=new), corpus(a=old)))
    among = about_categories(ask(corpus("r2", a=old, b=new, **crowd, **grown), corpus(a=old, **crowd)))

    assert (alone.test.verdict, among.test.verdict) == ("warn", "ok")
    assert alone.test.p == among.test.p


@pytest.mark.parametrize(("old", "new", "direction"), [
    (99, 1000, "insufficient_sample: 99 records in the rest, 100 are wanted"),
    (1000, 99, "insufficient_sample: 99 new or changed records, 100 are wanted"),
    (20, 50, "insufficient_sample: 50 new or changed records, 100 are wanted"),
    (50, 100, "insufficient_sample: 50 records in the rest, 100 are wanted"),
    (0, 1000, "insufficient_sample: 0 records in the rest, 100 are wanted"),
])  # fmt: skip
def test_small_samples_are_told(old: int, new: int, direction: str) -> None:
    """Under 100 records on either side nothing is claimed, and the answer says which side and how many."""
    before = rejected(0, old)

    found = about_categories(ask(corpus("r2", a=before, b=rejected(100, new)), corpus(a=before)))

    assert (found.test.direction, found.test.verdict, found.test.p, found.sentence) == (direction, "ok", None, None)
    assert found.test.n == new


def test_a_hundred_records_are_enough() -> None:
    """At exactly 100 records on both sides the question is answered."""
    before = rejected(0, 100)

    assert about_categories(ask(corpus("r2", a=before, b=rejected(100, 100)), corpus(a=before))).test.verdict == "alert"


def test_nothing_wanted_is_no_division_by_nothing() -> None:
    """With `min_records` 0 an empty side is still an insufficient sample."""
    answers = ask(corpus("r2", b=rejected(10, 50)), corpus(a=counts({})), thresholds=Drift(min_records=0))

    assert {found.test.direction for found in answers} == {"insufficient_sample: 0 records in the rest, 0 are wanted"}


def test_no_rows_now_ask_nothing() -> None:
    """A log that was emptied has no new records, so there is no share to ask about."""
    assert ask(corpus("r2", log=counts({}, version="2")), corpus(log=counts(PLAIN))) == []


def test_unreadable_records_are_a_share() -> None:
    """Records that cannot be read are asked about beside what became of the others."""
    old, new = counts(PLAIN, unreadable=10), counts(PLAIN, unreadable=200)

    found = {one.test.question: one for one in ask(corpus("r2", a=old, b=new), corpus(a=old))}

    moved = found["did the shares of unreadable records move against the rest"]
    assert (moved.test.n, moved.test.verdict) == (1200, "alert")
    assert found[CATEGORY + "the rest"].test.verdict == "ok"


def test_the_sentence_says_all_of_it() -> None:
    """The sentence names where, what, by how much, both counts and what chance has to do with it."""
    old = rejected(15, 10_000)

    sure = about_categories(ask(corpus("r2", a=old, b=rejected(50, 1000)), corpus(a=old)))
    unsure = about_categories(ask(corpus("r2", a=old, b=rejected(30, 100)), corpus(a=old)))

    assert sure.sentence == (
        "source one: category accepted moved from 85.0 % to 50.0 % (-35.0 points) in 1,000 new or changed records, "
        "against 10,000 of the rest; chance does not explain this"
    )
    assert unsure.sentence is not None
    assert unsure.test.p is not None
    assert unsure.sentence.endswith(f"; chance alone would do this in 1 of {round(1 / (unsure.test.p * 6)):,} runs")
