"""The object pool: lends objects, takes them back, and knows which are its own.

Every object of a pool has an entry, found by the object's address; idle entries are on a stack. An
acquire from the stack touches no hash table, a release makes one look-up.

An address alone proves nothing: an object that was lent and dropped is gone, and another may have
been born in its place. So a lent object is tracked by what its type allows:

- by a weak reference, where there can be one: the pool does not keep a dropped object alive, and a
  dead reference at the right address is recognised;
- else (list, dict, bytearray, most slotted classes) by a reference of the pool's own, so that the
  address cannot be reused; a lent object that nobody else refers to was dropped, and is let go by
  the next few acquires, by `stats` and by `trim`. The price: one that was dropped as part of a
  reference cycle stays until the pool goes;
- exact str, int, float, ... cannot be told apart and are counted only.

Under the GIL each method is atomic but for the user's own code (factory, reset, destructors), which
runs between consistent states and may call back. An entry with neither lent nor idle count is in
the hands of the thread that is resetting its object; nobody else touches it.

Invariant: created == in use + idle + discarded + lost.
"""

from types import GenericAlias

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memset

cdef extern from *:
    """
    /* Weak references are compared by their field: PyWeakref_GetObject is deprecated from 3.13 on,
       and its successor makes and drops a reference for nothing. */
    #define raudo_referent(ref) (((PyWeakReference *)(ref))->wr_object)
    #define raudo_steal(object) (object)

    static traverseproc raudo_traverse_members;
    static inquiry raudo_clear_members;
    """
    ctypedef int (*visitproc)(PyObject *, void *) noexcept
    ctypedef int (*traverseproc)(PyObject *, visitproc, void *) noexcept
    ctypedef int (*inquiry)(PyObject *) noexcept
    ctypedef struct PyTypeObject:
        traverseproc tp_traverse
        inquiry tp_clear

    PyObject *raudo_referent(PyObject *ref)
    object raudo_steal(PyObject *owned)
    traverseproc raudo_traverse_members
    inquiry raudo_clear_members

    int PyType_SUPPORTS_WEAKREFS(PyTypeObject *kind)
    PyTypeObject *Py_TYPE(object)
    Py_ssize_t Py_REFCNT(PyObject *)
    void Py_INCREF(PyObject *)
    void Py_DECREF(PyObject *)
    void Py_XDECREF(PyObject *)

    object PyWeakref_NewRef(object, PyObject *callback)
    int PyByteArray_Resize(object, Py_ssize_t) except -1
    int PyList_SetSlice(object, Py_ssize_t, Py_ssize_t, PyObject *) except -1
    void PyDict_Clear(object)
    int PySet_Clear(object) except -1
    Py_ssize_t PyList_GET_SIZE(object)
    PyObject *PyList_GET_ITEM(object, Py_ssize_t)
    Py_ssize_t PyDict_GET_SIZE "PyDict_Size"(object)
    Py_ssize_t PySet_GET_SIZE(object)
    Py_ssize_t PyByteArray_GET_SIZE(object)


cdef enum Tracking:
    WEAK  # `ref` is a weak reference; the pool owns the object only while it is idle
    HELD  # the pool owns the object always
    VALUE  # as HELD, and any number of acquires may have got the same one

cdef enum Shape:
    OPAQUE
    LIST
    DICT
    SET
    BYTEARRAY

cdef struct Entry:
    PyObject *address  # of the object; NULL where the entry is free
    PyObject *owned  # the same, where this entry holds a reference to it
    PyObject *ref  # weak reference, held; NULL unless tracked so
    uint32_t lent
    uint32_t idle  # times it is on the stack; in a free entry, the next free one + 1
    uint8_t tracking
    uint8_t shape

cdef uint64_t GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: Fibonacci hashing
cdef uint32_t MOST_ENTRIES = 1 << 30

cdef tuple _VALUE_TYPES = (
    str, int, float, tuple, bytes, frozenset, complex, bool, type(None), range, type(...)
)

# The class of the errors below. The floor above has the public one; nothing is imported from there.
cdef object _pool_error = ValueError


