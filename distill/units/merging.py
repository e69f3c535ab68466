"""Rows of a target out of the keyed lines of a bucket: in the order of their keys, spelt where a part holds their values only."""

from collections.abc import Sequence
from typing import Any

from distill.compiled import find_compiled
from distill.errors import DamagedPartError
from distill.units.parts import KEY, Range, read_lines_of, read_ranges

__all__ = ["KEY_VALUE", "Kind", "Template", "merge_rows"]

Template = tuple[bytes | int, ...]
"""How a row is spelt that a part holds as its values: bytes, the place of a value, or `KEY_VALUE` for its key."""
Kind = tuple[bytes, Template]
"""Rows of one target: what follows the key in their lines, and how values are spelt."""
Rows = bytes | memoryview
"""Rows with their newlines."""
KEY_VALUE = -1
_PLAIN: tuple[Kind, ...] = ((b"", ()),)
_LOST = KEY + 1
"""Length of a line that says that the rows of its key do not stand."""
_VALUES, _NEXT = b"\x02", b"\x1f"  # before the values and between them; in JSON both are escaped
_COMPILED = find_compiled("parts")


def merge_rows(ranges: Sequence[Range], kinds: tuple[Kind, ...] = _PLAIN, quotes: Any = None) -> list[tuple[Rows, int]]:
    """Return, for every kind, the rows of a bucket in the order of their keys, without the keys, and how many there are.

    A row starts at the brace, behind a key that the mark of its kind follows, or is spelt by the template of every kind, with what
    `quotes` looks up of the evidence; a line that is one byte longer than a key says that the rows of that key do not stand.

    Raises:
        DamagedPartError: something that is quoted is not there.
    """
    if _COMPILED is not None:
        try:
            merged: list[tuple[Rows, int]] = _COMPILED.merge_rows(read_ranges(ranges), kinds, quotes and quotes.place_of)
        except EOFError as err:
            raise DamagedPartError(f"{ranges[0].path}: quotes more than the evidence holds: {err}") from err
        return merged
    lines = read_lines_of(ranges)
    lost = {line[:KEY] for line in lines if len(line) == _LOST}
    stand = [line for line in lines if line[:KEY] not in lost]
    found: list[tuple[Rows, int]] = []
    for mark, template in kinds:
        rows = [_spell(line, template) for line in stand if line.startswith((mark, _VALUES), KEY)]
        data = b"".join(rows)
        found.append((quotes.spell(data) if quotes is not None else data, len(rows)))
    return found


def _spell(line: bytes, template: Template) -> bytes:
    if line[KEY : KEY + 1] != _VALUES:
        return line[line.index(b"{") :] + b"\n"
    values = line[KEY + 1 :].split(_NEXT)
    pieces = [piece if isinstance(piece, bytes) else line[:KEY] if piece == KEY_VALUE else values[piece] for piece in template]
    return b"".join([*pieces, b"\n"])
