"""The one-level cache as other compiled modules may use it."""

from raudo._core.table cimport Table


cdef class Cache(Table):
    cdef dict loads  # key -> the load under way
