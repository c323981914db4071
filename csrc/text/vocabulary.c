#include "text/vocabulary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Open addressing with linear probing. A slot's home is the top bits of the word: words come sorted,
 * so that neighbours in a document are neighbours in the table and its pages are walked, not jumped. */
typedef struct {
    uint64_t word;
    uint32_t term;
} slot;

enum { TOUCHED = 64 };

struct raudo_vocabulary {
    slot *slots;
    unsigned bits;
    size_t size;
};

static slot *new_slots(unsigned bits)
{
    slot *slots = malloc(((size_t)1 << bits) * sizeof *slots);
    if (slots != NULL)
        for (size_t i = 0; i < (size_t)1 << bits; i++)
            slots[i].term = RAUDO_NO_TERM;
    return slots;
}

static slot *find(slot *slots, unsigned bits, uint64_t word)
{
    size_t mask = ((size_t)1 << bits) - 1, i = (size_t)(word >> (64 - bits));
    while (slots[i].term != RAUDO_NO_TERM && slots[i].word != word)
        i = (i + 1) & mask;
    return &slots[i];
}

/* Ascending words fill the table from its beginning: one long document would crowd the part of a small
 * table that it has come to, however empty the rest is. */
static unsigned bits_for(const uint64_t *words, size_t n)
{
    size_t longest = 0, begin = 0;
    unsigned bits = 14;
    for (size_t i = 1; i <= n; i++)
        if (i == n || words[i] < words[i - 1]) {
            longest = i - begin > longest ? i - begin : longest;
            begin = i;
        }
    while (bits < 40 && (size_t)1 << bits < 4 * longest)
        bits++;
    return bits;
}

raudo_vocabulary *raudo_vocabulary_new(const uint64_t *words, size_t n)
{
    raudo_vocabulary *vocabulary = malloc(sizeof *vocabulary);
    if (vocabulary == NULL)
        return NULL;
    vocabulary->bits = bits_for(words, n);
    vocabulary->size = 0;
    vocabulary->slots = new_slots(vocabulary->bits);
    if (vocabulary->slots == NULL) {
        free(vocabulary);
        return NULL;
    }
    return vocabulary;
}

void raudo_vocabulary_free(raudo_vocabulary *vocabulary)
{
    if (vocabulary != NULL) {
        free(vocabulary->slots);
        free(vocabulary);
    }
}

size_t raudo_vocabulary_size(const raudo_vocabulary *vocabulary)
{
    return vocabulary->size;
}

static int grow(raudo_vocabulary *vocabulary)
{
    unsigned bits = vocabulary->bits + 2;
    slot *slots = bits < 40 ? new_slots(bits) : NULL;
    if (slots == NULL)
        return -1;
    for (size_t i = 0; i < (size_t)1 << vocabulary->bits; i++)
        if (vocabulary->slots[i].term != RAUDO_NO_TERM)
            *find(slots, bits, vocabulary->slots[i].word) = vocabulary->slots[i];
    free(vocabulary->slots);
    vocabulary->slots = slots;
    vocabulary->bits = bits;
    return 0;
}

int raudo_vocabulary_add(raudo_vocabulary *vocabulary, const uint64_t *words, size_t n, uint32_t *terms)
{
    for (size_t i = 0; i < n; i++) {
        slot *found = find(vocabulary->slots, vocabulary->bits, words[i]);
        if (found->term == RAUDO_NO_TERM) {
            if (vocabulary->size >= RAUDO_NO_TERM - 1)
                return -1;
            found->word = words[i];
            found->term = (uint32_t)vocabulary->size++;
            terms[i] = found->term;
            if (vocabulary->size * 2 > (size_t)1 << vocabulary->bits && grow(vocabulary) < 0)
                return -1;
        } else {
            terms[i] = found->term;
        }
    }
    return 0;
}

