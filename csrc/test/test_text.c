/* Words of text, sets of hashes and weighed rows against plain definitions of them, at the sizes where
 * blocks and windows end. */
#include "text/sets.c"
#include "text/vocabulary.c"
#include "text/words.c"
#include "hash/hash.c"

#include <stdio.h>

enum { MOST = 9000, SEED = 7 };

static int n_failed;

static void check(int ok, const char *what, size_t at)
{
    if (!ok && n_failed++ < 20)
        fprintf(stderr, "FAILED %s, at %zu\n", what, at);
}

static uint64_t random_state = 88172645463325252u;
static uint32_t random_u32(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}

/* --- words ----------------------------------------------------------------------------------- */

static uint16_t pages[0x110000 >> 8]; /* all point to the one page below */
static int32_t entries[256];
static const raudo_chars CHARS = {pages, entries};

static void fill_chars(void)
{
    for (int c = 0; c < 256; c++) {
        const int is_upper = c >= 'A' && c <= 'Z';
        const int is_word = raudo_is_word_byte((uint8_t)c) || is_upper || c >= 0xC0;
        entries[c] = (is_upper ? 32 * 8 : 0) | (is_word ? (int)(RAUDO_CHAR_WORD | RAUDO_CHAR_OWN_WORD) : 0);
    }
}

/* Spell a text of code points as UTF-8, a word at a time, and hash each. */
static size_t words_by_definition(const uint32_t *points, size_t n, uint64_t *out)
{
    static uint8_t spelled[4 * MOST + 4];
    size_t used = 0, count = 0;
    for (size_t i = 0; i <= n; i++) {
        const int32_t entry = i < n ? entry_of(&CHARS, points[i]) : 0;
        if (entry & (int32_t)RAUDO_CHAR_WORD) {
            used += put_point(spelled + used, (uint32_t)((int32_t)points[i] + (entry >> 3)));
        } else if (used > 0) {
            out[count++] = raudo_hash_bytes(spelled, used, SEED);
            used = 0;
        }
    }
    return count;
}

/* The text in memory of just its size, in the width asked for. */
static void check_words(const uint32_t *points, size_t n, uint8_t kind, int is_ascii)
{
    static uint64_t expected[MOST], found[MOST];
    uint8_t *data = malloc(n * kind);
    for (size_t i = 0; i < n; i++)
        for (unsigned k = 0; k < kind; k++)
            data[i * kind + k] = (uint8_t)(points[i] >> 8 * k);
    const raudo_text text = {data, n, kind, (uint8_t)is_ascii, 0};
    const size_t n_expected = words_by_definition(points, n, expected);
    const size_t n_found = raudo_words(&text, &CHARS, SEED, found);
    check(n_found == n_expected && memcmp(found, expected, n_found * sizeof *found) == 0, "words", n);
    check(raudo_needs_lower(&text, &CHARS) == 0, "nothing is special", n);
    free(data);
}

static void test_words(void)
{
    static const size_t SIZES[] = {0,  1,  2,   15,  16,  17,   31,   32,   33,   47,   48,  49,
                                   63, 64, 65, 127, 128, 129, 4031, 4032, 4033, 4095, 4096, 4097, MOST};
    static const uint32_t GAPS[] = {0, 2, 5, 40, 5000};
    static uint32_t points[MOST];
    for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++)
        for (size_t g = 0; g < sizeof GAPS / sizeof *GAPS; g++)
            for (uint8_t kind = 1; kind <= 4; kind = (uint8_t)(2 * kind))
                for (int is_ascii = 0; is_ascii <= (kind == 1); is_ascii++) {
                    const uint32_t limit = is_ascii ? 0x7F : kind == 1 ? 0xFF : kind == 2 ? 0xFFFF : 0x10FFFF;
                    for (size_t i = 0; i < SIZES[s]; i++) {
                        points[i] = random_u32() % 8 ? 'A' + random_u32() % 58 : random_u32() % (limit + 1);
                        if (GAPS[g] != 0 && random_u32() % GAPS[g] == 0)
                            points[i] = '-';
                        else if (GAPS[g] == 0)
                            points[i] = is_ascii ? 'x' : limit; /* one word, of as many bytes as can be */
                    }
                    check_words(points, SIZES[s], kind, is_ascii);
                }
}

