"""Distance matrices: the dispatch table, and the blocked product that fills a full matrix.

The design is Goto's (doi:10.1145/1356052.1356053): base rows packed in panels, queries packed in
tiles, one register tile of inner products inside three loops of cache blocks; what a metric adds is
applied to finished tiles while they are in cache. The expanded form |a|^2 + |b|^2 - 2ab cancels for
near rows, so those are computed again from the rows themselves; and both sides are shifted by the
base's mean first, which changes no distance and keeps the norms, hence the rounding, small.

Every function here assumes checked arguments: equal widths, unit stride along a row. The GIL is
released throughout, and nothing is shared between calls: threads may work on parts of one matrix.
"""

from libc.math cimport NAN, sqrt
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc

import os


cdef extern from "cpu.h" nogil:
    unsigned raudo_cpu_features()


cdef extern from "distance/distance.h" nogil:
    const raudo_kernels *raudo_kernels_compiled(size_t i)
    const raudo_kernels *raudo_kernels_find(const char *isa)
    raudo_rows raudo_rows_of(const raudo_kernels *kernels, size_t metric)
    raudo_strip raudo_strip_of(const raudo_kernels *kernels, size_t metric)
    const char *raudo_metric_name(size_t metric)


cdef extern from "panel/panel.h" nogil:
    const raudo_panel_kernels *raudo_panel_kernels_for(const char *isa)


cdef const raudo_kernels *_active = raudo_kernels_find(NULL)
cdef const raudo_panel_kernels *_active_panels = raudo_panel_kernels_for(_active.isa)


cdef const raudo_kernels *active() noexcept nogil:
    return _active


cdef const raudo_panel_kernels *active_panels() noexcept nogil:
    return _active_panels


cdef raudo_rows rows_of(const raudo_kernels *kernels, size_t row_kernel) noexcept nogil:
    return raudo_rows_of(kernels, row_kernel)


cdef void strip(const raudo_kernels *kernels, size_t row_kernel, const char *queries, size_t m, size_t q_stride,
                size_t item_bytes, const void *rows, size_t n, size_t stride, size_t d, char *out,
                size_t out_stride, size_t out_bytes) noexcept nogil:
    """Write what the row kernel gives for m queries and n rows; strides count elements."""
    cdef raudo_strip together = raudo_strip_of(kernels, row_kernel)
    cdef raudo_rows alone = raudo_rows_of(kernels, row_kernel)
    cdef size_t i
    if together != NULL:
        together(queries, m, q_stride, rows, n, stride, d, out, out_stride)
        return
    for i in range(m):
        alone(queries + i * q_stride * item_bytes, rows, n, stride, d, out + i * out_stride * out_bytes)


def isa():
    """Return the name of the instruction set in use."""
    return _active.isa.decode()


def available_isas():
    """Return the names of those that this processor runs, slowest first."""
    names = []
    cdef size_t i = 0
    while raudo_kernels_compiled(i) != NULL:
        if raudo_kernels_find(raudo_kernels_compiled(i).isa) != NULL:
            names.append(raudo_kernels_compiled(i).isa.decode())
        i += 1
    return tuple(names)


def force_isa(name):
    """Use the named instruction set from now on, in all threads; None: the fastest."""
    global _active, _active_panels
    cdef const raudo_kernels *found = NULL
    cdef bytes encoded
    if name is None:
        found = raudo_kernels_find(NULL)
    elif isinstance(name, str):
        encoded = name.encode()
        found = raudo_kernels_find(encoded)
    if found == NULL:
        raise ValueError(f"no instruction set {name!r} on this processor: one of {', '.join(available_isas())}")
    _active = found
    _active_panels = raudo_panel_kernels_for(found.isa)


if os.environ.get("RAUDO_ISA"):
    force_isa(os.environ["RAUDO_ISA"])


def row_kernels():
    """Return the names of the row kernels, "inner_f32" and the like; the position is the number."""
    names = []
    cdef size_t i = 0
    while raudo_metric_name(i) != NULL:
        names.append(raudo_metric_name(i).decode())
        i += 1
    return tuple(names)


# --- shared with scan ---------------------------------------------------------------------------

cdef size_t tile_rows(const raudo_kernels *kernels, real unused) noexcept nogil:
    if real is float:
        return kernels.f32.tile_rows
    else:
        return kernels.f64.tile_rows


