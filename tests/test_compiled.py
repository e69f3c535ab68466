"""The compiled loops against Python: the same hashes, the same order of lines, the same evidence of every row that is taken."""

import json
import os
import random
import sys
from array import array
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from distill import compiled
from distill.compiled import find_compiled
from distill.config import Config, Source
from distill.formats import outcomes, scrum_reviews
from distill.jsonl import BadLine, RawLine, decode_line, encode_line
from distill.plan import FileRef, RawLog
from distill.stages.collect_plain import plain_rows
from distill.stages.records import build_evidence, place_of_record
from distill.units import merging, parts
from distill.units.export_preference import PAIR_ROW
from distill.units.gists import KeyOfText

PARTS: Any = find_compiled("parts")
pytestmark = pytest.mark.skipif(PARTS is None, reason="the compiled loops were not built: no compiler, or DISTILL_COMPILED=0")

MANY = settings(max_examples=5000 if os.environ.get("DISTILL_SLOW") == "1" else 150, deadline=None)
LENGTHS = (0, 1, 3, 63, 64, 65, 127, 128, 1023, 1024, 1025, 2047, 2048, 2049, 3072, 3073, 4096, 5121, 8192, 9000, 16385, 70000)
TEXT = st.one_of(
    st.text(max_size=12), st.sampled_from(["\u00a0a\u2003 b\x1c", "a \u0085", "\x00\x1f\x7f", "\\/", '/\b\f\n\r\t"', "🙂\ud7ff\ue000"])
)
SPELT_ODDLY = st.sampled_from(
    [
        b'"\\u0041\\/\\u00e9\\u001F\\u000a"', b'"\\ud83d\\ude42"', b'"\\ud83d"', b'"\\ude42"', b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"',
        b'"a\tb"', b'"a\x00b"', b'"\\x41"', b'"\\u12"', b'"open', b"1e5", b"-0", b"01", b"1.", b".5", b"1.50", b"0.00001", b"0.0001", b"12345678901234567", b"1E400",
        b"nul", b"nulls", b"true", b"[]", b"[ ]", b"{}", b'{"input":1,"input":2}', b'{"input":1,}', b'{"input":1.0}', b'{"passed":1,"failed":0,"skipped":2}',
        b'{"passed":null}', b'{"input" : 1 , "output":null}', b"5", b"0", b"123456789012345", b"1234567890123456", b"3.25", b"100", b"\xef\xbb\xbf1",
    ]
)  # fmt: skip
FORMATS = {"outcomes": outcomes, "scrum_reviews": scrum_reviews}
COMMON: dict[str, Any] = {
    "run_id": "run-1", "task_id": "task-1", "created_at": "2026-04-27T09:14:03Z", "model": "m", "prompt": "What is asked?",
    "response": "An  answer.", "cost_usd": 1, "latency_ms": 20.5, "tokens": {"input": 3, "output": 4},
}  # fmt: skip
ROWS: dict[str, dict[str, Any]] = {
    "outcomes": {**COMMON, "ok": True, "errors": [], "attempts": 1, "tests": {"passed": 3, "failed": 0}},
    "scrum_reviews": {**COMMON, "reviewer": "human:a", "verdict": "accept", "confidence": 0.5, "notes": "Well done."},
}
ODD_TEXT = st.one_of(
    st.none(), st.sampled_from(["", " ", "a  b", "ä\u2028", '":', '\\":', '\\\\":', "tab\t", "x" * 3000]), st.text(max_size=8)
)
ODD = st.one_of(
    ODD_TEXT,
    st.booleans(),
    st.integers(-1, 1 << 70),
    st.floats(allow_nan=False),
    st.lists(ODD_TEXT, max_size=2),
    st.dictionaries(ODD_TEXT.map(str), ODD_TEXT, max_size=2),
)
KNOWN = sorted({*ROWS["outcomes"], *ROWS["scrum_reviews"], "context", "role", "messages", "other", "an other"})
CHANGES = st.dictionaries(st.sampled_from(KNOWN), ODD, max_size=3)
DROPPED = st.sets(st.sampled_from(KNOWN), max_size=3)


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


