/* A miss-ratio curve kept online: how many lookups an LRU cache of each of a few sizes would have hit.
 *
 * Only keys whose mixed hash falls into a fixed share are followed, and sizes are scaled by that share
 * (SHARDS: Waldspurger, Park, Garthwaite, Ahmad, "Efficient MRC Construction with SHARDS", FAST 2015,
 * https://www.usenix.org/conference/fast15). What is followed is one LRU list, cut into regions at the
 * scaled sizes (Kim, Hill, Wood, "Implementing Stack Simulation for Highly-Associative Memories",
 * SIGMETRICS 1991): a hit in region r is one for every size that reaches r. Exact at those sizes, and a
 * hit moves one key over each border before it, where an order-statistics tree would take the logarithm
 * of all keys; a hot key crosses none.
 *
 * A size is a number of keys, or with weights a sum of them: the keys before a border are always the most
 * recent ones that fit, as many as do. How many keys a weight will hold is not known beforehand; where
 * they are more than there are nodes, half of them are followed no more, and what was counted is halved.
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
    uint32_t weight;
} raudo_curve_node;

struct raudo_curve {
    uint64_t below; /* keys mixed to less than this are followed: the share of all, times 2^32 */
    raudo_curve_node *nodes;
    uint32_t *index; /* linear probing over node + 1 */
    uint32_t mask;
    uint32_t head, length, n_nodes, n_used, free_head;
    uint32_t n_regions;
    uint32_t is_weighted;
    uint64_t *limits; /* [n_regions], ascending: weight of the keys in this region and all before it */
    uint64_t *sums;   /* [n_regions]: that weight as it is */
    uint32_t *last;   /* [n_regions]: least recent node of each region; RAUDO_NO_SLOT in an empty one */
    uint64_t *hits;   /* [n_regions] */
    uint64_t n_lookups;
    uint64_t due; /* lookups after which whoever keeps the curve wants to look at it */
};

static inline uint32_t raudo_curve_home(const raudo_curve *c, uint32_t hash) {
    return raudo_mix(hash) * 0x9E3779B1u >> 7 & c->mask;
}

static inline void raudo_curve_free(raudo_curve *c) {
    free(c->nodes);
    free(c->index);
    free(c->limits);
    free(c->sums);
    free(c->last);
    free(c->hits);
    memset(c, 0, sizeof *c);
}

/* Forget all keys; the counts stay. */
static inline void raudo_curve_forget_all(raudo_curve *c) {
    memset(c->index, 0, ((size_t)c->mask + 1) * sizeof *c->index);
    memset(c->sums, 0, c->n_regions * sizeof *c->sums);
    for (uint32_t r = 0; r < c->n_regions; r++) c->last[r] = RAUDO_NO_SLOT;
    c->head = c->free_head = RAUDO_NO_SLOT;
    c->length = c->n_used = 0;
}

/* `limits` is copied. `n_nodes` is 0 where each key weighs 1. 0 on success; -1 when memory is short, and
 * `c` is empty then. */
