"""Lines and values of JSON Lines (SPEC 9), with the standard library as a second, slower judge."""

import json
from io import BytesIO
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill import jsonl
from distill.compiled import find_compiled
from distill.errors import SchemaError
from distill.hashing import hash_bytes
from distill.jsonl import RAW_KEPT, BadLine, RawLine, decode_document, decode_line, encode_document, encode_row, read_lines
from distill.schemas.drift_report import DriftReport
from distill.schemas.evidence import Checks, EvidenceRecord, Provenance, Signal
from distill.schemas.export_rows import Playbook, PreferenceRow, PromptCompletionRow, RagRow, SftRow
from distill.schemas.ledger import LedgerLine
from distill.schemas.quarantine_row import QuarantineRow
from distill.schemas.run_summary import RunSummary
from distill.schemas.scored_run import ResolutionRow, ScoredRun
from distill.schemas.stage_receipt import StageReceipt
from tests.strategies import evidence, evidence_records, struct_values

STRUCTS: list[type[msgspec.Struct]] = [
    ScoredRun, ResolutionRow, QuarantineRow, RagRow, SftRow, PromptCompletionRow, PreferenceRow, Playbook, LedgerLine, StageReceipt, RunSummary,
    DriftReport, EvidenceRecord,
]  # fmt: skip
BIG = 1 << 26
GOOD = {
    "integer_of_4300_digits": b'{"a": ' + b"7" * 4300 + b"}",
    "nul": b'{"a": "\\u0000"}',
    "non_ascii": '{"é": "日本 \U0001f600"}'.encode(),
    "surrogate_pair": b'{"a": "\\ud83d\\ude00"}',
    "backslash_before_u": b'{"a": "\\\\ud83d"}',
    "nested_500": b'{"a":' + b"[" * 499 + b"]" * 499 + b"}",
    "brackets_in_text": b'{"a": "' + b"[" * 600 + b'"}',
    "wide": b'{"a": [' + b",".join([b"[]"] * 600) + b"]}",
    "equal_keys_of_different_objects": b'{"a": {"b": 1}, "c": {"b": 1}}',
    "text_like_a_key": b'{"a": "b", "c": ["b", "\\"b\\": 1"]}',
    "escaped_key": b'{"\\u0061": 1, "b": {"\\u0061": 2}}',
    "spaces": b' {"a" : 1}\t',
    "empty_object": b"{}",
}
BAD = {
    "text": (b"hello", "not_json", "JSON is malformed"),
    "list": (b"[1]", "not_json", "found a JSON list, expected an object"),
    "number": (b"1", "not_json", "found a JSON int, expected an object"),
    "text_after": (b'{"a": 1} x', "not_json", "trailing characters"),
    "nan": (b'{"a": NaN}', "not_json", "JSON is malformed"),
    "control_character": (b'{"a": "\x01"}', "not_json", "JSON is malformed"),
    "cut_in_text": (b'{"a": "b', "truncated", "the record ends at byte 8 before it is complete"),
    "cut_in_word": (b'{"a": tru', "truncated", "the record ends at byte 9 before it is complete"),
    "cut_in_half_pair": (b'{"a": "\\ud83d', "truncated", "the record ends at byte 13 before it is complete"),
    "cut_in_text_of_brackets": (b'{"a": "' + b"[" * 600, "truncated", "the record ends at byte 607 before it is complete"),
    "cut_after_backslash": (b'{"a": "' + b"[" * 600 + b"\\", "truncated", "the record ends at byte 608 before it is complete"),
    "utf8_in_value": (b'{"a": "\xff"}', "invalid_utf8", "byte 0xff at byte 7 is no UTF-8"),
    "utf8_in_key": (b'{"\xc3(": 1}', "invalid_utf8", "byte 0xc3 at byte 2 is no UTF-8"),
    "utf8_encoded_surrogate": (b'{"a": "\xed\xa0\x80"}', "invalid_utf8", "byte 0xed at byte 7 is no UTF-8"),
    "high_surrogate": (b'{"a": "\\ud83d"}', "lone_surrogate", "half a surrogate pair"),
    "high_surrogate_then_text": (b'{"a": "\\ud83dx"}', "lone_surrogate", "half a surrogate pair"),
    "high_surrogate_then_escape": (b'{"a": "\\ud83d\\n"}', "lone_surrogate", "half a surrogate pair"),
    "two_high_surrogates": (b'{"a": "\\ud83d\\ud83d"}', "lone_surrogate", "half a surrogate pair"),
    "low_surrogate": (b'{"a": "\\ude00"}', "lone_surrogate", "half a surrogate pair"),
    "surrogate_in_key": (b'{"\\uD800": 1}', "lone_surrogate", "half a surrogate pair"),
    "pair_beside_truncation": (b'{"b": "\\ud83d\\ude00", "a": ', "truncated", "before it is complete"),
    "integer_of_4301_digits": (b'{"a": ' + b"7" * 4301 + b"}", "number_out_of_range", "out of range"),
    "float": (b'{"a": 1e999}', "number_out_of_range", "out of range"),
    "nested_501": (b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", "too_deep", "nested 501 levels deep, at most 500 are read"),
    "nested_100000": (b'{"a":' + b"[" * 100_000, "too_deep", "nested 100001 levels deep"),
    "key_twice": (b'{"a": 1, "a": 1}', "duplicate_key", "the key 'a' stands twice in one object"),
    "key_twice_by_escape": (b'{"ab": 1, "\\u0061b": 2}', "duplicate_key", "the key 'ab' stands twice in one object"),
    "key_twice_below": (b'{"x": [{"y": {"k": 1, "m": {"k": 1}, "k" : 2}}]}', "duplicate_key", "the key 'k' stands twice in one object"),
    "key_twice_empty": (b'{"": 1, "": 1}', "duplicate_key", "the key '' stands twice in one object"),
}


def lines_of(data: bytes, limit: int = BIG) -> list[RawLine]:
    """Return the lines of some bytes."""
    return list(read_lines(BytesIO(data), max_line_bytes=limit))


def slow_lines(data: bytes, limit: int) -> list[RawLine]:
    """Split bytes into lines the plain way, with everything in memory."""
    found, offset = [], 0
    if data.startswith(b"\xef\xbb\xbf"):
        offset = 3
    pieces = data[offset:].split(b"\n")
    for i, piece in enumerate(pieces):
        raw = piece[:-1] if piece.endswith(b"\r") else piece
        long = len(raw) > limit
        if long or raw.strip():
            kept = raw[:RAW_KEPT] if long else raw
            found.append(RawLine(i + 1, offset, kept, i < len(pieces) - 1, len(raw), hash_bytes(raw) if long else None))
        offset += len(piece) + 1
    return found


@pytest.mark.parametrize("raw", GOOD.values(), ids=GOOD)
def test_good_line_survives_unchanged(raw: bytes) -> None:
    """A line that is one JSON object reads as the standard library reads it."""
    assert decode_line(raw) == json.loads(raw)


def test_a_minus_sign_counts_as_a_digit() -> None:
    """A negative integer survives up to 4,299 digits and is refused with its reason beyond, never cut or rounded."""
    assert decode_line(b'{"a": -' + b"7" * 4299 + b"}") == {"a": -int("7" * 4299)}

    with pytest.raises(BadLine) as caught:
        decode_line(b'{"a": -' + b"7" * 4300 + b"}")
    assert caught.value.reason == "number_out_of_range"


@pytest.mark.parametrize(("raw", "reason", "detail"), BAD.values(), ids=BAD)
def test_bad_line_is_refused_with_its_reason(raw: bytes, reason: str, detail: str) -> None:
    """A line of SPEC 9's table is refused with its slug and what was found."""
    with pytest.raises(BadLine) as caught:
        decode_line(raw)

    assert caught.value.reason == reason
    assert detail in caught.value.detail
    assert str(caught.value) == f"{reason}: {caught.value.detail}"


def test_neighbours_of_bad_lines_are_kept() -> None:
    """Every good line is read whatever stands beside it, with its own number and offset."""
    good = b'{"n": 1}'
    data = b"".join(raw + b"\n" + good + b"\n" for raw, _, _ in BAD.values())

    kept = [line for line in lines_of(data) if line.raw == good]

    assert len(kept) == len(BAD)
    assert all(data[line.offset : line.offset + len(good)] == good for line in kept)
    assert [line.number for line in kept] == list(range(2, 2 * len(BAD) + 1, 2))


@pytest.mark.parametrize(
    ("data", "expected"),
    {
        "empty": (b"", []),
        "three_bytes": (b"{}\n", [(1, 0, b"{}", True)]),
        "bom_only": (b"\xef\xbb\xbf", []),
        "two_bytes": (b"{}", [(1, 0, b"{}", False)]),
        "bom": (b"\xef\xbb\xbf{}\n", [(1, 3, b"{}", True)]),
        "bom_inside": (b"{}\n\xef\xbb\xbf{}\n", [(1, 0, b"{}", True), (2, 3, b"\xef\xbb\xbf{}", True)]),
        "crlf": (b"{}\r\n[]\r\n", [(1, 0, b"{}", True), (2, 4, b"[]", True)]),
        "blank_lines": (b"\n \t\n{}\n\r\n\n[]", [(3, 4, b"{}", True), (6, 10, b"[]", False)]),
        "no_newline_at_the_end": (b"{}\n[]", [(1, 0, b"{}", True), (2, 3, b"[]", False)]),
        "bom_crlf_blank": (b"\xef\xbb\xbf\r\n{}\r\n", [(2, 5, b"{}", True)]),
    }.values(),
    ids=["empty", "three_bytes", "bom_only", "two_bytes", "bom", "bom_inside", "crlf", "blank_lines", "no_newline", "bom_crlf_blank"],
)
def test_lines_are_read_as_a_person_would_expect(data: bytes, expected: list[tuple[int, int, bytes, bool]]) -> None:
    """BOM, CRLF, blank lines and a missing last newline change numbers and offsets only as they must."""
    assert [(line.number, line.offset, line.raw, line.ended) for line in lines_of(data)] == expected


PIECES = st.sampled_from([b"\n", b"\r\n", b"\r", b" ", b"{}", b"ab", b"\xef\xbb\xbf", b"\x00", b'"', b"abcdefgh"])


@given(st.lists(PIECES | st.binary(max_size=4), max_size=30).map(b"".join), st.integers(1, 12))
def test_lines_agree_with_a_slow_splitter(data: bytes, limit: int) -> None:
    """Any bytes split into the same lines as an implementation that holds them all."""
    assert lines_of(data, limit) == slow_lines(data, limit)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""], ids=["lf", "crlf", "none"])
