# cython: binding=False
"""How many bytes a live value takes, estimated.

Strings, bytes and arrays count exactly. Containers are followed for a bounded number of objects, a
few items of each standing for all; objects shared between entries count in each of them.
"""

import sys
from itertools import islice

from cpython.dict cimport PyDict_Next
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from raudo._core.policy cimport raudo_table, raudo_table_size

cdef extern from *:
    """
    /* What `sys.getsizeof` says of these, but for a UTF-8 form that a string may carry along. */
    static Py_ssize_t text_bytes(PyObject *text)
    {
        if (PyUnicode_IS_COMPACT_ASCII(text))
            return (Py_ssize_t)sizeof(PyASCIIObject) + PyUnicode_GET_LENGTH(text) + 1;
        return (Py_ssize_t)sizeof(PyCompactUnicodeObject) +
               (PyUnicode_GET_LENGTH(text) + 1) * (Py_ssize_t)PyUnicode_KIND(text);
    }
    """
    Py_ssize_t text_bytes(object text)

cdef extern from "Python.h":
    Py_ssize_t BYTES_HEAD "offsetof(PyBytesObject, ob_sval) + 1"
    Py_ssize_t FLOAT_BYTES "sizeof(PyFloatObject)"

cdef double MOST_BYTES = <double>(<Py_ssize_t>1 << 62)
cdef object getsizeof = sys.getsizeof
# Objects looked at: an estimate costs about as many times 0.03 us.
cdef enum:
    SMALL = 64  # items of a container that is guessed to be light
    BUDGET = 64
    ITEMS_PER_CONTAINER = 16
    MAX_DEPTH = 8
    UNKNOWN_BYTES = 64


def estimate_bytes(value, /):
    """Return about how many bytes would be freed if the value were dropped."""
    cdef int budget = BUDGET
    try:
        return int(min(estimate(value, &budget, 0), MOST_BYTES))
    except Exception:  # a `__sizeof__` or a property of the user's: no reason to refuse the value
        return UNKNOWN_BYTES


def guess_bytes(value, /):
    """Return what the value takes as far as one look at it alone can tell, its items if it has many.

    The items of a value that nobody used for long are far from the processor: looking at 64 of them
    takes some microseconds, this a tenth of one.
    """
    kind = type(value)
    if (kind is dict or kind is list or kind is tuple or kind is set) and len(value) <= SMALL:
        return UNKNOWN_BYTES * (1 + len(value))
    return estimate_bytes(value)


# As floating point: it cannot overflow, whatever a `__sizeof__` says.
cdef double estimate(object value, int *budget, int depth) except? -1:
    cdef double size
    budget[0] -= 1
    kind = type(value)
    if kind is str:
        return text_bytes(value)
    if kind is bytes:
        return BYTES_HEAD + len(<bytes>value)
    if kind is float:
        return FLOAT_BYTES
    size = <double>getsizeof(value, UNKNOWN_BYTES)
    if kind is int or kind is bool or value is None:
        return size
    if budget[0] <= 0 or depth > MAX_DEPTH:
        return size
    if kind is dict:
        return size + of_dict(<dict>value, budget, depth)
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        return size + of_items(value, len(value), budget, depth)
    if isinstance(value, dict):
        n = len(value)
        size += of_items(value.keys(), n, budget, depth)
        return size + of_items(value.values(), n, budget, depth)
    if kind.__name__ == "ndarray" and getattr(value, "base", None) is not None:
        return size + <double>value.nbytes  # getsizeof leaves out memory that the array borrows
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        size += estimate(attributes, budget, depth + 1)
    return size


cdef double of_dict(dict value, int *budget, int depth) except? -1:
    """Estimate keys and values, as long as the dictionary stays as it is."""
    cdef Py_ssize_t at = 0, n = len(value), seen = 0
    cdef PyObject *key
    cdef PyObject *item
    cdef double total = 0
    while seen < ITEMS_PER_CONTAINER and budget[0] > 0 and PyDict_Next(value, &at, &key, &item):
        held_key, held_item = <object>key, <object>item
        total += estimate(held_key, budget, depth + 1)
        total += estimate(held_item, budget, depth + 1)
        seen += 1
        if len(value) != n:  # code of the user's ran and changed it
            break
    return total * n / seen if seen else 0


cdef double of_items(object items, Py_ssize_t n, int *budget, int depth) except? -1:
    cdef Py_ssize_t seen = 0
    cdef double total = 0
    try:
        for item in islice(items, ITEMS_PER_CONTAINER):
            total += estimate(item, budget, depth + 1)
            seen += 1
            if budget[0] <= 0:
                break
    except RuntimeError:  # another thread changed the container under us
        pass
    return total * n / seen if seen else 0


cdef double entry_bytes(raudo_table *t) except -1:
    """The mean of key, value and their place in the table, from up to 256 entries."""
    cdef uint32_t slot = 0, step = t.n_entries // 256 + 1
    cdef list sample = []
    cdef double total = 0
    while slot < t.n_entries:  # allocating may run the collector, and so anything
        if t.entries[slot].key != NULL:
            key = <object>t.entries[slot].key
            value = <object>t.entries[slot].value
            sample.append(key)
            sample.append(value)
        slot += step
    for each in sample:
        total += estimate_bytes(each)
    if sample:
        total /= len(sample) // 2
    if t.n_live:
        total += raudo_table_size(t) / <double>t.n_live
    return total
