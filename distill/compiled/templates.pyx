"""Rows that a part holds as values: how a template spells them, and the texts of the evidence that they quote (`distill.units.quotes`)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp, memcpy
from posix.unistd cimport pread

from distill.compiled.scan cimport DISTILL_SOURCE, buffer, line, make_room, put, span

SOURCE = DISTILL_SOURCE

cdef enum:
    KEY = 32
    KEY_VALUE = -1
    TEXT = -2
    QUOTE = 0x04
    NEXT = 0x1F


cdef class Texts:
    """Texts that stand in the evidence, found by what quotes them; one lives as long as a bucket."""

    def __init__(self, place_of):
        """Take what gives the handle of the file in which a unit lies and the byte at which it starts there, by its name."""
        self.place_of, self.handle = place_of, -1

    cdef int put(self, buffer *rows, const char *quote) except -1:
        """Add the text of a quote; the answer often stands just behind its question."""
        cdef size_t offset = _hex32(quote + OFFSET_AT), size = _hex32(quote + OFFSET_AT + 8)
        if self.handle < 0 or memcmp(self.unit, quote + UNIT_AT, UNIT) != 0:
            self.handle, self.start = self.place_of(PyBytes_FromStringAndSize(quote + UNIT_AT, UNIT))
            memcpy(self.unit, quote + UNIT_AT, UNIT)
            self.size = 0
        if make_room(rows, size):
            raise MemoryError
        if size > READ:
            if pread(self.handle, rows.data + rows.size, size, self.start + offset) != <ssize_t>size:
                raise EOFError(f"a text of {size:,} bytes is not there")
            rows.size += size
            return 0
        if offset < self.seen or <ssize_t>(offset + size) > <ssize_t>self.seen + self.size:
            self.seen, self.size = offset, pread(self.handle, self.window, READ, self.start + offset)
        if self.size < 0 or <ssize_t>(offset + size) > <ssize_t>self.seen + self.size:
            raise EOFError(f"a text of {size:,} bytes is not there")
        put(rows, self.window + (offset - self.seen), size)
        return 0


cdef size_t _hex32(const char *digits) except? 1:
    """Read eight hex digits."""
    cdef size_t number = 0
    cdef int i
    cdef char c
    for i in range(8):
        c = digits[i]
        if not (c"0" <= c <= c"9" or c"a" <= c <= c"f"):
            raise ValueError(f"no number: {digits[:8]!r}")
        number = number << 4 | (c - c"0" if c <= c"9" else c - c"a" + 10)
    return number


cdef class Template:
    """How a row is spelt of which a line holds the values."""

    def __init__(self, tuple pieces not None):
        """Take bytes, places of values, and -1 for the key."""
        if len(pieces) > PIECES:
            raise ValueError("a template has too many pieces")
        self.pieces = pieces
        for piece in pieces:
            self.places[self.count] = TEXT if isinstance(piece, bytes) else piece
            if isinstance(piece, bytes):
                self.texts[self.count].at, self.texts[self.count].size = PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece)
                self.size += PyBytes_GET_SIZE(piece)
            elif not KEY_VALUE <= piece < VALUES:
                raise ValueError(f"no place of a value: {piece}")
            else:
                self.values = max(self.values, piece + 1)
            self.count += 1

    cdef int spell(self, buffer *rows, line one, Texts texts) except -1:
        """Add the row of a line of values and its newline; what is quoted is looked up."""
        cdef span values[VALUES]
        cdef span piece
        cdef const char *p = one.at + KEY + 1
        cdef const char *end = one.at + one.size
        cdef const char *stop = p
        cdef int i, count = 0
        while count < VALUES and stop != NULL:
            stop = <const char *>memchr(p, NEXT, end - p)
            values[count].at = p
            values[count].size = (end if stop == NULL else stop) - p
            p = stop + 1
            count += 1
        if stop != NULL or count != self.values:
            raise ValueError(f"not {self.values} values: {one.at[:one.size]!r}")
        if make_room(rows, self.size + one.size + 1):
            raise MemoryError
        for i in range(self.count):
            if self.places[i] == TEXT:
                piece = self.texts[i]
            elif self.places[i] == KEY_VALUE:
                piece.at, piece.size = one.at, KEY
            else:
                piece = values[self.places[i]]
                if piece.size == QUOTE_SIZE and piece.at[0] == QUOTE:
                    if texts is None:
                        raise ValueError(f"nothing to quote from: {one.at[:one.size]!r}")
                    texts.put(rows, piece.at)
                    continue
            if make_room(rows, piece.size + 1):
                raise MemoryError
            put(rows, piece.at, piece.size)
        put(rows, "\n", 1)
        return 0
