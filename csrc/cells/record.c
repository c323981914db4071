#include "cells/record.h"

#include <string.h>

typedef uint8_t block __attribute__((vector_size(16)));
typedef uint64_t words __attribute__((vector_size(16)));

/* Which byte of eight is the first that is all ones; of a comparison, so that the others are zero. */
static inline size_t first_of(uint64_t found) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (size_t)__builtin_clzll(found) / 8;
#else
    return (size_t)__builtin_ctzll(found) / 8;
#endif
}

/* Where the first delimiter or end of a line is, at or after `at`; n where there is none. */
static inline size_t plain_end(const uint8_t *text, size_t n, size_t at, uint8_t delimiter) {
    for (block v; at + sizeof v <= n; at += sizeof v) {
        memcpy(&v, text + at, sizeof v);
        const words found = (words)((v == delimiter) | (v == '\n') | (v == '\r'));
        if (found[0]) return at + first_of(found[0]);
        if (found[1]) return at + 8 + first_of(found[1]);
    }
    while (at < n && text[at] != delimiter && text[at] != '\n' && text[at] != '\r') at++;
    return at;
}

/* Where the quote is that closes a cell whose inside begins at `at`; n where there is none. */
static inline size_t quoted_end(const uint8_t *text, size_t n, size_t at, int *has_pairs) {
    *has_pairs = 0;
    while (at < n) {
        const uint8_t *quote = memchr(text + at, '"', n - at);
        if (quote == NULL) return n;
        at = (size_t)(quote - text);
        if (at + 1 == n || text[at + 1] != '"') return at;
        *has_pairs = 1;
        at += 2;
    }
    return n;
}

static inline size_t n_line_feeds(const uint8_t *text, size_t n) {
    size_t count = 0;
    const uint8_t *const end = text + n;
    while (text < end && (text = memchr(text, '\n', (size_t)(end - text))) != NULL) {
        count++;
        text++;
    }
    return count;
}

int raudo_read_record(const uint8_t *text, size_t n, size_t at, raudo_dialect dialect,
                      const size_t *wanted, size_t n_wanted, raudo_cell *cells,
                      raudo_record *record) {
    size_t n_cells = 0, n_lines = 1;
    for (;;) {
        raudo_cell cell = {at, 0, 0};
        const int is_in_quotes = dialect.is_quoted && at < n && text[at] == '"';
        if (is_in_quotes) {
            cell.start = at + 1;
            const size_t close = quoted_end(text, n, cell.start, &cell.has_pairs);
            if (close == n) return 0;
            cell.n_bytes = close - cell.start;
            n_lines += n_line_feeds(text + cell.start, cell.n_bytes);
            at = close + 1;
        } else {
            at = plain_end(text, n, at, dialect.delimiter);
            cell.n_bytes = at - cell.start;
        }
        if (cell.n_bytes > dialect.most_bytes) return 0;
        for (size_t i = 0; i < n_wanted; i++)
            if (wanted[i] == n_cells) cells[i] = cell;
        n_cells++;
        if (at < n && text[at] == dialect.delimiter) {
            at++;
            continue;
        }
        const int is_empty_line = n_cells == 1 && !cell.n_bytes && !is_in_quotes;
        if (at < n && text[at] == '\r' && ++at < n && text[at] != '\n') return 0;
        if (at < n && text[at++] != '\n') return 0;
        *record = (raudo_record){at, is_empty_line ? 0 : n_cells, n_lines};
        return 1;
    }
}
