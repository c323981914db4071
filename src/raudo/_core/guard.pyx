# cython: binding=False
"""What a pool asks before it lends: whether there is a place, and whether the object is still good.

Those who wait for a place are a queue of functions, each of which wakes one: a thread by its lock, a
task by its loop. Whoever is woken tries again, and waits on in its old place when another was quicker.
One that was woken and does not want the place any more (it timed out, was cancelled) wakes the next:
no wake-up is lost. A lender that was dropped instead of released wakes nobody, so that all look
again now and then.
"""

cimport cython

import logging
from collections import deque
from time import monotonic

POLL_S = 0.05

cdef object LOG = logging.getLogger("raudo.memory")


@cython.final
cdef class Guard:
    """The rules of one pool; see `ObjectPool` for what they mean."""

    def __cinit__(self, limit, timeout, check, close, max_age, max_idle, timer):
        check_number("limit", limit, whole=True, least=1)
        check_number("timeout", timeout, whole=False, least=0)
        check_number("max_age", max_age, whole=False, least=0)
        check_number("max_idle", max_idle, whole=False, least=0)
        for name, function in (("check", check), ("close", close)):
            if function is not None and not callable(function):
                raise TypeError(f"{name} is {function!r}, wanted None or a callable of one object")
        if timer is not None and not callable(timer):
            raise TypeError(f"timer is {timer!r}, wanted None or a callable that returns seconds")
        self.limit = -1 if limit is None else limit
        self.timeout = timeout
        self.check = check
        self.close = close
        self.max_age = max_age
        self.max_idle = max_idle
        self.timer = monotonic if timer is None else timer
        self.waiting = deque()

    cdef double now(self) except? -1.0:
        return self.timer() if self.max_age is not None or self.max_idle is not None else 0.0

    cdef bint is_too_old(self, double born, double since) except -1:
        cdef double now = self.now()
        if self.max_age is not None and now - born >= self.max_age:
            return True
        return self.max_idle is not None and now - since >= self.max_idle

    cdef bint approves(self, object obj) except -1:
        """Ask the user's check; one that raises has found the object unfit."""
        if self.check is None:
            return True
        try:
            return bool(self.check(obj))
        except Exception as error:
            LOG.debug("the check of a %s failed: %r", type(obj).__name__, error)
            return False

    cdef int dispose(self, object obj) except -1:
        """Close what the pool lets go. That it fails is no fault of the call under way."""
        if self.close is not None:
            try:
                self.close(obj)
            except Exception:
                LOG.exception("closing a %s of a pool failed", type(obj).__name__)
        return 0

    cdef int wake(self) except -1:
        """Wake the first of those who wait and still can be."""
        while self.waiting:
            try:
                self.waiting.popleft()()
                return 0
            except (IndexError, RuntimeError):  # its event loop is closed
                pass
        return 0

    cdef int leave(self, object wake) except -1:
        """Wait no longer; pass a wake-up on that came too late."""
        try:
            self.waiting.remove(wake)
        except ValueError:
            self.wake()
        return 0


cdef int check_number(str name, value, bint whole, double least) except -1:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise TypeError(f"{name} is {value!r}, wanted None or a {'whole ' if whole else ''}number")
    if not value >= least:
        raise ValueError(f"{name} is {value!r}, wanted None or a number >= {least:g}")
    return 0
