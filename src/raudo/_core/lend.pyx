# cython: binding=False
"""How a pool's objects go out and come back: `ObjectPool.acquire`, `release`, `borrow`, `acquire_async`.

Acquire and release are by hand (`csrc/entry/pool.h`): with Cython's own handling of arguments the two
take a third more. What needs the user's code, or has to wait, is here.
"""

import asyncio
import io
import threading
from functools import partial
from time import monotonic

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uintptr_t

from raudo._core.guard cimport Guard
from raudo._core.pool cimport (
    ObjectPool,
    raudo_book,
    raudo_book_entry,
    raudo_is_clean,
    raudo_is_dead,
    raudo_pool,
    raudo_pool_lent,
    raudo_pool_set_quick,
)

from raudo._core.guard import POLL_S

cdef extern from "pool/book.h":
    int64_t raudo_book_find(const raudo_book *, const void *address) noexcept
    int raudo_book_grow(raudo_book *) noexcept
    uint32_t raudo_book_take(raudo_book *, void *address) noexcept
    int raudo_book_reserve(raudo_book *) noexcept

cdef extern from "entry/pool.h":
    enum:
        RAUDO_WEAK
        RAUDO_HELD
        RAUDO_VALUE
    enum:
        RAUDO_OPAQUE
        RAUDO_LIST
        RAUDO_DICT
        RAUDO_SET
        RAUDO_BYTEARRAY
        RAUDO_STREAM
        RAUDO_RESETTABLE
    uint8_t raudo_dirty_at(uint8_t shape) noexcept
    PyObject *raudo_pool_lend(raudo_pool *) noexcept
    void raudo_pool_keep(raudo_pool *, uint32_t number) noexcept
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
    int PyType_SUPPORTS_WEAKREFS(PyTypeObject *kind)
    PyTypeObject *Py_TYPE(object)
    void Py_INCREF(PyObject *)
    PyObject *Py_None
    object PyWeakref_NewRef(object, PyObject *callback)
    int PyByteArray_Resize(object, Py_ssize_t) except -1
    int PyList_SetSlice(object, Py_ssize_t, Py_ssize_t, PyObject *) except -1
    void PyDict_Clear(object)
    int PySet_Clear(object) except -1
    Py_ssize_t PyList_GET_SIZE(object)

cdef extern from *:
    """
    #define raudo_steal(object) (object)
    """
    object raudo_steal(PyObject *owned)

cdef tuple VALUE_TYPES = (
    str, int, float, tuple, bytes, frozenset, complex, bool, type(None), range, type(...)
)
cdef dict SHAPES = {
    list: RAUDO_LIST,
    dict: RAUDO_DICT,
    set: RAUDO_SET,
    bytearray: RAUDO_BYTEARRAY,
    io.StringIO: RAUDO_STREAM,
    io.BytesIO: RAUDO_STREAM,
}

# The classes of the errors below. The floor above has the public ones; nothing is imported from there.
cdef object POOL_ERROR = ValueError
cdef object EXHAUSTED = TimeoutError

cdef object FULL = object()  # stands for the object that could not be lent


def register_errors(pool_error, exhausted):
    """Raise these (a ValueError, a TimeoutError) for wrong releases, and where the limit is reached."""
    global POOL_ERROR, EXHAUSTED
    POOL_ERROR, EXHAUSTED = pool_error, exhausted


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
        lent = quick_acquire(<PyObject *>lease.pool, NULL)
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

cdef PyObject *quick_acquire(PyObject *self, PyObject *unused) except NULL:
    cdef PyObject *lent = raudo_pool_quick_acquire(&(<ObjectPool>self).p)
    return lent if lent != NULL else ACQUIRE_SLOWLY(self)


cdef PyObject *quick_release(PyObject *self, PyObject *obj) except NULL:
    if not raudo_pool_quick_release(&(<ObjectPool>self).p, obj):
        RELEASE_SLOWLY(<ObjectPool>self, <object>obj)
    Py_INCREF(Py_None)
    return Py_None


cdef PyObject *acquire_slowly(PyObject *self) except NULL:
    lent = try_acquire(<ObjectPool>self)
    if lent is FULL:
        lent = wait_in_thread(<ObjectPool>self)
    Py_INCREF(<PyObject *>lent)
    return <PyObject *>lent


