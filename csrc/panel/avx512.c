/* AVX-512 with VNNI (each processor that has VPOPCNTDQ has it), and with BF16 where there is that too.
 * 24 of the 32 registers are sums of a tile, as in distance/avx512.c. */
#include "panel/panel.h"

#include "cpu.h"
#include "target.h"

#if RAUDO_COMPILES_AVX512 && !defined(RAUDO_EMULATED)
RAUDO_TARGET_AVX512
#include "panel/copy.h"
#include "panel/share.h"
#include "panel/sift.h"

RAUDO_INLINE int32_t group_of(const void *queries, size_t at)
{
    int32_t group;
    memcpy(&group, (const uint8_t *)queries + at * RAUDO_PANEL_GROUP, sizeof group);
    return group;
}

RAUDO_INLINE void dot_i8_of(size_t n_groups, const size_t m, const int8_t *queries,
                            const int32_t *zero, const uint8_t *panel, int32_t *sums, size_t stride)
{
    __m512i sum[RAUDO_PANEL_QUERIES][2];
    RAUDO_UNROLL
    for (size_t i = 0; i < m; i++)
        sum[i][0] = sum[i][1] = _mm512_set1_epi32(-zero[i]);
    for (size_t g = 0; g < n_groups; g++, panel += 128, queries += 4 * RAUDO_PANEL_QUERIES) {
        const __m512i b0 = _mm512_loadu_si512(panel), b1 = _mm512_loadu_si512(panel + 64);
        RAUDO_UNROLL
        for (size_t i = 0; i < m; i++) {
            const __m512i x = _mm512_set1_epi32(group_of(queries, i));
            sum[i][0] = _mm512_dpbusd_epi32(sum[i][0], b0, x);
            sum[i][1] = _mm512_dpbusd_epi32(sum[i][1], b1, x);
        }
    }
    RAUDO_UNROLL
    for (size_t i = 0; i < m; i++) {
        _mm512_storeu_si512(sums + i * stride, sum[i][0]);
        _mm512_storeu_si512(sums + i * stride + 16, sum[i][1]);
    }
}

static void dot_i8(size_t n_groups, size_t m, const int8_t *queries, const int32_t *zero,
                   const uint8_t *panel, int32_t *sums, size_t stride)
{
    if (m > 8)
        dot_i8_of(n_groups, 12, queries, zero, panel, sums, stride);
    else if (m > 4)
        dot_i8_of(n_groups, 8, queries, zero, panel, sums, stride);
    else if (m > 2)
        dot_i8_of(n_groups, 4, queries, zero, panel, sums, stride);
    else if (m > 1)
        dot_i8_of(n_groups, 2, queries, zero, panel, sums, stride);
    else
        dot_i8_of(n_groups, 1, queries, zero, panel, sums, stride);
}

RAUDO_INLINE __m512 even_of(__m512i pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
RAUDO_INLINE __m512 odd_of(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000u)));
}

RAUDO_INLINE void dot_bf16_of(size_t n_groups, const size_t m, const uint16_t *queries,
                              const uint16_t *panel, float *sums, size_t stride)
{
    __m512 sum[RAUDO_PANEL_QUERIES][2];
    RAUDO_UNROLL
    for (size_t i = 0; i < m; i++)
        sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    for (size_t g = 0; g < n_groups; g++, panel += 64, queries += 2 * RAUDO_PANEL_QUERIES) {
        const __m512i b0 = _mm512_loadu_si512(panel), b1 = _mm512_loadu_si512(panel + 32);
        const __m512 even0 = even_of(b0), even1 = even_of(b1), odd0 = odd_of(b0), odd1 = odd_of(b1);
        RAUDO_UNROLL
        for (size_t i = 0; i < m; i++) {
            const __m512i x = _mm512_set1_epi32(group_of(queries, i));
            sum[i][0] = _mm512_fmadd_ps(odd_of(x), odd0, _mm512_fmadd_ps(even_of(x), even0, sum[i][0]));
            sum[i][1] = _mm512_fmadd_ps(odd_of(x), odd1, _mm512_fmadd_ps(even_of(x), even1, sum[i][1]));
        }
    }
    RAUDO_UNROLL
    for (size_t i = 0; i < m; i++) {
        _mm512_storeu_ps(sums + i * stride, sum[i][0]);
        _mm512_storeu_ps(sums + i * stride + 16, sum[i][1]);
    }
}

#define DEFINE_DOT_BF16(name)                                                                     \
    static void name(size_t n_groups, size_t m, const uint16_t *queries, const uint16_t *panel,   \
                     float *sums, size_t stride)                                                  \
    {                                                                                             \
        if (m > 8)                                                                                \
            name##_of(n_groups, 12, queries, panel, sums, stride);                                \
        else if (m > 4)                                                                           \
            name##_of(n_groups, 8, queries, panel, sums, stride);                                 \
        else if (m > 2)                                                                           \
            name##_of(n_groups, 4, queries, panel, sums, stride);                                 \
        else if (m > 1)                                                                           \
            name##_of(n_groups, 2, queries, panel, sums, stride);                                 \
        else                                                                                      \
            name##_of(n_groups, 1, queries, panel, sums, stride);                                 \
    }
DEFINE_DOT_BF16(dot_bf16)

