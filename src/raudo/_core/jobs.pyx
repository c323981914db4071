# cython: binding=False
"""A queue of calls and the threads that sleep until there are some.

Waking a thread costs a system call, and then a fight for the interpreter lock; `ThreadPoolExecutor` pays
both for each task. Here at most one thread is on its way at a time. It wakes the next one when it has
taken a call and sees more, so that calls that wait spread over all threads, while calls that end at once
are done by the one that is awake, many in one turn.

Thread-safe: each step is C code that runs no Python in between, which the interpreter lock makes whole.
"""

cimport cython
from cpython.object cimport PyObject

from collections import deque

cdef extern from "Python.h":
    ctypedef void *PyThread_type_lock
    PyThread_type_lock PyThread_allocate_lock() noexcept
    void PyThread_free_lock(PyThread_type_lock) noexcept
    void PyThread_release_lock(PyThread_type_lock) noexcept nogil
    int PyThread_acquire_lock_timed(PyThread_type_lock, long long us, int intr) noexcept nogil
    object PyContext_CopyCurrent()
    int PyContext_Enter(object) except -1
    int PyContext_Exit(object) except -1
    object PyObject_Call(object fn, object args, PyObject *kwargs)
    bint PyFunction_Check(object) noexcept
    bint PyCFunction_Check(object) noexcept
    PyObject *PyFunction_GET_CODE(object) noexcept
    ctypedef struct PyCodeObject:
        int co_flags
    int CO_COROUTINE


cdef extern from "entry/drive.h":
    double raudo_monotonic() noexcept

cdef double WINDOW_SECONDS = 0.01  # shorter ones would measure how threads are switched


@cython.final
@cython.freelist(64)
cdef class Job:
    """A call, the future of its result, and a copy of the context variables where this was made."""

    cdef readonly object future
    cdef object context, fn, args, kwargs

    @staticmethod
    cdef Job make(object future, object fn, tuple args, object kwargs):
        cdef Job job = Job.__new__(Job)
        job.future, job.fn, job.args = future, fn, args
        job.kwargs = dict(kwargs) if kwargs else None
        job.context = PyContext_CopyCurrent()
        return job

    def run(self):
        """Make the call and settle the future, unless that was cancelled."""
        future, context = self.future, self.context
        if not future.set_running_or_notify_cancel():
            return
        try:
            PyContext_Enter(context)
            try:
                value = PyObject_Call(
                    self.fn, self.args, <PyObject *>self.kwargs if self.kwargs is not None else NULL
                )
            finally:
                PyContext_Exit(context)
        except BaseException as error:
            self.drop()
            future.set_exception(error)
        else:
            self.drop()
            future.set_result(value)

    cdef int drop(self) except -1:
        """Let go of everything before anyone knows that the call is over."""
        self.future = self.context = self.fn = self.args = self.kwargs = None
        return 0


@cython.final
cdef class Sleeper:
    """Where one thread sleeps. Made awake, by the thread or by whoever starts it."""

    cdef PyThread_type_lock lock
    cdef bint is_on_its_way

    def __cinit__(self):
        self.is_on_its_way = True
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError
        PyThread_acquire_lock_timed(self.lock, -1, 0)

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_release_lock(self.lock)
            PyThread_free_lock(self.lock)


