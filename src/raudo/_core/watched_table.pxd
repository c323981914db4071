"""A table whose lookups are watched, as `Cache` builds on it."""

from libc.stdint cimport uint64_t

from raudo._core.table cimport Table


cdef class WatchedTable(Table):
    cdef object prices  # of a GB for an hour and of a miss, or two None
    cdef double curve_from_s  # when the curve began, by the timer
    cdef uint64_t curve_from_lookups  # and after how many

    cdef int start_curve(self, object maxsize) except -1
    cdef int begin_curve_anew(self) except -1
    cdef int follow_now(self) except -1
    cdef object now_s(self)
    cdef uint64_t n_lookups(self) noexcept


cdef object checked_bounds(object bounds, object maxsize, object max_weight, bint has_prices)
