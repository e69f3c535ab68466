"""The index of a part: where the lines of each slot of keys lie, read a window at a time (`distill.units.parts`)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.fcntl cimport O_CLOEXEC, O_RDONLY, open
from posix.unistd cimport close, pread

from distill.compiled.scan cimport DISTILL_SOURCE, buffer, free_buffer, make_room, put

SOURCE = DISTILL_SOURCE

cdef enum:
    SLOTS = 1024
    WINDOW = 32  # slots of a part that are in memory at a time
    SUM = 16


cdef class Table:
    """The slots of one section of a part, taken in order; a window of them is in memory."""

    cdef object path
    cdef bint fresh
    cdef size_t offset, index, sums_before
    cdef int window, sum
    cdef uint32_t slots[WINDOW + 1]
    cdef uint8_t sums[WINDOW * SUM]

    def __init__(self, path, size_t offset, size_t index, fresh):
        """Take the file, where the section and its index start in it, and whether it was written in this build."""
        self.path, self.offset, self.index, self.fresh = path, offset, index, fresh
        self.window = -WINDOW

    cdef int _reach(self, int slot) except -1:
        """Read on until a slot is in the window."""
        cdef int i, count
        while slot >= self.window + WINDOW:
            if self.window >= 0:
                for i in range(WINDOW):
                    self.sums_before += self.slots[i + 1] != self.slots[i]
            self.window += WINDOW
            self.sum = count = 0
            name = self.path.encode("utf-8", "surrogateescape")
            handle = open(PyBytes_AS_STRING(name), O_RDONLY | O_CLOEXEC)
            if handle < 0:
                raise OSError(errno, "a part cannot be read", self.path)
            try:
                _read_at(handle, <char *>self.slots, sizeof(self.slots), self.index + self.window * sizeof(uint32_t))
                for i in range(WINDOW):
                    count += self.slots[i + 1] != self.slots[i]
                _read_at(handle, <char *>self.sums, count * SUM, self.index + (SLOTS + 1) * sizeof(uint32_t) + self.sums_before * SUM)
            finally:
                close(handle)
        return 0

    def take(self, int first, int last):
        """Return the fields of the `Range` of some slots, and their sums; None where they hold nothing."""
        taken, sums = take_span([self], first, last)
        return (taken.fields()[0], sums) if len(taken) else None

    cdef int _take(self, int first, int last, buffer *ends, buffer *sums) except -1:
        """Add where some slots start and the ends of those that hold anything, and their sums; return how many do."""
        cdef uint64_t start = 0
        cdef uint32_t end
        cdef int slot, place, count = 0
        if not 0 <= first <= last <= SLOTS or first < self.window:
            raise ValueError("no such slots")
        if make_room(sums, (last - first) * SUM) or make_room(ends, sizeof(uint64_t) + (last - first) * sizeof(uint32_t)):
            raise MemoryError
        for slot in range(first, last):
            self._reach(slot)
            place = slot - self.window
            if self.slots[place + 1] == self.slots[place]:
                continue
            if count == 0:
                start = self.slots[place]
                put(ends, <const char *>&start, sizeof(start))
            end = <uint32_t>(self.slots[place + 1] - start)
            put(ends, <const char *>&end, sizeof(end))
            put(sums, <const char *>self.sums + self.sum * SUM, SUM)
            self.sum += 1
            count += 1
        return count


cdef class Taken:
    """Where some slots of several tables lie; spelt when it is asked for, because what is taken over from before asks nobody."""

    cdef list tables
    cdef bytes counts, ends, sums
    cdef Py_ssize_t count

    def __cinit__(self):
        self.tables, self.counts, self.ends, self.sums = [], b"", b"", b""

    def __len__(self):
        return self.count

    def fields(self):
        """Return the fields of a `Range` for every table that holds anything there."""
        cdef Table table
        cdef const int *count = <const int *>PyBytes_AS_STRING(self.counts)
        cdef const char *at = PyBytes_AS_STRING(self.ends)
        cdef const char *sums = PyBytes_AS_STRING(self.sums)
        cdef uint64_t start
        cdef uint32_t length
        cdef size_t size
        cdef list found = []
        for table in self.tables:
            if count[0]:
                memcpy(&start, at, sizeof(start))
                at += sizeof(start)
                size = count[0] * sizeof(uint32_t)
                memcpy(&length, at + size - sizeof(length), sizeof(length))
                place = (table.path, table.offset + start, length)
                if not table.fresh:
                    place += (PyBytes_FromStringAndSize(at, size), PyBytes_FromStringAndSize(sums, count[0] * SUM))
                    sums += count[0] * SUM
                found.append(place)
                at += size
            count += 1
        return found


def take_span(list tables not None, int first, int last):
    """Return where some slots of every table lie, and the sums of those that hold anything, joined."""
    cdef Table table
    cdef buffer each[4]
    cdef buffer *counts = &each[0]
    cdef buffer *ends = &each[1]
    cdef buffer *sums = &each[2]
    cdef buffer *held = &each[3]  # the sums of tables that are not fresh
    cdef int count
    cdef size_t before
    cdef Taken taken = Taken.__new__(Taken)
    memset(each, 0, sizeof(each))
    try:
        if make_room(counts, len(tables) * sizeof(int)):
            raise MemoryError
        for table in tables:
            before = sums.size
            count = table._take(first, last, ends, sums)
            put(counts, <const char *>&count, sizeof(count))
            taken.count += count != 0
            if not table.fresh:
                if make_room(held, sums.size - before):
                    raise MemoryError
                put(held, sums.data + before, sums.size - before)
        taken.tables = tables
        taken.counts = PyBytes_FromStringAndSize(counts.data, counts.size)
        taken.ends = PyBytes_FromStringAndSize(ends.data, ends.size)
        taken.sums = PyBytes_FromStringAndSize(held.data, held.size)
        return taken, PyBytes_FromStringAndSize(sums.data, sums.size)
    finally:
        for count in range(4):
            free_buffer(&each[count])


cdef int _read_at(int handle, char *into, size_t size, size_t place) except -1:
    if pread(handle, into, size, place) != <ssize_t>size:
        raise ValueError("an index is too short")
    return 0
