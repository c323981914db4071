"""The k nearest of each of many sparse rows, exactly: `csrc/sparse/nearest.h` has the method.

Arguments are assumed checked; the GIL is released. The number of threads never shows in a result.
"""

from libc.math cimport fabsf
from libc.stdint cimport int16_t, int64_t, uint16_t
from libc.stdlib cimport free, malloc

from raudo._core.topk cimport raudo_topk, raudo_topk_finish, raudo_topk_limit, raudo_topk_push

import numpy as np

from raudo._core.shares import in_threads, ranges
from raudo._core.text import take_rows


cdef extern from "sparse/nearest.h" nogil:
    enum:
        RAUDO_MOST_DIMENSIONS
        RAUDO_TILE_ROWS

    ctypedef struct raudo_sparse:
        const int64_t *offsets
        const uint16_t *places
        const float *values
        const int16_t *weights
        const float *least
        const int64_t *names
        size_t n
        size_t dimensions

    size_t raudo_count_numbers(const float *row, size_t dimensions)
    void raudo_gather_numbers(const float *row, size_t dimensions, uint16_t *places, float *values,
                              int16_t *weights)
    size_t raudo_nearest_scratch(size_t dimensions)
    void raudo_meet_rows(const raudo_sparse *rows, size_t lo, size_t hi, size_t first, size_t until,
                         raudo_topk *tops, void *scratch)
    bint raudo_is_complete(const raudo_sparse *rows, size_t x, const raudo_topk *top)
    void raudo_offer_all(const raudo_sparse *rows, size_t x, raudo_topk *top, void *scratch)


MOST_DIMENSIONS = RAUDO_MOST_DIMENSIONS


cdef class _Tops:
    """The k best so far of each of n rows."""

    cdef raudo_topk *tops
    cdef double *scores
    cdef int64_t *ids

    def __cinit__(self, Py_ssize_t n, Py_ssize_t k):
        cdef Py_ssize_t i
        self.tops = <raudo_topk *> malloc(n * sizeof(raudo_topk))
        self.scores = <double *> malloc(n * k * sizeof(double))
        self.ids = <int64_t *> malloc(n * k * sizeof(int64_t))
        if self.tops == NULL or self.scores == NULL or self.ids == NULL:
            raise MemoryError
        for i in range(n):
            self.tops[i].scores, self.tops[i].ids = self.scores + i * k, self.ids + i * k
            self.tops[i].k, self.tops[i].size = k, 0

    def __dealloc__(self):
        free(self.tops)
        free(self.scores)
        free(self.ids)


cdef void _take_over(raudo_topk *top, const raudo_topk *other) noexcept nogil:
    cdef size_t i
    for i in range(other.size):
        raudo_topk_push(top, other.scores[i], other.ids[i])


cdef _count_numbers(const float[:, ::1] vectors, const int64_t[::1] numbers, n_jobs):
    cdef Py_ssize_t d = vectors.shape[1]
    counts = np.zeros(numbers.shape[0], np.int64)
    cdef int64_t[::1] out = counts

    def count(piece):
        cdef Py_ssize_t lo = piece[0], hi = piece[1]
        cdef Py_ssize_t i
        with nogil:
            for i in range(lo, hi):
                out[i] = raudo_count_numbers(&vectors[numbers[i], 0], d)

    in_threads(count, ranges(numbers.shape[0], 8192), n_jobs)
    return counts


cdef _gather_numbers(const float[:, ::1] vectors, const int64_t[::1] numbers, const int64_t[::1] ends,
                     uint16_t[::1] places, float[::1] values, int16_t[::1] weights, n_jobs):
    cdef Py_ssize_t d = vectors.shape[1]

    def gather(piece):
        cdef Py_ssize_t lo = piece[0], hi = piece[1]
        cdef Py_ssize_t i
        with nogil:
            for i in range(lo, hi):
                raudo_gather_numbers(&vectors[numbers[i], 0], d, &places[ends[i]], &values[ends[i]],
                                     &weights[ends[i]])

    in_threads(gather, ranges(numbers.shape[0], 8192), n_jobs)


