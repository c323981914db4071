# cython: binding=False
"""`Cache`: the compiled one-level cache. Hash table and bookkeeping here, order in the policies.

Concurrency: with the GIL held, everything between two calls of user code is atomic, and that is all
the locking there is. User code (`__hash__`, `__eq__`, weigher, timer, listener, `__del__`) runs only
where the table is consistent: before the search, inside it (`raudo_find` notices any change and
starts over), or after the operation, when what left is settled. A policy written in Python is the
exception: a re-entrant lock guards the whole operation, all but the settling.

Ownership: each live entry owns one reference to its key and one to its value. `take_out` moves them
to a `Batch`, `settle` tells the listener and drops them.
"""

cimport cython
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject, PyTypeObject, traverseproc, visitproc
from cpython.ref cimport Py_INCREF as INCREF_OBJECT
from libc.math cimport isnan
from libc.stdlib cimport free, realloc

from raudo._core.policy cimport (
    HAS_EXPIRY,
    MAX_ENTRIES,
    META_SHIFT,
    NO_SLOT,
    PythonPolicy,
    make_policy,
    raudo_entry,
    raudo_expiry,
    raudo_expiry_node,
    raudo_give_back,
    raudo_hit,
    raudo_index_insert,
    raudo_index_remove,
    raudo_list_reset,
    raudo_reserve,
    raudo_take,
    report_unraisable,
)

import threading
from collections.abc import ItemsView, KeysView, Mapping, MutableMapping, ValuesView
from types import GenericAlias

import raudo._core.adaptive
import raudo._core.lfu
import raudo._core.lru
import raudo._core.queues

cdef extern from "Python.h":
    void Py_INCREF(PyObject *) noexcept
    void Py_DECREF(PyObject *) noexcept
    void Py_XDECREF(PyObject *) noexcept
    PyObject *Py_None
    int METH_FASTCALL, METH_KEYWORDS
    ctypedef struct PyMethodDef:
        const char *ml_name
        void *ml_meth
        int ml_flags
        const char *ml_doc
    object PyDescr_NewMethod(PyTypeObject *type, PyMethodDef *method)
    void PyType_Modified(PyTypeObject *type)
    object PyDict_New()
    int PyDict_SetItem(object d, PyObject *key, PyObject *value) except -1
    void PyErr_Fetch(PyObject **kind, PyObject **value, PyObject **trace) noexcept
    void PyErr_Restore(PyObject *kind, PyObject *value, PyObject *trace) noexcept
    PyObject *PyTuple_GET_ITEM(PyObject *, Py_ssize_t) noexcept
    Py_ssize_t PyTuple_GET_SIZE(PyObject *) noexcept
    int PyUnicode_CompareWithASCIIString(PyObject *, const char *) noexcept

cdef extern from "entry/find.h":
    int raudo_hash(PyObject *key, uint32_t *hash) except -1
    uint32_t raudo_find(const raudo_table *t, PyObject *key, uint32_t hash) except? 0xFFFFFFFE
    PyObject *RAUDO_UNSURE
    PyObject *raudo_quick_get(raudo_table *t, PyObject *key) noexcept
    ctypedef enum raudo_store_state:
        RAUDO_STORE_UNSURE
        RAUDO_STORED
        RAUDO_STORE_ABSENT
    raudo_store_state raudo_quick_set(
        raudo_table *t, PyObject *key, PyObject *value, uint32_t *hash
    ) noexcept
    int raudo_visit(const raudo_table *t, visitproc visit, void *arg) noexcept

cdef extern from "entry/clock.h":
    int64_t raudo_now_ns() noexcept
    bint raudo_has_passed(int64_t at_ns) noexcept

cdef extern from "table/expiry.h":
    int raudo_expiry_reserve(raudo_expiry *x, uint32_t n) noexcept
    void raudo_expiry_remove(raudo_expiry *x, uint32_t slot) noexcept
    void raudo_expiry_add(raudo_expiry *x, uint32_t slot, int64_t at_ns) noexcept
    void raudo_expiry_free(raudo_expiry *x) noexcept

cdef enum:
    CAPACITY = 0
    EXPIRED = 1
    REPLACED = 2
    REMOVED = 3
    BATCH = 16  # length of Batch.items
    SWEEP = 4  # expired entries that one insert clears away at the most
    DONE = 0
    AGAIN = 1
    KEYS = 0
    VALUES = 1

cdef tuple REASONS = ("capacity", "expired", "replaced", "removed")
cdef int64_t NEVER = 0  # as a time of expiry
cdef int64_t OWN_TTL = -1  # as a time to live: the cache's
cdef uint64_t NO_WEIGHT_LIMIT = <uint64_t>-1
cdef object MISSING = object()


cdef int64_t ttl_to_ns(object ttl) except? -1:
    """Nanoseconds; NEVER for infinity, OWN_TTL for None."""
    if ttl is None:
        return OWN_TTL
    cdef double seconds
    try:
        seconds = ttl
    except TypeError:
        raise TypeError(f"ttl: wanted seconds as a number, got {ttl!r}") from None
    if isnan(seconds) or seconds <= 0:
        raise ValueError(f"ttl: wanted seconds > 0, got {ttl!r}")
    if seconds > 4e9:  # over a century, and infinity
        return NEVER
    return max(<int64_t>(seconds * 1e9), 1)