/* --- sets and weights ------------------------------------------------------------------------ */

static int by_size(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void test_distinct(void)
{
    static uint64_t items[MOST], sorted[MOST], out[MOST], scratch[MOST];
    static uint32_t counts[MOST];
    uint32_t *heads = malloc(raudo_sort_heads(MOST) * sizeof *heads);
    for (size_t n = 0; n <= MOST; n += n < 70 ? 1 : 1 + n / 2)
        for (unsigned kinds = 1; kinds <= 3; kinds++) {
            for (size_t i = 0; i < n; i++)
                items[i] = kinds == 1   ? (uint64_t)random_u32() << 32 | random_u32()
                           : kinds == 2 ? (uint64_t)(random_u32() % 5) - 2 /* many alike, the ends among them */
                                        : random_u32() % 1000;
            memcpy(sorted, items, n * sizeof *items);
            qsort(sorted, n, sizeof *sorted, by_size);
            const size_t kept = raudo_distinct(items, n, scratch, heads, out, n % 2 ? counts : NULL);
            size_t at = 0;
            for (size_t k = 0; k < kept; k++) {
                const size_t first = at;
                while (at < n && sorted[at] == out[k])
                    at++;
                check(at > first && (n % 2 == 0 || counts[k] == at - first), "distinct", n);
            }
            check(at == n, "all of them", n);
        }
    free(heads);
}

static void test_weights(void)
{
    enum { WORDS = 300, TERMS = 50, D = 64 };
    static uint64_t words[WORDS], listed[TERMS];
    static uint32_t terms[WORDS], counts[WORDS];
    static int64_t times[TERMS];
    static float out[4 * D];
    static double row[D], idf[TERMS], expected[D];
    for (size_t i = 0; i < WORDS; i++) {
        words[i] = (uint64_t)(random_u32() % TERMS + 1) * 0x9E3779B97F4A7C15u;
        counts[i] = 1 + random_u32() % 100;
    }
    raudo_vocabulary *known = raudo_vocabulary_new(words, WORDS);
    check(raudo_vocabulary_add(known, words, WORDS, terms) == 0, "added", 0);
    raudo_vocabulary_list(known, listed, times);
    int64_t total = 0;
    for (size_t t = 0; t < raudo_vocabulary_size(known); t++) {
        idf[t] = 1.0 + (double)t / 7;
        total += times[t];
    }
    check(total == WORDS, "times", 0);
    for (size_t i = 0; i < WORDS; i++)
        check(listed[terms[i]] == words[i], "listed", i);
    raudo_vocabulary_free(known);

    const int64_t offsets[5] = {0, 0, 9, 9 + 64, WORDS}; /* none, a few, as many as are short, many */
    raudo_embed(offsets, words, counts, terms, idf, 0, 4, D, row, out);
    for (size_t doc = 0; doc < 4; doc++) {
        double square = 0.0;
        memset(expected, 0, sizeof expected);
        for (size_t i = (size_t)offsets[doc]; i < (size_t)offsets[doc + 1]; i++)
            expected[words[i] % D] += (words[i] >> 31 & 1 ? -1 : 1) * (1 + log(counts[i])) * idf[terms[i]];
        for (size_t j = 0; j < D; j++)
            square += expected[j] * expected[j];
        for (size_t j = 0; j < D; j++) {
            const double wanted = square > 0 ? expected[j] / sqrt(square) : 0;
            check(fabs(wanted - (double)out[doc * D + j]) < 1e-6, "weighed", doc * D + j);
        }
    }
}

int main(void)
{
    fill_chars();
    test_words();
    test_distinct();
    test_weights();
    if (n_failed == 0)
        puts("text: words, sets and weights agree with their definitions");
    return n_failed != 0;
}