def register_error(kind):
    """Raise this class (a ValueError) where an object is released that was not lent."""
    global _pool_error
    _pool_error = kind


def first_unshared(list items not None):
    """Return the index of the first item that nothing but the list refers to, or -1."""
    cdef Py_ssize_t i
    for i in range(PyList_GET_SIZE(items)):
        if Py_REFCNT(PyList_GET_ITEM(items, i)) == 1:
            return i
    return -1


def resize_bytearray(bytearray data not None, Py_ssize_t size):
    """Set the length; bytes that come to light are arbitrary. No copy where the allocation fits."""
    if size < 0:
        raise ValueError(f"size is {size}, wanted a number >= 0")
    PyByteArray_Resize(data, size)


cdef class ObjectPool:
    """Lends objects that are costly to make, and takes them back for the next.

    Args:
        factory: Makes an object; called without arguments when none is idle.
        max_size: Most objects that are kept idle; how many are lent is not bounded.
        reset: Called with an object that comes back. Exact lists, dicts, sets and bytearrays are
            emptied after it in any case.
        name: For messages and metrics.

    An object that was dropped instead of released is forgotten. Thread-safe; an acquire and a
    release take tens of nanoseconds each. What `factory` or `reset` raise is passed on: a failed
    `factory` changes nothing, an object whose `reset` failed is discarded.
    """

    cdef readonly object factory
    cdef readonly object reset
    cdef readonly object name
    cdef readonly Py_ssize_t max_size
    cdef object __weakref__
    # The raw references in `entries` are owned by this class alone and are visited and dropped by
    # `pool_traverse`, `pool_clear` and `__dealloc__`.
    cdef Entry *entries
    cdef uint32_t *buckets  # entry + 1 by address, 0 where empty; twice the entries, a power of two
    cdef uint32_t *stack  # idle entries, last in, first out
    cdef Py_ssize_t capacity
    cdef Py_ssize_t stack_capacity
    cdef int shift  # 64 - log2(buckets)
    cdef uint32_t first_free  # + 1
    cdef Py_ssize_t n_free
    cdef Py_ssize_t hand  # the next entry that an acquire looks at
    cdef Py_ssize_t n_idle
    cdef Py_ssize_t n_lent
    cdef uint64_t n_created
    cdef uint64_t n_reused
    cdef uint64_t n_released
    cdef uint64_t n_discarded
    cdef uint64_t n_lost

    def __cinit__(self, *args, **kwargs):
        self.shift = 64
        grow(self)

    def __init__(self, factory, max_size=1000, reset=None, name=None):
        if not callable(factory):
            raise TypeError(f"factory is {factory!r}, wanted a callable without arguments")
        if not isinstance(max_size, int) or isinstance(max_size, bool):
            raise TypeError(f"max_size is {max_size!r}, wanted a whole number")
        if not 0 <= max_size <= MOST_ENTRIES:
            raise ValueError(f"max_size is {max_size}, wanted a number in [0, 2**30]")
        if reset is not None and not callable(reset):
            raise TypeError(f"reset is {reset!r}, wanted None or a callable of one object")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name is {name!r}, wanted None or a str")
        self.factory = factory
        self.max_size = max_size
        self.reset = reset
        self.name = name

    def __dealloc__(self):
        drop_all(self)
        PyMem_Free(self.entries)
        PyMem_Free(self.buckets)
        PyMem_Free(self.stack)

    @classmethod
    def __class_getitem__(cls, item):
        return GenericAlias(cls, item)

    @property
    def idle(self):
        """How many objects wait to be lent."""
        return self.n_idle

    @property
    def in_use(self):
        """How many objects are lent, those included that were dropped and not yet missed."""
        return self.n_lent

    @cython.binding(False)
    def acquire(self):
        """Lend an idle object, the one that came back last; make one when there is none."""
        cdef uint32_t index
        cdef Entry *entry
        cdef PyObject *owned
        if self.n_lent:
            # One entry a call, so that what was dropped is missed without ever pausing.
            if self.hand >= self.capacity:
                self.hand = 0
            self.hand += 1
            reap(self, self.hand - 1)
        if self.n_idle == 0:
            return make(self)
        self.n_idle -= 1
        index = self.stack[self.n_idle]
        entry = &self.entries[index]
        entry.idle -= 1
        entry.lent += 1
        self.n_lent += 1
        self.n_reused += 1
        if entry.tracking == WEAK:
            owned = entry.owned
            entry.owned = NULL
            return raudo_steal(owned)
        return <object>entry.address

    @cython.binding(False)
    def release(self, obj):
        """Take a lent object back, emptied or reset.

        Raises:
            PoolError: It is back already, or was never lent by this pool.
        """
        cdef Py_ssize_t index = find(self, <PyObject *>obj)
        cdef Entry *entry
        cdef bint fit = True
        if index < 0:
            return release_other(self, obj, index)
        entry = &self.entries[index]
        if entry.lent == 0 or is_dead(entry):
            return release_other(self, obj, index)
        entry.lent -= 1
        self.n_lent -= 1
        self.n_released += 1
        if self.reset is not None or not is_clean(entry.shape, obj):
            try:
                if self.reset is not None:
                    self.reset(obj)
                # A destructor of what it held may have put something in again: not fit to be lent.
                fit = empty(self.entries[index].shape, obj)
            except BaseException:
                discard(self, index)
                raise
        if fit and self.n_idle < self.max_size:
            push(self, index, <PyObject *>obj)
        else:
            discard(self, index)

    @cython.binding(False)
    def borrow(self):
        """Return a context manager that acquires on entry and releases on exit, error or not."""
        return Lease.__new__(Lease, self)

    def trim(self, keep=0):
        """Drop idle objects until `keep` are left, and forget what was dropped; return how many."""
        cdef Py_ssize_t wanted = keep
        cdef Py_ssize_t n_dropped = 0
        cdef uint32_t index
        if wanted < 0:
            raise ValueError(f"keep is {keep}, wanted a number >= 0")
        reap_all(self)
        while self.n_idle > wanted:
            self.n_idle -= 1
            index = self.stack[self.n_idle]
            self.entries[index].idle -= 1
            n_dropped += 1
            discard(self, index)
        return n_dropped

    def stats(self):
        """Return the counts as a dict, after forgetting what was dropped. O(objects).

        `created == in_use + idle + discarded + lost`; `hit_rate` is the share of the acquires that
        needed no new object; `lost` objects were lent and dropped without a release.
        """
        reap_all(self)
        cdef uint64_t acquired = self.n_created + self.n_reused
        return {
            "created": self.n_created,
            "reused": self.n_reused,
            "released": self.n_released,
            "discarded": self.n_discarded,
            "lost": self.n_lost,
            "in_use": self.n_lent,
            "idle": self.n_idle,
            "max_size": self.max_size,
            "hit_rate": self.n_reused / <double>acquired if acquired else 0.0,
        }

    def __sizeof__(self):
        """Bytes of the pool itself, without the objects."""
        return (
            object.__sizeof__(self)
            + self.capacity * (sizeof(Entry) + 2 * sizeof(uint32_t))
            + self.stack_capacity * sizeof(uint32_t)
        )

    def __reduce__(self):
        raise TypeError("an ObjectPool cannot be copied or pickled: what it lent is its own")

    def __repr__(self):
        named = f" {self.name!r}" if self.name is not None else ""
        return f"<ObjectPool{named}: {self.n_lent} in use, {self.n_idle} idle>"


