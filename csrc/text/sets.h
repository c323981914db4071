/* Sets of 64-bit hashes: sort and count. The sorts rely on hashes being spread evenly and stay
 * linear where they are not. */
#ifndef RAUDO_TEXT_SETS_H
#define RAUDO_TEXT_SETS_H

#include <stddef.h>
#include <stdint.h>

/* Write the distinct of n items to `out`, sorted, and how often each occurs to `counts` (may be NULL); return
 * how many there are. The items are spoiled. `scratch`, `out` and `counts` have room for n, `heads` for
 * raudo_sort_heads(n). */
size_t raudo_distinct(uint64_t *items, size_t n, uint64_t *scratch, uint32_t *heads, uint64_t *out,
                      uint32_t *counts);
size_t raudo_sort_heads(size_t n);

/* Replace n words by the n - width + 1 runs of `width` of them (one run of all where there are fewer);
 * return how many. A run's hash depends on the order of its words. */
size_t raudo_shingle(uint64_t *words, size_t n, size_t width);

#endif
