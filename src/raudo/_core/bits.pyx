"""Hamming and Jaccard distances of packed bits: full matrices, and the k nearest.

Base rows are packed in panels (csrc/panel/panel.h), and one product serves both: what two rows have in
common. With the number of bits of each, |a xor b| = |a| + |b| - 2 |a and b|, and |a or b| likewise. All
of it is whole numbers, so that panels and row kernels give the same digits. A few queries are not worth
packing for: they go by the row kernels.

Arguments are assumed checked: equal widths, unit stride along a row. The GIL is released throughout.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from raudo._core.kernels cimport (
    BASE_BLOCK, RAUDO_hamming_bits, active, active_panels, aligned, raudo_panel_kernels,
    raudo_rows, real, rows_of,
)
from raudo._core.topk cimport raudo_topk, raudo_topk_limit, raudo_topk_push, topk_finish_rows, topk_of_rows


cdef extern from "panel/panel.h" nogil:
    enum:
        RAUDO_PANEL_ROWS
        RAUDO_PANEL_QUERIES
        RAUDO_PANEL_GROUP

cdef enum:
    BLOCK_ROWS = 256       # eight panels of 1,024 bits fill the first-level cache
    FEW_QUERIES = 3        # up to here packing the base costs more than it saves


cdef struct Rows:
    const unsigned char *first
    size_t n, stride, d


cdef inline size_t panel_bytes(size_t d) noexcept nogil:
    return (d + RAUDO_PANEL_GROUP - 1) // RAUDO_PANEL_GROUP * RAUDO_PANEL_ROWS * RAUDO_PANEL_GROUP


cdef inline size_t tile_bytes(size_t d) noexcept nogil:
    return (d + RAUDO_PANEL_GROUP - 1) // RAUDO_PANEL_GROUP * RAUDO_PANEL_QUERIES * RAUDO_PANEL_GROUP


cdef void pack_bits(const unsigned char *rows, size_t n, size_t stride, size_t d, size_t width,
                    unsigned char *packed) noexcept nogil:
    """Pack n <= width rows: the g-th four bytes of all of them lie together; zeros fill up."""
    cdef size_t n_groups = (d + RAUDO_PANEL_GROUP - 1) // RAUDO_PANEL_GROUP, whole = d // RAUDO_PANEL_GROUP
    cdef size_t step = width * RAUDO_PANEL_GROUP, j, g
    cdef const unsigned char *row
    cdef unsigned char *out
    if n < width or whole < n_groups:
        memset(packed, 0, n_groups * step)
    for j in range(n):
        row = rows + j * stride
        out = packed + j * RAUDO_PANEL_GROUP
        for g in range(whole):
            memcpy(out + g * step, row + g * RAUDO_PANEL_GROUP, RAUDO_PANEL_GROUP)
        memcpy(out + whole * step, row + whole * RAUDO_PANEL_GROUP, d - whole * RAUDO_PANEL_GROUP)


cdef struct Work:  # what a matrix and a search both keep
    unsigned char *tiles   # all queries
    unsigned char *panels  # BLOCK_ROWS of the base
    int32_t *sums          # of a tile of queries and a block
    int32_t *query_bits
    int32_t *base_bits
    double *counts         # row kernels write these
    const unsigned char *zeros
    void *memory


cdef int begin(Work *work, const Rows *queries, size_t extra_bytes) except -1 nogil:
    """Make room, with `extra_bytes` behind `counts`, and pack the queries."""
    cdef size_t d = queries.d, i, n_tiles = (queries.n + RAUDO_PANEL_QUERIES - 1) // RAUDO_PANEL_QUERIES
    cdef size_t padded = n_tiles * RAUDO_PANEL_QUERIES
    cdef size_t longest = padded if padded > BLOCK_ROWS else BLOCK_ROWS
    work.tiles = <unsigned char *> aligned(
        n_tiles * tile_bytes(d) + BLOCK_ROWS // RAUDO_PANEL_ROWS * panel_bytes(d) + (d + 7) // 8 * 8
        + (RAUDO_PANEL_QUERIES * BLOCK_ROWS + padded + BLOCK_ROWS) * sizeof(int32_t)
        + longest * sizeof(double) + extra_bytes + 64, &work.memory)
    if work.tiles == NULL:
        raise MemoryError()
    work.panels = work.tiles + n_tiles * tile_bytes(d)
    work.sums = <int32_t *> (work.panels + BLOCK_ROWS // RAUDO_PANEL_ROWS * panel_bytes(d))
    work.query_bits = work.sums + RAUDO_PANEL_QUERIES * BLOCK_ROWS
    work.base_bits = work.query_bits + padded
    work.counts = <double *> (((<size_t> (work.base_bits + BLOCK_ROWS)) + 7) & ~<size_t> 7)
    cdef unsigned char *zeros = <unsigned char *> (work.counts + longest) + extra_bytes
    memset(zeros, 0, d)
    work.zeros = zeros
    for i in range(n_tiles):
        pack_bits(queries.first + i * RAUDO_PANEL_QUERIES * queries.stride,
                  min(<size_t> RAUDO_PANEL_QUERIES, queries.n - i * RAUDO_PANEL_QUERIES), queries.stride, d,
                  RAUDO_PANEL_QUERIES, work.tiles + i * tile_bytes(d))
    count(work, queries, 0, queries.n, work.query_bits)
    return 0


cdef void count(const Work *work, const Rows *rows, size_t first, size_t n, int32_t *out) noexcept nogil:
    """Write how many bits rows [first, first + n) have."""
    cdef size_t j
    rows_of(active(), RAUDO_hamming_bits)(work.zeros, rows.first + first * rows.stride, n, rows.stride, rows.d,
                                          work.counts)
    for j in range(n):
        out[j] = <int32_t> work.counts[j]


cdef void lay(const Work *work, const Rows *base, size_t first, size_t n) noexcept nogil:
    """Pack rows [first, first + n) of the base, and count their bits."""
    cdef size_t j = 0
    while j < n:
        pack_bits(base.first + (first + j) * base.stride, min(<size_t> RAUDO_PANEL_ROWS, n - j), base.stride,
                  base.d, RAUDO_PANEL_ROWS, work.panels + j // RAUDO_PANEL_ROWS * panel_bytes(base.d))
        j += RAUDO_PANEL_ROWS
    count(work, base, first, n, work.base_bits)


cdef void multiply_bits(const raudo_panel_kernels *kernels, const Work *work, size_t d, size_t tile, size_t m,
                        size_t n) noexcept nogil:
    """Write what the m queries of a tile have in common with the n rows that lie packed."""
    cdef size_t n_groups = (d + RAUDO_PANEL_GROUP - 1) // RAUDO_PANEL_GROUP, j = 0
    while j < n:
        kernels.dot_bits(n_groups, m, work.tiles + tile * tile_bytes(d),
                         work.panels + j // RAUDO_PANEL_ROWS * panel_bytes(d), work.sums + j, BLOCK_ROWS)
        j += RAUDO_PANEL_ROWS


# --- the full matrix ------------------------------------------------------------------------------

cdef void share(const raudo_panel_kernels *kernels, bint jaccard, const int32_t *both, int32_t a,
                const int32_t *b, size_t n, size_t positions, real *out) noexcept nogil:
    if real is float:
        (kernels.share_jaccard_f32 if jaccard else kernels.share_hamming_f32)(both, a, b, n, positions, out)
    else:
        (kernels.share_jaccard_f64 if jaccard else kernels.share_hamming_f64)(both, a, b, n, positions, out)


cdef int _pairwise(const Rows *x, const Rows *y, real *out, size_t out_stride, bint jaccard,
                   size_t positions) except -1 nogil:
    cdef const raudo_panel_kernels *kernels = active_panels()
    cdef Work work
    cdef size_t first = 0, n, i, row, m
    begin(&work, x, 0)
    while first < y.n:
        n = min(<size_t> BLOCK_ROWS, y.n - first)
        lay(&work, y, first, n)
        i = 0
        while i < x.n:
            m = min(<size_t> RAUDO_PANEL_QUERIES, x.n - i)
            multiply_bits(kernels, &work, x.d, i // RAUDO_PANEL_QUERIES, m, n)
            for row in range(m):
                share(kernels, jaccard, work.sums + row * BLOCK_ROWS, work.query_bits[i + row], work.base_bits, n,
                      positions, out + (i + row) * out_stride + first)
            i += m
        first += n
    free(work.memory)
    return 0


def pairwise_bits(const unsigned char[:, :] x not None, const unsigned char[:, :] y not None,
                  real[:, :] out not None, bint jaccard, size_t positions):
    """Fill out[i, j]; a Hamming distance is the share of `positions`, at least 1, that differ."""
    cdef Rows queries, base
    if out.shape[0] == 0 or out.shape[1] == 0:
        return
    if x.shape[1] == 0:
        out[:, :] = 0
        return
    set_rows(&queries, x)
    set_rows(&base, y)
    with nogil:
        _pairwise(&queries, &base, &out[0, 0], out.strides[0] // sizeof(real), jaccard, positions)


cdef void set_rows(Rows *rows, const unsigned char[:, :] given) noexcept:
    rows.n, rows.d, rows.stride = given.shape[0], given.shape[1], given.strides[0]
    rows.first = &given[0, 0] if rows.n and rows.d else NULL


# --- the k nearest --------------------------------------------------------------------------------

cdef struct Wanted:
    const int64_t *ids            # NULL: a row's number is its id
    const unsigned char *allowed  # NULL: all are
    bint jaccard


cdef inline void keep(const Wanted *wanted, raudo_topk *top, double score, size_t row) noexcept nogil:
    if wanted.allowed == NULL or wanted.allowed[row]:
        raudo_topk_push(top, score, wanted.ids[row] if wanted.ids != NULL else <int64_t> row)


cdef int _search_rows(const Rows *queries, const Rows *base, const Wanted *wanted, raudo_rows kernel,
                      raudo_topk *tops) except -1 nogil:
    cdef double[BASE_BLOCK] scores
    cdef double limit
    cdef size_t first = 0, n, i, j
    while first < base.n:
        n = min(<size_t> BASE_BLOCK, base.n - first)
        for i in range(queries.n):
            kernel(queries.first + i * queries.stride, base.first + first * base.stride, n, base.stride, base.d,
                   scores)
            limit = raudo_topk_limit(&tops[i])
            for j in range(n):
                if scores[j] <= limit:
                    keep(wanted, &tops[i], scores[j], first + j)
                    limit = raudo_topk_limit(&tops[i])
        first += n
    return 0


cdef int _search_panels(const Rows *queries, const Rows *base, const Wanted *wanted,
                        raudo_topk *tops) except -1 nogil:
    cdef const raudo_panel_kernels *kernels = active_panels()
    cdef Work work
    cdef size_t first = 0, n, i, j, m
    begin(&work, queries, BLOCK_ROWS * (2 * sizeof(float) + sizeof(uint32_t)))
    cdef float *bias = <float *> (work.counts + (queries.n + RAUDO_PANEL_QUERIES if queries.n > BLOCK_ROWS
                                                 else BLOCK_ROWS))
    cdef float *ones = bias + BLOCK_ROWS
    cdef uint32_t *found = <uint32_t *> (ones + BLOCK_ROWS)
    for j in range(<size_t> BLOCK_ROWS):
        ones[j] = 1
    while first < base.n:
        n = min(<size_t> BLOCK_ROWS, base.n - first)
        lay(&work, base, first, n)
        for j in range(n):
            bias[j] = <float> work.base_bits[j]
        i = 0
        while i < queries.n:
            m = min(<size_t> RAUDO_PANEL_QUERIES, queries.n - i)
            multiply_bits(kernels, &work, base.d, i // RAUDO_PANEL_QUERIES, m, n)
            for j in range(m):
                _keep(kernels, wanted, work.sums + j * BLOCK_ROWS, work.query_bits[i + j], work.base_bits, bias,
                      ones, first, n, found, &tops[i + j])
            i += m
        first += n
    free(work.memory)
    return 0


cdef void _keep(const raudo_panel_kernels *kernels, const Wanted *wanted, const int32_t *both, int32_t a,
                const int32_t *b, const float *bias, const float *ones, size_t first, size_t n,
                uint32_t *found, raudo_topk *top) noexcept nogil:
    """Keep what is among the best of a block: a key |b| - f |a and b| says what may be.

    Hamming: f is 2 and the key at most the limit less |a|. Jaccard at most t: |a and b| is at least
    (1 - t) / (2 - t) of |a| + |b|, so that f is (2 - t) / (1 - t) and the key at most -|a|.
    """
    cdef double limit = raudo_topk_limit(top), factor = 2, most = limit - a
    cdef size_t f, j
    cdef int32_t either
    if wanted.jaccard:
        factor = (2 - limit) / (1 - limit) if limit < 1 else 0
        most = INFINITY if limit >= 1 else 1e-5 * (1 + factor) * (a + 1) - a
    for f in range(kernels.sift_i8(both, ones, bias, <float> factor, <float> most, n, found)):
        j = found[f]
        either = a + b[j] - both[j]
        if wanted.jaccard:
            keep(wanted, top, <double> (either - both[j]) / either if either else 0, first + j)
        else:
            keep(wanted, top, either - both[j], first + j)


def nearest_bits(const unsigned char[:, :] queries not None, const unsigned char[:, :] base not None,
                 const int64_t[::1] ids, const unsigned char[::1] allowed, bint jaccard, size_t row_kernel,
                 double[:, ::1] scores not None, int64_t[:, ::1] found not None):
    """Write each query's best scores (Hamming: counts) and ids, NaN and -1 where there are fewer."""
    cdef size_t q = queries.shape[0]
    cdef raudo_rows kernel = rows_of(active(), row_kernel)
    cdef Rows asked, rows
    cdef Wanted wanted
    cdef raudo_topk *tops
    if q == 0 or scores.shape[1] == 0:
        return
    tops = topk_of_rows(scores, found)
    set_rows(&asked, queries)
    set_rows(&rows, base)
    wanted.ids = &ids[0] if ids is not None and rows.n else NULL
    wanted.allowed = &allowed[0] if allowed is not None and rows.n else NULL
    wanted.jaccard = jaccard
    try:
        with nogil:
            if q > FEW_QUERIES and rows.d:
                _search_panels(&asked, &rows, &wanted, tops)
            else:
                _search_rows(&asked, &rows, &wanted, kernel, tops)
            topk_finish_rows(tops, q)
    finally:
        free(tops)
