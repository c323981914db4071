#include "text/vocabulary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pool/pages.h"

/* Open addressing with linear probing. A slot's home is the top bits of the word: words come sorted,
 * so that neighbours in a document are neighbours in the table and its pages are walked, not jumped. */
typedef struct {
    uint64_t word;
    uint32_t term;
    uint32_t times; /* how often it was added; 0: the slot is empty */
} slot;

/* Terms of texts up to MOST_SHORT words are weighed in a list; slots are fetched AHEAD of their turn. */
enum { MOST_SHORT = 64, AHEAD = 12 };

struct raudo_vocabulary {
    slot *slots;
    unsigned bits;
    size_t size;
};

static slot *new_slots(unsigned bits)
{
    slot *slots = calloc((size_t)1 << bits, sizeof *slots);
    if (slots != NULL)
        raudo_pages_prefer_huge(slots, ((size_t)1 << bits) * sizeof *slots);
    return slots;
}

static slot *find(slot *slots, unsigned bits, uint64_t word)
{
    size_t mask = ((size_t)1 << bits) - 1, i = (size_t)(word >> (64 - bits));
    while (slots[i].times != 0 && slots[i].word != word)
        i = (i + 1) & mask;
    return &slots[i];
}

static inline void fetch_ahead(const raudo_vocabulary *vocabulary, const uint64_t *words, size_t i, size_t n)
{
    if (i + AHEAD < n)
        __builtin_prefetch(&vocabulary->slots[words[i + AHEAD] >> (64 - vocabulary->bits)], 1);
}

/* Ascending words fill the table from its beginning: one long document would crowd the part of a small
 * table that it has come to, however empty the rest is. */
static unsigned bits_for(const uint64_t *words, size_t n)
{
    size_t longest = 0, length = 1;
    unsigned bits = 14;
    for (size_t i = 1; i < n; i++) { /* without a branch: where a document ends cannot be guessed */
        length = words[i] < words[i - 1] ? 1 : length + 1;
        longest = length > longest ? length : longest;
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
        if (vocabulary->slots[i].times != 0)
            *find(slots, bits, vocabulary->slots[i].word) = vocabulary->slots[i];
    free(vocabulary->slots);
    vocabulary->slots = slots;
    vocabulary->bits = bits;
    return 0;
}

int raudo_vocabulary_add(raudo_vocabulary *vocabulary, const uint64_t *words, size_t n, uint32_t *terms)
{
    for (size_t i = 0; i < n; i++) {
        fetch_ahead(vocabulary, words, i, n);
        slot *found = find(vocabulary->slots, vocabulary->bits, words[i]);
        if (found->times == 0) {
            if (vocabulary->size >= RAUDO_NO_TERM - 1)
                return -1;
            *found = (slot){words[i], (uint32_t)vocabulary->size++, 1};
            terms[i] = found->term;
            if (vocabulary->size * 2 > (size_t)1 << vocabulary->bits && grow(vocabulary) < 0)
                return -1;
        } else {
            terms[i] = found->term;
            found->times += found->times < UINT32_MAX;
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
        const slot *its = find(known->slots, known->bits, words[i]);
        if (its->times != 0) {
            at[found] = (int64_t)i;
            which[found++] = its->term;
        }
    }
done:
    raudo_vocabulary_free(known);
    free(terms);
    free(maybe);
    return found;
}

void raudo_vocabulary_list(const raudo_vocabulary *vocabulary, uint64_t *words, int64_t *times)
{
    for (size_t i = 0; i < (size_t)1 << vocabulary->bits; i++) {
        const slot *at = &vocabulary->slots[i];
        if (at->times != 0) {
            words[at->term] = at->word;
            times[at->term] = at->times;
        }
    }
}

/* --- weights --------------------------------------------------------------------------------- */

/* Where a word of the text goes: bits of its hash. */
static inline uint32_t dimension_of(uint64_t word, uint32_t dimensions)
{
    uint32_t bits = (uint32_t)word & 0x7FFFFFFFu;
    return (dimensions & (dimensions - 1)) == 0 ? bits & (dimensions - 1) : bits % dimensions;
}

/* The weight, or minus it, as the hash says: a branch would be guessed wrong every other time. */
static inline double with_sign_of(uint64_t word, double weight)
{
    uint64_t bits;
    memcpy(&bits, &weight, sizeof bits);
    bits ^= (word & 0x80000000u) << 32;
    memcpy(&weight, &bits, sizeof bits);
    return weight;
}

static inline double scale_of(double square) { return square > 0.0 ? 1.0 / sqrt(square) : 0.0; }

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
        size_t begin = (size_t)offsets[doc], end = (size_t)offsets[doc + 1], n = end - begin;
        uint32_t touched[MOST_SHORT];
        int is_short = n <= MOST_SHORT;
        for (size_t i = begin; i < end; i++) {
            double weight = counts[i] < 64 ? damped[counts[i]] : 1.0 + log((double)counts[i]);
            uint32_t j = dimension_of(words[i], width);
            row[j] += with_sign_of(words[i], weight * idf[terms[i]]);
            if (is_short)
                touched[i - begin] = j;
        }
        double square = 0.0;
        if (is_short) {
            /* Few of the dimensions are touched, and the others not looked at. One that is touched twice
             * is taken the first time and 0 the second; written from the last on, the first time stays. */
            double taken[MOST_SHORT];
            for (size_t t = 0; t < n; t++) {
                taken[t] = row[touched[t]];
                row[touched[t]] = 0.0;
                square += taken[t] * taken[t];
            }
            double scale = scale_of(square);
            for (size_t t = n; t-- > 0;)
                out[touched[t]] = (float)(taken[t] * scale);
        } else {
            for (size_t j = 0; j < dimensions; j++)
                square += row[j] * row[j];
            double scale = scale_of(square);
            for (size_t j = 0; j < dimensions; j++)
                out[j] = (float)(row[j] * scale);
            memset(row, 0, dimensions * sizeof *row);
        }
    }
}
