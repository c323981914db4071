"""What every operation of a cache is made of, as other compiled modules may use it."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from raudo._core.curve cimport Curve, raudo_curve_event
from raudo._core.hot cimport HotKeys
from raudo._core.entry cimport raudo_grave
from raudo._core.policy cimport Policy, raudo_table, slot_t
from raudo._core.recorder cimport Recorder

# Entries that have left the table and whose owners are yet to be told: settled outside any lock.
ctypedef struct Gone:
    PyObject *key
    PyObject *value
    int reason

ctypedef struct Batch:
    int n
    Gone items[16]

cdef enum:
    CAPACITY = 0  # reasons, as numbers
    EXPIRED = 1
    REPLACED = 2
    REMOVED = 3
    BATCH = 16  # length of Batch.items
    NEVER = 0  # as a time of expiry, and as a time to live
    OWN_TTL = -1  # as a time to live: the cache's
    KEYS = 0  # of what a snapshot is taken
    VALUES = 1
    PAIRS = 2

cdef uint64_t NO_WEIGHT_LIMIT


cdef inline int64_t time_of_expiry(int64_t now, int64_t ttl_ns) noexcept:
    """By the timer; a time that would read as NEVER is a nanosecond later."""
    if ttl_ns == 0:
        return NEVER
    return now + ttl_ns if now + ttl_ns != NEVER else 1


cdef class Table:
    cdef raudo_table t
    cdef raudo_grave *graves  # what `clear` has left to be dropped
    cdef uint32_t *weights
    cdef uint32_t n_weights
    cdef uint64_t max_entries  # MAX_ENTRIES where there is no bound
    cdef uint64_t max_total_weight
    cdef uint64_t total_weight
    cdef int64_t ttl_ns  # 0: entries live for ever
    cdef bint is_soonest_first  # strategy TTL
    cdef Policy _policy
    cdef object _weigher, _listener, _timer
    cdef object guard  # a lock where the policy is Python code, else None
    cdef uint64_t n_inserts, n_evictions, n_expirations, n_removals, n_refused
    cdef Curve curve  # these three watch, where they are not None
    cdef Recorder writer
    cdef HotKeys hot
    cdef object resizer  # goes by the curve, where it is not None
    cdef object __weakref__

    # Borrowed key in; a new reference out, or NULL: a miss, or an error where one is set.
    @cython.final
    cdef PyObject *lookup(self, PyObject *key) except? NULL
    @cython.final
    cdef PyObject *lookup_hashed(self, PyObject *key, uint32_t hash) except? NULL
    @cython.final
    cdef PyObject *lookup_surely(self, PyObject *key, uint32_t hash) except? NULL
    @cython.final
    cdef int store(self, PyObject *key, PyObject *value, int64_t ttl_ns) except -1
    @cython.final
    cdef int store_hashed(
        self, PyObject *key, PyObject *value, uint32_t hash, int64_t ttl_ns
    ) except -1

    @cython.final
    cdef PyObject *glance(self, PyObject *key) except? NULL
    @cython.final
    cdef PyObject *locate(self, PyObject *key, uint32_t hash, Batch *gone) except? NULL
    @cython.final
    cdef int place(
        self, PyObject *key, PyObject *value, uint32_t hash, int64_t at_ns, uint32_t weight,
        int64_t now, Batch *gone,
    ) except -1
    @cython.final
    cdef int admit(
        self, PyObject *key, PyObject *value, uint32_t hash, int64_t at_ns, uint32_t weight
    ) except -1
    @cython.final
    cdef int put(self, PyObject *key, PyObject *value) except -1
    @cython.final
    cdef int put_new(self, PyObject *key, PyObject *value, uint32_t hash) except -1
    @cython.final
    cdef void forget(self, slot_t slot) noexcept
    @cython.final
    cdef int take_out(self, slot_t slot, int reason, Batch *gone) noexcept
    @cython.final
    cdef int trim(self) except -1
    @cython.final
    cdef void sweep(self, int64_t now, Batch *gone) noexcept
    @cython.final
    cdef slot_t choose(self) except? 0xFFFFFFFF
    @cython.final
    cdef int set_expiry(self, slot_t slot, int64_t at_ns) except -1
    @cython.final
    cdef bint is_past(self, slot_t slot, int64_t now) noexcept
    @cython.final
    cdef void watch(self, Curve curve, Recorder recorder) noexcept
    @cython.final
    cdef void observe(self, uint32_t hash, raudo_curve_event what, uint32_t weight) noexcept
    cdef void follow_cheapest(self) noexcept
    @cython.final
    cdef int64_t read_timer(self) except? -1
    @cython.final
    cdef int64_t now_for_checks(self) except? -1
    @cython.final
    cdef uint32_t weigh(self, PyObject *key, PyObject *value) except? 0xFFFFFFFF
    @cython.final
    cdef int settle(self, Batch *gone) except -1
    @cython.final
    cdef int enter(self) except -1
    @cython.final
    cdef int leave(self) except -1
    @cython.final
    cdef int discard(self, object key, int reason, PyObject **value) except -1


cdef void free_table(Table table, uint32_t at_once) noexcept