cdef uint64_t entries_bound(object maxsize) except? 0:
    if maxsize is None:
        return MAX_ENTRIES
    if isinstance(maxsize, bool) or not hasattr(type(maxsize), "__index__"):
        raise TypeError(f"maxsize: wanted a whole number or None, got {maxsize!r}")
    if maxsize < 0:
        raise ValueError(f"maxsize: wanted a number >= 0 or None, got {maxsize!r}")
    return min(maxsize, MAX_ENTRIES)


cdef class Cache:
    def __init__(
        self,
        maxsize,
        *,
        strategy="adaptive",
        ttl=None,
        max_weight=None,
        weigher=None,
        on_evict=None,
        timer=None,
    ):
        if self._policy.name is not None:
            raise RuntimeError("Cache.__init__ was called twice on the same object")
        self.max_entries = entries_bound(maxsize)
        cdef int64_t ttl_ns = ttl_to_ns(ttl)
        self.ttl_ns = max(ttl_ns, 0)
        for name, value in (("weigher", weigher), ("on_evict", on_evict), ("timer", timer)):
            if value is not None and not callable(value):
                raise TypeError(f"{name}: wanted a callable or None, got {value!r}")
        if max_weight is not None:
            if weigher is None:
                raise ValueError("max_weight: needs a weigher, got none")
            if isinstance(max_weight, bool) or not hasattr(type(max_weight), "__index__"):
                raise TypeError(f"max_weight: wanted a whole number or None, got {max_weight!r}")
            if not 0 <= max_weight < 2**63:
                raise ValueError(f"max_weight: wanted 0 <= max_weight < 2**63, got {max_weight!r}")
        self.max_total_weight = NO_WEIGHT_LIMIT if max_weight is None else max_weight
        self._weigher = weigher
        self._listener = on_evict
        self._timer = timer
        self.t.has_timer = timer is not None
        self.loads = {}
        cdef Policy policy = make_policy(strategy)
        policy.attach(&self.t, self.max_entries)
        self._policy = policy
        self.is_soonest_first = policy.name == "ttl"
        if isinstance(policy, PythonPolicy):
            self.guard = threading.RLock()
        self.t.is_plain = (
            weigher is None and on_evict is None and self.ttl_ns == 0 and self.guard is None
        )

    def __cinit__(self):
        # Until __init__ the bound is 0 and nothing can be stored.
        self.t.free_head = NO_SLOT
        self._policy = Policy()
        self._policy.attach(&self.t, 0)

    def __dealloc__(self):
        self._policy.t = NULL
        free_table(self)

    # --- looking up ---

    cdef PyObject *lookup(self, PyObject *key) except? NULL:
        cdef uint32_t hash
        raudo_hash(key, &hash)
        return self.lookup_hashed(key, hash)

    cdef PyObject *lookup_hashed(self, PyObject *key, uint32_t hash) except? NULL:
        cdef PyObject *value
        cdef Batch gone
        gone.n = 0
        if self.guard is None:
            value = self.locate(key, hash, &gone)
        else:
            self.enter()
            try:
                value = self.locate(key, hash, &gone)
            finally:
                self.leave()
        if gone.n:
            self.settle(&gone)
        return value

    cdef PyObject *glance(self, PyObject *key) except? NULL:
        """Find a live value without counting or touching."""
        cdef uint32_t hash
        raudo_hash(key, &hash)
        return self.locate(key, hash, NULL)

    cdef PyObject *locate(self, PyObject *key, uint32_t hash, Batch *gone) except? NULL:
        """Find a live value. Counts it, tells the policy and drops what has expired, unless `gone`
        is NULL."""
        cdef int64_t now = 0
        cdef bint touches = gone != NULL
        if self._timer is not None:
            now = self.now_for_checks()
        cdef slot_t slot = raudo_find(&self.t, key, hash)
        if slot == NO_SLOT:
            self.t.n_misses += touches
            return NULL
        cdef raudo_entry *e = &self.t.entries[slot]
        if e.meta & HAS_EXPIRY and self.is_past(slot, now):
            if touches:
                self.t.n_misses += 1
                self.take_out(slot, EXPIRED, gone)
            return NULL
        cdef PyObject *value = <PyObject *>e.value
        Py_INCREF(value)
        if touches:
            self.t.n_hits += 1
            if raudo_hit(&self.t, slot):
                self._policy.on_hit(slot)
        return value

    def __getitem__(self, key):
        cdef PyObject *value = self.lookup(<PyObject *>key)
        if value == NULL:
            raise KeyError(key)
        result = <object>value
        Py_DECREF(value)
        return result

    def __contains__(self, key):
        cdef PyObject *value = self.glance(<PyObject *>key)
        if value == NULL:
            return False
        Py_DECREF(value)
        return True

    def peek(self, key, default=None, /):
        cdef PyObject *value = self.glance(<PyObject *>key)
        if value == NULL:
            return default
        result = <object>value
        Py_DECREF(value)
        return result

    def get_many(self, keys, /):
        cdef dict found = {}
        cdef PyObject *value
        for key in keys:
            value = self.lookup(<PyObject *>key)
            if value != NULL:
                try:
                    PyDict_SetItem(found, <PyObject *>key, value)
                finally:
                    Py_DECREF(value)
        return found

    # --- storing ---

    cdef int store(self, PyObject *key, PyObject *value, int64_t ttl_ns) except -1:
        cdef uint32_t hash
        raudo_hash(key, &hash)
        return self.store_hashed(key, value, hash, ttl_ns)

    cdef int store_hashed(
        self, PyObject *key, PyObject *value, uint32_t hash, int64_t ttl_ns
    ) except -1:
        cdef uint32_t weight = 1
        cdef int64_t now = 0, at_ns = NEVER
        if self._weigher is not None:
            weight = self.weigh(key, value)
        if ttl_ns == OWN_TTL:
            ttl_ns = self.ttl_ns
        if ttl_ns or self.t.expiry.length:
            now = self.read_timer()
            if ttl_ns:
                at_ns = now + ttl_ns
        cdef Batch gone
        cdef int outcome = AGAIN
        while outcome == AGAIN:
            gone.n = 0
            if self.guard is None:
                outcome = self.place(key, value, hash, at_ns, weight, now, &gone)
                if gone.n == 1 and self._listener is None:  # a full cache's every insert
                    Py_DECREF(gone.items[0].key)
                    Py_DECREF(gone.items[0].value)
                elif gone.n:
                    self.settle(&gone)
                continue
            try:
                self.enter()
                try:
                    outcome = self.place(key, value, hash, at_ns, weight, now, &gone)
                finally:
                    self.leave()
            finally:
                self.settle(&gone)
        return 0

    cdef int place(
        self, PyObject *key, PyObject *value, uint32_t hash, int64_t at_ns, uint32_t weight,
        int64_t now, Batch *gone,
    ) except -1:
        """Store, as far as one batch of leavers reaches: DONE, or AGAIN once they are settled."""
        cdef slot_t slot = raudo_find(&self.t, key, hash)
        cdef raudo_entry *e
        cdef uint32_t old_weight
        cdef int swept = 0
        if slot != NO_SLOT:
            e = &self.t.entries[slot]
            old_weight = 1 if self.weights == NULL else self.weights[slot]
            if e.meta & HAS_EXPIRY and self.is_past(slot, now):
                self.take_out(slot, EXPIRED, gone)
            elif weight > old_weight and (
                self.total_weight - old_weight + weight > self.max_total_weight
            ):
                # Others may have to leave for it: it leaves first and comes back as the newest, so
                # that it cannot be the victim.
                self.take_out(slot, REPLACED, gone)
            else:
                self.set_expiry(slot, at_ns)
                e = &self.t.entries[slot]
                Py_INCREF(<PyObject *>e.key)
                gone.items[0] = Gone(<PyObject *>e.key, <PyObject *>e.value, REPLACED)
                gone.n = 1
                Py_INCREF(value)
                e.value = value
                self.t.n_updates += 1
                self.total_weight += <int64_t>weight - <int64_t>old_weight
                if self.weights != NULL:
                    self.weights[slot] = weight
                if raudo_hit(&self.t, slot):
                    self._policy.on_hit(slot)
                return DONE
        if self.max_entries == 0 or weight > self.max_total_weight:
            Py_INCREF(key)
            Py_INCREF(value)
            gone.items[gone.n] = Gone(key, value, CAPACITY)
            gone.n += 1
            self.n_refused += 1
            return DONE
        while (
            swept < SWEEP
            and self.t.expiry.length
            and self.is_past(self.t.expiry.heap[0].slot, now)
        ):
            self.take_out(self.t.expiry.heap[0].slot, EXPIRED, gone)
            swept += 1
        while (
            self.t.n_live >= self.max_entries
            or self.total_weight + weight > self.max_total_weight
        ):
            if gone.n == BATCH:
                return AGAIN
            slot = self.choose()
            if self.t.entries[slot].meta & HAS_EXPIRY and self.is_past(slot, now):
                self.take_out(slot, EXPIRED, gone)
            else:
                self.take_out(slot, CAPACITY, gone)
        try:
            self.admit(key, value, hash, at_ns, weight)
        except BaseException:
            self.settle(gone)
            gone.n = 0
            raise
        return DONE

    cdef int admit(
        self, PyObject *key, PyObject *value, uint32_t hash, int64_t at_ns, uint32_t weight
    ) except -1:
        """Make a new entry; there is room for it and the key is not there."""
        cdef slot_t slot
        cdef raudo_entry *e
        cdef uint32_t *grown
        if raudo_reserve(&self.t, self.max_entries) < 0:
            raise MemoryError
        if self._weigher is not None and self.n_weights < self.t.n_allocated:
            grown = <uint32_t *>realloc(self.weights, self.t.n_allocated * sizeof(uint32_t))
            if grown == NULL:
                raise MemoryError
            self.weights = grown
            self.n_weights = self.t.n_allocated
        if at_ns != NEVER and raudo_expiry_reserve(&self.t.expiry, self.t.n_allocated) < 0:
            raise MemoryError
        slot = raudo_take(&self.t)
        e = &self.t.entries[slot]
        Py_INCREF(key)
        Py_INCREF(value)
        e.key = key
        e.value = value
        e.hash = hash
        e.meta = 0
        raudo_index_insert(&self.t, hash, slot)
        self.t.n_live += 1
        self.t.version += 1
        self.total_weight += weight
        if self._weigher is not None:
            self.weights[slot] = weight
        self.n_inserts += 1
        if at_ns != NEVER:
            self.set_expiry(slot, at_ns)
        try:
            self._policy.on_insert(slot, weight)
        except BaseException:
            self.forget(slot)
            Py_DECREF(key)  # the caller still holds both
            Py_DECREF(value)
            self.n_inserts -= 1
            raise
        return 0

    cdef void forget(self, slot_t slot) noexcept:
        """Take the entry off all books but the policy's; its references are the caller's now."""
        cdef raudo_entry *e = &self.t.entries[slot]
        if e.meta & HAS_EXPIRY:
            raudo_expiry_remove(&self.t.expiry, slot)
        raudo_index_remove(&self.t, e.hash, slot)
        self.total_weight -= 1 if self.weights == NULL else self.weights[slot]
        self.t.n_live -= 1
        self.t.version += 1
        raudo_give_back(&self.t, slot)

    cdef int take_out(self, slot_t slot, int reason, Batch *gone) noexcept:
        """Move an entry from the table to `gone`, which has room for it."""
        cdef raudo_entry *e = &self.t.entries[slot]
        gone.items[gone.n] = Gone(<PyObject *>e.key, <PyObject *>e.value, reason)
        gone.n += 1
        if reason == CAPACITY:
            self.n_evictions += 1
            self._policy.on_evict(slot)
        else:
            if reason == EXPIRED:
                self.n_expirations += 1
            elif reason == REMOVED:
                self.n_removals += 1
            else:
                self.t.n_updates += 1
                self.n_inserts -= 1  # comes back as an insert
            self._policy.on_remove(slot)
        self.forget(slot)
        return 0

    cdef slot_t choose(self) except? 0xFFFFFFFF:
        if self.is_soonest_first and self.t.expiry.length:
            return self.t.expiry.heap[0].slot
        return self._policy.victim()

    cdef int settle(self, Batch *gone) except -1:
        """Tell the listener of what left and drop it; an exception under way stays."""
        cdef PyObject *kind = NULL
        cdef PyObject *error = NULL
        cdef PyObject *trace = NULL
        cdef int i
        if gone.n == 0:
            return 0
        PyErr_Fetch(&kind, &error, &trace)
        for i in range(gone.n):
            if self._listener is not None:
                try:
                    self._listener(
                        <object>gone.items[i].key,
                        <object>gone.items[i].value,
                        REASONS[gone.items[i].reason],
                    )
                except BaseException as raised:
                    report_unraisable(raised, self._listener)
            Py_DECREF(gone.items[i].key)
            Py_DECREF(gone.items[i].value)
        gone.n = 0
        PyErr_Restore(kind, error, trace)
        return 0

    cdef int put(self, PyObject *key, PyObject *value) except -1:
        """Store with the cache's own ttl."""
        cdef uint32_t hash
        cdef raudo_store_state state = raudo_quick_set(&self.t, key, value, &hash)
        if state == RAUDO_STORED:
            return 0
        if state == RAUDO_STORE_ABSENT and self.t.expiry.length == 0:
            return self.put_new(key, value, hash)
        return self.store(key, value, OWN_TTL)

    cdef int put_new(self, PyObject *key, PyObject *value, uint32_t hash) except -1:
        """Store a key that is not there in a plain cache without expiries: `place` cut short."""
        cdef slot_t slot
        cdef raudo_entry *e
        cdef PyObject *old_key
        cdef PyObject *old_value
        if self.t.n_live < self.max_entries or self.max_entries == 0:
            if self.max_entries == 0:
                self.n_refused += 1
                return 0
            return self.admit(key, value, hash, NEVER, 1)
        slot = self._policy.victim()
        e = &self.t.entries[slot]
        self._policy.on_evict(slot)
        raudo_index_remove(&self.t, e.hash, slot)
        old_key, old_value = <PyObject *>e.key, <PyObject *>e.value
        Py_INCREF(key)
        Py_INCREF(value)
        e.key = key
        e.value = value
        e.hash = hash
        e.meta = 0
        raudo_index_insert(&self.t, hash, slot)
        self.t.version += 1
        self.n_evictions += 1
        self.n_inserts += 1
        try:
            self._policy.on_insert(slot, 1)
        except BaseException:
            self.forget(slot)
            Py_DECREF(key)
            Py_DECREF(value)
            raise
        finally:
            Py_DECREF(old_key)
            Py_DECREF(old_value)
        return 0

    def __setitem__(self, key, value):
        self.put(<PyObject *>key, <PyObject *>value)

    def set_many(self, mapping, ttl=None):
        cdef int64_t ttl_ns = ttl_to_ns(ttl)
        pairs = mapping.items() if isinstance(mapping, Mapping) else mapping
        for key, value in pairs:
            self.store(<PyObject *>key, <PyObject *>value, ttl_ns)

    def setdefault(self, key, default=None):
        cdef PyObject *found = self.lookup(<PyObject *>key)
        if found != NULL:
            result = <object>found
            Py_DECREF(found)
            return result
        self.store(<PyObject *>key, <PyObject *>default, OWN_TTL)
        return default

    def update(self, other=(), /, **more):
        if isinstance(other, Mapping):
            self.set_many(other)
        elif hasattr(other, "keys"):
            for key in other.keys():
                self[key] = other[key]
        else:
            self.set_many(other)
        if more:
            self.set_many(more)

    # --- taking out ---

    cdef int discard(self, object key, int reason, PyObject **value) except -1:
        """Take the key's entry out; 1 and a new reference in `value`, or 0 where there is none."""
        cdef uint32_t hash
        cdef Batch gone
        cdef int64_t now
        cdef slot_t slot
        cdef bint is_there = False
        raudo_hash(<PyObject *>key, &hash)
        gone.n = 0
        self.enter()
        try:
            now = self.now_for_checks()
            slot = raudo_find(&self.t, <PyObject *>key, hash)
            if slot != NO_SLOT:
                if self.t.entries[slot].meta & HAS_EXPIRY and self.is_past(slot, now):
                    self.take_out(slot, EXPIRED, &gone)
                else:
                    is_there = True
                    value[0] = <PyObject *>self.t.entries[slot].value
                    Py_INCREF(value[0])
                    self.take_out(slot, reason, &gone)
        finally:
            self.leave()
        self.settle(&gone)
        return is_there

    def __delitem__(self, key):
        cdef PyObject *value = NULL
        if not self.discard(key, REMOVED, &value):
            raise KeyError(key)
        Py_DECREF(value)

    def pop(self, key, default=MISSING, /):
        cdef PyObject *value = NULL
        if self.discard(key, REMOVED, &value):
            result = <object>value
            Py_DECREF(value)
            return result
        if default is MISSING:
            raise KeyError(key)
        return default

    def popitem(self):
        """Remove and return the pair that would be evicted next; KeyError when empty."""
        cdef Batch gone
        cdef slot_t slot
        cdef int64_t now
        result = None
        while result is None:
            gone.n = 0
            self.enter()
            try:
                now = self.now_for_checks()
                if self.t.n_live == 0:
                    raise KeyError("popitem(): the cache is empty")
                slot = self.choose()
                if self.t.entries[slot].meta & HAS_EXPIRY and self.is_past(slot, now):
                    self.take_out(slot, EXPIRED, &gone)
                else:
                    self.take_out(slot, REMOVED, &gone)
                    result = (<object>gone.items[0].key, <object>gone.items[0].value)
            finally:
                self.leave()
            self.settle(&gone)
        return result

    def clear(self):
        """Remove all entries; each is reported as removed."""
        cdef Batch gone
        cdef slot_t slot = 0
        gone.n = 0
        while True:
            self.enter()
            try:
                while slot < self.t.n_entries and gone.n < BATCH:
                    if self.t.entries[slot].key != NULL:
                        self.take_out(slot, REMOVED, &gone)
                    slot += 1
            finally:
                self.leave()
            if gone.n == 0:
                break
            self.settle(&gone)
        if self.t.n_live == 0:
            free_table(self)
            self._policy.reset()

    def expire(self):
        """Drop all that has expired and return how many; costs what there is to drop."""
        cdef Batch gone
        cdef int64_t now
        cdef Py_ssize_t n = 0
        gone.n = 0
        while True:
            self.enter()
            try:
                now = self.now_for_checks()
                while (
                    gone.n < BATCH
                    and self.t.expiry.length
                    and self.is_past(self.t.expiry.heap[0].slot, now)
                ):
                    self.take_out(self.t.expiry.heap[0].slot, EXPIRED, &gone)
            finally:
                self.leave()
            if gone.n == 0:
                return n
            n += gone.n
            self.settle(&gone)

    def resize(self, maxsize):
        cdef uint64_t bound = entries_bound(maxsize)
        cdef Batch gone
        gone.n = 0
        self.max_entries = bound
        while True:
            self.enter()
            try:
                while gone.n < BATCH and self.t.n_live > self.max_entries:
                    self.take_out(self.choose(), CAPACITY, &gone)
                if gone.n == 0:
                    self._policy.resize(self.max_entries)
            finally:
                self.leave()
            if gone.n == 0:
                return
            self.settle(&gone)

    # --- expiry ---

    cdef int64_t read_timer(self) except? -1:
        if self._timer is None:
            return raudo_now_ns()
        return <int64_t>(<double>self._timer() * 1e9)

    cdef int64_t now_for_checks(self) except? -1:
        """The time for `is_past`; the system's clock is read there, where it is needed."""
        if self._timer is None or self.t.expiry.length == 0:
            return 0
        return self.read_timer()

    cdef bint is_past(self, slot_t slot, int64_t now) noexcept:
        if self._timer is None:
            return raudo_has_passed(self.t.expiry.at_ns[slot])
        return now >= self.t.expiry.at_ns[slot]

    cdef int set_expiry(self, slot_t slot, int64_t at_ns) except -1:
        cdef raudo_entry *e = &self.t.entries[slot]
        if at_ns != NEVER and raudo_expiry_reserve(&self.t.expiry, self.t.n_allocated) < 0:
            raise MemoryError
        if e.meta & HAS_EXPIRY:
            raudo_expiry_remove(&self.t.expiry, slot)
            e.meta &= ~HAS_EXPIRY
        if at_ns != NEVER:
            raudo_expiry_add(&self.t.expiry, slot, at_ns)
            e.meta |= HAS_EXPIRY
        return 0

    def expires_in(self, key, /):
        cdef uint32_t hash
        raudo_hash(<PyObject *>key, &hash)
        cdef int64_t now = self.read_timer()
        cdef slot_t slot = raudo_find(&self.t, <PyObject *>key, hash)
        if slot == NO_SLOT:
            raise KeyError(key)
        if not self.t.entries[slot].meta & HAS_EXPIRY:
            return None
        cdef int64_t left = self.t.expiry.at_ns[slot] - now
        if left <= 0:
            raise KeyError(key)
        return left / 1e9

    def touch(self, key, ttl=None):
        cdef uint32_t hash
        cdef int64_t ttl_ns = ttl_to_ns(ttl)
        raudo_hash(<PyObject *>key, &hash)
        cdef int64_t now = self.read_timer()
        cdef slot_t slot
        if ttl_ns == OWN_TTL:
            ttl_ns = self.ttl_ns
        self.enter()
        try:
            slot = raudo_find(&self.t, <PyObject *>key, hash)
            if slot == NO_SLOT or (
                self.t.entries[slot].meta & HAS_EXPIRY and now >= self.t.expiry.at_ns[slot]
            ):
                return False
            self.set_expiry(slot, now + ttl_ns if ttl_ns else NEVER)
            if raudo_hit(&self.t, slot):
                self._policy.on_hit(slot)
        finally:
            self.leave()
        return True

    # --- loading ---

    def get_or_load(self, key, loader, ttl=None):
        cdef int64_t ttl_ns = ttl_to_ns(ttl)
        cdef PyObject *found = self.lookup(<PyObject *>key)
        if found != NULL:
            value = <object>found
            Py_DECREF(found)
            return value
        mine = Load()
        while True:
            load = self.loads.setdefault(key, mine)
            if load is mine or not load.may_be_awaited():
                break
            if load.wait():
                return load.result()
        if load is mine:
            # Another thread's load may have ended between the miss and here.
            found = self.glance(<PyObject *>key)
            if found != NULL:
                self.loads.pop(key, None)
                value = <object>found
                Py_DECREF(found)
                mine.finish(value)
                return value
        try:
            value = loader(key)
            self.store(<PyObject *>key, <PyObject *>value, ttl_ns)
        except BaseException as error:
            mine.fail(error)
            raise
        else:
            mine.finish(value)
            return value
        finally:
            if load is mine:
                self.loads.pop(key, None)

    # --- whole ---

    def __len__(self):
        return self.t.n_live

    cdef list snapshot(self, int what):
        """Keys or values of this moment in the policy's order, without what has expired."""
        cdef slot_t *order = NULL
        cdef Py_ssize_t n = 0, i
        cdef uint64_t version
        cdef int64_t now
        cdef slot_t slot
        cdef list result
        cdef PyObject *item
        self.enter()
        try:
            while True:
                # Allocating may run the garbage collector, and so anything: look again after it.
                version = self.t.version
                n = self.t.n_live
                PyMem_Free(order)
                order = <slot_t *>PyMem_Malloc((n + 1) * sizeof(slot_t))
                if order == NULL:
                    raise MemoryError
                now = self.now_for_checks()
                result = PyList_New(n)
                if version == self.t.version:
                    break
                for i in range(n):  # an empty place must not be seen
                    INCREF_OBJECT(None)
                    PyList_SET_ITEM(result, i, None)
            self.walk(order)
            i = 0
            for j in range(n):
                slot = order[j]
                item = <PyObject *>(
                    self.t.entries[slot].key if what == KEYS else self.t.entries[slot].value
                )
                if self.t.entries[slot].meta & HAS_EXPIRY and self.is_past(slot, now):
                    continue
                INCREF_OBJECT(<object>item)
                PyList_SET_ITEM(result, i, <object>item)
                i += 1
            for j in range(i, n):
                INCREF_OBJECT(None)
                PyList_SET_ITEM(result, j, None)
            del result[i:]
        finally:
            self.leave()
            PyMem_Free(order)
        return result

    cdef void walk(self, slot_t *order) noexcept:
        self._policy.walk(order)

    def __iter__(self):
        return iter(self.snapshot(KEYS))

    def __reversed__(self):
        return reversed(self.snapshot(KEYS))

    def keys(self):
        return KeysView(self)

    def values(self):
        return SnapshotValues(self)

    def items(self):
        return SnapshotItems(self)

    def __eq__(self, other):
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    def __repr__(self):
        return (
            f"{type(self).__name__}(maxsize={self.maxsize}, strategy={self.strategy!r}, "
            f"size={self.t.n_live})"
        )

    @classmethod
    def __class_getitem__(cls, item):
        return GenericAlias(cls, item)

    @property
    def maxsize(self):
        return None if self.max_entries == MAX_ENTRIES else self.max_entries

    @property
    def max_weight(self):
        return None if self.max_total_weight == NO_WEIGHT_LIMIT else self.max_total_weight

    @property
    def weight(self):
        return self.total_weight

    @property
    def ttl(self):
        return self.ttl_ns / 1e9 if self.ttl_ns else None

    @property
    def strategy(self):
        return self._policy.name

    @property
    def policy(self):
        return (<PythonPolicy>self._policy).wrapped if isinstance(
            self._policy, PythonPolicy
        ) else self._policy

    def stats(self):
        cdef uint64_t requests = self.t.n_hits + self.t.n_misses
        return {
            "hits": self.t.n_hits,
            "misses": self.t.n_misses,
            "hit_rate": self.t.n_hits / <double>requests if requests else 0.0,
            "size": self.t.n_live,
            "maxsize": self.maxsize,
            "weight": self.total_weight,
            "max_weight": self.max_weight,
            "inserts": self.n_inserts,
            "updates": self.t.n_updates,
            "evictions": self.n_evictions,
            "expirations": self.n_expirations,
            "removals": self.n_removals,
            "refused": self.n_refused,
            "strategy": self.strategy,
        }

    def reset_stats(self):
        self.t.n_hits = self.t.n_misses = 0
        self.n_inserts = self.t.n_updates = self.n_evictions = 0
        self.n_expirations = self.n_removals = self.n_refused = 0

    def __sizeof__(self):
        cdef size_t size = type(self).__basicsize__
        size += self.t.n_allocated * sizeof(raudo_entry)
        size += <size_t>self.t.n_words * sizeof(uint64_t)
        size += self.n_weights * sizeof(uint32_t)
        size += self.t.expiry.n_allocated * (
            sizeof(int64_t) + sizeof(uint32_t) + sizeof(raudo_expiry_node)
        )
        return size + self._policy.memory()

    def __reduce__(self):
        # A compiled policy travels by its name and starts afresh; a Python one travels itself.
        strategy = (
            (<PythonPolicy>self._policy).wrapped
            if isinstance(self._policy, PythonPolicy)
            else self.strategy
        )
        settings = {
            "strategy": strategy,
            "ttl": self.ttl,
            "max_weight": self.max_weight,
            "weigher": self._weigher,
            "on_evict": self._listener,
            "timer": self._timer,
        }
        entries = []
        for key, value in self.items():
            try:
                left = self.expires_in(key)
            except KeyError:
                continue
            entries.append((key, value, left))
        return revive, (type(self), self.maxsize, settings, entries, getattr(self, "__dict__", None))

    def copy(self):
        return self.__copy__()

    def __copy__(self):
        make, args = self.__reduce__()
        strategy = args[2]["strategy"]
        if not isinstance(strategy, str):
            import copy

            args[2]["strategy"] = copy.deepcopy(strategy)
        return make(*args)

    # --- the lock of Python policies ---

    cdef int enter(self) except -1:
        if self.guard is None:
            return 0
        self.guard.acquire()
        if (<PythonPolicy>self._policy).is_calling:
            self.guard.release()
            raise RuntimeError(
                f"policy {self.strategy!r} called back into the cache that it serves"
            )
        return 0

    cdef int leave(self) except -1:
        if self.guard is not None:
            self.guard.release()
        return 0

    cdef uint32_t weigh(self, PyObject *key, PyObject *value) except? 0xFFFFFFFF:
        weight = self._weigher(<object>key, <object>value)
        if isinstance(weight, bool) or not hasattr(type(weight), "__index__"):
            raise TypeError(f"weigher: wanted a whole number, got {weight!r}")
        if not 0 <= weight < 2**32 - 1:
            raise ValueError(f"weigher: wanted 0 <= weight < 2**32 - 1, got {weight!r}")
        return weight


