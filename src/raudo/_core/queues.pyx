# cython: binding=False
"""Policies of queues, whose hits set a mark or nothing at all: FIFO, SIEVE, S3-FIFO and TTL.

SIEVE: Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024, algorithm 1.
S3-FIFO: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023, algorithm 1; as in
the authors' simulator the queue to evict from is chosen anew after each promotion.
"""

cimport cython
from libc.stdint cimport uint64_t

from raudo._core.policy cimport (
    META_ONE,
    META_SHIFT,
    NO_SLOT,
    RAUDO_HIT_MARK,
    RAUDO_HIT_NOTHING,
    Policy,
    raudo_entry,
    raudo_list,
    raudo_list_append,
    raudo_list_move_to_tail,
    raudo_list_remove,
    raudo_list_reset,
    raudo_table,
    slot_t,
    uint8_t,
    uint32_t,
)

from raudo._core.policy import REGISTRY

cdef extern from "table/ghost.h" nogil:
    ctypedef struct raudo_ghost:
        uint32_t capacity
        uint32_t mask
    void raudo_ghost_free(raudo_ghost *g) noexcept
    int raudo_ghost_reset(raudo_ghost *g, uint32_t capacity) noexcept
    int raudo_ghost_take(raudo_ghost *g, uint32_t hash) noexcept
    void raudo_ghost_add(raudo_ghost *g, uint32_t hash) noexcept


cdef uint32_t MARKS = 3 << META_SHIFT
cdef uint32_t IN_MAIN = 4 << META_SHIFT


cdef uint32_t walk_list(const raudo_entry *entries, const raudo_list *list, slot_t *out) noexcept:
    cdef slot_t slot = list.head
    cdef uint32_t n = 0
    while slot != NO_SLOT:
        out[n] = slot
        n += 1
        slot = entries[slot].next
    return n


cdef class Fifo(Policy):
    """First in, first out; hits and updates change nothing."""

    def __cinit__(self):
        self.name = "fifo"
        self.hit_kind = RAUDO_HIT_NOTHING

    cdef int on_insert(self, slot_t slot, uint32_t weight) except -1:
        raudo_list_append(self.t.entries, &self.t.order, slot)
        return 0

    cdef void on_remove(self, slot_t slot) noexcept:
        raudo_list_remove(self.t.entries, &self.t.order, slot)

    cdef slot_t victim(self) except? NO_SLOT:
        return self.t.order.head

    cdef void walk(self, slot_t *out) noexcept:
        walk_list(self.t.entries, &self.t.order, out)


@cython.final
cdef class Ttl(Fifo):
    """What expires first leaves first; the table asks its expiry heap, and this for what never does."""

    def __cinit__(self):
        self.name = "ttl"


@cython.final
cdef class Sieve(Policy):
    """SIEVE: a queue in which a hand passes over what was used since it last came by."""

    cdef slot_t hand  # the next to look at; NO_SLOT: the oldest

    def __cinit__(self):
        self.name = "sieve"
        self.hit_kind = RAUDO_HIT_MARK

    cdef int on_insert(self, slot_t slot, uint32_t weight) except -1:
        raudo_list_append(self.t.entries, &self.t.order, slot)
        return 0

    cdef void on_hit(self, slot_t slot) noexcept:
        self.t.entries[slot].meta |= META_ONE

    cdef void on_remove(self, slot_t slot) noexcept:
        if slot == self.hand:
            self.hand = self.t.entries[slot].next
        raudo_list_remove(self.t.entries, &self.t.order, slot)

    cdef slot_t victim(self) except? NO_SLOT:
        cdef slot_t slot = self.hand if self.hand != NO_SLOT else self.t.order.head
        cdef raudo_entry *e
        while True:
            e = &self.t.entries[slot]
            if not e.meta & MARKS:
                break
            e.meta &= ~MARKS
            slot = e.next if e.next != NO_SLOT else self.t.order.head
        self.hand = slot
        return slot

    cdef int reset(self) except -1:
        self.hand = NO_SLOT
        self.t.mark_limit = 1
        raudo_list_reset(&self.t.order)
        return 0

    cdef void walk(self, slot_t *out) noexcept:
        walk_list(self.t.entries, &self.t.order, out)


