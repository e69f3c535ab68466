"""What the stages compare of every row of evidence, kept beside the build so that no stage works it out twice.

The gist of a unit of evidence is a function of its bytes: the ids of its rows and the keys of their texts. collect keeps it while it has
the records at hand; where none is kept, or a damaged one, it is taken from the evidence itself. It is held by the hash of the unit, so it
can belong to no other bytes; code that would make another gist is code of collect, which then runs anew.
"""

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from distill.conversation import KeyOfPlain, build_turns, text_key, user_text
from distill.hashing import hash_bytes
from distill.plan import EVIDENCE, TEMPORARY
from distill.schemas.evidence import EvidenceRecord
from distill.units.cutting import Unit
from distill.units.jobs import read_unit
from distill.units.lean import decode_lean
from distill.units.workshop import PARTS

__all__ = ["NO_TEXT", "SIZE", "Gist", "Gists", "KeyOfText"]

SIZE = 16
"""Bytes of an id, and of the key of a text."""
NO_TEXT = bytes(SIZE)
"""The key of a row without answer."""
_FOLDER = f"{PARTS}/gists"


class KeyOfText:
    """Gives what rows of equal text share; the last question is remembered."""

    def __init__(self) -> None:
        """Remember no question yet."""
        self._plain = KeyOfPlain()

    def __call__(self, record: EvidenceRecord) -> bytes:
        """Return the key of a record's text, 16 bytes, zeros without answer."""
        if record.messages is None:
            return self._plain(user_text(record), record.response or "")
        return (text_key(build_turns(record)) or NO_TEXT)[:SIZE]


class Gist(NamedTuple):
    """Of the rows of one unit, in their order."""

    ids: bytes
    """Evidence ids, 16 bytes each."""
    texts: bytes
    """Keys of the texts, 16 bytes each; zeros where there is no answer."""


class Gists:
    """The gists of units of evidence."""

    def __init__(self, project: Path) -> None:
        """Remember where they are kept."""
        self._project, self._folder = project, project / _FOLDER

    def save(self, digest: str, gist: Gist) -> None:
        """Keep the gist of the unit of that hash."""
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f"{digest}{TEMPORARY}{os.getpid()}-{threading.get_ident()}"
        data = gist.ids + gist.texts
        temporary.write_bytes(hash_bytes(data).encode() + data)
        temporary.replace(self._folder / digest)

    def of(self, partition: str, unit: Unit) -> Gist:
        """Return the gist of a unit, taken from the evidence where none is kept."""
        try:
            data = (self._folder / unit.digest).read_bytes()
        except OSError:
            data = b""
        if data and data[:64] == hash_bytes(data[64:]).encode():
            half = 64 + (len(data) - 64) // 2
            return Gist(data[64:half], data[half:])
        lines = read_unit(f"{self._project}/{EVIDENCE}/{partition}", unit, f"{EVIDENCE}/{partition}").split(b"\n")[:-1]
        records = [decode_lean(line) for line in lines]
        gist = Gist(b"".join([bytes.fromhex(one.id) for one in records]), b"".join(map(KeyOfText(), records)))
        self.save(unit.digest, gist)
        return gist

    def keep(self, units: Iterable[Unit]) -> None:
        """Take away the gists of other units."""
        digests = {unit.digest for unit in units}
        for path in self._folder.iterdir() if self._folder.exists() else ():
            if path.name not in digests:
                path.unlink(missing_ok=True)
