cimport cython


@cython.final
cdef class Ready:
    cdef object value
