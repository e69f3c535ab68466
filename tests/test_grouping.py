"""Runs that lie over several records, records that hold several runs or none, and signals that never change (SPEC 2, SPEC 3, SPEC 6)."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from distill import formats
from distill.books import Books
from distill.config import Config, Source
from distill.formats import Format
from distill.formats.reading import Position, Reading
from distill.hashing import row_id
from distill.jsonl import BadLine, RawLine
from distill.outcome import Outcome
from distill.plan import FileRef, RawLog
from distill.schemas.evidence import EvidenceRecord, Signal
from distill.stages import grouping
from distill.stages.collect import Collector, judge_facts, run
from distill.stages.constant import Constants, describe_constants

FORMAT = Format("parts", __name__, "fragments of runs", grouped=True)
LISTS = Format("lists", __name__, "several runs in one record")
SOURCE = Source("src", "*", format="parts")


class Parts:
    """A format whose record names the runs it holds: `{"of": {"run": text}}`."""

    def split(self, record: dict[str, Any], position: Position) -> list[tuple[str, Any]]:
        """Return the fragments of a record."""
        if "of" not in record:
            raise BadLine("missing_field", "of")
        return [(key, text) for key, texts in record["of"].items() for text in (texts if isinstance(texts, list) else [texts])]

    def merge(self, key: str, fragments: list[Any], position: Position) -> Reading:
        """Return a run."""
        if "bad" in fragments:
            raise BadLine("mistyped_field", "bad")
        return Reading({"run_id": key, "response": "".join(fragments), "tags": {"line": str(position.line)}})


def build_grouper(source: Source, config: Config, sides: Any = None) -> Parts:
    """Return the grouper of a source."""
    return Parts()


def build_reader(source: Source, config: Config, sides: Any = None) -> Any:
    """Return a reader that gives a run for each text of a record."""
    return lambda record, position: [Reading({"response": text}) for text in record["texts"]]


@pytest.fixture(autouse=True)
def _formats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, FORMAT, LISTS))


def log_of(name: str, source: Source = SOURCE, partition: str = "src/x.jsonl") -> RawLog:
    """Return a raw log."""
    return RawLog(FileRef(name, f"src/{name}"), source, (("day", "1"),), partition)


def lines_of(*records: Any) -> list[RawLine | BadLine]:
    """Return records as lines, each 100 bytes behind the other."""
    raws = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in records]
    return [RawLine(i + 1, 100 * i, raw, ended=True, length=len(raw), hash=None) for i, raw in enumerate(raws)]


def rows_of(outcomes: Iterable[Outcome]) -> list[EvidenceRecord]:
    """Return the evidence of outcomes."""
    return [row.value for one in outcomes for row in one.rows if isinstance(row.value, EvidenceRecord)]


def collect(*logs: tuple[RawLog, list[RawLine | BadLine]]) -> list[Outcome]:
    """Return the outcomes of some logs."""
    return list(run(logs, Config(sources=(SOURCE,))))


def test_run_is_all_fragments_of_its_key() -> None:
    """SPEC 2: a run is all records of one key within a partition, its place that of the first; the others are `same_run`."""
    first = (log_of("a.jsonl"), lines_of({"of": {"r": "1"}}, {"of": {"s": "2"}}, {"of": {"r": "3", "s": "4"}}))
    second = (log_of("b.jsonl"), lines_of({"of": {"r": "5"}}))

    found = collect(first, second)

    runs = [(row.run_id, row.response, str(row.provenance).partition(" ")[0]) for row in rows_of(found)]
    assert runs == [("r", "135", "src/a.jsonl:1@0"), ("s", "24", "src/a.jsonl:2@100")]
    others = [(one.kind, one.reason, (one.unit or "").partition(" ")[0]) for one in found if one.kind != "accepted"]
    again = ("filtered", "same_run", "src/a.jsonl:3@200")
    assert others == [again, ("filtered", "same_run", "src/b.jsonl:1@0"), again]


def test_key_of_another_partition_is_another_run() -> None:
    """SPEC 2: runs are grouped within a partition only."""
    logs = [(log_of(name, partition=f"src/{name}"), lines_of({"of": {"r": name}})) for name in ("a.jsonl", "b.jsonl")]

    assert [row.response for row in rows_of(collect(*logs))] == ["a.jsonl", "b.jsonl"]


def test_place_in_the_record_is_part_of_the_id_where_it_holds_several_runs() -> None:
    """SPEC 3: the id takes the first record's bytes, and the run's place in it only where that record holds several."""
    records = [{"of": {"r": "1"}}, {"of": {"s": ["2", "3"], "t": "4"}}]

    found = rows_of(collect((log_of("a.jsonl"), lines_of(*records))))

    raws = [json.dumps(one).encode() for one in records]
    assert [row.id for row in found] == [
        row_id("src", "1", raws[0], None), row_id("src", "1", raws[1], "0"), row_id("src", "1", raws[1], "1"),
    ]  # fmt: skip
    assert [row.response for row in found] == ["1", "23", "4"]


def test_books_of_grouped_records_balance() -> None:
    """SPEC 6: each run a record holds is counted, an unreadable record and one without run once, a run that cannot be read is skipped."""
    lines = lines_of({"of": {"r": "1", "s": "bad"}}, b"tru", {"of": {}}, {"no": 1}, {"of": {"s": "2"}})
    books = Books(by_file=True)

    for one in collect((log_of("a.jsonl"), lines)):
        books.count(one)

    assert dict(books.kinds) == {"skipped": 3, "filtered": 2, "accepted": 1}
    assert books.close("record").reasons == {"truncated": 1, "no_run": 1, "missing_field": 1, "mistyped_field": 1, "same_run": 1}


def test_records_are_split_again_when_they_were_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held of records that were read again is bounded, and changes nothing."""
    logs = [(log_of("a.jsonl"), lines_of(*({"of": {"r": str(i), f"k{i}": "x"}} for i in range(20))))]
    wanted = collect(*logs)

    monkeypatch.setattr(grouping, "_RECENT", 30)

    assert collect(*logs) == wanted


