/* One record of comma-separated text (RFC 4180), read as Python's csv module does with strict=True.
 *
 * Only well-formed records are read here: what is malformed or has no end in the text at hand is left
 * to the caller, who knows what to make of it. So the dialect stays small: a quote opens a cell only at
 * its beginning, two quotes within stand for one, and a record ends at a line feed, at a carriage return
 * and line feed, or where the text does.
 */
#ifndef RAUDO_CELLS_RECORD_H
#define RAUDO_CELLS_RECORD_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    size_t start, n_bytes; /* within the text, without the quotes around it */
    int has_pairs;         /* two quotes stand for one in it */
} raudo_cell;

typedef struct {
    uint8_t delimiter;
    int is_quoted;         /* whether quotes mean anything */
    size_t most_bytes;     /* of a cell; a record with a longer one is left to the caller */
} raudo_dialect;

typedef struct {
    size_t end;            /* where the next record begins */
    size_t n_cells;        /* 0 for an empty line */
    size_t n_lines;
} raudo_record;

/* Read the record at `at` < n of a text; fill `cells` with those of its columns that are wanted, as far
 * as it has them. Return 0 where it is not well-formed or not closed, 1 otherwise. */
int raudo_read_record(const uint8_t *text, size_t n, size_t at, raudo_dialect dialect,
                      const size_t *wanted, size_t n_wanted, raudo_cell *cells, raudo_record *record);

#endif
