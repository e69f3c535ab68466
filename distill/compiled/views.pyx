"""Bytes that a loop wrote, which Python looks at where they lie."""

from cpython.buffer cimport PyBuffer_FillInfo

from distill.compiled.scan cimport DISTILL_SOURCE, buffer, free_buffer, make_room

SOURCE = DISTILL_SOURCE


cdef class Written:
    """Bytes for as long as anybody looks at them; nothing may be added from then on."""

    def __cinit__(self, size_t room):
        """Make room for about so many bytes: what is not used costs nothing, and what grows leaves holes in the memory."""
        if make_room(&self.body, room + 1):
            raise MemoryError

    def __dealloc__(self):
        free_buffer(&self.body)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.body.data, self.body.size, 1, flags)
