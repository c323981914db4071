cimport cython
from cpython.object cimport PyObject


@cython.final
cdef class Ready:
    cdef readonly object value
    cdef int is_awaited, is_untracked


cdef PyObject *ready_with(PyObject *value) except NULL
