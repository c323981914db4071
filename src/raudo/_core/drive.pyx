# cython: binding=False
"""Drives the coroutines of a batch one after another inside a Task, without a Task for each.

A worker of a batch awaits its `Drive`. That takes tasks from the batch's input, calls them and runs their
coroutines, passing on to the worker's Task what these wait for, and comes back to the worker only for
what needs deciding: an error, a function that does not run on the loop, a cancellation, the end.

Everything here belongs to one event loop and is not thread-safe.
"""

cimport cython
from cpython.object cimport PyObject

from types import FunctionType

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT

    PySendResult PyIter_Send(object iterator, object value, PyObject **result)
    PyObject *PyIter_Next(object iterator) except? NULL
    bint PyCoro_CheckExact(object) noexcept
    bint PyTuple_CheckExact(object) noexcept
    bint PyDict_CheckExact(object) noexcept
    Py_ssize_t PyTuple_GET_SIZE(object) noexcept
    PyObject *PyTuple_GET_ITEM(object, Py_ssize_t) noexcept
    void Py_INCREF(PyObject *) noexcept
    void Py_DECREF(PyObject *) noexcept

cdef extern from "entry/drive.h":
    object raudo_take_error()
    int raudo_says(object method) except -1
    object raudo_call(object fn, object args, PyObject *kwargs)
    double raudo_monotonic() noexcept

# Items that never suspend would keep the loop for themselves; this often others get their turn.
SLICE_SECONDS = 0.01
cdef double SLICE = SLICE_SECONDS
cdef double NOT_TIMED = float("inf")
cdef dict NO_KWARGS = {}


cdef object steal(PyObject *owned):
    value = <object>owned
    Py_DECREF(owned)
    return value


cdef object made(kind, value, trace):
    """Make one exception of what `throw` was given."""
    if value is None:
        value = kind() if isinstance(kind, type) else kind
    elif not isinstance(value, BaseException):
        value = kind(value)
    return value if trace is None else value.with_traceback(trace)


cdef object iterator_of(awaitable):
    """Return what `await` runs."""
    if not hasattr(type(awaitable), "__await__"):
        raise TypeError(f"object {type(awaitable).__name__} can't be used in 'await' expression")
    return type(awaitable).__await__(awaitable)


cdef class Timed:
    """What a deadline sweep looks at: when the attempt began that runs, infinity where none does."""

    def __cinit__(self, *args, **kwargs):
        self.started = NOT_TIMED


cdef class Counts:
    """What every item that ends well adds to."""

    def __cinit__(self, *args, **kwargs):
        self.ran = Histogram()

    def note_run(self, double seconds):
        """Enter how long the attempts of one task ran, however it ended."""
        self.note(seconds)


@cython.final
cdef class Items:
    """The input and the results of a batch, shared by its workers."""

    def __cinit__(self, source, on_progress, total):
        self.source, self.results = source, []
        self.on_progress, self.total = on_progress, total
        self.turn_ends = -1.0

    def drop_last(self):
        """Take back the place of an item that is no task."""
        self.results.pop()

    def take_results(self):
        """Give the results away; errors among them lead to the workers' frames and so back here."""
        results, self.results = self.results, []
        return results

    def note_done(self):
        """Tell whoever wants to know that one more item is done."""
        self.count()

    cdef int count(self) except -1:
        if self.on_progress is not None:
            self.n_done += 1
            self.on_progress(self.n_done, self.total)
        return 0