def spell(row: dict[str, Any], how: tuple[str, str], *, ascii_only: bool) -> bytes:
    """Render a row."""
    return json.dumps(row, separators=how, ensure_ascii=ascii_only).encode()


def reader_of(name: str) -> Any:
    """Return the compiled loop over the plain rows of a log of a format."""
    log, config = source_of(name)
    return plain_rows(log, config, FORMATS[name].build_plain(log.source, config))


def take(name: str, raw: bytes) -> tuple[bytes, str, bytes] | None:
    """Return evidence, id and key of text of a row as the compiled loop has them, or None where it is left."""
    reader = reader_of(name)
    evidence, ids, texts, left = reader.take(raw + b"\n", 6, 70, 1 << 20)
    if left:
        assert (evidence, ids, texts) == (b"", b"", b"")
        assert left == [(7, 0, len(raw), True, 0, 0)]
        return None
    return evidence, ids.hex(), texts


def test_hashes_are_those_of_the_package() -> None:
    """Whatever the lengths and however many messages are hashed at once."""
    seeded = random.Random(1)
    for count in (1, 2, 7, 8, 9, 40):
        messages = [seeded.randbytes(seeded.choice(LENGTHS)) for _ in range(count)]
        assert PARTS.hash_messages(messages) == [blake3(one).digest() for one in messages]
    assert PARTS.hash_messages([bytes(length) for length in LENGTHS]) == [blake3(bytes(length)).digest() for length in LENGTHS]


KEYS = st.sampled_from([b"0" * 32, b"f" * 32, b"7f" * 16, b"7g" * 16, b"7F" * 16, b"", b"0", b"\xff" * 8]) | st.binary(
    min_size=16, max_size=16
).map(lambda one: one.hex().encode())


@MANY
@given(st.lists(st.tuples(KEYS, st.integers(0, 3), st.integers(1, 20)), max_size=30), st.integers(1, 4))
def test_any_lines_are_sorted(drawn: list[tuple[bytes, int, int]], count: int) -> None:
    """Keys that are hashes, keys that are none, and one key so often that its place is full: sorted as bytes."""
    lines = [key + b"%d" % (rest + i % 3) for key, rest, times in drawn for i in range(times)]
    blocks = [b"".join(line + b"\n" for line in lines[i::count]) for i in range(count)]

    assert PARTS.sort_blocks(blocks) == sorted(lines)


@MANY
@given(st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.binary(max_size=20)), max_size=40))
def test_lines_are_sorted_and_summed_as_in_python(keyed: list[tuple[bytes, bytes]]) -> None:
    """Sorted lines, where the slots start, and their sums; equal lines stay, in any number."""
    lines = [key.hex().encode() + rest.hex().encode() for key, rest in keyed]
    lines += lines[:2]
    ours, theirs = PARTS.Lines(), parts._Lines()
    ours += lines
    theirs += lines

    assert len(ours) == len(theirs)
    assert ours.finish() == theirs.finish()
    assert PARTS.sort_blocks([b"".join(line + b"\n" for line in half) for half in (lines[::2], lines[1::2])]) == sorted(lines)


def test_rows_are_merged_without_those_that_are_lost() -> None:
    """A line of a key and one byte more names a key whose rows do not stand, wherever it comes from."""
    a, b, c = ("a" * 32).encode(), ("b" * 32).encode(), ("c" * 32).encode()

    blocks = [c + b'{"c":1}\n' + c + b'#0001{"c":2}\n', a + b'{"a":1}\n' + b + b'{"b":1}\n', b + b"-\n"]
    assert PARTS.merge_rows(blocks) == [(b'{"a":1}\n{"c":2}\n{"c":1}\n', 3)]
    assert PARTS.merge_rows(blocks, ((b"{", ()), (b"#", ()))) == [(b'{"a":1}\n{"c":1}\n', 2), (b'{"c":2}\n', 1)]
    with pytest.raises(ValueError, match="no row"):
        PARTS.merge_rows([a + b"no brace\n"])


VALUES = st.lists(st.binary(max_size=20).map(bytes.hex).map(str.encode), min_size=3, max_size=3)


