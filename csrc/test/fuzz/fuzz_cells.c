/* Records of comma-separated text of anybody, against a reader that goes byte by byte. */
#include "cells/record.h"
#include "fuzz.h"

enum { N_WANTED = 4 };

/* Where the record at `at` ends, and its cells' bounds; 0 where it is left to the caller. */
static size_t slow_end(const uint8_t *text, size_t n, size_t at, raudo_dialect dialect, raudo_cell *cells,
                       size_t *n_cells)
{
    for (*n_cells = 0;;) {
        raudo_cell cell = {at, 0, 0};
        if (dialect.is_quoted && at < n && text[at] == '"') {
            cell.start = ++at;
            for (;; at++) {
                if (at >= n)
                    return 0;
                if (text[at] != '"')
                    continue;
                if (at + 1 >= n || text[at + 1] != '"')
                    break;
                cell.has_pairs = 1;
                at++;
            }
            cell.n_bytes = at++ - cell.start;
        } else {
            while (at < n && text[at] != dialect.delimiter && text[at] != '\n' && text[at] != '\r')
                at++;
            cell.n_bytes = at - cell.start;
        }
        if (cell.n_bytes > dialect.most_bytes)
            return 0;
        if (*n_cells < N_WANTED)
            cells[*n_cells] = cell;
        ++*n_cells;
        if (at >= n)
            return n;
        if (text[at] == dialect.delimiter) {
            at++;
            continue;
        }
        if (text[at] == '\r') {
            if (++at == n)
                return n;
        }
        return text[at] == '\n' ? at + 1 : 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t WANTED[N_WANTED] = {0, 1, 2, 3};
    if (size < 2)
        return 0;
    const raudo_dialect dialect = {data[0] & 1 ? ',' : '\t', data[0] & 2 ? 1 : 0, data[0] & 4 ? 40 : 4096};
    const size_t n = size - 1;
    uint8_t *text = exact_copy(data + 1, n);
    for (size_t at = 0; at < n;) {
        raudo_cell cells[N_WANTED], slow[N_WANTED];
        raudo_record record = {0, 0, 0};
        size_t n_cells;
        const size_t end = slow_end(text, n, at, dialect, slow, &n_cells);
        const int is_read = raudo_read_record(text, n, at, dialect, WANTED, N_WANTED, cells, &record);
        CHECK(is_read == (end > 0));
        if (!is_read)
            break;
        CHECK(record.end == end && (record.n_cells == n_cells || (record.n_cells == 0 && n_cells == 1)));
        for (size_t i = 0; i < n_cells && i < N_WANTED; i++) {
            CHECK(cells[i].start == slow[i].start && cells[i].n_bytes == slow[i].n_bytes);
            CHECK(cells[i].has_pairs == slow[i].has_pairs && cells[i].start + cells[i].n_bytes <= n);
        }
        at = end;
    }
    free(text);
    return 0;
}
