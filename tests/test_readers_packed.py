"""Packed files that are damaged: what came before is kept, whatever the size of the file (SPEC 9)."""

import gzip
import json
import random
import zipfile
from pathlib import Path

import pytest
import zstandard

from distill.files import read_records
from distill.jsonl import RAW_KEPT, BadLine, RawLine
from distill.readers import Limits


@pytest.mark.parametrize("packed", ["gz", "zst"])
@pytest.mark.parametrize("reader", ["json_array", "json_object"])
def test_records_before_the_damage_of_a_small_packed_file_are_kept(tmp_path: Path, reader: str, packed: str) -> None:
    """SPEC 9: a file that is read in one step is damaged near its end: what came before is kept, and the damage is told last."""
    words = random.Random(1)
    rows = [{"n": i, "text": " ".join(words.choices(["one", "two", "three", "four"], k=12))} for i in range(400)]
    text = json.dumps(rows if reader == "json_array" else {f"k{row['n']}": row for row in rows}, indent=1).encode()
    assert len(text) < RAW_KEPT
    whole = (
        gzip.compress(text, mtime=0)
        if packed == "gz"
        else b"".join(zstandard.compress(text[i : i + 4096]) for i in range(0, len(text), 4096))
    )
    path = tmp_path / f"a.json.{packed}"
    path.write_bytes(whole[:-40])

    found = list(read_records(path, reader, Limits()))

    assert isinstance(found[-1], BadLine)
    assert found[-1].reason == "unreadable_member"
    lines = [one for one in found if isinstance(one, RawLine)]
    assert len(lines) == len(found) - 1 > 300
    assert [json.loads(one.raw) for one in lines] == rows[: len(lines)]


def test_member_that_is_refused_costs_its_neighbours_nothing(tmp_path: Path) -> None:
    """SPEC 9: a member that claims to unpack to more than the whole archive may is refused alone, wherever its name sorts."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {"a.json": b"{}", "bomb.json": b" " * (80 << 20), "c.json": b"{}"}.items():
            archive.writestr(name, data)

    found = list(read_records(path, "zip", Limits()))

    assert [one.reason if isinstance(one, BadLine) else one.member for one in found] == ["a.json", "unreadable_member", "c.json"]


def test_archive_read_as_one_document_is_told(tmp_path: Path) -> None:
    """An archive under the reader for single documents, which inspect-ai logs have by default, is named with the way out."""
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", b"{}")

    (found,) = read_records(path, "json_file", Limits())

    assert isinstance(found, BadLine)
    assert (found.reason, found.detail.split(";")[0]) == ("not_json", "the file is a zip")
