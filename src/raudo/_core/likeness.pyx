"""Sets of words compared: joined by exact similarity, signed, ranked by what they share, without the GIL.

Many sets are one CSR pair, as in `text`. Functions take arrays as they are (C order, the dtype that the
stub names) and trust the room above to have checked them. Each call is deterministic: the number of threads
never shows in a result.
"""

from libc.stdlib cimport calloc, free, malloc

import numpy as np

from raudo._core.shares import in_threads, ranges


def rank_terms(const int64_t[::1] offsets not None, const uint32_t[::1] terms not None,
               const uint32_t[::1] rank_of not None, *, n_jobs=1):
    cdef Py_ssize_t n = offsets.shape[0] - 1
    cdef unsigned bits = len(rank_of).bit_length()
    ranks = np.empty(terms.shape[0], np.uint32)
    cdef uint32_t[::1] out = ranks
    if terms.shape[0] == 0:
        return ranks

    def work(piece):
        cdef Py_ssize_t lo = piece[0], hi = piece[1], i
        cdef int64_t j, most = 0
        cdef uint32_t *scratch
        for i in range(lo, hi):
            most = max(most, offsets[i + 1] - offsets[i])
        scratch = <uint32_t *> malloc((most + 1) * sizeof(uint32_t))
        if scratch == NULL:
            raise MemoryError
        with nogil:
            for i in range(lo, hi):
                for j in range(offsets[i], offsets[i + 1]):
                    out[j] = rank_of[terms[j]]
                if offsets[i + 1] > offsets[i]:
                    raudo_sort_ranks(&out[offsets[i]], offsets[i + 1] - offsets[i], scratch, bits)
        free(scratch)

    in_threads(work, ranges(n, 4096), n_jobs)
    return ranks


def minhash(const int64_t[::1] offsets not None, const uint64_t[::1] words not None,
            const uint32_t[::1] seeds not None, *, n_jobs=1):
    cdef Py_ssize_t n = offsets.shape[0] - 1, n_components = seeds.shape[0]
    cdef uint64_t nothing = 0
    cdef const uint64_t *first = &words[0] if words.shape[0] > 0 else &nothing
    signatures = np.empty((n, n_components), np.uint32)
    cdef uint32_t[:, ::1] out = signatures
    if n == 0 or n_components == 0:
        return signatures

    def work(piece):
        cdef Py_ssize_t lo = piece[0], hi = piece[1]
        with nogil:
            raudo_minhash(&offsets[0], first, lo, hi, &seeds[0], n_components, &out[lo, 0])

    in_threads(work, ranges(n, 2048), n_jobs)
    return signatures


def jaccard_pairs(const int64_t[::1] offsets not None, const uint64_t[::1] words not None,
                  const int64_t[::1] left not None, const int64_t[::1] right not None):
    cdef Py_ssize_t i, n = left.shape[0]
    cdef int64_t a, b
    cdef size_t n_a, n_b, shared
    similarities = np.zeros(n, np.float64)
    cdef double[::1] out = similarities
    if words.shape[0] == 0:
        return similarities
    cdef const uint64_t *first = &words[0]
    with nogil:
        for i in range(n):
            a, b = left[i], right[i]
            n_a, n_b = offsets[a + 1] - offsets[a], offsets[b + 1] - offsets[b]
            shared = raudo_overlap(first + offsets[a], n_a, first + offsets[b], n_b)
            if shared > 0:
                out[i] = <double> shared / <double> (n_a + n_b - shared)
    return similarities


def reach(const int64_t[::1] offsets not None, const uint64_t[::1] words not None,
          const int64_t[::1] left not None, const int64_t[::1] other_offsets not None,
          const uint64_t[::1] other_words not None, const int64_t[::1] right not None, double threshold):
    cdef Py_ssize_t i, n = left.shape[0]
    cdef int64_t a, b
    cdef size_t n_a, n_b
    found = np.zeros(n, np.uint8)
    cdef unsigned char[::1] out = found
    if words.shape[0] == 0 or other_words.shape[0] == 0:
        return found.view(bool)
    cdef const uint64_t *mine = &words[0]
    cdef const uint64_t *theirs = &other_words[0]
    with nogil:
        for i in range(n):
            a, b = left[i], right[i]
            n_a, n_b = offsets[a + 1] - offsets[a], other_offsets[b + 1] - other_offsets[b]
            out[i] = raudo_reach(mine + offsets[a], n_a, theirs + other_offsets[b], n_b, threshold)
    return found.view(bool)


