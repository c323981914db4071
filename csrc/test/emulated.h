/* Stands in for <immintrin.h> when avx512.c is tested on a processor without AVX-512: the
 * intrinsics that it uses, lane by lane, after Intel's Intrinsics Guide. A masked load reads the
 * lanes of its mask and no other byte, so that AddressSanitizer sees what is really touched. */
#ifndef RAUDO_EMULATED_H
#define RAUDO_EMULATED_H

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t __mmask8;
typedef uint16_t __mmask16;
typedef uint64_t __mmask64;

typedef struct { float lane[4]; } __m128;
typedef struct { float lane[8]; } __m256;
typedef struct { double lane[4]; } __m256d;
typedef struct { float lane[16]; } __m512;
typedef struct { double lane[8]; } __m512d;
typedef union { int8_t i8[32]; int32_t i32[8]; } __m256i;
typedef union { uint8_t u8[64]; int16_t i16[32]; int32_t i32[16]; int64_t i64[8]; __m256i half[2]; } __m512i;

#define EACH(n) for (int i = 0; i < (n); i++)
#define FN static __attribute__((unused, noinline)) /* inlined, they take minutes to compile */
#define _CMP_NGT_UQ 0x1a

#define EMULATE_REAL(real, vector, suffix, lanes, mask)                                           \
    FN vector _mm512_set1_##suffix(real x) { vector r; EACH(lanes) r.lane[i] = x; return r; }     \
    FN vector _mm512_setzero_##suffix(void) { return _mm512_set1_##suffix(0); }                   \
    FN vector _mm512_loadu_##suffix(const real *p) { vector r; memcpy(&r, p, sizeof r); return r; } \
    FN void _mm512_storeu_##suffix(real *p, vector a) { memcpy(p, &a, sizeof a); }                \
    FN vector _mm512_maskz_loadu_##suffix(mask m, const real *p)                                  \
    { vector r; EACH(lanes) r.lane[i] = m >> i & 1 ? p[i] : 0; return r; }                        \
    FN vector _mm512_add_##suffix(vector a, vector b)                                             \
    { EACH(lanes) a.lane[i] += b.lane[i]; return a; }                                             \
    FN vector _mm512_sub_##suffix(vector a, vector b)                                             \
    { EACH(lanes) a.lane[i] -= b.lane[i]; return a; }                                             \
    FN vector _mm512_abs_##suffix(vector a)                                                       \
    { EACH(lanes) a.lane[i] = a.lane[i] < 0 ? -a.lane[i] : a.lane[i]; return a; }                 \
    FN vector _mm512_sqrt_##suffix(vector a)                                                      \
    { EACH(lanes) a.lane[i] = (real)sqrt((double)a.lane[i]); return a; }                          \
    FN vector _mm512_fmadd_##suffix(vector a, vector b, vector c)                                 \
    { EACH(lanes) c.lane[i] = (real)fma((double)a.lane[i], (double)b.lane[i], (double)c.lane[i]); \
      return c; }                                                                                 \
    FN real _mm512_reduce_add_##suffix(vector a)                                                  \
    { for (int n = lanes / 2; n; n /= 2) EACH(n) a.lane[i] += a.lane[i + n]; return a.lane[0]; }  \
    FN mask _mm512_cmp_##suffix##_mask(vector a, vector b, int predicate)                         \
    { unsigned r = 0; EACH(lanes) r |= (unsigned)!(a.lane[i] > b.lane[i]) << i;                   \
      return (mask)(predicate == _CMP_NGT_UQ ? r : 0); }
#define EMULATE_SHUFFLES(vector, suffix, lanes, pairs)                                            \
    FN vector _mm512_unpacklo_##suffix(vector a, vector b)                                        \
    { vector r; EACH(lanes) r.lane[i] = (i % 2 ? b : a).lane[i / (2 * pairs) * 2 * pairs + i % (2 * pairs) / 2]; \
      return r; }                                                                                 \
    FN vector _mm512_unpackhi_##suffix(vector a, vector b)                                        \
    { vector r; EACH(lanes) r.lane[i] = (i % 2 ? b : a).lane[i / (2 * pairs) * 2 * pairs + i % (2 * pairs) / 2 + pairs]; \
      return r; }
EMULATE_REAL(float, __m512, ps, 16, __mmask16)
EMULATE_REAL(double, __m512d, pd, 8, __mmask8)