@cython.final
cdef class S3Fifo(Policy):
    """S3-FIFO: a small queue for newcomers, a main one, and a ghost of what newcomers left."""

    cdef raudo_list small, main
    cdef raudo_ghost ghost

    def __cinit__(self):
        self.name = "s3fifo"
        self.hit_kind = RAUDO_HIT_MARK

    def __dealloc__(self):
        raudo_ghost_free(&self.ghost)

    cdef int on_insert(self, slot_t slot, uint32_t weight) except -1:
        cdef raudo_entry *e = &self.t.entries[slot]
        if raudo_ghost_take(&self.ghost, e.hash):
            e.meta |= IN_MAIN
            raudo_list_append(self.t.entries, &self.main, slot)
        else:
            raudo_list_append(self.t.entries, &self.small, slot)
        return 0

    cdef void on_hit(self, slot_t slot) noexcept:
        cdef raudo_entry *e = &self.t.entries[slot]
        if e.meta & MARKS != MARKS:
            e.meta += META_ONE

    cdef void on_remove(self, slot_t slot) noexcept:
        if self.t.entries[slot].meta & IN_MAIN:
            raudo_list_remove(self.t.entries, &self.main, slot)
        else:
            raudo_list_remove(self.t.entries, &self.small, slot)

    cdef void on_evict(self, slot_t slot) noexcept:
        cdef raudo_entry *e = &self.t.entries[slot]
        if not e.meta & IN_MAIN:
            # As long as the main queue; sized when it is first needed, by what the cache then holds.
            if self.ghost.capacity < self.t.n_live // 2:
                if raudo_ghost_reset(&self.ghost, max(self.t.n_live - self.t.n_live // 10, 1)) < 0:
                    self.ghost.capacity = 0  # short of memory: do without
            raudo_ghost_add(&self.ghost, e.hash)
        self.on_remove(slot)

    cdef slot_t victim(self) except? NO_SLOT:
        cdef slot_t slot
        cdef raudo_entry *e
        cdef uint32_t small_share = max(self.t.n_live // 10, 1)
        while True:
            if self.small.length >= small_share or self.main.length == 0:
                slot = self.small.head
                e = &self.t.entries[slot]
                if (e.meta & MARKS) <= META_ONE:
                    return slot
                raudo_list_remove(self.t.entries, &self.small, slot)
                e.meta = (e.meta & ~MARKS) | IN_MAIN
                raudo_list_append(self.t.entries, &self.main, slot)
            else:
                slot = self.main.head
                e = &self.t.entries[slot]
                if not e.meta & MARKS:
                    return slot
                e.meta -= META_ONE
                raudo_list_move_to_tail(self.t.entries, &self.main, slot)

    cdef int reset(self) except -1:
        raudo_list_reset(&self.small)
        raudo_list_reset(&self.main)
        raudo_ghost_free(&self.ghost)
        self.t.mark_limit = 3
        return 0

    cdef int resize(self, uint64_t maxsize) except -1:
        raudo_ghost_free(&self.ghost)
        return 0

    cdef void walk(self, slot_t *out) noexcept:
        cdef uint32_t n = walk_list(self.t.entries, &self.small, out)
        walk_list(self.t.entries, &self.main, out + n)

    cdef size_t memory(self) noexcept:
        if self.ghost.capacity == 0:
            return 0
        return <size_t>self.ghost.capacity * 5 + (<size_t>self.ghost.mask + 1) * 4


REGISTRY["fifo"] = Fifo
REGISTRY["ttl"] = Ttl
REGISTRY["sieve"] = Sieve
REGISTRY["s3fifo"] = S3Fifo
