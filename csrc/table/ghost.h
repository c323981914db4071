/* Hashes of keys that left lately, oldest forgotten first: what S3-FIFO knows of strangers.
 *
 * A ring of hashes and an open-addressed index of ring positions at most half full; 12 bytes a ghost.
 * A hash that is taken out leaves its ring place dead until the ring comes round. No Python.h.
 */
#ifndef RAUDO_GHOST_H
#define RAUDO_GHOST_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint32_t *ring;  /* hashes */
    uint8_t *live;   /* by ring place */
    uint32_t *index; /* ring place + 1, or 0 */
    uint32_t capacity, mask, next;
} raudo_ghost;

static inline void raudo_ghost_free(raudo_ghost *g) {
    free(g->ring);
    free(g->live);
    free(g->index);
    *g = (raudo_ghost){0};
}

/* Start over with room for `capacity` hashes. 0 on success, -1 when memory is short. */
static inline int raudo_ghost_reset(raudo_ghost *g, uint32_t capacity) {
    raudo_ghost_free(g);
    uint32_t length = 8;
    while (length < (uint64_t)capacity * 2 && length < (1u << 31)) length *= 2;
    g->ring = (uint32_t *)calloc(capacity, sizeof *g->ring);
    g->live = (uint8_t *)calloc(capacity, 1);
    g->index = (uint32_t *)calloc(length, sizeof *g->index);
    if (g->ring == NULL || g->live == NULL || g->index == NULL) {
        raudo_ghost_free(g);
        return -1;
    }
    g->capacity = capacity;
    g->mask = length - 1;
    return 0;
}

static inline uint32_t raudo_ghost_home(const raudo_ghost *g, uint32_t hash) {
    return (uint32_t)(((uint64_t)hash * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & g->mask;
}

/* Place in the index where the hash is, or the empty place where the search ended. */
static inline uint32_t raudo_ghost_find(const raudo_ghost *g, uint32_t hash) {
    uint32_t i = raudo_ghost_home(g, hash);
    while (g->index[i] != 0 && g->ring[g->index[i] - 1] != hash) i = (i + 1) & g->mask;
    return i;
}

static inline void raudo_ghost_unindex(raudo_ghost *g, uint32_t hole) {
    for (uint32_t i = (hole + 1) & g->mask; g->index[i] != 0; i = (i + 1) & g->mask) {
        const uint32_t home = raudo_ghost_home(g, g->ring[g->index[i] - 1]);
        if (((i - home) & g->mask) >= ((i - hole) & g->mask)) {
            g->index[hole] = g->index[i];
            hole = i;
        }
    }
    g->index[hole] = 0;
}

/* Take the hash out; 1 where it was there. */
static inline int raudo_ghost_take(raudo_ghost *g, uint32_t hash) {
    if (g->capacity == 0) return 0;
    const uint32_t i = raudo_ghost_find(g, hash);
    if (g->index[i] == 0) return 0;
    g->live[g->index[i] - 1] = 0;
    raudo_ghost_unindex(g, i);
    return 1;
}

static inline void raudo_ghost_add(raudo_ghost *g, uint32_t hash) {
    if (g->capacity == 0) return;
    (void)raudo_ghost_take(g, hash); /* a hash is there once, at its latest */
    const uint32_t place = g->next;
    g->next = place + 1 == g->capacity ? 0 : place + 1;
    if (g->live[place]) raudo_ghost_unindex(g, raudo_ghost_find(g, g->ring[place]));
    g->ring[place] = hash;
    g->live[place] = 1;
    g->index[raudo_ghost_find(g, hash)] = place + 1;
}

#endif