@cython.final
@cython.freelist(8)
cdef class Lease:
    """An object of a pool for the length of a `with` block. One block at a time."""

    cdef ObjectPool pool
    cdef object lent
    cdef bint is_lent

    def __cinit__(self, ObjectPool pool not None):
        self.pool = pool

    @cython.binding(False)
    def __enter__(self):
        if self.is_lent:
            raise RuntimeError("this lease is in use; call borrow() once for each with block")
        self.lent = self.pool.acquire()
        self.is_lent = True
        return self.lent

    @cython.binding(False)
    def __exit__(self, kind, error, trace):
        if not self.is_lent:
            raise RuntimeError("this lease is not in use; its object is back already")
        lent = self.lent
        self.lent = None
        self.is_lent = False
        self.pool.release(lent)

    def __reduce__(self):
        raise TypeError("a lease cannot be copied or pickled")


# --- entries ----------------------------------------------------------------------------------

cdef inline Py_ssize_t home(ObjectPool pool, PyObject *address) noexcept:
    # Objects are 16-aligned: the low four bits say nothing.
    return <Py_ssize_t>(((<uint64_t><uintptr_t>address >> 4) * GOLDEN) >> pool.shift)


cdef inline Py_ssize_t find(ObjectPool pool, PyObject *address) noexcept:
    """Return the entry of this address, or -1. Linear probing, at most half full."""
    cdef Py_ssize_t mask = 2 * pool.capacity - 1
    cdef Py_ssize_t at = home(pool, address)
    cdef uint32_t found
    while True:
        found = pool.buckets[at]
        if found == 0:
            return -1
        if pool.entries[found - 1].address == address:
            return found - 1
        at = (at + 1) & mask


