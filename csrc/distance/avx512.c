/* AVX-512 of Ice Lake, Zen 4 and later. Tails are masked loads; tiles fill 24 of the 32 registers
 * with accumulators, so that each pair of base vectors feeds 24 multiply-adds. */
#include "distance/distance.h"

#include "cpu.h"
#include "target.h"

#if RAUDO_COMPILES_AVX512
RAUDO_TARGET_AVX512
#include "distance/plain.h"
#include "distance/rows.h"
#include "distance/strip.h"
#include "distance/tile.h"

/* --- rows --------------------------------------------------------------------------------- */

#define MASK16(n) ((__mmask16)((1u << (n)) - 1u))           /* n < 16 */
#define MASK8(n) ((__mmask8)((1u << (n)) - 1u))             /* n < 8 */
#define MASK64(n) ((__mmask64)(((uint64_t)1 << (n)) - 1u)) /* n < 64 */

RAUDO_INLINE __m512 zero_f32(void) { return _mm512_setzero_ps(); }
RAUDO_INLINE __m512d zero_f64(void) { return _mm512_setzero_pd(); }
RAUDO_INLINE __m512 load_f32(const float *p) { return _mm512_loadu_ps(p); }
RAUDO_INLINE __m512d load_f64(const double *p) { return _mm512_loadu_pd(p); }
RAUDO_INLINE __m512 load_first_f32(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(MASK16(n), p);
}
RAUDO_INLINE __m512d load_first_f64(const double *p, size_t n)
{
    return _mm512_maskz_loadu_pd(MASK8(n), p);
}

RAUDO_INLINE __m512 inner_step_f32(__m512 s, __m512 a, __m512 b)
{
    return _mm512_fmadd_ps(a, b, s);
}
RAUDO_INLINE __m512 sqeuclidean_step_f32(__m512 s, __m512 a, __m512 b)
{
    const __m512 difference = _mm512_sub_ps(a, b);
    return _mm512_fmadd_ps(difference, difference, s);
}
/* Added by a multiply-add: Zen has two units for those beside the two that subtract. */
RAUDO_INLINE __m512 cityblock_step_f32(__m512 s, __m512 a, __m512 b)
{
    return _mm512_fmadd_ps(_mm512_abs_ps(_mm512_sub_ps(a, b)), _mm512_set1_ps(1), s);
}
RAUDO_INLINE __m512d inner_step_f64(__m512d s, __m512d a, __m512d b)
{
    return _mm512_fmadd_pd(a, b, s);
}
RAUDO_INLINE __m512d sqeuclidean_step_f64(__m512d s, __m512d a, __m512d b)
{
    const __m512d difference = _mm512_sub_pd(a, b);
    return _mm512_fmadd_pd(difference, difference, s);
}
RAUDO_INLINE __m512d cityblock_step_f64(__m512d s, __m512d a, __m512d b)
{
    return _mm512_fmadd_pd(_mm512_abs_pd(_mm512_sub_pd(a, b)), _mm512_set1_pd(1), s);
}

/* The sums of four vectors: pairs of vectors are folded into one until all four lie side by side. */
RAUDO_INLINE void reduce_f32(const __m512 v[4], float *sums)
{
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
    const __m512 all =
        _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
RAUDO_INLINE void reduce_f64(const __m512d v[4], double *sums)
{
    const __m512d ab = _mm512_add_pd(_mm512_unpacklo_pd(v[0], v[1]), _mm512_unpackhi_pd(v[0], v[1]));
    const __m512d cd = _mm512_add_pd(_mm512_unpacklo_pd(v[2], v[3]), _mm512_unpackhi_pd(v[2], v[3]));
    const __m256d x = _mm256_add_pd(_mm512_castpd512_pd256(ab), _mm512_extractf64x4_pd(ab, 1));
    const __m256d y = _mm256_add_pd(_mm512_castpd512_pd256(cd), _mm512_extractf64x4_pd(cd, 1));
    _mm256_storeu_pd(sums, _mm256_add_pd(_mm256_permute2f128_pd(x, y, 0x20),
                                         _mm256_permute2f128_pd(x, y, 0x31)));
}

RAUDO_DEFINE_STRIPS(float, f32, __m512, 16, 6)
RAUDO_DEFINE_STRIPS(double, f64, __m512d, 8, 6)

RAUDO_INLINE __m512d load_wide_f32(const float *p, size_t n)
{
    return _mm512_cvtps_pd(n < 8 ? _mm256_maskz_loadu_ps(MASK8(n), p) : _mm256_loadu_ps(p));
}
RAUDO_INLINE __m512d load_wide_f64(const double *p, size_t n)
{
    return n < 8 ? load_first_f64(p, n) : _mm512_loadu_pd(p);
}

RAUDO_INLINE double sum_f64(__m512d v) { return _mm512_reduce_add_pd(v); }
RAUDO_DEFINE_COSINE(float, f32, __m512d, 8)
RAUDO_DEFINE_COSINE(double, f64, __m512d, 8)

RAUDO_INLINE int64_t sum_i32(__m512i v)
{
    return _mm512_reduce_add_epi64(
        _mm512_add_epi64(_mm512_cvtepi32_epi64(_mm512_castsi512_si256(v)),
                         _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(v, 1))));
}

