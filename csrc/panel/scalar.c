/* The reference: what every instruction set must give, in plain C. */
#include "panel/panel.h"

#include "panel/alike.h"

static void dot_i8(size_t n_groups, size_t m, const int8_t *queries, const int32_t *zero,
                   const uint8_t *panel, int32_t *sums, size_t stride)
{
    (void)zero;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < RAUDO_PANEL_ROWS; j++) {
            int32_t sum = 0;
            for (size_t g = 0; g < n_groups; g++)
                for (size_t k = 0; k < RAUDO_PANEL_GROUP; k++)
                    sum += queries[(g * RAUDO_PANEL_QUERIES + i) * RAUDO_PANEL_GROUP + k]
                           * (panel[(g * RAUDO_PANEL_ROWS + j) * RAUDO_PANEL_GROUP + k] - 128);
            sums[i * stride + j] = sum;
        }
}

static float float_of(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void dot_bf16(size_t n_groups, size_t m, const uint16_t *queries, const uint16_t *panel,
                     float *sums, size_t stride)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < RAUDO_PANEL_ROWS; j++) {
            float sum = 0;
            for (size_t g = 0; g < n_groups; g++)
                for (size_t k = 0; k < 2; k++)
                    sum += float_of(queries[(g * RAUDO_PANEL_QUERIES + i) * 2 + k])
                           * float_of(panel[(g * RAUDO_PANEL_ROWS + j) * 2 + k]);
            sums[i * stride + j] = sum;
        }
}

static void dot_bits(size_t n_groups, size_t m, const uint8_t *queries, const uint8_t *panel,
                     int32_t *sums, size_t stride)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < RAUDO_PANEL_ROWS; j++) {
            int32_t sum = 0;
            for (size_t g = 0; g < n_groups; g++) {
                uint32_t x, y;
                memcpy(&x, queries + (g * RAUDO_PANEL_QUERIES + i) * RAUDO_PANEL_GROUP, sizeof x);
                memcpy(&y, panel + (g * RAUDO_PANEL_ROWS + j) * RAUDO_PANEL_GROUP, sizeof y);
                sum += __builtin_popcount(x & y);
            }
            sums[i * stride + j] = sum;
        }
}

RAUDO_INLINE unsigned hits_of(float sum, const float *scale, const float *bias, float query_scale,
                              float limit)
{
    return !(*bias - query_scale * *scale * sum > limit);
}
RAUDO_INLINE float floats_i8(const int32_t *sums) { return (float)*sums; }
RAUDO_INLINE float floats_bf16(const float *sums) { return *sums; }
RAUDO_DEFINE_SIFTS(1)

const raudo_panel_kernels raudo_panel_scalar = {
    .outruns_float32 = 0,
    .dot_bf16 = dot_bf16,
    RAUDO_PANEL_ALIKE,
};
