"""How many bytes a live value takes, estimated.

Strings, bytes and arrays count exactly. Containers are followed for a bounded number of objects, a
few items of each standing for all; objects shared between entries count in each of them.
"""

from __future__ import annotations

import sys
from itertools import islice
from typing import Any

from libc.stdint cimport uint32_t

from raudo._core.policy cimport raudo_table, raudo_table_size

# Objects looked at: an estimate costs about as many times 0.1 us.
_BUDGET = 64
_ITEMS_PER_CONTAINER = 16
_UNKNOWN_BYTES = 64


def estimate_bytes(value: Any) -> int:
    """Return about how many bytes would be freed if the value were dropped."""
    try:
        return _estimate(value, [_BUDGET], 0)
    except Exception:  # a `__sizeof__` or a property of the user's: no reason to refuse the value
        return _UNKNOWN_BYTES


def _estimate(value: Any, budget: list[int], depth: int) -> int:
    budget[0] -= 1
    size = sys.getsizeof(value, _UNKNOWN_BYTES)
    kind = type(value)
    if kind in (str, bytes, int, float, bool, type(None)) or budget[0] <= 0 or depth > 8:
        return size
    if kind in (list, tuple, set, frozenset):
        return size + _estimate_items(value, len(value), budget, depth)
    if isinstance(value, dict):
        n = len(value)
        return (
            size
            + _estimate_items(value.keys(), n, budget, depth)
            + _estimate_items(value.values(), n, budget, depth)
        )
    if kind.__name__ == "ndarray" and getattr(value, "base", None) is not None:
        return size + int(value.nbytes)  # getsizeof leaves out memory that the array borrows
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        size += _estimate(attributes, budget, depth + 1)
    return size


def _estimate_items(items: Any, n: int, budget: list[int], depth: int) -> int:
    seen = total = 0
    try:
        for item in islice(items, _ITEMS_PER_CONTAINER):
            total += _estimate(item, budget, depth + 1)
            seen += 1
            if budget[0] <= 0:
                break
    except RuntimeError:  # another thread changed the container under us
        pass
    return total * n // seen if seen else 0


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