class Load:
    """One load under way: the thread that runs it, and what the others wait for."""

    waiting = {}  # thread -> the load it waits for, over all caches

    def __init__(self):
        self.owner = threading.get_ident()
        self.done = threading.Event()
        self.value = self.error = None

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
        while load is not None:
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
        if self.error is not None:
            raise self.error
        return self.value


class SnapshotValues(ValuesView):
    """The values of the moment that iteration starts; reading them does not touch."""

    __slots__ = ()

    def __iter__(self):
        return iter((<Cache>self._mapping).snapshot(VALUES))

    def __contains__(self, value):
        return any(each is value or each == value for each in self)


class SnapshotItems(ItemsView):
    """The pairs of the moment that iteration starts; reading them does not touch."""

    __slots__ = ()

    def __iter__(self):
        cdef Cache cache = self._mapping
        cdef uint64_t version
        while True:
            version = cache.t.version
            keys = cache.snapshot(KEYS)
            values = cache.snapshot(VALUES)
            if version == cache.t.version and len(keys) == len(values):
                return iter(list(zip(keys, values)))

    def __contains__(self, item):
        key, value = item
        found = self._mapping.peek(key, MISSING)
        return found is value or (found is not MISSING and found == value)


def revive(kind, maxsize, settings, entries, attributes):
    """Make a cache of what `Cache.__reduce__` gave."""
    cdef Cache cache = kind.__new__(kind)
    Cache.__init__(cache, maxsize, **settings)
    for key, value, left in entries:
        cache.store(<PyObject *>key, <PyObject *>value, NEVER if left is None else ttl_to_ns(left))
    cache.n_inserts = 0
    if attributes:
        cache.__dict__.update(attributes)
    return cache