@given(
    st.lists(st.tuples(st.binary(min_size=16, max_size=16), VALUES | st.none(), st.booleans()), max_size=9, unique_by=lambda one: one[0])
)
def test_rows_are_spelt_by_a_template_as_in_python(rows: list[tuple[bytes, list[bytes] | None, bool]]) -> None:
    """A line of values becomes the row of its template, wherever its key stands among rows that are spelt already or are lost."""
    template = (b'{"id":"', merging.KEY_VALUE, b'","a":', 2, b',"b":', 0, b',"c":', 2, 1, b"}")
    kinds = ((b"{", template), (b"#", (0, 1, 2)))
    lines = [key.hex().encode() + (b'{"spelt":1}' if values is None else b"\x02" + b"\x1f".join(values)) for key, values, _ in rows]
    lines += [key.hex().encode() + b"-" for key, _, lost in rows if lost]
    block = b"".join(line + b"\n" for line in lines)
    expected = [
        b'{"spelt":1}' if one is None else b'{"id":"%b","a":%b,"b":%b,"c":%b%b}' % (key.hex().encode(), one[2], one[0], one[2], one[1])
        for key, one, lost in sorted(rows)
        if not lost
    ]
    others = [one for _, one, lost in sorted(rows) if one is not None and not lost]

    wanted = [(b"".join(row + b"\n" for row in expected), len(expected))]
    wanted += [(b"".join(b"".join(one) + b"\n" for one in others), len(others))]
    assert PARTS.merge_rows([block], kinds) == wanted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "_COMPILED", None)
        patch.setattr(parts, "_COMPILED", None)
        patch.setattr(parts, "read_ranges", lambda ranges: ranges)
        assert merging.merge_rows([block], kinds) == wanted  # type: ignore[list-item]


def test_a_line_of_other_values_than_its_template_names_is_refused() -> None:
    """What is no line of the values of a template is an error, not a row."""
    for line in (b"\x02a\x1fb", b"\x02a\x1fb\x1fc\x1fd", b"\x02" + b"\x1f" * 11):
        with pytest.raises(ValueError, match="not 3 values"):
            PARTS.merge_rows([b"0" * 32 + line + b"\n"], ((b"", (0, b"x", 2)),))
    for template in ((10,), (-2,), (b"x",) * 33):
        with pytest.raises(ValueError, match=r"template has too many pieces|no place of a value"):
            PARTS.merge_rows([], ((b"", template),))


@pytest.mark.parametrize(
    ("raw", "clear"),
    [(b'{"a": 1, "b": {"a": "b", "c": [{"a": 1}, {"a": 2}]}, "c" :"a"}', True), (b'{"a":"a","b":"a: \\"a\\": {"}', True), (b"{}", True),
     (b'{"a":1,"b":{"c":1,"c":2}}', False), (b'{"a":[{"b":1}],"a":2}', False), (b'{"a":1,"\\u0062":2}', False), (b'{"a" \t:1,"a":2}', False),
     (b'{"a":' * 64 + b"1" + b"}" * 64, True), (b'{"a":' * 65 + b"1" + b"}" * 65, False), (b'{"open', False), (b"}", False), (b'"a":1', False),
     (b"{" + b",".join(b'"%d":1' % i for i in range(256)) + b"}", True), (b"{" + b",".join(b'"%d":1' % i for i in range(257)) + b"}", False)],
)  # fmt: skip
def test_an_object_is_cleared_of_keys_that_stand_twice(raw: bytes, clear: bool) -> None:
    """What has no key twice is told at once; what has, what is spelt with escapes, what is too much and what is no JSON is not told of."""
    assert find_compiled("records").has_clear_keys(raw) is clear


def test_sums_of_pieces_out_of_order_are_refused() -> None:
    """Ends that do not lie in the data are an error and never read."""
    with pytest.raises(ValueError, match="not in order"):
        PARTS.short_sums(b"abc", array("I", [0, 9]))


