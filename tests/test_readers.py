"""How records lie in files: arrays, objects, single files, archives, packed or not (SPEC 2), and what is broken in them (SPEC 9)."""

import gzip
import io
import json
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from distill.files import read_records
from distill.hashing import hash_bytes
from distill.jsonl import RAW_KEPT, BadLine, RawLine, decode_line
from distill.readers import READERS, Limits, elements, find_reader
from distill.readers.archive import read as read_zip
from distill.readers.json_array import read as read_array
from distill.readers.json_file import read as read_file
from distill.readers.json_object import read as read_object

Told = tuple[str, Any, int, bytes]
BIG = b'{"a": "' + b"x" * 300 + b'"}'
DEEP = b'{"a": ' * 501 + b"1" + b"}" * 501

ARRAYS: dict[str, tuple[bytes, list[Told]]] = {
    "empty": (b"", []),
    "blank": (b" \r\n\t ", []),
    "no record": (b" [ \n] ", []),
    "plain": (b'[{"a":1},{"a":2}]', [("", 0, 1, b'{"a":1}'), ("", 1, 9, b'{"a":2}')]),
    "pretty": (b'[\r\n {\n  "a": 1\n },\n {}\n]\n', [("", 0, 4, b'{\n  "a": 1\n }'), ("", 1, 20, b"{}")]),
    "byte order mark": (b"\xef\xbb\xbf[{}]", [("", 0, 4, b"{}")]),
    "brackets in strings": (b'[{"a":"]},{\\""},{"b":"\\\\"}]', [("", 0, 1, b'{"a":"]},{\\""}'), ("", 1, 16, b'{"b":"\\\\"}')]),
    "broken word": (b'[{"a":1},tru , {"a":2}]', [("", 0, 1, b'{"a":1}'), ("truncated", 1, 9, b"tru"), ("", 2, 15, b'{"a":2}')]),
    "broken inside": (b'[{"a":tru},{}]', [("not_json", 0, 1, b'{"a":tru}'), ("", 1, 11, b"{}")]),
    "bracket lost": (b'[{"a":[1},{}]', [("not_json", 0, 1, b'{"a":[1}'), ("", 1, 10, b"{}")]),
    "nothing between commas": (b"[{},,{}]", [("", 0, 1, b"{}"), ("not_json", 1, 4, b""), ("", 2, 5, b"{}")]),
    "comma at the end": (b"[{},]", [("", 0, 1, b"{}"), ("not_json", 1, 4, b"")]),
    "no objects": (b'[1,"a",[{}]]', [("not_json", 0, 1, b"1"), ("not_json", 1, 3, b'"a"'), ("not_json", 2, 7, b"[{}]")]),
    "cut in a record": (b'[{"a":1},{"a":', [("", 0, 1, b'{"a":1}'), ("truncated", 1, 9, b'{"a":')]),
    "cut in a string": (b'[{},{"a":"b\\', [("", 0, 1, b"{}"), ("truncated", 1, 4, b'{"a":"b\\')]),
    "cut in a word": (b"[{},tru", [("", 0, 1, b"{}"), ("truncated", 1, 4, b"tru")]),
    "cut behind a record": (b"[{}", [("", 0, 1, b"{}"), ("truncated", 1, 3, b"")]),
    "cut behind a comma": (b"[{}, ", [("", 0, 1, b"{}"), ("truncated", 1, 5, b"")]),
    "cut at once": (b"[", [("truncated", 0, 1, b"")]),
    "text behind": (b"[{}]\n[{}]", [("", 0, 1, b"{}"), ("not_json", 1, 5, b"[{}]")]),
    "no array": (b'{"a":1}', [("not_json", None, 0, b'{"a":1}')]),
    "too long": (b"[" + BIG + b",{}]", [("line_too_long", 0, 1, BIG), ("", 1, 311, b"{}")]),
    "too deep": (b"[" + DEEP + b",{}]", [("too_deep", 0, 1, DEEP), ("", 1, len(DEEP) + 2, b"{}")]),
    "key twice": (b'[{"a":1,"a":2},{}]', [("duplicate_key", 0, 1, b'{"a":1,"a":2}'), ("", 1, 15, b"{}")]),
    "no UTF-8": (b'[{"a":"\xff"},{}]', [("invalid_utf8", 0, 1, b'{"a":"\xff"}'), ("", 1, 11, b"{}")]),
}
"""Text of a file to slug, index, offset and bytes of every record."""
OBJECTS: dict[str, tuple[bytes, list[Told]]] = {
    "empty": (b"", []),
    "no record": (b"{ }", []),
    "plain": (b'{"a":{"x":1}, "b" :\n{}\n}', [("", "a", 5, b'{"x":1}'), ("", "b", 20, b"{}")]),
    "escaped key": (b'{"\\u00e9\\"":{}}', [("", 'é"', 12, b"{}")]),
    "key twice": (
        b'{"a":{},"\\u0061":{"x":1},"b":{}}',
        [("", "a", 5, b"{}"), ("duplicate_key", "a", 17, b'{"x":1}'), ("", "b", 29, b"{}")],
    ),
    "broken word": (b'{"a":tru,"b":{}}', [("truncated", "a", 5, b"tru"), ("", "b", 13, b"{}")]),
    "no value": (b'{"a":,"b":{}}', [("not_json", "a", 5, b""), ("", "b", 10, b"{}")]),
    "no key": (b'{{"x":1},"b":{}}', [("not_json", 0, 1, b'{"x":1}'), ("", "b", 13, b"{}")]),
    "broken key": (b'{"\\ud800":{},"b":{}}', [("not_json", 0, 10, b"{}"), ("", "b", 17, b"{}")]),
    "cut in a key": (b'{"a":{},"b', [("", "a", 5, b"{}"), ("truncated", 1, 8, b'"b')]),
    "cut behind a key": (b'{"a":{},"b":', [("", "a", 5, b"{}"), ("truncated", "b", 12, b"")]),
    "no object": (b"[{}]", [("not_json", None, 0, b"[{}]")]),
}


