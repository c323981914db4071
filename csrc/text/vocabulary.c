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

enum { EMPTY = -1 };

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
            slots[i].term = (uint32_t)EMPTY;
    return slots;
}

static slot *find(slot *slots, unsigned bits, uint64_t word)
{
    size_t mask = ((size_t)1 << bits) - 1, i = (size_t)(word >> (64 - bits));
    while (slots[i].term != (uint32_t)EMPTY && slots[i].word != word)
        i = (i + 1) & mask;
    return &slots[i];
}

raudo_vocabulary *raudo_vocabulary_new(void)
{
    raudo_vocabulary *vocabulary = malloc(sizeof *vocabulary);
    if (vocabulary == NULL)
        return NULL;
    vocabulary->bits = 14;
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
        if (vocabulary->slots[i].term != (uint32_t)EMPTY)
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
        if (found->term == (uint32_t)EMPTY) {
            if (vocabulary->size >= (uint32_t)EMPTY - 1)
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

void raudo_embed(const int64_t *offsets, const uint64_t *words, const uint32_t *counts,
                 const uint32_t *terms, const double *idf, size_t lo, size_t hi, size_t dimensions,
                 double *row, float *out)
{
    /* ln of a count is asked for once a word: small ones come from a table */
    double damped[64];
    for (unsigned c = 1; c < 64; c++)
        damped[c] = 1.0 + log((double)c);

    for (size_t doc = lo; doc < hi; doc++, out += dimensions) {
        size_t begin = (size_t)offsets[doc], end = (size_t)offsets[doc + 1];
        double square = 0.0;
        if (begin == end)
            continue;
        memset(row, 0, dimensions * sizeof *row);
        for (size_t i = begin; i < end; i++) {
            double weight = counts[i] < 64 ? damped[counts[i]] : 1.0 + log((double)counts[i]);
            weight *= idf[terms[i]];
            row[(words[i] & 0x7FFFFFFF) % dimensions] += words[i] & 0x80000000u ? -weight : weight;
        }
        for (size_t j = 0; j < dimensions; j++)
            square += row[j] * row[j];
        if (square > 0.0) {
            double scale = 1.0 / sqrt(square);
            for (size_t j = 0; j < dimensions; j++)
                out[j] = (float)(row[j] * scale);
        }
    }
}
