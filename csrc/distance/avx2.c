/* AVX2 + FMA. Strips of three queries keep twelve accumulators, and tiles fill 12 of the 16 registers with accumulators. */
#include "distance/distance.h"

#include <string.h>

#include "cpu.h"
#include "target.h"

#if RAUDO_COMPILES_AVX2
RAUDO_TARGET_AVX2
#include "distance/plain.h"
#include "distance/strip.h"

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

RAUDO_DEFINE_STRIPS(float, f32, avx2, __m256, 8, 3)
RAUDO_DEFINE_STRIPS(double, f64, avx2, __m256d, 4, 3)

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

RAUDO_INLINE __m256i load_i16(const int8_t *p)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* A 32-bit lane gains at most 2 * 255^2 a step: sums are taken out every 8192 steps. */
enum { I8_LANES = 16, I8_BLOCK = 8192 * I8_LANES };

#define DEFINE_SUM_I8(name, subtract)                                                             \
    RAUDO_INLINE double name##_i8(const int8_t *a, const int8_t *b, size_t d)                     \
    {                                                                                             \
        int64_t total = 0;                                                                        \
        size_t k = 0;                                                                             \
        while (d - k >= I8_LANES) {                                                               \
            const size_t end = d - k < I8_BLOCK ? d - I8_LANES : k + I8_BLOCK - I8_LANES;         \
            __m256i sum = _mm256_setzero_si256();                                                 \
            for (; k <= end; k += I8_LANES) {                                                     \
                __m256i x = load_i16(a + k), y = load_i16(b + k);                                 \
                if (subtract)                                                                     \
                    x = y = _mm256_sub_epi16(x, y);                                               \
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, y));                             \
            }                                                                                     \
            total += sum_i32(sum);                                                                \
        }                                                                                         \
        for (; k < d; k++) {                                                                      \
            const int32_t difference = a[k] - b[k];                                               \
            total += subtract ? difference * difference : a[k] * b[k];                            \
        }                                                                                         \
        return (double)total;                                                                     \
    }
DEFINE_SUM_I8(inner, 0)
DEFINE_SUM_I8(sqeuclidean, 1)

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
#define RAUDO_METRIC(name, type, input, output) RAUDO_DEFINE_ROWS(name##_##type, avx2, input, output)
#include "distance/metrics.def"

/* --- tiles -------------------------------------------------------------------------------- */

enum { TILE_ROWS = 6, PANEL_F32 = 16, PANEL_F64 = 8 };

#define DEFINE_INNER_TILE(real, type, vector, suffix, lanes)                                      \
    static void inner_tile_##type(size_t d, const real *a, const real *b, real *c, size_t stride, \
                                  int add)                                                        \
    {                                                                                             \
        vector sum[TILE_ROWS][2];                                                                 \
        RAUDO_UNROLL                                                                              \
        for (size_t i = 0; i < TILE_ROWS; i++)                                                    \
            sum[i][0] = sum[i][1] = _mm256_setzero_##suffix();                                    \
        for (size_t k = 0; k < d; k++, a += TILE_ROWS, b += 2 * lanes) {                          \
            const vector b0 = _mm256_loadu_##suffix(b), b1 = _mm256_loadu_##suffix(b + lanes);    \
            RAUDO_UNROLL                                                                          \
            for (size_t i = 0; i < TILE_ROWS; i++) {                                              \
                const vector x = _mm256_set1_##suffix(a[i]);                                      \
                sum[i][0] = _mm256_fmadd_##suffix(x, b0, sum[i][0]);                              \
                sum[i][1] = _mm256_fmadd_##suffix(x, b1, sum[i][1]);                              \
            }                                                                                     \
        }                                                                                         \
        RAUDO_UNROLL                                                                              \
        for (size_t i = 0; i < TILE_ROWS; i++, c += stride) {                                     \
            if (add) {                                                                            \
                sum[i][0] = _mm256_add_##suffix(sum[i][0], _mm256_loadu_##suffix(c));             \
                sum[i][1] = _mm256_add_##suffix(sum[i][1], _mm256_loadu_##suffix(c + lanes));     \
            }                                                                                     \
            _mm256_storeu_##suffix(c, sum[i][0]);                                                 \
            _mm256_storeu_##suffix(c + lanes, sum[i][1]);                                         \
        }                                                                                         \
    }
DEFINE_INNER_TILE(float, f32, __m256, ps, 8)
DEFINE_INNER_TILE(double, f64, __m256d, pd, 4)

/* Three rows at a time: the sign mask and the differences need registers too. */
#define DEFINE_CITYBLOCK_TILE(real, type, vector, suffix, lanes)                                  \
    static void cityblock_tile_##type(size_t d, const real *a, const real *b, real *c,            \
                                      size_t stride, int add)                                     \
    {                                                                                             \
        for (size_t half = 0; half < TILE_ROWS; half += 3, c += 3 * stride) {                     \
            const real *x = a + half, *y = b;                                                     \
            vector sum[3][2];                                                                     \
            RAUDO_UNROLL                                                                          \
            for (size_t i = 0; i < 3; i++)                                                        \
                sum[i][0] = sum[i][1] = _mm256_setzero_##suffix();                                \
            for (size_t k = 0; k < d; k++, x += TILE_ROWS, y += 2 * lanes) {                      \
                const vector y0 = _mm256_loadu_##suffix(y), y1 = _mm256_loadu_##suffix(y + lanes); \
                RAUDO_UNROLL                                                                      \
                for (size_t i = 0; i < 3; i++) {                                                  \
                    const vector xi = _mm256_set1_##suffix(x[i]);                                 \
                    sum[i][0] = cityblock_step_##type(sum[i][0], xi, y0);                         \
                    sum[i][1] = cityblock_step_##type(sum[i][1], xi, y1);                         \
                }                                                                                 \
            }                                                                                     \
            RAUDO_UNROLL                                                                          \
            for (size_t i = 0; i < 3; i++) {                                                      \
                real *out = c + i * stride;                                                       \
                if (add) {                                                                        \
                    sum[i][0] = _mm256_add_##suffix(sum[i][0], _mm256_loadu_##suffix(out));       \
                    sum[i][1] = _mm256_add_##suffix(sum[i][1], _mm256_loadu_##suffix(out + lanes)); \
                }                                                                                 \
                _mm256_storeu_##suffix(out, sum[i][0]);                                           \
                _mm256_storeu_##suffix(out + lanes, sum[i][1]);                                   \
            }                                                                                     \
        }                                                                                         \
    }
