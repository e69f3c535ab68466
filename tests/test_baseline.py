"""What is new since the prior run, and what it is compared with (SPEC 6, "Shares"): laws 1 to 3 of `distill.baseline`."""

from typing import Any

import pytest

from distill.baseline import Corpus, read_corpus
from distill.schemas.stage_receipt import FileSet, StageReceipt, Stats
from tests.test_shares import BAD, CATEGORY, PLAIN, about_categories, ask, corpus, counts, part, plus, said
from tests.test_summary import file, files, receipt


def test_a_new_file_is_new_as_a_whole() -> None:
    """Law 1: a file the prior run did not have is asked about as a whole, against the files that stayed."""
    before = corpus(old=counts(PLAIN))

    answers = ask(corpus("r2", old=counts(PLAIN), new=counts(BAD)), before)

    assert said(answers) == {
        ("source one", "did the shares of unreadable records move against the rest"): (1000, "ok"),
        ("source one", CATEGORY + "the rest"): (1000, "alert"),
        ("source one", "did the shares of reasons move against the rest"): (1000, "alert"),
    }
    assert {tuple(found.test.baseline_run_ids) for found in answers} == {("r1",)}


def test_a_grown_file_is_new_by_its_difference() -> None:
    """Law 2: of a file that only grew what it gained is asked about, however small beside what it held."""
    old = part(PLAIN, 1000)

    found = about_categories(ask(corpus("r2", log=counts(plus(old, part(BAD, 20)), version="2")), corpus(log=counts(old))))

    assert (found.test.n, found.test.verdict) == (200, "alert")
    assert found.sentence is not None
    assert "200 new or changed records, against 10,000 of the rest" in found.sentence


def test_a_changed_file_is_new_as_a_whole_and_no_rest() -> None:
    """Law 2: a file that lost something anywhere is new as a whole, and is compared with what it was in the pool alone."""
    before = corpus(log=counts(PLAIN), other=counts(part(PLAIN, 50)))
    shrunk = PLAIN | {"rejected": 149}

    answers = ask(corpus("r2", log=counts(shrunk, version="2"), other=counts(part(PLAIN, 50))), before)

    assert about_categories(answers).test.n == 999
    assert {found.test.baseline_run_ids[0] for found in answers} == {"r1"}
    assert [found.test.direction for found in answers if found.test.question == CATEGORY + "the last 1 good runs"] == [
        "rejected 14.9 % against 15.0 % (-0.1 points)"
    ]
    alone = ask(corpus("r2", log=counts(shrunk, version="2")), corpus(log=counts(PLAIN)))
    assert [found.test.direction for found in alone if "the rest" in found.test.question] == [
        "insufficient_sample: 0 records in the rest, 100 are wanted"
    ] * 3


def test_a_log_that_is_written_anew_is_compared_with_what_it_was() -> None:
    """Law 2: where each run reads other records at the same path, the versions before are the baseline."""
    runs = [corpus(f"r{version}", log=counts(PLAIN, version=str(version))) for version in (2, 1)]

    bad, plain = (ask(corpus("r3", log=counts(shares, version="3")), *runs) for shares in (BAD, PLAIN | {"accepted": 449}))

    assert said(bad)["source one", CATEGORY + "the last 2 good runs"] == (1000, "alert")
    assert {found.test.verdict for found in plain} == {"ok"}


def test_a_log_of_another_name_is_not_new() -> None:
    """Law 3: a log that was put aside under another name is the rest, and once in the pool; what took its place is new."""
    old = counts(PLAIN, version="old")
    runs = [Corpus("r2", {"log": old, "log.1": counts(PLAIN, version="older")}), Corpus("r1", {"log": counts(PLAIN, version="older")})]
    now = {"log": counts(BAD, version="new"), "log.1": old, "log.2": counts(PLAIN, version="older")}

    found = ask(Corpus("r3", now), *runs)

    assert said(found)["source one", CATEGORY + "the rest"] == (1000, "alert")
    assert "against 2,000 of the rest" in str(about_categories(found).sentence)
    assert len(found) == 3  # the pool holds each file once, so it is the rest


def test_two_files_of_the_same_bytes_keep_their_own_verdicts() -> None:
    """Law 2: a log that stayed is compared with itself, not with a copy of it that was judged otherwise."""
    twins = {"a": counts(PLAIN, version="x"), "b": counts(BAD, version="x")}

    assert ask(Corpus("r2", twins), Corpus("r1", twins)) == []


