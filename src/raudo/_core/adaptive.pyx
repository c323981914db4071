# cython: binding=False
"""ADAPTIVE: two queues and marks, under whichever rule does best on this very workload.

The experts are rules of csrc/table/two_queue.h. Miniature caches replay the requests of a sample of
the keys, chosen by hash, under each rule; their size is the cache's times the sampling rate, so
that their hit ratios estimate the cache's own (miniature simulation: Waldspurger et al., "Cache
Modeling and Optimization using Miniature Simulations", USENIX ATC 2017). At the end of each epoch
the real queues get the rule of the best; nothing migrates. A hit costs what a mark costs: only the
entries of sampled keys report theirs, and none while nothing has been evicted for some time.
"""

cimport cython
from libc.stdint cimport uint64_t

from raudo._core.policy cimport (
    META_SHIFT,
    raudo_mini_cache,
    raudo_mini_free,
    raudo_mini_init,
    raudo_mini_request,
    raudo_table_size,
    raudo_two_queue_evict,
    raudo_two_queue_insert,
    raudo_two_queue_memory,
    raudo_two_queue_reset,
    raudo_two_queue_rule,
    slot_t,
    uint32_t,
)
from raudo._core.queues cimport TwoQueue

from raudo._core.policy import REGISTRY as _REGISTRY

cdef enum:
    N_EXPERTS = 4
    MINI_SIZE = 512  # entries of a miniature, where the rate allows it
    HIGHEST_RATE = 8  # an eighth of the keys at the most
    SHORTEST_EPOCH = 200  # sampled requests
    QUIET = 1024  # sampled hits without an eviction after which the sampling rests

cdef uint32_t WARM_UP = 4  # epochs before the first change of rule
cdef double MARGIN = 0.01  # of hit ratio, by which another must be better

cdef tuple NAMES = ("s3fifo", "clock", "sieve", "newest")
cdef raudo_two_queue_rule[N_EXPERTS] RULES
RULES[0] = raudo_two_queue_rule(
    small_divisor=10, promote_at=2, ghost_divisor=1, has_hand=0, clears=0, newest_first=0
)
RULES[1] = raudo_two_queue_rule(
    small_divisor=0, promote_at=0, ghost_divisor=0, has_hand=0, clears=1, newest_first=0
)
RULES[2] = raudo_two_queue_rule(
    small_divisor=0, promote_at=0, ghost_divisor=0, has_hand=1, clears=1, newest_first=0
)
RULES[3] = raudo_two_queue_rule(
    small_divisor=100, promote_at=1, ghost_divisor=0, has_hand=0, clears=0, newest_first=1
)

cdef uint32_t SAMPLED = 8 << META_SHIFT


@cython.final
cdef class Adaptive(TwoQueue):
    """Chooses online among rules of eviction; see the module's text."""

    cdef raudo_mini_cache[N_EXPERTS] minis
    cdef double[N_EXPERTS] scores
    cdef uint32_t current
    cdef uint32_t threshold  # hashes scrambled to below it are sampled
    cdef uint32_t n_requests, epoch, n_epochs, n_quiet
    cdef readonly uint64_t switches

    def __cinit__(self):
        self.name = "adaptive"
        self.queue.rule = RULES[0]
        for i in range(N_EXPERTS):
            raudo_mini_init(&self.minis[i], RULES[i])

    def __dealloc__(self):
        for i in range(N_EXPERTS):
            raudo_mini_free(&self.minis[i])

    @property
    def expert(self):
        """Name of the rule in force."""
        return NAMES[self.current]

    cdef int resize(self, uint64_t maxsize) except -1:
        self.size_minis(maxsize)
        return 0

    cdef void size_minis(self, uint64_t n) noexcept:
        """Sample so that the miniatures hold about MINI_SIZE entries for `n` of the cache's."""
        cdef uint32_t capacity
        cdef double rate
        if n == 0 or n >= 1 << 31:  # not known yet: the first eviction tells
            self.threshold = 0
            return
        rate = min(<double>MINI_SIZE / n, 1.0 / HIGHEST_RATE)
        self.threshold = <uint32_t>(rate * 4294967295.0)
        capacity = max(<uint32_t>(rate * n + 0.5), 4)
        for i in range(N_EXPERTS):
            raudo_mini_free(&self.minis[i])
            self.minis[i].capacity = capacity
            self.scores[i] = 0.0
        self.n_requests = self.n_epochs = 0
        self.epoch = max(<uint32_t>SHORTEST_EPOCH, capacity)

    cdef int reset(self) except -1:
        raudo_two_queue_reset(&self.queue)
        self.t.call_mask = 0
        for i in range(N_EXPERTS):
            raudo_mini_free(&self.minis[i])
        return 0

    cdef bint is_sampled(self, uint32_t hash) noexcept:
        # Other bits than the table's home: a stride in the keys must not bias the sample.
        hash ^= hash >> 15
        hash *= 0x2C1B3C6Du
        hash ^= hash >> 12
        hash *= 0x297A2D39u
        hash ^= hash >> 15
        return hash < self.threshold

    cdef int on_insert(self, slot_t slot, uint32_t weight) except -1:
        raudo_two_queue_insert(&self.queue, self.t, slot)
        if self.is_sampled(self.t.entries[slot].hash):
            self.t.entries[slot].meta |= SAMPLED
            self.replay(self.t.entries[slot].hash)
        return 0

    cdef void on_hit(self, slot_t slot) noexcept:
        """A hit on a sampled key; the table has marked it already."""
        self.n_quiet += 1
        if self.n_quiet > QUIET:
            self.t.call_mask = 0
        self.replay(self.t.entries[slot].hash)

    cdef void on_evict(self, slot_t slot) noexcept:
        if self.threshold == 0:
            self.size_minis(self.t.n_live)
        self.t.call_mask = SAMPLED
        self.n_quiet = 0
        raudo_two_queue_evict(&self.queue, self.t, slot)

    cdef void replay(self, uint32_t hash) noexcept:
        for i in range(N_EXPERTS):
            raudo_mini_request(&self.minis[i], hash)
        self.n_requests += 1
        if self.n_requests == self.epoch:
            self.n_requests = 0
            self.judge()

    cdef void judge(self) noexcept:
        cdef uint32_t best = self.current
        for i in range(N_EXPERTS):
            self.scores[i] += 0.3 * (self.minis[i].n_hits / <double>self.epoch - self.scores[i])
            self.minis[i].n_hits = 0
        self.n_epochs += 1
        if self.n_epochs < WARM_UP:
            return
        for i in range(N_EXPERTS):
            if self.scores[i] > self.scores[best] + (MARGIN if best == self.current else 0.0):
                best = i
        if best != self.current:
            self.current = best
            self.switches += 1
            self.queue.rule = RULES[best]

    cdef size_t memory(self) noexcept:
        cdef size_t size = raudo_two_queue_memory(&self.queue)
        for i in range(N_EXPERTS):
            size += raudo_table_size(&self.minis[i].t)
            size += raudo_two_queue_memory(&self.minis[i].queue)
        return size


_REGISTRY["adaptive"] = Adaptive