cdef size_t panel_rows(const raudo_kernels *kernels, real unused) noexcept nogil:
    if real is float:
        return kernels.f32.panel_rows
    else:
        return kernels.f64.panel_rows


cdef size_t base_block(const raudo_kernels *kernels, size_t d, real unused) noexcept nogil:
    """Return how many base rows to pack at a time: whole panels, fewer where rows are long."""
    cdef size_t width = panel_rows(kernels, unused)
    cdef size_t fit = (<size_t> 1 << 20) // ((d + 1) * sizeof(real)) // width * width
    cdef size_t most = BASE_BLOCK // width * width
    return width if fit < width else fit if fit < most else most


cdef size_t depth_block(const raudo_kernels *kernels, size_t d, real unused) noexcept nogil:
    """Return how many elements of a row to multiply at a time: a panel of 20 KiB stays in L1."""
    cdef size_t most = (20 << 10) // (panel_rows(kernels, unused) * sizeof(real))
    cdef size_t n_blocks = (d + most - 1) // most
    return (d + n_blocks - 1) // n_blocks if n_blocks else 1


cdef void pack(const raudo_kernels *kernels, const real *rows, size_t n, size_t stride, size_t d,
               const real *shift, size_t width, real *packed) noexcept nogil:
    """Pack n rows in groups of `width`, the last one filled up with zeros."""
    cdef size_t first = 0
    while first < n:
        if real is float:
            kernels.f32.pack(rows + first * stride, min(width, n - first), stride, d, shift, width,
                             packed + first * d)
        else:
            kernels.f64.pack(rows + first * stride, min(width, n - first), stride, d, shift, width,
                             packed + first * d)
        first += width


cdef void norms(const raudo_kernels *kernels, int form, const real *rows, size_t n, size_t stride,
                size_t d, const real *shift, real *out) noexcept nogil:
    """Write |row - shift|^2; for cosine the reciprocal of |row|, NaN where that would be inexact."""
    cdef size_t sqeuclidean = RAUDO_sqeuclidean_f32 if real is float else RAUDO_sqeuclidean_f64
    cdef real least = 1e-30 if real is float else 1e-290
    cdef real most = 1e37 if real is float else 1e300
    cdef size_t i
    rows_of(kernels, sqeuclidean)(shift, rows, n, stride, d, out)
    if form == FORM_COSINE:
        for i in range(n):
            out[i] = <real> (1 / sqrt(<double> out[i])) if least <= out[i] <= most else <real> NAN


cdef void multiply(const raudo_kernels *kernels, int form, size_t d, const real *a, size_t n_a,
                   const real *b, size_t n_b, real *c, size_t c_stride) noexcept nogil:
    """Multiply packed rows: c[i * c_stride + j] for i in [0, n_a), j in [0, n_b), rounded up to tiles."""
    cdef size_t height = tile_rows(kernels, <real> 0), width = panel_rows(kernels, <real> 0)
    cdef size_t depth = depth_block(kernels, d, <real> 0)
    cdef size_t first = 0, part, i, j
    cdef bint add
    while True:
        part = min(depth, d - first)
        add = first > 0
        j = 0
        while j < n_b:
            i = 0
            while i < n_a:
                if real is float:
                    if form == FORM_CITYBLOCK:
                        kernels.f32.cityblock(part, a + i * d + first * height,
                                              b + j * d + first * width, c + i * c_stride + j, c_stride, add)
                    else:
                        kernels.f32.inner(part, a + i * d + first * height,
                                          b + j * d + first * width, c + i * c_stride + j, c_stride, add)
                else:
                    if form == FORM_CITYBLOCK:
                        kernels.f64.cityblock(part, a + i * d + first * height,
                                              b + j * d + first * width, c + i * c_stride + j, c_stride, add)
                    else:
                        kernels.f64.inner(part, a + i * d + first * height,
                                          b + j * d + first * width, c + i * c_stride + j, c_stride, add)
                i += height
            j += width
        first += part
        if first >= d:
            return


cdef void *aligned(size_t n_bytes, void **block) noexcept nogil:
    """Return memory on a cache line, zeros not promised; free `block[0]`. NULL when there is none."""
    block[0] = malloc(n_bytes + 64)
    return <void *> ((<uintptr_t> block[0] + 63) & ~<uintptr_t> 63) if block[0] != NULL else NULL


# --- the full matrix ----------------------------------------------------------------------------

