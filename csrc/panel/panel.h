/* Compact copies of rows, laid out for products with many queries, and the kernels over them.
 *
 * A panel holds 32 rows of one byte (int8), two (bfloat16) or a bit an element. Elements are grouped by
 * four bytes, and the groups of one place of all rows lie together: a panel is
 * [n_groups][32 rows][4 bytes], whatever the instruction set, so that files can hold it. Queries are
 * packed alike, twelve to a tile: [n_groups][12 queries][4 bytes]. Rows end in zeros.
 *
 * int8: a row is scale * q + what rounding lost, q whole numbers from -127 to 127. Rows hold q + 128
 * as unsigned bytes, queries q itself, because that is how vpdpbusd multiplies.
 *
 * The copies only sift: `raudo_copied` says how far a row is from its copy, so that what a product of
 * copies rules out is ruled out for the rows too (Cauchy-Schwarz).
 */
#ifndef RAUDO_PANEL_H
#define RAUDO_PANEL_H

#include <stddef.h>
#include <stdint.h>

enum { RAUDO_PANEL_ROWS = 32, RAUDO_PANEL_QUERIES = 12, RAUDO_PANEL_GROUP = 4 };

/* Of a row x less the shift: |x|^2, |x - copy|, and by what the copy's numbers are multiplied. `scale`
 * is NaN where x is not finite or out of range; then the copy is zeros. */
typedef struct {
    float norm2, error, scale;
} raudo_copied;

/* Copy a row of d elements, less `shift` (or NULL), to out[g * out_step + 0..3] for each group g.
 * `offset` is added to each byte (int8). `scratch` holds n_groups * 4 bytes. */
typedef raudo_copied (*raudo_panel_copy)(const float *row, const float *shift, size_t d, uint8_t offset,
                                         uint8_t *scratch, uint8_t *out, size_t out_step);

/* sums[i * stride + j] = product of query i and row j, for i < m (the rows up to the next of 1, 2, 4, 8,
 * 12 are written too). `zero[i]` is 128 times the sum of query i's numbers. Exact for n_groups below
 * 2^31 / (4 * 127 * 255). */
typedef void (*raudo_panel_dot_i8)(size_t n_groups, size_t m, const int8_t *queries,
                                   const int32_t *zero, const uint8_t *panel, int32_t *sums,
                                   size_t stride);

/* The same for bfloat16 numbers, two to a group, summed in float32. */
typedef void (*raudo_panel_dot_bf16)(size_t n_groups, size_t m, const uint16_t *queries,
                                     const uint16_t *panel, float *sums, size_t stride);

/* sums[i * stride + j] = bits that query i and row j have in common; for packed bits, 32 to a group. */
typedef void (*raudo_panel_dot_bits)(size_t n_groups, size_t m, const uint8_t *queries,
                                     const uint8_t *panel, int32_t *sums, size_t stride);

/* From what rows have in common, and how many bits each has, to Hamming and Jaccard distances. */
typedef void (*raudo_panel_share_f32)(const int32_t *both, int32_t a, const int32_t *b, size_t n,
                                      size_t positions, float *out);
typedef void (*raudo_panel_share_f64)(const int32_t *both, int32_t a, const int32_t *b, size_t n,
                                      size_t positions, double *out);

/* Write the j in [0, n) with !(bias[j] - query_scale * scale[j] * sums[j] > limit) to `found`, ascending;
 * return how many. Whatever is NaN is found. */
typedef size_t (*raudo_panel_sift_i8)(const int32_t *sums, const float *scale, const float *bias,
                                      float query_scale, float limit, size_t n, uint32_t *found);
typedef size_t (*raudo_panel_sift_bf16)(const float *sums, const float *scale, const float *bias,
                                        float query_scale, float limit, size_t n, uint32_t *found);

typedef struct {
    int outruns_float32; /* products of int8 take less time than those of float32 */
    raudo_panel_copy copy_i8, copy_bf16;
    raudo_panel_dot_i8 dot_i8;
    raudo_panel_dot_bf16 dot_bf16;
    raudo_panel_dot_bits dot_bits;
    raudo_panel_sift_i8 sift_i8;
    raudo_panel_sift_bf16 sift_bf16;
    raudo_panel_share_f32 share_hamming_f32, share_jaccard_f32;
    raudo_panel_share_f64 share_hamming_f64, share_jaccard_f64;
} raudo_panel_kernels;

extern const raudo_panel_kernels raudo_panel_scalar, raudo_panel_avx2, raudo_panel_avx512,
    raudo_panel_avx512_bf16, raudo_panel_neon;

/* Those that go with the instruction set of that name on this processor; never NULL. */
const raudo_panel_kernels *raudo_panel_kernels_for(const char *isa);

#endif