cdef class SparseRows:
    """The numbers other than zero of some rows."""

    cdef raudo_sparse rows
    cdef object _held
    cdef readonly Py_ssize_t n
    cdef readonly Py_ssize_t n_numbers

    def __init__(self, pieces not None, *, n_jobs=1):
        cdef const float[:, ::1] vectors
        cdef const int64_t[::1] numbers
        cdef Py_ssize_t d = 0
        counts = [np.zeros(1, np.int64)]
        for vectors, numbers in pieces:
            d = vectors.shape[1]
            counts.append(_count_numbers(vectors, numbers, n_jobs))
        offsets = np.cumsum(np.concatenate(counts))
        cdef int64_t[::1] ends = offsets
        self.n = len(offsets) - 1
        self.n_numbers = ends[self.n]
        places = np.empty(self.n_numbers + 1, np.uint16)
        values = np.empty(self.n_numbers + 1, np.float32)
        weights = np.empty(self.n_numbers + 1, np.int16)
        at = 0
        for vectors, numbers in pieces:
            _gather_numbers(vectors, numbers, offsets[at:], places, values, weights, n_jobs)
            at += numbers.shape[0]
        cdef uint16_t[::1] places_out = places
        cdef float[::1] values_out = values
        cdef int16_t[::1] weights_out = weights
        self.rows.n, self.rows.dimensions = self.n, d
        self.rows.offsets, self.rows.places = &ends[0], &places_out[0]
        self.rows.values, self.rows.weights = &values_out[0], &weights_out[0]
        self.rows.least, self.rows.names = NULL, NULL
        self._held = [offsets, places, values, weights]

    cdef int _meet(self, list pieces, list workers, n_jobs, tick) except -1:
        """Let the tiles of `pieces`, (lo, hi, first, until), meet, a worker for each of these tops."""
        left = iter(pieces)
        stopped = []

        def meet(_Tops mine):
            cdef Py_ssize_t lo, hi, first, until
            cdef void *scratch = malloc(raudo_nearest_scratch(self.rows.dimensions))
            if scratch == NULL:
                raise MemoryError
            try:
                for lo, hi, first, until in left:
                    if stopped:
                        break
                    with nogil:
                        raudo_meet_rows(&self.rows, lo, hi, first, until, mine.tops, scratch)
                    if tick is not None:
                        tick(hi - lo)
            except BaseException:
                stopped.append(True)
                raise
            finally:
                free(scratch)

        in_threads(meet, workers, n_jobs, stopped)
        return 0

    cdef int _put_together(self, list workers, n_jobs) except -1:
        """Move what the others have into the tops of the first worker."""

        def gather(piece):
            cdef Py_ssize_t lo = piece[0], hi = piece[1], i
            cdef _Tops mine = workers[0], other
            for other in workers[1:]:
                with nogil:
                    for i in range(lo, hi):
                        _take_over(&mine.tops[i], &other.tops[i])

        in_threads(gather, ranges(self.n, 8192), n_jobs)
        return 0

    cdef tuple _finish(self, _Tops tops, const int64_t[::1] rows, Py_ssize_t k, n_jobs, bint whole):
        """Return what the tops of these rows have; `whole` ones must have all that they should."""
        cdef Py_ssize_t n = rows.shape[0], wanted = min(k, self.n)
        ids = np.full((n, k), -1, np.int64)
        products = np.full((n, k), np.nan, np.float32)
        cdef int64_t[:, ::1] ids_out = ids
        cdef float[:, ::1] products_out = products

        def finish(piece):
            cdef Py_ssize_t lo = piece[0], hi = piece[1]
            cdef Py_ssize_t i, j
            cdef raudo_topk *top
            cdef void *scratch = malloc(raudo_nearest_scratch(self.rows.dimensions))
            if scratch == NULL:
                raise MemoryError
            with nogil:
                for i in range(lo, hi):
                    top = &tops.tops[rows[i]]
                    if whole and not raudo_is_complete(&self.rows, rows[i], top):
                        raudo_offer_all(&self.rows, rows[i], top, scratch)
                    raudo_topk_finish(top)
                    for j in range(wanted):
                        ids_out[i, j] = top.ids[j]
                        products_out[i, j] = <float> -top.scores[j]
            free(scratch)

        in_threads(finish, ranges(n, 8192), n_jobs)
        return ids, products

    def nearest(self, Py_ssize_t k, *, n_jobs=1, tick=None):
        cdef Py_ssize_t n = self.n, i
        cdef _Tops tops
        if n == 0 or k == 0:
            return np.full((n, k), -1, np.int64), np.full((n, k), np.nan, np.float32)
        # Rows that share their largest numbers stand together, and each tile first meets itself: so
        # every row knows early what its best will be like, and little else is looked at twice.
        # Within a tile those of one length follow each other, as a processor foresees where their
        # loops end.
        order = np.argsort(self._largest(), kind="stable")
        order = order[np.lexsort((np.diff(self._held[0])[order], np.arange(n) // RAUDO_TILE_ROWS))]
        cdef SparseRows rows = self._reordered(order)
        cdef const int64_t[::1] names = order
        rows.rows.names = &names[0]
        tiles = ranges(n, RAUDO_TILE_ROWS)
        tops = _Tops(n, min(k, n))
        rows._meet([(lo, hi, lo, hi) for lo, hi in tiles], [tops] * min(n_jobs, len(tiles)), n_jobs, None)
        least = np.full(n, -np.inf, np.float32)
        cdef float[::1] limits = least
        for i in range(n):
            if tops.tops[i].size == tops.tops[i].k:
                limits[i] = <float> -tops.tops[i].scores[0]
        # What equals the last of the best may be better by its place.
        np.nextafter(least, np.float32(-np.inf), out=least)
        rows.rows.least = &limits[0]
        # Then each worker has tops of its own, so that none waits. The first tiles meet the most.
        workers = [tops, *(_Tops(n, min(k, n)) for _ in range(min(n_jobs, len(tiles)) - 1))]
        rows._meet([(lo, hi, hi, n) for lo, hi in tiles], workers, n_jobs, tick)
        rows._put_together(workers, n_jobs)
        rows.rows.least = NULL
        place_of = np.empty(n, np.int64)
        place_of[order] = np.arange(n)
        return rows._finish(tops, place_of, k, n_jobs, True)

    cdef object _largest(self):
        """Return for each row the places of its two largest numbers, as one number."""
        cdef Py_ssize_t i
        cdef int64_t j
        cdef float size, first, second
        cdef int64_t first_place, second_place
        keys = np.empty(self.n, np.int64)
        cdef int64_t[::1] out = keys
        with nogil:
            for i in range(self.n):
                first, second, first_place, second_place = -1, -1, 0, 0
                for j in range(self.rows.offsets[i], self.rows.offsets[i + 1]):
                    size = fabsf(self.rows.values[j])
                    if size > first:
                        second, second_place = first, first_place
                        first, first_place = size, self.rows.places[j]
                    elif size > second:
                        second, second_place = size, self.rows.places[j]
                out[i] = first_place * RAUDO_MOST_DIMENSIONS + second_place
        return keys

    cdef SparseRows _reordered(self, order):
        cdef SparseRows rows = SparseRows.__new__(SparseRows)
        offsets, places, values, weights = self._held
        starts, places = take_rows(offsets, places, order)
        cdef const int64_t[::1] ends = starts
        cdef const uint16_t[::1] places_in = places
        values = take_rows(offsets, values, order)[1]
        weights = take_rows(offsets, weights, order)[1]
        cdef const float[::1] values_in = values
        cdef const int16_t[::1] weights_in = weights
        rows.rows = self.rows
        rows.n, rows.n_numbers = self.n, self.n_numbers
        rows.rows.offsets = &ends[0]
        if self.n_numbers:
            rows.rows.places, rows.rows.values = &places_in[0], &values_in[0]
            rows.rows.weights = &weights_in[0]
        rows._held = [starts, places, values, weights]
        return rows

    def meet_first(self, Py_ssize_t m, Py_ssize_t k, const float[::1] least not None, *, n_jobs=1):
        cdef Py_ssize_t i, n = self.n
        cdef _Tops tops
        cdef unsigned char[::1] has_offers
        nothing = np.empty((0, k), np.int64), np.empty((0, k), np.float32)
        if m == 0 or k == 0:
            return (*nothing, np.empty(0, np.int64), *nothing)
        self.rows.least = &least[0]
        chunks = ranges(n, 8 * RAUDO_TILE_ROWS)
        pieces = [
            (lo, hi, max(lo, first), until)
            for lo, hi in ranges(m, RAUDO_TILE_ROWS) for first, until in chunks if until > lo
        ]
        try:
            workers = [_Tops(n, min(k, n)) for _ in range(max(1, min(n_jobs, len(pieces))))]
            self._meet(pieces, workers, n_jobs, None)
            self._put_together(workers, n_jobs)
            tops = workers[0]
            hearing = np.zeros(n, np.uint8)
            has_offers = hearing
            for i in range(m, n):
                has_offers[i] = tops.tops[i].size > 0
            offered = np.flatnonzero(hearing)
            whole = self._finish(tops, np.arange(m), k, n_jobs, True)
            return (*whole, offered, *self._finish(tops, offered, k, n_jobs, False))
        finally:
            self.rows.least = NULL


def spread_copies(const int64_t[:, ::1] near not None, const float[:, ::1] products not None,
                  const int64_t[::1] copy_of not None, const int64_t[::1] starts not None,
                  const int64_t[::1] members not None, Py_ssize_t k, *, n_jobs=1):
    cdef Py_ssize_t n = copy_of.shape[0], width = near.shape[1]
    ids = np.full((n, k), -1, np.int64)
    found = np.full((n, k), np.nan, np.float32)
    if n == 0 or k == 0 or width == 0:
        return ids, found
    cdef int64_t[:, ::1] ids_out = ids
    cdef float[:, ::1] found_out = found

    def work(piece):
        cdef Py_ssize_t lo = piece[0], hi = piece[1]
        cdef Py_ssize_t i, j, at, end
        cdef int64_t mine, other
        cdef raudo_topk top
        cdef double *scores = <double *> malloc(k * sizeof(double))
        if scores == NULL:
            raise MemoryError
        with nogil:
            for i in range(lo, hi):
                mine = copy_of[i]
                if mine < 0:
                    continue
                top.scores, top.ids, top.k, top.size = scores, &ids_out[i, 0], k, 0
                for j in range(width):
                    other = near[mine, j]
                    if other < 0 or -products[mine, j] > raudo_topk_limit(&top):
                        break
                    at, end = starts[other], starts[other + 1]
                    if end > at + k + 1:  # the first k of them, and one for the row itself
                        end = at + k + 1
                    while at < end:
                        if members[at] != i:
                            raudo_topk_push(&top, -<double> products[mine, j], members[at])
                        at += 1
                raudo_topk_finish(&top)
                for j in range(k):
                    found_out[i, j] = <float> -scores[j]
        free(scores)

    in_threads(work, ranges(n, 8192), n_jobs)
    return ids, found
