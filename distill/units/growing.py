"""Lines that are written to a part as they come, in sections of about the size of a unit, so that no long log lies in memory."""

from distill.units.cutting import UNIT_BYTES
from distill.units.gists import SIZE, Gist, Gists
from distill.units.parts import Part, PartWriter
from distill.units.seats import Seat

__all__ = ["Growing"]

_SECTION = 2 * UNIT_BYTES


class Growing:
    """Lines of one kind, written to sections of a part as they come."""

    def __init__(self, part: PartWriter, path: str, name: str, *, straight: bool = False) -> None:
        """Take the part; `straight` lines go straight into a target."""
        self._part, self._path, self._name, self._straight = part, path, name, straight
        self.names: list[str] = []
        self._ids: list[list[bytes]] = []
        self._texts: list[list[bytes]] = []
        self._next()

    def _next(self) -> None:
        self.names.append(f"{self._name}.{len(self.names)}")
        self._lines: list[bytes | memoryview] = []
        self._ids.append([])
        self._texts.append([])
        self._bytes = self._records = 0

    def append(self, lines: bytes | memoryview, records: int = 1) -> None:
        """Add lines with their newlines."""
        if self._bytes >= _SECTION:
            self.spill()
            self._next()
        self._lines.append(lines)
        self._bytes += len(lines)
        self._records += records

    def add(self, lines: bytes | memoryview, ids: bytes, texts: bytes) -> None:
        """Add lines of evidence with their ids and the keys of their texts, 16 bytes each."""
        self.append(lines, len(ids) // SIZE)
        self._ids[-1].append(ids)
        self._texts[-1].append(texts)

    def spill(self, seat: Seat | None = None) -> None:
        """Write the present section, to its seat where it is the only one."""
        data = self._lines[0] if len(self._lines) == 1 else b"".join(self._lines)
        if self._straight:
            self._part.stream(self._path, self.names[-1], data, self._records, seat if len(self.names) == 1 else None)
        else:
            self._part.write(self._path, self.names[-1], data, self._records)

    def keep(self, gists: Gists, part: Part) -> None:
        """Keep the gist of every section."""
        for name, ids, texts in zip(self.names, self._ids, self._texts, strict=True):
            if ids:
                gists.save(part.sections[name].digest, Gist(b"".join(ids), b"".join(texts)))