def test_the_pool_speaks_by_the_present_verdicts() -> None:
    """Law 3: after other rules what is new is compared with the old records as they are judged now."""
    now = corpus("r2", a=counts(BAD), b=counts(BAD))

    found = said(ask(now, corpus(a=counts(PLAIN)), corpus("r0", gone=counts(BAD))))

    assert {verdict for (_, question), (_, verdict) in found.items() if "the verdicts before" not in question} == {"ok"}


def test_lines_that_left_no_evidence_are_new() -> None:
    """Law 1: of a file that gained broken lines and nothing else those lines are asked about."""
    found = said(ask(corpus("r2", a=counts(PLAIN, unreadable=210)), corpus(a=counts(PLAIN, unreadable=10))))

    assert found == {("source one", "did the shares of unreadable records move against the rest"): (200, "alert")}


def test_an_unchanged_file_is_the_rest() -> None:
    """Law 1: where every file is the one of the prior run nothing is asked, whatever the pool holds."""
    same = corpus("r2", log=counts(PLAIN))

    assert ask(same, corpus(log=counts(PLAIN)), corpus("r0", other=counts(BAD))) == []


def test_a_file_that_changed_without_a_record_asks_nothing() -> None:
    """Law 1: other bytes with the same counts are no new records."""
    assert ask(corpus("r2", log=counts(PLAIN, version="2")), corpus(log=counts(PLAIN))) == []


def test_the_pool_is_asked_where_it_holds_more_than_the_rest() -> None:
    """What is new is compared with the last good runs too: files of theirs that are gone by now count once each."""
    runs = [corpus(f"r{number}", **{f"day{number}": counts(PLAIN)}) for number in (3, 2, 1)]

    answers = said(ask(corpus("r4", day4=counts(BAD)), *runs))

    assert answers["source one", CATEGORY + "the rest"] == (1000, "ok")
    assert answers["source one", CATEGORY + "the last 3 good runs"] == (1000, "alert")


def test_the_pool_counts_every_file_once() -> None:
    """Law 3: the same rows in five runs weigh as much as in one, so a move that chance explains stays one, with the same p."""
    old, slightly = counts(part(PLAIN, 20)), counts({"accepted": 78, "partially_accepted": 25, "rejected": 42, "needs_human_review": 55})
    now = corpus("r9", new=slightly)

    once = ask(now, corpus("r1", log=old))
    often = ask(now, *[corpus(f"r{number}", log=old) for number in range(5, 0, -1)])

    assert {found.test.verdict for found in (*once, *often)} == {"ok"}
    figures = [[(found.test.statistic, found.test.p) for found in answers] for answers in (once, often)]
    assert figures[0] == figures[1]
    multiplied = ask(now, corpus("r1", **{f"copy{number}": old for number in range(5)}))
    assert {found.test.p for found in multiplied} != {found.test.p for found in once}


def test_the_pool_takes_the_newest_version() -> None:
    """Law 3: of a file that grew over the good runs the newest version is in the pool, and what it gained since is not."""
    small, large = part(PLAIN, 50), PLAIN
    runs = [corpus("r2", log=counts(large, version="2"), gone=counts({"accepted": 300})), corpus("r1", log=counts(small))]

    found = [one.test for one in ask(corpus("r3", log=counts(plus(large, PLAIN), version="3"), new=counts(PLAIN)), *runs)]

    assert {test.n for test in found} == {2000}
    rows = {test.question: test for test in found}
    assert rows[CATEGORY + "the last 2 good runs"].baseline_run_ids == ["r2", "r1"]
    assert rows[CATEGORY + "the last 2 good runs"].direction == "accepted 45.0 % against 57.7 % (-12.7 points)"  # 750 of 1,300
    fallen = ask(corpus("r3", log=counts(small, version="3"), new=counts(PLAIN)), *runs)
    assert [one.test.direction for one in fallen if one.test.question == CATEGORY + "the last 2 good runs"] == [
        "accepted 45.0 % against 57.7 % (-12.7 points)"
    ]  # of a log that changed, what it was


def test_a_run_that_cannot_be_read_is_in_no_pool() -> None:
    """A good run whose receipts are damaged is not named among those compared with."""
    runs = [corpus("r3", a=counts(PLAIN)), Corpus("r2", {}), corpus("r1", b=counts(PLAIN))]

    pooled = [found.test.baseline_run_ids for found in ask(corpus("r4", new=counts(PLAIN)), *runs) if "good" in found.test.question]

    assert pooled == [["r3", "r1"]] * 3


