"""What Python's own allocator holds: arenas of memory, and the blocks handed out from them."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import Any, TypedDict

__all__ = ["ArenaUse", "arena_use"]


class ArenaUse(TypedDict):
    """Arenas held now and at most so far, their bytes, and the blocks in use."""

    arenas: int
    most_arenas: int
    bytes: int
    blocks: int


@lru_cache(maxsize=1)
def _functions() -> tuple[Any, Any, Any, Any] | None:
    """Return what prints the statistics, and the C library's streams into memory; None without."""
    if sys.platform != "linux":
        return None
    import ctypes

    libc = ctypes.CDLL(None)
    try:
        printer = ctypes.pythonapi._PyObject_DebugMallocStats
        opener, closer, freer = libc.open_memstream, libc.fclose, libc.free
    except AttributeError:
        return None
    printer.argtypes, printer.restype = [ctypes.c_void_p], ctypes.c_int
    opener.restype = ctypes.c_void_p
    closer.argtypes = freer.argtypes = [ctypes.c_void_p]
    freer.restype = None
    return printer, opener, closer, freer


def arena_use() -> ArenaUse | None:
    """Return what the allocator says of itself; None where it cannot be asked.

    It walks its pools: some 20 us a megabyte of arenas.
    """
    functions = _functions()
    if functions is None:
        return None
    import ctypes

    printer, opener, closer, freer = functions
    text, length = ctypes.c_char_p(), ctypes.c_size_t()
    stream = opener(ctypes.byref(text), ctypes.byref(length))
    if not stream:
        return None
    try:
        is_known = printer(stream)
    finally:
        closer(stream)
        printed = (text.value or b"").decode("ascii", "replace")
        freer(text)
    found = dict(
        re.findall(r"^# arenas (allocated current|highwater mark) += +([\d,]+)", printed, re.M)
    )
    size = re.search(r"arenas \* (\d+) bytes/arena", printed)
    if not is_known or size is None or len(found) < 2:
        return None
    arenas, most = (
        int(found[name].replace(",", "")) for name in ("allocated current", "highwater mark")
    )
    return {
        "arenas": arenas,
        "most_arenas": most,
        "bytes": arenas * int(size[1]),
        "blocks": sys.getallocatedblocks(),
    }
