/* Advanced SIMD of 64-bit ARM: one or two queries by 32 rows, eight registers of sums each. */
#include "panel/panel.h"

#include "cpu.h"
#include "target.h"

#if RAUDO_COMPILES_NEON
#include "panel/alike.h"

enum { VECTORS = RAUDO_PANEL_ROWS / 4 };

RAUDO_INLINE uint32x4_t group_of(const void *queries, size_t at)
{
    uint32_t group;
    memcpy(&group, (const uint8_t *)queries + at * RAUDO_PANEL_GROUP, sizeof group);
    return vdupq_n_u32(group);
}

static void dot_i8(size_t n_groups, size_t m, const int8_t *queries, const int32_t *zero,
                   const uint8_t *panel, int32_t *sums, size_t stride)
{
    (void)zero;
    for (size_t i = 0; i < m; i++) {
        int32x4_t sum[VECTORS];
        RAUDO_UNROLL
        for (size_t v = 0; v < VECTORS; v++)
            sum[v] = vdupq_n_s32(0);
        for (size_t g = 0; g < n_groups; g++) {
            const int8x16_t x = vreinterpretq_s8_u32(group_of(queries, g * RAUDO_PANEL_QUERIES + i));
            RAUDO_UNROLL
            for (size_t v = 0; v < VECTORS; v++) {
                const uint8x16_t bytes = vld1q_u8(panel + (g * VECTORS + v) * 16);
                const int8x16_t rows = vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(128)));
                /* Two products of 127 * 127 fit into 16 bits. */
                const int16x8_t pairs = vpaddq_s16(vmull_s8(vget_low_s8(rows), vget_low_s8(x)),
                                                   vmull_high_s8(rows, x));
                sum[v] = vpadalq_s16(sum[v], pairs);
            }
        }
        RAUDO_UNROLL
        for (size_t v = 0; v < VECTORS; v++)
            vst1q_s32(sums + i * stride + 4 * v, sum[v]);
    }
}

RAUDO_INLINE float32x4_t even_of(uint32x4_t pairs) { return vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16)); }
RAUDO_INLINE float32x4_t odd_of(uint32x4_t pairs)
{
    return vreinterpretq_f32_u32(vandq_u32(pairs, vdupq_n_u32(0xffff0000u)));
}

RAUDO_INLINE void dot_bf16_of(size_t n_groups, const size_t m, const uint16_t *queries,
                              const uint16_t *panel, float *sums, size_t stride)
{
    float32x4_t sum[2][VECTORS];
    RAUDO_UNROLL
    for (size_t v = 0; v < VECTORS; v++)
        sum[0][v] = sum[1][v] = vdupq_n_f32(0);
    for (size_t g = 0; g < n_groups; g++, queries += 2 * RAUDO_PANEL_QUERIES) {
        RAUDO_UNROLL
        for (size_t v = 0; v < VECTORS; v++) {
            const uint32x4_t rows = vreinterpretq_u32_u16(vld1q_u16(panel + (g * VECTORS + v) * 8));
            RAUDO_UNROLL
            for (size_t i = 0; i < m; i++) {
                const uint32x4_t x = group_of(queries, i);
                sum[i][v] = vfmaq_f32(sum[i][v], even_of(x), even_of(rows));
                sum[i][v] = vfmaq_f32(sum[i][v], odd_of(x), odd_of(rows));
            }
        }
    }
    RAUDO_UNROLL
    for (size_t i = 0; i < m; i++)
        RAUDO_UNROLL
        for (size_t v = 0; v < VECTORS; v++)
            vst1q_f32(sums + i * stride + 4 * v, sum[i][v]);
}

RAUDO_DEFINE_DOT_BY_TWO(dot_bf16, uint16_t, uint16_t, float)

/* A byte counts up to 8 a group: it is full after 31. */
enum { BYTE_GROUPS = 31 };

static void dot_bits(size_t n_groups, size_t m, const uint8_t *queries, const uint8_t *panel,
                     int32_t *sums, size_t stride)
{
    for (size_t i = 0; i < m; i++) {
        uint32x4_t sum[VECTORS];
        RAUDO_UNROLL
        for (size_t v = 0; v < VECTORS; v++)
            sum[v] = vdupq_n_u32(0);
        for (size_t g = 0; g < n_groups;) {
            const size_t end = n_groups - g < BYTE_GROUPS ? n_groups : g + BYTE_GROUPS;
            uint8x16_t count[VECTORS];
            RAUDO_UNROLL
            for (size_t v = 0; v < VECTORS; v++)
                count[v] = vdupq_n_u8(0);
            for (; g < end; g++) {
                const uint8x16_t x = vreinterpretq_u8_u32(group_of(queries, g * RAUDO_PANEL_QUERIES + i));
                RAUDO_UNROLL
                for (size_t v = 0; v < VECTORS; v++)
                    count[v] = vaddq_u8(count[v],
                                        vcntq_u8(vandq_u8(x, vld1q_u8(panel + (g * VECTORS + v) * 16))));
            }
            RAUDO_UNROLL
            for (size_t v = 0; v < VECTORS; v++)
                sum[v] = vpadalq_u16(sum[v], vpaddlq_u8(count[v]));
        }
        RAUDO_UNROLL
        for (size_t v = 0; v < VECTORS; v++)
            vst1q_s32(sums + i * stride + 4 * v, vreinterpretq_s32_u32(sum[v]));
    }
}

RAUDO_INLINE unsigned hits_of(float32x4_t sums, const float *scale, const float *bias, float query_scale,
                              float limit)
{
    static const uint32_t BITS[4] = {1, 2, 4, 8};
    const float32x4_t scales = vmulq_n_f32(vld1q_f32(scale), query_scale);
    const float32x4_t key = vfmsq_f32(vld1q_f32(bias), scales, sums);
    return vaddvq_u32(vbicq_u32(vld1q_u32(BITS), vcgtq_f32(key, vdupq_n_f32(limit))));
}
RAUDO_INLINE float32x4_t floats_i8(const int32_t *sums) { return vcvtq_f32_s32(vld1q_s32(sums)); }
RAUDO_INLINE float32x4_t floats_bf16(const float *sums) { return vld1q_f32(sums); }
RAUDO_DEFINE_SIFTS(4)

const raudo_panel_kernels raudo_panel_neon = {
    .outruns_float32 = 0,
    .dot_bf16 = dot_bf16,
    RAUDO_PANEL_ALIKE,
};

#else
typedef int raudo_no_panel_neon; /* a translation unit may not be empty */
#endif
