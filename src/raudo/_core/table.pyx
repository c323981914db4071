# cython: binding=False
"""`Table`: what every operation of a cache is made of. Bookkeeping here, order in the policies.

Concurrency: with the GIL held, everything between two calls of user code is atomic, and that is all
the locking there is. User code (`__hash__`, `__eq__`, weigher, timer, listener, `__del__`) runs only
where the table is consistent: before the search, inside it (`raudo_find` notices any change and
starts over), or after the operation, when what left is settled. A policy written in Python is the
exception: a re-entrant lock guards the whole operation, all but the settling.

Ownership: each live entry owns one reference to its key and one to its value. `take_out` moves them
to a `Batch`, `settle` tells the listener and drops them.
"""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc

from raudo._core.curve cimport (
    LEFT,
    LOOKED_UP,
    STORED,
    Curve,
    raudo_curve_event,
    raudo_curve_forget_all,
    raudo_curve_tell,
)
from raudo._core.entry cimport (
    RAUDO_STORE_ABSENT,
    RAUDO_STORED,
    RAUDO_UNSURE,
    Py_DECREF,
    Py_INCREF,
    raudo_find,
    raudo_get_plain,
    raudo_graves_drop,
    raudo_graves_drop_all,
    raudo_graves_take,
    raudo_has_passed,
    raudo_hash,
    raudo_key_flags,
    raudo_now_ns,
    raudo_quick_set,
    raudo_store_state,
)
from raudo._core.policy cimport (
    HAS_EXPIRY,
    MOVED_A_STEP,
    NO_SLOT,
    RAUDO_HIT_MOVE,
    WATCHED,
    Policy,
    PythonPolicy,
    raudo_entry,
    raudo_expiry,
    raudo_give_back,
    raudo_hit,
    raudo_index_slot,
    raudo_is_moving,
    raudo_is_watched,
    raudo_list_move_to_tail,
    raudo_list_reset,
    raudo_move,
    raudo_prefetch,
    raudo_replace,
    raudo_reserve,
    raudo_table_init,
    raudo_take,
    raudo_unindex_slot,
    raudo_watch,
    report_unraisable,
    slot_t,
)
from raudo._core.recorder cimport Recorder

cdef extern from "Python.h":
    void PyErr_Fetch(PyObject **kind, PyObject **value, PyObject **trace) noexcept
    void PyErr_Restore(PyObject *kind, PyObject *value, PyObject *trace) noexcept

cdef extern from "table/expiry.h":
    int raudo_expiry_reserve(raudo_expiry *x, uint32_t n) noexcept
    void raudo_expiry_remove(raudo_expiry *x, uint32_t slot) noexcept
    void raudo_expiry_add(raudo_expiry *x, uint32_t slot, int64_t at_ns) noexcept

cdef extern from *:
    """
    /* Without Cython's check, which needs a `try` where something is to be undone. */
    #define raudo_on_insert(policy, slot, weight) \\
        ((policy)->__pyx_vtab->on_insert((policy), (slot), (weight)))
    """
    int raudo_on_insert(Policy policy, slot_t slot, uint32_t weight) noexcept

cdef enum:
    SWEEP = 4  # expired entries that one call clears away at the most
    DROPPED_BY_CLEAR = 2048  # entries whose objects `clear` drops itself: some 0.1 ms
    DROPPED_BY_STORE = 16  # of the others, by each new entry
    DONE = 0
    AGAIN = 1

cdef tuple REASONS = ("capacity", "expired", "replaced", "removed")
NO_WEIGHT_LIMIT = <uint64_t>-1
cdef double LATEST = 4e9  # seconds of a user's timer: more than a century, and no overflow with a ttl
cdef uint32_t ALL = <uint32_t>-1
cdef uint64_t EVERY_KEY = 1 << 32


