/* Advanced SIMD of 64-bit ARM, part of its baseline. Tiles of 8 x 12 float32 (8 x 6 float64) fill
 * 24 of the 32 registers with accumulators; the query's elements are used lane by lane. */
#include "distance/distance.h"

#include <string.h>

#include "cpu.h"
#include "target.h"

#if RAUDO_COMPILES_NEON
#include "distance/plain.h"
#include "distance/strip.h"

/* --- rows --------------------------------------------------------------------------------- */

RAUDO_INLINE float32x4_t zero_f32(void) { return vdupq_n_f32(0); }
RAUDO_INLINE float64x2_t zero_f64(void) { return vdupq_n_f64(0); }
RAUDO_INLINE float32x4_t load_f32(const float *p) { return vld1q_f32(p); }
RAUDO_INLINE float64x2_t load_f64(const double *p) { return vld1q_f64(p); }
RAUDO_INLINE float32x4_t load_first_f32(const float *p, size_t n) /* the others are zeros */
{
    float lanes[4] = {0};
    memcpy(lanes, p, n * sizeof *p);
    return vld1q_f32(lanes);
}

RAUDO_INLINE float64x2_t load_first_f64(const double *p, size_t n)
{
    double lanes[2] = {0};
    memcpy(lanes, p, n * sizeof *p);
    return vld1q_f64(lanes);
}

RAUDO_INLINE float32x4_t inner_step_f32(float32x4_t s, float32x4_t a, float32x4_t b)
{
    return vfmaq_f32(s, a, b);
}
RAUDO_INLINE float32x4_t sqeuclidean_step_f32(float32x4_t s, float32x4_t a, float32x4_t b)
{
    const float32x4_t difference = vsubq_f32(a, b);
    return vfmaq_f32(s, difference, difference);
}
RAUDO_INLINE float32x4_t cityblock_step_f32(float32x4_t s, float32x4_t a, float32x4_t b)
{
    return vaddq_f32(s, vabdq_f32(a, b));
}
RAUDO_INLINE float64x2_t inner_step_f64(float64x2_t s, float64x2_t a, float64x2_t b)
{
    return vfmaq_f64(s, a, b);
}
RAUDO_INLINE float64x2_t sqeuclidean_step_f64(float64x2_t s, float64x2_t a, float64x2_t b)
{
    const float64x2_t difference = vsubq_f64(a, b);
    return vfmaq_f64(s, difference, difference);
}
RAUDO_INLINE float64x2_t cityblock_step_f64(float64x2_t s, float64x2_t a, float64x2_t b)
{
    return vaddq_f64(s, vabdq_f64(a, b));
}

RAUDO_INLINE void reduce_f32(const float32x4_t v[4], float *sums)
{
    vst1q_f32(sums, vpaddq_f32(vpaddq_f32(v[0], v[1]), vpaddq_f32(v[2], v[3])));
}
RAUDO_INLINE void reduce_f64(const float64x2_t v[4], double *sums)
{
    vst1q_f64(sums, vpaddq_f64(v[0], v[1]));
    vst1q_f64(sums + 2, vpaddq_f64(v[2], v[3]));
}

RAUDO_DEFINE_STRIPS(float, f32, neon, float32x4_t, 4, 4)
RAUDO_DEFINE_STRIPS(double, f64, neon, float64x2_t, 2, 4)

RAUDO_INLINE float64x2_t load_wide_f32(const float *p, size_t n)
{
    float lanes[2] = {p[0], n < 2 ? 0 : p[1]};
    return vcvt_f64_f32(vld1_f32(lanes));
}
RAUDO_INLINE float64x2_t load_wide_f64(const double *p, size_t n)
{
    return n < 2 ? load_first_f64(p, n) : vld1q_f64(p);
}

/* The three sums in double, for float32 too: 1 - cos of near rows would otherwise be all rounding. */
#define DEFINE_COSINE(real, type)                                                                 \
    RAUDO_INLINE double cosine_##type(const real *a, const real *b, size_t d)                     \
    {                                                                                             \
        float64x2_t ab = vdupq_n_f64(0), aa = ab, bb = ab;                                        \
        for (size_t k = 0; k < d; k += 2) {                                                       \
            const float64x2_t x = load_wide_##type(a + k, d - k);                                 \
            const float64x2_t y = load_wide_##type(b + k, d - k);                                 \
            ab = vfmaq_f64(ab, x, y);                                                             \
            aa = vfmaq_f64(aa, x, x);                                                             \
            bb = vfmaq_f64(bb, y, y);                                                             \
        }                                                                                         \
        return cosine_of_sums(vaddvq_f64(ab), vaddvq_f64(aa), vaddvq_f64(bb));                    \
    }