@pytest.mark.parametrize("limit", [100, RAW_KEPT, (1 << 17) - 1, 1 << 17, (1 << 17) + 4])
@pytest.mark.parametrize("around", [-2, -1, 0, 1, 2, 3])
def test_overlong_lines_at_bound_and_chunk(end: bytes, limit: int, around: int) -> None:
    """A line is too long beyond the bound and not at it, wherever the chunk of 128 KiB ends."""
    sizes = [limit + around, (1 << 17) + around, (1 << 17) - limit + around, 3 * (1 << 17) + around]
    for size in sizes:
        data = b"{}\n" + b"x" * max(size, 0) + end + b"{}\n"

        assert lines_of(data, limit) == slow_lines(data, limit)


class Endless:
    """A file of one line without end, which counts what was read from it."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        size = min(size, self.left)
        self.left -= size
        return b"x" * size


def test_memory_stays_bounded_for_an_overlong_line() -> None:
    """A line of 64 MiB needs less than a megabyte where the bound is 1,000 bytes."""
    import tracemalloc

    tracemalloc.start()
    (line,) = read_lines(Endless(1 << 26), max_line_bytes=1000)  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1 << 20
    assert (line.length, len(line.raw), line.ended) == (1 << 26, RAW_KEPT, False)


KEYS = st.sampled_from(["a", "b", "\\u0061", "\\u0062", "", '\\"', '\\"a\\": 1', "{", "}", "\\\\", "a:", "\u00e9", "\\u00e9"])
VALUES = st.recursive(
    st.sampled_from(["1", "null", '"a"', '"b"', '"\\"a\\": 2"', '"}"', '"{"', '"\\\\"', "-1.5e3"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(KEYS, inner), max_size=4).map(lambda pairs: "{" + ",".join(f'"{k}" : {v}' for k, v in pairs) + "}")
    ),
    max_leaves=12,
)
OBJECTS = st.lists(st.tuples(KEYS, VALUES), max_size=4).map(lambda pairs: "{" + ",".join(f'"{k}":{v}' for k, v in pairs) + "}")


def repeated_keys(text: str) -> set[str]:
    """Return the keys that the standard library sees twice in one object."""
    found: set[str] = set()

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [key for key, _ in pairs]
        found.update(name for name in names if names.count(name) > 1)
        return dict(pairs)

    json.loads(text, object_pairs_hook=look)
    return found


@pytest.mark.parametrize("compiled", [find_compiled("records"), None], ids=["compiled", "in Python"])
@settings(max_examples=300)
@given(text=OBJECTS)
def test_repeated_keys_agree_with_the_standard_library(compiled: Any, text: str) -> None:
    """A key twice in one object is found in any JSON, written with escapes or beside text that looks like keys."""
    repeated = repeated_keys(text)

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("distill.jsonl.find_compiled", lambda name: compiled)
            value = decode_line(text.encode())
    except BadLine as bad:
        assert bad.reason == "duplicate_key"
        assert bad.detail in {f"the key {key!r} stands twice in one object" for key in repeated}
    else:
        assert not repeated
        assert value == json.loads(text)


@given(st.binary(max_size=30) | st.text(max_size=30).map(str.encode) | OBJECTS.map(str.encode).map(lambda raw: raw[:-1]))
def test_whatever_is_decoded_the_standard_library_decodes_too(raw: bytes) -> None:
    """No bytes escape as another exception, and what is read is what the standard library reads."""
    try:
        value = decode_line(raw)
    except BadLine:
        return

    assert value == json.loads(raw)


def test_struct_with_a_wrong_value_cannot_be_encoded() -> None:
    """A struct built in Python with a wrong value is refused when it is written."""
    wrong = Checks(passed=-1, failed=0)
    nested = evidence("a", signals=[Signal(kind="opinion", verdict="pass", where="x")])  # type: ignore[arg-type]

    for encode in (encode_row, encode_document):
        with pytest.raises(SchemaError, match=r"Checks: Expected `int` >= 0"):
            encode(wrong)
        with pytest.raises(SchemaError, match=r"EvidenceRecord: Invalid enum value 'opinion'"):
            encode(nested)


def test_unreadable_document_names_its_place() -> None:
    """A damaged document is refused with its place and the schema it should follow."""
    for data in (b"{", b'{"passed": 1}', b'{"passed": 1, "failed": 0, "x": 1}', b'{"passed": 1, "failed": "\xff"}'):
        with pytest.raises(SchemaError, match=r"^file\.jsonl:3: found .*, expected a Checks of schema version 1$"):
            decode_document(data, Checks, place="file.jsonl:3")


@pytest.mark.parametrize(
    ("place", "expected"),
    [({"line": 3}, "f:3@7"), ({"member": "m.json"}, "f!m.json"), ({"index": 0}, "f[0]@7"), ({"key": "k"}, "f{k}@7")],
    ids=["line", "member", "index", "key"],
)
def test_provenance_is_one_string(place: dict[str, Any], expected: str) -> None:
    """A place is told as path and line, member, index or key, then the hash of the raw bytes."""
    assert str(Provenance(source_file="f", offset=7, sig_hash="ab", **place)) == f"{expected} blake3:ab"


@given(evidence_records)
def test_evidence_survives_encoding(record: EvidenceRecord) -> None:
    """Any evidence is one line that reads back as it was."""
    row = encode_row(record)

    assert row.count(b"\n") == 1
    assert decode_document(row, EvidenceRecord, place="p") == record


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_record_survives_encoding(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    """Every row and document reads back as it was written, by line and indented, and an unknown field is refused."""
    value = data.draw(struct_values(kind))
    row = encode_row(value)

    assert decode_document(row, kind, place="p") == value
    assert decode_document(encode_document(value), kind, place="p") == value
    with pytest.raises(SchemaError, match=r"unknown field `surplus`"):
        decode_document(row[:-2] + b',"surplus":1}', kind, place="p")


def test_document_too_deep_to_decode_is_a_schema_error() -> None:
    """Nesting that exhausts the decoder is damage like any other."""
    deep = encode_row(evidence("a", signals=[Signal(kind="self", verdict="pass", where="x")])).replace(
        b'"value":null', b'"value":' + b"[" * 5000 + b"]" * 5000
    )

    with pytest.raises(SchemaError, match=r"^place: "):
        decode_document(deep, EvidenceRecord, place="place")


def test_a_long_line_is_joined_once() -> None:
    """A line of many chunks costs its length once: nothing is handed on before its end, or before it is beyond the bound."""
    line = b"x" * (8 * jsonl._CHUNK)

    within = list(jsonl._join_chunks(BytesIO(line + b"\nnext"), len(line)))
    beyond = list(jsonl._join_chunks(BytesIO(line + b"\nnext"), 3 * jsonl._CHUNK))

    assert within == [line + b"\nnext", b""]
    assert max(map(len, beyond)) <= 4 * jsonl._CHUNK
    assert b"".join(beyond) == line + b"\nnext"