cdef void link(ObjectPool pool, uint32_t index) noexcept:
    cdef Py_ssize_t mask = 2 * pool.capacity - 1
    cdef Py_ssize_t at = home(pool, pool.entries[index].address)
    while pool.buckets[at]:
        at = (at + 1) & mask
    pool.buckets[at] = index + 1


cdef void unlink(ObjectPool pool, uint32_t index) noexcept:
    """Take the entry out of the buckets, closing the gap (Knuth 6.4, algorithm R)."""
    cdef Py_ssize_t mask = 2 * pool.capacity - 1
    cdef Py_ssize_t gap = home(pool, pool.entries[index].address)
    cdef Py_ssize_t at, wanted
    while pool.buckets[gap] != index + 1:
        gap = (gap + 1) & mask
    at = gap
    while True:
        at = (at + 1) & mask
        if pool.buckets[at] == 0:
            break
        wanted = home(pool, pool.entries[pool.buckets[at] - 1].address)
        if ((at - wanted) & mask) >= ((at - gap) & mask):
            pool.buckets[gap] = pool.buckets[at]
            gap = at
    pool.buckets[gap] = 0


cdef int grow(ObjectPool pool) except -1:
    cdef Py_ssize_t capacity = 2 * pool.capacity if pool.capacity else 8
    cdef Py_ssize_t i
    cdef Entry *entries
    cdef uint32_t *buckets
    if capacity > MOST_ENTRIES:
        raise MemoryError("an ObjectPool tracks at most 2**30 objects")
    buckets = <uint32_t *>PyMem_Malloc(2 * capacity * sizeof(uint32_t))
    if buckets == NULL:
        raise MemoryError()
    entries = <Entry *>PyMem_Realloc(pool.entries, capacity * sizeof(Entry))
    if entries == NULL:
        PyMem_Free(buckets)
        raise MemoryError()
    PyMem_Free(pool.buckets)
    pool.entries = entries
    pool.buckets = buckets
    memset(buckets, 0, 2 * capacity * sizeof(uint32_t))
    memset(entries + pool.capacity, 0, (capacity - pool.capacity) * sizeof(Entry))
    for i in range(capacity - 1, pool.capacity - 1, -1):
        entries[i].idle = pool.first_free
        pool.first_free = <uint32_t>i + 1
    pool.n_free += capacity - pool.capacity
    i = pool.capacity
    pool.capacity = capacity
    pool.shift = 64
    while capacity > 0:  # twice the entries: one bit more than the capacity's own
        pool.shift -= 1
        capacity >>= 1
    for capacity in range(i):
        if entries[capacity].address != NULL:
            link(pool, <uint32_t>capacity)
    return 0


