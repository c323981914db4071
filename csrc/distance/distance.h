/* The distance kernels and the table that dispatches them.
 *
 * Three shapes of kernel serve every metric:
 *
 *   rows   one query against n rows in place. The exact, reproducible value: it does not depend on
 *          alignment, on n or on the row's position.
 *   strip  the row kernel of several queries at once: the same digits, and the rows are read once.
 *   tile   a register tile: `tile_rows` queries by `panel_rows` base rows, both packed so that the
 *          k-th elements of all rows lie together. It gives inner products (or cityblock sums);
 *          what a metric adds (norms, signs, roots) is applied to the finished tile.
 *
 * A column of the table is one instruction set, in one file. Kernels allocate nothing, keep no
 * state and take sizes of 0.
 */
#ifndef RAUDO_DISTANCE_H
#define RAUDO_DISTANCE_H

#include <stddef.h>
#include <stdint.h>

/* out[i] = metric(query, rows + i * stride) for i in [0, n); stride and d count input elements. */
typedef void (*raudo_rows)(const void *query, const void *rows, size_t n, size_t stride, size_t d,
                           void *out);

/* out[i * out_stride + j] = what the row kernel gives for query i < m and row j < n, digit for digit. */
typedef void (*raudo_strip)(const void *queries, size_t m, size_t q_stride, const void *rows, size_t n,
                            size_t stride, size_t d, void *out, size_t out_stride);

/* c[i * c_stride + j] = (add ? c : 0) + sum over k < d of op(a[k * tile_rows + i], b[k * panel_rows + j]) */
typedef void (*raudo_tile_f32)(size_t d, const float *a, const float *b, float *c, size_t c_stride,
                               int add);
typedef void (*raudo_tile_f64)(size_t d, const double *a, const double *b, double *c,
                               size_t c_stride, int add);

/* Write the j in [0, n) with !(bias[j] + sign * value[j] > limit) to `found`, ascending; return how
 * many. Whatever is NaN is found. */
typedef size_t (*raudo_select_f32)(const float *value, const float *bias, float sign, float limit,
                                   size_t n, uint32_t *found);
typedef size_t (*raudo_select_f64)(const double *value, const double *bias, double sign,
                                   double limit, size_t n, uint32_t *found);

/* Pack `n` <= width rows: panel[k * width + j] = rows[j * stride + k] - shift[k] for k in [0, d);
 * the rows that are missing are zeros. `shift` may be NULL. */
typedef void (*raudo_pack_f32)(const float *rows, size_t n, size_t stride, size_t d,
                               const float *shift, size_t width, float *panel);
typedef void (*raudo_pack_f64)(const double *rows, size_t n, size_t stride, size_t d,
                               const double *shift, size_t width, double *panel);

/* Turn inner products into distances, in place if `out` is `dot`; return how many cancelled so far (or are NaN) that they must
 * be computed again by a row kernel: those with !(result >= RAUDO_NEAR * scale).
 *   expand: out = a2 + b2[j] - 2 * dot[j], scale a2 + b2[j]      (squared norms)
 *   cosine: out = 1 - dot[j] * a * b[j],   scale 1               (reciprocal norms) */
typedef size_t (*raudo_finish_f32)(const float *dot, float a, const float *b, size_t n, float *out);
typedef size_t (*raudo_finish_f64)(const double *dot, double a, const double *b, size_t n,
                                   double *out);
#define RAUDO_NEAR 0.03125

/* Square roots in place. */
typedef void (*raudo_root_f32)(float *values, size_t n);
typedef void (*raudo_root_f64)(double *values, size_t n);

enum raudo_metric {
#define RAUDO_METRIC(name, type, input, output) RAUDO_##name##_##type,
#include "distance/metrics.def"
    RAUDO_METRIC_COUNT
};

enum { RAUDO_MAX_TILE_ROWS = 16, RAUDO_MAX_PANEL_ROWS = 32 };

typedef struct {
    size_t tile_rows, panel_rows;
    raudo_tile_f32 inner, cityblock;
    raudo_select_f32 select;
    raudo_pack_f32 pack;
    raudo_finish_f32 expand, cosine;
    raudo_root_f32 root;
} raudo_block_f32;

typedef struct {
    size_t tile_rows, panel_rows;
    raudo_tile_f64 inner, cityblock;
    raudo_select_f64 select;
    raudo_pack_f64 pack;
    raudo_finish_f64 expand, cosine;
    raudo_root_f64 root;
} raudo_block_f64;

typedef struct {
    const char *isa;
    unsigned needs; /* bits of raudo_cpu_features() */
    raudo_block_f32 f32;
    raudo_block_f64 f64;
    raudo_rows rows[RAUDO_METRIC_COUNT]; /* NULL: as scalar */
    raudo_strip strips[RAUDO_METRIC_COUNT]; /* NULL: one query at a time */
} raudo_kernels;

extern const raudo_kernels raudo_kernels_scalar, raudo_kernels_avx2, raudo_kernels_avx512,
    raudo_kernels_neon;

/* The i-th compiled instruction set, slowest first, or NULL past the last. */
const raudo_kernels *raudo_kernels_compiled(size_t i);

/* The named one if this processor runs it, else NULL; NULL asks for the fastest. */
const raudo_kernels *raudo_kernels_find(const char *isa);

/* Never NULL for metric in [0, RAUDO_METRIC_COUNT). */
raudo_rows raudo_rows_of(const raudo_kernels *kernels, size_t metric);

/* NULL where there is none. */
raudo_strip raudo_strip_of(const raudo_kernels *kernels, size_t metric);

/* "inner_f32" and the like, NULL past the last. */
const char *raudo_metric_name(size_t metric);

/* Defines the row kernel `rows_<name>` around a function of two rows. */
#define RAUDO_DEFINE_ROWS(name, input, output)                                                    \
    static void rows_##name(const void *query, const void *rows, size_t n, size_t stride, size_t d, \
                            void *out)                                                            \
    {                                                                                             \
        const input *row = rows;                                                                  \
        output *result = out;                                                                     \
        for (size_t i = 0; i < n; i++, row += stride)                                             \
            result[i] = (output)name(query, row, d);                                              \
    }

#endif
