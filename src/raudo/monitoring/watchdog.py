"""Calls what belongs to others from a thread that may hang, so that a monitor never does."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Protocol

__all__ = ["Guarded", "Watchdog"]


class Guarded(Protocol):
    """Something to be called that may hang."""

    is_stuck: bool
    """Whether a call that was left behind has not come back yet."""

    def call(self) -> None:
        """Do it; must not raise."""
        ...

    def hang(self) -> None:
        """Note that the call has not come back in time; it may still do so."""
        ...


class _Round:
    """Calls to be made one after another, and how far they got."""

    def __init__(self, targets: Sequence[Guarded]) -> None:
        self.targets = targets
        self.n_called = 0
        self.is_abandoned = False
        self.is_over = threading.Event()

    def run(self) -> None:
        for target in self.targets:
            if self.is_abandoned:
                return
            target.call()
            self.n_called += 1
        self.is_over.set()


class Watchdog:
    """Makes calls in a thread of its own; one that takes longer than `timeout` is left behind.

    The calls after it are made by another thread. A thread that was left behind ends when its call
    comes back. One round at a time; some 30 us each. Thread-safe, and works in a forked child.
    """

    def __init__(self, timeout: float, name: str) -> None:
        self._timeout = timeout
        self._name = name
        self._lock = threading.Lock()
        self._rounds: SimpleQueue[_Round | None] | None = None
        self._pid = 0

    def run(self, targets: Sequence[Guarded]) -> None:
        """Call each that is not stuck; return when all came back or were left behind."""
        with self._lock:
            targets = [each for each in targets if not each.is_stuck]
            while targets:
                hanging = self._run(targets)
                if hanging is None:
                    return
                targets[hanging].hang()
                targets = targets[hanging + 1 :]

    def _run(self, targets: Sequence[Guarded]) -> int | None:
        """Return the place of the one that hangs, if one does."""
        work = _Round(targets)
        self._worker().put(work)
        n_called = 0
        while not work.is_over.wait(self._timeout):
            if work.n_called == n_called:
                work.is_abandoned = True
                self._rounds = None
                return n_called
            n_called = work.n_called
        return None

    def _worker(self) -> SimpleQueue[_Round | None]:
        if self._rounds is None or self._pid != os.getpid():
            self._rounds, self._pid = SimpleQueue(), os.getpid()
            # The thread holds the queue alone: it ends when the watchdog goes.
            weakref.finalize(self, self._rounds.put, None).atexit = False
            threading.Thread(
                target=_work, args=(self._rounds,), name=self._name, daemon=True
            ).start()
        return self._rounds

    def after_fork(self) -> None:
        """Forget the thread and the lock of the parent."""
        self._lock = threading.Lock()


def _work(rounds: SimpleQueue[_Round | None]) -> None:
    while (work := rounds.get()) is not None:
        work.run()
        if work.is_abandoned:
            return
        del work
