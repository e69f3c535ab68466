"""Parts: what a unit gave comes back as it was or not at all, and buckets of keys hold every line once."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.compiled import find_compiled
from distill.errors import DamagedPartError
from distill.hashing import hash_bytes
from distill.units import parts
from distill.units.parts import KEY, Part, PartWriter, Range, bucket_ranges, load_part, read_lines_of, read_range, whole_range

KEYS = st.integers(0, 40).map(lambda number: hash_bytes(str(number).encode())[:KEY].encode())
KEYED = st.lists(st.tuples(KEYS, st.binary(max_size=12).map(lambda data: data.replace(b"\n", b" "))).map(b"".join), max_size=30)


def write_part(path: Path, lines: list[bytes], *, name: str = "rows") -> Part:
    """Return a part with one keyed section and one fact."""
    writer = PartWriter()
    writer.keyed[name] += lines
    return writer.save(str(path), {"books": {"kinds": {"accepted": len(lines)}}, "records": len(lines)})


@pytest.fixture
def saved(tmp_path: Path) -> Part:
    """A part of twenty lines."""
    return write_part(tmp_path / "part", [hash_bytes(bytes([number]))[:KEY].encode() + b"line" for number in range(20)])


def test_a_part_comes_back_as_it_was(saved: Part) -> None:
    """A part that was saved is loaded with its sections and facts, and leaves no temporary file."""
    path = Path(saved.path)

    part = load_part(saved.path)
    assert part is not None
    assert (part.sections, part.facts) == (saved.sections, saved.facts)
    assert (saved.fresh, part.fresh) == (True, False)
    assert read_lines_of([whole_range(part, "rows")]) == read_lines_of([whole_range(saved, "rows")])
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_part_that_is_not_there_is_none(tmp_path: Path) -> None:
    """A part nobody made is None."""
    assert load_part(str(tmp_path / "part")) is None


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100])
def test_a_part_that_was_cut_is_none(saved: Part, length: int) -> None:
    """A part of which an end is missing is None, whatever the length."""
    path = Path(saved.path)
    path.write_bytes(path.read_bytes()[:length])

    assert load_part(saved.path) is None


def test_a_part_with_any_byte_flipped_is_found_out(saved: Part) -> None:
    """A byte that changed anywhere in a part of an older build is found out: in its footer at once, in its lines when they are read."""
    path, data = Path(saved.path), Path(saved.path).read_bytes()
    believed = []

    for place in range(0, len(data), 3):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        part = load_part(saved.path)
        if part is None:
            continue
        try:
            read_range(whole_range(part, "rows"))
            believed.append(place)
        except DamagedPartError:
            pass

    assert believed == []


def test_a_bucket_of_a_damaged_part_is_found_out_where_the_damage_is(tmp_path: Path) -> None:
    """Of a damaged part, the buckets that hold the damage cannot be read, and the others can."""
    lines = sorted(hash_bytes(str(number).encode())[:KEY].encode() + b"line" for number in range(200))
    path = Path(write_part(tmp_path / "part", lines).path)
    path.write_bytes(b"X" + path.read_bytes()[1:])
    part = load_part(str(path))
    assert part is not None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "_BUCKET", 400)
        buckets = list(bucket_ranges([part], "rows"))

    assert len(buckets) > 8
    with pytest.raises(DamagedPartError, match="bytes 0 to"):
        read_lines_of(buckets[0].ranges)
    rest = [line for bucket in buckets[1:] for line in read_lines_of(bucket.ranges)]
    assert rest == lines[-len(rest) :]


def test_the_digest_of_a_bucket_tells_its_lines(tmp_path: Path) -> None:
    """A bucket has the same digest whether its parts were written now or before, and another one when any line is another."""
    lines = [hash_bytes(str(number).encode())[:KEY].encode() + b"line" for number in range(50)]
    fresh = write_part(tmp_path / "part", list(lines))
    before = load_part(fresh.path)
    assert before is not None

    digests = [[bucket.digest for bucket in bucket_ranges([part], "rows")] for part in (fresh, before)]
    others = {bucket_digest(write_part(tmp_path / str(i), [*lines[:i], lines[i] + b"!", *lines[i + 1 :]])) for i in range(len(lines))}

    assert digests[0] == digests[1]
    assert digests[0][0] not in others
    assert len(others) == len(lines)


def bucket_digest(part: Part) -> str:
    """Return the digest of the one bucket of a small part."""
    (bucket,) = bucket_ranges([part], "rows")
    return bucket.digest


def test_a_part_moved_to_another_name_is_none(saved: Part) -> None:
    """A part under the name of another one is None: the name says what it was made from."""
    other = Path(saved.path).with_name("other")
    Path(saved.path).rename(other)

    assert load_part(str(other)) is None


def test_ordered_lines_keep_their_order_in_a_file_of_their_own(tmp_path: Path) -> None:
    """Lines that are not keyed lie beside the part in their order; it is taken over where a target holds them."""
    writer = PartWriter()
    writer.ordered["evidence"] += [b"b\n", b"a\n"]
    part = writer.save(str(tmp_path / "part"), {})

    assert (tmp_path / f"part{parts.ORDERED}evidence").read_bytes() == b"b\na\n"
    assert (part.sections["evidence"].length, part.sections["evidence"].records) == (4, 2)
    assert load_part(part.path) is None
    kept = load_part(part.path, keep=lambda section: section.digest == hash_bytes(b"b\na\n"))
    assert kept is not None
    assert kept.sections == part.sections


@given(several=st.lists(KEYED, max_size=4), bucket=st.integers(1, 300))
def test_buckets_hold_every_line_once(tmp_path_factory: pytest.TempPathFactory, several: list[list[bytes]], bucket: int) -> None:
    """Whatever the number of buckets: every line is in exactly one, lines of one key in the same one, buckets in the order of keys."""
    folder = tmp_path_factory.mktemp("parts")
    made = [write_part(folder / str(number), list(lines)) for number, lines in enumerate(several)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "_BUCKET", bucket)

        found = [read_lines_of(bucket.ranges) for bucket in bucket_ranges(made, "rows")]

    lines = [line for one in found for line in one]
    assert lines == sorted(line for one in several for line in one)
    assert all(one for one in found)
    assert max(Counter(key for one in found for key in {line[:KEY] for line in one}).values(), default=1) == 1


@pytest.mark.skipif(find_compiled("parts") is None, reason="not built")
@given(several=st.lists(KEYED, max_size=4), bucket=st.integers(1, 300), carried=st.booleans())
def test_loops_and_python_give_the_same_buckets(
    tmp_path_factory: pytest.TempPathFactory, several: list[list[bytes]], bucket: int, *, carried: bool
) -> None:
    """Every bucket has the same ranges, sums and digest with the compiled loops and without them."""
    folder = tmp_path_factory.mktemp("parts")
    made = [write_part(folder / str(number), list(lines)) for number, lines in enumerate(several)]
    if carried:
        made = [part for one in made if (part := load_part(one.path)) is not None]
    found = []
    for way in ("parts", "tables"), ("", ""):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parts, "_BUCKET", bucket)
            for name, switch in zip(way, ("_COMPILED", "_TABLES"), strict=True):
                patch.setattr(parts, switch, find_compiled(name))
            buckets = list(bucket_ranges(made, "rows"))  # their ranges are asked for when all were taken
            found.append([(one.ranges, len(one.taken), *one[1:]) for one in buckets])

    assert found[0] == found[1]
    assert all(bool(one.sums) == carried for ranges, *_ in found[0] for one in ranges)


def test_a_bucket_takes_several_sections(tmp_path: Path) -> None:
    """Sections of different names meet by key; a part without one gives nothing to it."""
    key = b"a" * KEY
    made = [write_part(tmp_path / "1", [key + b"1"], name="claims"), write_part(tmp_path / "2", [key + b"2"], name="permits")]

    (bucket,) = bucket_ranges(made, "claims", "permits")

    assert read_lines_of(bucket.ranges) == [key + b"1", key + b"2"]
    assert list(bucket_ranges(made, "nothing")) == []
    assert [type(one) for one in bucket.ranges] == [Range, Range]
