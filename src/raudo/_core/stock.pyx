# cython: binding=False
"""A pool's stock: what makes its objects, sees whether they are fit to go out, and makes them as new.

All of it runs code that is not ours (factory, check, reset, destructors), which may call back: the books
are whole before it does.
"""

import io
from collections import deque

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
        RAUDO_CLEARABLE
    uint8_t raudo_dirty_at(uint8_t shape) noexcept
    PyObject *raudo_pool_lend(raudo_pool *) noexcept
    void raudo_pool_keep(raudo_pool *, uint32_t number) noexcept

cdef extern from "Python.h":
    int PyType_SUPPORTS_WEAKREFS(PyTypeObject *kind)
    PyTypeObject *Py_TYPE(object)
    void Py_INCREF(PyObject *)
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

# What is one of these but not exactly: emptied by its own method, where no reset says otherwise.
cdef tuple CLEARABLE_TYPES = (list, dict, set, bytearray, deque)

# The classes of the errors below. The floor above has the public ones; nothing is imported from there.
cdef object POOL_ERROR = ValueError
cdef object EXHAUSTED = TimeoutError

FULL = object()


def register_errors(pool_error, exhausted):
    """Raise these (a ValueError, a TimeoutError) for wrong releases, and where the limit is reached."""
    global POOL_ERROR, EXHAUSTED
    POOL_ERROR, EXHAUSTED = pool_error, exhausted


# --- out --------------------------------------------------------------------------------------

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
    if callable(getattr(type(made), "reset", None)):
        return RAUDO_RESETTABLE
    return RAUDO_CLEARABLE if isinstance(made, CLEARABLE_TYPES) else RAUDO_OPAQUE


# --- and back ---------------------------------------------------------------------------------

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


cdef bint stays_young(ObjectPool pool, uint32_t number) except -1:
    """Whether an object that comes back may be lent once more; note when it came."""
    cdef double now = pool.guard.now()
    cdef raudo_book_entry *entry = &pool.p.book.entries[number]
    entry.since = now
    return not pool.guard.is_too_old(entry.born, now)


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
    elif shape == RAUDO_CLEARABLE:
        obj.clear()
    if shape == RAUDO_RESETTABLE or shape == RAUDO_CLEARABLE:
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


# --- what it says -----------------------------------------------------------------------------

cdef object exhausted(ObjectPool pool):
    return EXHAUSTED(
        f"{describe(pool)} has lent all of its {pool.guard.limit} objects"
        + (f", and none came back within {pool.guard.timeout} s" if pool.guard.timeout else "")
    )


cdef str identify(object obj):
    # Not its repr: that may be long, slow, or fail.
    return f"a {type(obj).__name__} at {<uintptr_t><PyObject *>obj:#x}"


cdef str describe(ObjectPool pool):
    return f"the pool {pool.name!r}" if pool.name is not None else "an unnamed pool"