# --- what the garbage collector needs to know of the entries ---

cdef void free_table(Cache cache) noexcept:
    """Drop all entries and memory. The table is empty before the first object is dropped."""
    cdef raudo_entry *entries = cache.t.entries
    cdef uint32_t slot, n = cache.t.n_entries
    cache.t.entries = NULL
    cache.t.n_entries = cache.t.n_allocated = cache.t.n_live = 0
    cache.t.free_head = NO_SLOT
    cache.t.version += 1
    free(cache.t.index)
    cache.t.index = NULL
    cache.t.n_words = cache.t.n_blocks = 0
    raudo_list_reset(&cache.t.order)
    raudo_expiry_free(&cache.t.expiry)
    free(cache.weights)
    cache.weights = NULL
    cache.n_weights = 0
    cache.total_weight = 0
    for slot in range(n):
        if entries[slot].key != NULL:
            Py_DECREF(<PyObject *>entries[slot].key)
            Py_DECREF(<PyObject *>entries[slot].value)
    free(entries)


cdef extern from *:
    """
    #define raudo_get_traverse(type) ((type)->tp_traverse)
    #define raudo_set_traverse(type, fn) ((type)->tp_traverse = (traverseproc)(fn))
    #define raudo_set_subscript(type, fn) ((type)->tp_as_mapping->mp_subscript = (binaryfunc)(fn))
    #define raudo_set_clear(type, fn) ((type)->tp_clear = (inquiry)(fn))
    """
    traverseproc raudo_get_traverse(PyTypeObject *type) noexcept
    void raudo_set_traverse(PyTypeObject *type, void *fn) noexcept
    void raudo_set_clear(PyTypeObject *type, void *fn) noexcept
    void raudo_set_subscript(PyTypeObject *type, void *fn) noexcept


