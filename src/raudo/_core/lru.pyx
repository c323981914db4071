# cython: binding=False
"""LRU: what was used longest ago leaves first. A hit splices the entry to the list's tail."""

cimport cython

from raudo._core.policy cimport (
    RAUDO_HIT_MOVE,
    NO_SLOT,
    Policy,
    raudo_list_append,
    raudo_list_move_to_tail,
    raudo_list_remove,
    slot_t,
    uint32_t,
)

from raudo._core.policy import REGISTRY as _REGISTRY


@cython.final
cdef class Lru(Policy):
    """Least recently used, exact."""

    def __cinit__(self):
        self.name = "lru"
        self.hit_kind = RAUDO_HIT_MOVE

    cdef int on_insert(self, slot_t slot, uint32_t weight) except -1:
        raudo_list_append(self.t.entries, &self.t.order, slot)
        return 0

    cdef void on_hit(self, slot_t slot) noexcept:
        raudo_list_move_to_tail(self.t.entries, &self.t.order, slot)

    cdef void on_remove(self, slot_t slot) noexcept:
        raudo_list_remove(self.t.entries, &self.t.order, slot)

    cdef slot_t victim(self) except? NO_SLOT:
        return self.t.order.head

    cdef void walk(self, slot_t *out) noexcept:
        cdef slot_t slot = self.t.order.head
        cdef uint32_t n = 0
        while slot != NO_SLOT:
            out[n] = slot
            n += 1
            slot = self.t.entries[slot].next


_REGISTRY["lru"] = Lru
