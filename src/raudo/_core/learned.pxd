"""The learned policy, for those built on it."""

from libc.stdint cimport uint32_t

from raudo._core.policy cimport Policy, raudo_entry, raudo_table, slot_t

cdef extern from "table/learned.h" nogil:
    const uint32_t RAUDO_SAMPLED
    enum:
        RAUDO_AGES

    ctypedef struct raudo_learner:
        uint32_t capacity

    ctypedef enum raudo_order:
        RAUDO_BY_WORTH
        RAUDO_BY_SENIORITY

    ctypedef struct raudo_guard:
        raudo_order order
        uint32_t n_switches
        uint32_t is_wanted

    ctypedef struct raudo_learned:
        raudo_learner *learner
        raudo_guard guard
        uint32_t newest
        uint32_t threshold
        uint32_t woken

    void raudo_worth_of(const float *hazard, const float *width, float *worth) noexcept
    uint32_t raudo_sampling_threshold(uint32_t capacity) noexcept
    void raudo_learned_reset(raudo_learned *q) noexcept
    void raudo_learned_fit(
        raudo_learned *q, const raudo_table *t, uint32_t capacity, uint32_t now
    ) noexcept
    void raudo_learned_insert(raudo_learned *q, raudo_table *t, uint32_t slot, uint32_t now) noexcept
    void raudo_learned_hit(raudo_learned *q, raudo_entry *e, uint32_t now) noexcept
    void raudo_learned_forget(raudo_learned *q, uint32_t slot) noexcept
    void raudo_learned_remember(raudo_learned *q, const raudo_entry *e, uint32_t now) noexcept
    uint32_t raudo_learned_victim(raudo_learned *q, raudo_table *t, uint32_t now) noexcept
    size_t raudo_learned_memory(const raudo_learned *q) noexcept


cdef class Learned(Policy):
    cdef raudo_learned learned
    cdef uint32_t expected  # entries that the cache is to hold; 0: the first eviction tells
