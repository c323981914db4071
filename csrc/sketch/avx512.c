/* AVX-512: two bytes of 32 rows at a time; see avx2.c. */
#include "sketch/sketch.h"

#include "target.h"

#if RAUDO_COMPILES_AVX512 && !defined(RAUDO_EMULATED)
RAUDO_TARGET_AVX512
#include "sketch/rotate.h"

enum { MOST_BYTES = 256 };

/* sums[0] and sums[1] += the sums of rows 0-15 and 16-31. */
RAUDO_INLINE void add_sums(size_t n_bytes, const uint8_t *codes, const uint8_t *table, __m512i *sums)
{
    const __m512i low = _mm512_set1_epi8(15);
    __m512i all = _mm512_setzero_si512(), odd = all; /* all: even rows, and 256 times the odd ones */
    for (size_t i = 0; i < n_bytes; i += 2, codes += 64, table += 64) {
        const __m512i code = _mm512_loadu_si512(codes), tables = _mm512_loadu_si512(table);
        const __m512i sum = _mm512_add_epi8(
            _mm512_shuffle_epi8(_mm512_shuffle_i32x4(tables, tables, 0xa0), _mm512_and_si512(code, low)),
            _mm512_shuffle_epi8(_mm512_shuffle_i32x4(tables, tables, 0xf5),
                                _mm512_and_si512(_mm512_srli_epi16(code, 4), low)));
        all = _mm512_add_epi16(all, sum);
        odd = _mm512_add_epi16(odd, _mm512_srli_epi16(sum, 8));
    }
    const __m512i even = _mm512_sub_epi16(all, _mm512_slli_epi16(odd, 8));
    const __m256i even_of_both =
        _mm256_add_epi16(_mm512_castsi512_si256(even), _mm512_extracti64x4_epi64(even, 1));
    const __m256i odd_of_both =
        _mm256_add_epi16(_mm512_castsi512_si256(odd), _mm512_extracti64x4_epi64(odd, 1));
    const __m256i first = _mm256_unpacklo_epi16(even_of_both, odd_of_both);  /* rows 0-7 and 16-23 */
    const __m256i second = _mm256_unpackhi_epi16(even_of_both, odd_of_both); /* rows 8-15 and 24-31 */
    sums[0] = _mm512_add_epi32(
        sums[0], _mm512_cvtepu16_epi32(_mm256_permute2x128_si256(first, second, 0x20)));
    sums[1] = _mm512_add_epi32(
        sums[1], _mm512_cvtepu16_epi32(_mm256_permute2x128_si256(first, second, 0x31)));
}

static uint32_t sift(size_t n_bytes, const uint8_t *codes, const float *along, const float *across,
                     const raudo_sketch_question *question)
{
    const __m512 u = _mm512_set1_ps(question->u), step = _mm512_set1_ps(question->step);
    const __m512 offset = _mm512_set1_ps(question->offset), least = _mm512_set1_ps(question->least);
    __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    uint32_t may_be = 0;
    for (size_t i = 0; i < n_bytes; i += MOST_BYTES)
        add_sums(n_bytes - i < MOST_BYTES ? n_bytes - i : MOST_BYTES, codes + i * RAUDO_SKETCH_ROWS,
                 question->table + i * RAUDO_SKETCH_TABLE, sums);
    RAUDO_UNROLL
    for (size_t part = 0; part < 2; part++) {
        const __m512 value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[part]), step, offset);
        const __m512 key = _mm512_fmadd_ps(u, _mm512_loadu_ps(along + 16 * part),
                                           _mm512_mul_ps(_mm512_loadu_ps(across + 16 * part), value));
        may_be |= (uint32_t)_mm512_cmp_ps_mask(key, least, _CMP_NLT_UQ) << 16 * part;
    }
    return may_be;
}

const raudo_sketch_kernels raudo_sketch_avx512 = {multiply, rotate, encode, tabulate, sift};

RAUDO_TARGET_END
#else
typedef int raudo_no_sketch_avx512; /* a translation unit may not be empty */
#endif
