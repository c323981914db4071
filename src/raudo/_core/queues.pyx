# cython: binding=False
"""Policies of queues, whose hits set a mark or nothing at all: FIFO, TTL, SIEVE and S3-FIFO."""

cimport cython
from raudo._core.policy cimport (
    NO_SLOT,
    RAUDO_HIT_MARK,
    RAUDO_HIT_NOTHING,
    Policy,
    raudo_list_append,
    raudo_list_remove,
    raudo_two_queue_evict,
    raudo_two_queue_insert,
    raudo_two_queue_mark,
    raudo_two_queue_memory,
    raudo_two_queue_remove,
    raudo_two_queue_reset,
    raudo_two_queue_rule,
    raudo_two_queue_victim,
)

from raudo._core.policy import REGISTRY as _REGISTRY


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


cdef class TwoQueue(Policy):
    """Two queues and marks under some rule (see csrc/table/two_queue.h)."""

    def __cinit__(self):
        self.hit_kind = RAUDO_HIT_MARK

    def __dealloc__(self):
        raudo_two_queue_reset(&self.queue)

    cdef int on_insert(self, slot_t slot, uint32_t weight) except -1:
        raudo_two_queue_insert(&self.queue, self.t, slot)
        return 0

    cdef void on_hit(self, slot_t slot) noexcept:
        raudo_two_queue_mark(&self.t.entries[slot])

    cdef void on_remove(self, slot_t slot) noexcept:
        raudo_two_queue_remove(&self.queue, self.t, slot)

    cdef void on_evict(self, slot_t slot) noexcept:
        raudo_two_queue_evict(&self.queue, self.t, slot)

    cdef slot_t victim(self) except? NO_SLOT:
        return raudo_two_queue_victim(&self.queue, self.t)

    cdef int reset(self) except -1:
        raudo_two_queue_reset(&self.queue)
        return 0

    cdef void walk(self, slot_t *out) noexcept:
        cdef uint32_t n = walk_list(self.t.entries, &self.queue.small, out)
        walk_list(self.t.entries, &self.queue.main, out + n)

    cdef size_t memory(self) noexcept:
        return raudo_two_queue_memory(&self.queue)


@cython.final
cdef class Sieve(TwoQueue):
    """SIEVE: a queue in which a hand passes over what was used since it last came by."""

    def __cinit__(self):
        self.name = "sieve"
        self.queue.rule = raudo_two_queue_rule(
            small_divisor=0, promote_at=0, ghost_divisor=0, has_hand=1, clears=1
        )


@cython.final
cdef class S3Fifo(TwoQueue):
    """S3-FIFO: a small queue for newcomers, a main one, and a ghost of what newcomers left."""

    def __cinit__(self):
        self.name = "s3fifo"
        self.queue.rule = raudo_two_queue_rule(
            small_divisor=10, promote_at=2, ghost_divisor=1, has_hand=0, clears=0
        )


_REGISTRY["fifo"] = Fifo
_REGISTRY["ttl"] = Ttl
_REGISTRY["sieve"] = Sieve
_REGISTRY["s3fifo"] = S3Fifo
