"""The k best of a stream (csrc/topk/topk.h), and one for each query over the rows of an answer."""

from libc.stdint cimport int64_t
from libc.stdlib cimport malloc


cdef extern from "topk/topk.h" nogil:
    ctypedef struct raudo_topk:
        double *scores
        int64_t *ids
        size_t k
        size_t size

    double raudo_topk_limit(const raudo_topk *top)
    void raudo_topk_push(raudo_topk *top, double score, int64_t id)
    void raudo_topk_finish(raudo_topk *top)


cdef inline raudo_topk *topk_of_rows(double[:, ::1] scores, int64_t[:, ::1] ids) except NULL:
    """Return an empty heap for each row of the two arrays, neither of which is empty; to be freed."""
    cdef size_t i, q = scores.shape[0]
    cdef raudo_topk *tops = <raudo_topk *> malloc(q * sizeof(raudo_topk))
    if tops == NULL:
        raise MemoryError()
    for i in range(q):
        tops[i].scores, tops[i].ids = &scores[i, 0], &ids[i, 0]
        tops[i].k, tops[i].size = scores.shape[1], 0
    return tops


cdef inline void topk_finish_rows(raudo_topk *tops, size_t q) noexcept nogil:
    """Sort each, best first; NaN and -1 where there are fewer than k."""
    cdef size_t i
    for i in range(q):
        raudo_topk_finish(&tops[i])
