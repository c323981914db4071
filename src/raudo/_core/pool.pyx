# cython: binding=False
"""The object pool: lends objects, takes them back, and knows which are its own.

Every object of a pool has an entry, found by the object's address; idle entries are on a stack. An
acquire from the stack touches no hash table; a release makes one look-up, or none where the object
is the one that was lent last.

An address alone proves nothing: an object that was lent and dropped is gone, and another may have
been born in its place. So a lent object is tracked by what its type allows:

- by a weak reference, where there can be one: the pool does not keep a dropped object alive, and a
  dead reference at the right address is recognised;
- else (list, dict, bytearray, most slotted classes) by a reference of the pool's own, so that the
  address cannot be reused; a lent object that nobody else refers to was dropped, and is let go by
  the next few acquires, by `stats` and by `trim`. The price: one that was dropped as part of a
  reference cycle stays until the pool goes;
- exact str, int, float, ... cannot be told apart and are counted only.

Under the GIL each method is atomic but for the user's own code (factory, reset, check, destructors),
which runs between consistent states and may call back. An entry with neither lent nor idle count is
in the hands of the thread that is resetting or closing its object; nobody else touches it.

Invariant: created == in use + idle + discarded + lost.
"""

from types import GenericAlias

from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc

cdef extern from "pool/book.h":
    int raudo_book_grow(raudo_book *) noexcept
    void raudo_book_free(raudo_book *, uint32_t number) noexcept
    void raudo_book_pop_oldest(raudo_book *, uint32_t *numbers, uint32_t n) noexcept
    size_t raudo_book_size(const raudo_book *) noexcept
    void raudo_book_close(raudo_book *) noexcept

cdef extern from "Python.h":
    ctypedef int (*visitproc)(PyObject *, void *) noexcept
    ctypedef int (*traverseproc)(PyObject *, visitproc, void *) noexcept
    ctypedef int (*inquiry)(PyObject *) noexcept
    void Py_XDECREF(PyObject *)

cdef extern from "entry/pool.h":
    enum:
        RAUDO_REAP_EVERY
    bint raudo_is_lost(const raudo_book_entry *) noexcept
    int raudo_pool_visit(const raudo_pool *, visitproc, void *) noexcept

cdef extern from "entry/slots.h":
    traverseproc raudo_get_traverse(PyTypeObject *)
    inquiry raudo_get_clear(PyTypeObject *)
    void raudo_set_traverse(PyTypeObject *, void *)
    void raudo_set_clear(PyTypeObject *, void *)


