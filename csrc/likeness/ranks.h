/* Members of sets as ranks, from rare to frequent: sort them, compare sets. */
#ifndef RAUDO_LIKENESS_RANKS_H
#define RAUDO_LIKENESS_RANKS_H

#include <stddef.h>
#include <stdint.h>

/* Sort ranks in place, all below 2^bits; `scratch` has room for n. */
void raudo_sort_ranks(uint32_t *items, size_t n, uint32_t *scratch, unsigned bits);

/* Size of the intersection of two sorted sets. */
size_t raudo_overlap(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b);

/* Whether the Jaccard similarity of two sorted sets, not both empty, is at least `threshold`; it costs
 * little where it is far from that. */
int raudo_reach(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b, double threshold);

#endif
