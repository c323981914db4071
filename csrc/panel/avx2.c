/* AVX2: two queries by 32 rows, four registers of sums each. vpmaddubsw wants one side unsigned and
 * would saturate on 255 * 127 * 2: so the query's signs go to the rows (127 * 127 * 2 fits). */
#include "panel/panel.h"

#include "cpu.h"
#include "target.h"

#if RAUDO_COMPILES_AVX2
RAUDO_TARGET_AVX2
#include "panel/alike.h"

RAUDO_INLINE __m256i group_of(const void *queries, size_t at)
{
    int32_t group;
    memcpy(&group, (const uint8_t *)queries + at * RAUDO_PANEL_GROUP, sizeof group);
    return _mm256_set1_epi32(group);
}

RAUDO_INLINE __m256i load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

RAUDO_INLINE void dot_bytes_of(size_t n_groups, const size_t m, const int8_t *queries,
                            const uint8_t *panel, int32_t *sums, size_t stride)
{
    const __m256i ones = _mm256_set1_epi16(1), middle = _mm256_set1_epi8((char)128);
    __m256i sum[2][4];
    RAUDO_UNROLL
    for (size_t i = 0; i < m; i++)
        sum[i][0] = sum[i][1] = sum[i][2] = sum[i][3] = _mm256_setzero_si256();
    for (size_t g = 0; g < n_groups; g++, panel += 128, queries += 4 * RAUDO_PANEL_QUERIES) {
        RAUDO_UNROLL
        for (size_t part = 0; part < 4; part++) {
            const __m256i rows = _mm256_xor_si256(load(panel + 32 * part), middle);
            RAUDO_UNROLL
            for (size_t i = 0; i < m; i++) {
                const __m256i x = group_of(queries, i);
                const __m256i products =
                    _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(rows, x));
                sum[i][part] = _mm256_add_epi32(sum[i][part], _mm256_madd_epi16(products, ones));
            }
        }
    }
    RAUDO_UNROLL
    for (size_t i = 0; i < m; i++)
        RAUDO_UNROLL
        for (size_t part = 0; part < 4; part++)
            _mm256_storeu_si256((__m256i *)(void *)(sums + i * stride + 8 * part), sum[i][part]);
}

RAUDO_DEFINE_DOT_BY_TWO(dot_bytes, int8_t, uint8_t, int32_t)

static void dot_i8(size_t n_groups, size_t m, const int8_t *queries, const int32_t *zero,
                   const uint8_t *panel, int32_t *sums, size_t stride)
{
    (void)zero; /* the rows' bytes are made signed instead */
    dot_bytes(n_groups, m, queries, panel, sums, stride);
}

RAUDO_INLINE __m256 even_of(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
RAUDO_INLINE __m256 odd_of(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32((int)0xffff0000u)));
}

RAUDO_INLINE void dot_bf16_of(size_t n_groups, const size_t m, const uint16_t *queries,
                              const uint16_t *panel, float *sums, size_t stride)
{
    __m256 sum[2][4];
    RAUDO_UNROLL
    for (size_t i = 0; i < m; i++)
        sum[i][0] = sum[i][1] = sum[i][2] = sum[i][3] = _mm256_setzero_ps();
    for (size_t g = 0; g < n_groups; g++, panel += 64, queries += 2 * RAUDO_PANEL_QUERIES) {
        RAUDO_UNROLL
        for (size_t part = 0; part < 4; part++) {
            const __m256i rows = load(panel + 16 * part);
            RAUDO_UNROLL
            for (size_t i = 0; i < m; i++) {
                const __m256i x = group_of(queries, i);
                sum[i][part] = _mm256_fmadd_ps(even_of(x), even_of(rows), sum[i][part]);
                sum[i][part] = _mm256_fmadd_ps(odd_of(x), odd_of(rows), sum[i][part]);
            }
        }
    }
    RAUDO_UNROLL
    for (size_t i = 0; i < m; i++)
        RAUDO_UNROLL
        for (size_t part = 0; part < 4; part++)
            _mm256_storeu_ps(sums + i * stride + 8 * part, sum[i][part]);
}

RAUDO_DEFINE_DOT_BY_TWO(dot_bf16, uint16_t, uint16_t, float)

/* A byte counts up to 8 a group: it is full after 31. */
enum { BYTE_GROUPS = 31 };

RAUDO_INLINE __m256i popcount_bytes(__m256i v)
{
    const __m256i of_nibble = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, /**/
                                               0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i low = _mm256_and_si256(v, nibble);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
    return _mm256_add_epi8(_mm256_shuffle_epi8(of_nibble, low), _mm256_shuffle_epi8(of_nibble, high));
}

RAUDO_INLINE void dot_bits_of(size_t n_groups, const size_t m, const uint8_t *queries,
                              const uint8_t *panel, int32_t *sums, size_t stride)
{
    RAUDO_UNROLL
    for (size_t i = 0; i < m; i++)
        memset(sums + i * stride, 0, RAUDO_PANEL_ROWS * sizeof *sums);
    for (size_t done = 0; done < n_groups; done += BYTE_GROUPS) {
        const size_t end = n_groups - done < BYTE_GROUPS ? n_groups : done + BYTE_GROUPS;
        __m256i count[2][4];
        RAUDO_UNROLL
        for (size_t i = 0; i < m; i++)
            count[i][0] = count[i][1] = count[i][2] = count[i][3] = _mm256_setzero_si256();
        for (size_t g = done; g < end; g++) {
            RAUDO_UNROLL
            for (size_t part = 0; part < 4; part++) {
                const __m256i rows = load(panel + g * 128 + 32 * part);
                RAUDO_UNROLL
                for (size_t i = 0; i < m; i++)
                    count[i][part] = _mm256_add_epi8(
                        count[i][part], popcount_bytes(_mm256_and_si256(
                                            rows, group_of(queries, g * RAUDO_PANEL_QUERIES + i))));
            }
        }
        RAUDO_UNROLL
        for (size_t i = 0; i < m; i++)
            RAUDO_UNROLL
            for (size_t part = 0; part < 4; part++) {
                __m256i *out = (__m256i *)(void *)(sums + i * stride + 8 * part);
                const __m256i pairs = _mm256_maddubs_epi16(count[i][part], _mm256_set1_epi8(1));
                const __m256i more = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
                _mm256_storeu_si256(out, _mm256_add_epi32(load(out), more));
            }
    }
}

RAUDO_DEFINE_DOT_BY_TWO(dot_bits, uint8_t, uint8_t, int32_t)

RAUDO_INLINE unsigned hits_of(__m256 sums, const float *scale, const float *bias, float query_scale,
                              float limit)
{
    const __m256 scales = _mm256_mul_ps(_mm256_set1_ps(query_scale), _mm256_loadu_ps(scale));
    const __m256 key = _mm256_fnmadd_ps(scales, sums, _mm256_loadu_ps(bias));
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(key, _mm256_set1_ps(limit), _CMP_NGT_UQ));
}
RAUDO_INLINE __m256 floats_i8(const int32_t *sums) { return _mm256_cvtepi32_ps(load(sums)); }
RAUDO_INLINE __m256 floats_bf16(const float *sums) { return _mm256_loadu_ps(sums); }
RAUDO_DEFINE_SIFTS(8)

const raudo_panel_kernels raudo_panel_avx2 = {
    .outruns_float32 = 0,
    .dot_bf16 = dot_bf16,
    RAUDO_PANEL_ALIKE,
};

RAUDO_TARGET_END
#else
typedef int raudo_no_panel_avx2; /* a translation unit may not be empty */
#endif
