/* How one source file is compiled for an instruction set that the build's baseline does not have.
 *
 *     #include "target.h"
 *     #if RAUDO_COMPILES_AVX2
 *     RAUDO_TARGET_AVX2
 *     ...functions...
 *     RAUDO_TARGET_END
 *     #endif
 *
 * gcc and clang spell it differently (clang ignores `#pragma GCC target`). The intrinsics' header is
 * included here, outside of the pushed target. With RAUDO_EMULATED (tests only) the AVX-512
 * intrinsics are portable C, so that their file runs on any processor.
 */
#ifndef RAUDO_TARGET_H
#define RAUDO_TARGET_H

#define RAUDO_COMPILES_AVX2 0
#define RAUDO_COMPILES_AVX512 0
#define RAUDO_COMPILES_NEON 0

#if defined(RAUDO_EMULATED)
#include "test/emulated.h"
#undef RAUDO_COMPILES_AVX512
#define RAUDO_COMPILES_AVX512 1
#elif defined(__x86_64__)
#include <immintrin.h>
#undef RAUDO_COMPILES_AVX2
#define RAUDO_COMPILES_AVX2 1
#undef RAUDO_COMPILES_AVX512
#define RAUDO_COMPILES_AVX512 1
#elif defined(__aarch64__)
#include <arm_neon.h>
#undef RAUDO_COMPILES_NEON
#define RAUDO_COMPILES_NEON 1
#endif

#define RAUDO_PRAGMA(text) _Pragma(#text)
#if defined(RAUDO_EMULATED) || !defined(__x86_64__)
#define RAUDO_TARGET_BEGIN(set)
#define RAUDO_TARGET_END
#elif defined(__clang__)
#define RAUDO_TARGET_BEGIN(set) \
    RAUDO_PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define RAUDO_TARGET_END RAUDO_PRAGMA(clang attribute pop)
#else
#define RAUDO_TARGET_BEGIN(set) RAUDO_PRAGMA(GCC push_options) RAUDO_PRAGMA(GCC target(set))
#define RAUDO_TARGET_END RAUDO_PRAGMA(GCC pop_options)
#endif

#define RAUDO_TARGET_AVX2 RAUDO_TARGET_BEGIN("avx2,fma,popcnt")
#define RAUDO_TARGET_AVX512 \
    RAUDO_TARGET_BEGIN(                                                                           \
        "avx2,fma,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vpopcntdq")
#define RAUDO_TARGET_AVX512_BF16 RAUDO_TARGET_BEGIN("avx2,fma,avx512f,avx512bw,avx512vl,avx512bf16")

/* RAUDO_ALIKE: what a loop reads and writes is either apart or the very same elements. */
#if defined(__clang__)
#define RAUDO_UNROLL RAUDO_PRAGMA(unroll)
#define RAUDO_ALIKE RAUDO_PRAGMA(clang loop vectorize(assume_safety))
#else
#define RAUDO_UNROLL RAUDO_PRAGMA(GCC unroll 16)
#define RAUDO_ALIKE RAUDO_PRAGMA(GCC ivdep)
#endif

#define RAUDO_INLINE static inline __attribute__((always_inline))

#endif
