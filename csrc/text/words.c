#include "text/words.h"

#include <string.h>

#include "hash/hash.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__GNUC__)
#define RAUDO_INLINE static inline __attribute__((always_inline))
#define raudo_ctz64(x) ((unsigned)__builtin_ctzll(x))
#else
#define RAUDO_INLINE static inline
static inline unsigned raudo_ctz64(uint64_t x)
{
    unsigned n = 0;
    for (; !(x & 1); x >>= 1)
        n++;
    return n;
}
#endif

/* --- words of any length, a byte at a time --------------------------------------------------- */

typedef struct {
    uint64_t h, length;
    unsigned char block[16];
    unsigned fill;
} word_hash;

RAUDO_INLINE void word_begin(word_hash *word, uint64_t seed)
{
    word->h = seed ^ RAUDO_HASH_P0;
    word->length = 0;
    word->fill = 0;
}

RAUDO_INLINE void word_flush(word_hash *word)
{
    memset(word->block + word->fill, 0, 16 - word->fill);
    word->h = raudo_hash_block(word->h, raudo_read64(word->block), raudo_read64(word->block + 8));
    word->fill = 0;
}

RAUDO_INLINE void word_byte(word_hash *word, uint32_t byte)
{
    word->block[word->fill++] = (unsigned char)byte;
    word->length++;
    if (word->fill == 16)
        word_flush(word);
}

RAUDO_INLINE void word_point(word_hash *word, uint32_t point)
{
    if (point < 0x80) {
        word_byte(word, point);
    } else if (point < 0x800) {
        word_byte(word, 0xC0 | (point >> 6));
        word_byte(word, 0x80 | (point & 0x3F));
    } else if (point < 0x10000) {
        word_byte(word, 0xE0 | (point >> 12));
        word_byte(word, 0x80 | ((point >> 6) & 0x3F));
        word_byte(word, 0x80 | (point & 0x3F));
    } else {
        word_byte(word, 0xF0 | (point >> 18));
        word_byte(word, 0x80 | ((point >> 12) & 0x3F));
        word_byte(word, 0x80 | ((point >> 6) & 0x3F));
        word_byte(word, 0x80 | (point & 0x3F));
    }
}

RAUDO_INLINE uint64_t word_end(word_hash *word)
{
    if (word->fill > 0)
        word_flush(word);
    return raudo_hash_end(word->h, word->length);
}

/* --- ASCII ----------------------------------------------------------------------------------- */

