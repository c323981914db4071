"""Search by compact copies: int8 or bfloat16 copies sift, the rows themselves decide.

A product of copies differs from the product of the rows by at most |a| |b - b'| + |a - a'| |b'|
(Cauchy-Schwarz), and both differences are known. So a row whose copy cannot beat the query's k-th
best by more than that is dropped without looking at the row, and the others are measured by the row
kernel: the answer is that of an exhaustive scan of the rows, digit for digit, at the speed of the
copies. Of 100,000 sentence embeddings about 150 a query are measured. An index that keeps the copies
alone takes what they say.

Scores are doubles, smaller is nearer, NaN is never a match. Arguments are assumed checked; the GIL is
released.
"""

from libc.math cimport INFINITY, NAN, fmax, sqrt
from libc.stdint cimport int8_t, int32_t, int64_t, uint16_t, uint32_t
from libc.stdlib cimport free

from raudo._core.kernels cimport (
    FORM_COSINE, FORM_INNER, FORM_SQEUCLIDEAN, active, active_panels, aligned, raudo_copied,
    raudo_panel_kernels, rows_of,
)
from raudo._core.topk cimport raudo_topk, raudo_topk_limit, raudo_topk_push, topk_finish_rows, topk_of_rows


cdef extern from "float.h" nogil:
    double FLT_EPSILON


cdef extern from "panel/panel.h" nogil:
    enum:
        RAUDO_PANEL_ROWS
        RAUDO_PANEL_QUERIES
        RAUDO_PANEL_GROUP


cdef extern from * nogil:
    void prefetch "__builtin_prefetch"(const void *)


# Bytes of a group of one place of all rows of a panel, and of all queries of a tile.
cdef enum:
    ROWS_BYTES = 32 * 4
    QUERIES_BYTES = 12 * 4


cdef size_t groups_of(int kind, size_t d) noexcept nogil:
    return (d + 3) // 4 if kind == INT8 else (d + 1) // 2


def outruns_float32():
    """Return whether products of int8 take less time than those of float32 on this processor."""
    return active_panels().outruns_float32


def n_groups(int kind, size_t d):
    """Return how many groups of four bytes a row has: the shape of a panel is (groups, 32, 4)."""
    return groups_of(kind, d)


# --- copying --------------------------------------------------------------------------------------

def copy_rows(const float[:, :] rows not None, const int64_t[::1] positions not None,
              const float[::1] shift, int kind, int form, unsigned char[:, :, :, ::1] panels not None,
              float[::1] scale not None, float[::1] bias not None, float[:, ::1] spread not None):
    """Write the copies of `rows`, less `shift`, at `positions`.

    `panels` is (n_panels, n_groups, 32, 4); `scale` and `bias` have an element for each position;
    `spread` (n_panels, 2) has each panel's largest error and norm, which only grow.
    """
    cdef size_t n = rows.shape[0], d = rows.shape[1], i
    if n == 0 or d == 0:
        return
    cdef const float *moved = &shift[0] if shift is not None else NULL
    cdef void *memory
    cdef unsigned char *scratch = <unsigned char *> aligned(groups_of(kind, d) * RAUDO_PANEL_GROUP, &memory)
    cdef Py_ssize_t position, panel
    if scratch == NULL:
        raise MemoryError()
    with nogil:
        for i in range(n):
            position = positions[i]
            panel = position // RAUDO_PANEL_ROWS
            copy_row(active_panels(), kind, form, &rows[i, 0], moved, d, scratch,
                     &panels[panel, 0, position % RAUDO_PANEL_ROWS, 0], &scale[position], &bias[position],
                     &spread[panel, 0])
        free(memory)