cdef traverseproc traverse_members = raudo_get_traverse(<PyTypeObject *>Cache)


cdef int traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    cdef int stop = traverse_members(self, visit, arg)
    return stop if stop else raudo_visit(&(<Cache>self).t, visit, arg)


cdef int clear_all(PyObject *self) noexcept:
    """Break cycles, and leave a cache that is empty, stays so, and is safe to call."""
    cdef Cache cache = <Cache>self
    cache.max_entries = 0
    cache._listener = cache._weigher = cache._timer = None
    free_table(cache)
    try:
        cache._policy.reset()
    except BaseException as error:
        report_unraisable(error, cache._policy)
    return 0


# --- entry points by hand: Cython's argument handling costs 12-16 ns, a third of a hit ---

cdef PyObject *fast_get(
    PyObject *self, PyObject **args, Py_ssize_t n_args, PyObject *names
) except NULL:
    cdef PyObject *value
    cdef PyObject *default = Py_None
    cdef PyObject *key = NULL
    if names == NULL and (n_args == 1 or n_args == 2):
        key = args[0]
        if n_args == 2:
            default = args[1]
    else:
        parse_get(args, n_args, names, &key, &default)
    value = raudo_quick_get(&(<Cache>self).t, key)
    if value == RAUDO_UNSURE:
        value = (<Cache>self).lookup(key)
    if value == NULL:
        value = default
        Py_INCREF(value)
    return value


