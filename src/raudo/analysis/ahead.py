"""Reads ahead: a thread of its own makes the next item while the last one is worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["read_ahead"]

T = TypeVar("T")
_WAIT_S = 0.1


def read_ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield the items in order; at most one waits beside the one at work and the one being made.

    What the items raise is raised here. A consumer that stops early ends the thread at its next
    item; it is not waited for, since it may be reading what never ends.
    """
    made: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(1)
    stopped = threading.Event()

    def put(item: T | None, error: BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                made.put((item, error), timeout=_WAIT_S)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item, None):
                    return
            put(None, StopIteration())
        except BaseException as error:  # whatever it is, it is the consumer's to see
            put(None, error)

    thread = threading.Thread(target=work, name="raudo-read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if isinstance(error, StopIteration):
                thread.join()
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]  # it is None with an error alone
    finally:
        stopped.set()
