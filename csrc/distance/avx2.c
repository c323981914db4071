/* AVX2 + FMA. Strips of three queries keep twelve accumulators, and tiles fill 12 of the 16 registers with accumulators. */
#include "distance/distance.h"

#include <string.h>

#include "cpu.h"
#include "target.h"

#if RAUDO_COMPILES_AVX2
RAUDO_TARGET_AVX2
#include "distance/plain.h"
#include "distance/rows.h"
#include "distance/strip.h"
#include "distance/tile.h"

/* --- rows --------------------------------------------------------------------------------- */

static const int32_t FIRST[16] = {-1, -1, -1, -1, -1, -1, -1, -1}; /* then zeros */

RAUDO_INLINE __m256i first_f32(size_t n) /* mask of the first n < 8 lanes */
{
    return _mm256_loadu_si256((const __m256i *)(const void *)(FIRST + 8 - n));
}

RAUDO_INLINE __m256i first_f64(size_t n) /* n < 4 */
{
    return _mm256_loadu_si256((const __m256i *)(const void *)(FIRST + 8 - 2 * n));
}

RAUDO_INLINE double sum_f64(__m256d v)
{
    const __m128d half = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
}

RAUDO_INLINE __m256 zero_f32(void) { return _mm256_setzero_ps(); }
RAUDO_INLINE __m256d zero_f64(void) { return _mm256_setzero_pd(); }
RAUDO_INLINE __m256 load_f32(const float *p) { return _mm256_loadu_ps(p); }
RAUDO_INLINE __m256d load_f64(const double *p) { return _mm256_loadu_pd(p); }
RAUDO_INLINE __m256 load_first_f32(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, first_f32(n));
}
RAUDO_INLINE __m256d load_first_f64(const double *p, size_t n)
{
    return _mm256_maskload_pd(p, first_f64(n));
}

#define ABS_PS(x) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x)
#define ABS_PD(x) _mm256_andnot_pd(_mm256_set1_pd(-0.0), x)

RAUDO_INLINE __m256 inner_step_f32(__m256 s, __m256 a, __m256 b)
{
    return _mm256_fmadd_ps(a, b, s);
}
RAUDO_INLINE __m256 sqeuclidean_step_f32(__m256 s, __m256 a, __m256 b)
{
    const __m256 difference = _mm256_sub_ps(a, b);
    return _mm256_fmadd_ps(difference, difference, s);
}
/* Added by a multiply-add: Zen has two units for those beside the two that subtract. */
RAUDO_INLINE __m256 cityblock_step_f32(__m256 s, __m256 a, __m256 b)
{
    return _mm256_fmadd_ps(ABS_PS(_mm256_sub_ps(a, b)), _mm256_set1_ps(1), s);
}
RAUDO_INLINE __m256d inner_step_f64(__m256d s, __m256d a, __m256d b)
{
    return _mm256_fmadd_pd(a, b, s);
}
RAUDO_INLINE __m256d sqeuclidean_step_f64(__m256d s, __m256d a, __m256d b)
{
    const __m256d difference = _mm256_sub_pd(a, b);
    return _mm256_fmadd_pd(difference, difference, s);
}
RAUDO_INLINE __m256d cityblock_step_f64(__m256d s, __m256d a, __m256d b)
{
    return _mm256_fmadd_pd(ABS_PD(_mm256_sub_pd(a, b)), _mm256_set1_pd(1), s);
}

/* The sums of four vectors: pairs of vectors are folded into one until all four lie side by side. */
RAUDO_INLINE void reduce_f32(const __m256 v[4], float *sums)
{
    const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(v[0], v[1]), _mm256_unpackhi_ps(v[0], v[1]));
    const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(v[2], v[3]), _mm256_unpackhi_ps(v[2], v[3]));
    const __m256 all =
        _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
}
RAUDO_INLINE void reduce_f64(const __m256d v[4], double *sums)
{
    const __m256d x = _mm256_add_pd(_mm256_unpacklo_pd(v[0], v[1]), _mm256_unpackhi_pd(v[0], v[1]));
    const __m256d y = _mm256_add_pd(_mm256_unpacklo_pd(v[2], v[3]), _mm256_unpackhi_pd(v[2], v[3]));
    _mm256_storeu_pd(sums, _mm256_add_pd(_mm256_permute2f128_pd(x, y, 0x20),
                                         _mm256_permute2f128_pd(x, y, 0x31)));
}

RAUDO_DEFINE_STRIPS(float, f32, __m256, 8, 3)
RAUDO_DEFINE_STRIPS(double, f64, __m256d, 4, 3)

