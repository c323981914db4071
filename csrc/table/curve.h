/* A miss-ratio curve kept online: how many lookups an LRU cache of each of a few sizes would have hit.
 *
 * Only keys whose mixed hash falls into a fixed share are followed, and sizes are scaled by that share
 * (SHARDS: Waldspurger, Park, Garthwaite, Ahmad, "Efficient MRC Construction with SHARDS", FAST 2015,
 * https://www.usenix.org/conference/fast15). What is followed is one LRU list, cut into regions at the
 * scaled sizes (Kim, Hill, Wood, "Implementing Stack Simulation for Highly-Associative Memories",
 * SIGMETRICS 1991): a hit in region r is one for every size that reaches r. Exact at those sizes, and a
 * hit moves one key over each border before it, where an order-statistics tree would take the logarithm
 * of all keys; a hot key crosses none.
 */
#ifndef RAUDO_CURVE_H
#define RAUDO_CURVE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "table/table.h"

typedef struct {
    uint32_t hash;
    uint32_t prev, next; /* towards the most recent, towards the least */
    uint32_t region;
} raudo_curve_node;

typedef struct {
    uint64_t below; /* keys mixed to less than this are followed: the share of all, times 2^32 */
    raudo_curve_node *nodes;
    uint32_t *index; /* linear probing over node + 1 */
    uint32_t mask;
    uint32_t head, length, n_used, free_head;
    uint32_t n_regions;
    uint32_t *limits; /* [n_regions], ascending: keys in this region and all before it */
    uint32_t *last;   /* [n_regions]: least recent node of each region that is not empty */
    uint64_t *hits;   /* [n_regions] */
    uint64_t n_lookups;
} raudo_curve;

static inline uint32_t raudo_curve_home(const raudo_curve *c, uint32_t hash) {
    return raudo_mix(hash) * 0x9E3779B1u >> 7 & c->mask;
}

static inline void raudo_curve_free(raudo_curve *c) {
    free(c->nodes);
    free(c->index);
    free(c->limits);
    free(c->last);
    free(c->hits);
    memset(c, 0, sizeof *c);
}

/* `limits` is copied. 0 on success; -1 when memory is short, and `c` is empty then. */
static inline int raudo_curve_init(raudo_curve *c, uint64_t below, const uint32_t *limits,
                                   uint32_t n_regions) {
    const uint32_t capacity = limits[n_regions - 1];
    if (capacity > UINT32_C(1) << 30) return -1; /* more than any memory holds */
    uint32_t length = 16;
    while (length / 2 < capacity) length *= 2;
    memset(c, 0, sizeof *c);
    c->below = below;
    c->nodes = (raudo_curve_node *)malloc(capacity * sizeof *c->nodes);
    c->index = (uint32_t *)calloc(length, sizeof *c->index);
    c->limits = (uint32_t *)malloc(n_regions * sizeof *c->limits);
    c->last = (uint32_t *)malloc(n_regions * sizeof *c->last);
    c->hits = (uint64_t *)calloc(n_regions, sizeof *c->hits);
    if (!c->nodes || !c->index || !c->limits || !c->last || !c->hits) {
        raudo_curve_free(c);
        return -1;
    }
    memcpy(c->limits, limits, n_regions * sizeof *limits);
    c->mask = length - 1;
    c->n_regions = n_regions;
    c->head = c->free_head = RAUDO_NO_SLOT;
    return 0;
}

/* Place of the hash in the index, or the empty one where it belongs. */
static inline uint32_t raudo_curve_find(const raudo_curve *c, uint32_t hash) {
    uint32_t i = raudo_curve_home(c, hash);
    while (c->index[i] != 0 && c->nodes[c->index[i] - 1].hash != hash) i = (i + 1) & c->mask;
    return i;
}

static inline void raudo_curve_unindex(raudo_curve *c, uint32_t hole) {
    for (uint32_t i = (hole + 1) & c->mask; c->index[i] != 0; i = (i + 1) & c->mask) {
        const uint32_t home = raudo_curve_home(c, c->nodes[c->index[i] - 1].hash);
        if (((i - home) & c->mask) >= ((i - hole) & c->mask)) {
            c->index[hole] = c->index[i];
            hole = i;
        }
    }
    c->index[hole] = 0;
}

