"""A table as a whole."""

from raudo._core.table cimport Table


# Keys, values, or each key and then its value: see the enum of the table.
cdef list snapshot(Table table, int what)
