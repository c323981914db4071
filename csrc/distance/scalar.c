/* The reference: what every other instruction set must agree with. Short, not fast.
 *
 * Sums run in one accumulator, in order; float32 sums run in double and are rounded once, so that
 * the reference is closer to the truth than what it judges. */
#include <math.h>
#include <string.h>

#include "distance/distance.h"
#include "distance/plain.h"

#define DEFINE_SUMS(real, type)                                                                   \
    static double inner_##type(const real *a, const real *b, size_t d)                            \
    {                                                                                             \
        double sum = 0;                                                                           \
        for (size_t k = 0; k < d; k++)                                                            \
            sum += (double)a[k] * (double)b[k];                                                   \
        return sum;                                                                               \
    }                                                                                             \
    static double sqeuclidean_##type(const real *a, const real *b, size_t d)                      \
    {                                                                                             \
        double sum = 0;                                                                           \
        for (size_t k = 0; k < d; k++) {                                                          \
            const double difference = (double)a[k] - (double)b[k];                                \
            sum += difference * difference;                                                       \
        }                                                                                         \
        return sum;                                                                               \
    }                                                                                             \
    static double cityblock_##type(const real *a, const real *b, size_t d)                        \
    {                                                                                             \
        double sum = 0;                                                                           \
        for (size_t k = 0; k < d; k++)                                                            \
            sum += fabs((double)a[k] - (double)b[k]);                                             \
        return sum;                                                                               \
    }
DEFINE_SUMS(float, f32)
DEFINE_SUMS(double, f64)

#define DEFINE_COSINE(real, type)                                                                 \
    static double cosine_##type(const real *a, const real *b, size_t d)                           \
    {                                                                                             \
        return cosine_of_sums(inner_##type(a, b, d), inner_##type(a, a, d), inner_##type(b, b, d)); \
    }
DEFINE_COSINE(float, f32)
DEFINE_COSINE(double, f64)

static double inner_i8(const int8_t *a, const int8_t *b, size_t d)
{
    int64_t sum = 0;
    for (size_t k = 0; k < d; k++)
        sum += (int64_t)a[k] * b[k];
    return (double)sum;
}

static double sqeuclidean_i8(const int8_t *a, const int8_t *b, size_t d)
{
    int64_t sum = 0;
    for (size_t k = 0; k < d; k++) {
        const int64_t difference = (int64_t)a[k] - b[k];
        sum += difference * difference;
    }
    return (double)sum;
}

static unsigned popcount(unsigned byte)
{
    unsigned n_set = 0;
    for (; byte; byte &= byte - 1)
        n_set++;
    return n_set;
}

static double hamming_bits(const uint8_t *a, const uint8_t *b, size_t d)
{
    uint64_t n_differ = 0;
    for (size_t k = 0; k < d; k++)
        n_differ += popcount((unsigned)(a[k] ^ b[k]));
    return (double)n_differ;
}

/* Two rows without a bit set are equal: distance 0. */
static double jaccard_bits(const uint8_t *a, const uint8_t *b, size_t d)
{
    uint64_t n_both = 0, n_either = 0;
    for (size_t k = 0; k < d; k++) {
        n_both += popcount((unsigned)(a[k] & b[k]));
        n_either += popcount((unsigned)(a[k] | b[k]));
    }
    return n_either ? (double)(n_either - n_both) / (double)n_either : 0;
}

#define RAUDO_METRIC(name, type, input, output) RAUDO_DEFINE_ROWS(name##_##type, input, output)
#include "distance/metrics.def"

enum { TILE_ROWS = 4, PANEL_ROWS = 8 };

#define DEFINE_BLOCK(real, type)                                                                  \
    static void inner_tile_##type(size_t d, const real *a, const real *b, real *c, size_t stride, \
                                  int add)                                                        \
    {                                                                                             \
        for (size_t i = 0; i < TILE_ROWS; i++)                                                    \
            for (size_t j = 0; j < PANEL_ROWS; j++) {                                             \
                real sum = add ? c[i * stride + j] : 0;                                           \
                for (size_t k = 0; k < d; k++)                                                    \
                    sum += a[k * TILE_ROWS + i] * b[k * PANEL_ROWS + j];                          \
                c[i * stride + j] = sum;                                                          \
            }                                                                                     \
    }                                                                                             \
    static void cityblock_tile_##type(size_t d, const real *a, const real *b, real *c,            \
                                      size_t stride, int add)                                     \
    {                                                                                             \
        for (size_t i = 0; i < TILE_ROWS; i++)                                                    \
            for (size_t j = 0; j < PANEL_ROWS; j++) {                                             \
                real sum = add ? c[i * stride + j] : 0;                                           \
                for (size_t k = 0; k < d; k++) {                                                  \
                    const real difference = a[k * TILE_ROWS + i] - b[k * PANEL_ROWS + j];         \
                    sum += difference < 0 ? -difference : difference;                             \
                }                                                                                 \
                c[i * stride + j] = sum;                                                          \
            }                                                                                     \
    }                                                                                             \
    static size_t select_##type(const real *value, const real *bias, real sign, real limit,       \
                                size_t n, uint32_t *found)                                        \
    {                                                                                             \
        size_t n_found = 0;                                                                       \
        for (size_t j = 0; j < n; j++)                                                            \
            if (!(bias[j] + sign * value[j] > limit))                                             \
                found[n_found++] = (uint32_t)j;                                                   \
        return n_found;                                                                           \
    }
DEFINE_BLOCK(float, f32)
DEFINE_BLOCK(double, f64)
RAUDO_DEFINE_PACK(float, f32)
RAUDO_DEFINE_PACK(double, f64)

static void root_f32(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = sqrtf(values[i]);
}

static void root_f64(double *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = sqrt(values[i]);
}

const raudo_kernels raudo_kernels_scalar = {
    .isa = "scalar",
    .f32 = {TILE_ROWS, PANEL_ROWS, inner_tile_f32, cityblock_tile_f32, select_f32, pack_f32,
            expand_f32, cosine_finish_f32, root_f32},
    .f64 = {TILE_ROWS, PANEL_ROWS, inner_tile_f64, cityblock_tile_f64, select_f64, pack_f64,
            expand_f64, cosine_finish_f64, root_f64},
    .rows =
        {
#define RAUDO_METRIC(name, type, input, output) [RAUDO_##name##_##type] = rows_##name##_##type,
#include "distance/metrics.def"
        },
};
