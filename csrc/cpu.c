/* An instruction set counts only if the operating system saves its registers too (XGETBV). */
#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

static unsigned xcr0(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

unsigned raudo_cpu_features(void)
{
    unsigned a, b, c, d, found = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    const unsigned fma_popcnt_osxsave_avx = bit_FMA | bit_POPCNT | bit_OSXSAVE | bit_AVX;
    if ((c & fma_popcnt_osxsave_avx) != fma_popcnt_osxsave_avx)
        return 0;
    const unsigned saved = xcr0();
    if ((saved & 0x06u) != 0x06u || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) /* XMM, YMM */
        return 0;
    if (b & bit_AVX2)
        found |= RAUDO_CPU_AVX2;
    const unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if ((saved & 0xe6u) == 0xe6u /* and opmask, both halves of ZMM */
        && (b & avx512) == avx512 && (c & bit_AVX512VPOPCNTDQ) && (c & bit_AVX512VNNI)) {
        found |= RAUDO_CPU_AVX512;
        if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & bit_AVX512BF16))
            found |= RAUDO_CPU_BF16;
    }
    return found;
}

#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

#define HWCAP_ADVANCED_SIMD (1ul << 1)

unsigned raudo_cpu_features(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_ADVANCED_SIMD) ? RAUDO_CPU_NEON : 0u;
}

#elif defined(__aarch64__) /* every other 64-bit ARM system requires it */
unsigned raudo_cpu_features(void)
{
    return RAUDO_CPU_NEON;
}

#else
unsigned raudo_cpu_features(void)
{
    return 0;
}
#endif
