/* The reference: what every instruction set must give, in plain C. */
#include "sketch/sketch.h"

#include "sketch/rotate.h"

static uint32_t sift(size_t n_bytes, const uint8_t *codes, const float *along, const float *across,
                     const raudo_sketch_question *question)
{
    uint32_t may_be = 0;
    for (size_t j = 0; j < RAUDO_SKETCH_ROWS; j++) {
        uint32_t sum = 0;
        for (size_t i = 0; i < n_bytes; i++) {
            const uint8_t code = codes[i * RAUDO_SKETCH_ROWS + j];
            const uint8_t *table = question->table + i * RAUDO_SKETCH_TABLE;
            sum += table[code & 15] + table[16 + (code >> 4)];
        }
        const float across_all = across[j] * (question->step * (float)sum + question->offset);
        may_be |= (uint32_t)!(question->u * along[j] + across_all < question->least) << j;
    }
    return may_be;
}

const raudo_sketch_kernels raudo_sketch_scalar = {multiply, rotate, encode, tabulate, sift};
