/* AVX-512 with VNNI (each processor that has VPOPCNTDQ has it), and with BF16 where there is that too.
 * 24 of the 32 registers are sums of a tile, as in distance/avx512.c. */
#include "panel/panel.h"

#include "cpu.h"
#include "target.h"

#if RAUDO_COMPILES_AVX512 && !defined(RAUDO_EMULATED)
RAUDO_TARGET_AVX512
#include "panel/alike.h"

/* `dot` for the next of 1, 2, 4, 8, 12 queries, each with a loop of its own. */
#define FOR_QUERIES(m, dot, ...)                                                                  \
    do {                                                                                          \
        if ((m) > 8)                                                                              \
            dot(n_groups, 12, __VA_ARGS__);                                                       \
        else if ((m) > 4)                                                                         \
            dot(n_groups, 8, __VA_ARGS__);                                                        \
        else if ((m) > 2)                                                                         \
            dot(n_groups, 4, __VA_ARGS__);                                                        \
        else if ((m) > 1)                                                                         \
            dot(n_groups, 2, __VA_ARGS__);                                                        \
        else                                                                                      \
            dot(n_groups, 1, __VA_ARGS__);                                                        \
    } while (0)

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
    FOR_QUERIES(m, dot_i8_of, queries, zero, panel, sums, stride);
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

static void dot_bf16(size_t n_groups, size_t m, const uint16_t *queries, const uint16_t *panel,
                     float *sums, size_t stride)
{
    FOR_QUERIES(m, dot_bf16_of, queries, panel, sums, stride);
}

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
    FOR_QUERIES(m, dot_bits_of, queries, panel, sums, stride);
}

RAUDO_INLINE unsigned hits_of(__m512 sums, const float *scale, const float *bias, float query_scale,
                              float limit)
{
    const __m512 scales = _mm512_mul_ps(_mm512_set1_ps(query_scale), _mm512_loadu_ps(scale));
    const __m512 key = _mm512_fnmadd_ps(scales, sums, _mm512_loadu_ps(bias));
    return _mm512_cmp_ps_mask(key, _mm512_set1_ps(limit), _CMP_NGT_UQ);
}
RAUDO_INLINE __m512 floats_i8(const int32_t *sums)
{
    return _mm512_cvtepi32_ps(_mm512_loadu_si512(sums));
}
RAUDO_INLINE __m512 floats_bf16(const float *sums) { return _mm512_loadu_ps(sums); }
RAUDO_DEFINE_SIFTS(16)

const raudo_panel_kernels raudo_panel_avx512 = {
    .outruns_float32 = 1,
    .dot_bf16 = dot_bf16,
    RAUDO_PANEL_ALIKE,
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

static void dot_bf16_vdp(size_t n_groups, size_t m, const uint16_t *queries, const uint16_t *panel,
                         float *sums, size_t stride)
{
    FOR_QUERIES(m, dot_bf16_vdp_of, queries, panel, sums, stride);
}

const raudo_panel_kernels raudo_panel_avx512_bf16 = {
    .outruns_float32 = 1,
    .dot_bf16 = dot_bf16_vdp,
    RAUDO_PANEL_ALIKE,
};

RAUDO_TARGET_END
#else
typedef int raudo_no_panel_avx512; /* a translation unit may not be empty */
#endif