cdef void _finish_row(const raudo_kernels *kernels, int form, bint root, raudo_rows exact,
                      const real *dot, const real *query, real a, const real *base, size_t stride,
                      const real *b, size_t n, size_t d, real *out) noexcept nogil:
    """Turn a row of the product into distances, and compute again those that cancelled."""
    cdef size_t j, n_near = 0
    if form == FORM_SQEUCLIDEAN:
        if real is float:
            n_near = kernels.f32.expand(dot, a, b, n, out)
        else:
            n_near = kernels.f64.expand(dot, a, b, n, out)
        if n_near:
            for j in range(n):
                if not out[j] >= <real> RAUDO_NEAR * (a + b[j]):
                    exact(query, base + j * stride, 1, stride, d, &out[j])
    elif form == FORM_COSINE:
        if real is float:
            n_near = kernels.f32.cosine(dot, a, b, n, out)
        else:
            n_near = kernels.f64.cosine(dot, a, b, n, out)
        if n_near:
            for j in range(n):
                if not out[j] >= <real> RAUDO_NEAR:
                    exact(query, base + j * stride, 1, stride, d, &out[j])
    elif dot != out:
        for j in range(n):
            out[j] = dot[j]
    if root:
        if real is float:
            kernels.f32.root(out, n)
        else:
            kernels.f64.root(out, n)


cdef int _pairwise(const raudo_kernels *kernels, int form, bint root, raudo_rows exact,
                   const real *x, size_t q, size_t x_stride, const real *y, size_t n, size_t y_stride,
                   size_t d, const real *shift, real *out, size_t out_stride) except -1 nogil:
    cdef size_t height = tile_rows(kernels, <real> 0), width = panel_rows(kernels, <real> 0)
    cdef size_t step = base_block(kernels, d, <real> 0)
    cdef size_t q_packed = (q + height - 1) // height * height
    cdef void *block
    cdef real *a = <real *> aligned(
        (q_packed * (d + 1) + step * (d + 1) + (QUERY_BLOCK + height) * step) * sizeof(real), &block)
    if a == NULL:
        raise MemoryError()
    cdef real *b = a + q_packed * d
    cdef real *c = b + step * d
    cdef real *a_norms = c + (QUERY_BLOCK + height) * step
    cdef real *b_norms = a_norms + q_packed
    cdef bint normed = form == FORM_SQEUCLIDEAN or form == FORM_COSINE
    cdef const real *moved = shift if form == FORM_SQEUCLIDEAN else NULL
    cdef size_t i, j, row, n_rows, n_columns, whole_rows, whole, first
    cdef real *target
    cdef size_t queries = QUERY_BLOCK // height * height
    pack(kernels, x, q, x_stride, d, moved, height, a)
    if normed:
        norms(kernels, form, x, q, x_stride, d, shift, a_norms)
    j = 0
    while j < n:
        n_columns = min(step, n - j)
        pack(kernels, y + j * y_stride, n_columns, y_stride, d, moved, width, b)
        if normed:
            norms(kernels, form, y + j * y_stride, n_columns, y_stride, d, shift, b_norms)
        i = 0
        while i < q:
            n_rows = min(queries, q - i)
            # Whole tiles go to where the result will be, so that its memory arrives while products are
            # computed; what hangs over the edges goes by way of `c`.
            whole_rows, whole = n_rows // height * height, n_columns // width * width
            target = out + i * out_stride + j
            if whole_rows and whole:
                multiply(kernels, form, d, a + i * d, whole_rows, b, whole, target, out_stride)
            if whole_rows and whole < n_columns:
                multiply(kernels, form, d, a + i * d, whole_rows, b + whole * d, n_columns - whole, c + whole, step)
            if whole_rows < n_rows:
                multiply(kernels, form, d, a + (i + whole_rows) * d, n_rows - whole_rows, b, n_columns,
                         c + whole_rows * step, step)
            for row in range(n_rows):
                first = whole if row < whole_rows else 0  # of what is in c
                if first:
                    _finish_row(kernels, form, root, exact, target + row * out_stride, x + (i + row) * x_stride,
                                a_norms[i + row] if normed else 0, y + j * y_stride, y_stride, b_norms,
                                first, d, target + row * out_stride)
                if first < n_columns:
                    _finish_row(kernels, form, root, exact, c + row * step + first, x + (i + row) * x_stride,
                                a_norms[i + row] if normed else 0, y + (j + first) * y_stride, y_stride,
                                b_norms + first, n_columns - first, d, target + row * out_stride + first)
            i += queries
        j += step
    free(block)
    return 0


