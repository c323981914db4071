/* Loops that compilers vectorise well by themselves. Each instruction set compiles its own copy,
 * under its own target: include this inside RAUDO_TARGET_... and RAUDO_TARGET_END. */
#ifndef RAUDO_PLAIN_H
#define RAUDO_PLAIN_H

#include "distance/distance.h"
#include "target.h"

#define RAUDO_DEFINE_PLAIN(real, type)                                                            \
    RAUDO_INLINE void plain_pack_##type(const real *rows, size_t n, size_t stride, size_t first,  \
                                        size_t d, const real *shift, size_t width, real *panel)   \
    {                                                                                             \
        for (size_t j = 0; j < width; j++) {                                                      \
            const real *row = rows + j * stride;                                                  \
            if (j >= n)                                                                           \
                for (size_t k = first; k < d; k++)                                                \
                    panel[k * width + j] = 0;                                                     \
            else if (shift)                                                                       \
                for (size_t k = first; k < d; k++)                                                \
                    panel[k * width + j] = row[k] - shift[k];                                     \
            else                                                                                  \
                for (size_t k = first; k < d; k++)                                                \
                    panel[k * width + j] = row[k];                                                \
        }                                                                                         \
    }                                                                                             \
    static size_t expand_##type(const real *dot, real a2, const real *b2, size_t n, real *out)    \
    {                                                                                             \
        const real near = (real)RAUDO_NEAR;                                                       \
        size_t n_near = 0;                                                                        \
        RAUDO_ALIKE                                                                               \
        for (size_t j = 0; j < n; j++) {                                                          \
            const real scale = a2 + b2[j], value = scale - 2 * dot[j];                            \
            n_near += !(value >= near * scale);                                                   \
            out[j] = value;                                                                       \
        }                                                                                         \
        return n_near;                                                                            \
    }                                                                                             \
    static size_t cosine_finish_##type(const real *dot, real a, const real *b, size_t n,          \
                                       real *out)                                                 \
    {                                                                                             \
        const real near = (real)RAUDO_NEAR;                                                       \
        size_t n_near = 0;                                                                        \
        RAUDO_ALIKE                                                                               \
        for (size_t j = 0; j < n; j++) {                                                          \
            const real value = 1 - dot[j] * (a * b[j]);                                           \
            n_near += !(value >= near);                                                           \
            out[j] = value;                                                                       \
        }                                                                                         \
        return n_near;                                                                            \
    }

/* Packing where an instruction set has nothing better. */
#define RAUDO_DEFINE_PACK(real, type)                                                             \
    static void pack_##type(const real *rows, size_t n, size_t stride, size_t d,                  \
                            const real *shift, size_t width, real *panel)                         \
    {                                                                                             \
        plain_pack_##type(rows, n, stride, 0, d, shift, width, panel);                            \
    }

RAUDO_DEFINE_PLAIN(float, f32)
RAUDO_DEFINE_PLAIN(double, f64)

#define RAUDO_DEFINE_HAMMING(name, real)                                                          \
    RAUDO_INLINE double name(const real *a, const real *b, size_t d)                              \
    {                                                                                             \
        size_t n_differ = 0;                                                                      \
        for (size_t k = 0; k < d; k++)                                                            \
            n_differ += a[k] != b[k];                                                             \
        return (double)n_differ;                                                                  \
    }
RAUDO_DEFINE_HAMMING(hamming_f32, float)
RAUDO_DEFINE_HAMMING(hamming_f64, double)

/* 1 - cos, from sums in double; equal rows give exactly 0, a row of zeros gives NaN. */
RAUDO_INLINE double cosine_of_sums(double ab, double aa, double bb)
{
    const double product = aa * bb;
    const double norm = product > 0 && product < 1e300 ? __builtin_sqrt(product)
                                                       : __builtin_sqrt(aa) * __builtin_sqrt(bb);
    const double value = 1 - ab / norm;
    return value < 0 ? 0 : value > 2 ? 2 : value;
}

#endif
