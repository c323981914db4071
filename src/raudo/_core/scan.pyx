"""The k nearest of each query, without the distance matrix.

Blocks of the product (see kernels) only *sift*: a base row whose tile value cannot beat the query's
k-th best, by more than the tile's rounding error, is dropped; the others, about k ln(n / k) a query,
are measured by the row kernel, and that value alone decides. So the answer is that of an exhaustive
scan with the row kernel, digit for digit, however the work is cut: ties go to the smaller id, near
rows keep their digits, and the number of threads changes nothing. The bound holds for inner products
of d terms (Higham, Accuracy and Stability of Numerical Algorithms, 3.1), doubled.

Scores are doubles, smaller is nearer (inner products are negated), NaN is never a match. Arguments
are assumed checked, and the GIL is released throughout.
"""

from libc.math cimport NAN, sqrt
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free

from raudo._core.kernels cimport (
    BASE_BLOCK, FORM_CITYBLOCK, FORM_COSINE, FORM_INNER, FORM_SQEUCLIDEAN, QUERY_BLOCK, RAUDO_inner_f32,
    RAUDO_inner_f64, STRIP_QUERIES, active, aligned, base_block, depth_block, multiply, norms, pack,
    panel_rows, raudo_kernels, raudo_rows, real, rows_of, strip, tile_rows,
)
from raudo._core.topk cimport raudo_topk, raudo_topk_limit, raudo_topk_push, topk_finish_rows, topk_of_rows


cdef extern from "float.h" nogil:
    double FLT_EPSILON
    double DBL_EPSILON


cdef struct Base:
    const void *rows
    size_t n, stride, d
    const int64_t *ids         # NULL: a row's number is its id
    const unsigned char *allowed  # NULL: all are


cdef inline int64_t id_of(const Base *base, size_t row) noexcept nogil:
    return base.ids[row] if base.ids != NULL else <int64_t> row


cdef size_t select(const raudo_kernels *kernels, const real *value, const real *bias, real sign,
                   double limit, size_t n, uint32_t *found) noexcept nogil:
    if real is float:
        return kernels.f32.select(value, bias, sign, <float> limit, n, found)
    else:
        return kernels.f64.select(value, bias, sign, limit, n, found)


# --- by row kernels: few queries, or metrics that have no tile ------------------------------------

cdef int _scan_rows(const raudo_kernels *kernels, size_t row_kernel, real sign, const char *queries,
                    size_t q, size_t q_stride, size_t item_bytes, const Base *base, raudo_topk *tops,
                    real unused) except -1 nogil:
    cdef void *block
    cdef size_t few = min(<size_t> STRIP_QUERIES, q)
    cdef real *values = <real *> aligned(
        BASE_BLOCK * ((few + 1) * sizeof(real) + sizeof(uint32_t)), &block)
    if values == NULL:
        raise MemoryError()
    cdef real *zeros = values + few * BASE_BLOCK
    cdef uint32_t *found = <uint32_t *> (zeros + BASE_BLOCK)
    cdef const char *rows = <const char *> base.rows
    cdef size_t first = 0, n, m, i, j
    for j in range(<size_t> BASE_BLOCK):
        zeros[j] = 0
    while first < base.n:
        n = min(<size_t> BASE_BLOCK, base.n - first)
        i = 0
        while i < q:
            m = min(few, q - i)
            strip(kernels, row_kernel, queries + i * q_stride * item_bytes, m, q_stride, item_bytes,
                  rows + first * base.stride * item_bytes, n, base.stride, base.d, <char *> values,
                  BASE_BLOCK, sizeof(real))
            for j in range(m):
                _keep(kernels, values + j * BASE_BLOCK, zeros, sign, base, first, n, found, &tops[i + j])
            i += m
        first += n
    free(block)
    return 0


cdef void _keep(const raudo_kernels *kernels, const real *values, const real *zeros, real sign, const Base *base,
                size_t first, size_t n, uint32_t *found, raudo_topk *top) noexcept nogil:
    """Keep what is among the best of the values of a block."""
    cdef size_t n_found = select(kernels, values, zeros, sign, raudo_topk_limit(top), n, found), f
    for f in range(n_found):
        if base.allowed == NULL or base.allowed[first + found[f]]:
            raudo_topk_push(top, sign * values[found[f]], id_of(base, first + found[f]))


# --- by tiles -------------------------------------------------------------------------------------

cdef struct Sieve:
    int form
    double error     # of a product, relative to |a||b|
    double a, b      # norms: of the query (squared for sqeuclidean), largest of the base block


