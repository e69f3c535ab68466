"""The keyed lines of a part, and the merge of a bucket: lines are sorted where they lie, as bytes (`distill.units.parts`)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport UINT32_MAX, uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcmp, memcpy
from posix.fcntl cimport O_CLOEXEC, O_RDONLY, open
from posix.unistd cimport close, pread

from distill.compiled.scan cimport DISTILL_SOURCE, b3_hash_many, b3_message, buffer, first_of, free_buffer, line, make_room, put, sort_lines, span
from distill.compiled.templates cimport Template, Texts
from distill.compiled.views cimport Written

SOURCE = DISTILL_SOURCE

cdef enum:
    SLOTS = 1024
    SUM = 16
    VALUES_FOLLOW = 0x02

cdef char FIRST[SLOTS][4]
for _slot in range(SLOTS):
    memcpy(FIRST[_slot], PyBytes_AS_STRING(b"%03x\0" % (_slot * 4096 // SLOTS)), 4)


cdef class Lines:
    """Lines without newline, in the order of arrival until they are finished."""

    def __dealloc__(self):
        free_buffer(&self.body)
        free_buffer(&self.ends)

    def __len__(self):
        return self.ends.size // sizeof(size_t)

    cdef int end(self) except -1:
        """Take what was put into `body` since the last end as a line."""
        if make_room(&self.ends, sizeof(size_t)):
            raise MemoryError
        put(&self.ends, <const char *>&self.body.size, sizeof(size_t))
        return 0

    cpdef append(self, bytes one):
        """Add a line."""
        if one is None:
            raise TypeError("a line is bytes")
        if make_room(&self.body, PyBytes_GET_SIZE(one)):
            raise MemoryError
        put(&self.body, PyBytes_AS_STRING(one), PyBytes_GET_SIZE(one))
        self.end()

    def __iadd__(self, lines):
        for one in lines:
            self.append(one)
        return self

    def finish(self):
        """Return the sorted lines with their newlines, where each slot of keys starts and the end, and the sum of each that holds something."""
        cdef size_t count = len(self), i, start = 0, place = 0
        cdef int slot
        cdef size_t *ends = <size_t *>self.ends.data
        cdef line *lines
        cdef uint32_t slots[SLOTS + 1]
        cdef b3_message pieces[SLOTS]
        cdef uint8_t sums[SLOTS * SUM]
        cdef size_t full = 0
        cdef char *out
        if self.body.size + count > <size_t>UINT32_MAX:
            raise OverflowError("a section of a part is beyond 4 GB")
        data = PyBytes_FromStringAndSize(NULL, self.body.size + count)
        out = PyBytes_AS_STRING(data)
        lines = <line *>malloc(count * sizeof(line) + 1)
        if lines == NULL:
            raise MemoryError
        with nogil:
            for i in range(count):
                lines[i].at = self.body.data + start
                lines[i].size = ends[i] - start
                lines[i].first = first_of(lines[i].at, lines[i].size)
                start = ends[i]
            sort_lines(lines, count)
            slot = 0
            for i in range(count):
                while slot < SLOTS and _is_before(FIRST[slot], lines[i]):
                    slots[slot] = <uint32_t>place
                    slot += 1
                memcpy(out + place, lines[i].at, lines[i].size)
                place += lines[i].size
                out[place] = 10
                place += 1
            while slot <= SLOTS:
                slots[slot] = <uint32_t>place
                slot += 1
            free(lines)
            for slot in range(SLOTS):
                if slots[slot + 1] > slots[slot]:
                    pieces[full].data = <const uint8_t *>out + slots[slot]
                    pieces[full].length = slots[slot + 1] - slots[slot]
                    full += 1
            b3_hash_many(pieces, full, sums, SUM)
        return data, PyBytes_FromStringAndSize(<char *>slots, sizeof(slots)), PyBytes_FromStringAndSize(<char *>sums, full * SUM)


cdef inline bint _is_before(const char *first, line one) noexcept nogil:
    """Tell whether a line does not come before the first key of a slot."""
    cdef size_t size = 3 if one.size > 3 else one.size
    cdef int order = memcmp(one.at, first, size)
    return order > 0 or (order == 0 and one.size >= 3)


cdef class Sorted:
    """Lines of blocks of bytes without their newlines, sorted; the blocks are kept."""

    def __init__(self, list blocks not None):
        cdef const char *p
        cdef const char *end
        cdef const char *stop
        cdef line one
        self.blocks = blocks
        for block in blocks:
            if not isinstance(block, bytes):
                raise TypeError("a block is bytes")
            p = PyBytes_AS_STRING(block)
            end = p + PyBytes_GET_SIZE(block)
            self.bytes += PyBytes_GET_SIZE(block)
            while p < end:
                stop = <const char *>memchr(p, c"\n", end - p)
                if stop == NULL:
                    break  # no line
                one.at, one.size, one.first = p, stop - p, first_of(p, stop - p)
                if make_room(&self.found, sizeof(line)):
                    raise MemoryError
                put(&self.found, <const char *>&one, sizeof(line))
                p = stop + 1
        self.lines, self.count = <line *>self.found.data, self.found.size // sizeof(line)
        sort_lines(self.lines, self.count)

    def __dealloc__(self):
        free_buffer(&self.found)


def merge_rows(list blocks not None, tuple kinds not None=((b"", ()),), place_of=None):
    """Return, for every kind, a view of the rows of sorted lines in the order of their keys, without the keys, and how many there are.

    A kind is the byte that follows the key in its lines, or none where all are its own, and a template. A row starts at the brace, or is
    spelt by the template of every kind; a line that is one byte longer than a key says that the rows of that key do not stand.
    `place_of` tells where a unit lies whose texts are quoted (`Texts`).
    """
    cdef Sorted found = Sorted(blocks)
    cdef Texts texts = None if place_of is None else Texts(place_of)
    cdef line *one = found.lines
    cdef size_t i = 0, j, k
    cdef bint lost
    cdef Rows rows
    cdef list all_rows = [Rows(*kind, 2 * found.bytes) for kind in kinds]
    while i < found.count:
        j, lost = i, False
        while j < found.count and has_key(one[i], one[j]):
            lost = lost or one[j].size == KEY + 1
            j += 1
        j = i + 1 if j == i else j
        for k in range(i, i if lost else j):
            for rows in all_rows:
                rows.take(one[k], texts)
        i = j
    return [(memoryview(rows.rows), rows.count) for rows in all_rows]


cdef class Rows:
    """The rows of one kind."""

    cdef Written rows
    cdef Template template
    cdef bytes mark
    cdef size_t count

    def __init__(self, bytes mark not None, tuple template not None, size_t room):
        """Take the byte that marks them, how they are spelt, and about how many bytes they are."""
        self.template, self.mark, self.rows = Template(template), mark, Written(room)

    cdef int take(self, line one, Texts texts) except -1:
        """Add the row of a line that is of this kind."""
        if one.size > KEY and one.at[KEY] == VALUES_FOLLOW:
            self.template.spell(&self.rows.body, one, texts)
        elif PyBytes_GET_SIZE(self.mark) and (one.size <= KEY or one.at[KEY] != PyBytes_AS_STRING(self.mark)[0]):
            return 0
        elif not _put_row(&self.rows.body, one):
            raise ValueError(f"no row in {one.at[:one.size]!r}")
        self.count += 1
        return 0


cdef bint _put_row(buffer *rows, line one) except -1:
    cdef const char *brace = <const char *>memchr(one.at, c"{", one.size)
    if brace == NULL:
        return False
    if make_room(rows, one.size + 1):
        raise MemoryError
    put(rows, brace, one.size - (brace - one.at))
    put(rows, "\n", 1)
    return True


def sort_blocks(list blocks not None):
    """Return the lines of blocks of bytes without their newlines, sorted."""
    cdef Sorted found = Sorted(blocks)
    cdef size_t i
    return [PyBytes_FromStringAndSize(found.lines[i].at, found.lines[i].size) for i in range(found.count)]


def read_blocks(ranges):
    """Return the bytes of ranges; None for one that has sums, or cannot be read whole, at which Python looks."""
    cdef int handle
    cdef size_t offset, length
    found = []
    for path, offset, length, _, sums in ranges:
        block = None
        if not sums:
            name = path.encode("utf-8", "surrogateescape")
            handle = open(PyBytes_AS_STRING(name), O_RDONLY | O_CLOEXEC)
            if handle >= 0:
                block = PyBytes_FromStringAndSize(NULL, length)
                if pread(handle, PyBytes_AS_STRING(block), length, offset) != <ssize_t>length:
                    block = None
                close(handle)
        found.append(block)
    return found


def hash_messages(list messages, Py_ssize_t size=32):
    """Return the first bytes of the blake3 of each message."""
    cdef size_t count = len(messages), i
    if not 0 < size <= 32:
        raise ValueError(f"a hash has 32 bytes, not {size}")
    for one in messages:
        if not isinstance(one, bytes):
            raise TypeError("a message is bytes")
    cdef b3_message *each = <b3_message *>malloc(count * sizeof(b3_message) + 1)
    out = PyBytes_FromStringAndSize(NULL, count * size)
    if each == NULL:
        raise MemoryError
    for i in range(count):
        each[i].data = <const uint8_t *>PyBytes_AS_STRING(messages[i])
        each[i].length = PyBytes_GET_SIZE(messages[i])
    b3_hash_many(each, count, <uint8_t *>PyBytes_AS_STRING(out), size)
    free(each)
    return [out[i * size : i * size + size] for i in range(count)]


def short_sums(bytes data not None, const uint32_t[::1] ends):
    """Return the first 16 bytes of the blake3 of each piece of `data`, joined; `ends` are the ends of the pieces, the first one's start before.

    The caller has seen to it that they lie in `data`, in order.
    """
    cdef size_t count = ends.shape[0] - 1, i
    cdef b3_message *each = <b3_message *>malloc(count * sizeof(b3_message) + 1)
    if each == NULL:
        raise MemoryError
    out = PyBytes_FromStringAndSize(NULL, count * SUM)
    for i in range(count):
        if ends[i + 1] < ends[i] or ends[i + 1] > <size_t>PyBytes_GET_SIZE(data):
            free(each)
            raise ValueError("the ends of the pieces are not in order")
        each[i].data = <const uint8_t *>PyBytes_AS_STRING(data) + ends[i]
        each[i].length = ends[i + 1] - ends[i]
    b3_hash_many(each, count, <uint8_t *>PyBytes_AS_STRING(out), SUM)
    free(each)
    return out