cdef object release_slowly(ObjectPool pool, object obj):
    cdef int64_t number = raudo_book_find(&pool.p.book, <PyObject *>obj)
    cdef raudo_book_entry *entry
    cdef bint is_fit
    if number < 0:
        return release_other(pool, obj, number)
    entry = &pool.p.book.entries[number]
    if entry.lent == 0 or raudo_is_dead(entry):
        return release_other(pool, obj, number)
    entry.lent -= 1
    pool.p.n_released += 1
    try:
        try:
            is_fit = make_new(pool, <uint32_t>number, obj)
        except BaseException:
            pool.retire(<uint32_t>number, obj)
            raise
        if is_fit and pool.guard is not None:
            is_fit = stays_young(pool, <uint32_t>number)
        if is_fit and pool.p.book.n_idle < pool.p.max_size:
            if raudo_book_reserve(&pool.p.book) < 0:
                pool.retire(<uint32_t>number, obj)
                raise MemoryError()
            raudo_pool_set_quick(&pool.p, pool.guard is not None, pool.reset is not None)
            raudo_pool_keep(&pool.p, <uint32_t>number)
        else:
            pool.retire(<uint32_t>number, obj)
    finally:
        if pool.guard is not None:
            pool.guard.wake()
    return None


# Through pointers, so that the compiler does not put these into the functions that call them, which
# would then have registers to save.
ctypedef PyObject *(*acquirer)(PyObject *) except NULL
ctypedef object (*releaser)(ObjectPool, object)
cdef acquirer ACQUIRE_SLOWLY = acquire_slowly
cdef releaser RELEASE_SLOWLY = release_slowly


cdef object try_acquire(ObjectPool pool):
    """Lend an idle object that is fit, or a new one; or return FULL, at the limit."""
    cdef Guard guard = pool.guard
    cdef bint is_made = False
    pool.reap_some()
    if guard is None:
        return raudo_steal(raudo_pool_lend(&pool.p)) if pool.p.book.n_idle else make(pool)
    pool.drop_expired()
    while pool.p.book.n_idle:
        lent = raudo_steal(raudo_pool_lend(&pool.p))
        if is_fit_to_lend(pool, pool.p.book.latest, lent):
            return lent
    if guard.limit >= 0 and <int64_t>raudo_pool_lent(&pool.p) + guard.n_making >= guard.limit:
        pool.reap_all()
        if <int64_t>raudo_pool_lent(&pool.p) + guard.n_making >= guard.limit:
            return FULL
    guard.n_making += 1
    try:
        lent = make(pool)
        is_made = True
    finally:
        guard.n_making -= 1
        if not is_made:
            guard.wake()  # for the place that this one did not take
    return lent


cdef bint is_fit_to_lend(ObjectPool pool, uint32_t number, object lent) except -1:
    """Whether an object just taken from the stack may go out; else let it go."""
    cdef bint is_fit = False
    cdef raudo_book_entry *entry = &pool.p.book.entries[number]
    try:
        is_fit = not pool.guard.is_too_old(entry.born, entry.since) and pool.guard.approves(lent)
    finally:
        if not is_fit:
            pool.p.book.entries[number].lent -= 1
            pool.p.n_acquired -= 1  # nobody has got it
            pool.retire(number, lent)
    return is_fit


cdef bint stays_young(ObjectPool pool, uint32_t number) except -1:
    """Whether an object that comes back may be lent once more; note when it came."""
    cdef double now = pool.guard.now()
    cdef raudo_book_entry *entry = &pool.p.book.entries[number]
    entry.since = now
    return not pool.guard.is_too_old(entry.born, now)


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

cdef object exhausted(ObjectPool pool):
    return EXHAUSTED(
        f"{describe(pool)} has lent all of its {pool.guard.limit} objects"
        + (f", and none came back within {pool.guard.timeout} s" if pool.guard.timeout else "")
    )


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


# --- the seldom paths -------------------------------------------------------------------------

cdef uint8_t tracking_of(object made) noexcept:
    cdef PyTypeObject *kind = Py_TYPE(made)
    for value_type in VALUE_TYPES:
        if kind == <PyTypeObject *>value_type:
            return RAUDO_VALUE
    return RAUDO_WEAK if PyType_SUPPORTS_WEAKREFS(kind) else RAUDO_HELD


cdef uint8_t shape_of(object made):
    shape = SHAPES.get(type(made))
    if shape is not None:
        return shape
    return RAUDO_RESETTABLE if callable(getattr(type(made), "reset", None)) else RAUDO_OPAQUE


