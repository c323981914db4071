"""Sketch rows: one bit an element of what is left of a row beside the centre of its list.

A search reads 40 bytes of a row in place of 256 (int8, d = 256), and measures the one row in thirty
that may be a match. What an estimate is off by is that of a random direction: `CERTAINTY` standard
errors are allowed for, so about one match in forty that is only just one is missed; of all the ten
nearest of text embeddings less than one in a thousand is (bench_similarity_ivf).

For inner products and cosines a row is t c + rest, c its list's centre and rest at right angles to it,
and a row's key is <q, x> = t <q, c> + <q, rest>; for distances of the plane it is c + rest, and the key
(|q - c|^2 - |q - x|^2) / 2 = <q - c, rest> - |rest|^2 / 2. Larger keys are nearer.
"""

from libc.math cimport INFINITY, NAN, fabs, fmax, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memset

from raudo._core.kernels cimport FORM_COSINE, FORM_SQEUCLIDEAN, active, aligned


cdef extern from "sketch/sketch.h" nogil:
    const raudo_sketch_kernels *raudo_sketch_kernels_for(const char *isa)
    enum:
        RAUDO_SKETCH_WIDTHS


# How many standard errors an estimate may be off. 1.5 would measure half as many rows and miss one in
# two hundred of the nearest; 2.5 nearly twice as many (100,000 x 256 text embeddings, 2026-11-29).
cdef double CERTAINTY = 2
# Of a random direction, the part that its signs do not tell: sqrt(1 - 2 / pi).
cdef double UNTOLD = 0.6028


cdef const raudo_sketch_kernels *sketch_kernels() noexcept nogil:
    return raudo_sketch_kernels_for(active().isa)


cdef size_t width_of(size_t d) noexcept nogil:
    return (d + RAUDO_SKETCH_WIDTHS - 1) // RAUDO_SKETCH_WIDTHS * RAUDO_SKETCH_WIDTHS


cdef size_t table_bytes(size_t d) noexcept nogil:
    return width_of(d) // 8 * RAUDO_SKETCH_TABLE


def n_bytes(size_t d):
    """Return how many bytes a row's signs take: the shape of a panel is (bytes, 32)."""
    return width_of(d) // 8


def sketch_rows(const float[:, :] rows not None, const int64_t[::1] owners not None,
                const int64_t[::1] positions not None, const float[:, ::1] centres not None,
                const float[::1] shift, int form, unsigned char[:, :, ::1] codes not None,
                float[::1] along not None, float[::1] across not None):
    """Write the sketches of `rows`, which lie in the lists `owners`, at `positions`.

    `codes` is (n_panels, bytes, 32); `along` and `across` have an element for each position. Fastest
    where rows of one list follow one another.
    """
    cdef size_t n = rows.shape[0], d = rows.shape[1], width = width_of(d), i
    cdef const raudo_sketch_kernels *kernels = sketch_kernels()
    cdef const float *moved = &shift[0] if shift is not None else NULL
    cdef void *memory
    cdef float *rest
    cdef float *centre
    cdef int64_t owner = -1, position
    if n == 0:
        return
    rest = <float *> aligned(3 * width * sizeof(float), &memory)
    if rest == NULL:
        raise MemoryError()
    centre = rest + width
    with nogil:
        for i in range(n):
            if owners[i] != owner:
                owner = owners[i]
                take(&centres[owner, 0], moved, d, width, centre)
                take(&centres[owner, 0], moved, d, width, centre + width)
                kernels.rotate(centre + width, width)
            position = positions[i]
            take(&rows[i, 0], moved, d, width, rest)
            sketch_row(kernels, form, d, width, rest, centre,
                       &codes[position // RAUDO_SKETCH_ROWS, 0, position % RAUDO_SKETCH_ROWS],
                       &along[position], &across[position])
        free(memory)


cdef void take(const float *row, const float *shift, size_t d, size_t width, float *out) noexcept nogil:
    cdef size_t k
    for k in range(d):
        out[k] = row[k] - shift[k] if shift != NULL else row[k]
    memset(out + d, 0, (width - d) * sizeof(float))


cdef void sketch_row(const raudo_sketch_kernels *kernels, int form, size_t d, size_t width, float *rest,
                     const float *centre, unsigned char *codes, float *along, float *across) noexcept nogil:
    """Sketch a row; `centre` is followed by itself, rotated."""
    cdef raudo_sketch_products of_row = kernels.multiply(rest, centre, width)
    cdef raudo_sketch_sums sums
    cdef float by_centre, scale = 1, rest2
    cdef size_t k
    if not (of_row.norm2 == 0 or is_usual(of_row.norm2)):
        along[0], across[0] = NAN, 0  # it may be a match for any query
        for k in range(width // 8):
            codes[k * RAUDO_SKETCH_ROWS] = 0
        return
    if form == FORM_COSINE and of_row.norm2 > 0:
        scale = <float> (1 / sqrt(of_row.norm2))
    by_centre = 1 if form == FORM_SQEUCLIDEAN else of_row.product * scale
    for k in range(width):
        rest[k] = rest[k] * scale - by_centre * centre[k]
    rest2 = kernels.multiply(rest, rest, width).norm2
    kernels.rotate(rest, width)
    sums = kernels.encode(rest, centre + width, width, codes)
    across[0] = rest2 / sums.absolute if sums.absolute > 0 else 0
    if form == FORM_SQEUCLIDEAN:
        along[0] = -rest2 / 2 - across[0] * sums.centre
    else:
        along[0] = by_centre - across[0] * sums.centre


cdef inline bint is_usual(double square) noexcept nogil:
    """Say whether squares that add up to this have neither overflowed nor vanished."""
    return 1e-30 < square < 1e30


cdef void take_stance(const Sketches *sketches, const float *query, const float *shift, size_t d,
                      float *scratch, Stance *stance) noexcept nogil:
    """Prepare a query. `scratch` holds `width` numbers."""
    cdef raudo_sketch_scale scale
    cdef double norm2
    take(query, shift, d, sketches.width, scratch)
    norm2 = sketches.kernels.multiply(scratch, scratch, sketches.width).norm2
    stance.norm = sqrt(norm2) if is_usual(norm2) else NAN
    if stance.norm != stance.norm:
        memset(scratch, 0, sketches.width * sizeof(float))
    sketches.kernels.rotate(scratch, sketches.width)
    scale = sketches.kernels.tabulate(scratch, sketches.width, stance.table)
    stance.step = scale.step
    # Rounded sums of four elements: each is off by up to half a step.
    stance.offset = scale.offset + <float> (CERTAINTY * scale.step * sqrt(sketches.width / 48.0))


cdef void ask_list(const Sketches *sketches, const Stance *stance, double far, double limit,
                   raudo_sketch_question *question) noexcept nogil:
    """Ask the rows of a list for scores of up to `limit`.

    `far` is the inner product of the query and the centre, for distances of the plane the square of
    their distance.
    """
    cdef double norm = stance.norm, beside2, least
    if sketches.form == FORM_SQEUCLIDEAN:
        beside2 = far
        question.u = 1
        least = (far - limit) / 2
    else:
        beside2 = norm * norm - far * far
        question.u = <float> far
        least = norm * (1 - limit) if sketches.form == FORM_COSINE else -limit
    question.table, question.step = stance.table, stance.step
    question.offset = stance.offset + <float> (CERTAINTY * UNTOLD * sqrt(fmax(beside2, 0)))
    # Without a limit, and for queries that cannot be sketched, every row may be a match.
    question.least = <float> (least - 1e-6 * fabs(least)) if limit < INFINITY else -INFINITY
