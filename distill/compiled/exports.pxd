# What the kinds of plain runs share: `exports` has those that training is made of, `documents` the others.
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

from distill.compiled.parts cimport Lines
from distill.compiled.scan cimport (
    E_COUNT, E_MESSAGES, E_REFERENCE, E_RUN_ID, P_COUNT, buffer, is_null, is_text, put, span,
)

cdef enum:
    KEY = 32
    TEXT = 16
    MARGIN = 1024  # more than the names and brackets of any row
    UNIT = 16  # of the name of a unit, in a quote
    WORTH = 80  # bytes of a text from which on it is quoted; a quote has 65

cdef extern from *:
    """
    #define VALUES "\\x02" /* before the values of a row that a template spells, see distill.units.merging */
    #define NEXT "\\x1f" /* between them */
    #define QUOTE "\\x04" /* before a quote, see distill.units.quotes */
    """
    const char *VALUES
    const char *NEXT
    const char *QUOTE

cdef struct Row:
    span fields[E_COUNT]
    span place[P_COUNT]
    const char *line
    const char *text

cdef struct Key:  # a hole in a body where the key of a text goes
    buffer *body
    size_t place

cdef class Ending:
    cdef object fate
    cdef bytes category, reason, reasons, score, use, head, tail
    cdef bint out, changed, accepted, rejected, imitated, embedded
    cdef Py_ssize_t times

cdef class Spread:
    cdef object fate_of, encode
    cdef bytes unit
    cdef const char *base
    cdef dict endings
    cdef buffer asked, where
    cdef buffer texts, keys  # those that were quoted, and where their keys go
    cdef Lines quarantine
    cdef public Py_ssize_t accepted
    cdef bint _take(self, Row *row, const char *p, const char *end, const char *q, const char *q_end) except -1
    cdef Ending _ending(self, const char *verdict, Py_ssize_t size, const char *line, Py_ssize_t length)
    cdef bint _looks(self) noexcept
    cdef bint _put(self, Row *row, Ending ending, size_t size) except -1
    cdef int _finish(self) except -1
    cdef int _keep_out(self, Row *row, Ending ending) except -1
    cdef buffer *_room(self, Lines lines, size_t size) except NULL
    cdef int _write_place(self, Row *row) except -1
    cdef int _write_asked(self, Row *row) except -1
    cdef int _put_text(self, buffer *body, span text) except -1
    cdef int _write_keys(self) except -1
    cdef int _put_question(self, buffer *body, Row *row) except -1
    cdef bint _is_quoted(self, span text) noexcept


cdef inline bint is_empty(span text) noexcept nogil:
    return is_null(text) or text.size == 2


cdef inline void put_bytes(buffer *body, bytes one) noexcept:
    put(body, PyBytes_AS_STRING(one), PyBytes_GET_SIZE(one))


cdef inline bint has_text(Row *row) noexcept nogil:
    """Tell whether a run has a question and an answer."""
    cdef int i
    for i in range(TEXT):
        if row.text[i] != 0:
            return True
    return False


cdef inline bint is_plain(Row *row, Ending ending, bint textless) noexcept:
    """Tell whether a run is of one question and one answer and nothing else is to be weighed."""
    return (
        not ending.changed and (textless or has_text(row)) and is_null(row.fields[E_MESSAGES])
        and is_text(row.fields[E_REFERENCE], "[]") and not is_empty(row.fields[E_RUN_ID])
    )


cdef inline bint is_same(bytes one, span other) noexcept:
    return <size_t>PyBytes_GET_SIZE(one) == other.size and memcmp(PyBytes_AS_STRING(one), other.at, other.size) == 0
