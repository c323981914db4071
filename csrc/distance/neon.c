/* Advanced SIMD of 64-bit ARM, part of its baseline. Tiles of 8 x 12 float32 (8 x 6 float64) fill
 * 24 of the 32 registers with accumulators; the query's elements are used lane by lane. */
#include "distance/distance.h"

#include <string.h>

#include "cpu.h"
#include "target.h"

#if RAUDO_COMPILES_NEON
#include "distance/plain.h"
#include "distance/rows.h"
#include "distance/strip.h"
#include "distance/tile.h"

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

RAUDO_DEFINE_STRIPS(float, f32, float32x4_t, 4, 4)
RAUDO_DEFINE_STRIPS(double, f64, float64x2_t, 2, 4)

RAUDO_INLINE float64x2_t load_wide_f32(const float *p, size_t n)
{
    float lanes[2] = {p[0], n < 2 ? 0 : p[1]};
    return vcvt_f64_f32(vld1_f32(lanes));
}
RAUDO_INLINE float64x2_t load_wide_f64(const double *p, size_t n)
{
    return n < 2 ? load_first_f64(p, n) : vld1q_f64(p);
}

RAUDO_INLINE double sum_f64(float64x2_t v) { return vaddvq_f64(v); }
RAUDO_DEFINE_COSINE(float, f32, float64x2_t, 2)
RAUDO_DEFINE_COSINE(double, f64, float64x2_t, 2)

/* A 32-bit lane gains at most 4 * 255^2 a step: sums are taken out every 4096 steps. */
enum { I8_LANES = 16, I8_BLOCK = 4096 * I8_LANES };

RAUDO_INLINE int32x4_t zero_i32(void) { return vdupq_n_s32(0); }
RAUDO_INLINE int8x16_t load_i8(const int8_t *p) { return vld1q_s8(p); }
RAUDO_INLINE int64_t sum_i32(int32x4_t v) { return vaddlvq_s32(v); }

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

RAUDO_DEFINE_SUM_I8(inner, int32x4_t, 0)
RAUDO_DEFINE_SUM_I8(sqeuclidean, int32x4_t, 1)

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
#define RAUDO_METRIC(name, type, input, output) RAUDO_DEFINE_ROWS(name##_##type, input, output)
#include "distance/metrics.def"

/* --- tiles -------------------------------------------------------------------------------- */

enum { TILE_ROWS = 8, TILE_VECTORS = 3, PANEL_F32 = 4 * TILE_VECTORS, PANEL_F64 = 2 * TILE_VECTORS };

RAUDO_INLINE float32x4_t all_f32(float x) { return vdupq_n_f32(x); }
RAUDO_INLINE void store_f32(float *p, float32x4_t v) { vst1q_f32(p, v); }
RAUDO_INLINE float32x4_t add_f32(float32x4_t v, float32x4_t w) { return vaddq_f32(v, w); }
RAUDO_INLINE float32x4_t root_of_f32(float32x4_t v) { return vsqrtq_f32(v); }
RAUDO_INLINE float64x2_t all_f64(double x) { return vdupq_n_f64(x); }
RAUDO_INLINE void store_f64(double *p, float64x2_t v) { vst1q_f64(p, v); }
RAUDO_INLINE float64x2_t add_f64(float64x2_t v, float64x2_t w) { return vaddq_f64(v, w); }
RAUDO_INLINE float64x2_t root_of_f64(float64x2_t v) { return vsqrtq_f64(v); }

RAUDO_DEFINE_TILE(inner, float, f32, float32x4_t, 4, TILE_ROWS)
RAUDO_DEFINE_TILE(inner, double, f64, float64x2_t, 2, TILE_ROWS)
RAUDO_DEFINE_TILE(cityblock, float, f32, float32x4_t, 4, TILE_ROWS)
RAUDO_DEFINE_TILE(cityblock, double, f64, float64x2_t, 2, TILE_ROWS)

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

RAUDO_DEFINE_PACK(float, f32)
RAUDO_DEFINE_PACK(double, f64)
RAUDO_DEFINE_ROOT(float, f32, 4)
RAUDO_DEFINE_ROOT(double, f64, 2)

const raudo_kernels raudo_kernels_neon = {
    .isa = "neon",
    .needs = RAUDO_CPU_NEON,
#include "distance/column.h"
};

#else
typedef int raudo_no_neon; /* a translation unit may not be empty */
#endif