RAUDO_INLINE __m512i zero_i32(void) { return _mm512_setzero_si512(); }
RAUDO_INLINE __m512i load_i8(const int8_t *p) /* in 16 bits each */
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

/* A 32-bit lane gains at most 2 * 255^2 a step: sums are taken out every 8192 steps. */
enum { I8_LANES = 32, I8_BLOCK = 8192 * I8_LANES };

RAUDO_INLINE __m512i inner_step_i8(__m512i s, __m512i x, __m512i y)
{
    return _mm512_add_epi32(s, _mm512_madd_epi16(x, y));
}
RAUDO_INLINE __m512i sqeuclidean_step_i8(__m512i s, __m512i x, __m512i y)
{
    const __m512i difference = _mm512_sub_epi16(x, y);
    return _mm512_add_epi32(s, _mm512_madd_epi16(difference, difference));
}
RAUDO_DEFINE_SUM_I8(inner, __m512i, 0)
RAUDO_DEFINE_SUM_I8(sqeuclidean, __m512i, 1)

RAUDO_INLINE __m512i load_bytes(const uint8_t *p, size_t n)
{
    return n < 64 ? _mm512_maskz_loadu_epi8(MASK64(n), p) : _mm512_loadu_si512(p);
}

/* The sums of eight vectors of eight: pairs are folded into one until all lie side by side. */
RAUDO_INLINE __m512i fold_pair(__m512i a, __m512i b)
{
    return _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}
RAUDO_INLINE __m512d sums_of_eight(const __m512i v[8])
{
    const __m512i v01 = fold_pair(v[0], v[1]), v23 = fold_pair(v[2], v[3]);
    const __m512i v45 = fold_pair(v[4], v[5]), v67 = fold_pair(v[6], v[7]);
    const __m512i low = _mm512_add_epi64(_mm512_shuffle_i64x2(v01, v23, 0x44),
                                         _mm512_shuffle_i64x2(v01, v23, 0xee));
    const __m512i high = _mm512_add_epi64(_mm512_shuffle_i64x2(v45, v67, 0x44),
                                          _mm512_shuffle_i64x2(v45, v67, 0xee));
    return _mm512_cvtepi64_pd(_mm512_add_epi64(_mm512_shuffle_i64x2(low, high, 0x88),
                                               _mm512_shuffle_i64x2(low, high, 0xdd)));
}

/* Bits that `query` and each of eight rows have in common, and differ in. */
RAUDO_INLINE void count_bits(const uint8_t *query, const uint8_t *rows, const size_t n, size_t stride,
                             size_t d, __m512d *n_both, __m512d *n_differ)
{
    __m512i both[8], differ[8];
    RAUDO_UNROLL
    for (size_t j = 0; j < 8; j++)
        both[j] = differ[j] = _mm512_setzero_si512();
    for (size_t k = 0; k < d; k += 64) {
        const __m512i x = load_bytes(query + k, d - k);
        RAUDO_UNROLL
        for (size_t j = 0; j < n; j++) {
            const __m512i y = load_bytes(rows + j * stride + k, d - k);
            if (n_both)
                both[j] = _mm512_add_epi64(both[j], _mm512_popcnt_epi64(_mm512_and_si512(x, y)));
            differ[j] = _mm512_add_epi64(differ[j], _mm512_popcnt_epi64(_mm512_xor_si512(x, y)));
        }
    }
    if (n_both)
        *n_both = sums_of_eight(both);
    *n_differ = sums_of_eight(differ);
}

RAUDO_INLINE void hamming_of(const uint8_t *query, const uint8_t *rows, const size_t n, size_t stride,
                             size_t d, double *out)
{
    __m512d differ;
    count_bits(query, rows, n, stride, d, NULL, &differ);
    _mm512_storeu_pd(out, differ);
}

RAUDO_INLINE void jaccard_of(const uint8_t *query, const uint8_t *rows, const size_t n, size_t stride,
                             size_t d, double *out)
{
    double n_both[8], n_differ[8];
    __m512d both, differ;
    count_bits(query, rows, n, stride, d, &both, &differ);
    _mm512_storeu_pd(n_both, both);
    _mm512_storeu_pd(n_differ, differ);
    for (size_t j = 0; j < 8; j++)
        out[j] = n_differ[j] / (n_both[j] + n_differ[j] > 0 ? n_both[j] + n_differ[j] : 1);
}

#define DEFINE_ROWS_BITS(name)                                                                    \
    static void rows_##name##_bits(const void *query, const void *rows, size_t n, size_t stride,  \
                                   size_t d, void *out)                                           \
    {                                                                                             \
        const uint8_t *row = rows;                                                                \
        double *result = out, some[8];                                                            \
        for (; n >= 8; n -= 8, row += 8 * stride, result += 8)                                    \
            name##_of(query, row, 8, stride, d, result);                                          \
        for (; n; n--, row += stride) {                                                           \
            name##_of(query, row, 1, stride, d, some);                                            \
            *result++ = some[0];                                                                  \
        }                                                                                         \
    }