@MANY
@given(st.sampled_from(sorted(FORMATS)), CHANGES, DROPPED, st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]), st.booleans())
def test_a_row_that_is_taken_is_what_the_reference_reads(
    name: str, changes: dict[str, Any], dropped: set[str], how: tuple[str, str], ascii_only: bool
) -> None:
    """A row that is taken gives the evidence, id and key of text that the reference gives."""
    raw = spell({key: value for key, value in {**ROWS[name], **changes}.items() if key not in dropped}, how, ascii_only=ascii_only)

    found = take(name, raw)

    assert found is None or found == by_reference(name, raw)


@MANY
@given(st.sampled_from(sorted(FORMATS)), st.dictionaries(st.sampled_from(KNOWN), TEXT, max_size=4), st.booleans())
def test_every_text_is_taken_as_it_is_spelt_or_spelt_anew(name: str, texts: dict[str, str], ascii_only: bool) -> None:
    """Escapes, controls, white space of every script: where only texts change, the row is taken and is what the reference reads."""
    kept = {key: text for key, text in texts.items() if key in {"model", "prompt", "context", "response", "notes", "run_id", "other"}}
    raw = spell({**ROWS[name], **kept}, (",", ":"), ascii_only=ascii_only)

    found = take(name, raw)

    assert found is not None
    assert found == by_reference(name, raw)


@MANY
@given(st.sampled_from(sorted(FORMATS)), st.sampled_from(KNOWN), SPELT_ODDLY)
def test_what_is_spelt_oddly_is_left_or_read_as_the_reference_reads_it(name: str, field: str, value: bytes) -> None:
    """Escapes that are none, bytes that are no UTF-8, numbers in every dress, keys twice: never taken as something else."""
    rest = {key: one for key, one in ROWS[name].items() if key != field}
    raw = json.dumps(rest).encode()[:-1] + b', "' + field.encode() + b'": ' + value + b"}"

    found = take(name, raw)

    assert found is None or found == by_reference(name, raw)


@MANY
@given(st.sampled_from(sorted(FORMATS)), st.integers(0, 600), st.binary(max_size=3), st.integers(0, 4))
def test_no_damage_goes_unseen(name: str, place: int, put: bytes, cut: int) -> None:
    """Bytes overwritten or cut anywhere: what is taken is what the reference reads."""
    good = spell({**ROWS[name], "response": 'say "ä" \\ twice'}, (", ", ": "), ascii_only=False)
    raw = (good[:place] + put + good[place + cut :]).replace(b"\n", b" ")

    found = take(name, raw)

    assert found is None or found == by_reference(name, raw)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_usual_row_is_taken_at_once(name: str) -> None:
    """With context, quotes in a text, a field we do not know; what it says is counted."""
    rows = [ROWS[name], {**ROWS[name], "context": "c"}, {**ROWS[name], "response": 'say {"a": 1}'}, {**ROWS[name], "extra": 1}]
    reader = reader_of(name)

    *_, left = reader.take(b"".join(json.dumps(row).encode() + b"\n" for row in rows), 0, 0, 1 << 20)

    assert left == []
    assert [times for _, times in reader.signals()] == [4]


def test_rows_that_are_left_keep_their_place_among_the_others() -> None:
    """Number, place, length, newline, and how much evidence stands before each; a row beyond the bound is left, a blank line is none."""
    row = json.dumps(ROWS["outcomes"]).encode()
    data = row + b"\nno json\n\n" + row + b"\n" + row[:-1] + b', "more": "' + b"x" * 500 + b'"}\n' + row + b"\n{"
    reader = reader_of("outcomes")

    view, ids, texts, left = reader.take(data, 10, 1000, 500)

    evidence = bytes(view)
    one = len(evidence) // 3
    starts = [len(row) + 1, 2 * len(row) + 11, len(data) - 1]
    assert (len(ids), len(texts), evidence.count(b"\n")) == (48, 48, 3)
    assert [(number, start, ended, rows) for number, start, _, ended, _, rows in left] == [
        (12, starts[0], True, 1), (15, starts[1], True, 2), (17, starts[2], False, 3),
    ]  # fmt: skip
    assert [abs(before - count * one) < 4 for *_, before, count in left] == [True] * 3  # numbers of lines and offsets differ in length


def clear() -> None:
    """Forget what was loaded."""
    find_compiled.cache_clear()
    compiled._load.cache_clear()