def receipts(**fields: Any) -> dict[str, StageReceipt]:
    """Return the receipts of collect and score over one partition."""
    read = {"accepted": 7, "skipped": 2, "not_json": 2}
    met = Stats(unit="record", considered=9, accepted=7, skipped=2, reasons={"not_json": 2}, by_file={"one/a": read})
    judged = {"accepted": 3, "tests_passed": 3, "rejected": 2, "tests_failed": 2, "quarantined": 2, "needs_human_review": 2, "no_signal": 2}
    stats = Stats(unit="run", considered=7, accepted=3, rejected=2, quarantined=2, reasons={"no_signal": 2}, by_file={"one/a": judged})
    found = {
        "collect": receipt("collect", stats=met, outputs=files(file("data/evidence/one/a", 7), file("exports/other.jsonl", 2))),
        "score": receipt("score", stats=stats),
    }
    return {name: one for name, one in (found | fields).items() if one is not None}


def test_receipts_are_read_by_partition() -> None:
    """A partition has the hash of its evidence, its source, and its records by outcome, category and reason."""
    named = read_corpus("r1", receipts(), {"one/a": "source"})

    assert (named.run_id, list(named.files)) == ("r1", ["one/a"])
    assert named.files["one/a"].source == "source"
    assert named.files["one/a"].hash == file("x").blake3
    assert {question: +found for question, found in named.files["one/a"].answers.items()} == {
        "unreadable records": {"read": 7, "unreadable": 2},
        "categories": {"accepted": 3, "rejected": 2, "needs_human_review": 2},
        "reasons": {"tests_passed": 3, "tests_failed": 2, "no_signal": 2},
    }
    assert read_corpus("r1", receipts(), {}).files["one/a"].source == "one"


@pytest.mark.parametrize(("logs", "known", "source", "single"), [
    (["src/one/a"], None, "src", True), (["one/a.jsonl"], None, "one", True), (["src/a", "one/a"], None, "one", True),
    (["src/a", "other/a"], None, "one", False), (["src/a", "other/a"], "other", "other", True),
    (["src/one/a/1.json", "src/one/a/2.json"], None, "src", False), (["src/one/a/1.json"], None, "src", False), ([], "src", "src", False),
], ids=["no prefix", "the source", "its own prefix", "two sources", "known", "folder", "folder of one", "none"])  # fmt: skip
def test_a_partition_is_known_by_its_raw_log(logs: list[str], known: str | None, source: str, single: bool) -> None:
    """The source of a partition that vanished and the hash of its log are those of the raw log whose name it ends with."""
    read = files(*(file(path, content=path) for path in logs))
    met = receipt("collect", inputs=read, outputs=files(file("data/evidence/one/a.jsonl")))

    (found,) = read_corpus("r1", receipts(collect=met), {"one/a.jsonl": known} if known else {}).files.values()

    assert found.source == source
    assert (found.hash in {log.blake3 for log in read.files}) is single


@pytest.mark.parametrize("fields", [
    {"collect": None}, {"score": None}, {"score": receipt("score", decision="failed", outputs=FileSet())},
], ids=["no collect", "no score", "score failed"])  # fmt: skip
def test_a_run_that_was_not_scored_has_no_shares(fields: dict[str, Any]) -> None:
    """Without a finished receipt of collect and of score there is nothing to compare, and no half of it is taken for a whole."""
    assert read_corpus("r1", receipts(**fields), {}).files == {}


def test_what_was_read_from_the_rows_is_taken_before_a_difference() -> None:
    """Law 2: where the rows say what a log gained the rest is what it held, by the present verdicts, here and in the pool."""
    reviewed = PLAIN | {"needs_human_review": 0, "accepted": 725}
    before, log = corpus("r1", log=counts(PLAIN)), counts(plus(reviewed, BAD), version="2")

    found = ask(corpus("r2", log=log)._replace(gained={"log": counts(BAD).answers}), before)

    assert said(found)["source one", CATEGORY + "the rest"] == (1000, "alert")
    assert str(about_categories(found).sentence).startswith("source one: category accepted moved from 72.5 % to 25.0 % (-47.5 points)")
    assert said(found)["source one", CATEGORY + "the verdicts before"] == (1000, "warn")
    assert not any("good runs" in question for _, question in said(found))  # the pool is the rest
