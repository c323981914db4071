# cython: binding=False
"""TINYLFU: newcomers pass a window and must be used more often than whom they replace."""

cimport cython
from libc.stdint cimport uint64_t

from raudo._core.policy cimport (
    MAX_ENTRIES,
    NO_SLOT,
    RAUDO_HIT_CALL,
    Policy,
    raudo_list,
    raudo_table,
    slot_t,
    uint32_t,
)
from raudo._core.queues cimport walk_list

from raudo._core.policy import REGISTRY as _REGISTRY

cdef extern from "table/tinylfu.h" nogil:
    ctypedef struct raudo_sketch:
        uint64_t *words

    ctypedef struct raudo_tinylfu:
        raudo_list window
        raudo_list probation
        raudo_list protected_
        raudo_sketch sketch
        uint32_t expected
        double window_share

    void raudo_tinylfu_reset(raudo_tinylfu *q) noexcept
    void raudo_tinylfu_insert(raudo_tinylfu *q, raudo_table *t, uint32_t slot) noexcept
    void raudo_tinylfu_hit(raudo_tinylfu *q, raudo_table *t, uint32_t slot) noexcept
    void raudo_tinylfu_remove(raudo_tinylfu *q, raudo_table *t, uint32_t slot) noexcept
    uint32_t raudo_tinylfu_victim(raudo_tinylfu *q, raudo_table *t) noexcept
    int raudo_sketch_reset(raudo_sketch *s, uint32_t capacity) noexcept
    void raudo_sketch_free(raudo_sketch *s) noexcept
    void raudo_sketch_add(raudo_sketch *s, uint32_t hash) noexcept
    uint32_t raudo_sketch_count(const raudo_sketch *s, uint32_t hash) noexcept
    size_t raudo_sketch_memory(const raudo_sketch *s) noexcept


@cython.final
cdef class TinyLfu(Policy):
    """W-TinyLFU with a window that a hill climber sizes."""

    cdef raudo_tinylfu queue

    def __cinit__(self):
        self.name = "tinylfu"
        self.hit_kind = RAUDO_HIT_CALL

    def __dealloc__(self):
        raudo_tinylfu_reset(&self.queue)

    @property
    def window_share(self):
        """Share of the entries that the window gets now."""
        return self.queue.window_share

    cdef int resize(self, uint64_t maxsize) except -1:
        self.queue.expected = <uint32_t>maxsize if maxsize < MAX_ENTRIES else 0
        return 0

    cdef int reset(self) except -1:
        raudo_tinylfu_reset(&self.queue)
        return 0

    cdef int on_insert(self, slot_t slot, uint32_t weight) except -1:
        raudo_tinylfu_insert(&self.queue, self.t, slot)
        return 0

    cdef void on_hit(self, slot_t slot) noexcept:
        raudo_tinylfu_hit(&self.queue, self.t, slot)

    cdef void on_remove(self, slot_t slot) noexcept:
        raudo_tinylfu_remove(&self.queue, self.t, slot)

    cdef slot_t victim(self) except? NO_SLOT:
        return raudo_tinylfu_victim(&self.queue, self.t)

    cdef void walk(self, slot_t *out) noexcept:
        cdef uint32_t n = walk_list(self.t.entries, &self.queue.window, out)
        n += walk_list(self.t.entries, &self.queue.probation, out + n)
        walk_list(self.t.entries, &self.queue.protected_, out + n)

    cdef size_t memory(self) noexcept:
        return raudo_sketch_memory(&self.queue.sketch)


def sketch_counts(uint32_t capacity, used, asked):
    """Return what a sketch for `capacity` entries counts of the hashes `asked` after those `used`."""
    cdef raudo_sketch sketch
    sketch.words = NULL
    if raudo_sketch_reset(&sketch, capacity) < 0:
        raise MemoryError
    try:
        for hash in used:
            raudo_sketch_add(&sketch, hash)
        return [raudo_sketch_count(&sketch, hash) for hash in asked]
    finally:
        raudo_sketch_free(&sketch)


_REGISTRY["tinylfu"] = TinyLfu
