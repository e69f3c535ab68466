"""The resolution as units look it up (SPEC 4): what it costs where one record stands in a log very often."""

from pathlib import Path

import msgspec
import pytest

from distill.hashing import hash_bytes, hash_parts
from distill.plan import RESOLUTION
from distill.schemas.scored_run import ResolutionRow
from distill.units import exceptions
from distill.units.exceptions import Exceptions, index_exceptions

ID, OTHER = "0a" * 16, "0b" * 16


def duplicates(folder: Path, count: int) -> Exceptions:
    """Return a resolution in which one record stands `count` times."""
    rows = [
        ResolutionRow(evidence_id=ID, run_id=None, kind="duplicate", category=None, reasons=["duplicate"], with_=[ID], provenance=f"a:{i}")
        for i in range(count)
    ]
    path = folder / RESOLUTION
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    digest = hash_bytes(path.read_bytes())
    index_exceptions(folder, digest)
    return Exceptions(folder, digest)


def test_each_row_about_a_record_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that stands 100 times costs 100 rows, not 100 for each of its places."""
    found, decode, read = duplicates(tmp_path, 100), exceptions._ROW, []

    def count(line: bytes) -> ResolutionRow:
        read.append(line)
        return decode(line)

    monkeypatch.setattr(exceptions, "_ROW", count)

    about = [found.about(ID, f"a:{i}") for i in range(100)]

    assert [[row.provenance for row in rows] for rows in about] == [[f"a:{i}"] for i in range(100)]
    assert (found.about(ID, "a:100"), found.about(OTHER, "a:1")) == ([], [])
    assert len(read) == 100


def test_what_is_said_of_a_unit_does_not_grow_with_the_square(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the resolution says of a record is hashed once a unit, however often the record stands in it."""
    found, hashed = duplicates(tmp_path, 100), []

    def count(parts: list[bytes]) -> bytes:
        hashed.append(len(parts))
        return hash_parts(parts)

    monkeypatch.setattr(exceptions, "hash_parts", count)

    told = found.digest_of(bytes.fromhex(ID) * 100 + bytes.fromhex(OTHER))

    assert told != found.digest_of(bytes.fromhex(OTHER)) == ""
    assert hashed == [102]
