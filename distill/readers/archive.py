"""Each member of a zip is one record, in the order of the names (SPEC 2, SPEC 9).

Bounds against an archive that unpacks to more than it may: of one member, more than `max_line_bytes` is hashed and not kept; a member
that says it unpacks to more than 200 times its packed bytes and 1 MiB is refused, and one with which those read would together unpack
to more than 200 times the archive and 64 MiB; a refused one counts for nothing. An honest log packs 5 to 50 times. The list of the
members is held in memory.
"""

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import groupby
from typing import BinaryIO

from distill.jsonl import BadLine, RawLine
from distill.readers import Limits
from distill.readers.elements import take_whole

__all__ = ["read"]

_RATIO = 200
_MEMBER, _ARCHIVE = 1 << 20, 64 << 20
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


def read(file: BinaryIO, *, limits: Limits) -> Iterator[RawLine | BadLine]:
    """Yield the members whose names match `limits.members`; one that cannot be unpacked is skipped alone."""
    try:
        archive = zipfile.ZipFile(file)
    except _DAMAGE as err:
        yield BadLine("unreadable_member", f"the file is no readable zip: {err}; pack it again, or set another reader")
        return
    with archive:
        size = file.seek(0, 2)
        wanted = [info for info in archive.infolist() if not info.is_dir() and fnmatchcase(info.filename, limits.members)]
        wanted.sort(key=lambda info: (info.filename.encode("utf-8", "surrogatepass"), info.header_offset))
        left = _RATIO * size + _ARCHIVE
        number = 0
        for _, same in groupby(wanted, lambda info: info.filename):
            for twice, info in enumerate(same):
                number += 1
                place = RawLine(number, 0, b"", ended=True, length=0, hash=None, member=info.filename)
                problem = _refuse(info, left, twice=bool(twice))
                if problem is not None:  # unread, so it takes nothing of what the others may unpack to
                    yield BadLine(*problem, place)
                    continue
                left -= info.file_size
                yield _read_member(archive, info, limits, place)


def _refuse(info: zipfile.ZipInfo, left: int, *, twice: bool) -> tuple[str, str] | None:
    """Return why a member is not read: reason and detail."""
    parts = info.filename.replace("\\", "/").split("/")
    if ".." in parts or not parts[0] or parts[0].endswith(":"):
        return "unreadable_member", f"the name {info.filename!r} leaves the root of the archive; rename the member"
    if twice:
        return "duplicate_key", f"the name {info.filename!r} stands twice in the archive; the first is kept"
    if info.file_size > _RATIO * info.compress_size + _MEMBER:
        told = f"it would unpack to {info.file_size} bytes from {info.compress_size}, more than {_RATIO} times as many"
        return "unreadable_member", f"{told}; a log packs less, look at where it comes from"
    if info.file_size > left:
        told = f"with it the archive unpacks to more than {_RATIO} times its bytes and {_ARCHIVE} bytes"
        return "unreadable_member", f"{told}; a log packs less, look at where it comes from"
    return None


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits, place: RawLine) -> RawLine | BadLine:
    try:
        with archive.open(info) as member:
            line = take_whole(member, limits.max_line_bytes)
    except (RuntimeError, NotImplementedError) as err:  # encrypted, or packed by an unknown method
        return BadLine("unreadable_member", f"{err}; pack it without password, by deflate", place)
    except _DAMAGE as err:
        return BadLine("unreadable_member", f"the member is damaged: {err}; its neighbours are kept", place)
    return line._replace(number=place.number, member=info.filename)