EMULATE_SHUFFLES(__m512, ps, 16, 2)
EMULATE_SHUFFLES(__m512d, pd, 8, 1)
FN __m512 _mm512_shuffle_ps(__m512 a, __m512 b, int control)
{ __m512 r; EACH(16) r.lane[i] = (i % 4 < 2 ? a : b).lane[i / 4 * 4 + (control >> 2 * (i % 4) & 3)]; return r; }
FN __m512 _mm512_shuffle_f32x4(__m512 a, __m512 b, int control)
{ __m512 r; EACH(16) r.lane[i] = (i < 8 ? a : b).lane[4 * (control >> i / 4 * 2 & 3) + i % 4]; return r; }
FN __m256 _mm512_castps512_ps256(__m512 a) { __m256 r; memcpy(&r, &a, sizeof r); return r; }
FN __m256 _mm512_extractf32x8_ps(__m512 a, int half) { __m256 r; memcpy(&r, a.lane + 8 * half, sizeof r); return r; }
FN __m128 _mm256_castps256_ps128(__m256 a) { __m128 r; memcpy(&r, &a, sizeof r); return r; }
FN __m128 _mm256_extractf128_ps(__m256 a, int half) { __m128 r; memcpy(&r, a.lane + 4 * half, sizeof r); return r; }
FN __m256 _mm256_add_ps(__m256 a, __m256 b) { EACH(8) a.lane[i] += b.lane[i]; return a; }
FN __m128 _mm_add_ps(__m128 a, __m128 b) { EACH(4) a.lane[i] += b.lane[i]; return a; }
FN void _mm_storeu_ps(float *p, __m128 a) { memcpy(p, &a, sizeof a); }
FN __m256d _mm512_castpd512_pd256(__m512d a) { __m256d r; memcpy(&r, &a, sizeof r); return r; }
FN __m256d _mm512_extractf64x4_pd(__m512d a, int half) { __m256d r; memcpy(&r, a.lane + 4 * half, sizeof r); return r; }
FN __m256d _mm256_permute2f128_pd(__m256d a, __m256d b, int control) /* 0x20 and 0x31 alone */
{ __m256d r; EACH(4) r.lane[i] = (i < 2 ? a : b).lane[i % 2 + 2 * (control & 1)]; return r; }
FN __m256d _mm256_add_pd(__m256d a, __m256d b) { EACH(4) a.lane[i] += b.lane[i]; return a; }
FN void _mm256_storeu_pd(double *p, __m256d a) { memcpy(p, &a, sizeof a); }

FN __m256 _mm256_loadu_ps(const float *p) { __m256 r; memcpy(&r, p, sizeof r); return r; }
FN __m256 _mm256_maskz_loadu_ps(__mmask8 m, const float *p)
{ __m256 r; EACH(8) r.lane[i] = m >> i & 1 ? p[i] : 0; return r; }
FN __m512d _mm512_cvtps_pd(__m256 a)
{ __m512d r; EACH(8) r.lane[i] = (double)a.lane[i]; return r; }

FN __m256i _mm256_loadu_si256(const __m256i *p) { __m256i r; memcpy(&r, p, sizeof r); return r; }
FN __m512i _mm512_loadu_si512(const void *p) { __m512i r; memcpy(&r, p, sizeof r); return r; }
FN __m512i _mm512_maskz_loadu_epi8(__mmask64 m, const void *p)
{ __m512i r; EACH(64) r.u8[i] = m >> i & 1 ? ((const uint8_t *)p)[i] : 0; return r; }
FN __m512i _mm512_setzero_si512(void) { __m512i r; memset(&r, 0, sizeof r); return r; }
FN __m512i _mm512_xor_si512(__m512i a, __m512i b) { EACH(8) a.i64[i] ^= b.i64[i]; return a; }
FN __m512i _mm512_and_si512(__m512i a, __m512i b) { EACH(8) a.i64[i] &= b.i64[i]; return a; }
FN __m512i _mm512_popcnt_epi64(__m512i a)
{ EACH(8) a.i64[i] = __builtin_popcountll((unsigned long long)a.i64[i]); return a; }
FN __m512i _mm512_add_epi64(__m512i a, __m512i b) { EACH(8) a.i64[i] += b.i64[i]; return a; }
FN __m512i _mm512_add_epi32(__m512i a, __m512i b) { EACH(16) a.i32[i] += b.i32[i]; return a; }
FN __m512i _mm512_sub_epi16(__m512i a, __m512i b)
{ EACH(32) a.i16[i] = (int16_t)(a.i16[i] - b.i16[i]); return a; }
FN __m512i _mm512_madd_epi16(__m512i a, __m512i b)
{ __m512i r; EACH(16) r.i32[i] = a.i16[2 * i] * b.i16[2 * i] + a.i16[2 * i + 1] * b.i16[2 * i + 1];
  return r; }
FN __m512i _mm512_cvtepi8_epi16(__m256i a) { __m512i r; EACH(32) r.i16[i] = a.i8[i]; return r; }
FN __m512i _mm512_cvtepi32_epi64(__m256i a) { __m512i r; EACH(8) r.i64[i] = a.i32[i]; return r; }
FN __m256i _mm512_castsi512_si256(__m512i a) { return a.half[0]; }
FN __m256i _mm512_extracti64x4_epi64(__m512i a, int i) { return a.half[i]; }
FN __m512i _mm512_unpacklo_epi64(__m512i a, __m512i b)
{ __m512i r; EACH(8) r.i64[i] = (i % 2 ? b : a).i64[i / 2 * 2]; return r; }
FN __m512i _mm512_unpackhi_epi64(__m512i a, __m512i b)
{ __m512i r; EACH(8) r.i64[i] = (i % 2 ? b : a).i64[i / 2 * 2 + 1]; return r; }
FN __m512i _mm512_shuffle_i64x2(__m512i a, __m512i b, int control)
{ __m512i r; EACH(8) r.i64[i] = (i < 4 ? a : b).i64[2 * (control >> i / 2 * 2 & 3) + i % 2]; return r; }
FN __m512d _mm512_cvtepi64_pd(__m512i a)
{ __m512d r; EACH(8) r.lane[i] = (double)a.i64[i]; return r; }
FN long long _mm512_reduce_add_epi64(__m512i a)
{ long long sum = 0; EACH(8) sum += a.i64[i]; return sum; }

#undef EACH
#undef FN

#endif