cdef void remove(ObjectPool pool, uint32_t index) noexcept:
    """Free the entry, then drop what it held: destructors see a pool that is whole."""
    cdef Entry *entry = &pool.entries[index]
    cdef PyObject *owned = entry.owned
    cdef PyObject *ref = entry.ref
    unlink(pool, index)
    memset(entry, 0, sizeof(Entry))
    entry.idle = pool.first_free
    pool.first_free = index + 1
    pool.n_free += 1
    Py_XDECREF(ref)
    Py_XDECREF(owned)


cdef inline void discard(ObjectPool pool, uint32_t index) noexcept:
    pool.n_discarded += 1
    if pool.entries[index].lent == 0 and pool.entries[index].idle == 0:
        remove(pool, index)


cdef int push(ObjectPool pool, uint32_t index, PyObject *address) except -1:
    cdef Entry *entry = &pool.entries[index]
    cdef Py_ssize_t capacity
    cdef uint32_t *stack
    if pool.n_idle == pool.stack_capacity:
        capacity = min(max(2 * pool.stack_capacity, 8), pool.max_size)
        stack = <uint32_t *>PyMem_Realloc(pool.stack, capacity * sizeof(uint32_t))
        if stack == NULL:
            discard(pool, index)
            raise MemoryError()
        pool.stack = stack
        pool.stack_capacity = capacity
    if entry.tracking == WEAK:
        Py_INCREF(address)
        entry.owned = address
    entry.idle += 1
    pool.stack[pool.n_idle] = index
    pool.n_idle += 1
    return 0


cdef void drop_all(ObjectPool pool) noexcept:
    cdef Py_ssize_t index
    pool.n_discarded += pool.n_idle + pool.n_lent
    pool.n_idle = 0
    pool.n_lent = 0
    for index in range(pool.capacity):
        if pool.entries[index].address != NULL:
            remove(pool, <uint32_t>index)


# --- what was dropped -------------------------------------------------------------------------

cdef inline bint is_dead(Entry *entry) noexcept:
    return entry.tracking == WEAK and raudo_referent(entry.ref) != entry.address


cdef inline void reap(ObjectPool pool, Py_ssize_t index) noexcept:
    """Forget the entry's lent object if its borrower dropped it."""
    cdef Entry *entry = &pool.entries[index]
    if entry.lent == 0:
        return
    if not is_dead(entry) if entry.tracking == WEAK else Py_REFCNT(entry.address) != 1:
        return
    pool.n_lost += entry.lent
    pool.n_lent -= entry.lent
    entry.lent = 0
    if entry.idle == 0:
        remove(pool, <uint32_t>index)


cdef void reap_all(ObjectPool pool) noexcept:
    cdef Py_ssize_t index = 0
    while index < pool.capacity:  # a destructor may let it grow
        reap(pool, index)
        index += 1


# --- the seldom paths -------------------------------------------------------------------------

cdef Tracking tracking_of(object made):
    cdef PyTypeObject *kind = Py_TYPE(made)
    for value_type in _VALUE_TYPES:
        if kind == <PyTypeObject *>value_type:
            return VALUE
    return WEAK if PyType_SUPPORTS_WEAKREFS(kind) else HELD


cdef Shape shape_of(object made) noexcept:
    if type(made) is list:
        return LIST
    if type(made) is dict:
        return DICT
    if type(made) is set:
        return SET
    if type(made) is bytearray:
        return BYTEARRAY
    return OPAQUE


cdef object make(ObjectPool pool):
    cdef object made = pool.factory()
    cdef PyObject *address = <PyObject *>made
    cdef Tracking tracking = tracking_of(made)
    # Making the weak reference may run the garbage collector, so it comes before any look-up.
    cdef object ref = PyWeakref_NewRef(made, NULL) if tracking == WEAK else None
    cdef Py_ssize_t index
    cdef Entry *entry
    if pool.n_free == 0:
        reap_all(pool)
        if pool.n_free < pool.capacity // 4:  # else the next calls would reap in vain again
            grow(pool)
    index = find(pool, address)
    if index >= 0 and is_dead(&pool.entries[index]):
        reap(pool, index)
        index = -1
    if index >= 0 and pool.entries[index].tracking != VALUE:
        raise _pool_error(
            f"the factory of {describe(pool)} returned {identify(made)} again; "
            "it must make a new object for each call"
        )
    pool.n_created += 1
    pool.n_lent += 1
    if index >= 0:
        pool.entries[index].lent += 1
        return made
    index = pool.first_free - 1
    entry = &pool.entries[index]
    pool.first_free = entry.idle
    pool.n_free -= 1
    entry.address = address
    entry.owned = NULL
    entry.ref = NULL
    if tracking == WEAK:
        entry.ref = <PyObject *>ref
        Py_INCREF(entry.ref)
    else:
        entry.owned = address
        Py_INCREF(address)
    entry.lent = 1
    entry.idle = 0
    entry.tracking = tracking
    entry.shape = shape_of(made)
    link(pool, <uint32_t>index)
    return made


