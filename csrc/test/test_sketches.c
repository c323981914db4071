/* The sketch kernels of an instruction set against the scalar ones: the same codes, and the same rows
 * ruled out wherever rounding has no say. Part of test_kernels. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sketch/sketch.h"

enum { WIDEST = 16 * 70, ROWS = RAUDO_SKETCH_ROWS };

int test_sketches(const char *isa);

static uint32_t state = 2463534242u;
static float random_real(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return (float)state / 2147483648.0f - 1.0f;
}

/* Whether the answers differ in a row that is not at the very edge. */
static int differs(const raudo_sketch_kernels *own, size_t width, const uint8_t *codes, const uint8_t *table,
                   raudo_sketch_scale scale)
{
    float along[ROWS], across[ROWS];
    for (int j = 0; j < ROWS; j++) {
        along[j] = j == 3 ? NAN : random_real();
        across[j] = random_real();
    }
    const raudo_sketch_question question = {table, random_real(), scale.step, scale.offset, random_real()};
    raudo_sketch_question lower = question, higher = question;
    const float edge = 1e-4f * (1 + fabsf(scale.offset));
    lower.least -= edge;
    higher.least += edge;
    const uint32_t got = own->sift(width / 8, codes, along, across, &question);
    const uint32_t most = raudo_sketch_scalar.sift(width / 8, codes, along, across, &lower);
    const uint32_t least = raudo_sketch_scalar.sift(width / 8, codes, along, across, &higher);
    return (got & ~most) != 0 || (least & ~got) != 0 || !(got >> 3 & 1);
}

int test_sketches(const char *isa)
{
    const raudo_sketch_kernels *own = raudo_sketch_kernels_for(isa);
    static float row[WIDEST], other[WIDEST], centre[WIDEST];
    static uint8_t table[2][WIDEST * 4];
    int n_failed = 0;
    for (size_t width = 16; width <= WIDEST; width += width < 80 ? 16 : 208) {
        /* Exactly as long as it has to be: AddressSanitizer sees one byte too many. */
        uint8_t *codes = malloc(width / 8 * ROWS), *same = malloc(width / 8 * ROWS);
        float largest = 0;
        for (size_t i = 0; i < width; i++) {
            row[i] = other[i] = random_real();
            centre[i] = random_real();
        }
        own->rotate(row, width);
        raudo_sketch_scalar.rotate(other, width);
        for (size_t i = 0; i < width; i++)
            largest = fmaxf(largest, fabsf(row[i] - other[i]));
        n_failed += !(largest < 1e-5f);
        for (size_t j = 0; j < ROWS; j++) {
            for (size_t i = 0; i < width; i++)
                row[i] = random_real();
            const raudo_sketch_sums a = own->encode(row, centre, width, codes + j);
            const raudo_sketch_sums b = raudo_sketch_scalar.encode(row, centre, width, same + j);
            n_failed += !(fabsf(a.absolute - b.absolute) <= 1e-4f * b.absolute);
            n_failed += !(fabsf(a.centre - b.centre) <= 1e-4f * (b.absolute + (float)width));
        }
        n_failed += memcmp(codes, same, width / 8 * ROWS) != 0;
        const raudo_sketch_scale scale = own->tabulate(row, width, table[0]);
        raudo_sketch_scalar.tabulate(row, width, table[1]);
        for (size_t i = 0; i < width * 4; i++)
            n_failed += abs(table[0][i] - table[1][i]) > 1;
        for (int trial = 0; trial < 20; trial++)
            n_failed += differs(own, width, codes, table[0], scale);
        free(codes);
        free(same);
    }
    if (n_failed)
        fprintf(stderr, "FAILED %s: %d checks of sketches\n", isa, n_failed);
    return n_failed;
}
