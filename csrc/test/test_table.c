/* The table against a plain array that says where each hash is, through growth, removal and reuse; and
 * the ghost against the order of arrival. Hashes of many kinds: runs, strides, few homes, all equal. */
#include <stdio.h>
#include <stdlib.h>

#include "table/ghost.h"
#include "table/table.h"
#include "table/two_queue.h"
#include "test/random.h"

#define HASHES 40000u

static int n_failed;

static void check(int ok, const char *what, uint32_t kind, uint32_t at)
{
    if (!ok && n_failed++ < 20) fprintf(stderr, "FAILED %s, kind %u, at %u\n", what, kind, at);
}

enum { RUNS, STRIDE, SPREAD, LOW_BITS, FEW_HOMES, SHORT_RUNS, KINDS };

/* The i-th hash of a kind; different for different i. */
static uint32_t hash_of(uint32_t kind, uint32_t i)
{
    switch (kind) {
    case RUNS: return i;
    case STRIDE: return i << 16 | i >> 16;
    case SPREAD: return i * UINT32_C(2654435769);
    case LOW_BITS: return i * 4;
    case FEW_HOMES: return (i % 50) * UINT32_C(2654435769) + i / 50 * UINT32_C(0x10000001);
    default: return i % 40 + (i / 40) * UINT32_C(3432918353); /* short runs, far apart */
    }
}

static uint32_t where[HASHES];

static void check_all(const raudo_table *t, uint32_t kind, uint32_t n)
{
    uint32_t n_live = 0;
    for (uint32_t i = 0; i < n; i++) {
        check(raudo_find_hash(t, hash_of(kind, i)) == where[i], "find", kind, i);
        n_live += where[i] != RAUDO_NO_SLOT;
    }
    check(t->n_live == n_live, "n_live", kind, n);
}

static void insert(raudo_table *t, uint32_t hash, uint32_t *slot, uint64_t limit)
{
    if (raudo_reserve(t, limit) < 0) abort();
    *slot = raudo_take(t);
    t->entries[*slot] = (raudo_entry){.key = t, .hash = hash};
    raudo_index_slot(t, *slot);
    t->n_live++;
}

static void take_out(raudo_table *t, uint32_t *slot)
{
    raudo_unindex_slot(t, *slot);
    t->n_live--;
    raudo_give_back(t, *slot);
    *slot = RAUDO_NO_SLOT;
}

static void test_table(uint32_t kind, uint32_t n, uint64_t limit)
{
    raudo_table t;
    raudo_table_init(&t);
    for (uint32_t i = 0; i < n; i++) where[i] = RAUDO_NO_SLOT;
    check_all(&t, kind, n);
    for (uint32_t step = 0; step < n * 4; step++) {
        const uint32_t i = random_u32() % n;
        if (where[i] == RAUDO_NO_SLOT && t.n_live < limit) {
            insert(&t, hash_of(kind, i), &where[i], limit);
        } else if (where[i] != RAUDO_NO_SLOT && random_u32() % 3 == 0) {
            take_out(&t, &where[i]);
        } else if (where[i] != RAUDO_NO_SLOT && random_u32() % 3 == 0) { /* a full cache's insert */
            const uint32_t other = random_u32() % n;
            if (where[other] == RAUDO_NO_SLOT) {
                raudo_replace(&t, where[i], &t, &t, hash_of(kind, other), 0);
                where[other] = where[i];
                where[i] = RAUDO_NO_SLOT;
            }
        }
        check(raudo_find_hash(&t, hash_of(kind, i)) == where[i], "find", kind, i);
        if (step % (n / 4 + 1) == 0) check_all(&t, kind, n);
    }
    check_all(&t, kind, n);
    for (uint32_t i = 0; i < n; i++) {
        if (where[i] != RAUDO_NO_SLOT) take_out(&t, &where[i]);
    }
    check_all(&t, kind, n);
    for (uint32_t i = 0; !raudo_is_moving(&t) && i < t.index.n_words; i++) {
        check(t.index.words[i] == 0, "words left", kind, i);
    }
    raudo_table_free(&t);
}

/* Equal hashes: found by slot alone. */
static void test_equal_hashes(void)
{
    enum { N = 300 };
    raudo_table t;
    raudo_table_init(&t);
    for (uint32_t i = 0; i < N; i++) insert(&t, 7, &where[i], N);
    for (uint32_t i = 0; i < N; i++) {
        check(raudo_index_place(&t.index, 7, where[i]) != RAUDO_NO_SLOT, "place", N, i);
    }
    for (uint32_t left = N; left > 0; left--) {
        const uint32_t i = random_u32() % left;
        take_out(&t, &where[i]);
        where[i] = where[left - 1];
        for (uint32_t j = 0; j < left - 1; j++) {
            check(raudo_index_place(&t.index, 7, where[j]) != RAUDO_NO_SLOT, "place", left, j);
        }
    }
    raudo_table_free(&t);
}

static void test_ghost(uint32_t capacity)
{
    raudo_ghost g = {0};
    raudo_ghost_add(&g, 1);
    check(!raudo_ghost_take(&g, 1), "ghost of no size", 0, 0);
    if (raudo_ghost_reset(&g, capacity) < 0) abort();
    uint32_t n_kept = 0, n_asked = 0, n_false = 0;
    const uint32_t n = capacity * 20;
    for (uint32_t i = 0; i < n; i++) {
        raudo_ghost_add(&g, i * UINT32_C(2654435769));
        if (i < capacity * 2 || i % 7 != 0) continue;
        const uint32_t back = random_u32() % capacity; /* came within reach: is almost always there */
        n_asked++;
        if (raudo_ghost_take(&g, (i - back) * UINT32_C(2654435769))) {
            n_kept++;
            check(!raudo_ghost_take(&g, (i - back) * UINT32_C(2654435769)), "taken twice", capacity, i);
        }
        n_false += (uint32_t)raudo_ghost_take(&g, (i - capacity - capacity / 8 - 2) * UINT32_C(2654435769));
    }
    /* A ghost may have been taken before, by another draw: one in seven at the most. */
    check(n_kept >= n_asked * 3 / 4, "ghosts kept", capacity, n_kept);
    check(n_false <= n_asked / 50, "ghosts too old", capacity, n_false);
    for (uint32_t i = 0; i < 40; i++) raudo_ghost_add(&g, 7); /* several keys of one hash */
    for (uint32_t i = 0; i < 8; i++) check(raudo_ghost_take(&g, 7), "equal ghosts", capacity, i);
    check(!raudo_ghost_take(&g, 7), "no more equal ghosts", capacity, 0);
    raudo_ghost_free(&g);
}

int main(void)
{
    const uint32_t sizes[] = {1, 2, 5, 30, 1000, 3000, HASHES};
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            test_table(kind, sizes[i], sizes[i]);
            test_table(kind, sizes[i], sizes[i] / 2 + 1);
        }
    }
    test_equal_hashes();
    for (uint32_t capacity = 16; capacity < 20000; capacity *= 5) test_ghost(capacity);
    if (n_failed) fprintf(stderr, "%d checks failed\n", n_failed);
    return n_failed != 0;
}
