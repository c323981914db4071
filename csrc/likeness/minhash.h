/* MinHash signatures (Broder 1997): two sets agree in a component with the probability of their Jaccard
 * similarity.
 *
 * Component j of a set is the least `raudo_permuted(word, seed j)` of its words. Each component has a
 * permutation of its own: one-permutation hashing with densification is faster on long documents, but
 * copies components on short ones, and the recall of bands is then no longer what the formula says.
 */
#ifndef RAUDO_LIKENESS_MINHASH_H
#define RAUDO_LIKENESS_MINHASH_H

#include <stddef.h>
#include <stdint.h>

/* Write n_components for each document of [lo, hi); a document without words gets all ones. */
void raudo_minhash(const int64_t *offsets, const uint64_t *words, size_t lo, size_t hi,
                   const uint32_t *seeds, size_t n_components, uint32_t *out);

#endif
