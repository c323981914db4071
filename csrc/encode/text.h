/* Text as the inside of a JSON string or as a CSV cell, in UTF-8, copied and searched in one pass.
 *
 * Sixteen bytes at a time go through a vector (the extension of gcc and clang, which becomes SSE2 or
 * NEON); a block with a character that needs care goes one by one. A writer may scribble up to
 * RAUDO_SLACK bytes past the end that it returns, so the caller leaves that much room beyond the worst
 * case: 6 bytes a character, and two for quotes.
 */
#ifndef RAUDO_TEXT_H
#define RAUDO_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RAUDO_SLACK 16

/* --- one character at a time --------------------------------------------------------------------- */

/* JSON escapes the quote, the backslash and what is below a space. */
static inline int raudo_is_escaped(uint32_t c) { return c < 0x20 || c == '"' || c == '\\'; }

/* CSV quotes a cell with one of these in it. A carriage return is among them because readers take one
 * for the end of a row. */
static inline int raudo_is_quoted(uint32_t c) {
    return c == '"' || c == ',' || c == '\n' || c == '\r';
}

static inline char *raudo_put_hex_4(char *out, uint32_t c) {
    static const char HEX[] = "0123456789abcdef";
    out[0] = '\\';
    out[1] = 'u';
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
        if (c >= 0xD800 && c < 0xE000) return raudo_put_hex_4(out, c);
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

/* Write a byte as it is: ASCII, or of UTF-8. */
static inline char *raudo_put_byte(char *out, uint32_t c) {
    *out = (char)c;
    return out + 1;
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
        default: return raudo_put_hex_4(out, c);
    }
    out[0] = '\\';
    out[1] = short_form;
    return out + 2;
}

/* --- blocks and whole texts ---------------------------------------------------------------------- */

/* For blocks of `n_bytes` of characters of a type: `has_escaped`, `has_quoted`, `has_high` say whether
 * one is among them, `copy` writes them as bytes. A comparison of vectors is all ones where it holds. */
#define RAUDO_BLOCK(name, type, n_bytes)                                                        \
    typedef type raudo_##name __attribute__((vector_size(n_bytes)));                            \
    typedef uint8_t raudo_##name##_bytes __attribute__((vector_size(n_bytes / sizeof(type))));  \
    typedef uint64_t raudo_##name##_words __attribute__((vector_size(n_bytes)));                \
    static inline int raudo_##name##_any(raudo_##name##_words words) {                          \
        uint64_t any = words[0];                                                                \
        if (n_bytes > 8) any |= words[n_bytes / 8 - 1];                                         \
        return any != 0;                                                                        \
    }                                                                                           \
    static inline int raudo_##name##_has_escaped(raudo_##name v) {                              \
        return raudo_##name##_any(                                                              \
            (raudo_##name##_words)((v < 0x20) | (v == '"') | (v == '\\')));                     \
    }                                                                                           \
    static inline int raudo_##name##_has_quoted(raudo_##name v) {                               \
        return raudo_##name##_any((raudo_##name##_words)((v == '"') | (v == ',') |              \
                                                         (v == '\n') | (v == '\r')));           \
    }                                                                                           \
    static inline int raudo_##name##_has_quote(raudo_##name v) {                                \
        return raudo_##name##_any((raudo_##name##_words)(v == '"'));                            \
    }                                                                                           \
    static inline int raudo_##name##_has_high(raudo_##name v) {                                 \
        return raudo_##name##_any((raudo_##name##_words)(v >= 0x80));                           \
    }                                                                                           \
    static inline void raudo_##name##_copy(char *out, raudo_##name v) {                         \
        const raudo_##name##_bytes bytes = __builtin_convertvector(v, raudo_##name##_bytes);    \
        memcpy(out, &bytes, sizeof bytes);                                                      \
    }
RAUDO_BLOCK(block_1, uint8_t, 16)
RAUDO_BLOCK(block_2, uint16_t, 16)
RAUDO_BLOCK(block_4, uint32_t, 16)
RAUDO_BLOCK(half_1, uint8_t, 8)
#undef RAUDO_BLOCK

/* How many of the characters come before the first beyond ASCII, which is one of the first 16 bytes. */
#define RAUDO_N_LOW(type)                                                                       \
    static inline size_t raudo_n_low_##type(const type *in) {                                   \
        size_t n = 0;                                                                           \
        while (in[n] < 0x80) n++;                                                               \
        return n;                                                                               \
    }
RAUDO_N_LOW(uint8_t)
RAUDO_N_LOW(uint16_t)
RAUDO_N_LOW(uint32_t)
#undef RAUDO_N_LOW

/* Go on by whole blocks, in a function that has `out`, `in`, `n` and `i`. What is before a character beyond
 * ASCII is copied as such, with what is behind it for the next block to write again. */
