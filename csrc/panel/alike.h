/* What all instruction sets have alike, and each compiles for itself: include this under its target. */
#ifndef RAUDO_PANEL_ALIKE_H
#define RAUDO_PANEL_ALIKE_H

#include "panel/copy.h"
#include "panel/share.h"
#include "panel/sift.h"

/* `name_of` with the queries two by two, and with one that is left: as many sums as there are registers for. */
#define RAUDO_DEFINE_DOT_BY_TWO(name, query, row, sum)                                            \
    static void name(size_t n_groups, size_t m, const query *queries, const row *panel, sum *sums, \
                     size_t stride)                                                               \
    {                                                                                             \
        const size_t step = RAUDO_PANEL_GROUP / sizeof(query);                                    \
        size_t i = 0;                                                                             \
        for (; i + 2 <= m; i += 2)                                                                \
            name##_of(n_groups, 2, queries + step * i, panel, sums + i * stride, stride);         \
        if (i < m)                                                                                \
            name##_of(n_groups, 1, queries + step * i, panel, sums + i * stride, stride);         \
    }

/* The members of a table that have the same name everywhere: all but how bfloat16 is multiplied. */
#define RAUDO_PANEL_ALIKE                                                                         \
    .copy_i8 = copy_i8, .copy_bf16 = copy_bf16, .dot_i8 = dot_i8, .dot_bits = dot_bits,           \
    .sift_i8 = sift_i8, .sift_bf16 = sift_bf16, .share_hamming_f32 = share_hamming_f32,           \
    .share_hamming_f64 = share_hamming_f64, .share_jaccard_f32 = share_jaccard_f32,               \
    .share_jaccard_f64 = share_jaccard_f64

#endif