RAUDO_INLINE unsigned char ascii_lower(unsigned char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

RAUDO_INLINE int ascii_is_word(unsigned char lowered)
{
    return (lowered >= 'a' && lowered <= 'z') || (lowered >= '0' && lowered <= '9') || lowered == '_';
}

#if defined(__SSE2__)
/* Lower 16 bytes and return a bit for each that belongs to a word. */
RAUDO_INLINE uint32_t ascii_classify16(const unsigned char *bytes, unsigned char *lowered)
{
    __m128i c = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    __m128i upper = _mm_and_si128(_mm_cmpgt_epi8(c, _mm_set1_epi8('A' - 1)),
                                  _mm_cmplt_epi8(c, _mm_set1_epi8('Z' + 1)));
    c = _mm_or_si128(c, _mm_and_si128(upper, _mm_set1_epi8(0x20)));
    _mm_storeu_si128((__m128i *)(void *)lowered, c);
    __m128i letter = _mm_and_si128(_mm_cmpgt_epi8(c, _mm_set1_epi8('a' - 1)),
                                   _mm_cmplt_epi8(c, _mm_set1_epi8('z' + 1)));
    __m128i digit = _mm_and_si128(_mm_cmpgt_epi8(c, _mm_set1_epi8('0' - 1)),
                                  _mm_cmplt_epi8(c, _mm_set1_epi8('9' + 1)));
    __m128i word = _mm_or_si128(_mm_or_si128(letter, digit), _mm_cmpeq_epi8(c, _mm_set1_epi8('_')));
    return (uint32_t)_mm_movemask_epi8(word);
}
#endif

/* Lower up to 64 bytes into `lowered` and return a bit for each that belongs to a word. So many bytes
 * before them (`n_before`) are in both places already. */
RAUDO_INLINE uint64_t ascii_classify(const unsigned char *bytes, size_t n, size_t n_before,
                                     unsigned char *lowered)
{
    uint64_t words = 0;
    size_t i = 0;
#if defined(__SSE2__)
    for (; i + 16 <= n; i += 16)
        words |= (uint64_t)ascii_classify16(bytes + i, lowered + i) << i;
    /* The rest, together with some that were seen: a short text has much rest. */
    if (i < n && n + n_before >= 16) {
        uint64_t last = ascii_classify16(bytes + n - 16, lowered + n - 16);
        return words | (n >= 16 ? last << (n - 16) : last >> (16 - n));
    }
#else
    (void)n_before;
#endif
    for (; i < n; i++) {
        lowered[i] = ascii_lower(bytes[i]);
        words |= (uint64_t)ascii_is_word(lowered[i]) << i;
    }
    return words;
}

/* keep[n] blanks all but the first n of 16 bytes. */
static const uint64_t keep[17][2] = {
#define K(n) ((n) == 0 ? 0 : (n) >= 8 ? ~(uint64_t)0 : ((uint64_t)1 << (8 * ((n) & 7))) - 1)
#define ROW(n) {K(n), K((n) < 8 ? 0 : (n)-8)}
    ROW(0), ROW(1), ROW(2),  ROW(3),  ROW(4),  ROW(5),  ROW(6),  ROW(7), ROW(8),
    ROW(9), ROW(10), ROW(11), ROW(12), ROW(13), ROW(14), ROW(15), ROW(16),
#undef ROW
#undef K
};

/* Hash bytes that have 16 readable ones after their end. */
RAUDO_INLINE uint64_t hash_padded(const unsigned char *bytes, size_t length, uint64_t seed)
{
    uint64_t h = seed ^ RAUDO_HASH_P0;
    size_t left = length;
    for (; left > 16; left -= 16, bytes += 16)
        h = raudo_hash_block(h, raudo_read64(bytes), raudo_read64(bytes + 8));
    h = raudo_hash_block(h, raudo_read64(bytes) & keep[left][0], raudo_read64(bytes + 8) & keep[left][1]);
    return raudo_hash_end(h, length);
}

/* A window holds a stretch of lowered text; a word that crosses its end begins the next window. */
enum { WINDOW = 4096 };

static size_t ascii_words(const unsigned char *bytes, size_t n, uint64_t seed, uint64_t *out)
{
    unsigned char lowered[WINDOW + 64];
    size_t count = 0, at = 0;

    while (at < n) {
        size_t take = n - at < WINDOW ? n - at : WINDOW;
        uint64_t before = 0; /* the last bit of the block before */
        size_t start = 0;
        int inside = 0;

        for (size_t block = 0; block < take; block += 64) {
            size_t width = take - block < 64 ? take - block : 64;
            uint64_t words = ascii_classify(bytes + at + block, width, block, lowered + block);
            memset(lowered + block + width, 0, 16); /* what hash_padded reads beyond the last word */
            uint64_t edges = words ^ (words << 1 | before);
            before = words >> 63;
            while (edges) {
                size_t edge = block + raudo_ctz64(edges);
                edges &= edges - 1;
                if (inside)
                    out[count++] = hash_padded(lowered + start, edge - start, seed);
                else
                    start = edge;
                inside = !inside;
            }
        }
        if (!inside) {
            at += take;
        } else if (at + take == n) {
            out[count++] = hash_padded(lowered + start, take - start, seed);
            at = n;
        } else if (start > 0) {
            at += start;
        } else { /* a word as long as a window */
            word_hash word;
            word_begin(&word, seed);
            for (; at < n && ascii_is_word(ascii_lower(bytes[at])); at++)
                word_byte(&word, ascii_lower(bytes[at]));
            out[count++] = word_end(&word);
        }
    }
    return count;
}

/* --- any code point -------------------------------------------------------------------------- */

RAUDO_INLINE uint32_t point_at(const void *data, size_t i, int kind)
{
    if (kind == 1)
        return ((const uint8_t *)data)[i];
    if (kind == 2)
        return ((const uint16_t *)data)[i];
    return ((const uint32_t *)data)[i];
}

RAUDO_INLINE int32_t entry_of(const raudo_chars *chars, uint32_t point)
{
    return chars->entries[((size_t)chars->pages[point >> 8] << 8) + (point & 0xFF)];
}

RAUDO_INLINE size_t unicode_words(const raudo_text *text, const raudo_chars *chars, uint64_t seed,
                                  uint64_t *out, int kind)
{
    int32_t wanted = text->lowered ? (int32_t)RAUDO_CHAR_OWN_WORD : (int32_t)RAUDO_CHAR_WORD;
    size_t count = 0, n = text->length;
    int inside = 0;
    word_hash word;

    word_begin(&word, seed);
    for (size_t i = 0; i < n; i++) {
        uint32_t point = point_at(text->data, i, kind);
        int32_t entry = entry_of(chars, point);
        if (entry & wanted) {
            if (!text->lowered)
                point = (uint32_t)((int32_t)point + (entry >> 3));
            word_point(&word, point);
            inside = 1;
        } else if (inside) {
            out[count++] = word_end(&word);
            word_begin(&word, seed);
            inside = 0;
        }
    }
    if (inside)
        out[count++] = word_end(&word);
    return count;
}

RAUDO_INLINE int any_special(const raudo_text *text, const raudo_chars *chars, int kind)
{
    for (size_t i = 0; i < text->length; i++)
        if (entry_of(chars, point_at(text->data, i, kind)) & (int32_t)RAUDO_CHAR_SPECIAL)
            return 1;
    return 0;
}

int raudo_needs_lower(const raudo_text *text, const raudo_chars *chars)
{
    /* Latin-1 has no special letter: those begin at U+0130. */
    if (text->is_ascii || text->lowered || text->kind == 1)
        return 0;
    return text->kind == 2 ? any_special(text, chars, 2) : any_special(text, chars, 4);
}

size_t raudo_words(const raudo_text *text, const raudo_chars *chars, uint64_t seed, uint64_t *out)
{
    if (text->is_ascii)
        return ascii_words(text->data, text->length, seed, out);
    if (text->kind == 1)
        return unicode_words(text, chars, seed, out, 1);
    if (text->kind == 2)
        return unicode_words(text, chars, seed, out, 2);
    return unicode_words(text, chars, seed, out, 4);
}