RAUDO_INLINE __m256d load_wide_f32(const float *p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
RAUDO_INLINE __m256d load_wide_f64(const double *p) { return _mm256_loadu_pd(p); }
RAUDO_INLINE __m256d load_wide_first_f32(const float *p, size_t n)
{
    return _mm256_cvtps_pd(_mm_maskload_ps(p, _mm256_castsi256_si128(first_f32(n))));
}
RAUDO_INLINE __m256d load_wide_first_f64(const double *p, size_t n) { return load_first_f64(p, n); }

/* The three sums in double, for float32 too: 1 - cos of near rows would otherwise be all rounding. */
#define DEFINE_COSINE(real, type)                                                                 \
    RAUDO_INLINE double cosine_##type(const real *a, const real *b, size_t d)                     \
    {                                                                                             \
        __m256d ab = _mm256_setzero_pd(), aa = ab, bb = ab, ab1 = ab, aa1 = ab, bb1 = ab;         \
        size_t k = 0;                                                                             \
        for (; k + 8 <= d; k += 8) {                                                              \
            const __m256d x = load_wide_##type(a + k), x1 = load_wide_##type(a + k + 4);          \
            const __m256d y = load_wide_##type(b + k), y1 = load_wide_##type(b + k + 4);          \
            ab = _mm256_fmadd_pd(x, y, ab);                                                       \
            aa = _mm256_fmadd_pd(x, x, aa);                                                       \
            bb = _mm256_fmadd_pd(y, y, bb);                                                       \
            ab1 = _mm256_fmadd_pd(x1, y1, ab1);                                                   \
            aa1 = _mm256_fmadd_pd(x1, x1, aa1);                                                   \
            bb1 = _mm256_fmadd_pd(y1, y1, bb1);                                                   \
        }                                                                                         \
        for (; k < d; k += 4) {                                                                   \
            const size_t left = d - k;                                                            \
            const __m256d x = left < 4 ? load_wide_first_##type(a + k, left) : load_wide_##type(a + k); \
            const __m256d y = left < 4 ? load_wide_first_##type(b + k, left) : load_wide_##type(b + k); \
            ab = _mm256_fmadd_pd(x, y, ab);                                                       \
            aa = _mm256_fmadd_pd(x, x, aa);                                                       \
            bb = _mm256_fmadd_pd(y, y, bb);                                                       \
        }                                                                                         \
        return cosine_of_sums(sum_f64(_mm256_add_pd(ab, ab1)), sum_f64(_mm256_add_pd(aa, aa1)),   \
                              sum_f64(_mm256_add_pd(bb, bb1)));                                   \
    }
DEFINE_COSINE(float, f32)
DEFINE_COSINE(double, f64)

RAUDO_INLINE int64_t sum_i32(__m256i v)
{
    const __m256i wide = _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(v)),
                                          _mm256_cvtepi32_epi64(_mm256_extracti128_si256(v, 1)));
    const __m128i half =
        _mm_add_epi64(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    return _mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1);
}

RAUDO_INLINE __m256i zero_i32(void) { return _mm256_setzero_si256(); }
RAUDO_INLINE __m256i load_i8(const int8_t *p) /* in 16 bits each */
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* A 32-bit lane gains at most 2 * 255^2 a step: sums are taken out every 8192 steps. */
enum { I8_LANES = 16, I8_BLOCK = 8192 * I8_LANES };

RAUDO_INLINE __m256i inner_step_i8(__m256i s, __m256i x, __m256i y)
{
    return _mm256_add_epi32(s, _mm256_madd_epi16(x, y));
}
RAUDO_INLINE __m256i sqeuclidean_step_i8(__m256i s, __m256i x, __m256i y)
{
    const __m256i difference = _mm256_sub_epi16(x, y);
    return _mm256_add_epi32(s, _mm256_madd_epi16(difference, difference));
}
RAUDO_DEFINE_SUM_I8(inner, __m256i, 0)
RAUDO_DEFINE_SUM_I8(sqeuclidean, __m256i, 1)

/* POPCNT runs on several ports: at these lengths it beats a shuffle look-up. */
RAUDO_INLINE uint64_t load_u64(const uint8_t *p, size_t n_bytes)
{
    uint64_t word = 0;
    memcpy(&word, p, n_bytes);
    return word;
}

RAUDO_INLINE double hamming_bits(const uint8_t *a, const uint8_t *b, size_t d)
{
    long long n0 = 0, n1 = 0;
    size_t k = 0;
    for (; k + 16 <= d; k += 16) {
        n0 += _mm_popcnt_u64(load_u64(a + k, 8) ^ load_u64(b + k, 8));
        n1 += _mm_popcnt_u64(load_u64(a + k + 8, 8) ^ load_u64(b + k + 8, 8));
    }
    for (; k + 8 <= d; k += 8)
        n0 += _mm_popcnt_u64(load_u64(a + k, 8) ^ load_u64(b + k, 8));
    if (k < d)
        n1 += _mm_popcnt_u64(load_u64(a + k, d - k) ^ load_u64(b + k, d - k));
    return (double)(n0 + n1);
}