cdef class ObjectPool:
    """Lends objects that are costly to make, and takes them back for the next.

    Args:
        factory: Makes an object; called without arguments when none is idle.
        max_size: Most objects that are kept idle.
        reset: Called with an object that comes back; None calls its own `reset()`, if it has one.
            Exact lists, dicts, sets, bytearrays, StringIO and BytesIO are emptied after it in any case;
            of what else is a list, dict, set, bytearray or deque `clear()` is called, where neither is.
        name: For messages and metrics.
        limit: Most objects there are, lent and idle ones; None for any number.
        timeout: Seconds that an acquire waits at the limit, 0 to refuse at once, None to wait for ever.
        check: Called with an idle object before it is lent again; one that it returns false for, or
            raises `Exception` for, is discarded.
        close: Called with every object that the pool lets go, but for those that were dropped.
        max_age: Seconds after which an object is not lent again.
        max_idle: Seconds without use after which an idle object is discarded, when it is next seen.
        timer: What `max_age` and `max_idle` are measured by; `time.monotonic` when None.

    An object that was dropped instead of released is forgotten. Thread-safe; an acquire and a
    release take some ten nanoseconds each, more where there is a reset, limit, check or age. What
    `factory` or `reset` raise is passed on: a failed `factory` changes nothing, an object whose `reset`
    failed is discarded. What `close` raises is logged.
    """

    def __cinit__(self, *args, **kwargs):
        if raudo_book_grow(&self.p.book) < 0:
            raise MemoryError()

    def __init__(
        self,
        factory,
        max_size=1000,
        reset=None,
        name=None,
        *,
        limit=None,
        timeout=None,
        check=None,
        close=None,
        max_age=None,
        max_idle=None,
        timer=None,
    ):
        if not callable(factory):
            raise TypeError(f"factory is {factory!r}, wanted a callable without arguments")
        if not isinstance(max_size, int) or isinstance(max_size, bool):
            raise TypeError(f"max_size is {max_size!r}, wanted a whole number")
        if not 0 <= max_size <= RAUDO_BOOK_MOST_ENTRIES:
            raise ValueError(f"max_size is {max_size}, wanted a number in [0, 2**30]")
        if reset is not None and not callable(reset):
            raise TypeError(f"reset is {reset!r}, wanted None or a callable of one object")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name is {name!r}, wanted None or a str")
        guard = Guard(limit, timeout, check, close, max_age, max_idle, timer)
        rules = (limit, check, close, max_age, max_idle)
        self.guard = guard if any(rule is not None for rule in rules) else None
        self.factory = factory
        self.reset = reset
        self.name = name
        self.p.max_size = max_size
        raudo_pool_set_quick(&self.p, self.guard is not None, reset is not None)

    def __dealloc__(self):
        drop_all(self)
        raudo_book_close(&self.p.book)

    @classmethod
    def __class_getitem__(cls, item):
        return GenericAlias(cls, item)

    @property
    def max_size(self):
        """Most objects that are kept idle."""
        return self.p.max_size

    @property
    def limit(self):
        """Most objects there are, or None."""
        return self.guard.limit if self.guard is not None and self.guard.limit >= 0 else None

    @property
    def idle(self):
        """How many objects wait to be lent."""
        return self.p.book.n_idle

    @property
    def in_use(self):
        """How many objects are lent, those included that were dropped and not yet missed."""
        return raudo_pool_lent(&self.p)

    def trim(self, keep=0):
        """Drop idle objects until `keep` are left, and forget what was dropped; return how many.

        Those that were idle longest go first.
        """
        cdef Py_ssize_t wanted = keep
        if wanted < 0:
            raise ValueError(f"keep is {keep}, wanted a number >= 0")
        self.reap_all()
        if wanted >= self.p.book.n_idle:
            return 0
        return drop_oldest(self, self.p.book.n_idle - <uint32_t>wanted)

    def trim_unused(self):
        """Drop the idle objects that no acquire has needed since the last call; return how many."""
        cdef uint32_t n_unused = self.p.book.low
        self.reap_all()
        n_unused = drop_oldest(self, min(n_unused, self.p.book.n_idle))
        if self.guard is not None:
            n_unused += self.drop_expired()
        self.p.book.low = self.p.book.n_idle
        return n_unused

    def stats(self):
        """Return the counts as a dict, after forgetting what was dropped. Takes no lock. O(objects).

        `created == in_use + idle + discarded + lost`; `hit_rate` is the share of the acquires that
        needed no new object; `lost` objects were lent and dropped without a release.
        """
        self.reap_all()
        cdef uint64_t n_reused = self.p.n_acquired - self.p.n_created
        return {
            "created": self.p.n_created,
            "reused": n_reused,
            "released": self.p.n_released,
            "discarded": self.p.n_discarded,
            "lost": self.p.n_lost,
            "in_use": raudo_pool_lent(&self.p),
            "idle": self.p.book.n_idle,
            "waiting": len(self.guard.waiting) if self.guard is not None else 0,
            "max_size": self.p.max_size,
            "hit_rate": n_reused / <double>self.p.n_acquired if self.p.n_acquired else 0.0,
        }

    def __sizeof__(self):
        """Bytes of the pool itself, without the objects."""
        return object.__sizeof__(self) + raudo_book_size(&self.p.book)

    def __reduce__(self):
        raise TypeError("an ObjectPool cannot be copied or pickled: what it lent is its own")

    def __repr__(self):
        named = f" {self.name!r}" if self.name is not None else ""
        return f"<ObjectPool{named}: {self.in_use} in use, {self.idle} idle>"

    # --- for those who lend (`lend`) ---

    cdef int retire(self, uint32_t number, object obj) except -1:
        """Let an object go that is neither lent nor idle."""
        discard(self, number)
        if self.guard is not None:
            self.guard.dispose(obj)
        return 0

    cdef uint32_t drop_expired(self) except? 0xFFFFFFFF:
        """Let go what has been idle for too long: the bottom of the stack."""
        cdef Guard guard = self.guard
        cdef raudo_book *book = &self.p.book
        cdef uint32_t n = 0
        if guard.max_idle is None and guard.max_age is None:
            return 0
        while n < book.n_idle and guard.is_too_old(
            book.entries[book.stack[n]].born, book.entries[book.stack[n]].since
        ):
            n += 1
        return drop_oldest(self, min(n, book.n_idle))

    cdef void reap(self, uint32_t number) noexcept:
        """Forget the entry's lent object if its borrower dropped it."""
        cdef raudo_book_entry *entry = &self.p.book.entries[number]
        if not raudo_is_lost(entry):
            return
        self.p.n_lost += entry.lent
        entry.lent = 0
        if entry.idle == 0:
            remove(self, number)

    cdef void reap_some(self) noexcept:
        """Look at a few entries, so that what was dropped is missed without ever pausing."""
        cdef int _i
        if raudo_pool_lent(&self.p) == 0:
            return
        for _i in range(RAUDO_REAP_EVERY):
            if self.p.hand >= self.p.book.n_entries:
                self.p.hand = 0
            self.p.hand += 1
            self.reap(self.p.hand - 1)

    cdef void reap_all(self) noexcept:
        cdef uint32_t number = 0
        while number < self.p.book.n_entries:  # a destructor may let it grow
            self.reap(number)
            number += 1


