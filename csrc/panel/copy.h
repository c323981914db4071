/* From float32 rows to compact copies, in loops that compilers vectorise well: each instruction set
 * compiles its own, under its own target. Sums run in sixteen lanes, because float addition may not
 * be reordered. */
#ifndef RAUDO_PANEL_COPY_H
#define RAUDO_PANEL_COPY_H

#include <math.h>
#include <string.h>

#include "panel/panel.h"
#include "target.h"

enum { COPY_LANES = 16 };

/* Rows whose largest element is not between are measured, not sifted: squares and products of theirs
 * may overflow or vanish. Rows of zeros are fine; NaN is not. */
RAUDO_INLINE int can_be_sifted(float largest)
{
    return largest == 0 || (largest > 1e-15f && largest < 1e15f);
}

RAUDO_INLINE float moved(const float *row, const float *shift, size_t k)
{
    return shift ? row[k] - shift[k] : row[k];
}

/* The bits of the largest |x|: as integers they order like numbers, infinity and NaN above all. */
RAUDO_INLINE uint32_t largest_bits(const float *row, const float *shift, size_t d)
{
    uint32_t largest = 0;
    for (size_t k = 0; k < d; k++) {
        const float x = moved(row, shift, k);
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        bits &= 0x7fffffffu;
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

RAUDO_INLINE float sum_lanes(const float *lanes)
{
    float sum = 0;
    for (size_t i = 0; i < COPY_LANES; i++)
        sum += lanes[i];
    return sum;
}

/* What is lost is a hair more than what was summed up. */
RAUDO_INLINE raudo_copied copied(const float *norm2, const float *error2, float scale)
{
    return (raudo_copied){sum_lanes(norm2), sqrtf(sum_lanes(error2)) * 1.001f, scale};
}

RAUDO_INLINE void spread_groups(const uint8_t *from, size_t n_groups, uint8_t *out, size_t out_step)
{
    for (size_t g = 0; g < n_groups; g++)
        memcpy(out + g * out_step, from + g * RAUDO_PANEL_GROUP, RAUDO_PANEL_GROUP);
}

RAUDO_INLINE float copy_element_i8(float x, float per_scale, float scale, uint8_t offset, uint8_t *out)
{
    const float q = rintf(x * per_scale);
    *out = (uint8_t)((int)q + offset);
    return x - q * scale;
}

static raudo_copied copy_i8(const float *row, const float *shift, size_t d, uint8_t offset,
                            uint8_t *scratch, uint8_t *out, size_t out_step)
{
    const size_t n_groups = (d + RAUDO_PANEL_GROUP - 1) / RAUDO_PANEL_GROUP;
    const uint32_t bits = largest_bits(row, shift, d);
    float largest, norm2[COPY_LANES] = {0}, error2[COPY_LANES] = {0};
    memcpy(&largest, &bits, sizeof largest);
    const int usable = can_be_sifted(largest);
    const float scale = usable ? largest / 127 : 0;
    const float per_scale = scale > 0 ? 127 / largest : 0;
    memset(scratch, offset, n_groups * RAUDO_PANEL_GROUP);
    if (usable) {
        size_t k = 0;
        for (; k + COPY_LANES <= d; k += COPY_LANES)
            for (size_t i = 0; i < COPY_LANES; i++) {
                const float x = moved(row, shift, k + i);
                const float lost = copy_element_i8(x, per_scale, scale, offset, scratch + k + i);
                norm2[i] += x * x;
                error2[i] += lost * lost;
            }
        for (; k < d; k++) {
            const float x = moved(row, shift, k);
            const float lost = copy_element_i8(x, per_scale, scale, offset, scratch + k);
            norm2[0] += x * x;
            error2[0] += lost * lost;
        }
    }
    spread_groups(scratch, n_groups, out, out_step);
    return copied(norm2, error2, usable ? scale : NAN);
}

RAUDO_INLINE float copy_element_bf16(float x, uint8_t *out)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u; /* to nearest, ties to even */
    const uint16_t half = (uint16_t)(bits >> 16);
    float rounded;
    memcpy(&rounded, &bits, sizeof rounded);
    memcpy(out, &half, sizeof half);
    return x - rounded;
}

static raudo_copied copy_bf16(const float *row, const float *shift, size_t d, uint8_t offset,
                              uint8_t *scratch, uint8_t *out, size_t out_step)
{
    const size_t n_groups = (d + 1) / 2;
    const uint32_t bits = largest_bits(row, shift, d);
    float largest, norm2[COPY_LANES] = {0}, error2[COPY_LANES] = {0};
    memcpy(&largest, &bits, sizeof largest);
    const int usable = can_be_sifted(largest);
    (void)offset;
    memset(scratch, 0, n_groups * RAUDO_PANEL_GROUP);
    if (usable) {
        size_t k = 0;
        for (; k + COPY_LANES <= d; k += COPY_LANES)
            for (size_t i = 0; i < COPY_LANES; i++) {
                const float x = moved(row, shift, k + i);
                const float lost = copy_element_bf16(x, scratch + 2 * (k + i));
                norm2[i] += x * x;
                error2[i] += lost * lost;
            }
        for (; k < d; k++) {
            const float x = moved(row, shift, k);
            const float lost = copy_element_bf16(x, scratch + 2 * k);
            norm2[0] += x * x;
            error2[0] += lost * lost;
        }
    }
    spread_groups(scratch, n_groups, out, out_step);
    return copied(norm2, error2, usable ? 1 : NAN);
}

#endif
