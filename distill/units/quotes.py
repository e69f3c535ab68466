"""Texts that parts quote from the evidence instead of holding them: where a text stands, until its row is spelt.

A quote is a mark, the first 16 bytes in hex of the blake3 of the text as it is spelt in JSON, the name of a unit of evidence, and eight hex
digits each for the byte of that unit at which the text starts and for its length. So equal lines quote equal texts, whatever settings made
the evidence, and rows of before are taken over only where their texts are the same. Looking up trusts the evidence, whose hash is the one
its units were cut by, and a stage fails where it changes before the stage ends. Texts are looked up in the order of the ids of rows, which
is that of chance; so evidence that is large beside the memory is not quoted.

The name of a unit is told by where it lay when its part was made, so that a unit that grows at its end quotes the rows before as it did.
Where a unit lies now is asked of the evidence.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from distill.errors import DamagedPartError
from distill.hashing import row_id
from distill.units.jobs import Context

__all__ = ["QuotedUnit", "Quotes", "may_quote", "name_unit", "quotes_of", "save_units"]

_QUOTE = re.compile(rb"\x04[0-9a-f]{32}([0-9a-f]{16})([0-9a-f]{8})([0-9a-f]{8})")
_DIGITS = 16
_SHARE = 4
"""Evidence is quoted up to this part of the memory."""
_OPEN = 64
"""Files that are open at a time."""


class QuotedUnit(NamedTuple):
    """Where a unit of evidence lies."""

    name: str
    """What quotes of it begin with, 16 digits."""
    path: str
    """Its file."""
    start: int
    """Its first byte."""


def may_quote(size: int) -> bool:
    """Tell whether evidence of so many bytes is small enough to be read in any order."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return False
    return size <= memory // _SHARE


def name_unit(partition: str, start: int) -> str:
    """Return the name of a unit that starts at a byte of the evidence of a partition."""
    return row_id(partition, str(start))[:_DIGITS]


def save_units(path: str, units: Sequence[QuotedUnit]) -> None:
    """Write where the units lie that parts of a stage quote.

    Raises:
        DamagedPartError: two of them have one name, because one moved to where the other lay before.
    """
    if len({unit.name for unit in units}) < len(units):
        raise DamagedPartError("two units of the evidence are quoted by one name")
    Path(path).write_bytes(msgspec.msgpack.encode(units))


class Quotes:
    """Looks up what is quoted."""

    def __init__(self, path: str) -> None:
        """Read where the units lie; none does where nothing was written."""
        data = Path(path).read_bytes() if Path(path).exists() else msgspec.msgpack.encode([])
        units = msgspec.msgpack.decode(data, type=list[QuotedUnit])
        self._units = {unit.name.encode(): unit for unit in units}
        self._handles: dict[str, int] = {}

    def __del__(self) -> None:
        """Close what is open."""
        self._close()

    def _close(self) -> None:
        for handle in self._handles.values():
            os.close(handle)
        self._handles.clear()

    def place_of(self, name: bytes) -> tuple[int, int]:
        """Return a handle of the file of a unit, good until the next is asked for, and its first byte.

        Raises:
            DamagedPartError: there is no such unit.
        """
        unit = self._units.get(name)
        if unit is None:
            raise DamagedPartError(f"a part quotes the unit {name!r} of the evidence, which nobody cut")
        if unit.path not in self._handles:
            if len(self._handles) >= _OPEN:
                self._close()
            self._handles[unit.path] = os.open(unit.path, os.O_RDONLY)
        return self._handles[unit.path], unit.start

    def spell(self, data: bytes) -> bytes:
        """Return data with every quote replaced by its text.

        Raises:
            DamagedPartError: a text is not there.
        """
        return _QUOTE.sub(self._text_of, data) if b"\x04" in data else data

    def _text_of(self, quote: re.Match[bytes]) -> bytes:
        handle, start = self.place_of(quote[1])
        offset, size = int(quote[2], 16), int(quote[3], 16)
        text = os.pread(handle, size, start + offset)
        if len(text) < size:
            raise DamagedPartError(f"a part quotes {size:,} bytes at byte {offset:,} of the unit {quote[1]!r}, which are not there")
        return text


def quotes_of(context: Context) -> Quotes:
    """Return what looks up quotes in a stage; each worker has one."""
    memo: dict[str, Any] = context.memo
    if "quotes" not in memo:
        memo["quotes"] = Quotes(context.quoted)
    found: Quotes = memo["quotes"]
    return found
