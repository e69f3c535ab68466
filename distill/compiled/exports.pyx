"""Plain runs from the bytes of their evidence into those of an export; every other run is left to Python (`distill.units.exports`)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport UINT32_MAX, uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcmp

from distill.compiled.exports cimport (
    KEY, MARGIN, NEXT, QUOTE, TEXT, UNIT, VALUES, WORTH, Ending, Key, Row, Spread, is_empty, is_plain, is_same, put_bytes,
)
from distill.compiled.parts cimport Lines
from distill.compiled.scan cimport (
    DISTILL_SOURCE, E_CONTEXT, E_ID, E_INSTRUCTION, E_MODEL, E_RESPONSE, E_RUN_ID, E_SIGNALS, E_SOURCE, E_TASK_ID, P_FILE, P_INDEX, P_KEY,
    P_LINE, P_MEMBER, P_OFFSET, P_SIG_HASH, PUT, PUT_SPAN, b3_hash_many, b3_message, buffer, free_buffer, is_null, make_room, put, put_hex,
    put_hex32, read_evidence, read_scored, span,
)

SOURCE = DISTILL_SOURCE

cdef enum:
    ENDINGS = 4096

cdef class Ending:
    """What scored rows that end in the same bytes have in common, and how many it kept out."""

    def __init__(self, fate, encode):
        self.fate = fate
        self.category, self.reason, self.use = encode(fate.category), encode(fate.reasons[0]), fate.use.encode()
        self.reasons, self.score = encode(fate.reasons), fate.score
        self.head, self.tail, self.out = fate.head, fate.tail, fate.out is not None
        self.changed = fate.reasons[0] == "with_changes"
        self.accepted, self.rejected, self.imitated = fate.category == "accepted", fate.category == "rejected", fate.use == "imitate"
        self.embedded = fate.category in {"accepted", "partially_accepted"}
        self.times = 0


cdef class Spread:
    """Spreads the plain runs of one unit; what it makes of them is said by its kind."""

    def __init__(self, fate_of, encode, keyed):
        """Take what gives the fate of a scored row and a value as JSON, and the sections of the part."""
        self.fate_of, self.encode, self.endings, self.unit = fate_of, encode, {}, b""
        self.quarantine = keyed["quarantine"]

    def __dealloc__(self):
        free_buffer(&self.asked)
        free_buffer(&self.where)
        free_buffer(&self.texts)
        free_buffer(&self.keys)

    def take(self, bytes evidence not None, bytes scored not None, bytes texts not None, spoken, bytes unit not None=b""):
        """Spread the plain runs of a range of evidence and its scored rows, but for those whose numbers are in `spoken`.

        `texts` are the keys of their texts, 16 bytes each. With the name of the `unit` of evidence they are,
        texts are quoted and not copied. Return how many rows there are of both, and those that are left: number,
        evidence, scored row.
        """
        cdef const char *p = PyBytes_AS_STRING(evidence)
        cdef const char *end = p + PyBytes_GET_SIZE(evidence)
        cdef const char *q = PyBytes_AS_STRING(scored)
        cdef const char *q_end = q + PyBytes_GET_SIZE(scored)
        cdef const char *stop
        cdef const char *q_stop
        cdef Py_ssize_t number = 0, known = PyBytes_GET_SIZE(texts) // TEXT
        cdef bint some = bool(spoken)
        cdef Row row
        left = []
        if unit and (PyBytes_GET_SIZE(unit) != UNIT or PyBytes_GET_SIZE(evidence) > <Py_ssize_t>UINT32_MAX):
            raise ValueError(f"no unit to quote from: {unit!r}")
        self.unit, self.base = unit, p
        self.texts.size = self.keys.size = 0
        while p < end and q < q_end:
            stop = _line_end(p, end)
            q_stop = _line_end(q, q_end)
            row.line, row.text = p, PyBytes_AS_STRING(texts) + TEXT * number
            if number >= known or (some and number in spoken) or not self._take(&row, p, stop, q, q_stop):
                left.append((number, p[: stop - p], q[: q_stop - q]))
            number += 1
            p, q = stop + 1, q_stop + 1
        self._write_keys()
        self._finish()
        return number + _count(p, end), number + _count(q, q_end), left

    def kept_out(self):
        """Return the fates that kept runs out and how many each, since it was asked last."""
        met = [((<Ending>one).fate, (<Ending>one).times) for one in self.endings.values() if (<Ending>one).times]
        for one in self.endings.values():
            (<Ending>one).times = 0
        return met

    cdef bint _take(self, Row *row, const char *p, const char *end, const char *q, const char *q_end) except -1:
        cdef const char *identity
        cdef const char *verdict
        cdef Ending ending
        if not read_scored(q, q_end, &identity, &verdict) or not read_evidence(p, end, row.fields, row.place):
            return False
        if memcmp(identity, row.fields[E_ID].at + 1, KEY) != 0 or not _is_line(row.place):
            return False
        ending = self._ending(verdict, q_end - verdict, q, q_end - q)
        if ending is None:
            return False
        if ending.out and not self._looks():
            self._keep_out(row, ending)
            return True
        return self._put(row, ending, end - p)

    cdef Ending _ending(self, const char *verdict, Py_ssize_t size, const char *line, Py_ssize_t length):
        key = PyBytes_FromStringAndSize(verdict, size)
        found = self.endings.get(key)
        if found is None and len(self.endings) < ENDINGS:
            found = self.endings[key] = Ending(self.fate_of(line[:length]), self.encode)
        return found

    cdef bint _looks(self) noexcept:
        """Whether runs that their verdict alone keeps out are looked at all the same."""
        return False

    cdef bint _put(self, Row *row, Ending ending, size_t size) except -1:
        """Add what is made of a run, whose evidence has so many bytes; false where it is not plain."""
        return False

    cdef int _finish(self) except -1:
        """Do what is done for all runs of a range at once."""
        return 0

    cdef int _keep_out(self, Row *row, Ending ending) except -1:
        """Count a run that its verdict alone keeps out, and keep its quarantine row."""
        ending.times += 1
        if PyBytes_GET_SIZE(ending.head) == 0:
            return 0
        self._write_place(row)
        cdef buffer *body = self._room(self.quarantine, PyBytes_GET_SIZE(ending.head) + PyBytes_GET_SIZE(ending.tail) + self.where.size)
        put(body, row.fields[E_ID].at + 1, KEY)
        put_bytes(body, ending.head)
        put(body, row.fields[E_ID].at + 1, KEY)
        PUT(body, '","provenance":')
        put(body, self.where.data, self.where.size)
        put_bytes(body, ending.tail)
        return self.quarantine.end()

    cdef buffer *_room(self, Lines lines, size_t size) except NULL:
        if make_room(&lines.body, size + MARGIN):
            raise MemoryError
        return &lines.body

    cdef int _write_place(self, Row *row) except -1:
        """Write the provenance as a JSON string to `where`."""
        cdef span *place = row.place
        self.where.size = 0
        if make_room(&self.where, place[P_FILE].size + place[P_LINE].size + place[P_OFFSET].size + place[P_SIG_HASH].size + MARGIN):
            raise MemoryError
        put(&self.where, place[P_FILE].at, place[P_FILE].size - 1)
        PUT(&self.where, ":")
        PUT_SPAN(&self.where, place[P_LINE])
        PUT(&self.where, "@")
        PUT_SPAN(&self.where, place[P_OFFSET])
        PUT(&self.where, " blake3:")
        put(&self.where, place[P_SIG_HASH].at + 1, place[P_SIG_HASH].size - 1)
        return 0

    cdef bint _is_quoted(self, span text) noexcept:
        return text.size >= WORTH and PyBytes_GET_SIZE(self.unit) == UNIT

    cdef int _put_text(self, buffer *body, span text) except -1:
        """Put a text that stands in the evidence, or quote it, with a key that is written later; there is room for either."""
        cdef b3_message message
        cdef Key key
        if not self._is_quoted(text):
            PUT_SPAN(body, text)
            return 0
        PUT(body, QUOTE)
        message.data, message.length = <const uint8_t *>text.at, text.size
        key.body, key.place = body, body.size
        body.size += 2 * TEXT
        put_bytes(body, self.unit)
        put_hex32(body, <uint32_t>(text.at - self.base))
        put_hex32(body, <uint32_t>text.size)
        if make_room(&self.texts, sizeof(message)) or make_room(&self.keys, sizeof(key)):
            raise MemoryError
        put(&self.texts, <const char *>&message, sizeof(message))
        put(&self.keys, <const char *>&key, sizeof(key))
        return 0

    cdef int _write_keys(self) except -1:
        """Write the keys of all texts that were quoted: hashed at once, eight abreast."""
        cdef size_t count = self.keys.size // sizeof(Key), i
        cdef Key *keys = <Key *>self.keys.data
        cdef uint8_t *digests
        cdef buffer hole
        if count == 0:
            return 0
        digests = <uint8_t *>malloc(count * TEXT)
        if digests == NULL:
            raise MemoryError
        b3_hash_many(<b3_message *>self.texts.data, count, digests, TEXT)
        for i in range(count):
            hole.data, hole.size = keys[i].body.data + keys[i].place, 0
            put_hex(&hole, digests + i * TEXT, TEXT)
        free(digests)
        return 0

    cdef int _put_question(self, buffer *body, Row *row) except -1:
        """Put the user text."""
        if is_whole(row):
            return self._put_text(body, row.fields[E_INSTRUCTION])
        self._write_asked(row)
        put(body, self.asked.data, self.asked.size)
        return 0

    cdef int _write_asked(self, Row *row) except -1:
        """Write the user text as a JSON string to `asked`."""
        cdef span told = row.fields[E_INSTRUCTION], context = row.fields[E_CONTEXT]
        self.asked.size = 0
        if make_room(&self.asked, told.size + context.size + MARGIN):
            raise MemoryError
        if is_empty(context) or is_empty(told):
            PUT_SPAN(&self.asked, told)
        else:
            put(&self.asked, told.at, told.size - 1)
            PUT(&self.asked, "\\n\\n")
            put(&self.asked, context.at + 1, context.size - 1)
        return 0


cdef inline const char *_line_end(const char *p, const char *end) noexcept nogil:
    cdef const char *stop = <const char *>memchr(p, c"\n", end - p)
    return end if stop == NULL else stop


cdef Py_ssize_t _count(const char *p, const char *end) noexcept nogil:
    """Return how many lines there are from p on."""
    cdef Py_ssize_t count = 0
    while p < end:
        p = _line_end(p, end) + 1
        count += 1
    return count


cdef inline bint _is_line(span *place) noexcept nogil:
    """Tell whether a record stands in a line."""
    return not is_null(place[P_LINE]) and is_null(place[P_MEMBER]) and is_null(place[P_INDEX]) and is_null(place[P_KEY])


cdef class SpreadSft(Spread):
    """Values of the rows of both files, the rank of every run by its text, and what the firewall is told."""

    cdef Lines exchanges, groups, permits

    def __init__(self, fate_of, encode, keyed):
        """See `Spread`."""
        Spread.__init__(self, fate_of, encode, keyed)
        self.exchanges, self.groups, self.permits = keyed["exchanges"], keyed["groups"], keyed["permits"]

    cdef bint _put(self, Row *row, Ending ending, size_t size) except -1:
        if not is_plain(row, ending, False):
            return False
        self._write_place(row)
        self._put_exchange(row, ending, size)
        cdef buffer *body = self._room(self.groups, 0)
        put_hex(body, <const uint8_t *>row.text, TEXT)
        PUT(body, "0")
        put(body, row.fields[E_ID].at + 1, KEY)
        self.groups.end()
        if ending.imitated:
            _put_permit(self._room(self.permits, size), row, &self.where, ending)
            self.permits.end()
        return True

    cdef int _put_exchange(self, Row *row, Ending ending, size_t size) except -1:
        cdef buffer *body = self._room(self.exchanges, 2 * size)
        put(body, row.fields[E_ID].at + 1, KEY)
        PUT(body, VALUES)
        self._put_question(body, row)
        PUT(body, NEXT)
        self._put_text(body, row.fields[E_RESPONSE])
        PUT(body, NEXT)
        PUT(body, '","source_run_id":')
        PUT_SPAN(body, row.fields[E_RUN_ID])
        PUT(body, ',"quality_score":')
        put_bytes(body, ending.category)
        PUT(body, ',"provenance":')
        put(body, self.where.data, self.where.size)
        PUT(body, '}')
        return self.exchanges.end()


cdef inline bint is_whole(Row *row) noexcept nogil:
    """Tell whether the instruction is all of the user text."""
    return is_empty(row.fields[E_CONTEXT]) or is_empty(row.fields[E_INSTRUCTION])


cdef void _put_permit(buffer *body, Row *row, buffer *where, Ending ending) noexcept:
    """Put that a run may be used."""
    put(body, row.fields[E_ID].at + 1, KEY)
    PUT(body, '[')
    put(body, where.data, where.size)
    PUT(body, ',')
    PUT_SPAN(body, row.fields[E_RUN_ID])
    PUT(body, ',"')
    put_bytes(body, ending.use)
    PUT(body, '"]')


cdef class SpreadPreference(Spread):
    """Sides by their task, and what the firewall is told."""

    cdef Lines groups, permits
    cdef object key_of
    cdef bytes source, task, key

    def __init__(self, fate_of, encode, keyed, key_of):
        """Take also what gives the key of a task from its source and id, as JSON strings."""
        Spread.__init__(self, fate_of, encode, keyed)
        self.groups, self.permits, self.key_of = keyed["groups"], keyed["permits"], key_of
        self.source = self.task = self.key = b""

    cdef bint _put(self, Row *row, Ending ending, size_t size) except -1:
        cdef span *fields = row.fields
        if not is_plain(row, ending, False) or is_null(fields[E_TASK_ID]):
            return False
        if ending.rejected and b'"infrastructure"' in PyBytes_FromStringAndSize(fields[E_SIGNALS].at, fields[E_SIGNALS].size):
            return False
        self._find_key(fields[E_SOURCE], fields[E_TASK_ID])
        self._write_place(row)
        cdef buffer *body = self._room(self.groups, 2 * size + PyBytes_GET_SIZE(ending.reason))
        put_bytes(body, self.key)
        put(body, fields[E_ID].at + 1, KEY)
        PUT(body, '[')
        PUT_SPAN(body, fields[E_ID])
        if ending.rejected:
            PUT(body, ',false,"')
        else:
            PUT(body, ',true,"')
        put_hex(body, <const uint8_t *>row.text, TEXT)
        PUT(body, '",')
        PUT_SPAN(body, fields[E_RUN_ID])
        PUT(body, ',')
        if is_null(fields[E_MODEL]):
            PUT(body, '""')
        else:
            PUT_SPAN(body, fields[E_MODEL])
        if ending.accepted:
            PUT(body, ',false,')
        else:
            PUT(body, ',true,')
        put_bytes(body, ending.reason)
        PUT(body, ',')
        put(body, self.where.data, self.where.size)
        PUT(body, ',[["user",')
        self._put_question(body, row)
        PUT(body, ',false],["assistant",')
        self._put_text(body, fields[E_RESPONSE])
        PUT(body, ',false]]]')
        self.groups.end()
        if PyBytes_GET_SIZE(ending.use):
            _put_permit(self._room(self.permits, size), row, &self.where, ending)
            self.permits.end()
        return True

    cdef int _find_key(self, span source, span task) except -1:
        """Find the key of a task; neighbours are often of one task."""
        if is_same(self.task, task) and is_same(self.source, source):
            return 0
        self.task, self.source = PyBytes_FromStringAndSize(task.at, task.size), PyBytes_FromStringAndSize(source.at, source.size)
        self.key = self.key_of(self.source, self.task)
        if PyBytes_GET_SIZE(self.key) != KEY:
            raise ValueError(f"no key: {self.key!r}")
        return 0
