# cython: binding=False
"""ML: what is worth least leaves, by reuse times learned online (see csrc/table/learner.h)."""

from libc.stdint cimport uint64_t

from raudo._core.policy cimport MAX_ENTRIES, NO_SLOT, RAUDO_HIT_STAMP, raudo_request_count

from raudo._core.policy import REGISTRY as _REGISTRY


cdef class Learned(Policy):
    """Learns when keys are used again, and drops what is least likely to be soon."""

    def __cinit__(self):
        self.name = "ml"
        self.hit_kind = RAUDO_HIT_STAMP

    def __dealloc__(self):
        raudo_learned_reset(&self.learned)

    cdef int resize(self, uint64_t maxsize) except -1:
        self.expected = <uint32_t>maxsize if maxsize < MAX_ENTRIES else 0
        self.learned.threshold = raudo_sampling_threshold(self.expected)
        return 0

    cdef int reset(self) except -1:
        raudo_learned_reset(&self.learned)
        self.t.call_mask = RAUDO_SAMPLED
        return 0

    cdef int on_insert(self, slot_t slot, uint32_t weight) except -1:
        self.t.n_stamped += 1
        cdef uint32_t now = raudo_request_count(self.t)
        if self.learned.learner == NULL and self.expected and self.t.n_live > self.expected // 2:
            # Learning starts before the first eviction; a cache that stays half empty never pays.
            raudo_learned_fit(&self.learned, self.t, self.expected, now)
        raudo_learned_insert(&self.learned, self.t, slot, now)
        return 0

    cdef void on_hit(self, slot_t slot) noexcept:
        """A hit on a sampled key; the table has stamped it already."""
        raudo_learned_hit(&self.learned, &self.t.entries[slot], raudo_request_count(self.t))

    cdef void on_remove(self, slot_t slot) noexcept:
        raudo_learned_forget(&self.learned, slot)

    cdef void on_evict(self, slot_t slot) noexcept:
        raudo_learned_remember(
            &self.learned, &self.t.entries[slot], raudo_request_count(self.t)
        )
        raudo_learned_forget(&self.learned, slot)

    cdef slot_t victim(self) except? NO_SLOT:
        return raudo_learned_victim(&self.learned, self.t, raudo_request_count(self.t))

    cdef size_t memory(self) noexcept:
        return raudo_learned_memory(&self.learned)


def worth_of(hazards, widths):
    """Return the worth of an age cell each, from the hazards and widths of them all.

    Hazards are chances of a return within a cell, widths the requests that it covers; ValueError
    unless there is one of each for every cell.
    """
    cdef float[RAUDO_AGES] hazard
    cdef float[RAUDO_AGES] width
    cdef float[RAUDO_AGES] worth
    if not len(hazards) == len(widths) == RAUDO_AGES:
        raise ValueError(
            f"wanted {RAUDO_AGES} hazards and widths, got {len(hazards)} and {len(widths)}"
        )
    for i in range(RAUDO_AGES):
        hazard[i] = hazards[i]
        width[i] = widths[i]
    raudo_worth_of(hazard, width, worth)
    return [worth[i] for i in range(RAUDO_AGES)]


_REGISTRY["ml"] = Learned
