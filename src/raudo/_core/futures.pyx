# cython: binding=False
"""The state of a `concurrent.futures.Future`, with a lock only where somebody waits for it.

The standard future makes a condition variable, with two locks, for each task, and takes it at every step.
Most futures are looked at once they are done. Here the steps are C code that runs no Python in between,
which the interpreter lock makes whole; the condition is made by the first who asks for it, and whoever
ends the task takes it if it is there. Put before `Future` among a class's bases, this does what that does.
"""

cimport cython

import logging
import threading
from collections import deque
from concurrent.futures import Future, InvalidStateError

cdef enum State:
    PENDING
    RUNNING
    CANCELLED
    NOTIFIED  # cancelled, and those who wait were told
    FINISHED

cdef tuple NAMES = ("PENDING", "RUNNING", "CANCELLED", "CANCELLED_AND_NOTIFIED", "FINISHED")


cdef class FutureState:
    cdef object condition, value, error
    cdef list waiters, callbacks
    cdef int state

    def __init__(self):
        pass

    # --- what the standard library's functions reach for ---

    @property
    def _condition(self):
        if self.condition is None:
            made = threading.Condition()  # others may run meanwhile
            if self.condition is None:
                self.condition = made
        return self.condition

    @property
    def _state(self):
        return NAMES[self.state]

    @_state.setter
    def _state(self, name):
        self.state = NAMES.index(name)

    @property
    def _result(self):
        return self.value

    @_result.setter
    def _result(self, value):
        self.value = value

    @property
    def _exception(self):
        return self.error

    @_exception.setter
    def _exception(self, error):
        self.error = error

    @property
    def _waiters(self):
        if self.waiters is None:
            self.waiters = []
        return self.waiters

    @property
    def _done_callbacks(self):
        if self.callbacks is None:
            self.callbacks = []
        return self.callbacks

    # --- for those who wait ---

    def cancelled(self):
        return self.state == CANCELLED or self.state == NOTIFIED

    def running(self):
        return self.state == RUNNING

    def done(self):
        return self.state >= CANCELLED

    def result(self, timeout=None):
        if self.state != FINISHED:
            return Future.result(self, timeout)
        if self.error is None:
            return self.value
        try:
            raise self.error
        finally:
            self = None  # the error's traceback holds this frame

    def exception(self, timeout=None):
        return self.error if self.state == FINISHED else Future.exception(self, timeout)

    def add_done_callback(self, fn):
        if self.state < CANCELLED:
            self._done_callbacks.append(fn)
        else:
            self.call(fn)

    def cancel(self):
        if self.state == RUNNING or self.state == FINISHED:
            return False
        if self.state != PENDING:
            return True
        if self.condition is None:
            self.state = CANCELLED
        else:
            with self.condition:
                if self.state == RUNNING or self.state == FINISHED:
                    return False
                if self.state != PENDING:
                    return True
                self.state = CANCELLED
                self.condition.notify_all()
        self.call_all()
        return True

    # --- for those who work ---

    def set_running_or_notify_cancel(self):
        if self.state == PENDING:  # no one waits for the beginning: no need of the condition
            self.state = RUNNING
            return True
        if self.state != CANCELLED:
            logging.getLogger("concurrent.futures").critical(
                "Future %s in unexpected state: %s", id(self), NAMES[self.state]
            )
            raise RuntimeError("Future in unexpected state")
        if self.condition is None:
            self.state = NOTIFIED
        else:
            with self.condition:
                self.state = NOTIFIED
                for waiter in self._waiters:
                    waiter.add_cancelled(self)
        return False

    def set_result(self, result):
        self.finish(result, None)

    def set_exception(self, exception):
        self.finish(None, exception)

    cdef int finish(self, object value, object error) except -1:
        if self.condition is None and self.state < CANCELLED:
            self.value, self.error = value, error
            self.state = FINISHED
        else:
            with self._condition:
                if self.state >= CANCELLED:
                    raise InvalidStateError(f"{NAMES[self.state]}: {self!r}")
                self.value, self.error = value, error
                self.state = FINISHED
                for waiter in self._waiters:
                    (waiter.add_result if error is None else waiter.add_exception)(self)
                self.condition.notify_all()
        return self.call_all()

    cdef int call_all(self) except -1:
        callbacks, self.callbacks = self.callbacks, None
        if callbacks is not None:
            for fn in callbacks:
                self.call(fn)
        return 0

    cdef int call(self, object fn) except -1:
        try:
            if type(fn) is Arrival:
                (<Arrival>fn).wakeups.arrive((<Arrival>fn).waiter)
            else:
                fn(self)
        except Exception:
            logging.getLogger("concurrent.futures").exception(
                "exception calling callback for %r", self
            )
        return 0