def told(records: Any) -> list[Told]:
    """Return slug, index or key, offset and bytes of every record, decoded as collect does."""
    found: list[Told] = []
    for one in records:
        if isinstance(one, BadLine):
            place = one.place or RawLine(0, 0, b"", ended=True, length=0, hash=None)
            found.append((one.reason, place.index if place.key is None else place.key, place.offset, place.raw))
            continue
        slug = "line_too_long" if one.hash is not None else slug_of(one.raw)
        found.append((slug, one.index if one.key is None else one.key, one.offset, one.raw))
    return found


def slug_of(raw: bytes) -> str:
    """Return why a record is refused when it is decoded, or nothing."""
    try:
        decode_line(raw)
    except BadLine as bad:
        return bad.reason
    return ""


def zipped(members: dict[str, bytes], **settings: Any) -> bytes:
    """Return an archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", **({"compression": zipfile.ZIP_DEFLATED} | settings)) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


def unzip(data: bytes, **limits: Any) -> list[tuple[str, str | None, bytes]]:
    """Return slug or nothing, member and bytes of every record of an archive."""
    found: list[tuple[str, str | None, bytes]] = []
    for one in read_zip(io.BytesIO(data), limits=Limits(**limits)):
        if isinstance(one, BadLine):
            found.append((one.reason, one.place.member if one.place else None, b""))
        else:
            found.append(("line_too_long" if one.hash else "", one.member, one.raw))
    return found


@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
@pytest.mark.parametrize("case", ARRAYS)
def test_array_gives_each_record_with_its_place(monkeypatch: pytest.MonkeyPatch, case: str, chunk: int) -> None:
    """SPEC 2, 9: index, offset and exact bytes of every record; a broken one alone is refused, a cut array keeps what came before."""
    monkeypatch.setattr(elements, "_CHUNK", chunk)
    data, expected = ARRAYS[case]
    limit = 100 if case == "too long" else 1 << 20

    assert told(read_array(io.BytesIO(data), limits=Limits(limit))) == expected


@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
@pytest.mark.parametrize("case", OBJECTS)
def test_object_gives_each_record_with_its_key(monkeypatch: pytest.MonkeyPatch, case: str, chunk: int) -> None:
    """SPEC 2, 9: key, offset and exact bytes of every value; of a key that stands twice the second is refused."""
    monkeypatch.setattr(elements, "_CHUNK", chunk)
    data, expected = OBJECTS[case]

    assert told(read_object(io.BytesIO(data), limits=Limits())) == expected


def test_break_of_an_array_is_told_with_its_offset() -> None:
    """SPEC 9: a cut array says where it ends and what came before is kept."""
    *_, last = read_array(io.BytesIO(b'[{"a":1},{"b":[2,'), limits=Limits())

    assert isinstance(last, BadLine)
    assert last.detail == "the array ends at byte 17 inside record 1 (counted from 0); what came before is kept"


@pytest.mark.parametrize(("read", "data", "way_out"), [(read_array, b'{"a":1}', "'jsonl'"), (read_object, b"[{}]", "'json_array'")])
def test_other_shape_names_the_reader_that_fits(read: Callable[..., Any], data: bytes, way_out: str) -> None:
    """SPEC 9: a file that is no array, or no object, is one refused record that says what was found and what to set."""
    (bad,) = read(io.BytesIO(data), limits=Limits())

    assert bad.reason == "not_json"
    assert f"starts with {chr(data[0])!r}" in bad.detail
    assert way_out in bad.detail


@pytest.mark.parametrize("length", [200, RAW_KEPT + 500, 3 << 20])
def test_record_that_is_too_long_keeps_head_length_and_hash(length: int) -> None:
    """SPEC 9: a record over max_line_bytes is known by its length and hash, its first 64 KiB are kept."""
    record = b'{"a": "' + b"x" * length + b'"}'

    long, after = read_array(io.BytesIO(b"[ " + record + b" \n, {}]"), limits=Limits(100))

    assert isinstance(long, RawLine)
    assert isinstance(after, RawLine)
    assert (long.length, long.hash, long.raw) == (len(record), hash_bytes(record), record[:RAW_KEPT])
    assert (after.raw, after.offset) == (b"{}", len(record) + 6)


class Endless(io.RawIOBase):
    """A file that goes on with the same bytes."""

    def __init__(self, head: bytes, body: bytes, times: int) -> None:
        """Start with `head`, then give `body` so many times."""
        self._head, self._body, self._left = head, body, times

    def read(self, size: int = -1, /) -> bytes:
        """Return the next piece."""
        head, self._head = self._head, b""
        self._left -= not head
        return head or (self._body if self._left >= 0 else b"")


@pytest.mark.parametrize(
    "file", [Endless(b"[", b'{"a": [{"b": "c"}]},' * 5000, 300), Endless(b'[{"a": "', b"x" * 100_000, 300)], ids=["many", "long"]
)
def test_memory_of_an_array_is_bounded(file: Any) -> None:
    """SPEC 9: neither many records nor a long one are held in memory."""
    tracemalloc.start()

    count = sum(1 for _ in read_array(file, limits=Limits(1 << 20)))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count in {1, 300 * 5000 + 1}
    assert peak < 12 << 20


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
RECORDS = st.lists(st.dictionaries(st.text(), VALUES), max_size=8)


@given(RECORDS, st.sampled_from([None, 0, 1]), st.booleans(), st.integers(1, 60))
def test_array_agrees_with_the_standard_library(records: list[Any], indent: int | None, ascii_only: bool, chunk: int) -> None:
    """Every record of a whole array comes out as the standard library reads it, from the bytes at its offset."""
    data = json.dumps(records, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elements, "_CHUNK", chunk)

        found = [one for one in read_array(io.BytesIO(data), limits=Limits()) if isinstance(one, RawLine)]

    assert [json.loads(one.raw.decode("utf-8", "surrogatepass")) for one in found] == records
    assert all(data[one.offset : one.offset + one.length] == one.raw for one in found)


TOKENS = [b"{", b"}", b"[", b"]", b",", b":", b'"a"', b'"', b"\\", b" ", b'{"a":1}', b'"x\\"y"', b"1", b"tru", b'"]},"']


@pytest.mark.parametrize("seed", range(40))
def test_any_text_reads_the_same_however_it_comes(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Broken text gives the same records whatever the pieces it is read in, and each is the bytes at its offset."""
    chance = random.Random(seed)
    for _ in range(50):
        read, opening = chance.choice([(read_array, b"["), (read_object, b"{")])
        data, limit = opening + b"".join(chance.choices(TOKENS, k=chance.randrange(25))), chance.choice([5, 20, 1000])
        found = []
        for chunk in (1, 3, 1 << 20):
            monkeypatch.setattr(elements, "_CHUNK", chunk)
            found.append(told(read(io.BytesIO(data), limits=Limits(limit))))
        assert found[0] == found[1] == found[2], data
        assert all(data[offset : offset + len(raw)] == raw for _, _, offset, raw in found[0])