# --- entries ----------------------------------------------------------------------------------

cdef void remove(ObjectPool pool, uint32_t number) noexcept:
    """Free the entry, then drop what it held: destructors see a pool that is whole."""
    cdef PyObject *owned = <PyObject *>pool.p.book.entries[number].owned
    cdef PyObject *ref = <PyObject *>pool.p.book.entries[number].ref
    raudo_book_free(&pool.p.book, number)
    Py_XDECREF(ref)
    Py_XDECREF(owned)


cdef void discard(ObjectPool pool, uint32_t number) noexcept:
    pool.p.n_discarded += 1
    if pool.p.book.entries[number].lent == 0 and pool.p.book.entries[number].idle == 0:
        remove(pool, number)


cdef uint32_t drop_oldest(ObjectPool pool, uint32_t n) except? 0xFFFFFFFF:
    """Let the n objects go that were idle longest; there must be so many."""
    cdef uint32_t *numbers
    cdef uint32_t i
    if n == 0:
        return 0
    numbers = <uint32_t *>malloc(n * sizeof(uint32_t))
    if numbers == NULL:
        raise MemoryError()
    raudo_book_pop_oldest(&pool.p.book, numbers, n)
    try:
        for i in range(n):
            pool.p.book.entries[numbers[i]].idle -= 1
            pool.retire(numbers[i], <object>pool.p.book.entries[numbers[i]].address)
    finally:
        free(numbers)
    return n


cdef void drop_all(ObjectPool pool) noexcept:
    cdef uint32_t number = 0
    pool.p.n_discarded += pool.p.book.n_idle + raudo_pool_lent(&pool.p)
    pool.p.n_released += raudo_pool_lent(&pool.p)
    pool.p.book.n_idle = pool.p.book.low = 0
    while number < pool.p.book.n_entries:
        if pool.p.book.entries[number].address != NULL:
            remove(pool, number)
        number += 1


# --- the class's slots ------------------------------------------------------------------------
# Cython's own functions see the object members; these add the references in the entries.

cdef traverseproc TRAVERSE_MEMBERS = raudo_get_traverse(<PyTypeObject *>ObjectPool)
cdef inquiry CLEAR_MEMBERS = raudo_get_clear(<PyTypeObject *>ObjectPool)


cdef int pool_traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    cdef int stop = TRAVERSE_MEMBERS(self, visit, arg)
    return stop if stop else raudo_pool_visit(&(<ObjectPool>self).p, visit, arg)


cdef int pool_clear(PyObject *self) noexcept:
    CLEAR_MEMBERS(self)
    drop_all(<ObjectPool>self)
    return 0


raudo_set_traverse(<PyTypeObject *>ObjectPool, <void *>pool_traverse)
raudo_set_clear(<PyTypeObject *>ObjectPool, <void *>pool_clear)
