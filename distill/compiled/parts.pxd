from libc.string cimport memcmp

from distill.compiled.scan cimport buffer, line

cdef enum:
    KEY = 32

cdef class Lines:
    cdef buffer body
    cdef buffer ends
    cdef int end(self) except -1
    cpdef append(self, bytes one)

cdef class Sorted:
    """Lines of blocks of bytes, sorted; the blocks are kept."""
    cdef list blocks
    cdef buffer found
    cdef readonly size_t bytes
    cdef line *lines
    cdef size_t count


cdef inline bint has_key(line one, line other) noexcept nogil:
    """Tell whether two lines have one key."""
    return one.size >= KEY and other.size >= KEY and memcmp(one.at, other.at, KEY) == 0
