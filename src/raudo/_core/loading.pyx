# cython: binding=False
"""One load of a key, however many threads ask for it."""

import os
import threading


class Load:
    """A load under way: the thread that runs it, and what the others wait for."""

    waiting = {}  # thread -> the load that it waits for, over all caches

    def __init__(self):
        self.owner = threading.get_ident()
        self.pid = os.getpid()
        self.done = threading.Event()
        self.value = self.error = None

    def is_over(self):
        """Say whether nobody is at it: it is done, or runs in the process that this one forked from."""
        return self.done.is_set() or self.pid != os.getpid()

    def finish(self, value):
        self.value = value
        self.done.set()

    def fail(self, error):
        self.error = error
        self.done.set()

    def may_be_awaited(self):
        """Say whether waiting ends: not where the load waits for this very thread in the end."""
        me = threading.get_ident()
        load = self
        # One that is done keeps nobody, though who waited for it may not have woken up yet.
        while load is not None and not load.is_over():
            if load.owner == me:
                return False
            load = self.waiting.get(load.owner)
        return True

    def wait(self):
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

    def result(self):
        """Return what was loaded, or raise what the loader raised."""
        if self.error is not None:
            raise self.error
        return self.value
