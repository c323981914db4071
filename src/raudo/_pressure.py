"""Who can let go of memory when it is short: caches and pools put themselves down here.

A room registers what it has without knowing who asks, and the watch on the memory asks without
knowing the rooms. Held by weak references: nobody has to sign off.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Iterable
from typing import Protocol

__all__ = ["Shrinkable", "register", "registered", "shrink"]

_log = logging.getLogger("raudo.memory")
_lock = threading.Lock()
_shrinkables: weakref.WeakSet[Shrinkable] = weakref.WeakSet()


class Shrinkable(Protocol):
    """What may be asked to let go."""

    def shrink(self, keep: float, /) -> int:
        """Keep the share `keep`, in [0, 1], of what can be dropped; return how much went."""
        ...


def register(shrinkable: Shrinkable) -> None:
    """Ask this one too, as long as it lives. Thread-safe."""
    with _lock:
        _shrinkables.add(shrinkable)


def registered() -> list[Shrinkable]:
    """Return those that live, each once."""
    with _lock:
        return list(_shrinkables)


def shrink(some: Iterable[Shrinkable], keep: float) -> int:
    """Ask each of them; one that fails is logged, and the others are asked all the same."""
    went = 0
    for each in some:
        try:
            went += each.shrink(keep)
        except Exception:
            _log.exception("a %s could not be shrunk", type(each).__name__)
    return went


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
