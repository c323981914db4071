/* AVX-512 of Ice Lake, Zen 4 and later. Tails are masked loads; tiles fill 24 of the 32 registers
 * with accumulators, so that each pair of base vectors feeds 24 multiply-adds. */
#include "distance/distance.h"

#include "cpu.h"
#include "target.h"

#if RAUDO_COMPILES_AVX512
RAUDO_TARGET_AVX512
#include "distance/plain.h"
#include "distance/strip.h"

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

RAUDO_DEFINE_STRIPS(float, f32, avx512, __m512, 16, 6)
RAUDO_DEFINE_STRIPS(double, f64, avx512, __m512d, 8, 6)

RAUDO_INLINE __m512d load_wide_f32(const float *p, size_t n)
{
    return _mm512_cvtps_pd(n < 8 ? _mm256_maskz_loadu_ps(MASK8(n), p) : _mm256_loadu_ps(p));
}
RAUDO_INLINE __m512d load_wide_f64(const double *p, size_t n)
{
    return n < 8 ? load_first_f64(p, n) : _mm512_loadu_pd(p);
}

/* The three sums in double, for float32 too: 1 - cos of near rows would otherwise be all rounding. */
#define DEFINE_COSINE(real, type)                                                                 \
    RAUDO_INLINE double cosine_##type(const real *a, const real *b, size_t d)                     \
    {                                                                                             \
        __m512d ab = _mm512_setzero_pd(), aa = ab, bb = ab;                                       \
        for (size_t k = 0; k < d; k += 8) {                                                       \
            const __m512d x = load_wide_##type(a + k, d - k);                                     \
            const __m512d y = load_wide_##type(b + k, d - k);                                     \
            ab = _mm512_fmadd_pd(x, y, ab);                                                       \
            aa = _mm512_fmadd_pd(x, x, aa);                                                       \
            bb = _mm512_fmadd_pd(y, y, bb);                                                       \
        }                                                                                         \
        return cosine_of_sums(_mm512_reduce_add_pd(ab), _mm512_reduce_add_pd(aa),                 \
                              _mm512_reduce_add_pd(bb));                                          \
    }
DEFINE_COSINE(float, f32)
DEFINE_COSINE(double, f64)

RAUDO_INLINE int64_t sum_i32(__m512i v)
{
    return _mm512_reduce_add_epi64(
        _mm512_add_epi64(_mm512_cvtepi32_epi64(_mm512_castsi512_si256(v)),
                         _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(v, 1))));
}

RAUDO_INLINE __m512i load_i16(const int8_t *p)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

/* A 32-bit lane gains at most 2 * 255^2 a step: sums are taken out every 8192 steps. */
enum { I8_LANES = 32, I8_BLOCK = 8192 * I8_LANES };