@cython.final
cdef class JobQueue:
    """Jobs, in order, and the threads that take them.

    Args:
        max_threads: Most threads; surplus ones are told to leave.
        start_thread: Called as `start_thread(sleeper)` to start one more, which calls `take` with that.
            Raises RuntimeError where there can be none.
        idle_timeout: Seconds after which a thread without work leaves; None for never.
        on_window: Called as `on_window(n_jobs, seconds)` when four jobs a thread have ended in at least
            ten milliseconds, and more were waiting all the while; returns the most threads from then on.
            None: nobody asks.
    """

    cdef object jobs, start_thread, on_window
    cdef Py_ssize_t n_ended
    cdef double window_began
    cdef list asleep
    cdef long long timeout_us
    cdef readonly Py_ssize_t n_threads
    cdef Py_ssize_t most
    cdef bint is_waking
    cdef readonly bint is_closed

    def __cinit__(self, Py_ssize_t max_threads, start_thread, idle_timeout, on_window):
        self.jobs, self.asleep = deque(), []
        self.on_window, self.n_ended = on_window, -1
        self.most, self.start_thread = max_threads, start_thread
        self.timeout_us = -1 if idle_timeout is None else <long long>(idle_timeout * 1e6)

    @property
    def max_threads(self):
        return self.most

    @property
    def n_busy(self):
        return self.n_threads - len(self.asleep)

    def __len__(self):
        return len(self.jobs)

    def submit(self, future, fn, tuple args not None, kwargs):
        """Queue a call, and see to it that a thread comes for it; False if the queue is closed."""
        return self.put(future, fn, args, kwargs)

    cdef bint put(self, object future, object fn, tuple args, object kwargs) except -1:
        if self.is_closed:
            return False
        job = Job.make(future, fn, args, kwargs)
        self.jobs.append(job)
        if not self.is_waking:
            try:
                self.wake()
            except BaseException:
                if job in self.jobs:
                    self.jobs.remove(job)
                raise
        return True

    def take(self, Sleeper me not None):
        """Wait for a job; None when the calling thread is to leave."""
        cdef bint in_time = True
        if self.on_window is not None:
            self.measure()
        while True:
            if me.is_on_its_way:
                me.is_on_its_way = self.is_waking = False
            if self.n_threads > self.most:
                break
            if self.jobs:
                job = self.jobs.popleft()
                if self.jobs and not self.is_waking:
                    self.wake()
                return job
            if self.is_closed or not in_time:
                break
            self.asleep.append(me)
            in_time = self.sleep(me)
        self.n_threads -= 1
        if not self.is_waking:
            self.wake()
        return None

    cdef int measure(self) except -1:
        """Count a job that ended while others waited; with enough of them, ask how many threads."""
        cdef double now
        if not self.jobs:
            self.n_ended = -1
            return 0
        self.n_ended += 1
        if self.n_ended == 0:
            self.window_began = raudo_monotonic()
        elif self.n_ended % (4 * self.most) == 0:
            now = raudo_monotonic()
            if now - self.window_began < WINDOW_SECONDS:
                return 0
            n_ended, seconds = self.n_ended, now - self.window_began
            self.n_ended, self.window_began = 0, now
            most = self.on_window(n_ended, seconds)
            if most != self.most:
                self.resize(most)
        return 0

    cdef bint sleep(self, Sleeper me) except -1:
        """Sleep until woken; False if it was for too long."""
        cdef int is_woken
        cdef long long timeout_us = self.timeout_us
        with nogil:
            is_woken = PyThread_acquire_lock_timed(me.lock, timeout_us, 0)
        if is_woken:
            return True
        if me in self.asleep:
            self.asleep.remove(me)
            return False
        PyThread_acquire_lock_timed(me.lock, -1, 0)  # woken at the last moment
        return True

    cdef int wake(self) except -1:
        """Wake a thread, or start one, if there is a job and none is on its way."""
        if not self.jobs or self.is_waking:
            return 0
        self.is_waking = True
        if self.asleep:
            sleeper = <Sleeper>self.asleep.pop()
            sleeper.is_on_its_way = True
            PyThread_release_lock(sleeper.lock)
        elif self.n_threads < self.most:
            self.n_threads += 1
            try:
                self.start_thread(Sleeper())
            except RuntimeError:
                self.n_threads -= 1
                self.is_waking = False
                if self.n_threads == 0:
                    raise  # no thread at all can be had: the job would wait for ever
            except BaseException:
                self.n_threads -= 1
                self.is_waking = False
                raise
        else:
            self.is_waking = False
        return 0

    def gone(self, Sleeper me not None):
        """Count a thread as gone that left without being told to."""
        self.n_threads -= 1
        if me.is_on_its_way:
            me.is_on_its_way = self.is_waking = False

    def resize(self, Py_ssize_t max_threads):
        """Change the most threads; surplus ones leave as soon as they are idle."""
        self.most = max_threads
        self.wake()
        self.wake_surplus(self.n_threads - max_threads)

    def close(self):
        """Take no more jobs; the threads leave when those that are queued are done."""
        self.is_closed = True
        self.wake_surplus(len(self.asleep))

    cdef int wake_surplus(self, Py_ssize_t n) except -1:
        while n > 0 and self.asleep:
            n -= 1
            PyThread_release_lock((<Sleeper>self.asleep.pop()).lock)
        return 0

    def drain(self):
        """Return the jobs that no thread has taken, and forget them."""
        left, self.jobs = self.jobs, deque()
        return left


cdef bint is_plain(object fn) noexcept:
    """Say of most functions that calling them makes no coroutine."""
    if PyFunction_Check(fn):
        return not (<PyCodeObject *>PyFunction_GET_CODE(fn)).co_flags & CO_COROUTINE
    return PyCFunction_Check(fn)


cdef class Submitter:
    """The `submit` of an executor: in Python it would cost as much as all the rest of handing a call over.

    A base class. `_queue` is where calls may go that need no more than a thread and a future, which is
    `future_type(tally)`; None while there is no such place. The derived class's `_submit(fn, args, kwargs)`
    deals with everything else, refusals among them.
    """

    cdef public JobQueue _queue
    cdef object future_type, tally

    def __init__(self, future_type, tally):
        self.future_type, self.tally = future_type, tally

    def submit(self, fn, /, *args, **kwargs):
        """Run `fn(*args, **kwargs)`; return its future.

        A function that "auto" knows to be tiny runs before `submit` returns.

        Raises:
            Closed: After `shutdown`.
            TypeError: `fn` is a coroutine function.
            InitializerFailed: A worker's initializer raised.
        """
        cdef JobQueue queue = self._queue
        if queue is None or queue.is_closed or not is_plain(fn):
            return self._submit(fn, args, kwargs)
        future = self.future_type(self.tally)
        try:
            if queue.put(future, fn, args, kwargs):
                return future
        except BaseException:
            future.cancel()
            raise
        future.cancel()
        return self._submit(fn, args, kwargs)  # which says why the queue is closed
