"""Seats: rows stand in their target in the order of the units, whoever writes them and when."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.targets import temporary_of
from distill.units import seats
from distill.units.seats import Seat, Seats


def seats_of(folder: Path, *targets: tuple[str, int]) -> list[Seat]:
    """Return seats in targets that are there and empty, so many in each."""
    given_out = Seats(folder, folder)
    for name, _ in targets:
        temporary_of(folder / name).write_bytes(b"")
    return [seat for name, count in targets for _ in range(count) for seat in given_out.give(name)]


def seats_together(folder: Path, *names: str, count: int) -> list[Seat]:
    """Return so many seats in every one of targets that get rows of the same units: those of one after those of the other."""
    given_out = Seats(folder, folder)
    for name in names:
        temporary_of(folder / name).write_bytes(b"")
    units = [given_out.give(*names) for _ in range(count)]
    return [unit[number] for number in range(len(names)) for unit in units]


@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=8), together=st.booleans(), data=st.data())
def test_rows_come_in_the_order_of_their_seats(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], together: bool, data: st.DataObject
) -> None:
    """Whatever order the units are done in, by however many at once, both targets hold their rows in the order of the seats."""
    folder = tmp_path_factory.mktemp("seats")
    rows = [bytes([65 + number]) * length for number, length in enumerate(lengths)]
    count = len(rows)
    given_out = seats_together(folder, "one", "two", count=count) if together else seats_of(folder, ("one", count), ("two", count))
    order = data.draw(st.permutations(range(2 * len(rows))))

    with ThreadPoolExecutor(2 * len(rows)) as pool:
        starts = dict(pool.map(lambda place: (place, given_out[place].write(rows[place % len(rows)])), order))

    assert [temporary_of(folder / name).read_bytes() for name in ("one", "two")] == [b"".join(rows)] * 2
    assert [starts[place] for place in range(len(rows))] == [sum(lengths[:place]) for place in range(len(rows))]


def test_a_length_that_nobody_tells_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit whose start stays unknown writes nothing, and its own length is told all the same."""
    monkeypatch.setattr(seats, "_LOOKS", 3)
    first, second, third = seats_of(tmp_path, ("rows", 3))

    assert second.write(b"second") is None
    assert temporary_of(tmp_path / "rows").read_bytes() == b""

    first.tell(5)
    assert third.write(b"third") == 11


def test_a_unit_that_is_done_again_writes_the_same(tmp_path: Path) -> None:
    """A unit whose worker died behind its rows is done again; its rows stand once."""
    first, second = seats_of(tmp_path, ("rows", 2))

    starts = [second.write(b"second") for _ in range(2) if first.write(b"first ") == 0]

    assert starts == [6, 6]
    assert temporary_of(tmp_path / "rows").read_bytes() == b"first second"


def test_a_target_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Rows whose file is gone fail with the target's name, the same in every process."""
    seat = seats_of(tmp_path, ("rows", 1))[0]
    Path(seat.temporary).unlink(missing_ok=True)

    with pytest.raises(FileNotFoundError, match=r": 'rows'$"):
        seat.write(b"data")
