/* Sets of 64-bit hashes: sort and count. The sorts rely on hashes being spread evenly and stay
 * linear where they are not. */
#ifndef RAUDO_TEXT_SETS_H
#define RAUDO_TEXT_SETS_H

#include <stddef.h>
#include <stdint.h>

/* Sort in place. `scratch` has room for n items, `heads` for raudo_sort_heads(n). */
void raudo_sort_hashes(uint64_t *items, size_t n, uint64_t *scratch, uint32_t *heads);
size_t raudo_sort_heads(size_t n);

/* Squeeze sorted items to the distinct ones; return their number. `counts` may be NULL. */
size_t raudo_distinct(uint64_t *items, size_t n, uint32_t *counts);

/* Replace n words by the n - width + 1 runs of `width` of them (one run of all where there are fewer);
 * return how many. A run's hash depends on the order of its words. */
size_t raudo_shingle(uint64_t *words, size_t n, size_t width);

#endif
