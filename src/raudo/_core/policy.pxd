"""The shared table as Cython sees it, and the seam between it and whoever decides what leaves."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from raudo._core.curve cimport raudo_curve

cdef extern from "table/table.h" nogil:
    const uint32_t NO_SLOT "RAUDO_NO_SLOT"
    const uint32_t FAILED "RAUDO_FAILED"
    const uint32_t MAX_ENTRIES "RAUDO_MAX_ENTRIES"
    const uint32_t HAS_EXPIRY "RAUDO_HAS_EXPIRY"
    const uint32_t WATCHED "RAUDO_WATCHED"
    const int META_SHIFT "RAUDO_META_SHIFT"
    const uint32_t META_ONE "RAUDO_META_ONE"

    ctypedef struct raudo_entry:
        void *key
        void *value
        uint32_t hash
        uint32_t meta
        uint32_t prev
        uint32_t next

    ctypedef struct raudo_list:
        uint32_t head
        uint32_t tail
        uint32_t length

    ctypedef struct raudo_expiry_node:
        int64_t at_ns
        uint32_t order
        uint32_t slot

    ctypedef struct raudo_expiry:
        int64_t *at_ns
        uint32_t *position
        raudo_expiry_node *heap
        uint32_t length
        uint32_t n_allocated

    ctypedef enum raudo_hit_kind:
        RAUDO_HIT_NOTHING
        RAUDO_HIT_MOVE
        RAUDO_HIT_MARK
        RAUDO_HIT_STAMP
        RAUDO_HIT_CALL

    ctypedef struct raudo_table:
        raudo_entry *entries
        uint32_t n_live
        uint32_t hit_kind
        uint32_t call_mask
        uint32_t is_plain
        uint64_t n_hits
        uint64_t n_misses
        uint64_t n_updates
        uint64_t version
        raudo_list order
        uint32_t n_entries
        uint32_t n_allocated
        uint32_t free_head
        uint32_t has_timer
        uint64_t watched_below
        uint32_t found
        raudo_expiry expiry
        uint32_t n_stamped
        uint32_t coming
        const uint32_t *weights
        raudo_curve *curve

    void raudo_table_init(raudo_table *t) noexcept
    void raudo_table_free(raudo_table *t) noexcept
    size_t raudo_table_size(const raudo_table *t) noexcept
    uint32_t raudo_fold_hash(int64_t hash) noexcept
    bint raudo_is_watched(const raudo_table *t, uint32_t hash) noexcept
    void raudo_watch(raudo_table *t, uint64_t below) noexcept
    bint raudo_is_moving(const raudo_table *t) noexcept
    void raudo_move(raudo_table *t, uint32_t n) noexcept
    const uint32_t MOVED_A_STEP "RAUDO_MOVED_A_STEP"
    void raudo_index_slot(raudo_table *t, uint32_t slot) noexcept
    void raudo_unindex_slot(raudo_table *t, uint32_t slot) noexcept
    int raudo_reserve(raudo_table *t, uint64_t limit) noexcept
    uint32_t raudo_take(raudo_table *t) noexcept
    void raudo_give_back(raudo_table *t, uint32_t slot) noexcept
    int raudo_hit(raudo_table *t, uint32_t slot) noexcept
    void raudo_prefetch(const raudo_table *t, uint32_t slot) noexcept
    void raudo_replace(
        raudo_table *t, uint32_t slot, void *key, void *value, uint32_t hash, uint32_t meta
    ) noexcept
    uint32_t raudo_request_count(const raudo_table *t) noexcept
    void raudo_list_reset(raudo_list *list) noexcept
    void raudo_list_append(raudo_entry *entries, raudo_list *list, uint32_t slot) noexcept
    void raudo_list_remove(raudo_entry *entries, raudo_list *list, uint32_t slot) noexcept
    void raudo_list_move_to_tail(raudo_entry *entries, raudo_list *list, uint32_t slot) noexcept

cdef extern from "table/two_queue.h" nogil:
    ctypedef struct raudo_two_queue_rule:
        uint32_t small_divisor
        uint32_t promote_at
        uint32_t ghost_divisor
        uint32_t has_hand
        uint32_t clears

    ctypedef struct raudo_two_queue:
        raudo_two_queue_rule rule
        raudo_list small
        raudo_list main
        uint32_t hand

    void raudo_two_queue_reset(raudo_two_queue *q) noexcept
    void raudo_two_queue_insert(raudo_two_queue *q, raudo_table *t, uint32_t slot) noexcept
    void raudo_two_queue_mark(raudo_entry *e) noexcept
    void raudo_two_queue_remove(raudo_two_queue *q, raudo_table *t, uint32_t slot) noexcept
    void raudo_two_queue_evict(raudo_two_queue *q, raudo_table *t, uint32_t slot) noexcept
    uint32_t raudo_two_queue_victim(raudo_two_queue *q, raudo_table *t) noexcept
    size_t raudo_two_queue_memory(const raudo_two_queue *q) noexcept

ctypedef uint32_t slot_t


cdef class Policy:
    """Decides which entry leaves next. Works on the table's entries; sees no key and no value.

    The table calls it between two of its own consistent states and without running user code, so
    that with the GIL held no lock is needed. One policy serves one table.
    """

    cdef readonly str name
    cdef raudo_table *t  # the cache's; NULL before `attach` and after the cache is gone
    cdef uint32_t hit_kind  # what the table does on a hit by itself; RAUDO_HIT_CALL: calls on_hit

    cdef int attach(self, raudo_table *t, uint64_t maxsize) except -1
    cdef int on_insert(self, slot_t slot, uint32_t weight) except -1
    cdef void on_hit(self, slot_t slot) noexcept
    cdef void on_remove(self, slot_t slot) noexcept  # deleted or expired
    cdef void on_evict(self, slot_t slot) noexcept  # taken out as the victim
    cdef slot_t victim(self) except? NO_SLOT  # next to leave; the table is not empty
    cdef int resize(self, uint64_t maxsize) except -1
    cdef int reset(self) except -1  # all entries are gone
    cdef void walk(self, slot_t *out) noexcept  # the n_live slots, next to leave first
    cdef size_t memory(self) noexcept  # bytes beside the table's own


@cython.final
cdef class PythonPolicy(Policy):
    cdef readonly object wrapped
    cdef bint is_calling
    cdef slot_t newest
    cdef int check(self, slot_t slot) except -1


cdef Policy make_policy(object strategy)
cdef int empty_policy(object policy) except -1


cdef int report_unraisable(object error, object where) except -1
