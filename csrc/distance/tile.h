/* The register tile and what is done around it, in the vectors of one instruction set.
 *
 * It defines TILE_ROWS, TILE_VECTORS (of a panel's rows), and for `type` f32 and f64 `zero_type()`,
 * `load_type(p)`, `store_type(p, v)`, `all_type(x)` (every lane is x), `add_type(v, w)`, `root_of_type(v)`
 * and the steps `name_step_type(sum, x, y)`, and includes this under its own target. */
#ifndef RAUDO_TILE_H
#define RAUDO_TILE_H

#include "distance/plain.h"

/* `some` rows of the tile at a time: as many as leave registers for what a step needs beside the sums. */
#define RAUDO_DEFINE_TILE(name, real, type, vector, lanes, some)                                  \
    static void name##_tile_##type(size_t d, const real *a, const real *b, real *c, size_t stride, \
                                   int add)                                                       \
    {                                                                                             \
        for (size_t first = 0; first < TILE_ROWS; first += some) {                                \
            const real *query = a + first, *rows = b;                                             \
            vector sum[some][TILE_VECTORS], row[TILE_VECTORS];                                    \
            RAUDO_UNROLL                                                                          \
            for (size_t i = 0; i < some; i++)                                                     \
                RAUDO_UNROLL                                                                      \
                for (size_t v = 0; v < TILE_VECTORS; v++)                                         \
                    sum[i][v] = zero_##type();                                                    \
            for (size_t k = 0; k < d; k++, query += TILE_ROWS, rows += TILE_VECTORS * lanes) {    \
                RAUDO_UNROLL                                                                      \
                for (size_t v = 0; v < TILE_VECTORS; v++)                                         \
                    row[v] = load_##type(rows + v * lanes);                                       \
                RAUDO_UNROLL                                                                      \
                for (size_t i = 0; i < some; i++) {                                               \
                    const vector x = all_##type(query[i]);                                        \
                    RAUDO_UNROLL                                                                  \
                    for (size_t v = 0; v < TILE_VECTORS; v++)                                     \
                        sum[i][v] = name##_step_##type(sum[i][v], x, row[v]);                     \
                }                                                                                 \
            }                                                                                     \
            RAUDO_UNROLL                                                                          \
            for (size_t i = 0; i < some; i++, c += stride)                                        \
                RAUDO_UNROLL                                                                      \
                for (size_t v = 0; v < TILE_VECTORS; v++) {                                       \
                    if (add)                                                                      \
                        sum[i][v] = add_##type(sum[i][v], load_##type(c + v * lanes));            \
                    store_##type(c + v * lanes, sum[i][v]);                                       \
                }                                                                                 \
        }                                                                                         \
    }

/* Needs `hits_type(value, bias, signs, limits)`: the bits of those of the next lanes that are found. */
#define RAUDO_DEFINE_SELECT(real, type, vector, lanes)                                            \
    static size_t select_##type(const real *value, const real *bias, real sign, real limit,       \
                                size_t n, uint32_t *found)                                        \
    {                                                                                             \
        const vector signs = all_##type(sign), limits = all_##type(limit);                        \
        size_t n_found = 0, j = 0;                                                                \
        for (; j + lanes <= n; j += lanes) {                                                      \
            unsigned hits = hits_##type(value + j, bias + j, signs, limits);                      \
            for (; hits; hits &= hits - 1)                                                        \
                found[n_found++] = (uint32_t)j + (uint32_t)__builtin_ctz(hits);                   \
        }                                                                                         \
        for (; j < n; j++)                                                                        \
            if (!(bias[j] + sign * value[j] > limit))                                             \
                found[n_found++] = (uint32_t)j;                                                   \
        return n_found;                                                                           \
    }

/* Needs `subtract_type(v, w)`, and `transpose_type(vectors)` of as many vectors as one has lanes. */
#define RAUDO_DEFINE_PACK_BY_SQUARES(real, type, vector, lanes)                                   \
    static void pack_##type(const real *rows, size_t n, size_t stride, size_t d,                  \
                            const real *shift, size_t width, real *panel)                         \
    {                                                                                             \
        enum { PANEL = TILE_VECTORS * lanes };                                                    \
        size_t k = 0;                                                                             \
        if (n == PANEL && width == PANEL)                                                         \
            for (; k + lanes <= d; k += lanes) {                                                  \
                const vector offset = shift ? load_##type(shift + k) : zero_##type();             \
                for (size_t j = 0; j < PANEL; j += lanes) {                                       \
                    vector square[lanes];                                                         \
                    RAUDO_UNROLL                                                                  \
                    for (size_t i = 0; i < lanes; i++)                                            \
                        square[i] =                                                               \
                            subtract_##type(load_##type(rows + (j + i) * stride + k), offset);    \
                    transpose_##type(square);                                                     \
                    RAUDO_UNROLL                                                                  \
                    for (size_t i = 0; i < lanes; i++)                                            \
                        store_##type(panel + (k + i) * PANEL + j, square[i]);                     \
                }                                                                                 \
            }                                                                                     \
        plain_pack_##type(rows, n, stride, k, d, shift, width, panel);                            \
    }

#define RAUDO_DEFINE_ROOT(real, type, lanes)                                                      \
    static void root_##type(real *values, size_t n)                                               \
    {                                                                                             \
        size_t i = 0;                                                                             \
        for (; i + lanes <= n; i += lanes)                                                        \
            store_##type(values + i, root_of_##type(load_##type(values + i)));                    \
        raudo_kernels_scalar.type.root(values + i, n - i);                                        \
    }

#endif
