/* Likely neighbours of documents: of those that share a document's rarest words, the best by cosine.
 *
 * The postings of its words are walked from rare to frequent until `RAUDO_VISITS` were seen; a longer
 * list is read around the document's own place. Those with the largest sum of squared idf are compared
 * by their vectors. Cost a document: RAUDO_VISITS additions and 2 k + 16 inner products, whatever n.
 */
#ifndef RAUDO_LIKENESS_CANDIDATES_H
#define RAUDO_LIKENESS_CANDIDATES_H

#include <stddef.h>
#include <stdint.h>

enum { RAUDO_VISITS = 1024 };

typedef struct {
    const int64_t *offsets; /* documents -> ranks, ascending from rare to frequent */
    const uint32_t *ranks;
    const int64_t *starts; /* ranks -> documents, ascending */
    const uint32_t *documents;
    const float *idf; /* by rank */
    const float *vectors; /* (n, dimensions), unit rows */
    size_t dimensions;
} raudo_likeness;

/* Size of the `best` scratch that belongs to one thread, in items. */
size_t raudo_shortlist(size_t k);

/* Write k ids and similarities for each document of [lo, hi), best first, -1 and 0 where there are fewer.
 * `scores` (n zeros, left as zeros) and `best` belong to the thread. */
void raudo_likely_neighbours(const raudo_likeness *corpus, size_t lo, size_t hi, size_t k, float *scores,
                             uint32_t *best, int64_t *ids, float *similarities);

#endif