def test_exploded_runs_take_their_place_into_their_id() -> None:
    """SPEC 3, 6: each run of a record has its place in its id, also a single one; a record without run is `no_run`."""
    source = Source("src", "*", format="lists")
    lines = lines_of({"texts": ["a", "a"]}, {"texts": []}, {"texts": ["b"]})

    found = list(run([(log_of("a.jsonl", source), lines)], Config(sources=(source,))))

    raws = [line.raw for line in lines if isinstance(line, RawLine)]
    assert [row.id for row in rows_of(found)] == [row_id("src", "1", raw, str(i)) for raw, i in ((raws[0], 0), (raws[0], 1), (raws[2], 0))]
    assert [(one.kind, one.reason) for one in found] == [("accepted", None)] * 2 + [("filtered", "no_run"), ("accepted", None)]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({"member": "a/b.json"}, "src/a.jsonl!a/b.json"),
        ({"index": 3}, "src/a.jsonl[3]@7"),
        ({"key": "k"}, "src/a.jsonl{k}@7"),
        ({}, "src/a.jsonl:4@7"),
    ],
)
def test_provenance_names_member_index_or_key(place: dict[str, Any], expected: str) -> None:
    """SPEC 3: a record of an archive, an array or an object stands at its member, index or key, any other at its line."""
    line = RawLine(4, 7, b'{"texts": ["a"]}', ended=True, length=16, hash=None, **place)
    source = Source("src", "*", format="lists")

    (row,) = rows_of(run([(log_of("a.jsonl", source), [line])], Config(sources=(source,))))

    assert str(row.provenance).partition(" ")[0] == expected


def test_equal_records_under_two_keys_are_two_runs() -> None:
    """A record's key tells it apart as its bytes do: a report that says the same of two ids speaks of two runs."""
    source = Source("src", "*", format="lists")
    lines = [RawLine(1, 7, b'{"texts": ["a"]}', ended=True, length=16, hash=None, key=key) for key in ("a", "b")]

    rows = rows_of(run([(log_of("a.jsonl", source), lines)], Config(sources=(source,))))

    assert len({row.id for row in rows}) == 2