cdef class Tally:
    """Counts of tasks: submitted = done + failed + cancelled + pending, at every moment."""

    cdef Py_ssize_t n_submitted, n_done, n_failed, n_cancelled

    def submitted(self, Py_ssize_t n=1):
        """Count tasks as taken."""
        self.n_submitted += n

    def ended(self, Py_ssize_t done=0, Py_ssize_t failed=0, Py_ssize_t cancelled=0):
        """Count tasks as over."""
        self.n_done += done
        self.n_failed += failed
        self.n_cancelled += cancelled

    def read(self):
        """Return the four counts and `pending`, all of one moment."""
        cdef Py_ssize_t ended = self.n_done + self.n_failed + self.n_cancelled
        return {
            "submitted": self.n_submitted,
            "done": self.n_done,
            "failed": self.n_failed,
            "cancelled": self.n_cancelled,
            "pending": self.n_submitted - ended,
        }


cdef class CountedState(FutureState):
    """A future's state that tells a tally how it ended, before it wakes those who wait."""

    cdef Tally tally

    def __init__(self, Tally tally not None):
        self.tally = tally
        tally.n_submitted += 1

    def set_result(self, result):
        self.tally.n_done += 1
        self.finish(result, None)

    def set_exception(self, exception):
        self.tally.n_failed += 1
        self.finish(None, exception)

    def cancel(self):
        cdef bint was_cancelled = self.state == CANCELLED or self.state == NOTIFIED
        cdef bint is_cancelled = FutureState.cancel(self)
        if is_cancelled and not was_cancelled:
            self.tally.n_cancelled += 1
        return is_cancelled


@cython.final
cdef class Arrival:
    """The callback of one future: brings word of it to one waiter on an event loop."""

    cdef Wakeups wakeups
    cdef object waiter

    def __call__(self, future, /):
        self.wakeups.arrive(self.waiter)


@cython.final
cdef class Wakeups:
    """Lets the coroutines of one loop wait for futures that other threads complete.

    `asyncio.wrap_future` wakes the loop once a result, each time through a lock and a socket. Here
    results that arrive before the loop came round share one wake-up.
    """

    cdef object create_future, call_soon_threadsafe, arrived
    cdef bint is_on_its_way

    def __cinit__(self, loop):
        self.create_future = loop.create_future
        self.call_soon_threadsafe = loop.call_soon_threadsafe
        self.arrived = deque()

    def when_done(self, future):
        """Return a future of the loop that is done, without a result, when `future` is.

        Cancelling it leaves `future` alone.
        """
        cdef Arrival arrival = Arrival.__new__(Arrival)
        arrival.wakeups, arrival.waiter = self, self.create_future()
        future.add_done_callback(arrival)
        return arrival.waiter

    cdef int arrive(self, object waiter) except -1:
        # No lock: it appends before it looks, and `deliver` lowers the flag before it pops. Whoever
        # sees the flag up knows that a delivery will still see the entry.
        self.arrived.append(waiter)
        if not self.is_on_its_way:
            self.is_on_its_way = True
            try:
                self.call_soon_threadsafe(self.deliver)
            except RuntimeError:
                self.arrived.clear()  # the loop is closed: nobody waits any more
        return 0

    def deliver(self):
        """Wake everyone whose future is done; on the loop's own thread."""
        self.is_on_its_way = False
        arrived = self.arrived
        while arrived:
            waiter = arrived.popleft()
            if not waiter.done():
                waiter.set_result(None)
