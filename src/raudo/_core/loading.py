"""One load of a key, however many threads ask for it."""

from __future__ import annotations

import threading
from typing import Any, ClassVar


class Load:
    """A load under way: the thread that runs it, and what the others wait for."""

    waiting: ClassVar[dict[int, Load]] = {}
    """Thread -> the load that it waits for, over all caches."""

    def __init__(self) -> None:
        self.owner = threading.get_ident()
        self.done = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None

    def finish(self, value: Any) -> None:
        self.value = value
        self.done.set()

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.done.set()

    def may_be_awaited(self) -> bool:
        """Say whether waiting ends: not where the load waits for this very thread in the end."""
        me = threading.get_ident()
        load: Load | None = self
        while load is not None:
            if load.owner == me:
                return False
            load = self.waiting.get(load.owner)
        return True

    def wait(self) -> bool:
        """Wait for the end; False where the load was broken off and somebody else has to load."""
        me = threading.get_ident()
        self.waiting[me] = self
        try:
            if not self.may_be_awaited():  # another thread began to wait just now
                return False
            self.done.wait()
        finally:
            del self.waiting[me]
        return self.error is None or isinstance(self.error, Exception)

    def result(self) -> Any:
        """Return what was loaded, or raise what the loader raised."""
        if self.error is not None:
            raise self.error
        return self.value
