"""Asks the C library to give memory that holds nothing back to the system."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

__all__ = ["find_malloc_trim", "give_back_free_pages"]


@lru_cache(maxsize=1)
def find_malloc_trim() -> Any:
    """Find it while there is memory to load what finding it takes."""
    if sys.platform != "linux":
        return None
    import ctypes

    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # musl has none
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return trim


def give_back_free_pages() -> bool:
    """Return whether pages went back; always False where the C library is not glibc.

    The call releases the GIL and takes some milliseconds a gigabyte of heap.
    """
    trim = find_malloc_trim()
    return trim is not None and trim(0) == 1
