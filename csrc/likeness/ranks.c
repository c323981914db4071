#include "likeness/ranks.h"

#include <string.h>

#include "likeness/overlap.h"

enum { SMALL = 32 };

void raudo_sort_ranks(uint32_t *items, size_t n, uint32_t *scratch, unsigned bits)
{
    if (n <= SMALL) {
        for (size_t i = 1; i < n; i++) {
            uint32_t item = items[i];
            size_t j = i;
            for (; j > 0 && items[j - 1] > item; j--)
                items[j] = items[j - 1];
            items[j] = item;
        }
        return;
    }
    for (unsigned shift = 0; shift < bits; shift += 8) {
        size_t starts[257] = {0};
        for (size_t i = 0; i < n; i++)
            starts[((items[i] >> shift) & 0xFF) + 1]++;
        for (size_t i = 1; i < 257; i++)
            starts[i] += starts[i - 1];
        for (size_t i = 0; i < n; i++)
            scratch[starts[(items[i] >> shift) & 0xFF]++] = items[i];
        memcpy(items, scratch, n * sizeof *items);
    }
}

RAUDO_DEFINE_OVERLAP(overlap, uint64_t)

size_t raudo_overlap(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b)
{
    return overlap(a, n_a, b, n_b, 0);
}

int raudo_reach(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b, double threshold)
{
    /* Rounded down, so that no pair at the threshold is lost before it is divided. */
    const size_t wanted = (size_t)((double)(n_a + n_b) * threshold / (1.0 + threshold) * (1.0 - 1e-9));
    return raudo_reaches(overlap(a, n_a, b, n_b, wanted), n_a, n_b, threshold);
}