DEFINE_ROWS_BITS(hamming)
DEFINE_ROWS_BITS(jaccard)

#define RAUDO_SCALAR_METRIC(...)
#define RAUDO_STRIP_METRIC(...)
#define RAUDO_BITS_METRIC(...) /* above */
#define RAUDO_METRIC(name, type, input, output) RAUDO_DEFINE_ROWS(name##_##type, input, output)
#include "distance/metrics.def"

/* --- tiles -------------------------------------------------------------------------------- */

enum { TILE_ROWS = 12, TILE_VECTORS = 2, PANEL_F32 = 16 * TILE_VECTORS, PANEL_F64 = 8 * TILE_VECTORS };

RAUDO_INLINE __m512 all_f32(float x) { return _mm512_set1_ps(x); }
RAUDO_INLINE void store_f32(float *p, __m512 v) { _mm512_storeu_ps(p, v); }
RAUDO_INLINE __m512 add_f32(__m512 v, __m512 w) { return _mm512_add_ps(v, w); }
RAUDO_INLINE __m512 root_of_f32(__m512 v) { return _mm512_sqrt_ps(v); }
RAUDO_INLINE __m512 subtract_f32(__m512 v, __m512 w) { return _mm512_sub_ps(v, w); }
RAUDO_INLINE __m512d all_f64(double x) { return _mm512_set1_pd(x); }
RAUDO_INLINE void store_f64(double *p, __m512d v) { _mm512_storeu_pd(p, v); }
RAUDO_INLINE __m512d add_f64(__m512d v, __m512d w) { return _mm512_add_pd(v, w); }
RAUDO_INLINE __m512d root_of_f64(__m512d v) { return _mm512_sqrt_pd(v); }

/* Cityblock has one more value alive per step, which the eight spare registers hold. */
RAUDO_DEFINE_TILE(inner, float, f32, __m512, 16, TILE_ROWS)
RAUDO_DEFINE_TILE(inner, double, f64, __m512d, 8, TILE_ROWS)
RAUDO_DEFINE_TILE(cityblock, float, f32, __m512, 16, TILE_ROWS)
RAUDO_DEFINE_TILE(cityblock, double, f64, __m512d, 8, TILE_ROWS)

/* --- around the tiles --------------------------------------------------------------------- */

RAUDO_INLINE unsigned hits_f32(const float *value, const float *bias, __m512 signs, __m512 limits)
{
    const __m512 key = _mm512_fmadd_ps(signs, load_f32(value), load_f32(bias));
    return _mm512_cmp_ps_mask(key, limits, _CMP_NGT_UQ);
}
RAUDO_INLINE unsigned hits_f64(const double *value, const double *bias, __m512d signs, __m512d limits)
{
    const __m512d key = _mm512_fmadd_pd(signs, load_f64(value), load_f64(bias));
    return _mm512_cmp_pd_mask(key, limits, _CMP_NGT_UQ);
}
RAUDO_DEFINE_SELECT(float, f32, __m512, 16)
RAUDO_DEFINE_SELECT(double, f64, __m512d, 8)

/* Rows r[0..15] of 16 elements to columns. */
RAUDO_INLINE void transpose_f32(__m512 r[16])
{
    __m512 t[16];
    RAUDO_UNROLL
    for (size_t i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    RAUDO_UNROLL
    for (size_t i = 0; i < 16; i += 4) { /* r[i + c]: the columns c, c + 4, c + 8, c + 12 of four rows */
        r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    RAUDO_UNROLL
    for (size_t c = 0; c < 4; c++) {
        const __m512 low0 = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x88);
        const __m512 high0 = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xdd);
        const __m512 low1 = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x88);
        const __m512 high1 = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xdd);
        t[c] = _mm512_shuffle_f32x4(low0, low1, 0x88);
        t[4 + c] = _mm512_shuffle_f32x4(high0, high1, 0x88);
        t[8 + c] = _mm512_shuffle_f32x4(low0, low1, 0xdd);
        t[12 + c] = _mm512_shuffle_f32x4(high0, high1, 0xdd);
    }
    RAUDO_UNROLL
    for (size_t i = 0; i < 16; i++)
        r[i] = t[i];
}

RAUDO_DEFINE_PACK_BY_SQUARES(float, f32, __m512, 16)
RAUDO_DEFINE_PACK(double, f64)
RAUDO_DEFINE_ROOT(float, f32, 16)
RAUDO_DEFINE_ROOT(double, f64, 8)

const raudo_kernels raudo_kernels_avx512 = {
    .isa = "avx512",
    .needs = RAUDO_CPU_AVX512,
#include "distance/column.h"
};

RAUDO_TARGET_END
#else
typedef int raudo_no_avx512; /* a translation unit may not be empty */
#endif
