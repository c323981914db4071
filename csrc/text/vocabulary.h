/* Numbers the distinct words of a corpus, counts the documents of each, and weighs documents by them. */
#ifndef RAUDO_TEXT_VOCABULARY_H
#define RAUDO_TEXT_VOCABULARY_H

#include <stddef.h>
#include <stdint.h>

typedef struct raudo_vocabulary raudo_vocabulary;

#define RAUDO_NO_TERM 0xFFFFFFFFu

/* An empty one with room for the longest ascending run among n words that will be added; NULL where there
 * is no memory. */
raudo_vocabulary *raudo_vocabulary_new(const uint64_t *words, size_t n);
void raudo_vocabulary_free(raudo_vocabulary *vocabulary);
size_t raudo_vocabulary_size(const raudo_vocabulary *vocabulary);

/* terms[i] becomes the number of words[i], in order of first appearance; 0, or -1 without memory or
 * past 2^32 - 2 distinct words. */
int raudo_vocabulary_add(raudo_vocabulary *vocabulary, const uint64_t *words, size_t n, uint32_t *terms);

/* Finds the words that are among the distinct `wanted`, few: words[at[i]] is wanted[which[i]], `at` ascending,
 * both with room for n. Returns how many there are, -1 without memory. */
int64_t raudo_find_among(const uint64_t *words, size_t n, const uint64_t *wanted, size_t n_wanted, int64_t *at,
                         int64_t *which);

/* Write the words by number, and how often each was added (up to 2^32 - 1 times). */
void raudo_vocabulary_list(const raudo_vocabulary *vocabulary, uint64_t *words, int64_t *times);

/* Embed documents [lo, hi) into `out`, (hi - lo, dimensions) of zeros: each word adds
 * +-(1 + ln count) * idf[term] at one dimension, both chosen by its hash; rows get unit length.
 * `row` is scratch of `dimensions` doubles. */
void raudo_embed(const int64_t *offsets, const uint64_t *words, const uint32_t *counts,
                 const uint32_t *terms, const double *idf, size_t lo, size_t hi, size_t dimensions,
                 double *row, float *out);

#endif
