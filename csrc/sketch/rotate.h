/* A random rotation in O(width log width), and the signs of what it gives; each instruction set compiles
 * its own. Three rounds of random signs and a Hadamard transform of the largest power of two that fits, by
 * turns of the first and of the last elements (they overlap where the width is no power of two). */
#ifndef RAUDO_SKETCH_ROTATE_H
#define RAUDO_SKETCH_ROTATE_H

#include <math.h>
#include <string.h>

#include "sketch/sketch.h"
#include "target.h"

enum { SKETCH_ROUNDS = 3, SKETCH_LANES = 16 };

/* splitmix64: the signs are part of the file's meaning, and may not change. */
RAUDO_INLINE uint64_t random_bits(uint64_t number)
{
    uint64_t z = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

typedef float sixteen __attribute__((vector_size(64)));

RAUDO_INLINE void flip_signs(float *row, size_t width, size_t round)
{
    for (size_t k = 0; k < width; k += 16) {
        const uint32_t flips = (uint32_t)random_bits((uint64_t)round << 32 | k / 16);
        uint32_t bits[16];
        memcpy(bits, row + k, sizeof bits);
        for (uint32_t i = 0; i < 16; i++)
            bits[i] ^= flips >> i << 31;
        memcpy(row + k, bits, sizeof bits);
    }
}

/* Sums of each element and its partner, differences in the second of both. */
#define RAUDO_PAIRS(x, s, ...) ((x) * (s) + __builtin_shufflevector(x, x, __VA_ARGS__))

/* Hadamard transform of n elements, a power of two from 16, with the root of n taken out. */
RAUDO_INLINE void transform(float *row, size_t n)
{
    /* A vector: systems that calculate floats as doubles refuse a vector times a float. */
    const float r = 1 / sqrtf((float)n);
    const sixteen root = {r, r, r, r, r, r, r, r, r, r, r, r, r, r, r, r};
    const sixteen by8 = {1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1};
    const sixteen by4 = {1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1};
    const sixteen by2 = {1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1};
    const sixteen by1 = {1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1};
    for (size_t k = 0; k < n; k += 16) {
        sixteen x;
        memcpy(&x, row + k, sizeof x);
        x = RAUDO_PAIRS(x, by8, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
        x = RAUDO_PAIRS(x, by4, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
        x = RAUDO_PAIRS(x, by2, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
        x = RAUDO_PAIRS(x, by1, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14) * root;
        memcpy(row + k, &x, sizeof x);
    }
    for (size_t half = 16; half < n; half *= 2)
        for (size_t k = 0; k < n; k += 2 * half)
            for (size_t i = k; i < k + half; i++) {
                const float a = row[i], b = row[i + half];
                row[i] = a + b;
                row[i + half] = a - b;
            }
}

static void rotate(float *row, size_t width)
{
    size_t n = 16;
    while (2 * n <= width)
        n *= 2;
    for (size_t round = 0; round < SKETCH_ROUNDS; round++) {
        flip_signs(row, width, round);
        transform(round % 2 ? row + width - n : row, n);
    }
}

static raudo_sketch_products multiply(const float *x, const float *centre, size_t width)
{
    float norm2[SKETCH_LANES] = {0}, product[SKETCH_LANES] = {0};
    for (size_t k = 0; k < width; k += SKETCH_LANES)
        for (size_t i = 0; i < SKETCH_LANES; i++) {
            norm2[i] += x[k + i] * x[k + i];
            product[i] += x[k + i] * centre[k + i];
        }
    raudo_sketch_products products = {0, 0};
    for (size_t i = 0; i < SKETCH_LANES; i++) {
        products.norm2 += norm2[i];
        products.product += product[i];
    }
    return products;
}

static raudo_sketch_sums encode(const float *rest, const float *centre, size_t width, uint8_t *codes)
{
    float absolute[SKETCH_LANES] = {0}, by_sign[SKETCH_LANES] = {0};
    for (size_t k = 0; k < width; k += SKETCH_LANES)
        for (size_t i = 0; i < SKETCH_LANES; i++) {
            const float x = rest[k + i], c = centre[k + i];
            absolute[i] += fabsf(x);
            by_sign[i] += copysignf(1, x) * c;
        }
    for (size_t k = 0; k < width; k += 8) {
        uint32_t bits[8], byte = 0;
        memcpy(bits, rest + k, sizeof bits);
        for (size_t i = 0; i < 8; i++)
            byte |= (~bits[i] >> 31) << i;
        codes[k / 8 * RAUDO_SKETCH_ROWS] = (uint8_t)byte;
    }
    raudo_sketch_sums sums = {0, 0};
    for (size_t i = 0; i < SKETCH_LANES; i++) {
        sums.absolute += absolute[i];
        sums.centre += by_sign[i];
    }
    return sums;
}

/* The largest sum is 127, so that two fit a byte. */
static raudo_sketch_scale tabulate(const float *query, size_t width, uint8_t *table)
{
    float largest = 0, total = 0;
    for (size_t k = 0; k < width; k += 4) {
        const float sum = fabsf(query[k]) + fabsf(query[k + 1]) + fabsf(query[k + 2]) + fabsf(query[k + 3]);
        largest = sum > largest ? sum : largest;
        total += sum;
    }
    const float step = 2 * largest / 127, per_step = step > 0 ? 1 / step : 0;
    for (size_t k = 0; k < width; k += 4, table += 16) {
        float sums[16];
        sums[0] = 0.5f;
        for (size_t i = 0; i < 4; i++)
            sums[0] += (fabsf(query[k + i]) - query[k + i]) * per_step;
        for (size_t i = 0; i < 4; i++)
            for (size_t j = 0; j < (size_t)1 << i; j++)
                sums[j + ((size_t)1 << i)] = sums[j] + 2 * query[k + i] * per_step;
        for (size_t j = 0; j < 16; j++)
            table[j] = (uint8_t)(int)(sums[j] < 0 ? 0 : sums[j]);
    }
    return (raudo_sketch_scale){step, -total};
}

#endif
