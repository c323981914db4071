from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from raudo._core.guard cimport Guard

cdef extern from "pool/book.h":
    enum: RAUDO_BOOK_MOST_ENTRIES
    ctypedef struct raudo_book_entry:
        void *address
        void *owned
        void *ref
        uint32_t lent
        uint32_t idle
        double born
        double since
        uint8_t tracking
        uint8_t shape
        uint8_t dirty_at
    ctypedef struct raudo_book:
        raudo_book_entry *entries
        uint32_t n_entries
        uint32_t n_free
        uint32_t *stack
        uint32_t n_idle
        uint32_t low
        uint32_t latest

cdef extern from "entry/pool.h":
    ctypedef struct raudo_pool:
        raudo_book book
        uint32_t max_size
        uint32_t hand
        uint64_t n_acquired
        uint64_t n_created
        uint64_t n_released
        uint64_t n_discarded
        uint64_t n_lost
    uint64_t raudo_pool_lent(const raudo_pool *) noexcept
    bint raudo_is_dead(const raudo_book_entry *) noexcept
    bint raudo_is_clean(const raudo_book_entry *) noexcept
    void raudo_pool_set_quick(raudo_pool *, bint has_guard, bint has_reset) noexcept

cdef class ObjectPool:
    cdef readonly object factory
    cdef readonly object reset
    cdef readonly object name
    cdef object __weakref__
    cdef Guard guard
    # The raw references in its entries are owned by this class alone and are visited and dropped by
    # `pool_traverse`, `pool_clear` and `__dealloc__`.
    cdef raudo_pool p

    cdef int retire(self, uint32_t number, object obj) except -1
    cdef uint32_t drop_expired(self) except? 0xFFFFFFFF
    cdef void reap(self, uint32_t number) noexcept
    cdef void reap_some(self) noexcept
    cdef void reap_all(self) noexcept