cdef PyObject *fast_subscript(PyObject *self, PyObject *key) except NULL:
    cdef PyObject *value = raudo_quick_get(&(<Cache>self).t, key)
    if value == RAUDO_UNSURE:
        value = (<Cache>self).lookup(key)
    if value == NULL:
        raise KeyError(<object>key)
    return value


cdef int parse_get(
    PyObject **args, Py_ssize_t n_args, PyObject *names, PyObject **key, PyObject **default
) except -1:
    cdef Py_ssize_t i, n_names = PyTuple_GET_SIZE(names) if names != NULL else 0
    cdef PyObject *name
    if n_args > 2:
        raise TypeError(f"get() takes 1 or 2 arguments, got {n_args + n_names}")
    if n_args > 0:
        key[0] = args[0]
    if n_args > 1:
        default[0] = args[1]
    for i in range(n_names):
        name = PyTuple_GET_ITEM(names, i)
        if PyUnicode_CompareWithASCIIString(name, b"key") == 0 and n_args < 1:
            key[0] = args[n_args + i]
        elif PyUnicode_CompareWithASCIIString(name, b"default") == 0 and n_args < 2:
            default[0] = args[n_args + i]
        else:
            raise TypeError(f"get() got an unexpected or repeated argument {<object>name!r}")
    if key[0] == NULL:
        raise TypeError("get() missing the argument 'key'")
    return 0


