/* Run-time dispatch: the columns that were compiled, slowest first. */
#include "distance/distance.h"

#include <string.h>

#include "cpu.h"
#include "target.h"

static const raudo_kernels *const COLUMNS[] = {
    &raudo_kernels_scalar,
#if RAUDO_COMPILES_AVX2
    &raudo_kernels_avx2,
#endif
#if RAUDO_COMPILES_AVX512
    &raudo_kernels_avx512,
#endif
#if RAUDO_COMPILES_NEON
    &raudo_kernels_neon,
#endif
};
enum { N_COLUMNS = sizeof COLUMNS / sizeof *COLUMNS };

static const char *const METRIC_NAMES[] = {
#define RAUDO_METRIC(name, type, input, output) #name "_" #type,
#include "distance/metrics.def"
};

const raudo_kernels *raudo_kernels_compiled(size_t i)
{
    return i < N_COLUMNS ? COLUMNS[i] : NULL;
}

const raudo_kernels *raudo_kernels_find(const char *isa)
{
    const unsigned features = raudo_cpu_features();
    for (size_t i = N_COLUMNS; i-- > 0;) {
        const raudo_kernels *column = COLUMNS[i];
        if ((column->needs & features) == column->needs
            && (isa == NULL || strcmp(isa, column->isa) == 0))
            return column;
    }
    return NULL;
}

raudo_rows raudo_rows_of(const raudo_kernels *kernels, size_t metric)
{
    const raudo_rows own = kernels->rows[metric];
    return own ? own : raudo_kernels_scalar.rows[metric];
}

raudo_strip raudo_strip_of(const raudo_kernels *kernels, size_t metric)
{
    return kernels->strips[metric];
}

const char *raudo_metric_name(size_t metric)
{
    return metric < RAUDO_METRIC_COUNT ? METRIC_NAMES[metric] : NULL;
}