def test_it_can_be_switched_off_and_an_old_build_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """`DISTILL_COMPILED=0` goes without; a module that was built from another source says so and is not used."""
    clear()
    monkeypatch.setitem(os.environ, "DISTILL_COMPILED", "0")
    assert find_compiled("parts") is None
    clear()
    monkeypatch.delitem(os.environ, "DISTILL_COMPILED")
    monkeypatch.setattr("distill.compiled._source", lambda: "another")
    with pytest.warns(UserWarning, match="built from another source"):
        assert find_compiled("parts") is None
    clear()
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "distill.compiled.guard", None)
    assert find_compiled("parts") is None
    monkeypatch.undo()
    clear()
    assert find_compiled("parts") is PARTS


EVIDENCE = (
    b'{"schema_version":1,"id":"%b","run_id":%b,"task_id":"t","source":"s","created_at":null,"model":null,"provider":null,"role":null,"instruction":"q",'
    b'"context":null,"messages":null,"response":"a","corrected_response":null,"signals":[],"attempts":1,"errors":[],"lessons":[],"reference":[],"tags":{},'
    b'"cost_usd":null,"latency_ms":null,"tokens":null,"group":null,"subject":null,"provenance":{"source_file":"f","line":1,"member":null,"index":null,'
    b'"key":null,"offset":0,"sig_hash":"h","recorded_at":null}}\n'
)


@pytest.mark.parametrize("run_id", [b"1", b"", b'"', b'"\xff"', b'"a\tb"', b"{]", b"nul"])
def test_evidence_that_is_not_ours_is_left(run_id: bytes) -> None:
    """A line whose texts are no strings is never cut by its quotes, also where its verdict is known; Python says what is wrong with it."""
    verdict = type("Verdict", (), {"tail": b',"category":"accepted"}', "letter": b"g"})()
    left: list[bytes] = []

    def other(line: bytes, text: bytes, offset: int) -> bytes:
        left.append(line)
        return b"left\n"

    rows = find_compiled("score").Rows(lambda line: verdict, lambda source: b"head", PARTS.Lines(), PARTS.Lines())
    good, bad = EVIDENCE % (b"a" * 32, b'"r"'), EVIDENCE % (b"b" * 32, run_id)

    scored, met, count = rows.take(good + bad, bytes(32), 0, other)

    assert (left, [times for _, times in met], count) == ([bad[:-1]], [1], 2)
    assert scored.endswith(b'"accepted"}\nleft\n')


def test_a_block_that_ends_within_a_line_gives_no_line() -> None:
    """What no newline ends is no line, as in Python; nothing is written beyond what was measured."""
    assert PARTS.sort_blocks([b"b\na", b"c\n"]) == [b"b", b"c"]
    assert PARTS.merge_rows([b"{"] * 6000) == [(b"", 0)]


def test_pairs_are_those_of_the_last_call() -> None:
    """Nothing of a bucket is left when the next one is taken; witnesses that are too short to be any are passed over."""
    side = b'%b%b["%b",%b,"%b","%b","",false,"r","p",[["user","q",false],["assistant","%b",false]]]\n'
    sides = [(b"1", b"true", b"good"), (b"2", b"false", b"bad")]
    block = b"".join(side % (b"t" * 32, n * 32, n * 32, chosen, text, n, text) for n, chosen, text in sides)
    gather = find_compiled("pairs").Gather(4, False, 100)
    first, second, witnesses = PARTS.Lines(), PARTS.Lines(), PARTS.Lines()

    assert gather.take([block], first, PARTS.Lines()) == gather.take([block], second, witnesses) == ({None: 2}, [])
    assert len(first) == len(second) == len(witnesses) == 1
    row = bytes(PARTS.merge_rows([first.finish()[0]], ((b"", PAIR_ROW),))[0][0])
    reader = find_compiled("guard").PairReader([b"0\n", witnesses.finish()[0]], PARTS.Lines())
    looked: list[int] = []

    def look(number: int, line: bytes, before: str) -> str:
        looked.append(number)
        return "an id"

    assert reader.take(row + row, look) == ("an id", "an id")
    assert looked == [1, 2]
