/* AVX2: a byte of 32 rows at a time. Sums of two lookups fit a byte (127 + 127), of 256 of those 16 bits. */
#include "sketch/sketch.h"

#include "target.h"

#if RAUDO_COMPILES_AVX2
RAUDO_TARGET_AVX2
#include "sketch/rotate.h"

enum { MOST_BYTES = 256 };

RAUDO_INLINE __m256i load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
RAUDO_INLINE __m256i both_halves(const void *p)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
}

/* sums[0..3] += the sums of rows 0-7, 8-15, 16-23, 24-31. */
RAUDO_INLINE void add_sums(size_t n_bytes, const uint8_t *codes, const uint8_t *table, __m256i *sums)
{
    const __m256i low = _mm256_set1_epi8(15);
    __m256i all = _mm256_setzero_si256(), odd = all; /* all: even rows, and 256 times the odd ones */
    for (size_t i = 0; i < n_bytes; i++, codes += RAUDO_SKETCH_ROWS, table += RAUDO_SKETCH_TABLE) {
        const __m256i code = load(codes);
        const __m256i sum = _mm256_add_epi8(
            _mm256_shuffle_epi8(both_halves(table), _mm256_and_si256(code, low)),
            _mm256_shuffle_epi8(both_halves(table + 16),
                                _mm256_and_si256(_mm256_srli_epi16(code, 4), low)));
        all = _mm256_add_epi16(all, sum);
        odd = _mm256_add_epi16(odd, _mm256_srli_epi16(sum, 8));
    }
    const __m256i even = _mm256_sub_epi16(all, _mm256_slli_epi16(odd, 8));
    const __m256i first = _mm256_unpacklo_epi16(even, odd);  /* rows 0-7 and 16-23 */
    const __m256i second = _mm256_unpackhi_epi16(even, odd); /* rows 8-15 and 24-31 */
    sums[0] = _mm256_add_epi32(sums[0], _mm256_cvtepu16_epi32(_mm256_castsi256_si128(first)));
    sums[1] = _mm256_add_epi32(sums[1], _mm256_cvtepu16_epi32(_mm256_castsi256_si128(second)));
    sums[2] = _mm256_add_epi32(sums[2], _mm256_cvtepu16_epi32(_mm256_extracti128_si256(first, 1)));
    sums[3] = _mm256_add_epi32(sums[3], _mm256_cvtepu16_epi32(_mm256_extracti128_si256(second, 1)));
}

static uint32_t sift(size_t n_bytes, const uint8_t *codes, const float *along, const float *across,
                     const raudo_sketch_question *question)
{
    const __m256 u = _mm256_set1_ps(question->u), step = _mm256_set1_ps(question->step);
    const __m256 offset = _mm256_set1_ps(question->offset), least = _mm256_set1_ps(question->least);
    __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                       _mm256_setzero_si256()};
    uint32_t may_be = 0;
    for (size_t i = 0; i < n_bytes; i += MOST_BYTES)
        add_sums(n_bytes - i < MOST_BYTES ? n_bytes - i : MOST_BYTES, codes + i * RAUDO_SKETCH_ROWS,
                 question->table + i * RAUDO_SKETCH_TABLE, sums);
    RAUDO_UNROLL
    for (size_t part = 0; part < 4; part++) {
        const __m256 value = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[part]), step, offset);
        const __m256 key = _mm256_fmadd_ps(u, _mm256_loadu_ps(along + 8 * part),
                                           _mm256_mul_ps(_mm256_loadu_ps(across + 8 * part), value));
        may_be |= (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(key, least, _CMP_NLT_UQ)) << 8 * part;
    }
    return may_be;
}

const raudo_sketch_kernels raudo_sketch_avx2 = {multiply, rotate, encode, tabulate, sift};

RAUDO_TARGET_END
#else
typedef int raudo_no_sketch_avx2; /* a translation unit may not be empty */
#endif
