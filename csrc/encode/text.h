/* Text for the inside of a JSON string or of a quoted CSV cell, copied and searched in one pass.
 *
 * What needs no care is copied sixteen bytes at a time with the instructions that the ABI guarantees
 * (SSE2, NEON). A writer may scribble up to RAUDO_SLACK bytes past the end that it returns, so the
 * caller leaves that much room beyond the worst case, which each function names.
 */
#ifndef RAUDO_TEXT_H
#define RAUDO_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define RAUDO_SLACK 16

/* --- sixteen bytes at a time --------------------------------------------------------------------- */

/* Which of 16 bytes need care, as one bit or one nibble a byte; `raudo_first` gives the first's place. */
#if defined(__SSE2__)
typedef uint32_t raudo_marks;
static inline size_t raudo_first(raudo_marks marks) { return (size_t)__builtin_ctz(marks); }
#else
typedef uint64_t raudo_marks;
static inline size_t raudo_first(raudo_marks marks) { return (size_t)__builtin_ctzll(marks) / 4; }
#endif

/* JSON escapes the quote, the backslash and what is below a space. */
static inline int raudo_is_escaped(uint32_t c) { return c < 0x20 || c == '"' || c == '\\'; }

/* CSV quotes a cell with one of these in it. A carriage return is among them because readers take one
 * for the end of a row. */
static inline int raudo_is_quoted(uint32_t c) {
    return c == '"' || c == ',' || c == '\n' || c == '\r';
}

#if defined(__SSE2__)
static inline raudo_marks raudo_copy_16_json(char *out, const uint8_t *in) {
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)in);
    _mm_storeu_si128((__m128i *)(void *)out, bytes);
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
    const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    const __m128i slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    return (raudo_marks)_mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, slash)));
}

static inline raudo_marks raudo_copy_16_csv(char *out, const uint8_t *in) {
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)in);
    _mm_storeu_si128((__m128i *)(void *)out, bytes);
    const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    const __m128i comma = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(','));
    const __m128i feed = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\n'));
    const __m128i carriage = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\r'));
    return (raudo_marks)_mm_movemask_epi8(
        _mm_or_si128(_mm_or_si128(quote, comma), _mm_or_si128(feed, carriage)));
}
#elif defined(__ARM_NEON)
static inline raudo_marks raudo_nibbles(uint8x16_t mask) {
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(mask), 4)), 0);
}

static inline raudo_marks raudo_copy_16_json(char *out, const uint8_t *in) {
    const uint8x16_t bytes = vld1q_u8(in);
    vst1q_u8((uint8_t *)out, bytes);
    const uint8x16_t low = vcltq_u8(bytes, vdupq_n_u8(0x20));
    const uint8x16_t quote = vceqq_u8(bytes, vdupq_n_u8('"'));
    const uint8x16_t slash = vceqq_u8(bytes, vdupq_n_u8('\\'));
    return raudo_nibbles(vorrq_u8(low, vorrq_u8(quote, slash)));
}

static inline raudo_marks raudo_copy_16_csv(char *out, const uint8_t *in) {
    const uint8x16_t bytes = vld1q_u8(in);
    vst1q_u8((uint8_t *)out, bytes);
    const uint8x16_t quote = vceqq_u8(bytes, vdupq_n_u8('"'));
    const uint8x16_t comma = vceqq_u8(bytes, vdupq_n_u8(','));
    const uint8x16_t feed = vceqq_u8(bytes, vdupq_n_u8('\n'));
    const uint8x16_t carriage = vceqq_u8(bytes, vdupq_n_u8('\r'));
    return raudo_nibbles(vorrq_u8(vorrq_u8(quote, comma), vorrq_u8(feed, carriage)));
}
#else
#define RAUDO_COPY_16(name, needs_care)                                   \
    static inline raudo_marks name(char *out, const uint8_t *in) {        \
        raudo_marks marks = 0;                                            \
        for (int i = 0; i < 16; i++) {                                    \
            out[i] = (char)in[i];                                         \
            if (needs_care(in[i])) marks |= (raudo_marks)1 << (4 * i);    \
        }                                                                 \
        return marks;                                                     \
    }
RAUDO_COPY_16(raudo_copy_16_json, raudo_is_escaped)
RAUDO_COPY_16(raudo_copy_16_csv, raudo_is_quoted)
#undef RAUDO_COPY_16
#endif

/* Copy bytes up to the first that needs care, or all; return how many. Writes up to RAUDO_SLACK more. */
#define RAUDO_COPY_PLAIN(name, copy_16, needs_care)                                    \
    static inline size_t name(char *out, const uint8_t *in, size_t n) {                \
        size_t i = 0;                                                                  \
        for (; i + 16 <= n; i += 16) {                                                 \
            const raudo_marks marks = copy_16(out + i, in + i);                        \
            if (marks) return i + raudo_first(marks);                                  \
        }                                                                              \
        if (i && i < n) { /* the rest again with what is before it, known to be plain */ \
            const raudo_marks marks = copy_16(out + n - 16, in + n - 16);              \
            return marks ? n - 16 + raudo_first(marks) : n;                            \
        }                                                                              \
        for (; i < n && !needs_care(in[i]); i++) out[i] = (char)in[i];                 \
        return i;                                                                      \
    }