#define DEFINE_SUM_I8(name, subtract)                                                             \
    RAUDO_INLINE double name##_i8(const int8_t *a, const int8_t *b, size_t d)                     \
    {                                                                                             \
        int64_t total = 0;                                                                        \
        size_t k = 0;                                                                             \
        while (d - k >= I8_LANES) {                                                               \
            const size_t end = d - k < I8_BLOCK ? d - I8_LANES : k + I8_BLOCK - I8_LANES;         \
            __m512i sum = _mm512_setzero_si512();                                                 \
            for (; k <= end; k += I8_LANES) {                                                     \
                __m512i x = load_i16(a + k), y = load_i16(b + k);                                 \
                if (subtract)                                                                     \
                    x = y = _mm512_sub_epi16(x, y);                                               \
                sum = _mm512_add_epi32(sum, _mm512_madd_epi16(x, y));                             \
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
    static void raudo_##name##_bits_avx512(const void *query, const void *rows, size_t n,         \
                                           size_t stride, size_t d, void *out)                    \
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
#define RAUDO_METRIC(name, type, input, output) RAUDO_DEFINE_ROWS(name##_##type, avx512, input, output)
#include "distance/metrics.def"

/* --- tiles -------------------------------------------------------------------------------- */

enum { TILE_ROWS = 12, PANEL_F32 = 32, PANEL_F64 = 16 };

/* Cityblock has one more value alive per step, which the eight spare registers hold. */
#define DEFINE_TILE(name, real, type, vector, suffix, lanes)                                      \
    static void name##_tile_##type(size_t d, const real *a, const real *b, real *c,               \
                                   size_t stride, int add)                                        \
    {                                                                                             \
        vector sum[TILE_ROWS][2];                                                                 \
        RAUDO_UNROLL                                                                              \
        for (size_t i = 0; i < TILE_ROWS; i++)                                                    \
            sum[i][0] = sum[i][1] = _mm512_setzero_##suffix();                                    \
        for (size_t k = 0; k < d; k++, a += TILE_ROWS, b += 2 * lanes) {                          \
            const vector b0 = _mm512_loadu_##suffix(b), b1 = _mm512_loadu_##suffix(b + lanes);    \
            RAUDO_UNROLL                                                                          \
            for (size_t i = 0; i < TILE_ROWS; i++) {                                              \
                const vector x = _mm512_set1_##suffix(a[i]);                                      \
                sum[i][0] = name##_step_##type(sum[i][0], x, b0);                                 \
                sum[i][1] = name##_step_##type(sum[i][1], x, b1);                                 \
            }                                                                                     \
        }                                                                                         \
        RAUDO_UNROLL                                                                              \
        for (size_t i = 0; i < TILE_ROWS; i++, c += stride) {                                     \
            if (add) {                                                                            \
                sum[i][0] = _mm512_add_##suffix(sum[i][0], _mm512_loadu_##suffix(c));             \
                sum[i][1] = _mm512_add_##suffix(sum[i][1], _mm512_loadu_##suffix(c + lanes));     \
            }                                                                                     \
            _mm512_storeu_##suffix(c, sum[i][0]);                                                 \
            _mm512_storeu_##suffix(c + lanes, sum[i][1]);                                         \
        }                                                                                         \
    }
DEFINE_TILE(inner, float, f32, __m512, ps, 16)
DEFINE_TILE(inner, double, f64, __m512d, pd, 8)
DEFINE_TILE(cityblock, float, f32, __m512, ps, 16)
DEFINE_TILE(cityblock, double, f64, __m512d, pd, 8)

/* --- around the tiles --------------------------------------------------------------------- */

#define DEFINE_SELECT(real, type, vector, suffix, lanes)                                          \
    static size_t select_##type(const real *value, const real *bias, real sign, real limit,       \
                                size_t n, uint32_t *found)                                        \
    {                                                                                             \
        const vector signs = _mm512_set1_##suffix(sign), limits = _mm512_set1_##suffix(limit);    \
        size_t n_found = 0, j = 0;                                                                \
        for (; j + lanes <= n; j += lanes) {                                                      \
            const vector key = _mm512_fmadd_##suffix(signs, _mm512_loadu_##suffix(value + j),     \
                                                     _mm512_loadu_##suffix(bias + j));            \
            unsigned hits = _mm512_cmp_##suffix##_mask(key, limits, _CMP_NGT_UQ);                 \
            for (; hits; hits &= hits - 1)                                                        \
                found[n_found++] = (uint32_t)j + (uint32_t)__builtin_ctz(hits);                   \
        }                                                                                         \
        for (; j < n; j++)                                                                        \
            if (!(bias[j] + sign * value[j] > limit))                                             \
                found[n_found++] = (uint32_t)j;                                                   \
        return n_found;                                                                           \
    }
DEFINE_SELECT(float, f32, __m512, ps, 16)
DEFINE_SELECT(double, f64, __m512d, pd, 8)

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

static void pack_f32(const float *rows, size_t n, size_t stride, size_t d, const float *shift,
                     size_t width, float *panel)
{
    size_t k = 0;
    if (n == PANEL_F32 && width == PANEL_F32)
        for (; k + 16 <= d; k += 16) {
            const __m512 offset = shift ? _mm512_loadu_ps(shift + k) : _mm512_setzero_ps();
            for (size_t j = 0; j < PANEL_F32; j += 16) {
                __m512 r[16];
                RAUDO_UNROLL
                for (size_t i = 0; i < 16; i++)
                    r[i] = _mm512_sub_ps(_mm512_loadu_ps(rows + (j + i) * stride + k), offset);
                transpose_f32(r);
                RAUDO_UNROLL
                for (size_t i = 0; i < 16; i++)
                    _mm512_storeu_ps(panel + (k + i) * PANEL_F32 + j, r[i]);
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
DEFINE_ROOT(float, f32, 16, _mm512_loadu_ps, _mm512_sqrt_ps, _mm512_storeu_ps)
DEFINE_ROOT(double, f64, 8, _mm512_loadu_pd, _mm512_sqrt_pd, _mm512_storeu_pd)

const raudo_kernels raudo_kernels_avx512 = {
    .isa = "avx512",
    .needs = RAUDO_CPU_AVX512,
    .f32 = {TILE_ROWS, PANEL_F32, inner_tile_f32, cityblock_tile_f32, select_f32, pack_f32,
            expand_f32, cosine_finish_f32, root_f32},
    .f64 = {TILE_ROWS, PANEL_F64, inner_tile_f64, cityblock_tile_f64, select_f64, pack_f64,
            expand_f64, cosine_finish_f64, root_f64},
    .rows =
        {
#define RAUDO_SCALAR_METRIC(...)
#define RAUDO_METRIC(name, type, input, output)                                                   \
    [RAUDO_##name##_##type] = raudo_##name##_##type##_avx512,
#include "distance/metrics.def"
        },
    .strips =
        {
#define RAUDO_SCALAR_METRIC(...)
#define RAUDO_METRIC(...)
#define RAUDO_STRIP_METRIC(name, type, input, output)                                             \
    [RAUDO_##name##_##type] = raudo_strip_##name##_##type##_avx512,
#include "distance/metrics.def"
        },
};

RAUDO_TARGET_END
#else
typedef int raudo_no_avx512; /* a translation unit may not be empty */
#endif