DEFINE_COSINE(float, f32)
DEFINE_COSINE(double, f64)

/* A 32-bit lane gains at most 4 * 255^2 a step: sums are taken out every 4096 steps. */
enum { I8_LANES = 16, I8_BLOCK = 4096 * I8_LANES };

RAUDO_INLINE int32x4_t inner_step_i8(int32x4_t s, int8x16_t x, int8x16_t y)
{
    s = vpadalq_s16(s, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
    return vpadalq_s16(s, vmull_high_s8(x, y));
}

RAUDO_INLINE int32x4_t sqeuclidean_step_i8(int32x4_t s, int8x16_t x, int8x16_t y)
{
    const uint8x16_t difference = vreinterpretq_u8_s8(vabdq_s8(x, y)); /* up to 255, unsigned */
    uint32x4_t sum = vreinterpretq_u32_s32(s);
    sum = vpadalq_u16(sum, vmull_u8(vget_low_u8(difference), vget_low_u8(difference)));
    return vreinterpretq_s32_u32(vpadalq_u16(sum, vmull_high_u8(difference, difference)));
}

#define DEFINE_SUM_I8(name, subtract)                                                             \
    RAUDO_INLINE double name##_i8(const int8_t *a, const int8_t *b, size_t d)                     \
    {                                                                                             \
        int64_t total = 0;                                                                        \
        size_t k = 0;                                                                             \
        while (d - k >= I8_LANES) {                                                               \
            const size_t end = d - k < I8_BLOCK ? d - I8_LANES : k + I8_BLOCK - I8_LANES;         \
            int32x4_t sum = vdupq_n_s32(0);                                                       \
            for (; k <= end; k += I8_LANES)                                                       \
                sum = name##_step_i8(sum, vld1q_s8(a + k), vld1q_s8(b + k));                      \
            total += vaddlvq_s32(sum);                                                            \
        }                                                                                         \
        for (; k < d; k++) {                                                                      \
            const int32_t difference = a[k] - b[k];                                               \
            total += subtract ? difference * difference : a[k] * b[k];                            \
        }                                                                                         \
        return (double)total;                                                                     \
    }
DEFINE_SUM_I8(inner, 0)
DEFINE_SUM_I8(sqeuclidean, 1)

RAUDO_INLINE uint8x16_t load_bytes(const uint8_t *p, size_t n)
{
    uint8_t lanes[16] = {0};
    if (n >= 16)
        return vld1q_u8(p);
    memcpy(lanes, p, n);
    return vld1q_u8(lanes);
}

RAUDO_INLINE uint64_t popcount(uint8x16_t v) { return vaddlvq_u8(vcntq_u8(v)); }

RAUDO_INLINE double hamming_bits(const uint8_t *a, const uint8_t *b, size_t d)
{
    uint64_t n_differ = 0;
    for (size_t k = 0; k < d; k += 16)
        n_differ += popcount(veorq_u8(load_bytes(a + k, d - k), load_bytes(b + k, d - k)));
    return (double)n_differ;
}

RAUDO_INLINE double jaccard_bits(const uint8_t *a, const uint8_t *b, size_t d)
{
    uint64_t n_both = 0, n_either = 0;
    for (size_t k = 0; k < d; k += 16) {
        const uint8x16_t x = load_bytes(a + k, d - k), y = load_bytes(b + k, d - k);
        n_both += popcount(vandq_u8(x, y));
        n_either += popcount(vorrq_u8(x, y));
    }
    return n_either ? (double)(n_either - n_both) / (double)n_either : 0;
}

#define RAUDO_SCALAR_METRIC(...)
#define RAUDO_STRIP_METRIC(...)
#define RAUDO_METRIC(name, type, input, output) RAUDO_DEFINE_ROWS(name##_##type, neon, input, output)
#include "distance/metrics.def"

/* --- tiles -------------------------------------------------------------------------------- */

enum { TILE_ROWS = 8, VECTORS = 3, PANEL_F32 = 4 * VECTORS, PANEL_F64 = 2 * VECTORS };

#define DEFINE_TILE(name, real, type, vector, lanes)                                              \
    static void name##_tile_##type(size_t d, const real *a, const real *b, real *c,               \
                                   size_t stride, int add)                                        \
    {                                                                                             \
        vector sum[TILE_ROWS][VECTORS];                                                           \
        RAUDO_UNROLL                                                                              \
        for (size_t i = 0; i < TILE_ROWS; i++)                                                    \
            sum[i][0] = sum[i][1] = sum[i][2] = vdupq_n_##type(0);                                \
        for (size_t k = 0; k < d; k++, a += TILE_ROWS, b += VECTORS * lanes) {                    \
            const vector b0 = vld1q_##type(b), b1 = vld1q_##type(b + lanes),                      \
                         b2 = vld1q_##type(b + 2 * lanes);                                        \
            RAUDO_UNROLL                                                                          \
            for (size_t i = 0; i < TILE_ROWS; i++) {                                              \
                const vector x = vdupq_n_##type(a[i]);                                            \
                sum[i][0] = name##_step_##type(sum[i][0], x, b0);                                 \
                sum[i][1] = name##_step_##type(sum[i][1], x, b1);                                 \
                sum[i][2] = name##_step_##type(sum[i][2], x, b2);                                 \
            }                                                                                     \
        }                                                                                         \
        RAUDO_UNROLL                                                                              \
        for (size_t i = 0; i < TILE_ROWS; i++, c += stride) {                                     \
            RAUDO_UNROLL                                                                          \
            for (size_t v = 0; v < VECTORS; v++) {                                                \
                if (add)                                                                          \
                    sum[i][v] = vaddq_##type(sum[i][v], vld1q_##type(c + v * lanes));             \
                vst1q_##type(c + v * lanes, sum[i][v]);                                           \
            }                                                                                     \
        }                                                                                         \
    }