DEFINE_CITYBLOCK_TILE(float, f32, __m256, ps, 8)
DEFINE_CITYBLOCK_TILE(double, f64, __m256d, pd, 4)

/* --- around the tiles --------------------------------------------------------------------- */

#define DEFINE_SELECT(real, type, vector, suffix, lanes)                                          \
    static size_t select_##type(const real *value, const real *bias, real sign, real limit,       \
                                size_t n, uint32_t *found)                                        \
    {                                                                                             \
        const vector signs = _mm256_set1_##suffix(sign), limits = _mm256_set1_##suffix(limit);    \
        size_t n_found = 0, j = 0;                                                                \
        for (; j + lanes <= n; j += lanes) {                                                      \
            const vector key = _mm256_fmadd_##suffix(signs, _mm256_loadu_##suffix(value + j),     \
                                                     _mm256_loadu_##suffix(bias + j));            \
            unsigned hits = (unsigned)_mm256_movemask_##suffix(                                   \
                _mm256_cmp_##suffix(key, limits, _CMP_NGT_UQ));                                   \
            for (; hits; hits &= hits - 1)                                                        \
                found[n_found++] = (uint32_t)j + (uint32_t)__builtin_ctz(hits);                   \
        }                                                                                         \
        for (; j < n; j++)                                                                        \
            if (!(bias[j] + sign * value[j] > limit))                                             \
                found[n_found++] = (uint32_t)j;                                                   \
        return n_found;                                                                           \
    }
DEFINE_SELECT(float, f32, __m256, ps, 8)
DEFINE_SELECT(double, f64, __m256d, pd, 4)

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

static void pack_f32(const float *rows, size_t n, size_t stride, size_t d, const float *shift,
                     size_t width, float *panel)
{
    size_t k = 0;
    if (n == PANEL_F32 && width == PANEL_F32)
        for (; k + 8 <= d; k += 8) {
            const __m256 offset = shift ? _mm256_loadu_ps(shift + k) : _mm256_setzero_ps();
            for (size_t j = 0; j < PANEL_F32; j += 8) {
                __m256 r[8];
                RAUDO_UNROLL
                for (size_t i = 0; i < 8; i++)
                    r[i] = _mm256_sub_ps(_mm256_loadu_ps(rows + (j + i) * stride + k), offset);
                transpose_f32(r);
                RAUDO_UNROLL
                for (size_t i = 0; i < 8; i++)
                    _mm256_storeu_ps(panel + (k + i) * PANEL_F32 + j, r[i]);
            }
        }
    plain_pack_f32(rows, n, stride, k, d, shift, width, panel);
}

static void pack_f64(const double *rows, size_t n, size_t stride, size_t d, const double *shift,
                     size_t width, double *panel)
{
    plain_pack_f64(rows, n, stride, 0, d, shift, width, panel);
}

#define DEFINE_ROOT(real, type, lanes, load, square_root, store)                                  \
    static void root_##type(real *values, size_t n)                                               \
    {                                                                                             \
        size_t i = 0;                                                                             \
        for (; i + lanes <= n; i += lanes)                                                        \
            store(values + i, square_root(load(values + i)));                                       \
        raudo_kernels_scalar.type.root(values + i, n - i);                                        \
    }
DEFINE_ROOT(float, f32, 8, _mm256_loadu_ps, _mm256_sqrt_ps, _mm256_storeu_ps)
DEFINE_ROOT(double, f64, 4, _mm256_loadu_pd, _mm256_sqrt_pd, _mm256_storeu_pd)

const raudo_kernels raudo_kernels_avx2 = {
    .isa = "avx2",
    .needs = RAUDO_CPU_AVX2,
    .f32 = {TILE_ROWS, PANEL_F32, inner_tile_f32, cityblock_tile_f32, select_f32, pack_f32,
            expand_f32, cosine_finish_f32, root_f32},
    .f64 = {TILE_ROWS, PANEL_F64, inner_tile_f64, cityblock_tile_f64, select_f64, pack_f64,
            expand_f64, cosine_finish_f64, root_f64},
    .rows =
        {
#define RAUDO_SCALAR_METRIC(...)
#define RAUDO_METRIC(name, type, input, output)                                                   \
    [RAUDO_##name##_##type] = raudo_##name##_##type##_avx2,
#include "distance/metrics.def"
        },
    .strips =
        {
#define RAUDO_SCALAR_METRIC(...)
#define RAUDO_METRIC(...)
#define RAUDO_STRIP_METRIC(name, type, input, output)                                             \
    [RAUDO_##name##_##type] = raudo_strip_##name##_##type##_avx2,
#include "distance/metrics.def"
        },
};

RAUDO_TARGET_END
#else
typedef int raudo_no_avx2; /* a translation unit may not be empty */
#endif
