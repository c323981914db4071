# cython: binding=False
"""How a pool's objects go out and come back: `ObjectPool.acquire`, `release`, `borrow`, `acquire_async`.

Acquire and release are by hand (`csrc/entry/pool.h`): with Cython's own handling of arguments the two
take a third more. What needs the user's code is in `stock`.
"""

import asyncio
import threading
from functools import partial
from time import monotonic

cimport cython
from cpython.object cimport PyObject, PyTypeObject

from raudo._core.guard cimport Guard
from raudo._core.pool cimport ObjectPool, raudo_pool
from raudo._core.stock cimport FULL, exhausted, release_slowly, try_acquire

from raudo._core.guard import POLL_S

cdef extern from "entry/pool.h":
    PyObject *raudo_pool_quick_acquire(raudo_pool *) noexcept
    bint raudo_pool_quick_release(raudo_pool *, PyObject *) noexcept

cdef extern from "entry/slots.h":
    int raudo_set_type_attribute(PyTypeObject *, const char *name, PyObject *owned) except -1

cdef extern from "Python.h":
    int METH_FASTCALL, METH_NOARGS, METH_O
    ctypedef struct PyMethodDef:
        const char *ml_name
        void *ml_meth
        int ml_flags
        const char *ml_doc
    PyObject *PyDescr_NewMethod(PyTypeObject *type, PyMethodDef *method) except NULL
    void Py_INCREF(PyObject *)
    PyObject *Py_None

cdef extern from *:
    """
    #define raudo_steal(object) (object)
    """
    object raudo_steal(PyObject *owned)


@cython.final
@cython.freelist(8)
cdef class Lease:
    """An object of a pool for the length of a `with` block. One block at a time."""

    cdef ObjectPool pool
    cdef object lent
    cdef bint is_lent

    def __init__(self):
        raise TypeError("a lease is made by ObjectPool.borrow")

    async def __aenter__(self):
        check_free(self)
        lent = await self.pool.acquire_async()
        if self.is_lent:
            self.pool.release(lent)
            check_free(self)
        self.lent = lent
        self.is_lent = True
        return lent

    async def __aexit__(self, kind, error, trace):
        give_back(self)

    def __reduce__(self):
        raise TypeError("a lease cannot be copied or pickled")


cdef int check_free(Lease lease) except -1:
    if lease.is_lent:
        raise RuntimeError("this lease is in use; call borrow() once for each with block")
    return 0


cdef PyObject *enter(PyObject *self, PyObject *unused) except NULL:
    cdef Lease lease = <Lease>self
    cdef PyObject *lent
    check_free(lease)
    if type(lease.pool) is ObjectPool:
        lent = quick_acquire(<PyObject *>lease.pool, NULL, 0)
        lease.lent = raudo_steal(lent)
    else:
        lease.lent = lease.pool.acquire()
    lease.is_lent = True
    Py_INCREF(<PyObject *>lease.lent)
    return <PyObject *>lease.lent


cdef PyObject *leave(PyObject *self, PyObject **args, Py_ssize_t n_args) except NULL:
    give_back(<Lease>self)
    Py_INCREF(Py_None)
    return Py_None


cdef int give_back(Lease lease) except -1:
    if not lease.is_lent:
        raise RuntimeError("this lease is not in use; its object is back already")
    lent = lease.lent
    lease.lent = None
    lease.is_lent = False
    if type(lease.pool) is not ObjectPool:
        lease.pool.release(lent)
    elif not raudo_pool_quick_release(&lease.pool.p, <PyObject *>lent):
        release_slowly(lease.pool, lent)
    return 0


# --- acquire and release ----------------------------------------------------------------------

# With METH_FASTCALL, although it takes none: the interpreter has no short way to a bound METH_NOARGS.
cdef PyObject *quick_acquire(PyObject *self, PyObject **args, Py_ssize_t n_args) except NULL:
    cdef PyObject *lent
    if n_args != 0:
        return too_many(n_args)
    lent = raudo_pool_quick_acquire(&(<ObjectPool>self).p)
    return lent if lent != NULL else ACQUIRE_SLOWLY(self)


cdef PyObject *quick_release(PyObject *self, PyObject *obj) except NULL:
    if not raudo_pool_quick_release(&(<ObjectPool>self).p, obj):
        RELEASE_SLOWLY(<ObjectPool>self, <object>obj)
    Py_INCREF(Py_None)
    return Py_None


cdef PyObject *too_many(Py_ssize_t n_args) except NULL:
    raise TypeError(f"ObjectPool.acquire() takes no arguments ({n_args} given)")


cdef PyObject *acquire_slowly(PyObject *self) except NULL:
    lent = try_acquire(<ObjectPool>self)
    if lent is FULL:
        lent = wait_in_thread(<ObjectPool>self)
    Py_INCREF(<PyObject *>lent)
    return <PyObject *>lent


# Through pointers, so that the compiler does not put these into the functions that call them, which
# would then have registers to save.
ctypedef PyObject *(*acquirer)(PyObject *) except NULL
ctypedef object (*releaser)(ObjectPool, object)
cdef acquirer ACQUIRE_SLOWLY = acquire_slowly
cdef releaser RELEASE_SLOWLY = release_slowly