def test_record_with_a_place_is_skipped_alone() -> None:
    """A BadLine with its place is one skipped record; one without ends its file."""
    source = Source("src", "*", format="lists")
    place = RawLine(2, 50, b"x", ended=True, length=1, hash=None, index=1)
    good = RawLine(3, 60, b'{"texts": ["a"]}', ended=True, length=16, hash=None, index=2)
    lines: list[RawLine | BadLine] = [BadLine("not_json", "here", place), good, BadLine("unreadable_member", "cut"), good]

    found = list(run([(log_of("a.jsonl", source), lines)], Config(sources=(source,))))

    units = [(one.reason, (one.unit or "").partition(" ")[0]) for one in found if one.kind == "skipped"]
    assert units == [("not_json", "src/a.jsonl[1]@50"), ("unreadable_member", "src/a.jsonl:4@77")]
    assert len(rows_of(found)) == 1


def noted(records: list[dict[str, Any]], *, where: str = "ok") -> Constants:
    """Return what was seen of records whose signal is at `where`."""
    seen = Constants()
    for number, record in enumerate(records, 1):
        signal = Signal(kind="test", verdict="pass", value=record[where], where=where)
        seen.note({"signals": [signal]}, record, number)
    return seen


def dull(count: int) -> list[dict[str, Any]]:
    """Return records whose verdict is always true, beside fields that vary."""
    return [
        {"ok": True, "solved": i % 2 == 0, "grade": "abc"[i % 3], "name": f"n{i}", "same": 1, "deep": {"x": i % 2}, "nothing": None}
        for i in range(count)
    ]


def test_constant_verdict_lists_its_rivals() -> None:
    """SPEC 2: a signal that has one value in 20 records is a warning that lists other fields of few values, booleans first."""
    assert describe_constants("src", [noted(dull(20)).facts()]) == [
        "constant_verdict: src: ok is true in all 20 records; rivals: solved, grade"
    ]


@pytest.mark.parametrize("records", [dull(19), [*dull(30), {"ok": False}], [*dull(30), {"ok": 1}]], ids=["few", "varied", "other type"])
def test_verdict_that_varies_or_is_rare_is_no_constant(records: list[dict[str, Any]]) -> None:
    """SPEC 2: below 20 records, and where any differs, also in its type, nothing is told."""
    assert describe_constants("src", [noted(records).facts()]) == []


def test_constant_without_rivals_says_so() -> None:
    """Where no other field could be the verdict, the warning says that."""
    (text,) = describe_constants("src", [noted([{"ok": "yes"}] * 25).facts()])

    assert text == 'constant_verdict: src: ok is "yes" in all 25 records; no other field has two to five values'


@pytest.mark.parametrize("cut", [1, 7, 25, 39])
@pytest.mark.parametrize("last", [{"ok": True}, {"ok": False}, {"ok": True, "grade": "d", "solved": "no"}, {"ok": True, "grade": [1]}])
def test_facts_of_units_add_up(cut: int, last: dict[str, Any]) -> None:
    """SPEC 7.4: what units saw, in whatever pieces, gives the warning of the whole."""
    records = [*dull(40), last]

    pieces = [noted(records[:cut]).facts(), noted(records[cut:]).facts(), Constants().facts()]

    assert describe_constants("src", pieces) == describe_constants("src", [noted(records).facts()])


def test_warning_of_a_source_ends_its_collect() -> None:
    """SPEC 2: the plain generator tells of a constant verdict after the records, as facts of units do."""
    source = Source("src", "*", format="outcomes")
    rows = [{"task_id": "t", "created_at": "2026-04-27T09:00:00Z", "response": "a", "ok": True, "attempts": i % 3} for i in range(20)]
    config = Config(sources=(source,))
    log = (log_of("a.jsonl", source), lines_of(*rows))

    *_, last = run([log], config)

    collector = Collector(config)
    assert len(list(collector.collect([log]))) == 20
    assert last.warning == "constant_verdict: src: ok is true in all 20 records; rivals: attempts"
    assert list(judge_facts({name: [facts] for name, facts in collector.facts().items()}, config)) == [last]