cdef class SetJoin:
    """Similar sets, joined into components. Each thread that works on it brings its own `Forest`."""

    cdef raudo_sets sets
    cdef raudo_postings postings
    cdef object _held
    cdef readonly Py_ssize_t n

    def __init__(self, const int64_t[::1] offsets not None, const uint32_t[::1] ranks not None,
                 double threshold):
        self.n = offsets.shape[0] - 1
        self.sets.offsets = &offsets[0]
        self.sets.ranks = &ranks[0] if ranks.shape[0] > 0 else NULL
        self.sets.n_sets = self.n
        self.sets.threshold = threshold
        signatures = np.empty(2 * self.n + 1, np.uint64)
        cdef uint64_t[::1] bits = signatures
        with nogil:
            raudo_sign_sets(&self.sets, &bits[0])
        self.sets.signatures = &bits[0]
        self._held = [offsets, ranks, signatures]

    def build_index(self, Py_ssize_t n_ranks):
        starts = np.zeros(n_ranks + 1, np.int64)
        probes = np.zeros(n_ranks + 1, np.int64)
        cdef int64_t[::1] heads = starts
        cdef int64_t[::1] looked_up = probes
        with nogil:
            raudo_count_postings(&self.sets, &heads[0], &looked_up[0])
        visits = starts[1:].astype(np.float64) @ probes[:n_ranks].astype(np.float64)
        np.cumsum(starts, out=starts)
        next_ = starts.copy()
        in_sets = np.empty(max(1, starts[n_ranks]), np.uint32)
        places = np.empty_like(in_sets)
        cdef int64_t[::1] cursor = next_
        cdef uint32_t[::1] sets = in_sets
        cdef uint32_t[::1] where = places
        with nogil:
            raudo_fill_postings(&self.sets, &cursor[0], &sets[0], &where[0])
        self.postings.starts = &heads[0]
        self.postings.sets = &sets[0]
        self.postings.places = &where[0]
        self._held += [starts, in_sets, places]
        return float(visits) / 2

    def join(self, Py_ssize_t lo, Py_ssize_t hi, Forest forest not None):
        with nogil:
            raudo_join(&self.sets, &self.postings, lo, hi, forest.parents, forest.seen)

    def join_buckets(self, const int64_t[::1] starts not None, const int64_t[::1] members not None,
                     Py_ssize_t lo, Py_ssize_t hi, Forest forest not None):
        cdef Py_ssize_t b
        cdef int64_t most = 0
        cdef uint32_t *scratch
        for b in range(lo, hi):
            most = max(most, starts[b + 1] - starts[b])
        if most == 0:
            return
        scratch = <uint32_t *> malloc(3 * most * sizeof(uint32_t))
        if scratch == NULL:
            raise MemoryError
        with nogil:
            raudo_join_buckets(&self.sets, &starts[0], &members[0], lo, hi, forest.parents, scratch)
        free(scratch)


cdef class Forest:
    """A union-find forest over n things; for one thread at a time."""

    cdef uint32_t *parents
    cdef uint32_t *seen
    cdef readonly Py_ssize_t n

    def __cinit__(self, Py_ssize_t n):
        cdef Py_ssize_t i
        if n < 0 or n >= 0xFFFFFFFE:
            raise ValueError(f"n is {n}, wanted 0 to 2**32 - 3")
        self.n = n
        self.parents = <uint32_t *> malloc((n + 1) * sizeof(uint32_t))
        self.seen = <uint32_t *> calloc(n + 1, sizeof(uint32_t))
        if self.parents == NULL or self.seen == NULL:
            raise MemoryError
        for i in range(n):
            self.parents[i] = <uint32_t> i

    def __dealloc__(self):
        free(self.parents)
        free(self.seen)

    def unite(self, const int64_t[::1] left not None, const int64_t[::1] right not None):
        cdef Py_ssize_t i
        with nogil:
            for i in range(left.shape[0]):
                raudo_unite(self.parents, <uint32_t> left[i], <uint32_t> right[i])

    def merge(self, Forest other not None):
        cdef Py_ssize_t i
        if other.n != self.n:
            raise ValueError(f"other has {other.n} members, wanted {self.n}")
        with nogil:
            for i in range(self.n):
                raudo_unite(self.parents, <uint32_t> i, other.parents[i])

    def roots(self):
        cdef Py_ssize_t i
        result = np.empty(self.n, np.int64)
        cdef int64_t[::1] out = result
        with nogil:
            for i in range(self.n):
                out[i] = raudo_root(self.parents, <uint32_t> i)
        return result