#define RAUDO_LOW_BLOCK(block, type, put, is_wide)                                              \
    raudo_##block##_copy(out, v);                                                               \
    if (!is_wide || !raudo_##block##_has_high(v)) {                                             \
        out += sizeof v / sizeof *in;                                                           \
        i += sizeof v / sizeof *in;                                                             \
    } else {                                                                                    \
        const size_t n_low = raudo_n_low_##type(in + i);                                        \
        out += n_low;                                                                           \
        i += n_low;                                                                             \
        do out = put(out, in[i]);                                                               \
        while (++i < n && in[i] >= 0x80);                                                       \
    }
#define RAUDO_JSON_BLOCKS(block, type, put, is_wide)                                            \
    for (raudo_##block v; i + sizeof v / sizeof *in <= n;) {                                    \
        memcpy(&v, in + i, sizeof v);                                                           \
        if (!raudo_##block##_has_escaped(v)) {                                                  \
            RAUDO_LOW_BLOCK(block, type, put, is_wide)                                          \
            continue;                                                                           \
        }                                                                                       \
        for (const size_t end = i + sizeof v / sizeof *in; i < end; i++)                        \
            out = raudo_is_escaped(in[i]) ? raudo_put_escape(out, in[i]) : put(out, in[i]);     \
    }
#define RAUDO_CELL_BLOCKS(block, type, put, is_wide, quote)                                     \
    for (raudo_##block v; i + sizeof v / sizeof *in <= n;) {                                    \
        memcpy(&v, in + i, sizeof v);                                                           \
        if (raudo_##block##_has_quoted(v)) return quote(start, in, n);                          \
        RAUDO_LOW_BLOCK(block, type, put, is_wide)                                              \
    }
#define RAUDO_QUOTED_BLOCKS(block, type, put, is_wide)                                          \
    for (raudo_##block v; i + sizeof v / sizeof *in <= n;) {                                    \
        memcpy(&v, in + i, sizeof v);                                                           \
        if (!raudo_##block##_has_quote(v)) {                                                    \
            RAUDO_LOW_BLOCK(block, type, put, is_wide)                                          \
            continue;                                                                           \
        }                                                                                       \
        for (const size_t end = i + sizeof v / sizeof *in; i < end; i++) {                      \
            if (in[i] == '"') *out++ = '"';                                                     \
            out = put(out, in[i]);                                                              \
        }                                                                                       \
    }

/* `json` writes the inside of a string, `cell` a cell that is quoted if need be. */
#define RAUDO_TEXT(name, type, block, short_block, put, is_wide)                                \
    static inline char *raudo_put_json_##name(char *out, const type *in, size_t n) {            \
        size_t i = 0;                                                                           \
        RAUDO_JSON_BLOCKS(block, type, put, is_wide)                                            \
        RAUDO_JSON_BLOCKS(short_block, type, put, is_wide)                                      \
        for (; i < n; i++)                                                                      \
            out = raudo_is_escaped(in[i]) ? raudo_put_escape(out, in[i]) : put(out, in[i]);     \
        return out;                                                                             \
    }                                                                                           \
    static inline char *raudo_put_quoted_##name(char *out, const type *in, size_t n) {          \
        size_t i = 0;                                                                           \
        *out++ = '"';                                                                           \
        RAUDO_QUOTED_BLOCKS(block, type, put, is_wide)                                          \
        RAUDO_QUOTED_BLOCKS(short_block, type, put, is_wide)                                    \
        for (; i < n; i++) {                                                                    \
            if (in[i] == '"') *out++ = '"';                                                     \
            out = put(out, in[i]);                                                              \
        }                                                                                       \
        *out++ = '"';                                                                           \
        return out;                                                                             \
    }                                                                                           \
    static inline char *raudo_put_cell_##name(char *out, const type *in, size_t n) {            \
        char *const start = out;                                                                \
        size_t i = 0;                                                                           \
        RAUDO_CELL_BLOCKS(block, type, put, is_wide, raudo_put_quoted_##name)                   \
        RAUDO_CELL_BLOCKS(short_block, type, put, is_wide, raudo_put_quoted_##name)             \
        for (; i < n; i++) {                                                                    \
            if (raudo_is_quoted(in[i])) return raudo_put_quoted_##name(start, in, n);           \
            out = put(out, in[i]);                                                              \
        }                                                                                       \
        return out;                                                                             \
    }
RAUDO_TEXT(bytes, uint8_t, block_1, half_1, raudo_put_byte, 0)
RAUDO_TEXT(latin, uint8_t, block_1, half_1, raudo_put_utf8, 1)
RAUDO_TEXT(ucs2, uint16_t, block_2, block_2, raudo_put_utf8, 1)
RAUDO_TEXT(ucs4, uint32_t, block_4, block_4, raudo_put_utf8, 1)
#undef RAUDO_TEXT
#undef RAUDO_QUOTED_BLOCKS
#undef RAUDO_CELL_BLOCKS
#undef RAUDO_JSON_BLOCKS
#undef RAUDO_LOW_BLOCK

#endif
