cimport cython
from cpython.object cimport PyObject

from raudo._core.histogram cimport Histogram


cdef class Timed:
    cdef public double started


cdef class Counts:
    cdef public Py_ssize_t succeeded
    cdef public double busy_s
    cdef readonly Histogram ran

    cdef inline void note(self, double seconds) noexcept:
        self.busy_s += seconds
        self.ran.note_s(seconds)


@cython.final
cdef class Items:
    cdef object source, on_progress, total, giver
    cdef readonly list results
    cdef public bint is_closing
    cdef Py_ssize_t n_done
    cdef double turn_ends

    cdef int count(self) except -1


@cython.final
cdef class Drive:
    cdef Items items
    cdef Timed run
    cdef Counts counts
    cdef object clock, is_coroutine_function, cancelling, known, awaiter
    cdef bint may_drive, drives_known, gives_way
    cdef readonly double begun
    cdef readonly Py_ssize_t index
    cdef readonly bint is_done, is_call
    cdef readonly object fn, args, kwargs, error

    cdef double now(self) except? -1.0
    cdef PyObject *go_on(self) except? NULL
    cdef bint asks(self, object item) except -1
    cdef bint ended(self, object value) except -1
    cdef bint failed(self, object error) noexcept
    cdef int leave_turn(self) except -1