cdef PyObject *fast_set(
    PyObject *self, PyObject **args, Py_ssize_t n_args, PyObject *names
) except NULL:
    cdef int64_t ttl_ns = OWN_TTL
    if names == NULL and (n_args == 2 or n_args == 3):
        if n_args == 3:
            ttl_ns = ttl_to_ns(<object>args[2])
        if ttl_ns == OWN_TTL:
            (<Cache>self).put(args[0], args[1])
        else:
            (<Cache>self).store(args[0], args[1], ttl_ns)
    else:
        set_by_name(<Cache>self, args, n_args, names)
    Py_INCREF(Py_None)
    return Py_None


cdef int set_by_name(Cache self, PyObject **args, Py_ssize_t n_args, PyObject *names) except -1:
    cdef Py_ssize_t i, n_names = PyTuple_GET_SIZE(names) if names != NULL else 0
    given = dict(zip(("key", "value", "ttl"), [<object>args[i] for i in range(min(n_args, 3))]))
    if n_args > 3:
        raise TypeError(f"set() takes 2 or 3 arguments, got {n_args + n_names}")
    for i in range(n_names):
        name = <object>PyTuple_GET_ITEM(names, i)
        if name not in ("key", "value", "ttl") or name in given:
            raise TypeError(f"set() got an unexpected or repeated argument {name!r}")
        given[name] = <object>args[n_args + i]
    for name in ("key", "value"):
        if name not in given:
            raise TypeError(f"set() missing the argument {name!r}")
    key, value = given["key"], given["value"]
    return self.store(<PyObject *>key, <PyObject *>value, ttl_to_ns(given.get("ttl")))


