"""Maps that go on whether or not anyone takes their results.

`Executor.map` of the standard library submits everything at once, and programs rely on that. A map
here decides on its next chunk when one ends: a thread drives it, and the caller's iterator reads
what that puts out.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from raudo.concurrency._mapper import Mapper
from raudo.concurrency._workers import lifetime

__all__ = ["Drives"]

_VALUE, _ERROR, _END = range(3)
_HERE_SECONDS = 0.001
_Out = queue.SimpleQueue[tuple[int, Any]]


class Drives:
    """The driven maps of one executor. Thread-safe."""

    can_stop: ClassVar[bool] = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[threading.Thread, Mapper] = {}

    def start(self, mapper: Mapper, results: Iterator[Any]) -> Iterator[Any]:
        """Take the mapper's `results` in a thread of their own; return an iterator over them.

        Those of tiny calls are taken here, for a moment: starting a thread takes longer.
        """
        out: _Out = queue.SimpleQueue()
        if _took_all(mapper, results, out):
            return _read(out, mapper)
        thread = threading.Thread(
            target=self._drive, args=(results, out), name="raudo-map", daemon=True
        )
        with self._lock:
            self._running[thread] = mapper
            thread.start()
        lifetime.register(self, lifetime.GIVES_TASKS)
        return _read(out, mapper)

    def _drive(self, results: Iterator[Any], out: _Out) -> None:
        try:
            for value in results:
                out.put((_VALUE, value))
        except BaseException as error:
            out.put((_ERROR, error))
        else:
            out.put((_END, None))
        finally:
            with self._lock:
                del self._running[threading.current_thread()]

    def stop(self) -> None:
        """Have the running maps end early."""
        with self._lock:
            for mapper in self._running.values():
                mapper.stop()

    def when_done(self, close: Callable[[bool], object], wait: bool) -> None:
        """Call `close(wait)` once the running maps are done; with `wait`, in this call."""
        with self._lock:
            threads = list(self._running)

        def close_after() -> None:
            for thread in threads:
                thread.join()
            close(wait)

        if wait or not threads:
            close_after()
        else:
            threading.Thread(target=close_after, name="raudo-close", daemon=True).start()

    def close(self, wait: bool = True, cancel: bool = False) -> None:
        """At the interpreter's exit: let the maps end, or with `cancel` end them."""
        if cancel:
            self.stop()
        self.when_done(lambda _: None, wait)

    def abandon(self) -> None:
        """In a fork of the process, where the threads are not."""
        self._lock = threading.Lock()
        self._running = {}


def _took_all(mapper: Mapper, results: Iterator[Any], out: _Out) -> bool:
    until = time.monotonic() + _HERE_SECONDS
    try:
        while mapper.is_known_to_be_inline() and time.monotonic() < until:
            out.put((_VALUE, next(results)))
    except StopIteration:
        out.put((_END, None))
    except Exception as error:
        out.put((_ERROR, error))
    else:
        return False
    return True


def _read(out: _Out, mapper: Mapper) -> Iterator[Any]:
    is_complete = False
    try:
        while True:
            what, value = out.get()
            if what == _VALUE:
                yield value
                continue
            is_complete = True
            if what == _ERROR:
                raise value
            return
    finally:
        if not is_complete:
            mapper.stop()
