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

__all__ = [
    "GIVES_TASKS",
    "RUNS_TASKS",
    "STARTS_WORKERS",
    "close_all",
    "register",
    "unregister",
]

# What is closed at exit, in this order: those that use others before those that they use.
GIVES_TASKS, RUNS_TASKS, STARTS_WORKERS = range(3)


class _Closable(Protocol):
    can_stop: ClassVar[bool]  # `close(cancel=True)` ends what runs, so that it can be waited for

    def close(self, wait: bool = True, cancel: bool = False) -> None: ...
    def abandon(self) -> None: ...


def _no_layers() -> tuple[weakref.WeakSet[_Closable], ...]:
    return weakref.WeakSet(), weakref.WeakSet(), weakref.WeakSet()


_layers = _no_layers()


def register(pool: _Closable, layer: int = RUNS_TASKS) -> None:
    """Have `pool.close()` called at exit and `pool.abandon()` in forks, while it lives."""
    _layers[layer].add(pool)


def unregister(pool: _Closable) -> None:
    """Forget a pool that has been closed: nobody waits for it at exit."""
    for layer in _layers:
        layer.discard(pool)


def close_all() -> None:
    """Close what is open; cancel instead of finish if an unhandled Ctrl-C ends the program."""
    interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt
    for layer in _layers:  # a layer may grow while those above it are closed
        for pool in list(layer):
            pool.close(wait=pool.can_stop or not interrupted, cancel=interrupted)


def _after_fork_in_child() -> None:
    global _layers
    layers, _layers = _layers, _no_layers()
    for layer in layers:
        for pool in list(layer):
            pool.abandon()


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
