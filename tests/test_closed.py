"""Plain rows of native logs: what is taken from the bytes at once is what the reference reads, and the usual row is taken."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.config import Config, Source
from distill.formats import outcomes, scrum_reviews
from distill.jsonl import BadLine, RawLine, decode_line, encode_line
from distill.plan import FileRef, RawLog
from distill.stages.collect_plain import PlainRows
from distill.stages.records import build_evidence, place_of_record
from distill.units.gists import KeyOfText

FORMATS = {"outcomes": outcomes, "scrum_reviews": scrum_reviews}
COMMON: dict[str, Any] = {
    "run_id": "run-1", "task_id": "task-1", "created_at": "2026-04-27T09:14:03Z", "model": "m", "prompt": "What is asked?",
    "response": "An  answer.", "cost_usd": 1, "latency_ms": 20.5, "tokens": {"input": 3, "output": 4},
}  # fmt: skip
ROWS: dict[str, dict[str, Any]] = {
    "outcomes": {**COMMON, "ok": True, "errors": [], "attempts": 1, "tests": {"passed": 3, "failed": 0}},
    "scrum_reviews": {**COMMON, "reviewer": "human:a", "verdict": "accept", "confidence": 0.5, "notes": "Well done."},
}
TEXT = st.one_of(st.none(), st.sampled_from(["", " ", "a  b", "ä\u2028", '":', '\\":', '\\\\":', "tab\t", "x" * 3000]), st.text(max_size=8))
ODD = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(-1, 1 << 70),
    st.floats(allow_nan=False),
    st.lists(TEXT, max_size=2),
    st.dictionaries(TEXT.map(str), TEXT, max_size=2),
)
FIELDS = sorted({*ROWS["outcomes"], *ROWS["scrum_reviews"], "context", "role", "messages", "other", "an other"})
CHANGES = st.dictionaries(st.sampled_from(FIELDS), ODD, max_size=3)
DROPPED = st.sets(st.sampled_from(FIELDS), max_size=3)
SPELLINGS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :"), (",", "\t:\r")])


def source_of(name: str) -> tuple[RawLog, Config]:
    """Return a log of a format and its config."""
    source = Source(name=name, glob="*", format=name)
    log = RawLog(FileRef("logs/a.jsonl", f"{name}/a.jsonl"), source, (("folder", "a"), ("file", None)), f"{name}/a.jsonl")
    return log, Config(sources=(source,))


def by_reference(name: str, raw: bytes) -> tuple[bytes, str, bytes] | None:
    """Return evidence, id and key of text as the reference has them, or None for a row that is refused."""
    log, config = source_of(name)
    line = RawLine(7, 70, raw, ended=True, length=len(raw), hash=None)
    try:
        record = decode_line(raw)
        reading = FORMATS[name].build_reader(log.source, config)(record, place_of_record(log, line, {}))
    except BadLine:
        return None
    evidence = build_evidence(log, line, reading.values, config)
    return encode_line(evidence), evidence.id, KeyOfText()(evidence)


def reader_of(name: str, *learnt: bytes) -> PlainRows:
    """Return a reader of plain rows that has met these."""
    log, config = source_of(name)
    reader = PlainRows(log, config, FORMATS[name].build_plain(log.source, config))
    for raw in learnt:
        if by_reference(name, raw) is not None:
            reader.shapes.learn(decode_line(raw))
    return reader


def spell(row: dict[str, Any], how: tuple[str, str], *, ascii_only: bool) -> bytes:
    """Render a row."""
    return json.dumps(row, separators=how, ensure_ascii=ascii_only).encode()


@given(
    st.sampled_from(sorted(FORMATS)),
    CHANGES,
    DROPPED,
    SPELLINGS,
    st.booleans(),
    st.sampled_from([b"", b',"ok":true}', b',"task_id" :"x"}', b"}"]),
)
def test_what_is_taken_is_what_the_reference_reads(
    name: str, changes: dict[str, Any], dropped: set[str], how: tuple[str, str], ascii_only: bool, tail: bytes
) -> None:
    """A row that is taken at once gives the evidence, id and key of text that the reference gives; all others are given back."""
    row = {key: value for key, value in {**ROWS[name], **changes}.items() if key not in dropped}
    plain = spell(row, how, ascii_only=ascii_only)
    raw = plain[: -len(tail)] + tail if len(tail) == 1 else plain[:-1] + tail if tail else plain
    reader = reader_of(name, plain, json.dumps(ROWS[name]).encode())

    found = reader.take(raw, 7, 70, spaced=b" :" in raw or b"\t" in raw or b"\r" in raw)

    assert found is None or tuple(found) == by_reference(name, raw)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_usual_row_is_taken(name: str) -> None:
    """A row of a shape that was met is taken, with its context, with a text that has quotes and colons, and with a field we do not know."""
    rows = [ROWS[name], {**ROWS[name], "context": "c"}, {**ROWS[name], "response": 'say {"a": 1}'}, {**ROWS[name], "extra": 1}]
    lines = [json.dumps(row).encode() for row in rows]
    reader = reader_of(name, *lines)

    assert all(reader.take(raw, 7, 70, spaced=False) is not None for raw in lines)
    assert [times for _, times in reader.signals()] == [4]


@pytest.mark.parametrize(
    "change", [{"messages": [{"role": "user", "content": "q"}]}, {"errors": ["broken"]}, {"created_at": "yesterday"}, {"task_id": ""}]
)
def test_what_is_not_plain_is_given_back(change: dict[str, Any]) -> None:
    """Messages, errors, a time that cannot be read and an empty task id are for the reference."""
    raw = json.dumps({**ROWS["outcomes"], **change}).encode()

    assert reader_of("outcomes", raw, json.dumps(ROWS["outcomes"]).encode()).take(raw, 7, 70, spaced=False) is None


def test_a_key_that_stands_twice_is_given_back() -> None:
    """SPEC 9: a row of a known shape with a key twice is not taken, however the second one is written."""
    raw = json.dumps(ROWS["outcomes"]).encode()
    reader = reader_of("outcomes", raw)

    for second in (b',"ok": true}', b',"o\\u006b": true}', b',"ok" : true}'):
        assert reader.take(raw[:-1] + second, 7, 70, spaced=True) is None
