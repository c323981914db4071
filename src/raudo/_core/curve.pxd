"""A miss-ratio curve kept online, as the table feeds it."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "table/curve.h" nogil:
    ctypedef struct raudo_curve:
        uint64_t below
        uint32_t length
        uint32_t n_regions
        uint32_t *limits
        uint64_t *hits
        uint64_t n_lookups

    int raudo_curve_init(
        raudo_curve *c, uint64_t below, const uint32_t *limits, uint32_t n_regions
    ) noexcept
    void raudo_curve_free(raudo_curve *c) noexcept
    bint raudo_curve_follows(const raudo_curve *c, uint32_t hash) noexcept
    void raudo_curve_look_up(raudo_curve *c, uint32_t hash) noexcept
    void raudo_curve_store(raudo_curve *c, uint32_t hash) noexcept
    void raudo_curve_forget(raudo_curve *c, uint32_t hash) noexcept
    void raudo_curve_forget_all(raudo_curve *c) noexcept


@cython.final
cdef class Curve:
    cdef raudo_curve c
    cdef readonly tuple sizes  # entries, ascending
    cdef tuple regions  # of each size, the number of the region that it ends
