"""Plain runs as documents for retrieval, and as members of the groups that playbooks are made of (`distill.compiled.exports`)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc

from distill.compiled.exports cimport KEY, MARGIN, NEXT, VALUES, Ending, Row, Spread, has_text, is_empty, is_plain, is_same, put_bytes
from distill.compiled.parts cimport Lines
from distill.compiled.scan cimport (
    DISTILL_SOURCE, E_ATTEMPTS, E_CONTEXT, E_CORRECTED, E_ERRORS, E_ID, E_INSTRUCTION, E_LESSONS, E_MESSAGES, E_MODEL, E_PROVENANCE,
    E_REFERENCE, E_RESPONSE, E_RUN_ID, E_SIGNALS, E_SOURCE, E_TAGS, E_TASK_ID, PUT, PUT_SPAN, b3_hash_many, b3_message, buffer, free_buffer, is_null, is_text, make_room, put, put_hex, put_normal, span,
    write_normal,
)

SOURCE = DISTILL_SOURCE

cdef enum:
    SHORT = 20  # characters of an answer that are too few to be told
    HASH = 32

cdef struct Hashed:
    size_t content  # where it starts among the texts
    size_t size
    size_t place  # where the digits of its hash go among the permits


cdef class SpreadDocuments(Spread):
    """Documents of runs, what the firewall lets be embedded of each, and the answers that no playbook of their task may embed."""

    cdef Lines rows, permits, answers
    cdef object title_of, tags_of, group_of
    cdef bytes asked_before, title, task, source, group
    cdef buffer hashed, normal, embedded

    def __init__(self, fate_of, encode, keyed, title_of, tags_of, group_of):
        """Take also what gives, as bytes: the title of a user text, the tags of a category, model and source, the key of a task's answers."""
        Spread.__init__(self, fate_of, encode, keyed)
        self.rows, self.permits, self.answers = keyed["rows"], keyed["permits"], keyed["answers"]
        self.title_of, self.tags_of, self.group_of = title_of, tags_of, group_of
        self.asked_before = self.title = self.task = self.source = self.group = b""

    def __dealloc__(self):
        free_buffer(&self.hashed)
        free_buffer(&self.normal)
        free_buffer(&self.embedded)

    cdef bint _looks(self) noexcept:
        return True

    cdef bint _put(self, Row *row, Ending ending, size_t size) except -1:
        cdef span *fields = row.fields
        if not is_plain(row, ending, ending.out) or not is_text(fields[E_TAGS], "{}"):
            return False
        if ending.rejected and not is_null(fields[E_RESPONSE]) and not self._tell_answer(fields):
            return False
        if ending.out:
            self._keep_out(row, ending)
            return True
        self._write_place(row)
        self._write_asked(row)
        self._put_document(row, ending, size)
        self.accepted += 1
        return True

    cdef bint _tell_answer(self, span *fields) except -1:
        """Tell a rejected answer with white space made one, where it is long enough; false where Python must spell it."""
        cdef Py_ssize_t size, i, characters = 0
        cdef buffer *body = &self.answers.body
        cdef const char *normal
        if make_room(&self.normal, fields[E_RESPONSE].size):
            raise MemoryError
        normal = self.normal.data
        size = write_normal(fields[E_RESPONSE], self.normal.data)
        if size < 0:
            return False
        for i in range(size):
            if <unsigned char>normal[i] < 32:
                return False
            characters += (<unsigned char>normal[i] & 0xC0) != 0x80
        if characters < SHORT:
            return True
        if not (is_same(self.task, fields[E_TASK_ID]) and is_same(self.source, fields[E_SOURCE])):
            self.task = PyBytes_FromStringAndSize(fields[E_TASK_ID].at, fields[E_TASK_ID].size)
            self.source = PyBytes_FromStringAndSize(fields[E_SOURCE].at, fields[E_SOURCE].size)
            self.group = self.group_of(self.source, self.task)
        if make_room(body, 2 * size + PyBytes_GET_SIZE(self.group) + MARGIN):
            raise MemoryError
        put_bytes(body, self.group)
        PUT(body, "P")
        put_normal(body, normal, size)
        self.answers.end()
        return True

    cdef int _put_document(self, Row *row, Ending ending, size_t size) except -1:
        cdef span *fields = row.fields
        cdef span asked
        cdef buffer *body
        asked.at, asked.size = self.asked.data, self.asked.size
        if not is_same(self.asked_before, asked):
            self.asked_before = PyBytes_FromStringAndSize(asked.at, asked.size)
            self.title = self.title_of(self.asked_before)
        tags = self.tags_of(
            ending.fate.category, PyBytes_FromStringAndSize(fields[E_MODEL].at, fields[E_MODEL].size),
            PyBytes_FromStringAndSize(fields[E_SOURCE].at, fields[E_SOURCE].size),
        )
        body = self._room(self.rows, 2 * size + asked.size + PyBytes_GET_SIZE(self.title) + PyBytes_GET_SIZE(tags))
        put(body, fields[E_ID].at + 1, KEY)
        PUT(body, VALUES)
        put_bytes(body, self.title)
        PUT(body, NEXT)
        if is_empty(fields[E_CONTEXT]) or is_empty(fields[E_INSTRUCTION]):
            self._put_text(body, _inside(fields[E_INSTRUCTION]))
        else:
            put(body, asked.at + 1, asked.size - 2)
        PUT(body, NEXT)
        self._put_text(body, _inside(fields[E_RESPONSE]))
        PUT(body, NEXT)
        put_bytes(body, tags)
        if not is_empty(fields[E_TASK_ID]):
            PUT(body, ',"task=')
            put(body, fields[E_TASK_ID].at + 1, fields[E_TASK_ID].size - 1)
        PUT(body, '],"source_run_ids":[')
        PUT_SPAN(body, fields[E_RUN_ID])
        PUT(body, NEXT)
        put_bytes(body, ending.score)
        PUT(body, NEXT)
        put(body, self.where.data, self.where.size)
        self.rows.end()
        if ending.embedded:
            self._permit(row, size)
        return 0

    cdef int _permit(self, Row *row, size_t size) except -1:
        """Permit a document that embeds just this text; its hash is put in when all are taken."""
        cdef buffer *body = self._room(self.permits, size)
        cdef buffer *text = &self.embedded
        cdef span answer = row.fields[E_RESPONSE]
        cdef Hashed one
        if make_room(text, self.asked.size + answer.size + 4):
            raise MemoryError
        one.content = text.size
        put(text, self.asked.data, self.asked.size - 1)
        PUT(text, "\\n\\n")
        put(text, answer.at + 1, answer.size - 1)
        one.size = text.size - one.content
        put(body, row.fields[E_ID].at + 1, KEY)
        PUT(body, "[")
        put(body, self.where.data, self.where.size)
        PUT(body, ",")
        PUT_SPAN(body, row.fields[E_RUN_ID])
        PUT(body, ',"document ')
        one.place = body.size
        body.size += 2 * HASH
        PUT(body, '"]')
        if make_room(&self.hashed, sizeof(Hashed)):
            raise MemoryError
        put(&self.hashed, <const char *>&one, sizeof(Hashed))
        return self.permits.end()

    cdef int _finish(self) except -1:
        cdef size_t count = self.hashed.size // sizeof(Hashed), i
        cdef Hashed *each = <Hashed *>self.hashed.data
        cdef b3_message *messages = <b3_message *>malloc(count * sizeof(b3_message) + 1)
        cdef uint8_t *digests = <uint8_t *>malloc(count * HASH + 1)
        cdef buffer out
        try:
            if messages == NULL or digests == NULL:
                raise MemoryError
            for i in range(count):
                messages[i].data, messages[i].length = <const uint8_t *>self.embedded.data + each[i].content, each[i].size
            b3_hash_many(messages, count, digests, HASH)
            for i in range(count):
                out.data, out.size, out.room = self.permits.body.data, each[i].place, 0
                put_hex(&out, digests + i * HASH, HASH)
        finally:
            free(messages)
            free(digests)
        self.hashed.size = self.embedded.size = 0
        return 0


