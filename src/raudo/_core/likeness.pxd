from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "likeness/ranks.h" nogil:
    void raudo_sort_ranks(uint32_t *items, size_t n, uint32_t *scratch, unsigned bits)
    size_t raudo_overlap(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b)
    bint raudo_reach(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b, double threshold)


cdef extern from "likeness/minhash.h" nogil:
    void raudo_minhash(const int64_t *offsets, const uint64_t *words, size_t lo, size_t hi,
                       const uint32_t *seeds, size_t n_components, uint32_t *out)


cdef extern from "likeness/join.h" nogil:
    ctypedef struct raudo_sets:
        const int64_t *offsets
        const uint32_t *ranks
        const uint64_t *signatures
        size_t n_sets
        double threshold

    ctypedef struct raudo_postings:
        const int64_t *starts
        const uint32_t *sets
        const uint32_t *places

    void raudo_sign_sets(const raudo_sets *sets, uint64_t *signatures)
    void raudo_count_postings(const raudo_sets *sets, int64_t *starts, int64_t *probes)
    void raudo_fill_postings(const raudo_sets *sets, int64_t *next, uint32_t *in_sets, uint32_t *places)
    void raudo_join(const raudo_sets *sets, const raudo_postings *postings, size_t lo, size_t hi,
                    uint32_t *parents, uint32_t *seen)
    void raudo_join_buckets(const raudo_sets *sets, const int64_t *starts, const int64_t *members, size_t lo,
                            size_t hi, uint32_t *parents, uint32_t *scratch)
    uint32_t raudo_root(uint32_t *parents, uint32_t i)
    void raudo_unite(uint32_t *parents, uint32_t a, uint32_t b)
