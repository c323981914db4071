/* Run-time dispatch: the sketch kernels that go with an instruction set. */
#include "sketch/sketch.h"

#include <string.h>

#include "target.h"

const raudo_sketch_kernels *raudo_sketch_kernels_for(const char *isa)
{
#if RAUDO_COMPILES_AVX512 && !defined(RAUDO_EMULATED)
    if (strcmp(isa, "avx512") == 0)
        return &raudo_sketch_avx512;
#endif
#if RAUDO_COMPILES_AVX2
    if (strcmp(isa, "avx2") == 0)
        return &raudo_sketch_avx2;
#endif
    (void)isa;
    return &raudo_sketch_scalar;
}
