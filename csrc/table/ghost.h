/* Hashes of keys that left lately, forgotten in the order they came: what S3-FIFO knows of strangers.
 *
 * Buckets of eight 32-bit words, half a cache line, each a fingerprint and the time it came, counted in
 * arrivals; a ghost is gone when as many have come since as there may be (a hash table of fingerprints
 * and times is what S3-FIFO's authors propose: Yang et al., SOSP 2023, section 4.2). A bucket full of
 * ghosts loses its oldest early: with a quarter more words than ghosts, one in thirty. Five bytes a
 * ghost, where a ring and an exact index over it take thirteen. No Python.h.
 */
#ifndef RAUDO_GHOST_H
#define RAUDO_GHOST_H

#include "table/block.h"

#define RAUDO_GHOST_BUCKET 8 /* words */
#define RAUDO_GHOST_TIME 4095u      /* the low bits of a word: when it came, in ticks */
#define RAUDO_GHOST_LONGEST 1024u   /* ticks that one stays at the most: a quarter of the clock's round */
#define RAUDO_GHOST_USED (1u << 31) /* the fingerprint's highest bit */

typedef struct {
    uint32_t *words; /* 0: free */
    uint32_t n_buckets;
    uint32_t capacity;
    uint32_t tick; /* arrivals a tick */
    uint32_t life; /* ticks that a ghost stays */
    uint32_t now;  /* in ticks */
    uint32_t n_since_tick;
} raudo_ghost;

static inline size_t raudo_ghost_size(const raudo_ghost *g) {
    return (size_t)g->n_buckets * RAUDO_GHOST_BUCKET * sizeof *g->words;
}

static inline void raudo_ghost_free(raudo_ghost *g) {
    raudo_block_free(g->words, raudo_ghost_size(g));
    *g = (raudo_ghost){0};
}

/* Start over with room for `capacity` hashes. 0 on success, -1 when memory is short. */
static inline int raudo_ghost_reset(raudo_ghost *g, uint32_t capacity) {
    raudo_ghost_free(g);
    const uint64_t n_words = (uint64_t)capacity * 5 / 4;
    g->n_buckets = (uint32_t)(n_words / RAUDO_GHOST_BUCKET) + 1;
    g->words = (uint32_t *)raudo_block_zeroed(raudo_ghost_size(g));
    if (g->words == NULL) {
        *g = (raudo_ghost){0};
        return -1;
    }
    g->capacity = capacity;
    g->tick = (capacity + RAUDO_GHOST_LONGEST - 1) / RAUDO_GHOST_LONGEST;
    g->life = (capacity + g->tick - 1) / g->tick;
    return 0;
}

static inline uint32_t *raudo_ghost_bucket(const raudo_ghost *g, uint32_t hash) {
    const uint32_t spread = hash * UINT32_C(0x9E3779B1);
    return &g->words[((uint64_t)spread * g->n_buckets >> 32) * RAUDO_GHOST_BUCKET];
}

static inline uint32_t raudo_ghost_fingerprint(uint32_t hash) {
    return (hash * UINT32_C(0xC2B2AE35) & ~RAUDO_GHOST_TIME) | RAUDO_GHOST_USED;
}

static inline uint32_t raudo_ghost_age(const raudo_ghost *g, uint32_t word) {
    return (g->now - word) & RAUDO_GHOST_TIME;
}

/* Take the hash out; 1 where it was there. */
static inline int raudo_ghost_take(raudo_ghost *g, uint32_t hash) {
    if (g->capacity == 0) return 0;
    uint32_t *bucket = raudo_ghost_bucket(g, hash);
    const uint32_t fingerprint = raudo_ghost_fingerprint(hash);
    uint32_t found = 0;
    for (uint32_t i = 0; i < RAUDO_GHOST_BUCKET; i++) { /* without a branch: all at once */
        found = (bucket[i] & ~RAUDO_GHOST_TIME) == fingerprint ? i + 1 : found;
    }
    if (found == 0) return 0;
    const int is_there = raudo_ghost_age(g, bucket[found - 1]) < g->life;
    bucket[found - 1] = 0;
    return is_there;
}

/* Several keys may have the hash: it may be there before, and is once more. */
static inline void raudo_ghost_add(raudo_ghost *g, uint32_t hash) {
    if (g->capacity == 0) return;
    if (++g->n_since_tick >= g->tick) {
        g->n_since_tick = 0;
        g->now++;
    }
    uint32_t *bucket = raudo_ghost_bucket(g, hash);
    int32_t oldest = 0; /* its age and place */
    for (int32_t i = 0; i < RAUDO_GHOST_BUCKET; i++) {
        const uint32_t age = bucket[i] == 0 ? RAUDO_GHOST_TIME + 1 : raudo_ghost_age(g, bucket[i]);
        const int32_t aged = (int32_t)age * RAUDO_GHOST_BUCKET + i;
        oldest = aged > oldest ? aged : oldest;
    }
    bucket[oldest % RAUDO_GHOST_BUCKET] = raudo_ghost_fingerprint(hash) | (g->now & RAUDO_GHOST_TIME);
}

#endif