RAUDO_INLINE double jaccard_bits(const uint8_t *a, const uint8_t *b, size_t d)
{
    long long n_both = 0, n_either = 0;
    for (size_t k = 0; k < d; k += 8) {
        const size_t left = d - k;
        const uint64_t x = left < 8 ? load_u64(a + k, left) : load_u64(a + k, 8);
        const uint64_t y = left < 8 ? load_u64(b + k, left) : load_u64(b + k, 8);
        n_both += _mm_popcnt_u64(x & y);
        n_either += _mm_popcnt_u64(x | y);
    }
    return n_either ? (double)(n_either - n_both) / (double)n_either : 0;
}

#define RAUDO_SCALAR_METRIC(...)
#define RAUDO_STRIP_METRIC(...)
#define RAUDO_METRIC(name, type, input, output) RAUDO_DEFINE_ROWS(name##_##type, input, output)
#include "distance/metrics.def"

/* --- tiles -------------------------------------------------------------------------------- */

enum { TILE_ROWS = 6, TILE_VECTORS = 2, PANEL_F32 = 8 * TILE_VECTORS, PANEL_F64 = 4 * TILE_VECTORS };

RAUDO_INLINE __m256 all_f32(float x) { return _mm256_set1_ps(x); }
RAUDO_INLINE void store_f32(float *p, __m256 v) { _mm256_storeu_ps(p, v); }
RAUDO_INLINE __m256 add_f32(__m256 v, __m256 w) { return _mm256_add_ps(v, w); }
RAUDO_INLINE __m256 root_of_f32(__m256 v) { return _mm256_sqrt_ps(v); }
RAUDO_INLINE __m256 subtract_f32(__m256 v, __m256 w) { return _mm256_sub_ps(v, w); }
RAUDO_INLINE __m256d all_f64(double x) { return _mm256_set1_pd(x); }
RAUDO_INLINE void store_f64(double *p, __m256d v) { _mm256_storeu_pd(p, v); }
RAUDO_INLINE __m256d add_f64(__m256d v, __m256d w) { return _mm256_add_pd(v, w); }
RAUDO_INLINE __m256d root_of_f64(__m256d v) { return _mm256_sqrt_pd(v); }

RAUDO_DEFINE_TILE(inner, float, f32, __m256, 8, TILE_ROWS)
RAUDO_DEFINE_TILE(inner, double, f64, __m256d, 4, TILE_ROWS)
/* Three rows at a time: the sign mask and the differences need registers too. */
RAUDO_DEFINE_TILE(cityblock, float, f32, __m256, 8, 3)
RAUDO_DEFINE_TILE(cityblock, double, f64, __m256d, 4, 3)

/* --- around the tiles --------------------------------------------------------------------- */

RAUDO_INLINE unsigned hits_f32(const float *value, const float *bias, __m256 signs, __m256 limits)
{
    const __m256 key = _mm256_fmadd_ps(signs, load_f32(value), load_f32(bias));
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(key, limits, _CMP_NGT_UQ));
}
RAUDO_INLINE unsigned hits_f64(const double *value, const double *bias, __m256d signs, __m256d limits)
{
    const __m256d key = _mm256_fmadd_pd(signs, load_f64(value), load_f64(bias));
    return (unsigned)_mm256_movemask_pd(_mm256_cmp_pd(key, limits, _CMP_NGT_UQ));
}
RAUDO_DEFINE_SELECT(float, f32, __m256, 8)
RAUDO_DEFINE_SELECT(double, f64, __m256d, 4)

/* Rows r[0..7] of 8 elements to columns. */
RAUDO_INLINE void transpose_f32(__m256 r[8])
{
    __m256 t[8];
    RAUDO_UNROLL
    for (size_t i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    RAUDO_UNROLL
    for (size_t i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    RAUDO_UNROLL
    for (size_t i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    RAUDO_UNROLL
    for (size_t i = 0; i < 8; i++)
        r[i] = t[i];
}

RAUDO_DEFINE_PACK_BY_SQUARES(float, f32, __m256, 8)
RAUDO_DEFINE_PACK(double, f64)
RAUDO_DEFINE_ROOT(float, f32, 8)
RAUDO_DEFINE_ROOT(double, f64, 4)

const raudo_kernels raudo_kernels_avx2 = {
    .isa = "avx2",
    .needs = RAUDO_CPU_AVX2,
#include "distance/column.h"
};

RAUDO_TARGET_END
#else
typedef int raudo_no_avx2; /* a translation unit may not be empty */
#endif
