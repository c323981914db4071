/* The k nearest of sparse rows against all products, and the sieves against each other. */
#include "sparse/nearest.c"

#include <stdio.h>
#include <stdlib.h>

#include "test/random.h"

enum { MOST_ROWS = 1100, D = 96, K = 5 };

static int n_failed;

static void check(int ok, const char *what, size_t at)
{
    if (!ok && n_failed++ < 20)
        fprintf(stderr, "FAILED %s, at %zu\n", what, at);
}

static float dense[MOST_ROWS][D];

/* Unit rows of up to `most` numbers; every seventh is a copy of one before it. */
static void make_rows(size_t n, size_t most)
{
    memset(dense, 0, sizeof dense);
    for (size_t i = 0; i < n; i++) {
        if (i % 7 == 6) {
            memcpy(dense[i], dense[random_u32() % i], sizeof dense[i]);
            continue;
        }
        double length2 = 0;
        for (size_t j = 1 + random_u32() % most; j > 0; j--)
            dense[i][random_u32() % D] = (float)(random_u32() % 2001) - 1000.0f;
        for (size_t d = 0; d < D; d++)
            length2 += (double)dense[i][d] * (double)dense[i][d];
        for (size_t d = 0; d < D && length2 > 0; d++)
            dense[i][d] = (float)((double)dense[i][d] / sqrt(length2));
    }
}

static void test_nearest(size_t n, size_t most)
{
    static int64_t offsets[MOST_ROWS + 1], ids[MOST_ROWS * K];
    static uint16_t places[MOST_ROWS * D];
    static int16_t weights[MOST_ROWS * D];
    static float values[MOST_ROWS * D];
    static double scores[MOST_ROWS * K];
    static raudo_topk tops[MOST_ROWS];
    raudo_sparse rows = {offsets, places, values, weights, NULL, NULL, n, D};
    void *scratch = malloc(raudo_nearest_scratch(D));

    make_rows(n, most);
    for (size_t i = 0; i < n; i++) {
        offsets[i + 1] = offsets[i] + (int64_t)raudo_count_numbers(dense[i], D);
        raudo_gather_numbers(dense[i], D, places + offsets[i], values + offsets[i], weights + offsets[i]);
        tops[i] = (raudo_topk){scores + i * K, ids + i * K, K < n ? K : n, 0};
    }
    for (size_t lo = 0; lo < n; lo += RAUDO_TILE_ROWS)
        raudo_meet_rows(&rows, lo, lo + RAUDO_TILE_ROWS < n ? lo + RAUDO_TILE_ROWS : n, lo, n, tops, scratch);
    for (size_t i = 0; i < n; i++) {
        double best_scores[K];
        int64_t best_ids[K];
        raudo_topk best = {best_scores, best_ids, tops[i].k, 0};
        if (!raudo_is_complete(&rows, i, &tops[i]))
            raudo_offer_all(&rows, i, &tops[i], scratch);
        raudo_topk_finish(&tops[i]);
        for (size_t y = 0; y < n; y++) {
            float product = 0;
            for (size_t d = 0; d < D; d++)
                product += dense[i][d] * dense[y][d];
            raudo_topk_push(&best, -(double)product, (int64_t)y);
        }
        raudo_topk_finish(&best);
        for (size_t j = 0; j < tops[i].k; j++) {
            check(tops[i].ids[j] == best_ids[j], "the id of a nearest row", i);
            check(fabs(tops[i].scores[j] - best_scores[j]) < 1e-6, "its product", i);
        }
    }
    free(scratch);
}

static void test_sieves(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    enum { ROWS = 40, MOST = 12 };
    static int16_t panel[D * LANES], limits[ROWS], weights[ROWS * MOST];
    static uint16_t places[ROWS * MOST];
    static int64_t offsets[ROWS + 1];
    static hit found[ROWS], wanted[ROWS];
    int16_t theirs[LANES];
    raudo_sparse rows = {offsets, places, NULL, weights, NULL, NULL, ROWS, D};
    slice all = {&rows, limits, 0, ROWS};
    for (size_t round = 0; round < 100; round++) {
        for (size_t i = 0; i < D * LANES; i++)
            panel[i] = random_u32() % 4 ? 0 : (int16_t)(random_u32() % 20001) - 10000;
        for (size_t lane = 0; lane < LANES; lane++)
            theirs[lane] = (int16_t)(random_u32() % 4000);
        for (size_t row = 0; row < ROWS; row++) {
            offsets[row + 1] = offsets[row] + random_u32() % MOST;
            limits[row] = (int16_t)(random_u32() % 4000);
        }
        for (int64_t i = 0; i < offsets[ROWS]; i++) {
            weights[i] = (int16_t)((int32_t)(random_u32() % 20001) - 10000);
            places[i] = (uint16_t)(random_u32() % D);
        }
        size_t n = sift_plain(&all, panel, theirs, wanted);
        sift ways[] = {__builtin_cpu_supports("avx2") ? sift_avx2 : sift_plain,
                       __builtin_cpu_supports("avx512bw") ? sift_avx512 : sift_plain};
        for (size_t way = 0; way < 2; way++) {
            check(ways[way](&all, panel, theirs, found) == n, "as many hits", round);
            check(memcmp(found, wanted, n * sizeof(hit)) == 0, "the same hits", round);
        }
    }
#endif
}

int main(void)
{
    test_sieves();
    for (size_t n = 0; n <= 66; n++)
        test_nearest(n, 6);
    test_nearest(MOST_ROWS, 4);
    test_nearest(MOST_ROWS, D);
    if (n_failed)
        return 1;
    printf("sparse rows: ok\n");
    return 0;
}