@cython.final
cdef class Drive:
    """What one worker awaits, again and again. After each time one of these holds:

    - `is_done`: the input has ended, or the batch is closing;
    - `error` is not None: the call `fn, args, kwargs` of item `index` raised it;
    - `is_call`: the worker is to make that call itself; where `args` is None, `fn` is what the input
      gave, in a shape to be unpacked;
    - none of them: an item has ended well, but asked its worker's Task to cancel.
    """

    def __cinit__(
        self,
        Items items not None,
        Timed run not None,
        Counts counts not None,
        cancelling,
        clock,
        is_coroutine_function,
        bint may_drive,
    ):
        """Drive items of `items` in the Task of which `cancelling` is a method.

        `clock` gives the loop's seconds, None stands for `time.monotonic` of Linux. Without `may_drive`, or
        where `is_coroutine_function` denies it, calls are handed to the worker.
        """
        self.items, self.run, self.counts = items, run, counts
        self.cancelling, self.clock = cancelling, clock
        self.is_coroutine_function, self.may_drive = is_coroutine_function, may_drive

    def __await__(self):
        self.error = None
        self.begun = self.now()
        if self.items.turn_ends < 0:
            self.items.turn_ends = self.begun + SLICE
        return self

    def __iter__(self):
        return self

    def __next__(self):
        cdef PyObject *yielded = NULL
        cdef PySendResult what
        cdef bint is_over
        if self.awaiter is not None:
            what = PyIter_Send(self.awaiter, None, &yielded)
            if what == PYGEN_NEXT:
                return steal(yielded)
            is_over = (
                self.failed(raudo_take_error())
                if what == PYGEN_ERROR
                else self.ended(steal(yielded))
            )
        else:
            is_over = False
            if self.gives_way:
                self.leave_turn()
                self.begun = self.now()
        yielded = NULL if is_over else self.go_on()
        if yielded == NULL:
            raise StopIteration
        return steal(yielded)

    def throw(self, kind, value=None, trace=None, /):
        """Raise in the item what is thrown at its worker."""
        cdef PyObject *yielded
        cdef bint is_over
        awaiter = self.awaiter
        if awaiter is None:
            self.leave_turn()
            raise made(kind, value, trace)
        try:
            throw = getattr(awaiter, "throw", None)
            if throw is None:
                raise made(kind, value, trace)
            return throw(kind) if value is None and trace is None else throw(kind, value, trace)
        except StopIteration as stop:
            is_over = self.ended(stop.value)
        except BaseException as error:
            is_over = self.failed(error)
        yielded = NULL if is_over else self.go_on()
        if yielded == NULL:
            raise StopIteration
        return steal(yielded)

    def forget(self):
        """Let go of the call and its error, whose traceback leads back here."""
        self.fn = self.args = self.kwargs = self.error = None

    def close(self):
        """Close the coroutine that is being driven."""
        awaiter, self.awaiter = self.awaiter, None
        self.leave_turn()
        if awaiter is not None and hasattr(awaiter, "close"):
            awaiter.close()

    cdef PyObject *go_on(self) except? NULL:
        """Run items until one suspends; return what it waits for. NULL: the worker is to look."""
        cdef Items items = self.items
        cdef PyObject *yielded = NULL
        cdef PyObject *taken
        cdef PySendResult what
        while not items.is_closing:
            if self.begun >= items.turn_ends:
                if items.giver is None:
                    items.giver = self
                self.gives_way = True
                Py_INCREF(<PyObject *>None)
                return <PyObject *>None
            taken = PyIter_Next(items.source)
            if taken == NULL:
                break
            self.index = len(items.results)
            items.results.append(None)
            if self.asks(steal(taken)):
                return NULL
            try:
                awaiter = raudo_call(self.fn, self.args, <PyObject *>self.kwargs)
                if not PyCoro_CheckExact(awaiter):
                    awaiter = iterator_of(awaiter)
            except BaseException as error:
                self.failed(error)
                return NULL
            what = PyIter_Send(awaiter, None, &yielded)
            if what == PYGEN_NEXT:
                self.run.started = self.begun
                self.awaiter = awaiter
                return yielded
            if what == PYGEN_ERROR:
                self.failed(raudo_take_error())
                return NULL
            if self.ended(steal(yielded)):
                return NULL
        self.is_done = True
        return NULL

    cdef bint asks(self, object item) except -1:
        """Take an item apart; say whether the worker is to make the call."""
        cdef Py_ssize_t n
        fn = item
        self.args, self.kwargs = None, NO_KWARGS
        if PyTuple_CheckExact(item):
            n = PyTuple_GET_SIZE(item)
            if n == 2 or n == 3:
                args = <object>PyTuple_GET_ITEM(item, 1)
                kwargs = <object>PyTuple_GET_ITEM(item, 2) if n == 3 else NO_KWARGS
                if PyTuple_CheckExact(args) and PyDict_CheckExact(kwargs):
                    fn = <object>PyTuple_GET_ITEM(item, 0)
                    self.args, self.kwargs = args, kwargs
        elif type(item) is FunctionType:
            self.args = ()
        if self.args is not None and fn is not self.known:
            if callable(fn):
                self.known = fn
                self.drives_known = self.may_drive and self.is_coroutine_function(fn)
            else:
                fn, self.args = item, None
        self.fn = fn
        self.is_call = self.args is None or not self.drives_known
        return self.is_call

    cdef bint ended(self, object value) except -1:
        """Enter a result; say whether the worker is to look, as its Task was asked to cancel."""
        cdef double now = self.now()
        self.awaiter = None
        self.run.started = NOT_TIMED
        self.items.results[self.index] = value
        self.counts.succeeded += 1
        self.counts.note(now - self.begun)
        self.begun = now
        if raudo_says(self.cancelling):
            return True
        self.items.count()
        return False

    cdef bint failed(self, object error) noexcept:
        """Hand an error to the worker."""
        self.awaiter = None
        self.run.started = NOT_TIMED
        self.error = error
        return True

    cdef int leave_turn(self) except -1:
        """Begin a new slice, unless another worker ended the last one and has not come round yet."""
        self.gives_way = False
        if self.items.giver is None or self.items.giver is self:
            self.items.giver = None
            self.items.turn_ends = self.now() + SLICE
        return 0

    cdef double now(self) except? -1.0:
        return raudo_monotonic() if self.clock is None else self.clock()
