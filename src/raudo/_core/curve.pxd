"""A miss-ratio curve kept online, as the table feeds it."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "table/curve.h" nogil:
    ctypedef struct raudo_curve:
        uint64_t below
        uint32_t mask
        uint32_t n_nodes
        uint32_t n_regions
        uint64_t *hits
        uint64_t n_lookups
        uint64_t due

    int raudo_curve_init(
        raudo_curve *c, uint64_t below, const uint64_t *limits, uint32_t n_regions, uint32_t n_nodes
    ) noexcept
    void raudo_curve_free(raudo_curve *c) noexcept
    bint raudo_curve_follows(const raudo_curve *c, uint32_t hash) noexcept
    void raudo_curve_look_up(raudo_curve *c, uint32_t hash) noexcept
    void raudo_curve_store(raudo_curve *c, uint32_t hash, uint32_t weight) noexcept
    void raudo_curve_take_over(raudo_curve *c, const raudo_curve *other) noexcept
    void raudo_curve_forget(raudo_curve *c, uint32_t hash) noexcept
    void raudo_curve_forget_all(raudo_curve *c) noexcept
    ctypedef enum raudo_curve_event:  # what those who watch are told of a key
        LOOKED_UP "RAUDO_LOOKED_UP"
        STORED "RAUDO_STORED_KEY"
        LEFT "RAUDO_LEFT"  # removed or expired
    void raudo_curve_tell(
        raudo_curve *c, raudo_curve_event what, uint32_t hash, uint32_t weight
    ) noexcept


@cython.final
cdef class Curve:
    cdef raudo_curve c
    cdef readonly tuple sizes  # entries or weights, ascending
    cdef readonly bint is_weighted
    cdef tuple regions  # of each size, the number of the region that it ends
