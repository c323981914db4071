/* How much two ascending runs share, for numbers of either width. */
#ifndef RAUDO_OVERLAP_H
#define RAUDO_OVERLAP_H

#include <stddef.h>

/* Gives up, with 0, once `wanted` is out of reach. */
#define RAUDO_DEFINE_OVERLAP(name, number)                                                        \
    static inline size_t name(const number *a, size_t n_a, const number *b, size_t n_b,           \
                              size_t wanted)                                                      \
    {                                                                                             \
        size_t i = 0, j = 0, shared = 0;                                                          \
        while (i < n_a && j < n_b) {                                                              \
            const number x = a[i], y = b[j];                                                      \
            shared += x == y;                                                                     \
            i += x <= y;                                                                          \
            j += y <= x;                                                                          \
            const size_t rest = n_a - i < n_b - j ? n_a - i : n_b - j;                            \
            if (shared + rest < wanted)                                                           \
                return 0;                                                                         \
        }                                                                                         \
        return shared;                                                                            \
    }

/* Whether the shared part of the union is `threshold` at least. */
static inline int raudo_reaches(size_t shared, size_t n_a, size_t n_b, double threshold)
{
    return shared > 0 && (double)shared / (double)(n_a + n_b - shared) >= threshold;
}

#endif
