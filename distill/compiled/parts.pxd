from distill.compiled.scan cimport buffer

cdef class Lines:
    cdef buffer body
    cdef buffer ends
    cdef int end(self) except -1
    cpdef append(self, bytes one)