cdef PyObject *borrow(PyObject *self, PyObject *unused) except NULL:
    cdef Lease lease = Lease.__new__(Lease)
    lease.pool = <ObjectPool>self
    Py_INCREF(<PyObject *>lease)
    return <PyObject *>lease


cdef PyObject *acquire_async(PyObject *self, PyObject *unused) except NULL:
    awaited = lend_in_task(<ObjectPool>self)
    Py_INCREF(<PyObject *>awaited)
    return <PyObject *>awaited


async def lend_in_task(ObjectPool pool):
    """Lend an object once there is a place; the coroutine of `acquire_async`."""
    lent = try_acquire(pool)
    return lent if lent is not FULL else await wait_in_task(pool)


# --- waiting at the limit ---------------------------------------------------------------------


cdef object wait_in_thread(ObjectPool pool):
    cdef Guard guard = pool.guard
    if guard.timeout == 0:
        raise exhausted(pool)
    deadline = None if guard.timeout is None else monotonic() + guard.timeout
    turn = threading.Lock()
    turn.acquire()
    wake = turn.release
    guard.waiting.append(wake)
    try:
        while True:
            left = POLL_S if deadline is None else min(POLL_S, max(0.0, deadline - monotonic()))
            woken = turn.acquire(True, left)
            obj = try_acquire(pool)
            if obj is not FULL:
                return obj
            if woken:
                guard.waiting.appendleft(wake)
            if deadline is not None and monotonic() >= deadline:
                raise exhausted(pool)
    finally:
        guard.leave(wake)


async def wait_in_task(ObjectPool pool):
    """Wait for a place of the pool, from a task of the running event loop."""
    cdef Guard guard = pool.guard
    if guard.timeout == 0:
        raise exhausted(pool)
    deadline = None if guard.timeout is None else monotonic() + guard.timeout
    loop = asyncio.get_running_loop()
    turn = asyncio.Event()
    # Not a closure: Cython's scope does not tell the collector of the function in it, a cycle.
    wake = partial(loop.call_soon_threadsafe, turn.set)
    guard.waiting.append(wake)
    try:
        while True:
            left = POLL_S if deadline is None else min(POLL_S, max(0.0, deadline - monotonic()))
            poll = loop.call_later(left, turn.set)
            try:
                await turn.wait()
            finally:
                poll.cancel()
            turn.clear()
            obj = try_acquire(pool)
            if obj is not FULL:
                return obj
            if wake not in guard.waiting:
                guard.waiting.appendleft(wake)
            if deadline is not None and monotonic() >= deadline:
                raise exhausted(pool)
    finally:
        guard.leave(wake)


# --- the methods ----------------------------------------------------------------------------

cdef PyMethodDef ACQUIRE = PyMethodDef(
    b"acquire",
    <void *>quick_acquire,
    METH_FASTCALL,
    b"acquire($self)\n--\n\n"
    b"Lend an idle object, the one that came back last; make one when there is none.\n\n"
    b"Raises:\n    PoolExhausted: The limit is reached, and nothing came back in time.",
)
cdef PyMethodDef RELEASE = PyMethodDef(
    b"release",
    <void *>quick_release,
    METH_O,
    b"release($self, obj, /)\n--\n\n"
    b"Take a lent object back, emptied or reset.\n\n"
    b"Raises:\n    PoolError: It is back already, or was never lent by this pool.",
)


cdef PyMethodDef BORROW = PyMethodDef(
    b"borrow",
    <void *>borrow,
    METH_NOARGS,
    b"borrow($self)\n--\n\n"
    b"Return a context manager that acquires on entry and releases on exit, error or not.\n\n"
    b"With `async with` it waits at the limit without blocking the event loop.",
)
cdef PyMethodDef ACQUIRE_ASYNC = PyMethodDef(
    b"acquire_async",
    <void *>acquire_async,
    METH_NOARGS,
    b"acquire_async($self)\n--\n\n"
    b"Lend an object as `acquire` does; `await` it. At the limit the task waits, not the event loop.",
)
cdef PyMethodDef ENTER = PyMethodDef(
    b"__enter__", <void *>enter, METH_NOARGS, b"__enter__($self)\n--\n\nAcquire an object."
)
cdef PyMethodDef EXIT = PyMethodDef(
    b"__exit__",
    <void *>leave,
    METH_FASTCALL,
    b"__exit__($self, kind, error, trace, /)\n--\n\nRelease the object.",
)


cdef int install(PyTypeObject *kind, PyMethodDef *method) except -1:
    return raudo_set_type_attribute(kind, method.ml_name, PyDescr_NewMethod(kind, method))


install(<PyTypeObject *>ObjectPool, &ACQUIRE)
install(<PyTypeObject *>ObjectPool, &RELEASE)
install(<PyTypeObject *>ObjectPool, &BORROW)
install(<PyTypeObject *>ObjectPool, &ACQUIRE_ASYNC)
install(<PyTypeObject *>Lease, &ENTER)
install(<PyTypeObject *>Lease, &EXIT)
