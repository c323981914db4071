cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t


@cython.final
cdef class HotKeys:
    cdef list sampled  # a ring, once it is full
    cdef Py_ssize_t place
    cdef uint32_t left, state

    cdef void note(self, PyObject *key) noexcept