cdef PyMethodDef GET = PyMethodDef(
    b"get",
    <void *>fast_get,
    METH_FASTCALL | METH_KEYWORDS,
    b"get($self, key, default=None)\n--\n\nReturn the value, or the default on a miss.",
)
cdef PyMethodDef SET = PyMethodDef(
    b"set",
    <void *>fast_set,
    METH_FASTCALL | METH_KEYWORDS,
    b"set($self, key, value, ttl=None)\n--\n\n"
    b"Store a value for `ttl` seconds (None: the cache's own ttl; `math.inf`: for ever).",
)

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030C0000
    #define raudo_type_dict(type) PyType_GetDict(type)
    #else
    #define raudo_type_dict(type) Py_NewRef((type)->tp_dict)
    #endif
    """
    object raudo_type_dict(PyTypeObject *type)

cdef int install(PyMethodDef *method) except -1:
    method_object = PyDescr_NewMethod(<PyTypeObject *>Cache, method)
    raudo_type_dict(<PyTypeObject *>Cache)[method.ml_name.decode()] = method_object
    return 0


install(&GET)
install(&SET)
raudo_set_traverse(<PyTypeObject *>Cache, <void *>traverse)
raudo_set_clear(<PyTypeObject *>Cache, <void *>clear_all)
raudo_set_subscript(<PyTypeObject *>Cache, <void *>fast_subscript)
PyType_Modified(<PyTypeObject *>Cache)
MutableMapping.register(Cache)
