from distill.compiled.scan cimport buffer


cdef class Written:
    cdef buffer body
