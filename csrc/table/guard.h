/* Which of two orders of eviction does better on this very workload, the learned one or a plain one.
 *
 * The plain one is seniority: what was used least often leaves, and of those the last to come. It needs
 * to learn nothing, so that a cache starts with it, and does well in loops and scans longer than what
 * the learner has seen of them. Miniature caches replay the requests of the sampled keys under both,
 * as large as the cache times the sampling rate, so that their hit ratios estimate the cache's own
 * (Waldspurger et al., "Cache Modeling and Optimization using Miniature Simulations", USENIX ATC 2017).
 * Both go by the usage that the tracker keeps; a change of order moves nothing. No Python.h.
 */
#ifndef RAUDO_GUARD_H
#define RAUDO_GUARD_H

#include "table/learner.h"

#define RAUDO_SHORTEST_EPOCH 100 /* sampled requests */
#define RAUDO_LEAST_JUDGED 100   /* entries of a cache whose order is judged */
#define RAUDO_MINI_DRAW 8
#define RAUDO_LEAST_LEAD 0.003 /* of hit ratio, by which the other must be better */
#define RAUDO_EPOCH_SHARE 0.3  /* of an epoch in the moving means */

typedef struct {
    raudo_order order;
    uint32_t n_requests, epoch, n_epochs;
    uint32_t n_switches;
    uint32_t is_wanted, is_on; /* is on where there is enough to judge by */
    double lead;     /* moving mean of the other's hit ratio less that of the order in force */
} raudo_guard;

static inline int raudo_guard_applies(const raudo_guard *g, uint32_t capacity) {
    return g->is_wanted && capacity >= RAUDO_LEAST_JUDGED;
}

/* Judge between orders from now on, by a learner that is new, if it has miniatures. */
static inline void raudo_guard_start(raudo_guard *g, const raudo_learner *l) {
    g->is_on = l->minis[0].capacity > 0;
    g->order = g->is_on ? RAUDO_BY_SENIORITY : RAUDO_BY_WORTH;
    g->n_requests = g->n_epochs = 0;
    g->epoch = l->minis[0].capacity;
    if (g->epoch < RAUDO_SHORTEST_EPOCH) g->epoch = RAUDO_SHORTEST_EPOCH;
    g->lead = 0.0;
}

static inline void raudo_mini_enter(raudo_learner *l, int order, uint32_t i) {
    raudo_mini *m = &l->minis[order];
    m->residents[m->n_residents++] = (uint16_t)i;
    l->tracked[i].places[order] = (uint16_t)m->n_residents;
}

/* A tracked key that the cache holds from before the judging began: the miniatures hold it too. */
static inline void raudo_guard_seed(raudo_learner *l, uint32_t i) {
    for (int order = 0; order < RAUDO_ORDERS; order++) {
        if (l->minis[order].n_residents < l->minis[order].capacity) raudo_mini_enter(l, order, i);
    }
}

/* Replay the request of a tracked key in one miniature. */
static inline void raudo_mini_request(raudo_learner *l, raudo_order order, uint32_t i, uint32_t now) {
    raudo_mini *m = &l->minis[order];
    if (l->tracked[i].places[order] != 0) {
        m->n_hits++;
        return;
    }
    if (m->n_residents == m->capacity) {
        uint32_t least = i;
        const raudo_usage *u = &l->tracked[i].usage;
        float lowest = raudo_score(l, order, u->last, u->habit, now);
        for (int draw = 0; draw < RAUDO_MINI_DRAW; draw++) {
            const uint64_t drawn = (uint64_t)raudo_random(&l->random) * m->n_residents;
            const uint32_t other = m->residents[drawn >> 32];
            u = &l->tracked[other].usage;
            const float score = raudo_score(l, order, u->last, u->habit, now);
            if (score < lowest) {
                lowest = score;
                least = other;
            }
        }
        if (least == i) return; /* passes by */
        raudo_mini_leave(l, (int)order, least);
    }
    raudo_mini_enter(l, (int)order, i);
}

/* Replay the request of a tracked key. Returns 1 where the order changes with it. */
static inline int raudo_guard_request(raudo_guard *g, raudo_learner *l, uint32_t i, uint32_t now) {
    for (int order = 0; order < RAUDO_ORDERS; order++) {
        raudo_mini_request(l, (raudo_order)order, i, now);
    }
    if (++g->n_requests < g->epoch) return 0;
    const raudo_order other = g->order == RAUDO_BY_WORTH ? RAUDO_BY_SENIORITY : RAUDO_BY_WORTH;
    const double hits = (double)l->minis[other].n_hits - (double)l->minis[g->order].n_hits;
    const double share = g->n_epochs++ == 0 ? 1.0 : RAUDO_EPOCH_SHARE;
    g->lead += share * (hits / (double)g->epoch - g->lead);
    l->minis[RAUDO_BY_WORTH].n_hits = l->minis[RAUDO_BY_SENIORITY].n_hits = 0;
    g->n_requests = 0;
    if (g->lead <= RAUDO_LEAST_LEAD) return 0;
    g->lead = -g->lead; /* seen from the other side */
    g->order = other;
    g->n_switches++;
    return 1;
}

#endif
