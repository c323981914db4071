/* Every kernel of every instruction set that runs here, against the scalar reference: at sizes
 * around each vector width, unaligned, in buffers that end where the data ends. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "distance/distance.h"
#include "panel/panel.h"
#include "topk/topk.h"
#include "test/random.h"

int test_sketches(const char *isa);

static int n_failed, n_checked;

static void check(int ok, const char *isa, const char *what, size_t d, double got, double want)
{
    n_checked++;
    if (!ok && n_failed++ < 20)
        fprintf(stderr, "FAILED %s %s d=%zu: got %.17g, want %.17g\n", isa, what, d, got, want);
}

static int close_to(double got, double want, double scale, double unit)
{
    return (isnan(got) && isnan(want)) || got == want || fabs(got - want) <= unit * (scale + 1e-30);
}

static double random_real(void) { return (double)random_u32() / 2147483648.0 - 1; }

/* Exactly n elements, off any alignment: AddressSanitizer sees one byte too many. */
static void *off_alignment(size_t n, size_t size, void **block)
{
    *block = malloc(n * size + size);
    return (char *)*block + size;
}

enum type { F32, F64, I8, BITS };
static const size_t SIZE_OF[] = {sizeof(float), sizeof(double), 1, 1};

static void fill(void *data, size_t n, enum type type)
{
    for (size_t i = 0; i < n; i++) {
        if (type == F32)
            ((float *)data)[i] = random_u32() % 5 ? (float)random_real() : 0.5f;
        else if (type == F64)
            ((double *)data)[i] = random_u32() % 5 ? random_real() : 0.5;
        else
            ((uint8_t *)data)[i] = (uint8_t)(random_u32() % 7 ? random_u32() : 0x80);
    }
}