def pairwise_f32(const float[:, :] x not None, const float[:, :] y not None, float[:, :] out not None,
                 const float[::1] shift not None, int form, bint root, size_t row_kernel):
    """Fill out[i, j] by tiles. `shift` has the rows' width; zeros but for `FORM_SQEUCLIDEAN`."""
    if out.shape[0] == 0 or out.shape[1] == 0 or x.shape[1] == 0:
        if out.shape[0] and out.shape[1]:
            out[:, :] = NAN if form == FORM_COSINE else 0
        return
    cdef const raudo_kernels *kernels = active()
    with nogil:
        _pairwise(kernels, form, root, rows_of(kernels, row_kernel), &x[0, 0], x.shape[0],
                  x.strides[0] // sizeof(float), &y[0, 0], y.shape[0], y.strides[0] // sizeof(float),
                  x.shape[1], &shift[0], &out[0, 0], out.strides[0] // sizeof(float))


def pairwise_f64(const double[:, :] x not None, const double[:, :] y not None, double[:, :] out not None,
                 const double[::1] shift not None, int form, bint root, size_t row_kernel):
    """As `pairwise_f32`."""
    if out.shape[0] == 0 or out.shape[1] == 0 or x.shape[1] == 0:
        if out.shape[0] and out.shape[1]:
            out[:, :] = NAN if form == FORM_COSINE else 0
        return
    cdef const raudo_kernels *kernels = active()
    with nogil:
        _pairwise(kernels, form, root, rows_of(kernels, row_kernel), &x[0, 0], x.shape[0],
                  x.strides[0] // sizeof(double), &y[0, 0], y.shape[0], y.strides[0] // sizeof(double),
                  x.shape[1], &shift[0], &out[0, 0], out.strides[0] // sizeof(double))


# --- without tiles ------------------------------------------------------------------------------

ctypedef fused element:
    float
    double
    signed char


cdef int _rows(const element[:, :] x, const element[:, :] y, char *out, size_t out_stride,
               size_t out_bytes, size_t row_kernel) except -1:
    cdef const raudo_kernels *kernels = active()
    cdef size_t q = x.shape[0], n = y.shape[0], d = x.shape[1], i = 0, j, few, some
    cdef size_t x_stride = x.strides[0] // sizeof(element), y_stride = y.strides[0] // sizeof(element)
    # Rows of no elements have no address to take; every kernel gives its value of d = 0 all the same.
    cdef element nothing = 0
    cdef const element *first_x = &x[0, 0] if d else &nothing
    cdef const element *first_y = &y[0, 0] if d else &nothing
    if d == 0:
        x_stride = y_stride = 0
    with nogil:
        while i < q:
            few = min(<size_t> STRIP_QUERIES, q - i)
            j = 0
            while j < n:
                some = min(<size_t> BASE_BLOCK, n - j)
                strip(kernels, row_kernel, <const char *> (first_x + i * x_stride), few, x_stride, sizeof(element),
                      first_y + j * y_stride, some, y_stride, d, out + (i * out_stride + j) * out_bytes,
                      out_stride, out_bytes)
                j += some
            i += few
    return 0


def rows_f32(const float[:, :] x not None, const float[:, :] y not None, float[:, :] out not None,
             size_t row_kernel):
    """Fill out[i, j] by a row kernel."""
    if out.shape[0] and out.shape[1]:
        _rows(x, y, <char *> &out[0, 0], out.strides[0] // sizeof(float), sizeof(float), row_kernel)


def rows_f64(const double[:, :] x not None, const double[:, :] y not None, double[:, :] out not None,
             size_t row_kernel):
    """Fill out[i, j] by a row kernel."""
    if out.shape[0] and out.shape[1]:
        _rows(x, y, <char *> &out[0, 0], out.strides[0] // sizeof(double), sizeof(double), row_kernel)


def rows_i8(const signed char[:, :] x not None, const signed char[:, :] y not None,
            double[:, :] out not None, size_t row_kernel):
    """Fill out[i, j] by a row kernel, exactly."""
    if out.shape[0] and out.shape[1]:
        _rows(x, y, <char *> &out[0, 0], out.strides[0] // sizeof(double), sizeof(double), row_kernel)