cdef object release_other(ObjectPool pool, object obj, Py_ssize_t index):
    """Count an immutable object against any that is lent; refuse the rest."""
    cdef Py_ssize_t i
    if tracking_of(obj) == VALUE:
        # Not kept: it is not what the factory made, as when `text += "..."` made another string.
        for i in range(pool.capacity):
            if pool.entries[i].tracking == VALUE and pool.entries[i].lent:
                pool.entries[i].lent -= 1
                pool.n_lent -= 1
                pool.n_released += 1
                discard(pool, <uint32_t>i)
                return None
        raise _pool_error(f"{identify(obj)} was released to {describe(pool)}, which has lent none")
    if index >= 0 and not is_dead(&pool.entries[index]):
        raise _pool_error(f"{identify(obj)} was released to {describe(pool)} twice")
    if index >= 0:
        reap(pool, index)
    raise _pool_error(f"{identify(obj)} was released to {describe(pool)}, which did not lend it")


cdef inline bint is_clean(uint8_t shape, object obj) noexcept:
    if shape == OPAQUE:
        return True
    if shape == LIST:
        return PyList_GET_SIZE(obj) == 0
    if shape == DICT:
        return PyDict_GET_SIZE(obj) == 0
    if shape == SET:
        return PySet_GET_SIZE(obj) == 0
    return PyByteArray_GET_SIZE(obj) == 0


cdef bint empty(uint8_t shape, object obj) except -1:
    if not is_clean(shape, obj):
        if shape == LIST:
            PyList_SetSlice(obj, 0, PyList_GET_SIZE(obj), NULL)
        elif shape == DICT:
            PyDict_Clear(obj)
        elif shape == SET:
            PySet_Clear(obj)
        elif shape == BYTEARRAY:
            PyByteArray_Resize(obj, 0)
    return is_clean(shape, obj)


cdef str identify(object obj):
    # Not its repr: that may be long, slow, or fail.
    return f"a {type(obj).__name__} at {<uintptr_t><PyObject *>obj:#x}"


cdef str describe(ObjectPool pool):
    return f"the pool {pool.name!r}" if pool.name is not None else "an unnamed pool"


# --- garbage collection -----------------------------------------------------------------------
# Cython's own functions see the object members; these add the references in the entries.

cdef int pool_traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    cdef Py_ssize_t i
    cdef Entry *entry
    cdef int stop = raudo_traverse_members(self, visit, arg)
    if stop:
        return stop
    if (<ObjectPool>self).entries == NULL:
        return 0
    for i in range((<ObjectPool>self).capacity):
        entry = &(<ObjectPool>self).entries[i]
        if entry.owned != NULL:
            stop = visit(entry.owned, arg)
            if stop:
                return stop
        if entry.ref != NULL:
            stop = visit(entry.ref, arg)
            if stop:
                return stop
    return 0


cdef int pool_clear(PyObject *self) noexcept:
    raudo_clear_members(self)
    drop_all(<ObjectPool>self)
    return 0


raudo_traverse_members = (<PyTypeObject *>ObjectPool).tp_traverse
raudo_clear_members = (<PyTypeObject *>ObjectPool).tp_clear
(<PyTypeObject *>ObjectPool).tp_traverse = pool_traverse
(<PyTypeObject *>ObjectPool).tp_clear = pool_clear