static double element(const void *data, size_t i, enum type output)
{
    return output == F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

static void test_rows(const raudo_kernels *kernels, size_t metric, enum type type)
{
    const char *name = raudo_metric_name(metric);
    const enum type output = type == F32 ? F32 : F64;
    const double unit = type == F32 ? 4e-6 : 1e-13;
    for (size_t d = 0; d <= 300; d = d < 140 ? d + 1 : d + 53) {
        const size_t n = 3, stride = d + d % 3;
        const size_t n_rows = d ? (n - 1) * stride + d : 0;
        void *query_block, *rows_block, *got_block, *want_block;
        char *query = off_alignment(d, SIZE_OF[type], &query_block);
        char *rows = off_alignment(n_rows, SIZE_OF[type], &rows_block);
        void *got = off_alignment(n, SIZE_OF[output], &got_block);
        void *want = off_alignment(n, SIZE_OF[output], &want_block);
        fill(query, d, type);
        fill(rows, n_rows, type);
        if (d) /* the last row equals the query */
            memcpy(rows + (n - 1) * stride * SIZE_OF[type], query, d * SIZE_OF[type]);
        raudo_rows_of(kernels, metric)(query, rows, n, stride, d, got);
        raudo_rows_of(&raudo_kernels_scalar, metric)(query, rows, n, stride, d, want);
        for (size_t i = 0; i < n; i++) {
            const double g = element(got, i, output), w = element(want, i, output);
            check(close_to(g, w, fabs(w) + (double)(d < 8 ? 1 : d) / 8, unit), kernels->isa, name, d, g, w);
        }
        if (d && !strncmp(name, "cosine", 6))
            check(element(got, n - 1, output) == 0, kernels->isa, "cosine of equal rows", d,
                  element(got, n - 1, output), 0);
        raudo_rows_of(kernels, metric)(query, rows, 0, stride, d, NULL);
        free(query_block);
        free(rows_block);
        free(got_block);
        free(want_block);
    }
}

/* A strip has the digits of the row kernel, however many queries and rows it has. */
static void test_strip(const raudo_kernels *kernels, size_t metric, enum type type)
{
    const raudo_strip strip = raudo_strip_of(kernels, metric);
    const size_t size = SIZE_OF[type];
    if (!strip)
        return;
    for (size_t d = 0; d <= 100; d = d < 40 ? d + 1 : d + 19)
        for (size_t m = 0; m < 14; m++) {
            const size_t n = (m + d) % 11, stride = d + d % 3, q_stride = d + 1, out_stride = n + 2;
            void *blocks[4];
            const size_t n_queries = m && d ? (m - 1) * q_stride + d : 0, n_rows = n && d ? (n - 1) * stride + d : 0;
            const size_t n_out = m && n ? (m - 1) * out_stride + n : 0;
            char *queries = off_alignment(n_queries, size, &blocks[0]);
            char *rows = off_alignment(n_rows, size, &blocks[1]);
            char *got = off_alignment(n_out, size, &blocks[2]);
            char *want = off_alignment(n, size, &blocks[3]);
            fill(queries, n_queries, type);
            fill(rows, n_rows, type);
            strip(queries, m, q_stride, rows, n, stride, d, got, out_stride);
            for (size_t i = 0; i < m && n; i++) {
                raudo_rows_of(kernels, metric)(queries + i * q_stride * size, rows, n, stride, d, want);
                check(memcmp(got + i * out_stride * size, want, n * size) == 0, kernels->isa, "strip", d, 0, 0);
                raudo_rows_of(kernels, metric)(queries + i * q_stride * size, rows + (n - 1) * stride * size, 1,
                                               stride, d, want);
                check(memcmp(got + (i * out_stride + n - 1) * size, want, size) == 0, kernels->isa,
                      "strip, one row", d, 0, 0);
            }
            for (size_t i = 0; i < 4; i++)
                free(blocks[i]);
        }
}

/* Sums that would overflow 32 bits. */
static void test_long_i8(const raudo_kernels *kernels)
{
    const size_t d = 600001;
    int8_t *a = malloc(d), *b = malloc(d);
    memset(a, -128, d);
    memset(b, 127, d);
    double got;
    raudo_rows_of(kernels, RAUDO_inner_i8)(a, b, 1, d, d, &got);
    check(got == -128.0 * 127.0 * (double)d, kernels->isa, "long inner_i8", d, got, 0);
    raudo_rows_of(kernels, RAUDO_inner_i8)(a, a, 1, d, d, &got);
    check(got == 128.0 * 128.0 * (double)d, kernels->isa, "long inner_i8", d, got, 0);
    raudo_rows_of(kernels, RAUDO_sqeuclidean_i8)(a, b, 1, d, d, &got);
    check(got == 255.0 * 255.0 * (double)d, kernels->isa, "long sqeuclidean_i8", d, got, 0);
    free(a);
    free(b);
}

#define DEFINE_TEST_BLOCK(real, type, TYPE, unit)                                                 \
    static void test_tile_##type(const raudo_kernels *kernels, size_t d, int add)                 \
    {                                                                                             \
        const size_t rows = kernels->type.tile_rows, width = kernels->type.panel_rows;            \
        const size_t stride = width + 3;                                                          \
        void *blocks[3];                                                                          \
        real *a = off_alignment(d * rows, sizeof *a, &blocks[0]);                                 \
        real *b = off_alignment(d * width, sizeof *b, &blocks[1]);                                \
        real *c = off_alignment((rows - 1) * stride + width, sizeof *c, &blocks[2]);              \
        fill(a, d * rows, TYPE);                                                                  \
        fill(b, d * width, TYPE);                                                                 \
        for (int which = 0; which < 2; which++) {                                                 \
            for (size_t i = 0; i < (rows - 1) * stride + width; i++)                              \
                c[i] = 7;                                                                         \
            (which ? kernels->type.cityblock : kernels->type.inner)(d, a, b, c, stride, add);     \
            for (size_t i = 0; i < rows; i++)                                                     \
                for (size_t j = 0; j < width; j++) {                                              \
                    double want = add ? 7 : 0;                                                    \
                    for (size_t k = 0; k < d; k++) {                                              \
                        const double x = (double)a[k * rows + i], y = (double)b[k * width + j];   \
                        want += which ? fabs(x - y) : x * y;                                      \
                    }                                                                             \
                    const double got = (double)c[i * stride + j];                                 \
                    check(close_to(got, want, 8 + (double)d, unit), kernels->isa,                 \
                          which ? "cityblock tile " #type : "inner tile " #type, d, got, want);   \
                }                                                                                 \
            for (size_t i = 0; i + 1 < rows; i++)                                                 \
                for (size_t j = width; j < stride; j++)                                           \
                    check(c[i * stride + j] == 7, kernels->isa, "outside of the tile", d, 0, 0);  \
        }                                                                                         \
        for (int i = 0; i < 3; i++)                                                               \
            free(blocks[i]);                                                                      \
    }                                                                                             \
    static void test_pack_##type(const raudo_kernels *kernels, size_t d, int shifted)             \
    {                                                                                             \
        const size_t widths[2] = {kernels->type.tile_rows, kernels->type.panel_rows};             \
        for (int w = 0; w < 2; w++)                                                               \
            for (size_t n = 0; n <= widths[w]; n++) {                                             \
                const size_t width = widths[w], stride = d + 1;                                   \
                void *blocks[3];                                                                  \
                const size_t n_in = n && d ? (n - 1) * stride + d : 0;                            \
                real *rows = off_alignment(n_in, sizeof *rows, &blocks[0]);                       \
                real *shift = off_alignment(d, sizeof *shift, &blocks[1]);                        \
                real *panel = off_alignment(d * width, sizeof *panel, &blocks[2]);                \
                fill(rows, n_in, TYPE);                                                           \
                fill(shift, d, TYPE);                                                             \
                kernels->type.pack(rows, n, stride, d, shifted ? shift : NULL, width, panel);     \
                for (size_t j = 0; j < width; j++)                                                \
                    for (size_t k = 0; k < d; k++) {                                              \
                        const real want =                                                         \
                            j < n ? rows[j * stride + k] - (shifted ? shift[k] : 0) : 0;          \
                        const real got = panel[k * width + j];                                    \
                        check(got == want, kernels->isa, "pack " #type, d, (double)got,           \
                              (double)want);                                                      \
                    }                                                                             \
                for (int i = 0; i < 3; i++)                                                       \
                    free(blocks[i]);                                                              \
            }                                                                                     \
    }                                                                                             \
    static void test_around_##type(const raudo_kernels *kernels, size_t n)                        \
    {                                                                                             \
        void *blocks[4];                                                                          \
        real *value = off_alignment(n, sizeof *value, &blocks[0]);                                \
        real *bias = off_alignment(n, sizeof *bias, &blocks[1]);                                  \
        real *out = off_alignment(n, sizeof *out, &blocks[2]);                                    \
        uint32_t *found = off_alignment(n, sizeof *found, &blocks[3]);                            \
        uint32_t want_found[200];                                                                 \
        real want_out[200];                                                                       \
        const raudo_block_##type *reference = &raudo_kernels_scalar.type;                         \
        fill(value, n, TYPE);                                                                     \
        fill(bias, n, TYPE);                                                                      \
        for (size_t i = 0; i < n; i += 11)                                                        \
            value[i] = (real)NAN;                                                                 \
        const real limits[] = {(real)0.25, (real)INFINITY, -(real)INFINITY, (real)NAN};           \
        for (int l = 0; l < 4; l++)                                                               \
            for (int sign = -1; sign < 2; sign += 2) {                                            \
                const size_t got =                                                                \
                    kernels->type.select(value, bias, (real)sign, limits[l], n, found);           \
                const size_t want =                                                               \
                    reference->select(value, bias, (real)sign, limits[l], n, want_found);         \
                check(got == want && (!got || !memcmp(found, want_found, got * sizeof *found)),   \
                      kernels->isa, "select " #type, n, (double)got, (double)want);               \
            }                                                                                     \
        for (int which = 0; which < 2; which++) {                                                 \
            const size_t got = (which ? kernels->type.cosine : kernels->type.expand)(             \
                value, 1, bias, n, out);                                                          \
            const size_t want =                                                                   \
                (which ? reference->cosine : reference->expand)(value, 1, bias, n, want_out);     \
            check(got == want, kernels->isa, "near " #type, n, (double)got, (double)want);        \
            for (size_t i = 0; i < n; i++)                                                        \
                check(close_to((double)out[i], (double)want_out[i], 4, unit), kernels->isa,       \
                      "finish " #type, n, (double)out[i], (double)want_out[i]);                   \
        }                                                                                         \
        memcpy(want_out, out, n * sizeof *out);                                                   \
        kernels->type.root(out, n);                                                               \
        for (size_t i = 0; i < n; i++)                                                            \
            check(close_to((double)out[i], sqrt((double)want_out[i]), 1, unit), kernels->isa,     \
                  "root " #type, n, (double)out[i], sqrt((double)want_out[i]));                   \
        for (int i = 0; i < 4; i++)                                                               \
            free(blocks[i]);                                                                      \
    }
DEFINE_TEST_BLOCK(float, f32, F32, 2e-6)
DEFINE_TEST_BLOCK(double, f64, F64, 1e-14)

static void test_kernels(const raudo_kernels *kernels)
{
    static const struct { const char *suffix; enum type type; } SUFFIXES[] = {
        {"_f32", F32}, {"_f64", F64}, {"_i8", I8}, {"_bits", BITS}};
    for (size_t metric = 0; metric < RAUDO_METRIC_COUNT; metric++)
        for (size_t s = 0; s < 4; s++)
            if (strstr(raudo_metric_name(metric), SUFFIXES[s].suffix)) {
                test_rows(kernels, metric, SUFFIXES[s].type);
                test_strip(kernels, metric, SUFFIXES[s].type);
            }
    test_long_i8(kernels);
    for (size_t d = 0; d < 40; d += d < 10 ? 1 : 7)
        for (int flag = 0; flag < 2; flag++) {
            test_tile_f32(kernels, d, flag);
            test_tile_f64(kernels, d, flag);
            test_pack_f32(kernels, d, flag);
            test_pack_f64(kernels, d, flag);
        }
    for (size_t n = 0; n < 100; n++) {
        test_around_f32(kernels, n);
        test_around_f64(kernels, n);
    }
    check(kernels->f32.tile_rows <= RAUDO_MAX_TILE_ROWS && kernels->f64.tile_rows <= RAUDO_MAX_TILE_ROWS,
          kernels->isa, "tile rows", 0, 0, 0);
    check(kernels->f32.panel_rows <= RAUDO_MAX_PANEL_ROWS && kernels->f64.panel_rows <= RAUDO_MAX_PANEL_ROWS,
          kernels->isa, "panel rows", 0, 0, 0);
}

#if !defined(RAUDO_EMULATED)
#define check_share(isa, type, name)                                                              \
    (plain->share_##name##_##type(sums[0], n_bits[0], n_bits, n, positions, type[0]),             \
     own->share_##name##_##type(sums[0], n_bits[0], n_bits, n, positions, type[1]),               \
     check(memcmp(type[0], type[1], n * sizeof type[0][0]) == 0, isa, #name " " #type, n, 0, 0))

static void test_panels_of_bits(const char *isa, const raudo_panel_kernels *own)
{
    enum { ROWS = RAUDO_PANEL_ROWS, QUERIES = RAUDO_PANEL_QUERIES, GROUP = RAUDO_PANEL_GROUP };
    const raudo_panel_kernels *plain = &raudo_panel_scalar;
    for (size_t n_groups = 0; n_groups < 130; n_groups += n_groups < 4 || n_groups % 31 > 29 ? 1 : 3) {
        void *blocks[2];
        uint8_t *panel = off_alignment(n_groups * ROWS * GROUP, 1, &blocks[0]);
        uint8_t *queries = off_alignment(n_groups * QUERIES * GROUP, 1, &blocks[1]);
        int32_t sums[2][QUERIES * ROWS], n_bits[ROWS];
        float f32[2][ROWS], scale[ROWS], bias[ROWS];
        double f64[2][ROWS];
        uint32_t found[2][ROWS];
        memset(panel, 0xff, n_groups * ROWS * GROUP);
        memset(queries, 0xff, n_groups * QUERIES * GROUP);
        if (n_groups % 2)
            fill(panel, n_groups * ROWS * GROUP, BITS), fill(queries, n_groups * QUERIES * GROUP, BITS);
        for (size_t j = 0; j < ROWS; j++) {
            n_bits[j] = (int32_t)(32 * n_groups - j % (n_groups + 1));
            scale[j] = 1 + (float)(j % 3);
            bias[j] = j % 7 == 3 ? NAN : (float)(j % 5);
        }
        for (size_t m = 1; m <= QUERIES; m++) {
            plain->dot_bits(n_groups, m, queries, panel, sums[0], ROWS);
            own->dot_bits(n_groups, m, queries, panel, sums[1], ROWS);
            check(memcmp(sums[0], sums[1], m * ROWS * sizeof sums[0][0]) == 0, isa, "panel dot_bits", n_groups, 0, 0);
        }
        for (size_t n = 0; n <= ROWS; n++)
            for (size_t positions = 32 * n_groups + 1; positions < 32 * n_groups + 40; positions += 31) {
                check_share(isa, f32, hamming);
                check_share(isa, f64, hamming);
                check_share(isa, f32, jaccard);
                check_share(isa, f64, jaccard);
                const float limit = positions % 2 ? -30.0f : (float)NAN;
                const size_t want = plain->sift_i8(sums[0], scale, bias, 2, limit, n, found[0]);
                const size_t got = own->sift_i8(sums[0], scale, bias, 2, limit, n, found[1]);
                check(got == want && memcmp(found[0], found[1], got * sizeof(uint32_t)) == 0, isa, "sift_i8", n,
                      (double)got, (double)want);
            }
        free(blocks[0]);
        free(blocks[1]);
    }
}

/* Panel kernels against the scalar ones: the same bytes, the same whole numbers, nearly the same sums. */
static void test_panels(const char *isa, const raudo_panel_kernels *own)
{
    enum { ROWS = RAUDO_PANEL_ROWS, QUERIES = RAUDO_PANEL_QUERIES, GROUP = RAUDO_PANEL_GROUP };
    const raudo_panel_kernels *plain = &raudo_panel_scalar;
    test_panels_of_bits(isa, own);
    for (size_t d = 1; d < 150; d += d < 20 ? 1 : 13)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            const size_t n_groups = bf16 ? (d + 1) / 2 : (d + 3) / 4;
            void *blocks[4];
            uint8_t *panel = off_alignment(n_groups * ROWS * GROUP, 2, &blocks[0]);
            uint8_t *queries = off_alignment(n_groups * QUERIES * GROUP, 2, &blocks[1]);
            uint8_t *scratch = off_alignment(n_groups * GROUP, 1, &blocks[2]);
            float *row = off_alignment(d, sizeof *row, &blocks[3]);
            uint8_t *both[2] = {malloc(n_groups * GROUP), malloc(n_groups * GROUP)};
            int32_t zero[QUERIES], sums[2][QUERIES * ROWS];
            float floats[2][QUERIES * ROWS];
            for (size_t i = 0; i < ROWS + QUERIES; i++) {
                const uint8_t offset = i < ROWS && !bf16 ? 128 : 0;
                raudo_copied copied[2];
                fill(row, d, F32);
                if (i % 9 == 4)
                    row[d / 2] = i % 2 ? NAN : 1e30f;
                for (size_t which = 0; which < 2; which++) {
                    const raudo_panel_kernels *k = which ? own : plain;
                    copied[which] = (bf16 ? k->copy_bf16 : k->copy_i8)(row, NULL, d, offset, scratch,
                                                                      both[which], GROUP);
                }
                check(memcmp(both[0], both[1], n_groups * GROUP) == 0, isa, "panel copy", d, 0, 0);
                check(isnan(copied[0].scale) == isnan(copied[1].scale), isa, "panel scale", d, 0, 0);
                check(close_to((double)copied[1].error, (double)copied[0].error, 1, 1e-5), isa, "panel error",
                      d, (double)copied[1].error, (double)copied[0].error);
                int32_t sum = 0;
                for (size_t k = 0; k < n_groups * GROUP; k++) {
                    const size_t g = k / GROUP;
                    if (i < ROWS)
                        panel[(g * ROWS + i) * GROUP + k % GROUP] = both[1][k];
                    else
                        queries[(g * QUERIES + i - ROWS) * GROUP + k % GROUP] = both[1][k];
                    sum += (int8_t)both[1][k];
                }
                if (i >= ROWS)
                    zero[i - ROWS] = 128 * sum;
            }
            for (size_t m = 1; m <= QUERIES; m++)
                for (size_t which = 0; which < 2; which++) {
                    const raudo_panel_kernels *k = which ? own : plain;
                    if (bf16)
                        k->dot_bf16(n_groups, m, (const void *)queries, (const void *)panel,
                                    floats[which], ROWS);
                    else
                        k->dot_i8(n_groups, m, (const int8_t *)queries, zero, panel, sums[which], ROWS);
                    for (size_t at = 0; which && at < m * ROWS; at++)
                        check(bf16 ? close_to((double)floats[1][at], (double)floats[0][at], (double)d, 1e-6)
                                   : sums[0][at] == sums[1][at],
                              isa, bf16 ? "panel dot_bf16" : "panel dot_i8", d, sums[1][at], sums[0][at]);
                }
            free(both[0]);
            free(both[1]);
            for (size_t i = 0; i < 4; i++)
                free(blocks[i]);
        }
}

#endif

static void test_topk(void)
{
    double scores[64], all[400];
    int64_t ids[64];
    for (size_t k = 0; k < 64; k = k * 2 + 1)
        for (size_t n = 0; n < 400; n = n * 3 + 1) {
            raudo_topk top = {scores, ids, k, 0};
            for (size_t i = 0; i < n; i++) {
                all[i] = i % 7 == 3 ? NAN : (double)(random_u32() % 20);
                raudo_topk_push(&top, all[i], (int64_t)i);
            }
            raudo_topk_finish(&top);
            for (size_t rank = 0; rank < k; rank++) { /* the rank-th smallest by (score, id) */
                int64_t want = -1;
                for (size_t i = 0; i < n; i++) {
                    size_t n_better = 0;
                    for (size_t j = 0; j < n; j++)
                        n_better += all[j] < all[i] || (all[j] == all[i] && j < i);
                    if (!isnan(all[i]) && n_better == rank)
                        want = (int64_t)i;
                }
                check(ids[rank] == want, "any", "topk", k, (double)ids[rank], (double)want);
                check(want < 0 ? isnan(scores[rank]) : scores[rank] == all[want], "any", "topk score",
                      k, scores[rank], 0);
            }
        }
}

int main(void)
{
    test_topk();
#if defined(RAUDO_EMULATED)
    test_kernels(&raudo_kernels_avx512);
    printf("avx512 (emulated): ");
#else
    const unsigned features = raudo_cpu_features();
    const raudo_kernels *kernels;
    for (size_t i = 0; (kernels = raudo_kernels_compiled(i)); i++) {
        if ((kernels->needs & features) == kernels->needs) {
            test_kernels(kernels);
            test_panels(kernels->isa, raudo_panel_kernels_for(kernels->isa));
            n_failed += test_sketches(kernels->isa);
            check(raudo_kernels_find(kernels->isa) == kernels, kernels->isa, "find", 0, 0, 0);
            printf("%s ", kernels->isa);
        } else {
            check(raudo_kernels_find(kernels->isa) == NULL, kernels->isa, "find", 0, 0, 0);
            printf("(not on this processor: %s) ", kernels->isa);
        }
    }
    check(raudo_kernels_find(NULL) != NULL, "fastest", "find", 0, 0, 0);
    check(raudo_kernels_find("none such") == NULL, "unknown", "find", 0, 0, 0);
#endif
    printf("%d checks, %d failed\n", n_checked, n_failed);
    return n_failed != 0;
}