def test_file_is_one_record() -> None:
    """SPEC 2: a file is one record, without byte order mark and the white space around it; one that holds nothing is none."""
    (line,) = read_file(io.BytesIO(b'\xef\xbb\xbf \r\n{\n "a": 1\n}\n'), limits=Limits())

    assert (line.number, line.offset, line.raw, line.hash) == (1, 6, b'{\n "a": 1\n}', None)  # type: ignore[union-attr]
    assert list(read_file(io.BytesIO(b"\xef\xbb\xbf \n"), limits=Limits())) == []


def test_members_are_read_in_the_order_of_their_names() -> None:
    """SPEC 2: each member that matches is one record, whatever the order in the archive; others are left alone."""
    data = zipped({"b/2.json": b"{}\n", "a.json": b' {"a":1}', "notes.txt": b"x", "b/": b"", "b/10.json": b"[]"})

    assert unzip(data) == [("", "a.json", b'{"a":1}'), ("", "b/10.json", b"[]"), ("", "b/2.json", b"{}")]
    assert unzip(data, members="b/*") == [("", "b/10.json", b"[]"), ("", "b/2.json", b"{}")]


def test_damaged_member_is_skipped_alone() -> None:
    """SPEC 9: a member whose bytes are damaged is `unreadable_member`; its neighbours are kept."""
    data = bytearray(zipped({"a.json": b"{}", "b.json": b'{"b":1}', "c.json": b"{}"}, compression=zipfile.ZIP_STORED))
    data[data.index(b'{"b":1}')] = ord("[")

    assert unzip(bytes(data)) == [("", "a.json", b"{}"), ("unreadable_member", "b.json", b""), ("", "c.json", b"{}")]


