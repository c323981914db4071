/* Words of text in each of CPython's three widths: the same text has the same words whatever its width. */
#include "fuzz.h"
#include "text/sets.h"
#include "text/words.h"

enum { PAGES = 0x110000 >> 8, SEED = 7 };

static uint16_t pages[PAGES];   /* all point to the one page below */
static int32_t entries[256];
static const raudo_chars CHARS = {pages, entries};

static void fill(void)
{
    for (int c = 0; c < 256; c++) {
        int is_letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c >= 0xC0;
        int is_upper = c >= 'A' && c <= 'Z';
        int bits = is_letter || is_upper ? (int)(RAUDO_CHAR_WORD | RAUDO_CHAR_OWN_WORD) : 0;
        entries[c] = (is_upper ? 'a' - 'A' : 0) * 8 | bits;
    }
}

static size_t words_of(const void *data, size_t length, uint8_t kind, int is_ascii, uint64_t **out)
{
    const raudo_text text = {data, length, kind, (uint8_t)is_ascii, 0};
    *out = room_for((length / 2 + 1) * sizeof **out);
    (void)raudo_needs_lower(&text, &CHARS);
    const size_t n = raudo_words(&text, &CHARS, SEED, *out);
    CHECK(n <= length / 2 + 1);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (entries['a'] == 0)
        fill();
    int is_ascii = 1;
    uint8_t *bytes = exact_copy(data, size);
    uint16_t *wide = room_for(size * sizeof *wide);
    uint32_t *widest = room_for(size * sizeof *widest);
    for (size_t i = 0; i < size; i++) {
        is_ascii &= bytes[i] < 0x80;
        wide[i] = bytes[i];
        widest[i] = bytes[i];
    }
    uint64_t *one, *two, *four, *ascii, *raw;
    const size_t n = words_of(bytes, size, 1, 0, &one);
    CHECK(words_of(wide, size, 2, 0, &two) == n && memcmp(one, two, n * sizeof *one) == 0);
    CHECK(words_of(widest, size, 4, 0, &four) == n && memcmp(one, four, n * sizeof *one) == 0);
    if (is_ascii) {
        CHECK(words_of(bytes, size, 1, 1, &ascii) == n && memcmp(one, ascii, n * sizeof *one) == 0);
        free(ascii);
    }
    /* The bytes as code units of their own: any plane, lone surrogates among them. */
    uint16_t *units = exact_copy(data, size & ~(size_t)1);
    (void)words_of(units, size / 2, 2, 0, &raw);
    free(raw);
    uint32_t *points = exact_copy(data, size & ~(size_t)3);
    for (size_t i = 0; i < size / 4; i++)
        points[i] %= 0x110000;
    (void)words_of(points, size / 4, 4, 0, &raw);
    free(raw);

    /* What becomes of words: runs, order, distinct ones. */
    const size_t n_runs = raudo_shingle(four, n, 1 + (size ? data[0] % 5u : 0));
    CHECK(n_runs <= n);
    uint64_t *scratch = room_for(n_runs * sizeof *scratch), *distinct = room_for(n_runs * sizeof *distinct);
    uint32_t *heads = room_for(raudo_sort_heads(n_runs) * sizeof *heads);
    uint32_t *counts = room_for(n_runs * sizeof *counts);
    const size_t n_distinct = raudo_distinct(four, n_runs, scratch, heads, distinct, counts);
    size_t total = 0;
    for (size_t i = 0; i < n_distinct; i++) {
        CHECK(i == 0 || distinct[i - 1] < distinct[i]);
        total += counts[i];
    }
    CHECK(total == n_runs);
    void *all[] = {bytes, wide, widest, one, two, four, units, points, scratch, distinct, heads, counts};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    return 0;
}