cdef object make(ObjectPool pool):
    cdef object made = pool.factory()
    cdef PyObject *address = <PyObject *>made
    cdef uint8_t tracking = tracking_of(made)
    cdef uint8_t shape = shape_of(made)
    # Making the weak reference may run the garbage collector, so it comes before any look-up.
    cdef object ref = PyWeakref_NewRef(made, NULL) if tracking == RAUDO_WEAK else None
    cdef double now = pool.guard.now() if pool.guard is not None else 0.0
    cdef raudo_book *book = &pool.p.book
    cdef raudo_book_entry *entry
    cdef int64_t number
    if book.n_free == 0:
        pool.reap_all()
        if book.n_free < book.n_entries // 4:  # else the next calls would reap in vain again
            if raudo_book_grow(book) < 0:
                raise MemoryError("no memory to track one more object of a pool")
    number = raudo_book_find(book, address)
    if number >= 0 and raudo_is_dead(&book.entries[number]):
        pool.reap(<uint32_t>number)
        number = -1
    if number >= 0 and book.entries[number].tracking != RAUDO_VALUE:
        raise POOL_ERROR(
            f"the factory of {describe(pool)} returned {identify(made)} again; "
            "it must make a new object for each call"
        )
    if number < 0:
        number = raudo_book_take(book, address)
        entry = &book.entries[number]
        if tracking == RAUDO_WEAK:
            entry.ref = <PyObject *>ref
            Py_INCREF(<PyObject *>ref)
        else:
            entry.owned = address
            Py_INCREF(address)
        entry.tracking = tracking
        entry.shape = shape
        entry.dirty_at = raudo_dirty_at(shape)
        entry.born = entry.since = now
    book.entries[number].lent += 1
    book.latest = <uint32_t>number
    pool.p.n_created += 1
    pool.p.n_acquired += 1
    return made


cdef object release_other(ObjectPool pool, object obj, int64_t number):
    """Count an immutable object against any that is lent; refuse the rest."""
    cdef uint32_t i
    cdef raudo_book_entry *entries = pool.p.book.entries
    if tracking_of(obj) == RAUDO_VALUE:
        # Not kept: it is not what the factory made, as when `text += "..."` made another string.
        for i in range(pool.p.book.n_entries):
            if entries[i].tracking == RAUDO_VALUE and entries[i].lent:
                entries[i].lent -= 1
                pool.p.n_released += 1
                pool.retire(i, obj)
                if pool.guard is not None:
                    pool.guard.wake()
                return None
        raise POOL_ERROR(f"{identify(obj)} was released to {describe(pool)}, which has lent none")
    if number >= 0 and not raudo_is_dead(&entries[number]):
        raise POOL_ERROR(f"{identify(obj)} was released to {describe(pool)} twice")
    if number >= 0:
        pool.reap(<uint32_t>number)
    raise POOL_ERROR(f"{identify(obj)} was released to {describe(pool)}, which did not lend it")


cdef bint make_new(ObjectPool pool, uint32_t number, object obj) except -1:
    """Reset and empty an object. False where a destructor of what it held put something in again."""
    cdef uint8_t shape = pool.p.book.entries[number].shape
    if pool.reset is not None:
        pool.reset(obj)
    elif shape == RAUDO_RESETTABLE:
        obj.reset()
    if shape == RAUDO_RESETTABLE:
        return True
    if shape == RAUDO_STREAM:
        obj.seek(0)
        obj.truncate()
        return True
    if not raudo_is_clean(&pool.p.book.entries[number]):
        if shape == RAUDO_LIST:
            PyList_SetSlice(obj, 0, PyList_GET_SIZE(obj), NULL)
        elif shape == RAUDO_DICT:
            PyDict_Clear(obj)
        elif shape == RAUDO_SET:
            PySet_Clear(obj)
        elif shape == RAUDO_BYTEARRAY:
            PyByteArray_Resize(obj, 0)
    return raudo_is_clean(&pool.p.book.entries[number])


cdef str identify(object obj):
    # Not its repr: that may be long, slow, or fail.
    return f"a {type(obj).__name__} at {<uintptr_t><PyObject *>obj:#x}"


cdef str describe(ObjectPool pool):
    return f"the pool {pool.name!r}" if pool.name is not None else "an unnamed pool"


# --- the methods ----------------------------------------------------------------------------

cdef PyMethodDef ACQUIRE = PyMethodDef(
    b"acquire",
    <void *>quick_acquire,
    METH_NOARGS,
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
