/* One bit an element: sketches of rows, of which a search reads a fortieth of what it would of rows.
 *
 * After RaBitQ (Gao and Long 2024, doi:10.1145/3654970). What is left of a row beside the centre of its
 * list is turned by a random rotation, and the signs are kept: <q, rest> is about across * <q, signs>,
 * where `across` makes that right for q = rest. The error is that of a random direction, about
 * 0.6 |q| |rest| / sqrt(width). A float more, `along`, says what the centre and the signs' share in it add.
 *
 * Panels hold 32 rows: [width / 8][32 rows] bytes, the first of eight elements in the lowest bit. A
 * query is asked as sums of its elements by four signs at a time, looked up by the shuffles that
 * all instruction sets have (as in Andre, Kermarrec and Le Scouarnec 2015, doi:10.14778/2856318.2856324).
 */
#ifndef RAUDO_SKETCH_H
#define RAUDO_SKETCH_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the table of a query for eight elements: sixteen sums for the first four, sixteen for the others. */
enum { RAUDO_SKETCH_ROWS = 32, RAUDO_SKETCH_TABLE = 32, RAUDO_SKETCH_WIDTHS = 16 };

/* What a panel is asked: row j may be a match unless
 * `u * along[j] + across[j] * (step * sum + offset) < least`; NaN may be one. */
typedef struct {
    const uint8_t *table;
    float u, step, offset, least;
} raudo_sketch_question;

/* What is left of a row, rotated: the sum of |x|, and of the centre's elements by the signs of x. */
typedef struct {
    float absolute, centre;
} raudo_sketch_sums;

typedef struct {
    float norm2, product;
} raudo_sketch_products;

typedef struct {
    float step, offset;
} raudo_sketch_scale;

typedef struct {
    /* Return |x|^2 and the inner product of x and the centre, of `width` elements. */
    raudo_sketch_products (*multiply)(const float *x, const float *centre, size_t width);
    /* Rotate a row of `width` elements (a multiple of 16) in place; the same rotation ever. */
    void (*rotate)(float *row, size_t width);
    /* Write the signs to codes[i * 32] for each byte i. */
    raudo_sketch_sums (*encode)(const float *rest, const float *centre, size_t width, uint8_t *codes);
    /* Write the table of a rotated query, and by what its sums are multiplied and shifted to be
     * sums of the query's elements by signs. */
    raudo_sketch_scale (*tabulate)(const float *query, size_t width, uint8_t *table);
    /* Return which rows of a panel may be matches, a bit each. `n_bytes` is even. */
    uint32_t (*sift)(size_t n_bytes, const uint8_t *codes, const float *along, const float *across,
                     const raudo_sketch_question *question);
} raudo_sketch_kernels;

extern const raudo_sketch_kernels raudo_sketch_scalar, raudo_sketch_avx2, raudo_sketch_avx512;

/* Those that go with the instruction set of that name; never NULL. */
const raudo_sketch_kernels *raudo_sketch_kernels_for(const char *isa);

#endif
