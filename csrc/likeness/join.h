/* Finds all pairs of sets whose Jaccard similarity reaches a threshold, without looking at all pairs.
 *
 * Prefix filtering after Bayardo, Ma, Srikant 2007 (All-Pairs) and Xiao et al. 2008 (PPJoin): with the
 * words of every set ordered from rare to frequent, two similar sets share one of their first, so that
 * only those are indexed and looked up. What is proposed is then checked exactly: nothing is missed.
 * What we changed: the answer is the connected components, so a pair that is already connected is not
 * checked again, and a dense group costs about its size, not its square.
 */
#ifndef RAUDO_LIKENESS_JOIN_H
#define RAUDO_LIKENESS_JOIN_H

#include <stddef.h>
#include <stdint.h>

/* Sets sorted by size, smallest first; their terms are ranks by rarity, ascending in each set. */
typedef struct {
    const int64_t *offsets;
    const uint32_t *ranks;
    const uint64_t *signatures; /* two of each set */
    size_t n_sets;
    double threshold;
} raudo_sets;

/* Write each set's signature of 128 bits, one of which each term sets. Terms of one of two sets alone are
 * at least as many as the bits in which they differ (Sandes, Teodoro, Melo 2017): most pairs that share a
 * prefix are ruled out by that. */
void raudo_sign_sets(const raudo_sets *sets, uint64_t *signatures);

/* Inverted index of the prefixes: starts[r] .. starts[r + 1] are the sets that hold rank r, ascending,
 * and where in them it stands. */
typedef struct {
    const int64_t *starts;
    const uint32_t *sets;
    const uint32_t *places;
} raudo_postings;

/* Count postings by rank into starts[rank + 1], and how often each is looked up into probes[rank]; then,
 * with starts summed up, fill the postings in. */
void raudo_count_postings(const raudo_sets *sets, int64_t *starts, int64_t *probes);
void raudo_fill_postings(const raudo_sets *sets, int64_t *next, uint32_t *in_sets, uint32_t *places);

/* Join what is similar to each set of [lo, hi) among the sets before it. `parents` is a union-find
 * forest over the sets; `seen` (n_sets, zero at first) belongs to the same thread. */
void raudo_join(const raudo_sets *sets, const raudo_postings *postings, size_t lo, size_t hi,
                uint32_t *parents, uint32_t *seen);

/* How many of a bucket that are not of its component a member is compared with: all, but where weak bands
 * put thousands of unlike sets into one. */
enum { RAUDO_MOST_COMPARED = 256 };

/* Join what is similar within each bucket; bucket b is members[starts[b] .. starts[b + 1]]. `scratch` has
 * room for three times the largest of them. */
void raudo_join_buckets(const raudo_sets *sets, const int64_t *starts, const int64_t *members, size_t lo,
                        size_t hi, uint32_t *parents, uint32_t *scratch);

/* Whether the sets' Jaccard similarity reaches the threshold, computed as Python would. */
int raudo_are_similar(const raudo_sets *sets, size_t a, size_t b);

uint32_t raudo_root(uint32_t *parents, uint32_t i);
void raudo_unite(uint32_t *parents, uint32_t a, uint32_t b);

#endif