static inline int raudo_curve_init(raudo_curve *c, uint64_t below, const uint64_t *limits,
                                   uint32_t n_regions, uint32_t n_nodes) {
    memset(c, 0, sizeof *c);
    c->is_weighted = n_nodes != 0;
    if (!c->is_weighted) {
        if (limits[n_regions - 1] > UINT64_C(1) << 30) return -1; /* more than any memory holds */
        n_nodes = (uint32_t)limits[n_regions - 1] + 1; /* one is over before another leaves */
    }
    uint32_t length = 16;
    while (length / 2 < n_nodes) length *= 2;
    c->below = below;
    c->n_nodes = n_nodes;
    c->nodes = (raudo_curve_node *)malloc(n_nodes * sizeof *c->nodes);
    c->index = (uint32_t *)malloc(length * sizeof *c->index);
    c->limits = (uint64_t *)malloc(n_regions * sizeof *c->limits);
    c->sums = (uint64_t *)malloc(n_regions * sizeof *c->sums);
    c->last = (uint32_t *)malloc(n_regions * sizeof *c->last);
    c->hits = (uint64_t *)calloc(n_regions, sizeof *c->hits);
    if (!c->nodes || !c->index || !c->limits || !c->sums || !c->last || !c->hits) {
        raudo_curve_free(c);
        return -1;
    }
    memcpy(c->limits, limits, n_regions * sizeof *limits);
    c->mask = length - 1;
    c->n_regions = n_regions;
    c->due = UINT64_MAX;
    raudo_curve_forget_all(c);
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

/* --- the list and its borders --- */

/* What is last in its region once the last is gone from there. */
static inline uint32_t raudo_curve_before(const raudo_curve *c, uint32_t at) {
    const uint32_t prev = c->nodes[at].prev;
    return prev != RAUDO_NO_SLOT && c->nodes[prev].region == c->nodes[at].region ? prev : RAUDO_NO_SLOT;
}

/* Take a node out of the list; the sums stay. */
static inline void raudo_curve_unlink(raudo_curve *c, uint32_t at) {
    const raudo_curve_node *node = &c->nodes[at];
    if (c->last[node->region] == at) c->last[node->region] = raudo_curve_before(c, at);
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
    if (c->last[0] == RAUDO_NO_SLOT) c->last[0] = at;
    c->head = at;
}

/* Hand the last key of a region, not the last one, on to the next. */
static inline void raudo_curve_hand_on(raudo_curve *c, uint32_t region) {
    const uint32_t moved = c->last[region];
    c->last[region] = raudo_curve_before(c, moved);
    c->nodes[moved].region = region + 1;
    if (c->last[region + 1] == RAUDO_NO_SLOT) c->last[region + 1] = moved; /* its first */
    c->sums[region] -= c->nodes[moved].weight;
}

/* Take back over the borders from this one on what fits before them again. */
static inline void raudo_curve_take_back(raudo_curve *c, uint32_t region) {
    uint32_t before = RAUDO_NO_SLOT; /* the last node before the border */
    for (uint32_t r = 0; r < c->n_regions; r++) {
        if (c->last[r] != RAUDO_NO_SLOT) before = c->last[r];
        if (r < region) continue;
        for (;;) {
            const uint32_t at = before != RAUDO_NO_SLOT ? c->nodes[before].next : c->head;
            if (at == RAUDO_NO_SLOT) return;
            raudo_curve_node *node = &c->nodes[at];
            if (c->sums[r] + node->weight > c->limits[r]) break;
            if (c->last[node->region] == at) c->last[node->region] = RAUDO_NO_SLOT; /* its only one */
            for (uint32_t q = r; q < node->region; q++) c->sums[q] += node->weight;
            node->region = r;
            c->last[r] = before = at;
        }
    }
}

/* Forget one key, of those that are there. */
static inline void raudo_curve_drop(raudo_curve *c, uint32_t place) {
    const uint32_t at = c->index[place] - 1;
    raudo_curve_unindex(c, place);
    raudo_curve_unlink(c, at);
    for (uint32_t r = c->nodes[at].region; r < c->n_regions; r++) c->sums[r] -= c->nodes[at].weight;
    c->length--;
    c->nodes[at].next = c->free_head;
    c->free_head = at;
}

static inline void raudo_curve_remove(raudo_curve *c, uint32_t place) {
    const uint32_t region = c->nodes[c->index[place] - 1].region;
    raudo_curve_drop(c, place);
    raudo_curve_take_back(c, region);
}

/* Hand on what is over the borders. */
static inline void raudo_curve_settle(raudo_curve *c) {
    const uint32_t end = c->n_regions - 1;
    for (uint32_t r = 0; r < end; r++) {
        while (c->sums[r] > c->limits[r]) raudo_curve_hand_on(c, r);
    }
    while (c->sums[end] > c->limits[end]) {
        raudo_curve_drop(c, raudo_curve_find(c, c->nodes[c->last[end]].hash));
    }
}

static inline int raudo_curve_follows(const raudo_curve *c, uint32_t hash) {
    return raudo_mix(hash) < c->below;
}

/* Follow half of the keys from now on, as if it had never been more. Takes as long as there are nodes. */
static inline void raudo_curve_thin(raudo_curve *c) {
    c->below /= 2;
    c->n_lookups /= 2;
    for (uint32_t r = 0; r < c->n_regions; r++) {
        c->hits[r] /= 2;
        c->limits[r] = c->limits[r] > 1 ? c->limits[r] / 2 : 1;
    }
    for (uint32_t at = c->head, next; at != RAUDO_NO_SLOT; at = next) {
        next = c->nodes[at].next;
        if (!raudo_curve_follows(c, c->nodes[at].hash)) {
            raudo_curve_drop(c, raudo_curve_find(c, c->nodes[at].hash));
        }
    }
    raudo_curve_settle(c);
    raudo_curve_take_back(c, 0);
}

/* --- what happens to keys that are followed --- */

/* Make a key that is there the most recent; its region before. */
static inline uint32_t raudo_curve_raise(raudo_curve *c, uint32_t at) {
    const uint32_t region = c->nodes[at].region;
    if (c->head == at) return region;
    raudo_curve_unlink(c, at);
    raudo_curve_push(c, at);
    for (uint32_t r = 0; r < region; r++) {
        c->sums[r] += c->nodes[at].weight;
        while (c->sums[r] > c->limits[r]) raudo_curve_hand_on(c, r);
    }
    return region;
}

static inline void raudo_curve_add(raudo_curve *c, uint32_t hash, uint32_t weight) {
    if (weight > c->limits[c->n_regions - 1]) return; /* no cache would take it */
    while (c->length == c->n_nodes) {
        raudo_curve_thin(c);
        if (!raudo_curve_follows(c, hash)) return;
    }
    uint32_t at = c->free_head;
    if (at != RAUDO_NO_SLOT) {
        c->free_head = c->nodes[at].next;
    } else {
        at = c->n_used++;
    }
    c->nodes[at].hash = hash;
    c->nodes[at].weight = weight;
    c->index[raudo_curve_find(c, hash)] = at + 1;
    c->length++;
    raudo_curve_push(c, at);
    for (uint32_t r = 0; r < c->n_regions; r++) c->sums[r] += weight;
    raudo_curve_settle(c);
}

/* A lookup: counts. A key that is not known is from now on, unless its weight is yet to be told. */
static inline void raudo_curve_look_up(raudo_curve *c, uint32_t hash) {
    if (!raudo_curve_follows(c, hash)) return;
    c->n_lookups++;
    const uint32_t node = c->index[raudo_curve_find(c, hash)];
    if (node != 0) {
        c->hits[raudo_curve_raise(c, node - 1)]++;
    } else if (!c->is_weighted) {
        raudo_curve_add(c, hash, 1);
    }
}

/* The key was stored: it would be there at any size. */
static inline void raudo_curve_store(raudo_curve *c, uint32_t hash, uint32_t weight) {
    if (!raudo_curve_follows(c, hash)) return;
    if (!c->is_weighted) weight = 1;
    if (c->head != RAUDO_NO_SLOT && c->nodes[c->head].hash == hash && c->nodes[c->head].weight == weight) {
        return; /* it was looked up just now */
    }
    const uint32_t place = raudo_curve_find(c, hash);
    if (c->index[place] != 0) {
        if (c->nodes[c->index[place] - 1].weight == weight) {
            (void)raudo_curve_raise(c, c->index[place] - 1);
            return;
        }
        raudo_curve_remove(c, place);
    }
    raudo_curve_add(c, hash, weight);
}

/* Know, in the same order, the keys that another curve knows, as far as both follow them. */
static inline void raudo_curve_take_over(raudo_curve *c, const raudo_curve *other) {
    uint32_t at = other->head;
    if (at == RAUDO_NO_SLOT) return;
    while (other->nodes[at].next != RAUDO_NO_SLOT) at = other->nodes[at].next;
    for (; at != RAUDO_NO_SLOT; at = other->nodes[at].prev) {
        raudo_curve_store(c, other->nodes[at].hash, other->nodes[at].weight);
    }
}

/* The key was removed or has expired: it would be there at no size. */
static inline void raudo_curve_forget(raudo_curve *c, uint32_t hash) {
    if (!raudo_curve_follows(c, hash)) return;
    const uint32_t place = raudo_curve_find(c, hash);
    if (c->index[place] != 0) raudo_curve_remove(c, place);
}

typedef enum { RAUDO_LOOKED_UP, RAUDO_STORED_KEY, RAUDO_LEFT } raudo_curve_event;

static inline void raudo_curve_tell(raudo_curve *c, raudo_curve_event what, uint32_t hash, uint32_t weight) {
    if (what == RAUDO_LOOKED_UP) {
        raudo_curve_look_up(c, hash);
    } else if (what == RAUDO_STORED_KEY) {
        raudo_curve_store(c, hash, weight);
    } else {
        raudo_curve_forget(c, hash);
    }
}

#endif
