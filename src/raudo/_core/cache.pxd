"""The one-level cache as other compiled modules may use it."""

from libc.stdint cimport int64_t, uint64_t

from raudo._core.table cimport Table


cdef class Cache(Table):
    cdef dict loads  # key -> the load under way
    cdef object prices  # of a GB for an hour and of a miss, or two None
    cdef double curve_from_s  # when the curve began, by the timer
    cdef uint64_t curve_from_lookups  # and after how many

    cdef int start_curve(self, object maxsize) except -1
    cdef int follow_now(self) except -1
    cdef object now_s(self)
    cdef uint64_t n_lookups(self) noexcept


cdef int64_t ttl_to_ns(object ttl) except? -1  # NEVER for infinity, OWN_TTL for None
