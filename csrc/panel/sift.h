/* What of a block of sums may be a match. An instruction set defines `floats_i8(sums)` and
 * `floats_bf16(sums)`, its next lanes as float32, and `hits_of(floats, scale, bias, query_scale, limit)`, the
 * bits of those among them that are not refused, and includes this under its own target. */
#ifndef RAUDO_PANEL_SIFT_H
#define RAUDO_PANEL_SIFT_H

#include "panel/panel.h"

#define RAUDO_DEFINE_SIFT(type, number, lanes)                                                    \
    static size_t sift_##type(const number *sums, const float *scale, const float *bias,          \
                              float query_scale, float limit, size_t n, uint32_t *found)          \
    {                                                                                             \
        size_t n_found = 0, j = 0;                                                                \
        for (; j + lanes <= n; j += lanes) {                                                      \
            unsigned hits =                                                                       \
                hits_of(floats_##type(sums + j), scale + j, bias + j, query_scale, limit);        \
            for (; hits; hits &= hits - 1)                                                        \
                found[n_found++] = (uint32_t)j + (uint32_t)__builtin_ctz(hits);                   \
        }                                                                                         \
        for (; j < n; j++)                                                                        \
            if (!(bias[j] - query_scale * scale[j] * (float)sums[j] > limit))                     \
                found[n_found++] = (uint32_t)j;                                                   \
        return n_found;                                                                           \
    }

#define RAUDO_DEFINE_SIFTS(lanes)                                                                 \
    RAUDO_DEFINE_SIFT(i8, int32_t, lanes)                                                         \
    RAUDO_DEFINE_SIFT(bf16, float, lanes)

#endif