/* Take a node out of the list; the borders before it stay, and so does `length`. */
static inline void raudo_curve_unlink(raudo_curve *c, uint32_t at) {
    const raudo_curve_node *node = &c->nodes[at];
    if (c->last[node->region] == at) c->last[node->region] = node->prev;
    if (node->prev != RAUDO_NO_SLOT) {
        c->nodes[node->prev].next = node->next;
    } else {
        c->head = node->next;
    }
    if (node->next != RAUDO_NO_SLOT) c->nodes[node->next].prev = node->prev;
}

static inline void raudo_curve_push(raudo_curve *c, uint32_t at) {
    raudo_curve_node *node = &c->nodes[at];
    node->prev = RAUDO_NO_SLOT;
    node->next = c->head;
    node->region = 0;
    if (c->head != RAUDO_NO_SLOT) c->nodes[c->head].prev = at;
    c->head = at;
}

/* Hand the last key of a region on to the next one. */
static inline void raudo_curve_hand_on(raudo_curve *c, uint32_t region) {
    const uint32_t moved = c->last[region];
    c->nodes[moved].region = region + 1;
    c->last[region] = c->nodes[moved].prev;
    if (c->length == c->limits[region] + 1) c->last[region + 1] = moved; /* its first key */
}

static inline void raudo_curve_remove(raudo_curve *c, uint32_t place) {
    const uint32_t at = c->index[place] - 1;
    const uint32_t region = c->nodes[at].region;
    raudo_curve_unindex(c, place);
    raudo_curve_unlink(c, at);
    for (uint32_t r = region; r + 1 < c->n_regions && c->length > c->limits[r]; r++) {
        const uint32_t before = c->last[r];
        const uint32_t moved = before != RAUDO_NO_SLOT ? c->nodes[before].next : c->head;
        c->nodes[moved].region = r;
        c->last[r] = moved;
    }
    c->length--;
    c->nodes[at].next = c->free_head;
    c->free_head = at;
}

/* Make the key of this hash the most recent. Its region before that; n_regions where it was in none. */
static inline uint32_t raudo_curve_touch(raudo_curve *c, uint32_t hash) {
    uint32_t place = raudo_curve_find(c, hash);
    if (c->index[place] != 0) {
        const uint32_t at = c->index[place] - 1;
        const uint32_t region = c->nodes[at].region;
        if (c->head == at) return region;
        raudo_curve_unlink(c, at);
        raudo_curve_push(c, at);
        for (uint32_t r = 0; r < region; r++) {
            const uint32_t moved = c->last[r];
            c->nodes[moved].region = r + 1;
            c->last[r] = c->nodes[moved].prev;
        }
        /* It was the only key of its region: the one that came over the border is now. */
        return region;
    }
    if (c->length == c->limits[c->n_regions - 1]) {
        raudo_curve_remove(c, raudo_curve_find(c, c->nodes[c->last[c->n_regions - 1]].hash));
        place = raudo_curve_find(c, hash);
    }
    uint32_t at = c->free_head;
    if (at != RAUDO_NO_SLOT) {
        c->free_head = c->nodes[at].next;
    } else {
        at = c->n_used++;
    }
    c->nodes[at].hash = hash;
    c->index[place] = at + 1;
    raudo_curve_push(c, at);
    if (++c->length == 1) c->last[0] = at;
    for (uint32_t r = 0; c->length > c->limits[r]; r++) raudo_curve_hand_on(c, r);
    return c->n_regions;
}

static inline int raudo_curve_follows(const raudo_curve *c, uint32_t hash) {
    return raudo_mix(hash) < c->below;
}

/* A lookup: counts. */
static inline void raudo_curve_look_up(raudo_curve *c, uint32_t hash) {
    if (!raudo_curve_follows(c, hash)) return;
    const uint32_t region = raudo_curve_touch(c, hash);
    c->n_lookups++;
    if (region < c->n_regions) c->hits[region]++;
}

/* The key was stored: it would be there at any size. */
static inline void raudo_curve_store(raudo_curve *c, uint32_t hash) {
    if (raudo_curve_follows(c, hash)) (void)raudo_curve_touch(c, hash);
}

/* The key was removed or has expired: it would be there at no size. */
static inline void raudo_curve_forget(raudo_curve *c, uint32_t hash) {
    if (!raudo_curve_follows(c, hash)) return;
    const uint32_t place = raudo_curve_find(c, hash);
    if (c->index[place] != 0) raudo_curve_remove(c, place);
}

/* The same for every key. */
static inline void raudo_curve_forget_all(raudo_curve *c) {
    memset(c->index, 0, ((size_t)c->mask + 1) * sizeof *c->index);
    c->head = c->free_head = RAUDO_NO_SLOT;
    c->length = c->n_used = 0;
}

#endif
