"""Cutting files into units: whole lines, every byte once, and the same places in a file that grew."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.files import HashedFile
from distill.hashing import hash_bytes
from distill.units import cutting
from distill.units.cutting import UNIT_BYTES, Unit, cut_file
from distill.units.workshop import _cut_at

LINES = st.lists(st.sampled_from([b"", b"a", b"some words", b"a line of forty bytes, more or less, here", b"\r"]), max_size=30)


class _Memory(io.BytesIO):
    """A file in memory that is read as a HashedFile is."""


def cut(data: bytes, *, size: int = UNIT_BYTES, whole: bool = False) -> list[Unit]:
    """Return the units of some bytes."""
    return list(cut_file(_Memory(data), size=size, whole=whole))  # type: ignore[arg-type]  # a stand-in


def check_units(data: bytes, units: list[Unit]) -> None:
    """Check that units are whole lines which cover some bytes, with their hashes and the lines before them."""
    assert [unit.start for unit in units] == [0, *(unit.end for unit in units[:-1])]
    assert units[-1].end == len(data)
    for unit in units:
        assert unit.digest == hash_bytes(data[unit.start : unit.end])
        assert unit.lines == data[: unit.start].count(b"\n")
        assert unit.end in {unit.start, len(data)} or data[unit.end - 1 : unit.end] == b"\n"


@given(lines=LINES, size=st.integers(1, 60), ended=st.booleans(), chunk=st.integers(1, 100))
def test_units_cover_a_file_by_whole_lines(lines: list[bytes], size: int, ended: bool, chunk: int) -> None:
    """Units are whole lines, cover every byte once, know their hash and place, and are as small as lines of that size allow."""
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "_CHUNK", chunk)

        units = cut(data, size=size)

    check_units(data, units)
    assert units == cut(data, size=size)
    for unit in units[:-1]:
        body = data[unit.start : unit.end]
        assert len(body) >= size
        assert b"\n" not in body[size - 1 : -1]


@given(lines=LINES, more=LINES, size=st.integers(1, 60))
def test_a_file_that_grows_keeps_its_units_but_the_last(lines: list[bytes], more: list[bytes], size: int) -> None:
    """What is appended changes no unit but the last."""
    data = b"".join(line + b"\n" for line in lines)

    before, after = cut(data, size=size), cut(data + b"".join(line + b"\n" for line in more), size=size)

    assert after[: len(before) - 1] == before[:-1]


@given(lines=LINES, size=st.integers(1, 60))
def test_a_packed_file_is_one_unit(lines: list[bytes], size: int) -> None:
    """A file that must be read as a whole is one unit with its hash."""
    data = b"\n".join(lines)

    assert cut(data, size=size, whole=True) == [Unit(0, len(data), 0, hash_bytes(data))]


def test_an_empty_file_is_one_empty_unit() -> None:
    """An empty file has one unit of nothing."""
    assert cut(b"") == [Unit(0, 0, 0, hash_bytes(b""))]


def test_a_line_longer_than_a_unit_is_not_cut() -> None:
    """A line of many units' length stays whole; those around it are cut as usual."""
    data = b"short\n" + b"x" * 10_000 + b"\nshort\nshort"

    units = cut(data, size=8)

    check_units(data, units)
    assert [unit.end - unit.start for unit in units] == [10_007, 11]


def test_cutting_hashes_the_file_as_it_passes(tmp_path: Path) -> None:
    """A file that is cut was read once to its end, and its hash is known."""
    path = tmp_path / "log"
    path.write_bytes(b"a line\n" * 100_000)
    file = HashedFile(path, "log", sha256=False, progress=lambda count: None)

    units = list(cut_file(file, size=1000))

    assert file.finish()
    assert file.hasher.blake3 == hash_bytes(path.read_bytes())
    check_units(path.read_bytes(), units)


@given(lines=LINES, other=LINES, size=st.integers(1, 40), empty=st.lists(st.integers(0, 10), max_size=3))
def test_a_second_file_is_cut_at_the_lines_of_the_first(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], other: list[bytes], size: int, empty: list[int]
) -> None:
    """A file of as many lines is cut at the same lines, units of nothing included; one of fewer lines gives fewer units."""
    first = b"".join(line + b"\n" for line in lines)
    second = b"".join((other[number % len(other)] if other else b"") + b"\n" for number in range(len(lines)))
    path = tmp_path_factory.mktemp("cut") / "second"
    path.write_bytes(second)
    bounds = [unit.lines for unit in cut(first, size=size)[1:]]
    bounds = sorted([*bounds, *(bound for bound in empty if bound <= len(lines))])

    units = list(_cut_at(path, bounds))

    check_units(second, units)
    assert [unit.lines for unit in units] == [0, *bounds]
