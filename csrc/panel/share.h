/* From counts of common bits to distances; each instruction set compiles its own, under its own target. */
#ifndef RAUDO_PANEL_SHARE_H
#define RAUDO_PANEL_SHARE_H

#include "panel/panel.h"

#define RAUDO_DEFINE_SHARE(real, type)                                                            \
    static void share_hamming_##type(const int32_t *both, int32_t a, const int32_t *b, size_t n,  \
                                     size_t positions, real *out)                                 \
    {                                                                                             \
        const real whole = (real)positions, part = 1 / whole;                                     \
        if ((positions & (positions - 1)) == 0) /* the product is the quotient, and faster */     \
            for (size_t j = 0; j < n; j++)                                                        \
                out[j] = (real)(a + b[j] - 2 * both[j]) * part;                                   \
        else                                                                                      \
            for (size_t j = 0; j < n; j++)                                                        \
                out[j] = (real)(a + b[j] - 2 * both[j]) / whole;                                  \
    }                                                                                             \
    static void share_jaccard_##type(const int32_t *both, int32_t a, const int32_t *b, size_t n,  \
                                     size_t positions, real *out)                                 \
    {                                                                                             \
        (void)positions;                                                                          \
        for (size_t j = 0; j < n; j++) {                                                          \
            const int32_t either = a + b[j] - both[j];                                            \
            out[j] = (real)(either - both[j]) / (real)(either ? either : 1);                      \
        }                                                                                         \
    }
RAUDO_DEFINE_SHARE(float, f32)
RAUDO_DEFINE_SHARE(double, f64)

#endif
