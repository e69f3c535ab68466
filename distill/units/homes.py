"""Units of evidence that a bucket may read, and whether what it read of them still stands.

A bucket of the resolution holds keys of rows and where their evidence lies, and reads the evidence of the few rows that meet others. So
what it made stands while those units that it did read are as they were, or have only grown at their ends.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from distill.hashing import hash_bytes
from distill.plan import EVIDENCE
from distill.units.cutting import Unit
from distill.units.parts import Part, Range, read_range

__all__ = ["Home", "Homes"]


class Home(NamedTuple):
    """A unit of evidence."""

    partition: str
    """File it lies in."""
    start: int
    """Its first byte."""
    end: int
    """Byte after its last."""
    digest: str
    """blake3 of its bytes."""

    @classmethod
    def of(cls, partition: str, unit: Unit) -> "Home":
        """Return the home that a unit of a partition is."""
        return cls(partition, unit.start, unit.end, unit.digest)


class Homes:
    """The units of evidence as they lie now."""

    def __init__(self, project: Path, homes: Iterable[Home]) -> None:
        """Take all of them."""
        self._folder = project / EVIDENCE
        self._now = {(home.partition, home.start): home for home in homes}
        self._same: dict[Home, bool] = {}

    def hold(self, part: Part) -> bool:
        """Tell whether every unit that a bucket read when this part of it was made is still what it was there."""
        return all(map(self._holds, msgspec.convert(part.facts["read"], list[Home])))

    def _holds(self, home: Home) -> bool:
        if home not in self._same:
            now = self._now.get((home.partition, home.start))
            self._same[home] = now is not None and (now == home or self._begins_with(now, home))
        return self._same[home]

    def _begins_with(self, now: Home, home: Home) -> bool:
        """Tell whether a unit is another one that has grown at its end."""
        if now.end <= home.end:
            return False
        return hash_bytes(read_range(Range(str(self._folder / home.partition), home.start, home.end - home.start))) == home.digest
