/* What the processor can do, asked once at run time. */
#ifndef RAUDO_CPU_H
#define RAUDO_CPU_H

enum {
    RAUDO_CPU_AVX2 = 1u,   /* AVX2, FMA and POPCNT */
    RAUDO_CPU_AVX512 = 2u, /* F, BW, DQ, VL, VNNI and VPOPCNTDQ: Ice Lake, Zen 4 and later */
    RAUDO_CPU_NEON = 4u,   /* Advanced SIMD of 64-bit ARM */
    RAUDO_CPU_BF16 = 8u,   /* AVX-512 BF16, with the above: Cooper Lake, Zen 4 and later */
};

/* Bits of the enum above, for the processor and the operating system together. */
unsigned raudo_cpu_features(void);

#endif