cdef void copy_row(const raudo_panel_kernels *kernels, int kind, int form, const float *row,
                   const float *shift, size_t d, unsigned char *scratch, unsigned char *out, float *scale,
                   float *bias, float *spread) noexcept nogil:
    """Copy a row into its place of a panel; spread[0] and spread[1] grow with its error and norm."""
    cdef raudo_copied copied
    if kind == INT8:
        copied = kernels.copy_i8(row, shift, d, 128, scratch, out, ROWS_BYTES)
    else:
        copied = kernels.copy_bf16(row, shift, d, 0, scratch, out, ROWS_BYTES)
    cdef double norm = sqrt(<double> copied.norm2), error = copied.error, row_scale = copied.scale
    cdef double row_bias = copied.norm2 / 2 if form == FORM_SQEUCLIDEAN else 0
    if form == FORM_COSINE:
        if norm > 1e-30:
            error, row_scale, norm = error / norm, row_scale / norm, 1
        else:
            row_scale = NAN
    if row_scale != row_scale:  # it cannot be sifted: always measured
        row_scale, row_bias, error, norm = 0, -INFINITY, 0, 0
    scale[0], bias[0] = <float> row_scale, <float> row_bias
    spread[0] = <float> fmax(spread[0], error)
    spread[1] = <float> fmax(spread[1], norm * (1 + 1e-5))


cdef void ask(const Shelf *shelf, const float *row, const float *shift, raudo_topk *top,
              unsigned char *scratch, unsigned char *tile, int32_t *zero, Asked *asked) noexcept nogil:
    """Copy a query into its place of a tile."""
    cdef raudo_copied copied
    cdef size_t k
    cdef int32_t sum = 0
    if shelf.kind == INT8:
        copied = shelf.kernels.copy_i8(row, shift, shelf.d, 0, scratch, tile, QUERIES_BYTES)
        for k in range(shelf.n_groups * RAUDO_PANEL_GROUP):
            sum += <int8_t> scratch[k]
    else:
        copied = shelf.kernels.copy_bf16(row, shift, shelf.d, 0, scratch, tile, QUERIES_BYTES)
    zero[0] = 128 * sum
    asked.row = row
    asked.top = top
    asked.scale = copied.scale
    asked.norm, asked.error = sqrt(<double> copied.norm2), copied.error
    if copied.scale != copied.scale or (shelf.form == FORM_COSINE and not asked.norm > 1e-30):
        asked.scale = 0
        asked.norm = asked.error = NAN


# --- sifting --------------------------------------------------------------------------------------

cdef double key_limit(const Shelf *shelf, const Block *block, const Asked *asked, double limit) noexcept nogil:
    """Return what a key may be at most, where the score may be `limit` at most.

    Keys are -ab (inner), -ab / |b| (cosine) and |b|^2 / 2 - ab (sqeuclidean).
    """
    cdef double a = asked.norm, slack = 0, rounding
    if shelf.exact != NULL:
        rounding = FLT_EPSILON * 2 * <double> (shelf.d + 16)
        slack = (a * block.error + asked.error * (block.norm + block.error)
                 + rounding * (a + asked.error) * (block.norm + block.error))
        if shelf.form == FORM_SQEUCLIDEAN:
            slack += rounding * (a * a + block.norm * block.norm)
    if shelf.form == FORM_SQEUCLIDEAN:
        limit = (limit - a * a) / 2
    elif shelf.form == FORM_COSINE:
        limit = a * (limit - 1)
    return limit + slack


cdef inline double score_of(const Shelf *shelf, const Asked *asked, double key) noexcept nogil:
    if shelf.form == FORM_SQEUCLIDEAN:
        return fmax(0.0, 2 * key + asked.norm * asked.norm)
    if shelf.form == FORM_COSINE:
        return 1 + key / asked.norm
    return key


cdef inline float key_of(const Shelf *shelf, const Block *block, const Asked *asked, const int32_t *sums,
                         size_t j) noexcept nogil:
    cdef float product = <float> sums[j] if shelf.kind == INT8 else (<const float *> sums)[j]
    return block.bias[j] - asked.scale * block.scale[j] * product


