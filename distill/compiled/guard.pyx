"""The reading of exports, row by row as bytes: what a row is by itself, and whether its run permits it (`distill.units.guard`).

A row that is not written as an export writes it, or that anything is wrong with, is handed to Python, which knows how to say what.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcmp, memcpy

from distill.compiled.parts cimport Lines, Sorted
from distill.compiled.rows cimport HASH, Document, GroupDocument, Paired, Trained, read_document, read_group, read_pair, read_trained, split_place
from distill.compiled.scan cimport (
    DISTILL_SOURCE, PUT, PUT_SPAN, b3_hash_many, b3_message, buffer, compare_lines, first_of, free_buffer, line, make_room, put, put_hex,
    put_normal, span, write_normal,
)

SOURCE = DISTILL_SOURCE

cdef enum:
    KEY = 32
    DIGEST = 16
    NAMED = 8 + KEY + 8 + KEY
    HALF = 32
    MARGIN = 1024
    ESCAPE = 12  # the longest escape, a pair of surrogates

cdef inline const char *_stop(const char *p, const char *end) noexcept nogil:
    cdef const char *stop = <const char *>memchr(p, c"\n", end - p)
    return end if stop == NULL else stop


cdef bint _holds(Sorted lines, line *one) noexcept nogil:
    """Tell whether a line is among sorted ones."""
    cdef size_t low = 0, high = lines.count, middle
    cdef int order
    one.first = first_of(one.at, one.size)
    while low < high:
        middle = (low + high) // 2
        order = compare_lines(one, &lines.lines[middle])
        if order == 0:
            return True
        if order < 0:
            high = middle
        else:
            low = middle + 1
    return False


cdef inline bint _comes_after(span identity, span before) noexcept nogil:
    """Tell whether an id comes after the one before; both are JSON strings without escapes."""
    cdef size_t size = min(identity.size, before.size) - 2
    cdef int order = memcmp(identity.at + 1, before.at + 1, size)
    return order > 0 or (order == 0 and identity.size > before.size)


cdef class Reader:
    """Reads the rows of a range of an export."""

    cdef buffer claim

    def __dealloc__(self):
        free_buffer(&self.claim)

    cdef bint _is_good(self, const char *p, const char *end, span *identity) except -1:
        """Tell whether a row is good in every way; its id is put into `identity`."""
        return False

    def take(self, bytes data not None, other):
        """Read every row; `other(number, line, before)` looks at one that is not good at once, and returns its id. Return first and last id."""
        cdef const char *p = PyBytes_AS_STRING(data)
        cdef const char *end = p + PyBytes_GET_SIZE(data)
        cdef const char *stop
        cdef Py_ssize_t number = 0
        cdef span before, identity
        first = None
        last = ""
        before.at, before.size = '""', 2
        while p < end:
            stop = _stop(p, end)
            number += 1
            if before.size and self._is_good(p, stop, &identity) and _comes_after(identity, before):
                before = identity
                if first is None:
                    first = _text_of(before)
            else:
                last = other(number, p[: stop - p], _text_of(before) if before.size else last)
                first = last if first is None else first
                name = b'"%b"' % last.encode()
                before.at, before.size = PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)
                if b"\\" in name or not last:
                    before.size = 0  # Python compares the next one too
            p = stop + 1
        return first or "", _text_of(before) if before.size else last


cdef str _text_of(span identity):
    return identity.at[1 : identity.size - 1].decode()


cdef class TrainedReader(Reader):
    """Reads rows of whole conversations, or of turns, and holds each against what its run permits."""

    cdef Sorted permits
    cdef bint whole

    def __init__(self, list permits, whole):
        self.permits, self.whole = Sorted(permits), whole

    cdef bint _is_good(self, const char *p, const char *end, span *identity) except -1:
        cdef Trained row
        if not read_trained(p, end, self.whole, &row) or row.id.size < KEY + 2 or memchr(row.id.at, c"\\", row.id.size) != NULL:
            return False
        identity[0] = row.id
        return _is_permitted(&self.claim, self.permits, row.id.at + 1, row.place, row.run_id, '"imitate"')


cdef int _write_claim(buffer *claim, const char *identity, span place, span run_id, const char *use) except -1:
    if make_room(claim, KEY + place.size + run_id.size + MARGIN):
        raise MemoryError
    put(claim, identity, KEY)
    PUT(claim, "[")
    PUT_SPAN(claim, place)
    PUT(claim, ",")
    PUT_SPAN(claim, run_id)
    PUT(claim, ",")
    PUT(claim, use)
    PUT(claim, "]")
    return 0


cdef bint _is_permitted(buffer *claim, Sorted permits, const char *identity, span place, span run_id, const char *use) except -1:
    cdef line one
    claim.size = 0
    _write_claim(claim, identity, place, run_id, use)
    one.at, one.size = claim.data, claim.size
    return _holds(permits, &one)


cdef class DocumentReader(Reader):
    """Reads documents: holds each of a run against what may be embedded of it, and writes down what those of groups embed."""

    cdef Sorted permits
    cdef Lines documents
    cdef object key_of
    cdef bytes path
    cdef buffer normal

    def __init__(self, list permits, Lines documents not None, key_of, path):
        """Take also where the texts of groups go, what gives the key of a group from its tag as JSON, and the path of the export."""
        self.permits, self.documents, self.key_of, self.path = Sorted(permits), documents, key_of, path.encode()

    def __dealloc__(self):
        free_buffer(&self.normal)

    cdef bint _is_group(self, const char *p, const char *end, span *identity) except -1:
        """Tell whether a row is a good document of a group, and write down what it embeds, with white space made one."""
        cdef GroupDocument row
        cdef buffer *body = &self.documents.body
        cdef size_t before = body.size
        cdef Py_ssize_t size
        if not read_group(p, end, &row) or memchr(row.id.at, c"\\", row.id.size) != NULL:
            return False
        if make_room(&self.normal, row.embedded.size) or make_room(body, 2 * row.embedded.size + row.id.size + PyBytes_GET_SIZE(self.path) + MARGIN):
            raise MemoryError
        size = write_normal(row.embedded, self.normal.data)
        if size < 0:
            return False
        key = self.key_of(PyBytes_FromStringAndSize(row.group.at, row.group.size))
        put(body, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        PUT(body, "C[")
        if not put_normal(body, self.normal.data, size):
            body.size = before
            return False
        PUT(body, ',"')
        put(body, PyBytes_AS_STRING(self.path), PyBytes_GET_SIZE(self.path))
        PUT(body, ": row ")
        put(body, row.id.at + 1, row.id.size - 1)
        PUT(body, "]")
        identity[0] = row.id
        return self.documents.end() == 0

    cdef bint _is_good(self, const char *p, const char *end, span *identity) except -1:
        cdef Document row
        cdef b3_message message
        cdef uint8_t digest[HALF]
        cdef char use[HASH + 16]
        cdef buffer said
        if not read_document(p, end, &row):
            return self._is_group(p, end, identity)
        if row.id.size != KEY + 2 or memchr(row.id.at, c"\\", row.id.size) != NULL:
            return False
        identity[0] = row.id
        message.data, message.length = <const uint8_t *>row.embedded.at, row.embedded.size
        b3_hash_many(&message, 1, digest, sizeof(digest))
        said.data, said.size, said.room = use, 0, sizeof(use)
        PUT(&said, '"document ')
        put_hex(&said, digest, sizeof(digest))
        put(&said, '"', 2)  # with the zero that ends it
        return _is_permitted(&self.claim, self.permits, row.id.at + 1, row.place, row.run_id, use)


cdef class PairReader(Reader):
    """Reads pairs, proves of which two runs each is, and writes down what is claimed of those."""

    cdef Sorted runs
    cdef Lines claims
    cdef size_t place
    cdef buffer normal

    def __init__(self, list runs, Lines claims not None):
        self.runs, self.claims = Sorted(runs), claims

    def __dealloc__(self):
        free_buffer(&self.normal)

    cdef bint _is_good(self, const char *p, const char *end, span *identity) except -1:
        cdef Paired row
        cdef span one, other
        cdef const char *both
        if not read_pair(p, end, &row) or row.id.size != KEY + 2 or memchr(row.id.at, c"\\", row.id.size) != NULL:
            return False
        identity[0] = row.id
        both = self._runs_of(row.id.at + 1)
        if both == NULL or not _is_id(both, row.id.at + 1) or not split_place(row.place, &one, &other):
            return False
        if row.chosen_run_id.size == row.rejected_run_id.size and (
            memcmp(row.chosen_run_id.at, row.rejected_run_id.at, row.chosen_run_id.size) == 0
        ):
            return False
        if self._are_equal(row.chosen, row.rejected):
            return False
        self._claim(both, one, row.chosen_run_id, '"imitate"')
        self._claim(both + KEY, other, row.rejected_run_id, '"avoid"')
        return True

    cdef const char *_runs_of(self, const char *identity) noexcept:
        """Return the ids of the two runs of a pair; NULL where there are none. Pairs come in the order of their ids, as these lines do."""
        cdef line *lines = self.runs.lines
        if self.place > 0 and (lines[self.place - 1].size < KEY or memcmp(lines[self.place - 1].at, identity, KEY) >= 0):
            self.place = 0
        while self.place < self.runs.count and (lines[self.place].size < KEY or memcmp(lines[self.place].at, identity, KEY) < 0):
            self.place += 1
        if self.place == self.runs.count or lines[self.place].size != 3 * KEY or memcmp(lines[self.place].at, identity, KEY) != 0:
            return NULL
        return lines[self.place].at + KEY

    cdef bint _are_equal(self, span one, span other) except -1:
        """Tell whether two answers are equal with white space made one."""
        cdef Py_ssize_t ours, theirs
        cdef size_t i = 1, size = min(one.size, other.size), escape = 0
        while i < size and one.at[i] == other.at[i]:
            if one.at[i] == c"\\":
                escape = i
            i += 1
        if i < size and (escape == 0 or i - escape > ESCAPE) and _is_word(one.at[i]) and _is_word(other.at[i]):
            return False  # the same before, and two words from here on
        if make_room(&self.normal, one.size + other.size + 2):
            raise MemoryError
        ours = write_normal(one, self.normal.data)
        theirs = write_normal(other, self.normal.data + one.size)
        if ours < 0 or theirs < 0:
            return True  # Python looks at it
        return ours == theirs and memcmp(self.normal.data, self.normal.data + one.size, ours) == 0

    cdef int _claim(self, const char *identity, span place, span run_id, const char *use) except -1:
        cdef buffer *body = &self.claims.body
        if make_room(body, KEY + place.size + run_id.size + MARGIN):
            raise MemoryError
        put(body, identity, KEY)
        PUT(body, '["')
        PUT_SPAN(body, place)
        PUT(body, '",')
        PUT_SPAN(body, run_id)
        PUT(body, ",")
        PUT(body, use)
        PUT(body, "]")
        return self.claims.end()


cdef inline bint _is_word(char c) noexcept nogil:
    return c"a" <= c <= c"z" or c"A" <= c <= c"Z" or c"0" <= c <= c"9"


cdef bint _is_id(const char *both, const char *identity) noexcept nogil:
    """Tell whether the id of a pair is the hash of its two runs."""
    cdef uint8_t named[NAMED]
    cdef uint8_t digest[DIGEST]
    cdef b3_message message
    cdef const char *digits = "0123456789abcdef"
    cdef int i
    for i in range(8):
        named[i] = named[8 + KEY + i] = KEY if i == 0 else 0
    memcpy(named + 8, both, KEY)
    memcpy(named + 16 + KEY, both + KEY, KEY)
    message.data, message.length = named, NAMED
    b3_hash_many(&message, 1, digest, DIGEST)
    for i in range(DIGEST):
        if identity[2 * i] != digits[digest[i] >> 4] or identity[2 * i + 1] != digits[digest[i] & 15]:
            return False
    return True


def find_unpermitted(list claims, list permits):
    """Return the claims that are among no permits, sorted, each once."""
    cdef Sorted ours = Sorted(claims), theirs = Sorted(permits)
    cdef size_t i, j = 0
    found = []
    for i in range(ours.count):
        while j < theirs.count and compare_lines(&theirs.lines[j], &ours.lines[i]) < 0:
            j += 1
        if j == theirs.count or compare_lines(&theirs.lines[j], &ours.lines[i]) != 0:
            if i == 0 or compare_lines(&ours.lines[i - 1], &ours.lines[i]) != 0:
                found.append(PyBytes_FromStringAndSize(ours.lines[i].at, ours.lines[i].size))
    return found
