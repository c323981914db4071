"""A thread that calls a method of an object every so often, and goes when the object goes.

It keeps its owner alive only during a call, is a daemon, ends at once when stopped or when the
owner is collected, and after a fork it is known to be gone, so that the owner may start it anew. An
owner with locks of its own renews them in `_after_fork_in_child`.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable
from time import monotonic

__all__ = ["Ticker"]

_log = logging.getLogger("raudo.ticker")
_tickers: weakref.WeakSet[Ticker] = weakref.WeakSet()


class Ticker:
    """Call a bound method every `interval` seconds, from a thread of its own.

    The time that the call takes counts towards the interval; ticks that were missed are not made
    up for. What the method raises is logged, and the next tick comes all the same. A float that it
    returns is the seconds until the next tick, this once.
    """

    def __init__(self, method: Callable[[], object], interval: float, name: str) -> None:
        self._stop = threading.Event()
        self._method = weakref.WeakMethod(method)
        self._interval = interval
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        _tickers.add(self)

    @property
    def is_running(self) -> bool:
        """Whether the thread is there; False in a forked child until it is started again."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def start(self) -> None:
        """Start the thread unless it runs."""
        with self._lock:
            if self.is_running:
                return
            self._stop = threading.Event()
            # The thread gets no reference to the ticker: its owner, and with it the ticker, can go.
            self._thread = threading.Thread(
                target=_run,
                args=(self._method, self._interval, self._stop),
                name=self._name,
                daemon=True,
            )
            self._thread.start()

    def stop(self) -> None:
        """End the thread; wait for a call under way, unless called from within it."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def __del__(self) -> None:
        self._stop.set()

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = None
        method = self._method()
        owner = getattr(method, "__self__", None)
        repair = getattr(owner, "_after_fork_in_child", None)
        if repair is not None:
            repair()


def _run(
    method_ref: weakref.WeakMethod[Callable[[], object]], interval: float, stop: threading.Event
) -> None:
    due = monotonic() + interval
    while not stop.wait(max(0.0, due - monotonic())):
        method = method_ref()
        if method is None:
            return
        wait: object = None
        try:
            wait = method()
        except Exception:
            _log.exception("a tick of %s failed", threading.current_thread().name)
        del method
        due = max(due + (wait if isinstance(wait, float) else interval), monotonic())


def _after_fork_in_child() -> None:
    for ticker in list(_tickers):
        ticker._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