@cython.trashcan(True)  # a chain of caches may be long
cdef class Table:
    """The compiled base of `Cache`."""

    def __cinit__(self):
        # Until __init__ the bound is 0 and nothing can be stored.
        raudo_table_init(&self.t)
        self._policy = Policy()
        self._policy.attach(&self.t, 0)

    def __dealloc__(self):
        self._policy.t = NULL
        free_table(self, ALL)
        raudo_graves_drop_all(&self.graves)

    # --- looking up ---

    cdef PyObject *lookup(self, PyObject *key) except? NULL:
        cdef uint32_t hash
        raudo_hash(key, &hash)
        return self.lookup_hashed(key, hash)

    cdef PyObject *lookup_hashed(self, PyObject *key, uint32_t hash) except? NULL:
        cdef PyObject *value = raudo_get_plain(&self.t, key, hash)
        return value if value != RAUDO_UNSURE else self.lookup_surely(key, hash)

    cdef PyObject *lookup_surely(self, PyObject *key, uint32_t hash) except? NULL:
        """The general way, for whatever it is that the quick ones leave to it."""
        cdef PyObject *value
        cdef Batch gone
        if self.t.expiry.length and self.guard is None:
            gone.n = 0
            self.sweep(self.now_for_checks(), &gone)
            self.settle(&gone)
        gone.n = 0
        if self.guard is None:
            value = self.locate(key, hash, &gone)
        else:
            self.enter()
            try:
                value = self.locate(key, hash, &gone)
            finally:
                self.leave()
        if self.t.watched_below:
            self.observe(hash, LOOKED_UP, 0)
        if gone.n:
            self.settle(&gone)
        if self.writer is not None:
            self.writer.note(key, hash)
        if self.hot is not None:
            self.hot.note(key)
        if self.resizer is not None and self.curve.c.n_lookups >= self.curve.c.due:
            self.follow_cheapest()
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
        if raudo_is_moving(&self.t):
            raudo_move(&self.t, MOVED_A_STEP)
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

    # --- storing ---

    cdef int put(self, PyObject *key, PyObject *value) except -1:
        """Store with the cache's own ttl."""
        cdef uint32_t hash
        raudo_hash(key, &hash)
        cdef raudo_store_state state = raudo_quick_set(&self.t, key, value, hash)
        if state == RAUDO_STORED:
            return 0
        if state == RAUDO_STORE_ABSENT and self.t.expiry.length == 0:
            return self.put_new(key, value, hash)
        return self.store_hashed(key, value, hash, OWN_TTL)

    cdef int put_new(self, PyObject *key, PyObject *value, uint32_t hash) except -1:
        """Store a key that is not there in a plain cache without expiries: `place` cut short."""
        cdef slot_t slot
        cdef PyObject *old_key
        cdef PyObject *old_value
        if (
            self.graves != NULL
            or self.t.n_live != self.max_entries
            or self.max_entries == 0
        ):
            return self.store_hashed(key, value, hash, OWN_TTL)
        cdef bint is_queue = self.t.hit_kind <= RAUDO_HIT_MOVE
        if is_queue:
            slot = self.t.order.head
            raudo_prefetch(&self.t, self.t.entries[slot].next)
            raudo_list_move_to_tail(self.t.entries, &self.t.order, slot)
        else:
            self.t.coming = hash
            slot = self._policy.victim()
            self._policy.on_evict(slot)
        old_key = <PyObject *>self.t.entries[slot].key
        old_value = <PyObject *>self.t.entries[slot].value
        Py_INCREF(key)
        Py_INCREF(value)
        raudo_replace(&self.t, slot, key, value, hash, raudo_key_flags(key))
        if self.t.watched_below and raudo_is_watched(&self.t, hash):
            self.t.entries[slot].meta |= WATCHED
            self.observe(hash, STORED, 1)
        self.n_evictions += 1
        self.n_inserts += 1
        cdef int status = 0
        if not is_queue:
            status = raudo_on_insert(self._policy, slot, 1)
        if status < 0:
            self.forget(slot)
            self.n_inserts -= 1
            Py_DECREF(key)
            Py_DECREF(value)
        Py_DECREF(old_key)
        Py_DECREF(old_value)
        return status

    cdef int store(self, PyObject *key, PyObject *value, int64_t ttl_ns) except -1:
        cdef uint32_t hash
        raudo_hash(key, &hash)
        return self.store_hashed(key, value, hash, ttl_ns)

    cdef int store_hashed(
        self, PyObject *key, PyObject *value, uint32_t hash, int64_t ttl_ns
    ) except -1:
        cdef uint32_t weight = 1
        cdef int64_t now = 0, at_ns = NEVER
        if self.graves != NULL:
            raudo_graves_drop(&self.graves, DROPPED_BY_STORE)
        if self._weigher is not None:
            weight = self.weigh(key, value)
        if self.t.watched_below:
            self.observe(hash, STORED, weight)
        if ttl_ns == OWN_TTL:
            ttl_ns = self.ttl_ns
        if ttl_ns or self.t.expiry.length:
            now = self.read_timer()
            at_ns = time_of_expiry(now, ttl_ns)
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
            if gone.n > 1 and gone.items[0].reason == REPLACED:  # and does not come back
                self.t.n_updates -= 1
                self.n_inserts += 1
                self.n_removals += 1
            return DONE
        self.sweep(now, gone)
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
            self.t.weights = grown
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
        e.meta = raudo_key_flags(key)
        if self.t.watched_below and raudo_is_watched(&self.t, hash):
            e.meta |= WATCHED
        raudo_index_slot(&self.t, slot)
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

    # --- taking out ---

    cdef void forget(self, slot_t slot) noexcept:
        """Take the entry off all books but the policy's; its references are the caller's now."""
        cdef raudo_entry *e = &self.t.entries[slot]
        if e.meta & HAS_EXPIRY:
            raudo_expiry_remove(&self.t.expiry, slot)
        raudo_unindex_slot(&self.t, slot)
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
            if self.t.watched_below and reason != REPLACED:
                self.observe(e.hash, LEFT, 0)
            self._policy.on_remove(slot)
        self.forget(slot)
        return 0

    cdef void sweep(self, int64_t now, Batch *gone) noexcept:
        """Take out a few of those that have expired, if there are any."""
        for _ in range(SWEEP):
            if self.t.expiry.length == 0 or not self.is_past(self.t.expiry.heap[0].slot, now):
                break
            self.take_out(self.t.expiry.heap[0].slot, EXPIRED, gone)

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
        """Remove all entries; each is reported as removed.

        Without a listener it never takes long: the objects of the first thousands are dropped at
        once, those of the others a few with each later call, or all by `expire`.
        """
        cdef Batch gone
        cdef slot_t slot = 0
        if self._listener is None and self.guard is None:
            self.n_removals += self.t.n_live
            self._policy.reset()  # before anything is dropped: a __del__ may set again
            if self.curve is not None:
                raudo_curve_forget_all(&self.curve.c)
            free_table(self, DROPPED_BY_CLEAR)
            return
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
            self._policy.reset()
            free_table(self, ALL)

    def expire(self):
        """Drop all that has expired, and what `clear` left to be dropped; return how many expired.

        Takes as long as there is to drop.
        """
        cdef Batch gone
        cdef int64_t now
        cdef Py_ssize_t n = 0
        raudo_graves_drop_all(&self.graves)
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

    cdef int trim(self) except -1:
        """Evict in order what is over the bound, after it was lowered."""
        cdef Batch gone
        cdef slot_t slot
        cdef int64_t now
        cdef bint is_past, is_done = False
        while not is_done:
            gone.n = 0
            self.enter()
            try:
                now = self.now_for_checks()
                while gone.n < BATCH and self.t.n_live > self.max_entries:
                    slot = self.choose()
                    is_past = self.t.entries[slot].meta & HAS_EXPIRY and self.is_past(slot, now)
                    self.take_out(slot, EXPIRED if is_past else CAPACITY, &gone)
                is_done = gone.n == 0
                if is_done:
                    self._policy.resize(self.max_entries)
            finally:
                self.leave()
                self.settle(&gone)
        return 0

    # --- who watches ---

    cdef void watch(self, Curve curve, Recorder writer) noexcept:
        """Have them see the lookups, those of the keys that they follow; None for nobody."""
        cdef bint sees_all = writer is not None or self.hot is not None
        cdef uint64_t below = EVERY_KEY if sees_all else 0
        self.curve, self.writer = curve, writer
        if curve is not None and not sees_all:
            below = curve.c.below
        self.t.curve = &curve.c if curve is not None and not sees_all else NULL
        raudo_watch(&self.t, below)

    cdef void observe(self, uint32_t hash, raudo_curve_event what, uint32_t weight) noexcept:
        if self.curve is not None:
            raudo_curve_tell(&self.curve.c, what, hash, weight)
            if self.writer is None and self.hot is None:  # fewer may be followed now
                self.t.watched_below = self.curve.c.below

    cdef void follow_cheapest(self) noexcept:
        """Take the size that costs least, if it is time for that."""

    # --- time ---

    cdef int64_t read_timer(self) except? -1:
        if self._timer is None:
            return raudo_now_ns()
        cdef double seconds = self._timer()
        if not -LATEST < seconds < LATEST:
            raise ValueError(f"timer: wanted seconds between -{LATEST:g} and {LATEST:g}, got {seconds}")
        return <int64_t>(seconds * 1e9)

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

    # --- user code, and the lock of Python policies ---

    cdef uint32_t weigh(self, PyObject *key, PyObject *value) except? 0xFFFFFFFF:
        weight = self._weigher(<object>key, <object>value)
        if isinstance(weight, bool) or not hasattr(type(weight), "__index__"):
            raise TypeError(f"weigher: wanted a whole number, got {weight!r}")
        if not 0 <= weight < 2**32 - 1:
            raise ValueError(f"weigher: wanted 0 <= weight < 2**32 - 1, got {weight!r}")
        return weight

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


cdef void free_table(Table table, uint32_t at_once) noexcept:
    """Forget all entries; drop the objects of `at_once`, later calls drop the others."""
    raudo_list_reset(&table.t.order)
    free(table.weights)
    table.weights = NULL
    table.t.weights = NULL
    table.n_weights = 0
    table.total_weight = 0
    raudo_graves_take(&table.graves, &table.t, at_once)
