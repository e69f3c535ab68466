"""Plain rows of a native log, from its bytes to the bytes of their evidence; every other row is left to `distill.stages.collect`.

A row is plain where each of its known fields is of the plainest form its type has, no key stands twice, and what it says of how it went was
read before. Strings are checked, and spelt anew only where our own encoder would spell them otherwise.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memchr, memcmp

from distill.compiled.scan cimport (
    DISTILL_SOURCE, PUT, PUT_SPAN, after_text, b3_hash_many, b3_message, buffer, free_buffer, is_null, make_room, put, put_hex, put_length,
    put_number, span,
)
from distill.compiled.values cimport (
    STRANGERS, is_utc, put_field, put_text, read_count, read_counts, read_float, read_key, read_number, read_text, skip_scalar, skip_spaces,
)

from distill.compiled.views cimport Written

SOURCE = DISTILL_SOURCE

cdef enum:
    BATCH = 64
    TEXT = 16
    HASH = 32
    FIELDS = 64
    MARGIN = 2048
    REMEMBERED = 16384

cdef enum:
    RUN_ID, TASK_ID, CREATED_AT, MODEL, PROVIDER, ROLE, INSTRUCTION, CONTEXT, RESPONSE, CORRECTED, NOTES, REVIEWER, VERDICT
    HASHES  # no field: where both hashes of a row are spelt; what comes before it is text
    MESSAGES, ERRORS, OK, ATTEMPTS, COST, LATENCY, CONFIDENCE, TOKENS, TESTS
    SLOTS

SLOT_NAMES = {
    "run_id": RUN_ID, "task_id": TASK_ID, "created_at": CREATED_AT, "model": MODEL, "provider": PROVIDER, "role": ROLE, "instruction": INSTRUCTION,
    "context": CONTEXT, "response": RESPONSE, "corrected_response": CORRECTED, "notes": NOTES, "reviewer": REVIEWER, "verdict": VERDICT,
    "messages": MESSAGES, "errors": ERRORS, "ok": OK, "attempts": ATTEMPTS, "cost_usd": COST, "latency_ms": LATENCY, "confidence": CONFIDENCE,
    "tokens": TOKENS, "tests": TESTS,
}  # fmt: skip
"""What a field of a log may become, by name; the type it must have goes with it."""

cdef struct Field:
    const char *name
    size_t size
    int slot

cdef struct Row:
    span slots[SLOTS]
    span counts[4]  # input, output, passed, failed
    const char *raw
    size_t size
    size_t offset
    size_t number
    bint plain

cdef const char *NULL_TEXT = "null"
cdef const char *ZEROS = "\0\0\0\0\0\0\0\0"


cdef class _Said:
    """What rows that say the same of how they went have in common."""

    cdef bytes signals
    cdef Py_ssize_t times


cdef class PlainRows:
    """Takes the plain rows of one log; one lives as long as a unit."""

    cdef object signals_of, time_of
    cdef dict said, times, names
    cdef Field fields[FIELDS]
    cdef int known
    cdef int order[FIELDS]
    cdef bint needs_response
    cdef bytes id_head, source, file, recorded_at
    cdef Written evidence
    cdef buffer arena, ids, texts, key
    cdef Row rows[BATCH]
    cdef void *verdicts[BATCH]  # each a _Said that `said` holds

    def __init__(self, fields, id_head, source, file, recorded_at, signals_of, time_of, *, needs_response):
        """Take what the fields of the log become, by name; what ids are hashed after; the source and the file as JSON; a time for all rows or
        none; and what gives the signals of a row from its bytes, and a time in UTC, both as JSON, None where Python must look at the row."""
        cdef int i
        if len(fields) > FIELDS:
            raise ValueError(f"{len(fields)} fields, at most {FIELDS} are known")
        self.names = {name.encode(): SLOT_NAMES[slot] for name, slot in fields.items()}
        self.known = 0
        for name, slot in self.names.items():
            self.fields[self.known].name, self.fields[self.known].size = PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)
            self.fields[self.known].slot = slot
            self.known += 1
        for i in range(FIELDS):
            self.order[i] = 0
        self.id_head, self.source, self.file, self.recorded_at = id_head, source, file, recorded_at
        self.signals_of, self.time_of, self.needs_response = signals_of, time_of, needs_response
        self.said, self.times = {}, {}

    def __dealloc__(self):
        free_buffer(&self.arena)
        free_buffer(&self.ids)
        free_buffer(&self.texts)
        free_buffer(&self.key)

    def signals(self):
        """Return the sets of signals that were met, as JSON, and how often."""
        return [((<_Said>one).signals, (<_Said>one).times) for one in self.said.values() if (<_Said>one).times]

    def take(self, bytes data not None, size_t lines, size_t offset, size_t longest):
        """Take the plain rows of whole lines, before which so many lines and bytes stand in the log.

        Return a view of their evidence, its ids and the keys of its texts, 16 bytes each, and the lines that are left: number, place in `data`, length,
        whether a newline follows, and how many bytes and rows of evidence come before it.
        """
        cdef const char *start = PyBytes_AS_STRING(data)
        cdef const char *p = start
        cdef const char *end = p + PyBytes_GET_SIZE(data)
        cdef const char *stop
        cdef int count, i
        cdef size_t bytes, taken = 0
        cdef Row *row
        self.ids.size = self.texts.size = 0
        self.evidence = Written(2 * PyBytes_GET_SIZE(data))
        left = []
        while p < end:
            count, bytes = 0, 0
            while p < end and count < BATCH:
                stop = <const char *>memchr(p, c"\n", end - p)
                stop = end if stop == NULL else stop
                lines += 1
                if stop > p:
                    row = &self.rows[count]
                    row.raw, row.size, row.number, row.offset = p, stop - p, lines, offset + (p - start)
                    row.plain = row.size <= longest
                    bytes += row.size
                    count += 1
                p = stop + 1
            self._read(count, bytes)
            for i in range(count):
                row = &self.rows[i]
                if row.plain:
                    self._render(row, i)
                    taken += 1
                else:
                    left.append((row.number, row.raw - start, row.size, row.raw + row.size < end, self.evidence.body.size, taken))
        ids, texts = PyBytes_FromStringAndSize(self.ids.data, self.ids.size), PyBytes_FromStringAndSize(self.texts.data, self.texts.size)
        return memoryview(self.evidence), ids, texts, left

    cdef int _read(self, int count, size_t bytes) except -1:
        """Read the rows of a batch and hash what of them is hashed: id, bytes, text."""
        cdef b3_message messages[3 * BATCH]
        cdef uint8_t digests[3 * BATCH * HASH]
        cdef int i, hashed = 0
        cdef Row *row
        self.arena.size = 0  # nothing in it moves until the next batch
        if make_room(&self.arena, 3 * bytes + count * (PyBytes_GET_SIZE(self.id_head) + MARGIN)):
            raise MemoryError
        for i in range(count):
            row = &self.rows[i]
            row.plain = row.plain and self._read_row(row) and self._understand(row, i)
            if row.plain:
                self._stage(row, messages + hashed)
                hashed += 3
        b3_hash_many(messages, hashed, digests, HASH)
        if make_room(&self.ids, count * HASH) or make_room(&self.texts, count * TEXT):
            raise MemoryError
        hashed = 0
        for i in range(count):
            row = &self.rows[i]
            if not row.plain:
                continue
            put(&self.ids, <const char *>digests + hashed * HASH, TEXT)
            row.slots[HASHES].at = self.arena.data + self.arena.size  # both hashes as they are spelt
            put_hex(&self.arena, digests + hashed * HASH, TEXT)
            put_hex(&self.arena, digests + (hashed + 1) * HASH, HASH)
            if messages[hashed + 2].length:
                put(&self.texts, <const char *>digests + (hashed + 2) * HASH, TEXT)
            else:
                put(&self.texts, ZEROS, 8)
                put(&self.texts, ZEROS, 8)
            hashed += 3
        return 0

    cdef int _stage(self, Row *row, b3_message *messages) except -1:
        """Lay down what is hashed of a row: the parts of its id, its bytes, and the parts of its text, none where it has no answer."""
        cdef buffer *arena = &self.arena
        cdef size_t start = arena.size
        messages[0].data = <const uint8_t *>arena.data + start
        put(arena, PyBytes_AS_STRING(self.id_head), PyBytes_GET_SIZE(self.id_head))
        put_length(arena, row.size)
        put(arena, row.raw, row.size)
        put(arena, ZEROS, 8)
        messages[0].length = arena.size - start
        messages[1].data, messages[1].length = <const uint8_t *>row.raw, row.size
        start = arena.size
        messages[2].data, messages[2].length = <const uint8_t *>arena.data + start, 0
        if put_text(arena, row.slots[INSTRUCTION], row.slots[CONTEXT], row.slots[RESPONSE]):
            messages[2].length = arena.size - start
        else:
            arena.size = start
        return 0

    cdef bint _understand(self, Row *row, int place) except -1:
        """Find what a row says of how it went and when; false where Python must look at it."""
        cdef span *slots = row.slots
        cdef buffer *key = &self.key
        cdef int i
        if is_null(slots[TASK_ID]) or slots[TASK_ID].size == 2 or is_null(slots[CREATED_AT]):
            return False
        if is_null(slots[RESPONSE]) and (self.needs_response or is_null(slots[VERDICT])):
            return False
        if not self._find_time(&slots[CREATED_AT]):
            return False
        key.size = 0
        if make_room(key, slots[REVIEWER].size + slots[VERDICT].size + slots[CONFIDENCE].size + MARGIN):
            raise MemoryError
        PUT_SPAN(key, slots[REVIEWER])
        PUT(key, "\n")
        PUT_SPAN(key, slots[VERDICT])
        PUT(key, "\n")
        PUT_SPAN(key, slots[CONFIDENCE])
        PUT(key, "\n")
        PUT_SPAN(key, slots[OK])
        for i in range(2, 4):
            PUT(key, "\n")
            if not is_null(slots[TESTS]):
                PUT_SPAN(key, row.counts[i])
        name = PyBytes_FromStringAndSize(key.data, key.size)
        found = self.said.get(name)
        if found is None:
            if len(self.said) > REMEMBERED:
                return False
            signals = self.signals_of(row.raw[: row.size])
            if signals is None:
                return False
            found = self.said[name] = _Said()
            (<_Said>found).signals, (<_Said>found).times = signals, 0
        (<_Said>found).times += 1
        self.verdicts[place] = <void *>found
        return True

    cdef bint _find_time(self, span *moment) except -1:
        """Put a time in UTC in the place of a row's own."""
        if is_utc(moment[0]):
            return True
        name = PyBytes_FromStringAndSize(moment.at, moment.size)
        found = self.times.get(name, self)
        if found is self:
            if len(self.times) > REMEMBERED:
                return False  # those that are remembered stay where they are
            found = self.times[name] = self.time_of(name)
        if found is None:
            return False
        moment.at, moment.size = PyBytes_AS_STRING(found), PyBytes_GET_SIZE(found)
        return True

    cdef bint _read_row(self, Row *row) except -1:
        """Read the fields of a row; false where it is not plain."""
        cdef const char *p = row.raw
        cdef const char *end = p + row.size
        cdef span strangers[STRANGERS]
        cdef span name
        cdef int i, slot, met = 0, strange = 0
        cdef uint64_t seen = 0
        for i in range(SLOTS):
            row.slots[i].at, row.slots[i].size = NULL_TEXT, 4
        for i in range(4):
            row.counts[i].at, row.counts[i].size = NULL_TEXT, 4
        if p[0] != c"{":
            return False
        p += 1
        while True:
            p = read_key(p, end, &name)
            if p == NULL:
                return False
            slot = self._slot_of(name, met)
            met += 1
            if slot >= 0:
                if seen >> slot & 1:
                    return False
                seen |= <uint64_t>1 << slot
                p = self._read_value(row, slot, p, end)
            else:
                for i in range(strange):
                    if strangers[i].size == name.size and memcmp(strangers[i].at, name.at, name.size) == 0:
                        return False
                if strange == STRANGERS:
                    return False
                strangers[strange] = name
                strange += 1
                p = skip_scalar(p, end)
            if p == NULL:
                return False
            p = skip_spaces(p, end)
            if p < end and p[0] == c",":
                p = skip_spaces(p + 1, end)
                continue
            return p + 1 == end and p[0] == c"}"

    cdef int _slot_of(self, span name, int place) noexcept:
        """Return the slot of a key, -1 of one that is not known; keys of neighbours come in the same order."""
        cdef int i = self.order[place] if place < FIELDS else 0
        if i < self.known and self.fields[i].size == name.size and memcmp(self.fields[i].name, name.at, name.size) == 0:
            return self.fields[i].slot
        for i in range(self.known):
            if self.fields[i].size == name.size and memcmp(self.fields[i].name, name.at, name.size) == 0:
                if place < FIELDS:
                    self.order[place] = i
                return self.fields[i].slot
        return -1

    cdef const char *_read_value(self, Row *row, int slot, const char *p, const char *end) noexcept:
        """Read the value of a known field; NULL where it is not plain."""
        cdef span *out = &row.slots[slot]
        cdef const char *after
        if after_text(p, end, "null") != NULL:
            return p + 4
        if slot < HASHES:
            return read_text(p, end, out, &self.arena)
        if slot == ERRORS:
            after = skip_spaces(after_text(p, end, "["), end)
            return after_text(after, end, "]")
        if slot == OK:
            after = after_text(p, end, "true")
            after = after_text(p, end, "false") if after == NULL else after
            out.at = p
            out.size = 0 if after == NULL else after - p
            return after
        if slot == ATTEMPTS:
            return read_count(p, end, out)
        if slot == COST or slot == LATENCY:
            return read_float(p, end, out, &self.arena)
        if slot == CONFIDENCE:
            return read_number(p, end, out)
        if slot == TOKENS:
            return read_counts(p, end, "input", "output", row.counts, out)
        if slot == TESTS:
            return read_counts(p, end, "passed", "failed", row.counts + 2, out)
        return NULL

    cdef int _render(self, Row *row, int place) except -1:
        """Write the evidence of a row."""
        cdef buffer *out = &self.evidence.body
        cdef span *slots = row.slots
        cdef bytes signals = (<_Said>self.verdicts[place]).signals
        cdef size_t size = 0
        cdef int i
        for i in range(SLOTS):
            size += slots[i].size if i != HASHES else 0
        if make_room(out, size + PyBytes_GET_SIZE(signals) + PyBytes_GET_SIZE(self.source) + PyBytes_GET_SIZE(self.file) + MARGIN):
            raise MemoryError
        PUT(out, '{"schema_version":1,"id":"')
        put(out, slots[HASHES].at, 2 * TEXT)
        put_field(out, '","run_id":', slots[RUN_ID], False)
        put_field(out, ',"task_id":', slots[TASK_ID], True)
        PUT(out, ',"source":')
        put(out, PyBytes_AS_STRING(self.source), PyBytes_GET_SIZE(self.source))
        put_field(out, ',"created_at":', slots[CREATED_AT], True)
        put_field(out, ',"model":', slots[MODEL], True)
        put_field(out, ',"provider":', slots[PROVIDER], True)
        put_field(out, ',"role":', slots[ROLE], True)
        put_field(out, ',"instruction":', slots[INSTRUCTION], True)
        put_field(out, ',"context":', slots[CONTEXT], True)
        PUT(out, ',"messages":null')
        put_field(out, ',"response":', slots[RESPONSE], True)
        put_field(out, ',"corrected_response":', slots[CORRECTED], False)
        PUT(out, ',"signals":')
        put(out, PyBytes_AS_STRING(signals), PyBytes_GET_SIZE(signals))
        put_field(out, ',"attempts":', slots[ATTEMPTS], True)
        PUT(out, ',"errors":[],"lessons":[')
        if not is_null(slots[NOTES]) and slots[NOTES].size > 2:
            PUT_SPAN(out, slots[NOTES])
        PUT(out, '],"reference":[],"tags":{}')
        put_field(out, ',"cost_usd":', slots[COST], True)
        put_field(out, ',"latency_ms":', slots[LATENCY], True)
        if is_null(slots[TOKENS]):
            PUT(out, ',"tokens":null')
        else:
            put_field(out, ',"tokens":{"input":', row.counts[0], True)
            put_field(out, ',"output":', row.counts[1], True)
            PUT(out, "}")
        PUT(out, ',"group":null,"subject":null,"provenance":{"source_file":')
        put(out, PyBytes_AS_STRING(self.file), PyBytes_GET_SIZE(self.file))
        PUT(out, ',"line":')
        put_number(out, row.number)
        PUT(out, ',"member":null,"index":null,"key":null,"offset":')
        put_number(out, row.offset)
        PUT(out, ',"sig_hash":"')
        put(out, slots[HASHES].at + 2 * TEXT, 2 * HASH)
        PUT(out, '","recorded_at":')
        if PyBytes_GET_SIZE(self.recorded_at):
            put(out, PyBytes_AS_STRING(self.recorded_at), PyBytes_GET_SIZE(self.recorded_at))
        else:
            PUT_SPAN(out, slots[CREATED_AT])
        PUT(out, "}}\n")
        return 0
