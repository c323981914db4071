/* Strips: the row kernels of several queries at once, four rows at a time, without packing anything.
 * Each pair has one vector of sums, whoever its neighbours are: so the digits do not depend on how many
 * queries and rows are computed together, and the row kernel is the strip of one query.
 *
 * An instruction set defines, for `type` f32 and f64, `zero_type()`, `load_type(p)`,
 * `load_first_type(p, n)` (the other lanes are zeros), `reduce_type(vectors, sums)` (the sums of four
 * vectors) and the steps `name_step_type(sum, x, y)`, and includes this under its own target. */
#ifndef RAUDO_STRIP_H
#define RAUDO_STRIP_H

#include "distance/distance.h"
#include "target.h"

enum { STRIP_ROWS = 4, STRIP_AHEAD = 16 };

/* Rows that follow are fetched in the order in which they lie, as four rows read side by side from memory
 * are four slow streams (9.1 ms for 100,000 rows of 1 KB, 3.7 so); into the second-level cache where the
 * queries fill the first (19 queries: 15.0 ms, 10.1 so). */
enum { FETCH_NEAR = 1, FETCH_FAR = 2 };

/* `most` queries leave registers for the rows beside `most` * 4 vectors of sums. */
#define RAUDO_DEFINE_STRIP(name, real, type, vector, lanes, most)                                 \
    RAUDO_INLINE void name##_few_##type(const real *queries, const size_t m, size_t q_stride,     \
                                        const real *rows, const size_t n, size_t stride,          \
                                        size_t d, real *out, size_t out_stride, int fetch)        \
    {                                                                                             \
        vector sum[most][STRIP_ROWS], row[STRIP_ROWS];                                            \
        RAUDO_UNROLL                                                                              \
        for (size_t i = 0; i < m; i++)                                                            \
            sum[i][0] = sum[i][1] = sum[i][2] = sum[i][3] = zero_##type();                        \
        size_t k = 0;                                                                             \
        for (; k + lanes <= d; k += lanes) {                                                      \
            RAUDO_UNROLL                                                                          \
            for (size_t j = 0; j < n; j++) {                                                      \
                row[j] = load_##type(rows + j * stride + k);                                      \
                if (fetch == FETCH_NEAR)                                                          \
                    __builtin_prefetch(rows + STRIP_AHEAD * stride + STRIP_ROWS * k + j * lanes, 0, 3);\
                else if (fetch)                                                                   \
                    __builtin_prefetch(rows + STRIP_AHEAD * stride + STRIP_ROWS * k + j * lanes, 0, 2);\
            }                                                                                     \
            RAUDO_UNROLL                                                                          \
            for (size_t i = 0; i < m; i++) {                                                      \
                const vector x = load_##type(queries + i * q_stride + k);                         \
                RAUDO_UNROLL                                                                      \
                for (size_t j = 0; j < n; j++)                                                    \
                    sum[i][j] = name##_step_##type(sum[i][j], x, row[j]);                         \
            }                                                                                     \
        }                                                                                         \
        if (k < d) {                                                                              \
            RAUDO_UNROLL                                                                          \
            for (size_t j = 0; j < n; j++)                                                        \
                row[j] = load_first_##type(rows + j * stride + k, d - k);                         \
            RAUDO_UNROLL                                                                          \
            for (size_t i = 0; i < m; i++) {                                                      \
                const vector x = load_first_##type(queries + i * q_stride + k, d - k);            \
                RAUDO_UNROLL                                                                      \
                for (size_t j = 0; j < n; j++)                                                    \
                    sum[i][j] = name##_step_##type(sum[i][j], x, row[j]);                         \
            }                                                                                     \
        }                                                                                         \
        RAUDO_UNROLL                                                                              \
        for (size_t i = 0; i < m; i++) {                                                          \
            real sums[STRIP_ROWS];                                                                \
            reduce_##type(sum[i], sums);                                                          \
            RAUDO_UNROLL                                                                          \
            for (size_t j = 0; j < n; j++)                                                        \
                out[i * out_stride + j] = sums[j];                                                \
        }                                                                                         \
    }                                                                                             \
    RAUDO_INLINE void name##_all_##type(const real *x, size_t m, size_t q_stride, const real *y,  \
                                        const size_t n, size_t stride, size_t d, real *out,       \
                                        size_t out_stride)                                        \
    {                                                                                             \
        int fetch = n < STRIP_ROWS ? 0 : m <= 4 ? FETCH_NEAR : FETCH_FAR;                         \
        while (m) {                                                                               \
            const size_t some = m >= most ? most : most > 4 && m >= 4 ? 4 : m >= 2 ? 2 : 1;       \
            if (some == most)                                                                     \
                name##_few_##type(x, most, q_stride, y, n, stride, d, out, out_stride, fetch);    \
            else if (some == 4)                                                                   \
                name##_few_##type(x, most < 4 ? 1 : 4, q_stride, y, n, stride, d, out, out_stride,\
                                  fetch);                                                         \
            else if (some == 2)                                                                   \
                name##_few_##type(x, 2, q_stride, y, n, stride, d, out, out_stride, fetch);       \
            else                                                                                  \
                name##_few_##type(x, 1, q_stride, y, n, stride, d, out, out_stride, fetch);       \
            m -= some, x += some * q_stride, out += some * out_stride;                            \
            fetch = 0;                                                                            \
        }                                                                                         \
    }                                                                                             \
    static void strip_##name##_##type(const void *queries, size_t m, size_t q_stride,             \
                                      const void *rows, size_t n, size_t stride, size_t d,        \
                                      void *out, size_t out_stride)                               \
    {                                                                                             \
        const real *row = rows;                                                                   \
        real *result = out;                                                                       \
        for (; n >= STRIP_ROWS; n -= STRIP_ROWS, row += STRIP_ROWS * stride, result += STRIP_ROWS) \
            name##_all_##type(queries, m, q_stride, row, STRIP_ROWS, stride, d, result,           \
                              out_stride);                                                        \
        for (; n; n--, row += stride, result++)                                                   \
            name##_all_##type(queries, m, q_stride, row, 1, stride, d, result, out_stride);       \
    }                                                                                             \
    static void rows_##name##_##type(const void *query, const void *rows, size_t n,               \
                                     size_t stride, size_t d, void *out)                          \
    {                                                                                             \
        strip_##name##_##type(query, 1, 0, rows, n, stride, d, out, 0);                           \
    }

#define RAUDO_DEFINE_STRIPS(real, type, vector, lanes, most)                                      \
    RAUDO_DEFINE_STRIP(inner, real, type, vector, lanes, most)                                    \
    RAUDO_DEFINE_STRIP(sqeuclidean, real, type, vector, lanes, most)                              \
    RAUDO_DEFINE_STRIP(cityblock, real, type, vector, lanes, most)

#endif