RAUDO_INLINE void dot_bits_of(size_t n_groups, const size_t m, const uint8_t *queries,
                              const uint8_t *panel, int32_t *sums, size_t stride)
{
    __m512i sum[RAUDO_PANEL_QUERIES][2];
    RAUDO_UNROLL
    for (size_t i = 0; i < m; i++)
        sum[i][0] = sum[i][1] = _mm512_setzero_si512();
    for (size_t g = 0; g < n_groups; g++, panel += 128, queries += 4 * RAUDO_PANEL_QUERIES) {
        const __m512i b0 = _mm512_loadu_si512(panel), b1 = _mm512_loadu_si512(panel + 64);
        RAUDO_UNROLL
        for (size_t i = 0; i < m; i++) {
            const __m512i x = _mm512_set1_epi32(group_of(queries, i));
            sum[i][0] = _mm512_add_epi32(sum[i][0], _mm512_popcnt_epi32(_mm512_and_si512(x, b0)));
            sum[i][1] = _mm512_add_epi32(sum[i][1], _mm512_popcnt_epi32(_mm512_and_si512(x, b1)));
        }
    }
    RAUDO_UNROLL
    for (size_t i = 0; i < m; i++) {
        _mm512_storeu_si512(sums + i * stride, sum[i][0]);
        _mm512_storeu_si512(sums + i * stride + 16, sum[i][1]);
    }
}

static void dot_bits(size_t n_groups, size_t m, const uint8_t *queries, const uint8_t *panel,
                     int32_t *sums, size_t stride)
{
    if (m > 8)
        dot_bits_of(n_groups, 12, queries, panel, sums, stride);
    else if (m > 4)
        dot_bits_of(n_groups, 8, queries, panel, sums, stride);
    else if (m > 2)
        dot_bits_of(n_groups, 4, queries, panel, sums, stride);
    else if (m > 1)
        dot_bits_of(n_groups, 2, queries, panel, sums, stride);
    else
        dot_bits_of(n_groups, 1, queries, panel, sums, stride);
}

RAUDO_INLINE unsigned hits_of(__m512 sums, const float *scale, const float *bias, float query_scale,
                              float limit)
{
    const __m512 scales = _mm512_mul_ps(_mm512_set1_ps(query_scale), _mm512_loadu_ps(scale));
    const __m512 key = _mm512_fnmadd_ps(scales, sums, _mm512_loadu_ps(bias));
    return _mm512_cmp_ps_mask(key, _mm512_set1_ps(limit), _CMP_NGT_UQ);
}
RAUDO_INLINE unsigned hits_i8(const int32_t *sums, const float *scale, const float *bias,
                              float query_scale, float limit)
{
    return hits_of(_mm512_cvtepi32_ps(_mm512_loadu_si512(sums)), scale, bias, query_scale, limit);
}
RAUDO_INLINE unsigned hits_bf16(const float *sums, const float *scale, const float *bias,
                                float query_scale, float limit)
{
    return hits_of(_mm512_loadu_ps(sums), scale, bias, query_scale, limit);
}
RAUDO_DEFINE_SIFT(i8, int32_t, 16)
RAUDO_DEFINE_SIFT(bf16, float, 16)

const raudo_panel_kernels raudo_panel_avx512 = {
    .outruns_float32 = 1,
    .copy_i8 = copy_i8,
    .copy_bf16 = copy_bf16,
    .dot_i8 = dot_i8,
    .dot_bf16 = dot_bf16,
    .dot_bits = dot_bits,
    .sift_i8 = sift_i8,
    .sift_bf16 = sift_bf16,
    RAUDO_SHARES,
};

RAUDO_TARGET_END
RAUDO_TARGET_AVX512_BF16

RAUDO_INLINE void dot_bf16_vdp_of(size_t n_groups, const size_t m, const uint16_t *queries,
                                  const uint16_t *panel, float *sums, size_t stride)
{
    __m512 sum[RAUDO_PANEL_QUERIES][2];
    RAUDO_UNROLL
    for (size_t i = 0; i < m; i++)
        sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    for (size_t g = 0; g < n_groups; g++, panel += 64, queries += 2 * RAUDO_PANEL_QUERIES) {
        const __m512bh b0 = (__m512bh)_mm512_loadu_si512(panel);
        const __m512bh b1 = (__m512bh)_mm512_loadu_si512(panel + 32);
        RAUDO_UNROLL
        for (size_t i = 0; i < m; i++) {
            int32_t group;
            __builtin_memcpy(&group, queries + 2 * i, sizeof group);
            const __m512bh x = (__m512bh)_mm512_set1_epi32(group);
            sum[i][0] = _mm512_dpbf16_ps(sum[i][0], b0, x);
            sum[i][1] = _mm512_dpbf16_ps(sum[i][1], b1, x);
        }
    }
    RAUDO_UNROLL
    for (size_t i = 0; i < m; i++) {
        _mm512_storeu_ps(sums + i * stride, sum[i][0]);
        _mm512_storeu_ps(sums + i * stride + 16, sum[i][1]);
    }
}
DEFINE_DOT_BF16(dot_bf16_vdp)

const raudo_panel_kernels raudo_panel_avx512_bf16 = {
    .outruns_float32 = 1,
    .copy_i8 = copy_i8,
    .copy_bf16 = copy_bf16,
    .dot_i8 = dot_i8,
    .dot_bf16 = dot_bf16_vdp,
    .dot_bits = dot_bits,
    .sift_i8 = sift_i8,
    .sift_bf16 = sift_bf16,
    RAUDO_SHARES,
};

RAUDO_TARGET_END
#else
typedef int raudo_no_panel_avx512; /* a translation unit may not be empty */
#endif