cdef double key_limit(const Sieve *sieve, double limit) noexcept nogil:
    """Return what a tile's key may be at most, where the exact score may be `limit` at most."""
    if sieve.form == FORM_SQEUCLIDEAN:  # key |b|^2 / 2 - ab
        return (limit - sieve.a) / 2 + sieve.error * (sieve.a + sieve.b)
    if sieve.form == FORM_COSINE:  # key -ab / |b|
        return sieve.a * (limit - 1 + 2 * sieve.error)
    if sieve.form == FORM_CITYBLOCK:
        return limit * (1 + 2 * sieve.error)
    return limit + sieve.error * sieve.a * sieve.b  # key -ab


cdef int _scan_tiles(const raudo_kernels *kernels, int form, bint by_strips, raudo_rows exact,
                     const real *queries, size_t q, size_t q_stride, const Base *base, const real *shift,
                     raudo_topk *tops) except -1 nogil:
    """Sift blocks of products, made of packed rows or, of inner products alone, by strips."""
    cdef size_t inner = RAUDO_inner_f32 if real is float else RAUDO_inner_f64
    cdef size_t d = base.d, height = tile_rows(kernels, <real> 0), width = panel_rows(kernels, <real> 0)
    cdef size_t step = base_block(kernels, d, <real> 0), depth = depth_block(kernels, d, <real> 0)
    cdef size_t q_packed = (q + height - 1) // height * height
    cdef void *block
    cdef real *a = <real *> aligned((q_packed * (d + 1) + step * (d + 2) + (QUERY_BLOCK + height) * step)
                                    * sizeof(real) + step * sizeof(uint32_t), &block)
    if a == NULL:
        raise MemoryError()
    cdef real *b = a + q_packed * d
    cdef real *c = b + step * d
    cdef real *a_norms = c + (QUERY_BLOCK + height) * step
    cdef real *b_norms = a_norms + q_packed
    cdef real *bias = b_norms + step
    cdef uint32_t *found = <uint32_t *> (bias + step)
    cdef const real *rows = <const real *> base.rows
    cdef const real *moved = shift if form == FORM_SQEUCLIDEAN else NULL
    cdef real sign = 1 if form == FORM_CITYBLOCK else -1, exact_sign = -1 if form == FORM_INNER else 1
    cdef size_t first = 0, n, i, j, row, n_rows
    cdef Sieve sieve
    sieve.form = form
    if by_strips:
        depth = d
    sieve.error = ((FLT_EPSILON if real is float else DBL_EPSILON)
                   * <double> (min(depth, d) + d // depth + 8) * 2)
    if not by_strips:
        pack(kernels, queries, q, q_stride, d, moved, height, a)
    norms(kernels, FORM_SQEUCLIDEAN, queries, q, q_stride, d, shift, a_norms)
    for j in range(step):
        bias[j] = 0
    while first < base.n:
        n = min(step, base.n - first)
        if not by_strips:
            pack(kernels, rows + first * base.stride, n, base.stride, d, moved, width, b)
        if form != FORM_CITYBLOCK:
            norms(kernels, form, rows + first * base.stride, n, base.stride, d, shift, b_norms)
        sieve.b = 0
        if form == FORM_COSINE and not by_strips:
            for j in range(n):
                for i in range(d):
                    b[(j - j % width) * d + i * width + j % width] *= b_norms[j]
        elif form == FORM_INNER or form == FORM_SQEUCLIDEAN:
            for j in range(n):
                if not b_norms[j] <= sieve.b:  # NaN stays: then all rows of this block are measured
                    sieve.b = b_norms[j]
                if form == FORM_SQEUCLIDEAN:
                    bias[j] = b_norms[j] / 2
            if form == FORM_INNER:
                sieve.b = sqrt(sieve.b)
        row = 0
        while row < q:
            n_rows = min(<size_t> QUERY_BLOCK // height * height, q - row)
            if by_strips:
                strip(kernels, inner, <const char *> (queries + row * q_stride), n_rows, q_stride, sizeof(real),
                      rows + first * base.stride, n, base.stride, d, <char *> c, step, sizeof(real))
                for i in range(n_rows):
                    for j in range(n):
                        c[i * step + j] *= b_norms[j]
            else:
                multiply(kernels, form, d, a + row * d, n_rows, b, n, c, step)
            for i in range(n_rows):
                sieve.a = a_norms[row + i] if form == FORM_SQEUCLIDEAN else sqrt(<double> a_norms[row + i])
                if form == FORM_COSINE and not <real> 1e-30 <= a_norms[row + i] <= <real> 1e37:
                    sieve.a = NAN  # too small or large to sift by: every row is measured
                _measure(kernels, &sieve, exact, exact_sign, queries + (row + i) * q_stride, base, first,
                         n, c + i * step, bias, sign, found, &tops[row + i])
            row += n_rows
        first += n
    free(block)
    return 0


cdef void _measure(const raudo_kernels *kernels, Sieve *sieve, raudo_rows exact, real exact_sign,
                   const real *query, const Base *base, size_t first, size_t n, const real *value,
                   const real *bias, real sign, uint32_t *found, raudo_topk *top) noexcept nogil:
    """Measure the rows of a block that pass the sieve."""
    cdef double limit = raudo_topk_limit(top), key = key_limit(sieve, limit)
    cdef size_t n_found = select(kernels, value, bias, sign, key, n, found)
    cdef size_t f, j
    cdef real exact_value
    for f in range(n_found):
        j = found[f]
        if base.allowed != NULL and not base.allowed[first + j]:
            continue
        if bias[j] + sign * value[j] > key:  # the limit has fallen since they were selected
            continue
        exact(query, <const real *> base.rows + (first + j) * base.stride, 1, base.stride, base.d,
              &exact_value)
        raudo_topk_push(top, exact_sign * exact_value, id_of(base, first + j))
        if raudo_topk_limit(top) < limit:
            limit = raudo_topk_limit(top)
            key = key_limit(sieve, limit)


# --- entry ----------------------------------------------------------------------------------------

# Up to so many queries strips beat packing the base (`raudo bench similarity --only knn`).
cdef enum:
    FEW_QUERIES = 48

ctypedef fused element:
    float
    double
    signed char


cdef int _nearest(const element[:, :] queries, const element[:, :] base, const int64_t[::1] ids,
                  const unsigned char[::1] allowed, int form, size_t row_kernel,
                  const element[::1] shift, double[:, ::1] scores, int64_t[:, ::1] found) except -1:
    cdef size_t q = queries.shape[0]
    cdef const raudo_kernels *kernels = active()
    cdef raudo_rows kernel = rows_of(kernels, row_kernel)
    cdef element nothing = 0
    cdef Base rows
    cdef raudo_topk *tops
    if q == 0 or scores.shape[1] == 0:
        return 0
    tops = topk_of_rows(scores, found)
    rows.n = base.shape[0]
    rows.d = base.shape[1]
    rows.stride = base.strides[0] // sizeof(element) if rows.d else 0
    rows.rows = &base[0, 0] if rows.n and rows.d else &nothing
    rows.ids = &ids[0] if ids is not None and rows.n else NULL
    rows.allowed = &allowed[0] if allowed is not None and rows.n else NULL
    cdef const element *first = &queries[0, 0] if rows.d else &nothing
    cdef size_t stride = queries.strides[0] // sizeof(element) if rows.d else 0
    cdef bint few = q <= FEW_QUERIES
    # A row kernel of cosine sums in double: the strips of inner products sift, and they are float32.
    cdef bint by_tiles = rows.d > 0 and (form == FORM_COSINE or (form >= 0 and not few))
    cdef int sign = -1 if form == FORM_INNER else 1
    try:
        with nogil:
            if element is float or element is double:
                if by_tiles:
                    _scan_tiles(kernels, form, few, kernel, first, q, stride, &rows, &shift[0], tops)
                else:
                    _scan_rows(kernels, row_kernel, <element> sign, <const char *> first, q, stride,
                               sizeof(element), &rows, tops, nothing)
            else:
                _scan_rows(kernels, row_kernel, <double> sign, <const char *> first, q, stride,
                           sizeof(element), &rows, tops, <double> 0)
            topk_finish_rows(tops, q)
    finally:
        free(tops)
    return 0


def nearest_f32(const float[:, :] queries not None, const float[:, :] base not None,
                const int64_t[::1] ids, const unsigned char[::1] allowed, int form, size_t row_kernel,
                const float[::1] shift not None, double[:, ::1] scores not None,
                int64_t[:, ::1] found not None):
    """Write each query's best scores and ids, best first, NaN and -1 where there are fewer.

    `form` is one of kernels' FORM_ numbers; -1 of a metric without a tile, where smaller is
    nearer.
    """
    _nearest(queries, base, ids, allowed, form, row_kernel, shift, scores, found)


def nearest_f64(const double[:, :] queries not None, const double[:, :] base not None,
                const int64_t[::1] ids, const unsigned char[::1] allowed, int form, size_t row_kernel,
                const double[::1] shift not None, double[:, ::1] scores not None,
                int64_t[:, ::1] found not None):
    """As `nearest_f32`."""
    _nearest(queries, base, ids, allowed, form, row_kernel, shift, scores, found)


def nearest_i8(const signed char[:, :] queries not None, const signed char[:, :] base not None,
               const int64_t[::1] ids, const unsigned char[::1] allowed, int form, size_t row_kernel,
               double[:, ::1] scores not None, int64_t[:, ::1] found not None):
    """As `nearest_f32`, always by row kernels, exactly."""
    cdef const signed char[::1] no_shift = None
    _nearest(queries, base, ids, allowed, form, row_kernel, no_shift, scores, found)