cdef inline span _inside(span text) noexcept nogil:
    """Return a JSON string without its quotes."""
    text.at, text.size = text.at + 1, text.size - 2
    return text


cdef class SpreadMembers(Spread):
    """Runs as members of their group, each with what a playbook reads of its evidence."""

    cdef Lines groups
    cdef object group_of
    cdef bint whole
    cdef bytes source, task, key, head

    def __init__(self, fate_of, encode, keyed, group_of, whole):
        """Take also what gives the key of a group, and its scope and name as the start of a JSON list, from a source and a task as JSON.

        Where `whole` is true, any field of the evidence may be read.
        """
        Spread.__init__(self, fate_of, encode, keyed)
        self.whole = whole
        self.groups, self.group_of = keyed["groups"], group_of
        self.source = self.task = self.key = self.head = b""

    cdef bint _put(self, Row *row, Ending ending, size_t size) except -1:
        cdef span *fields = row.fields
        if is_null(fields[E_TASK_ID]) or not is_null(fields[E_CORRECTED]) or not is_null(fields[E_MESSAGES]):
            return False
        if b'"infrastructure"' in PyBytes_FromStringAndSize(fields[E_SIGNALS].at, fields[E_SIGNALS].size):
            return False
        if not (is_same(self.task, fields[E_TASK_ID]) and is_same(self.source, fields[E_SOURCE])):
            self.task = PyBytes_FromStringAndSize(fields[E_TASK_ID].at, fields[E_TASK_ID].size)
            self.source = PyBytes_FromStringAndSize(fields[E_SOURCE].at, fields[E_SOURCE].size)
            self.key, self.head = self.group_of(self.source, self.task)
        cdef buffer *body = self._room(
            self.groups, size + PyBytes_GET_SIZE(self.key) + PyBytes_GET_SIZE(self.head) + PyBytes_GET_SIZE(ending.reasons)
        )
        put_bytes(body, self.key)
        put(body, fields[E_ID].at + 1, KEY)
        put_bytes(body, self.head)
        PUT(body, ",")
        put_bytes(body, ending.category)
        PUT(body, ",")
        put_bytes(body, ending.reasons)
        PUT(body, ",")
        put_bytes(body, ending.score)
        PUT(body, ",")
        PUT_SPAN(body, fields[E_ATTEMPTS])
        PUT(body, ",null,false]\t")
        if self.whole:
            put(body, row.line, size)
        else:
            self._put_told(body, fields, ending)
        self.groups.end()
        return True

    cdef int _put_told(self, buffer *body, span *fields, Ending ending) except -1:
        """Put the fields that are read; an answer is read of runs that passed, signals where a person may have spoken."""
        PUT(body, '{"id":')
        PUT_SPAN(body, fields[E_ID])
        PUT(body, ',"source":')
        PUT_SPAN(body, fields[E_SOURCE])
        PUT(body, ',"run_id":')
        PUT_SPAN(body, fields[E_RUN_ID])
        PUT(body, ',"model":')
        PUT_SPAN(body, fields[E_MODEL])
        PUT(body, ',"instruction":')
        PUT_SPAN(body, fields[E_INSTRUCTION])
        if not is_null(fields[E_CONTEXT]):
            PUT(body, ',"context":')
            PUT_SPAN(body, fields[E_CONTEXT])
        if ending.embedded:
            PUT(body, ',"response":')
            PUT_SPAN(body, fields[E_RESPONSE])
        if b'"human"' in PyBytes_FromStringAndSize(fields[E_SIGNALS].at, fields[E_SIGNALS].size):
            PUT(body, ',"signals":')
            PUT_SPAN(body, fields[E_SIGNALS])
        if not is_text(fields[E_ERRORS], "[]"):
            PUT(body, ',"errors":')
            PUT_SPAN(body, fields[E_ERRORS])
        if not is_text(fields[E_LESSONS], "[]"):
            PUT(body, ',"lessons":')
            PUT_SPAN(body, fields[E_LESSONS])
        PUT(body, ',"provenance":')
        PUT_SPAN(body, fields[E_PROVENANCE])
        PUT(body, '}')
        return 0