@pytest.mark.parametrize(("offset", "value"), [(8, 1), (10, 97)], ids=["encrypted", "unknown method"])
def test_member_that_cannot_be_unpacked_is_skipped_alone(offset: int, value: int) -> None:
    """SPEC 9: an encrypted member and one of an unknown method are `unreadable_member` alone."""
    data = bytearray(zipped({"a.json": b"{}", "b.json": b"{}"}))
    struct.pack_into("<H", data, data.index(b"PK\x01\x02") + offset, value)
    struct.pack_into("<H", data, offset - 2, value)

    assert unzip(bytes(data)) == [("unreadable_member", "a.json", b""), ("", "b.json", b"{}")]


@pytest.mark.parametrize("name", ["../a.json", "/a.json", "b/../../a.json", "C:/a.json", "..\\a.json"])
def test_name_that_leaves_the_root_is_refused(name: str) -> None:
    """SPEC 2: a member whose name leaves the root is refused and named."""
    first, second = read_zip(io.BytesIO(zipped({name: b"{}", "z.json": b"{}"})), limits=Limits())

    assert isinstance(first, BadLine)
    assert isinstance(second, RawLine)
    assert (first.reason, repr(name) in first.detail) == ("unreadable_member", True)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_name_that_stands_twice_is_read_once() -> None:
    """A member that stands twice is read once; the second is `duplicate_key`."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.json", b'{"a":1}')
        archive.writestr("a.json", b'{"a":2}')

    assert unzip(made.getvalue()) == [("", "a.json", b'{"a":1}'), ("duplicate_key", "a.json", b"")]


def test_member_that_is_too_long_is_known_by_its_hash() -> None:
    """SPEC 9: of a member over max_line_bytes the head, the length and the hash are kept."""
    body = b'{"a": "' + bytes(random.Random(1).choices(b"abcdef", k=200_000)) + b'"}'

    (line,) = read_zip(io.BytesIO(zipped({"a.json": body})), limits=Limits(1000))

    assert isinstance(line, RawLine)
    assert (line.length, line.hash, line.raw) == (len(body), hash_bytes(body), body[:RAW_KEPT])


def test_archive_that_unpacks_to_too_much_is_refused() -> None:
    """SPEC 9: a member that unpacks to far more than its bytes is refused without being unpacked; its neighbours are kept."""
    data = zipped({"a.json": b"{}", "bomb.json": b" " * (8 << 20), "c.json": b"{}"})

    assert unzip(data) == [("", "a.json", b"{}"), ("unreadable_member", "bomb.json", b""), ("", "c.json", b"{}")]


def test_archive_that_unpacks_to_too_much_in_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """SPEC 9: members that each keep within the bound may not unpack to more than the bound of the archive together."""
    monkeypatch.setattr("distill.readers.archive._RATIO", 0)
    monkeypatch.setattr("distill.readers.archive._ARCHIVE", 25)

    found = unzip(zipped({f"{i}.json": b'{"a": 123}' for i in range(4)}))

    assert [slug for slug, _, _ in found] == ["", "", "unreadable_member", "unreadable_member"]


def test_file_that_is_no_zip_is_one_unreadable_member() -> None:
    """SPEC 9: a file that is no zip, and a cut one, are one unreadable record."""
    whole = zipped({"a.json": b"{}"})

    assert [unzip(b"no zip"), unzip(whole[:-10])] == [[("unreadable_member", None, b"")]] * 2


def packed(path: Path, data: bytes) -> Path:
    """Write a file packed as its ending says."""
    pack = {".gz": lambda: gzip.compress(data, mtime=0), ".zst": lambda: zstandard.ZstdCompressor().compress(data)}
    path.write_bytes(pack[path.suffix]() if path.suffix in pack else data)
    return path


FILES = {
    "jsonl": b'{"a":1}\n{"a":2}\n', "json_array": b'[{"a":1}, {"a":2}]', "json_object": b'{"k":{"a":1}, "l":{"a":2}}', "json_file": b'{"a":1}',
    "zip": zipped({"1.json": b'{"a":1}', "2.json": b'{"a":2}'}),
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("reader", FILES)
def test_each_reader_also_reads_what_is_packed(tmp_path: Path, reader: str, suffix: str) -> None:
    """SPEC 2: every reader also reads `.gz` and `.zst`, with offsets in the unpacked bytes."""
    plain = list(read_records(packed(tmp_path / "a", FILES[reader]), reader, Limits()))

    found = list(read_records(packed(tmp_path / f"a{suffix}", FILES[reader]), reader, Limits()))

    assert found == plain
    assert [one.raw for one in found if isinstance(one, RawLine)] == [b'{"a":1}', b'{"a":2}'][: 1 if reader == "json_file" else 2]
    assert len(READERS) == len(FILES)


@pytest.mark.parametrize("reader", ["json_array", "json_object"])
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_damaged_pack_keeps_what_came_before(tmp_path: Path, reader: str, suffix: str) -> None:
    """SPEC 9: where the packed data of an array or object breaks off, every record before is kept and the damage is told."""
    chance = random.Random(3)
    rows = [{"a": "".join(chance.choices("abcdefgh", k=300))} for _ in range(4000)]
    data = json.dumps(rows if reader == "json_array" else {str(i): one for i, one in enumerate(rows)}).encode()
    path = packed(tmp_path / f"a{suffix}", data)
    path.write_bytes(path.read_bytes()[:-40_000])

    *found, last = read_records(path, reader, Limits())

    assert isinstance(last, BadLine)
    assert (last.reason, last.place) == ("unreadable_member", None)
    assert 1500 < len(found) < 4000
    assert [decode_line(one.raw) for one in found if isinstance(one, RawLine)] == rows[: len(found)]


def test_archive_packed_again_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SPEC 9: a packed archive that unpacks to far more than its bytes is one unreadable record."""
    monkeypatch.setattr("distill.files._SPARE", 1000)

    (bad,) = read_records(packed(tmp_path / "a.zip.gz", b"\0" * (1 << 20)), "zip", Limits())

    assert isinstance(bad, BadLine)
    assert bad.reason == "unreadable_member"


def test_unknown_reader_has_no_entry() -> None:
    """The table knows its readers only."""
    with pytest.raises(KeyError):
        find_reader("xml")
