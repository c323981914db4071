"""The one-level cache as other compiled modules may use it."""

from libc.stdint cimport int64_t

from raudo._core.watched_table cimport WatchedTable


cdef class Cache(WatchedTable):
    cdef dict loads  # key -> the load under way


cdef int64_t ttl_to_ns(object ttl) except? -1  # NEVER for infinity, OWN_TTL for None
