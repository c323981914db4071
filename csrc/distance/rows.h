/* Row kernels that instruction sets spell alike: cosine, and sums over int8. Include this under the target
 * of the one that uses it. */
#ifndef RAUDO_ROWS_H
#define RAUDO_ROWS_H

#include "distance/plain.h"

/* Needs `load_wide_type(p, n)`, the next of n >= 1 elements as doubles and zeros after them, and `sum_f64`.
 * The three sums are in double for float32 too: 1 - cos of near rows would otherwise be all rounding. */
#define RAUDO_DEFINE_COSINE(real, type, vector, lanes)                                            \
    RAUDO_INLINE double cosine_##type(const real *a, const real *b, size_t d)                     \
    {                                                                                             \
        vector ab = zero_f64(), aa = ab, bb = ab;                                                 \
        for (size_t k = 0; k < d; k += lanes) {                                                   \
            const vector x = load_wide_##type(a + k, d - k);                                      \
            const vector y = load_wide_##type(b + k, d - k);                                      \
            ab = inner_step_f64(ab, x, y);                                                        \
            aa = inner_step_f64(aa, x, x);                                                        \
            bb = inner_step_f64(bb, y, y);                                                        \
        }                                                                                         \
        return cosine_of_sums(sum_f64(ab), sum_f64(aa), sum_f64(bb));                             \
    }

/* Needs `zero_i32()`, `load_i8(p)` of I8_LANES elements, `sum_i32(vector)` in 64 bits, and the step
 * `name_step_i8(sum, x, y)`. Sums are taken out every I8_BLOCK elements, before a lane is full. */
#define RAUDO_DEFINE_SUM_I8(name, vector, subtract)                                               \
    RAUDO_INLINE double name##_i8(const int8_t *a, const int8_t *b, size_t d)                     \
    {                                                                                             \
        int64_t total = 0;                                                                        \
        size_t k = 0;                                                                             \
        while (d - k >= I8_LANES) {                                                               \
            const size_t end = d - k < I8_BLOCK ? d - I8_LANES : k + I8_BLOCK - I8_LANES;         \
            vector sum = zero_i32();                                                              \
            for (; k <= end; k += I8_LANES)                                                       \
                sum = name##_step_i8(sum, load_i8(a + k), load_i8(b + k));                        \
            total += sum_i32(sum);                                                                \
        }                                                                                         \
        for (; k < d; k++) {                                                                      \
            const int32_t difference = a[k] - b[k];                                               \
            total += subtract ? difference * difference : a[k] * b[k];                            \
        }                                                                                         \
        return (double)total;                                                                     \
    }

#endif
