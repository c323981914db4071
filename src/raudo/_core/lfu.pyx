# cython: binding=False
"""LFU: what was used least often leaves first, and of those what was used longest ago.

Exact and O(1): entries of one count share a bucket (a list in order of use), buckets are linked in
order of count (Shah, Mitra, Matani, "An O(1) algorithm for implementing the LFU cache eviction
scheme", 2010). An entry's bucket number stands in the upper 24 bits of its `meta`.
"""

cimport cython
from libc.stdlib cimport free, realloc

from raudo._core.policy cimport (
    META_SHIFT,
    NO_SLOT,
    RAUDO_HIT_CALL,
    Policy,
    raudo_entry,
    raudo_list,
    raudo_list_append,
    raudo_list_remove,
    raudo_list_reset,
    slot_t,
    uint32_t,
)

from raudo._core.policy import REGISTRY as _REGISTRY

ctypedef struct Bucket:
    raudo_list members
    uint32_t count
    uint32_t prev, next  # by count; `next` chains the free ones

cdef uint32_t FLAGS = (1 << META_SHIFT) - 1


@cython.final
cdef class Lfu(Policy):
    """Least frequently used, exact, ties to the least recently used; counts do not age."""

    cdef Bucket *buckets
    cdef uint32_t n_buckets, n_allocated, free_bucket, first

    def __cinit__(self):
        self.name = "lfu"
        self.hit_kind = RAUDO_HIT_CALL
        self.first = self.free_bucket = NO_SLOT

    def __dealloc__(self):
        free(self.buckets)

    cdef uint32_t bucket_of(self, slot_t slot) noexcept:
        return self.t.entries[slot].meta >> META_SHIFT

    cdef void join(self, slot_t slot, uint32_t bucket) noexcept:
        cdef raudo_entry *e = &self.t.entries[slot]
        e.meta = (e.meta & FLAGS) | bucket << META_SHIFT
        raudo_list_append(self.t.entries, &self.buckets[bucket].members, slot)

    cdef uint32_t new_bucket(self, uint32_t count, uint32_t after) noexcept:
        """Link a bucket behind `after` (NO_SLOT: as the first); NO_SLOT when memory is short."""
        cdef uint32_t bucket = self.free_bucket
        cdef uint32_t wanted
        cdef Bucket *grown
        if bucket != NO_SLOT:
            self.free_bucket = self.buckets[bucket].next
        else:
            if self.n_buckets == self.n_allocated:
                wanted = max(16, 2 * self.n_allocated)
                grown = <Bucket *>realloc(self.buckets, wanted * sizeof(Bucket))
                if grown == NULL:
                    return NO_SLOT
                self.buckets = grown
                self.n_allocated = wanted
            bucket = self.n_buckets
            self.n_buckets += 1
        cdef Bucket *b = &self.buckets[bucket]
        raudo_list_reset(&b.members)
        b.count = count
        b.prev = after
        if after == NO_SLOT:
            b.next = self.first
            self.first = bucket
        else:
            b.next = self.buckets[after].next
            self.buckets[after].next = bucket
        if b.next != NO_SLOT:
            self.buckets[b.next].prev = bucket
        return bucket

    cdef void drop_bucket(self, uint32_t bucket) noexcept:
        cdef Bucket *b = &self.buckets[bucket]
        if b.prev == NO_SLOT:
            self.first = b.next
        else:
            self.buckets[b.prev].next = b.next
        if b.next != NO_SLOT:
            self.buckets[b.next].prev = b.prev
        b.next = self.free_bucket
        self.free_bucket = bucket

    cdef int on_insert(self, slot_t slot, uint32_t weight) except -1:
        cdef uint32_t bucket = self.first
        if bucket == NO_SLOT or self.buckets[bucket].count != 1:
            bucket = self.new_bucket(1, NO_SLOT)
            if bucket == NO_SLOT:
                raise MemoryError
        self.join(slot, bucket)
        return 0

    cdef void on_hit(self, slot_t slot) noexcept:
        cdef uint32_t bucket = self.bucket_of(slot)
        cdef Bucket *b = &self.buckets[bucket]
        cdef uint32_t count = b.count, following = b.next
        cdef bint joins = following != NO_SLOT and self.buckets[following].count == count + 1
        if not joins:
            if b.members.length == 1:
                b.count += 1  # alone: the bucket itself moves up
                return
            following = self.new_bucket(count + 1, bucket)  # may move `buckets`
            if following == NO_SLOT:
                return  # short of memory: the count stays
        self.on_leave(slot, bucket)
        self.join(slot, following)

    cdef void on_leave(self, slot_t slot, uint32_t bucket) noexcept:
        raudo_list_remove(self.t.entries, &self.buckets[bucket].members, slot)
        if self.buckets[bucket].members.length == 0:
            self.drop_bucket(bucket)

    cdef void on_remove(self, slot_t slot) noexcept:
        self.on_leave(slot, self.bucket_of(slot))

    cdef slot_t victim(self) except? NO_SLOT:
        return self.buckets[self.first].members.head

    cdef int reset(self) except -1:
        self.n_buckets = 0
        self.first = self.free_bucket = NO_SLOT
        return 0

    cdef void walk(self, slot_t *out) noexcept:
        cdef uint32_t bucket = self.first, n = 0
        cdef slot_t slot
        while bucket != NO_SLOT:
            slot = self.buckets[bucket].members.head
            while slot != NO_SLOT:
                out[n] = slot
                n += 1
                slot = self.t.entries[slot].next
            bucket = self.buckets[bucket].next

    cdef size_t memory(self) noexcept:
        return self.n_allocated * sizeof(Bucket)


_REGISTRY["lfu"] = Lfu
