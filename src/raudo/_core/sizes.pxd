"""Bytes of a table's entries, as the cache asks for them."""

from raudo._core.policy cimport raudo_table

cdef double entry_bytes(raudo_table *t) except -1
