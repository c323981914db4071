/* Run-time dispatch: the panel kernels that go with an instruction set. */
#include "panel/panel.h"

#include <string.h>

#include "cpu.h"
#include "target.h"

const raudo_panel_kernels *raudo_panel_kernels_for(const char *isa)
{
#if RAUDO_COMPILES_AVX512 && !defined(RAUDO_EMULATED)
    if (strcmp(isa, "avx512") == 0)
        return raudo_cpu_features() & RAUDO_CPU_BF16 ? &raudo_panel_avx512_bf16 : &raudo_panel_avx512;
#endif
#if RAUDO_COMPILES_AVX2
    if (strcmp(isa, "avx2") == 0)
        return &raudo_panel_avx2;
#endif
#if RAUDO_COMPILES_NEON
    if (strcmp(isa, "neon") == 0)
        return &raudo_panel_neon;
#endif
    (void)isa;
    return &raudo_panel_scalar;
}
