#include "likeness/minhash.h"

#include <string.h>

/* A bijection of 32 bits chosen by the seed (the finaliser of MurmurHash3). */
static inline uint32_t permuted(uint32_t x, uint32_t seed)
{
    x ^= seed;
    x ^= x >> 16;
    x *= 0x85EBCA6Bu;
    x ^= x >> 13;
    x *= 0xC2B2AE35u;
    x ^= x >> 16;
    return x;
}

/* The inner loop is 32-bit lanes without branches, for the compiler to vectorise; with AVX2 it has the
 * multiplication that the x86-64 baseline lacks. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
__attribute__((target_clones("avx2", "default")))
#endif
static void
lower_all(uint32_t word, const uint32_t *restrict seeds, size_t n, uint32_t *restrict least)
{
    for (size_t j = 0; j < n; j++) {
        uint32_t value = permuted(word, seeds[j]);
        least[j] = value < least[j] ? value : least[j];
    }
}

void raudo_minhash(const int64_t *offsets, const uint64_t *words, size_t lo, size_t hi,
                   const uint32_t *seeds, size_t n_components, uint32_t *out)
{
    for (size_t doc = lo; doc < hi; doc++, out += n_components) {
        memset(out, 0xFF, n_components * sizeof *out);
        for (int64_t i = offsets[doc]; i < offsets[doc + 1]; i++)
            lower_all((uint32_t)(words[i] ^ words[i] >> 32), seeds, n_components, out);
    }
}