int64_t raudo_find_among(const uint64_t *words, size_t n, const uint64_t *wanted, size_t n_wanted, int64_t *at,
                         int64_t *which)
{
    /* Most words are not wanted: a bit says so of all but one in 64 of them, and the bits of an ascending
     * run follow each other. */
    unsigned bits = 12;
    while ((size_t)1 << bits < 64 * n_wanted)
        bits++;
    int64_t found = -1;
    uint64_t *maybe = calloc((size_t)1 << (bits - 6), sizeof *maybe);
    uint32_t *terms = malloc((n_wanted + 1) * sizeof *terms);
    raudo_vocabulary *known = raudo_vocabulary_new(wanted, n_wanted);
    if (maybe == NULL || terms == NULL || known == NULL || raudo_vocabulary_add(known, wanted, n_wanted, terms) < 0)
        goto done;
    for (size_t i = 0; i < n_wanted; i++)
        maybe[wanted[i] >> (70 - bits)] |= UINT64_C(1) << (wanted[i] >> (64 - bits) & 63);
    found = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(maybe[words[i] >> (70 - bits)] >> (words[i] >> (64 - bits) & 63) & 1))
            continue;
        uint32_t term = find(known->slots, known->bits, words[i])->term;
        if (term != RAUDO_NO_TERM) {
            at[found] = (int64_t)i;
            which[found++] = term;
        }
    }
done:
    raudo_vocabulary_free(known);
    free(terms);
    free(maybe);
    return found;
}

/* Where a word of the text goes, and with what sign: bits of its hash. */
static inline uint32_t dimension_of(uint64_t word, uint32_t dimensions)
{
    uint32_t bits = (uint32_t)word & 0x7FFFFFFFu;
    return (dimensions & (dimensions - 1)) == 0 ? bits & (dimensions - 1) : bits % dimensions;
}

void raudo_embed(const int64_t *offsets, const uint64_t *words, const uint32_t *counts,
                 const uint32_t *terms, const double *idf, size_t lo, size_t hi, size_t dimensions,
                 double *row, float *out)
{
    uint32_t width = (uint32_t)dimensions;
    /* ln of a count is asked for once a word: small ones come from a table */
    double damped[64];
    for (unsigned c = 1; c < 64; c++)
        damped[c] = 1.0 + log((double)c);
    memset(row, 0, dimensions * sizeof *row);

    for (size_t doc = lo; doc < hi; doc++, out += dimensions) {
        size_t begin = (size_t)offsets[doc], end = (size_t)offsets[doc + 1], n_touched = 0;
        /* A short text touches few of the dimensions: these are listed, and the others not looked at. */
        uint32_t touched[TOUCHED];
        int is_short = end - begin <= TOUCHED;
        double square = 0.0;
        for (size_t i = begin; i < end; i++) {
            double weight = counts[i] < 64 ? damped[counts[i]] : 1.0 + log((double)counts[i]);
            uint32_t j = dimension_of(words[i], width);
            weight *= idf[terms[i]];
            row[j] += words[i] & 0x80000000u ? -weight : weight;
            if (is_short && out[j] == 0.0f) {
                out[j] = 1.0f;
                touched[n_touched++] = j;
            }
        }
        if (is_short) {
            for (size_t t = 0; t < n_touched; t++)
                square += row[touched[t]] * row[touched[t]];
            double scale = square > 0.0 ? 1.0 / sqrt(square) : 0.0;
            for (size_t t = 0; t < n_touched; t++) {
                out[touched[t]] = (float)(row[touched[t]] * scale);
                row[touched[t]] = 0.0;
            }
        } else {
            for (size_t j = 0; j < dimensions; j++)
                square += row[j] * row[j];
            double scale = square > 0.0 ? 1.0 / sqrt(square) : 0.0;
            for (size_t j = 0; j < dimensions; j++)
                out[j] = (float)(row[j] * scale);
            memset(row, 0, dimensions * sizeof *row);
        }
    }
}
