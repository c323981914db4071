cimport cython


@cython.final
cdef class Ready:
    cdef object value


cdef Ready ready_with(object value)
