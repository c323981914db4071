#include "text/words.h"

#include <string.h>

#include "text/cut.h"

/* --- ASCII ----------------------------------------------------------------------------------- */

/* Lower up to 64 bytes and return a bit for each that belongs to a word. So many bytes before them
 * (`n_before`) are in both places already. */
RAUDO_INLINE uint64_t lower_block(const uint8_t *bytes, size_t n, size_t n_before, uint8_t *lowered)
{
    uint64_t words = 0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        words |= (uint64_t)raudo_lower_16(bytes + i, lowered + i) << i;
    if (i == n)
        return words;
    /* The rest, together with some that were seen: a short text has much rest. */
    if (n + n_before >= 16) {
        const uint64_t last = raudo_lower_16(bytes + n - 16, lowered + n - 16);
        return words | (n >= 16 ? last << (n - 16) : last >> (16 - n));
    }
    for (; i < n; i++) {
        lowered[i] = raudo_lower_byte(bytes[i]);
        words |= (uint64_t)raudo_is_word_byte(lowered[i]) << i;
    }
    return words;
}

static size_t ascii_words(const uint8_t *bytes, size_t n, uint64_t seed, uint64_t *out)
{
    raudo_window window;
    raudo_window_begin(&window, seed, out);
    for (size_t at = 0; at < n;) {
        const size_t take = n - at < RAUDO_WINDOW ? n - at : RAUDO_WINDOW;
        for (size_t block = 0; block < take; block += 64) {
            const size_t width = take - block < 64 ? take - block : 64;
            window.words[block / 64] = lower_block(bytes + at + block, width, block, window.lowered + block);
        }
        if (at + take == n) {
            raudo_cut(&window, take, 1);
            break;
        }
        at += raudo_cut(&window, take, 0);
    }
    return (size_t)(window.out - out);
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

/* Write 16 code points as bytes if they are ASCII, and say so. */
RAUDO_INLINE int narrow_16(const void *data, size_t i, int kind, uint8_t *bytes)
{
    const uint64_t beyond = kind == 1 ? 0x8080808080808080u : kind == 2 ? 0xFF80FF80FF80FF80u : 0xFFFFFF80FFFFFF80u;
    uint64_t units[8], all = 0;
    memcpy(units, (const uint8_t *)data + i * (size_t)kind, 16 * (size_t)kind);
    for (int j = 0; j < 2 * kind; j++)
        all |= units[j];
    if (all & beyond)
        return 0;
    for (size_t j = 0; j < 16; j++)
        bytes[j] = (uint8_t)point_at(data, i + j, kind);
    return 1;
}

/* Write a code point as UTF-8, a lone surrogate as three bytes, and four bytes in any case. */
RAUDO_INLINE size_t put_point(uint8_t *out, uint32_t point)
{
    uint32_t bytes, n;
    if (point < 0x80) {
        bytes = point;
        n = 1;
    } else if (point < 0x800) {
        bytes = 0x80C0 | point >> 6 | (point & 0x3F) << 8;
        n = 2;
    } else if (point < 0x10000) {
        bytes = 0x8080E0 | point >> 12 | (point >> 6 & 0x3F) << 8 | (point & 0x3F) << 16;
        n = 3;
    } else {
        bytes = 0x808080F0 | point >> 18 | (point >> 12 & 0x3F) << 8 | (point >> 6 & 0x3F) << 16
                | (point & 0x3F) << 24;
        n = 4;
    }
    for (unsigned k = 0; k < 4; k++)
        out[k] = (uint8_t)(bytes >> 8 * k);
    return n;
}

/* Set the bits from `at` on, up to 16 of them; those beyond them are not set yet. */
RAUDO_INLINE void mark(uint64_t *words, size_t at, uint64_t bits)
{
    const size_t shift = at & 63;
    words[at / 64] |= bits << shift;
    words[at / 64 + 1] = shift == 0 ? 0 : bits >> (64 - shift);
}

RAUDO_INLINE size_t unicode_words(const raudo_text *text, const raudo_chars *chars, uint64_t seed,
                                  uint64_t *out, int kind)
{
    const int32_t wanted = text->lowered ? (int32_t)RAUDO_CHAR_OWN_WORD : (int32_t)RAUDO_CHAR_WORD;
    const size_t n = text->length;
    raudo_window window;
    raudo_window_begin(&window, seed, out);

    size_t i = 0, used = 0; /* code points that were read, bytes of the window that were written */
    window.words[0] = 0;
    while (i < n) {
        while (i < n && used <= RAUDO_WINDOW - 64) {
            uint8_t narrow[16];
            if (i + 16 <= n && narrow_16(text->data, i, kind, narrow)) {
                mark(window.words, used, raudo_lower_16(narrow, window.lowered + used));
                used += 16;
                i += 16;
                continue;
            }
            for (const size_t stop = n - i < 16 ? n : i + 16; i < stop; i++) {
                uint32_t point = point_at(text->data, i, kind);
                const int32_t entry = entry_of(chars, point);
                if (entry & wanted) {
                    if (!text->lowered)
                        point = (uint32_t)((int32_t)point + (entry >> 3));
                    const size_t n_bytes = put_point(window.lowered + used, point);
                    mark(window.words, used, ((uint64_t)1 << n_bytes) - 1);
                    used += n_bytes;
                } else { /* one byte, whatever it is */
                    mark(window.words, used, 0);
                    used += 1;
                }
            }
        }
        const size_t start = raudo_cut(&window, used, i == n);
        used -= start; /* the rest of a word that goes on: up to 16 bytes, all of them its own */
        memmove(window.lowered, window.lowered + start, used);
        window.words[0] = ((uint64_t)1 << used) - 1;
    }
    return (size_t)(window.out - out);
}

RAUDO_INLINE int any_special(const raudo_text *text, const raudo_chars *chars, int kind)
{
    uint8_t narrow[16];
    for (size_t i = 0; i < text->length;) {
        if (i + 16 <= text->length && narrow_16(text->data, i, kind, narrow)) {
            i += 16;
            continue;
        }
        for (const size_t stop = text->length - i < 16 ? text->length : i + 16; i < stop; i++)
            if (entry_of(chars, point_at(text->data, i, kind)) & (int32_t)RAUDO_CHAR_SPECIAL)
                return 1;
    }
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