cdef inline bint push(const Shelf *shelf, const Block *block, const Asked *asked, const int32_t *sums,
                      size_t j) noexcept nogil:
    """Measure the j-th row of a block; say whether it may be a match at all."""
    cdef size_t position = (<size_t> block.numbers[j // RAUDO_PANEL_ROWS] * RAUDO_PANEL_ROWS
                            + j % RAUDO_PANEL_ROWS)
    cdef float value
    cdef double score
    if position >= shelf.end or block.bias[j] == INFINITY:
        return False
    if shelf.allowed != NULL and not shelf.allowed[position]:
        return False
    if shelf.exact != NULL:
        shelf.exact(asked.row, shelf.rows + position * shelf.stride, 1, shelf.stride, shelf.d, &value)
        score = shelf.exact_sign * value
    else:
        if block.bias[j] == -INFINITY or asked.norm != asked.norm:  # copies cannot tell
            return False
        score = score_of(shelf, asked, key_of(shelf, block, asked, sums, j))
    raudo_topk_push(asked.top, score, shelf.ids[position] if shelf.ids != NULL else <int64_t> position)
    return True


cdef void measure(const Shelf *shelf, const Block *block, const Asked *asked, const int32_t *sums) noexcept nogil:
    """Measure the rows of a block that pass the sieve."""
    cdef raudo_topk *top = asked.top
    cdef double limit = raudo_topk_limit(top), key = key_limit(shelf, block, asked, limit)
    cdef size_t n = block.n_panels * RAUDO_PANEL_ROWS, f, n_found, j
    if shelf.kind == INT8:
        n_found = shelf.kernels.sift_i8(sums, block.scale, block.bias, asked.scale, <float> key, n, block.found)
    else:
        n_found = shelf.kernels.sift_bf16(<const float *> sums, block.scale, block.bias, asked.scale,
                                          <float> key, n, block.found)
    if limit == INFINITY and n_found > top.k - top.size:
        # Nothing is known yet of what is near: put the nearest copies first, and the rest has a limit.
        order_by_key(shelf, block, asked, sums, n_found, min(top.k - top.size, n_found))
    if shelf.exact != NULL:
        for f in range(min(<size_t> 8, n_found)):
            prefetch_row(shelf, block, block.found[f])
    for f in range(n_found):
        j = block.found[f]
        if shelf.exact != NULL and f + 8 < n_found:
            prefetch_row(shelf, block, block.found[f + 8])
        if key_of(shelf, block, asked, sums, j) > key:  # the limit has fallen since they were sifted
            continue
        push(shelf, block, asked, sums, j)
        if raudo_topk_limit(top) < limit:
            limit = raudo_topk_limit(top)
            key = key_limit(shelf, block, asked, limit)


cdef inline void prefetch_row(const Shelf *shelf, const Block *block, size_t j) noexcept nogil:
    cdef const char *row = <const char *> (
        shelf.rows + (<size_t> block.numbers[j // RAUDO_PANEL_ROWS] * RAUDO_PANEL_ROWS
                      + j % RAUDO_PANEL_ROWS) * shelf.stride)
    prefetch(row)
    prefetch(row + 64)
    prefetch(row + 128)
    prefetch(row + 192)


cdef void order_by_key(const Shelf *shelf, const Block *block, const Asked *asked, const int32_t *sums,
                       size_t n_found, size_t n_first) noexcept nogil:
    """Bring the `n_first` found of the smallest keys to the front (a selection: n_first is small)."""
    cdef size_t f, i, least
    cdef float least_key, key
    for f in range(min(n_first, <size_t> 32)):
        least, least_key = f, key_of(shelf, block, asked, sums, block.found[f])
        for i in range(f + 1, n_found):
            key = key_of(shelf, block, asked, sums, block.found[i])
            if key < least_key:
                least, least_key = i, key
        block.found[f], block.found[least] = block.found[least], block.found[f]


cdef void search_block(const Shelf *shelf, Block *block, Asked *const *asked, size_t m,
                       const unsigned char *tiles, const int32_t *zeros) noexcept nogil:
    """Search a block of panels for up to TILE_BLOCK queries, packed in tiles."""
    cdef size_t p, i, tile_bytes = shelf.n_groups * QUERIES_BYTES
    cdef const unsigned char *panel
    for p in range(block.n_panels):
        panel = block.panels[p]
        i = 0
        while i < m:
            if shelf.kind == INT8:
                shelf.kernels.dot_i8(
                    shelf.n_groups, min(<size_t> RAUDO_PANEL_QUERIES, m - i),
                    <const int8_t *> (tiles + i // RAUDO_PANEL_QUERIES * tile_bytes), zeros + i, panel,
                    block.sums + i * BLOCK_ROWS + p * RAUDO_PANEL_ROWS, BLOCK_ROWS)
            else:
                shelf.kernels.dot_bf16(
                    shelf.n_groups, min(<size_t> RAUDO_PANEL_QUERIES, m - i),
                    <const uint16_t *> (tiles + i // RAUDO_PANEL_QUERIES * tile_bytes), <const uint16_t *> panel,
                    <float *> block.sums + i * BLOCK_ROWS + p * RAUDO_PANEL_ROWS, BLOCK_ROWS)
            i += RAUDO_PANEL_QUERIES
    for i in range(m):
        measure(shelf, block, asked[i], block.sums + i * BLOCK_ROWS)


cdef void lay(const Shelf *shelf, Block *block) noexcept nogil:
    """Say where the panels of a block are, and how far at most their copies are off."""
    cdef size_t p, number
    block.error = block.norm = 0
    for p in range(block.n_panels):
        number = block.numbers[p]
        block.panels[p] = shelf.panels + number * shelf.panel_bytes
        block.error = fmax(block.error, shelf.spread[2 * number])
        block.norm = fmax(block.norm, shelf.spread[2 * number + 1])


# --- all panels -----------------------------------------------------------------------------------

cdef int _nearest(Shelf *shelf, const float *queries, size_t q, size_t stride, const float *shift,
                  size_t first_panel, size_t end_panel, raudo_topk *tops) except -1 nogil:
    cdef size_t tile_bytes = shelf.n_groups * QUERIES_BYTES
    cdef size_t n_tiles = (q + RAUDO_PANEL_QUERIES - 1) // RAUDO_PANEL_QUERIES
    cdef size_t padded = n_tiles * RAUDO_PANEL_QUERIES
    cdef void *memory
    cdef unsigned char *tiles = <unsigned char *> aligned(
        n_tiles * tile_bytes + shelf.n_groups * RAUDO_PANEL_GROUP + 64
        + padded * (sizeof(int32_t) + sizeof(Asked) + sizeof(Asked *))
        + (TILE_BLOCK + RAUDO_PANEL_QUERIES + 2) * BLOCK_ROWS * sizeof(int32_t)
        + (end_panel - first_panel) * sizeof(int32_t) + 64 * 16
        + (0 if shelf.panels != NULL else BLOCK_PANELS * shelf.panel_bytes + 2 * BLOCK_ROWS * sizeof(float)),
        &memory)
    if tiles == NULL:
        raise MemoryError()
    cdef Asked *asked = <Asked *> aligned_after(tiles + n_tiles * tile_bytes)
    cdef Asked **by_number = <Asked **> aligned_after(asked + padded)
    cdef int32_t *zeros = <int32_t *> aligned_after(by_number + padded)
    cdef int32_t *sums = <int32_t *> aligned_after(zeros + padded)
    cdef uint32_t *found = <uint32_t *> aligned_after(sums + (TILE_BLOCK + RAUDO_PANEL_QUERIES) * BLOCK_ROWS)
    cdef int32_t *numbers = <int32_t *> aligned_after(found + BLOCK_ROWS)
    cdef unsigned char *scratch = <unsigned char *> aligned_after(numbers + (end_panel - first_panel))
    cdef float *scale = <float *> aligned_after(scratch + shelf.n_groups * RAUDO_PANEL_GROUP)
    cdef float *bias = scale + BLOCK_ROWS
    cdef unsigned char *copies = <unsigned char *> aligned_after(bias + BLOCK_ROWS)
    cdef size_t i, p
    cdef Block block
    for i in range(n_tiles * tile_bytes):
        tiles[i] = 0
    for i in range(q):
        ask(shelf, queries + i * stride, shift, &tops[i], scratch,
            tiles + i // RAUDO_PANEL_QUERIES * tile_bytes + i % RAUDO_PANEL_QUERIES * RAUDO_PANEL_GROUP,
            &zeros[i], &asked[i])
        by_number[i] = &asked[i]
    for i in range(q, padded):
        zeros[i] = 0
    for p in range(first_panel, end_panel):
        numbers[p - first_panel] = <int32_t> p
    block.sums, block.found = sums, found
    p = first_panel
    while p < end_panel:
        block.n_panels = min(<size_t> BLOCK_PANELS, end_panel - p)
        block.numbers = numbers + (p - first_panel)
        if shelf.panels != NULL:
            block.scale = shelf.scale + p * RAUDO_PANEL_ROWS
            block.bias = shelf.bias + p * RAUDO_PANEL_ROWS
            lay(shelf, &block)
        else:
            block.scale, block.bias = scale, bias
            copy_block(shelf, &block, shift, scratch, copies, scale, bias)
        i = 0
        while i < q:
            search_block(shelf, &block, by_number + i, min(<size_t> TILE_BLOCK, q - i),
                         tiles + i // RAUDO_PANEL_QUERIES * tile_bytes, zeros + i)
            i += TILE_BLOCK
        p += BLOCK_PANELS
    free(memory)
    return 0


cdef void copy_block(const Shelf *shelf, Block *block, const float *shift, unsigned char *scratch,
                     unsigned char *copies, float *scale, float *bias) noexcept nogil:
    """Copy the rows of a block into memory that is used again for the next."""
    cdef size_t first = <size_t> block.numbers[0] * RAUDO_PANEL_ROWS, j, p
    cdef float[2] spread
    spread[0] = spread[1] = 0
    for j in range(block.n_panels * RAUDO_PANEL_ROWS):
        if first + j < shelf.end:
            copy_row(shelf.kernels, shelf.kind, shelf.form, shelf.rows + (first + j) * shelf.stride, shift,
                     shelf.d, scratch, copies + j // RAUDO_PANEL_ROWS * shelf.panel_bytes
                     + j % RAUDO_PANEL_ROWS * RAUDO_PANEL_GROUP, &scale[j], &bias[j], spread)
        else:
            scale[j], bias[j] = 0, INFINITY
    for p in range(block.n_panels):
        block.panels[p] = copies + p * shelf.panel_bytes
    block.error, block.norm = spread[0], spread[1]


cdef inline void *aligned_after(const void *end) noexcept nogil:
    return <void *> ((<size_t> end + 63) & ~<size_t> 63)


def nearest_panels(const float[:, :] queries not None, const float[:, :] rows,
                   const unsigned char[:, :, :, ::1] panels, const float[::1] scale,
                   const float[::1] bias, const float[:, ::1] spread,
                   const int64_t[::1] ids, const unsigned char[::1] allowed, Py_ssize_t first_panel,
                   Py_ssize_t end, int kind, int form, size_t row_kernel, const float[::1] shift,
                   double[:, ::1] scores not None, int64_t[:, ::1] found not None):
    """Write each query's best scores and ids among positions [32 * first_panel, end), best first.

    `rows` (None: the copies decide), `ids` and `allowed` go by position; the rest is `copy_rows`'s.
    Without `panels` rows are copied as the search goes, which many queries repay.
    """
    cdef size_t q = queries.shape[0]
    cdef size_t end_panel = (end + RAUDO_PANEL_ROWS - 1) // RAUDO_PANEL_ROWS
    cdef Shelf shelf
    cdef raudo_topk *tops
    if q == 0 or scores.shape[1] == 0:
        return
    tops = topk_of_rows(scores, found)
    shelf.kernels = active_panels()
    shelf.kind, shelf.form = kind, form
    shelf.d = queries.shape[1]
    shelf.n_groups = groups_of(kind, shelf.d)
    shelf.panel_bytes = shelf.n_groups * ROWS_BYTES
    shelf.end = end
    try:
        if end > 32 * first_panel and shelf.d:
            shelf.panels = &panels[0, 0, 0, 0] if panels is not None else NULL
            shelf.scale = &scale[0] if panels is not None else NULL
            shelf.bias = &bias[0] if panels is not None else NULL
            shelf.spread = &spread[0, 0] if panels is not None else NULL
            shelf.ids = &ids[0] if ids is not None else NULL
            shelf.allowed = &allowed[0] if allowed is not None else NULL
            shelf.exact = rows_of(active(), row_kernel) if rows is not None else NULL
            shelf.rows = &rows[0, 0] if rows is not None else NULL
            shelf.stride = rows.strides[0] // sizeof(float) if rows is not None else 0
            shelf.exact_sign = -1 if form == FORM_INNER else 1
            with nogil:
                _nearest(&shelf, &queries[0, 0], q, queries.strides[0] // sizeof(float),
                         &shift[0] if shift is not None else NULL, first_panel, end_panel, tops)
        topk_finish_rows(tops, q)
    finally:
        free(tops)
