"""Ends the workers that nobody closed when the interpreter exits, and disowns them in forks.

Worker threads are daemons, so that a stuck task cannot keep the interpreter alive by itself; what
was submitted is nevertheless finished at exit, as `concurrent.futures` does, unless the program is
ending because of an unhandled Ctrl-C.
"""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from typing import ClassVar, Protocol

__all__ = ["close_all", "register"]


class _Closable(Protocol):
    can_stop: ClassVar[bool]  # `close(cancel=True)` ends what runs, so that it can be waited for

    def close(self, wait: bool = True, cancel: bool = False) -> None: ...
    def abandon(self) -> None: ...


# Those that hand tasks to others are closed before those that run them.
_givers: weakref.WeakSet[_Closable] = weakref.WeakSet()
_open: weakref.WeakSet[_Closable] = weakref.WeakSet()


def register(pool: _Closable, *, gives_tasks: bool = False) -> None:
    """Have `pool.close()` called at exit and `pool.abandon()` in forks, while it lives."""
    (_givers if gives_tasks else _open).add(pool)


def unregister(pool: _Closable) -> None:
    """Forget a pool that has been closed: nobody waits for it at exit."""
    _givers.discard(pool)
    _open.discard(pool)


def close_all() -> None:
    """Close what is open; cancel instead of finish if an unhandled Ctrl-C ends the program."""
    interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt
    for pool in [*_givers, *_open]:
        pool.close(wait=pool.can_stop or not interrupted, cancel=interrupted)


def _after_fork_in_child() -> None:
    global _givers, _open
    pools = [*_givers, *_open]
    _givers, _open = weakref.WeakSet(), weakref.WeakSet()
    for pool in pools:
        pool.abandon()


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
