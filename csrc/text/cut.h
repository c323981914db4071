/* From a window of lowered text to the hashes of its words.
 *
 * A window is as many bytes of lower-cased UTF-8 as fit, with a bit for each that belongs to a word. A
 * word that crosses its end goes on in the next one: whole blocks of it are hashed before, and the rest,
 * up to 16 bytes, is for the next window to begin with.
 */
#ifndef RAUDO_CUT_H
#define RAUDO_CUT_H

#include <stddef.h>
#include <stdint.h>

#include "hash/hash.h"
#include "target.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { RAUDO_WINDOW = 4096 };

typedef struct {
    uint64_t seed;         /* what the hash of a word begins with */
    uint64_t h, n_hashed;  /* of the word that is under way, if one is: its blocks before the window */
    uint64_t *out;         /* where the next hash goes */
    uint64_t words[RAUDO_WINDOW / 64 + 1];
    uint8_t lowered[RAUDO_WINDOW + 16];
} raudo_window;

/* keep[n] blanks all but the first n of 16 bytes. */
static const uint64_t raudo_keep[17][2] = {
#define K(n) ((n) == 0 ? 0 : (n) >= 8 ? ~(uint64_t)0 : ((uint64_t)1 << (8 * ((n) & 7))) - 1)
#define ROW(n) {K(n), K((n) < 8 ? 0 : (n)-8)}
    ROW(0), ROW(1), ROW(2),  ROW(3),  ROW(4),  ROW(5),  ROW(6),  ROW(7), ROW(8),
    ROW(9), ROW(10), ROW(11), ROW(12), ROW(13), ROW(14), ROW(15), ROW(16),
#undef ROW
#undef K
};

RAUDO_INLINE size_t raudo_first_bit(uint64_t bits) { return (size_t)__builtin_ctzll(bits); }

RAUDO_INLINE void raudo_window_begin(raudo_window *window, uint64_t seed, uint64_t *out)
{
    window->seed = window->h = seed ^ RAUDO_HASH_P0;
    window->n_hashed = 0;
    window->out = out;
}

/* Hash the words of the first n bytes; bits beyond them are 0. Return where the next window begins: at the
 * rest of a word that goes on, or at n. */
RAUDO_INLINE size_t raudo_cut(raudo_window *window, size_t n, int is_last)
{
    const uint8_t *lowered = window->lowered;
    uint64_t h = window->h, n_hashed = window->n_hashed, carry = 0;
    uint64_t *out = window->out;
    size_t start = 0;

    for (size_t block = 0; block < n; block += 64) {
        const uint64_t words = window->words[block / 64], shifted = words << 1 | carry;
        uint64_t starts = words & ~shifted, ends = shifted & ~words;
        /* The bit on top makes `start` a number where no word begins; then it is not used. */
        const uint64_t top = (uint64_t)1 << 63;
        if (!is_last && n - block < 64)
            ends &= ~((uint64_t)1 << (n - block)); /* a word that reaches the end may go on */
        if (!carry) {
            start = block + raudo_first_bit(starts | top);
            starts &= starts - 1;
        }
        carry = words >> 63;
        while (ends != 0) {
            size_t length = block + raudo_first_bit(ends) - start, left = length;
            const uint8_t *at = lowered + start;
            for (; left > 16; left -= 16, at += 16)
                h = raudo_hash_block(h, raudo_read64(at), raudo_read64(at + 8));
            h = raudo_hash_block(h, raudo_read64(at) & raudo_keep[left][0],
                                 raudo_read64(at + 8) & raudo_keep[left][1]);
            *out++ = raudo_hash_end(h, n_hashed + length);
            h = window->seed;
            n_hashed = 0;
            start = block + raudo_first_bit(starts | top);
            starts &= starts - 1;
            ends &= ends - 1;
        }
    }
    const size_t last = n - 1;
    if (n > 0 && (n % 64 == 0 || !is_last) && (window->words[last / 64] >> (last & 63) & 1)) {
        for (; n - start > 16; start += 16, n_hashed += 16)
            h = raudo_hash_block(h, raudo_read64(lowered + start), raudo_read64(lowered + start + 8));
        if (is_last) {
            h = raudo_hash_block(h, raudo_read64(lowered + start) & raudo_keep[n - start][0],
                                 raudo_read64(lowered + start + 8) & raudo_keep[n - start][1]);
            *out++ = raudo_hash_end(h, n_hashed + n - start);
        }
    } else {
        start = n;
    }
    window->h = h;
    window->n_hashed = n_hashed;
    window->out = out;
    return start;
}

/* --- ASCII ----------------------------------------------------------------------------------- */

RAUDO_INLINE uint8_t raudo_lower_byte(uint8_t c) { return (uint8_t)(c >= 'A' && c <= 'Z' ? c | 0x20 : c); }

RAUDO_INLINE int raudo_is_word_byte(uint8_t lowered)
{
    return (lowered >= 'a' && lowered <= 'z') || (lowered >= '0' && lowered <= '9') || lowered == '_';
}

/* Lower 16 bytes and return a bit for each that belongs to a word. */
RAUDO_INLINE uint32_t raudo_lower_16(const uint8_t *bytes, uint8_t *lowered)
{
#if defined(__SSE2__)
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
#else
    uint32_t words = 0;
    for (unsigned i = 0; i < 16; i++) {
        lowered[i] = raudo_lower_byte(bytes[i]);
        words |= (uint32_t)raudo_is_word_byte(lowered[i]) << i;
    }
    return words;
#endif
}

#endif