RAUDO_COPY_PLAIN(raudo_copy_plain_json, raudo_copy_16_json, raudo_is_escaped)
RAUDO_COPY_PLAIN(raudo_copy_plain_csv, raudo_copy_16_csv, raudo_is_quoted)
#undef RAUDO_COPY_PLAIN

/* --- one character at a time --------------------------------------------------------------------- */

static inline char *raudo_put_hex_4(char *out, const char *start, uint32_t c) {
    static const char HEX[] = "0123456789abcdef";
    out[0] = start[0];
    out[1] = start[1];
    for (int i = 0; i < 4; i++) out[2 + i] = HEX[c >> (12 - 4 * i) & 15];
    return out + 6;
}

/* Write a character as UTF-8; a lone surrogate, which has none, as \udXXX. At most 6 bytes. */
static inline char *raudo_put_utf8(char *out, uint32_t c) {
    if (c < 0x80) {
        *out = (char)c;
        return out + 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return out + 2;
    }
    if (c < 0x10000) {
        if (c >= 0xD800 && c < 0xE000) return raudo_put_hex_4(out, "\\u", c);
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return out + 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return out + 4;
}

/* Write a character that JSON escapes, as the standard library does. At most 6 bytes. */
static inline char *raudo_put_escape(char *out, uint32_t c) {
    char short_form = 0;
    switch (c) {
        case '"': short_form = '"'; break;
        case '\\': short_form = '\\'; break;
        case '\n': short_form = 'n'; break;
        case '\r': short_form = 'r'; break;
        case '\t': short_form = 't'; break;
        case '\b': short_form = 'b'; break;
        case '\f': short_form = 'f'; break;
        default: return raudo_put_hex_4(out, "\\u", c);
    }
    out[0] = '\\';
    out[1] = short_form;
    return out + 2;
}

/* --- whole texts --------------------------------------------------------------------------------- */

/* Write ASCII (or UTF-8, whose further bytes need no care) as the inside of a JSON string: at most
 * 6 n bytes. */
static inline char *raudo_put_json_bytes(char *out, const uint8_t *in, size_t n) {
    for (;;) {
        const size_t plain = raudo_copy_plain_json(out, in, n);
        out += plain;
        if (plain == n) return out;
        out = raudo_put_escape(out, in[plain]);
        in += plain + 1;
        n -= plain + 1;
    }
}

/* Write bytes as the inside of a quoted CSV cell, whose quotes are doubled: at most 2 n bytes. */
static inline char *raudo_put_doubled_bytes(char *out, const uint8_t *in, size_t n) {
    for (;;) {
        const uint8_t *quote = memchr(in, '"', n);
        const size_t plain = quote ? (size_t)(quote - in) : n;
        memcpy(out, in, plain);
        out += plain;
        if (!quote) return out;
        *out++ = '"';
        *out++ = '"';
        in += plain + 1;
        n -= plain + 1;
    }
}

/* Write bytes as a CSV cell, quoted if need be: at most 2 n + 2 bytes. */
static inline char *raudo_put_cell_bytes(char *out, const uint8_t *in, size_t n) {
    const size_t plain = raudo_copy_plain_csv(out, in, n);
    if (plain == n) return out + n;
    *out++ = '"';
    out = raudo_put_doubled_bytes(out, in, n);
    *out++ = '"';
    return out;
}

/* The same for text of 1, 2 or 4 bytes a character that is not ASCII: at most 6 n (+ 2) bytes. */
#define RAUDO_WIDE(type, suffix)                                                          \
    static inline char *raudo_put_json_##suffix(char *out, const type *in, size_t n) {    \
        for (size_t i = 0; i < n; i++)                                                    \
            out = raudo_is_escaped(in[i]) ? raudo_put_escape(out, in[i])                  \
                                          : raudo_put_utf8(out, in[i]);                   \
        return out;                                                                       \
    }                                                                                     \
    static inline char *raudo_put_cell_##suffix(char *out, const type *in, size_t n) {    \
        size_t plain = 0;                                                                 \
        while (plain < n && !raudo_is_quoted(in[plain])) plain++;                         \
        if (plain < n) *out++ = '"';                                                      \
        for (size_t i = 0; i < n; i++) {                                                  \
            if (in[i] == '"') *out++ = '"';                                               \
            out = raudo_put_utf8(out, in[i]);                                             \
        }                                                                                 \
        if (plain < n) *out++ = '"';                                                      \
        return out;                                                                       \
    }
RAUDO_WIDE(uint8_t, latin)
RAUDO_WIDE(uint16_t, ucs2)
RAUDO_WIDE(uint32_t, ucs4)
#undef RAUDO_WIDE

#endif