DEFINE_TILE(inner, float, f32, float32x4_t, 4)
DEFINE_TILE(inner, double, f64, float64x2_t, 2)
DEFINE_TILE(cityblock, float, f32, float32x4_t, 4)
DEFINE_TILE(cityblock, double, f64, float64x2_t, 2)

/* --- around the tiles --------------------------------------------------------------------- */

/* Mostly nothing is found: eight values are refused by one test. */
static size_t select_f32(const float *value, const float *bias, float sign, float limit, size_t n,
                         uint32_t *found)
{
    const float32x4_t limits = vdupq_n_f32(limit);
    size_t n_found = 0, j = 0;
    while (j < n) {
        if (j + 8 <= n) {
            const float32x4_t k0 = vfmaq_n_f32(vld1q_f32(bias + j), vld1q_f32(value + j), sign);
            const float32x4_t k1 =
                vfmaq_n_f32(vld1q_f32(bias + j + 4), vld1q_f32(value + j + 4), sign);
            if (vminvq_u32(vandq_u32(vcgtq_f32(k0, limits), vcgtq_f32(k1, limits)))) {
                j += 8;
                continue;
            }
        }
        for (const size_t end = j + 8 < n ? j + 8 : n; j < end; j++)
            if (!(bias[j] + sign * value[j] > limit))
                found[n_found++] = (uint32_t)j;
    }
    return n_found;
}

static size_t select_f64(const double *value, const double *bias, double sign, double limit,
                         size_t n, uint32_t *found)
{
    size_t n_found = 0;
    for (size_t j = 0; j < n; j++)
        if (!(bias[j] + sign * value[j] > limit))
            found[n_found++] = (uint32_t)j;
    return n_found;
}

static void pack_f32(const float *rows, size_t n, size_t stride, size_t d, const float *shift,
                     size_t width, float *panel)
{
    plain_pack_f32(rows, n, stride, 0, d, shift, width, panel);
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
DEFINE_ROOT(float, f32, 4, vld1q_f32, vsqrtq_f32, vst1q_f32)
DEFINE_ROOT(double, f64, 2, vld1q_f64, vsqrtq_f64, vst1q_f64)

const raudo_kernels raudo_kernels_neon = {
    .isa = "neon",
    .needs = RAUDO_CPU_NEON,
    .f32 = {TILE_ROWS, PANEL_F32, inner_tile_f32, cityblock_tile_f32, select_f32, pack_f32,
            expand_f32, cosine_finish_f32, root_f32},
    .f64 = {TILE_ROWS, PANEL_F64, inner_tile_f64, cityblock_tile_f64, select_f64, pack_f64,
            expand_f64, cosine_finish_f64, root_f64},
    .rows =
        {
#define RAUDO_SCALAR_METRIC(...)
#define RAUDO_METRIC(name, type, input, output)                                                   \
    [RAUDO_##name##_##type] = raudo_##name##_##type##_neon,
#include "distance/metrics.def"
        },
    .strips =
        {
#define RAUDO_SCALAR_METRIC(...)
#define RAUDO_METRIC(...)
#define RAUDO_STRIP_METRIC(name, type, input, output)                                             \
    [RAUDO_##name##_##type] = raudo_strip_##name##_##type##_neon,
#include "distance/metrics.def"
        },
};

#else
typedef int raudo_no_neon; /* a translation unit may not be empty */
#endif
