from libc.stdint cimport int64_t

cdef class Guard:
    cdef readonly object timeout, check, close, max_age, max_idle, timer
    cdef int64_t limit  # -1: none
    cdef int64_t n_making
    cdef object waiting

    cdef double now(self) except? -1.0
    cdef bint is_too_old(self, double born, double since) except -1
    cdef bint approves(self, object obj) except -1
    cdef int dispose(self, object obj) except -1
    cdef int wake(self) except -1
    cdef int leave(self, object wake) except -1
