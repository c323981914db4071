"""The policies of queues, for those built on them."""

from raudo._core.policy cimport Policy, raudo_entry, raudo_list, raudo_two_queue, slot_t, uint32_t


cdef class TwoQueue(Policy):
    cdef raudo_two_queue queue


cdef uint32_t walk_list(const raudo_entry *entries, const raudo_list *list, slot_t *out) noexcept
