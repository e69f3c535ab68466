from distill.compiled.scan cimport buffer, line, span

cdef enum:
    UNIT = 16
    DIGEST = 16
    UNIT_AT = 1 + 2 * DIGEST  # behind the mark and the key of the text
    OFFSET_AT = UNIT_AT + UNIT
    QUOTE_SIZE = OFFSET_AT + 8 + 8  # an offset in the unit, a length
    READ = 2048
    PIECES = 32
    VALUES = 10

cdef class Texts:
    cdef object place_of
    cdef char unit[UNIT]
    cdef int handle
    cdef size_t start, seen  # where the unit starts, and what was read of it last
    cdef ssize_t size
    cdef char window[READ]
    cdef int put(self, buffer *rows, const char *quote) except -1

cdef class Template:
    cdef tuple pieces
    cdef span texts[PIECES]
    cdef int places[PIECES]
    cdef int count, values
    cdef size_t size
    cdef int spell(self, buffer *rows, line one, Texts texts) except -1
