"""The verdict on every row of evidence by itself, and the keys by which rows meet; rows that say the same are judged once, in Python."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcmp

from distill.compiled.parts cimport Lines
from distill.compiled.scan cimport (
    DISTILL_SOURCE, E_ATTEMPTS, E_COUNT, E_ERRORS, E_ID, E_RUN_ID, E_SIGNALS, E_SOURCE, E_TASK_ID, P_COUNT, PUT, PUT_SPAN, b3_hash_many,
    b3_message, buffer, free_buffer, is_null, is_text, make_room, put, put_hex, put_length, put_number, read_evidence, span,
)

SOURCE = DISTILL_SOURCE

cdef enum:
    KEY = 32
    TEXT = 16
    BATCH = 64
    MARGIN = 256

cdef const char *NO_TEXT = "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"


cdef class _Verdict:
    """What rows that say the same have in common, and how many of them were met."""

    cdef object verdict
    cdef bytes tail
    cdef char letter
    cdef Py_ssize_t times


cdef struct Row:
    span fields[E_COUNT]
    const char *at
    size_t size
    int hashed  # its place among the keys that are hashed, -1 where its id is its key


cdef class Rows:
    """Judges the rows of one piece of a batch."""

    cdef object judge, head_of
    cdef dict verdicts, heads
    cdef Lines runs, texts
    cdef buffer scored, names, said
    cdef Row rows[BATCH]
    cdef void *found[BATCH]  # each a _Verdict that `verdicts` holds

    def __init__(self, judge, head_of, Lines runs not None, Lines texts not None):
        """Take what judges a row from its bytes, and what gives the head of the run keys of a source, None where an id is a run's key."""
        self.judge, self.head_of, self.runs, self.texts = judge, head_of, runs, texts
        self.verdicts, self.heads = {}, {}

    def __dealloc__(self):
        free_buffer(&self.scored)
        free_buffer(&self.names)
        free_buffer(&self.said)

    def take(self, bytes evidence not None, bytes texts not None, size_t piece, other):
        """Judge the rows of a range; return the bytes of their scored rows, the verdicts and how many met each, and how many rows there are.

        `other(line, text, offset)` judges one that is not written as this build writes it, adds its keys and returns its scored row.
        """
        cdef const char *start = PyBytes_AS_STRING(evidence)
        cdef const char *p = start
        cdef const char *end = p + PyBytes_GET_SIZE(evidence)
        cdef const char *stop
        cdef const char *text = PyBytes_AS_STRING(texts)
        cdef Py_ssize_t known = PyBytes_GET_SIZE(texts) // TEXT, number = 0
        cdef uint8_t keys[BATCH * TEXT]
        cdef int count, i
        cdef Row *row
        self.scored.size = 0
        for one in self.verdicts.values():
            (<_Verdict>one).times = 0
        while p < end:
            count = 0
            while p < end and count < BATCH:
                stop = <const char *>memchr(p, c"\n", end - p)
                stop = end if stop == NULL else stop
                self.rows[count].at, self.rows[count].size = p, stop - p
                count += 1
                p = stop + 1
            self._judge(count)
            self._hash(count, keys)
            for i in range(count):
                if number == known:
                    raise ValueError("there are fewer keys of texts than rows")
                row = &self.rows[i]
                if self.found[i] != NULL:
                    self._put_scored(row, <_Verdict>self.found[i])
                    self._put_keys(row, <_Verdict>self.found[i], text, keys, piece, row.at - start)
                else:
                    line = other(row.at[: row.size], text[:TEXT], row.at - start)
                    if make_room(&self.scored, PyBytes_GET_SIZE(line)):
                        raise MemoryError
                    put(&self.scored, PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
                text += TEXT
                number += 1
        met = [((<_Verdict>one).verdict, (<_Verdict>one).times) for one in self.verdicts.values() if (<_Verdict>one).times]
        return PyBytes_FromStringAndSize(self.scored.data, self.scored.size), met, number

    cdef int _judge(self, int count) except -1:
        """Find the verdict on every row of a batch."""
        cdef Row *row
        cdef span place[P_COUNT]
        cdef span *fields
        cdef buffer *said = &self.said
        cdef int i
        for i in range(count):
            row = &self.rows[i]
            self.found[i] = NULL
            fields = row.fields
            if not read_evidence(row.at, row.at + row.size, fields, place) or memchr(fields[E_RUN_ID].at, c"\\", fields[E_RUN_ID].size) != NULL:
                continue
            said.size = 0
            if make_room(said, fields[E_SIGNALS].size + fields[E_ERRORS].size + MARGIN):
                raise MemoryError
            PUT_SPAN(said, fields[E_SIGNALS])
            if is_null(fields[E_ATTEMPTS]) or is_text(fields[E_ATTEMPTS], "0") or is_text(fields[E_ATTEMPTS], "1"):
                PUT(said, "once")
            else:
                PUT(said, "again")
            PUT_SPAN(said, fields[E_ERRORS])
            name = PyBytes_FromStringAndSize(said.data, said.size)
            found = self.verdicts.get(name)
            if found is None:
                found = self.verdicts[name] = self._new(row.at[: row.size])
            self.found[i] = <void *>found
        return 0

    cdef _Verdict _new(self, bytes line):
        cdef _Verdict one = _Verdict()
        one.verdict = self.judge(line)
        one.tail, one.letter, one.times = one.verdict.tail, ord(one.verdict.letter), 0
        return one

    cdef int _hash(self, int count, uint8_t *keys) except -1:
        """Hash the keys of the runs of a batch: head of the source, length, run id."""
        cdef b3_message messages[BATCH]
        cdef size_t starts[BATCH]
        cdef int i, hashed = 0
        cdef span run_id
        self.names.size = 0
        for i in range(count):
            self.rows[i].hashed = -1
            run_id = self.rows[i].fields[E_RUN_ID]
            if self.found[i] == NULL or is_null(run_id):
                continue
            head = self._head(self.rows[i].fields[E_SOURCE])
            if head is None:
                continue
            if make_room(&self.names, PyBytes_GET_SIZE(head) + run_id.size + MARGIN):
                raise MemoryError
            starts[hashed] = self.names.size
            put(&self.names, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
            put_length(&self.names, run_id.size - 2)
            put(&self.names, run_id.at + 1, run_id.size - 2)
            messages[hashed].length = self.names.size - starts[hashed]
            self.rows[i].hashed = hashed
            hashed += 1
        for i in range(hashed):
            messages[i].data = <const uint8_t *>self.names.data + starts[i]
        b3_hash_many(messages, hashed, keys, TEXT)
        return 0

    cdef object _head(self, span source):
        name = PyBytes_FromStringAndSize(source.at, source.size)
        if name not in self.heads:
            self.heads[name] = self.head_of(name)
        return self.heads[name]

    cdef int _put_scored(self, Row *row, _Verdict verdict) except -1:
        cdef buffer *out = &self.scored
        cdef span *fields = row.fields
        if make_room(out, fields[E_ID].size + fields[E_RUN_ID].size + fields[E_TASK_ID].size + PyBytes_GET_SIZE(verdict.tail) + MARGIN):
            raise MemoryError
        PUT(out, '{"schema_version":1,"evidence_id":')
        PUT_SPAN(out, fields[E_ID])
        PUT(out, ',"run_id":')
        PUT_SPAN(out, fields[E_RUN_ID])
        PUT(out, ',"task_id":')
        PUT_SPAN(out, fields[E_TASK_ID])
        put(out, PyBytes_AS_STRING(verdict.tail), PyBytes_GET_SIZE(verdict.tail))
        PUT(out, "\n")
        verdict.times += 1
        return 0

    cdef int _put_keys(self, Row *row, _Verdict verdict, const char *text, const uint8_t *keys, size_t piece, size_t offset) except -1:
        """Add a row to those of its run, and to those of its text where it may be part of a conflict."""
        cdef buffer *out = &self.runs.body
        if make_room(out, MARGIN):
            raise MemoryError
        _put_key(out, row, keys)
        put_hex(out, <const uint8_t *>text, TEXT)
        put(out, &verdict.letter, 1)
        _put_place(out, piece, offset, row.size)
        self.runs.end()
        if verdict.letter == c"n" or memcmp(text, NO_TEXT, TEXT) == 0:
            return 0
        out = &self.texts.body
        if make_room(out, MARGIN):
            raise MemoryError
        put_hex(out, <const uint8_t *>text, TEXT)
        put(out, &verdict.letter, 1)
        _put_key(out, row, keys)
        _put_place(out, piece, offset, row.size)
        return self.texts.end()


cdef inline void _put_key(buffer *out, Row *row, const uint8_t *keys) noexcept nogil:
    if row.hashed < 0:
        put(out, row.fields[E_ID].at + 1, KEY)
    else:
        put_hex(out, keys + row.hashed * TEXT, TEXT)


cdef inline void _put_place(buffer *out, size_t piece, size_t offset, size_t size) noexcept nogil:
    put_number(out, piece)
    PUT(out, " ")
    put_number(out, offset)
    PUT(out, " ")
    put_number(out, size)
