/* Eviction by worth: of residents drawn at random those leave first whose worth (see learner.h) a byte
 * is least. No list orders the entries: `prev` and `next` hold the entry's usage.
 *
 * A draw looks at 64 entries and keeps the eight least worth, which leave one by one unless they are
 * used meanwhile; that costs what a draw of eight for each eviction does, and evicts about as well as
 * one of sixteen. Where entries have weights every eviction draws anew, 128: worth a byte differs far
 * more than worth, and a large entry worth little holds the room of many until somebody looks at it
 * (seven points of object hit ratio at 1 % of the bytes). The newest entry is weighed against each of them, so that a scan passes through one
 * slot; it stays until the next one comes, for its setter to read it.
 *
 * A ghost keeps the usage of keys that left, so that one that returns is no stranger: 8 bytes each, in
 * buckets of one cache line, of which the older of two drawn at random is overwritten. No Python.h.
 */
#ifndef RAUDO_LEARNED_H
#define RAUDO_LEARNED_H

#include "table/guard.h"
#include "table/learner.h"
#include "table/table.h"

#define RAUDO_SAMPLED (8u << RAUDO_META_SHIFT)
#define RAUDO_DRAW 64
#define RAUDO_DRAW_WEIGHED 128
#define RAUDO_RUN 8 /* neighbours drawn together: four cache lines */
#define RAUDO_POOL 8
#define RAUDO_SEED 32 /* entries looked at for each insert after learning began */
#define RAUDO_BUCKET 8
#define RAUDO_GHOSTS 2 /* for each entry */

typedef struct {
    uint32_t last;
    uint16_t tag; /* 0: empty */
    uint8_t uses, gap;
} raudo_left;

typedef struct {
    uint32_t slot, last; /* still the same if the entry's `last` is */
    float score;
} raudo_candidate;

typedef struct {
    raudo_learner *learner; /* NULL until something is evicted, or memory was short */
    raudo_guard guard;
    raudo_left *ghost;
    uint32_t n_buckets;
    uint32_t newest;
    uint32_t n_pooled;
    raudo_candidate pool[RAUDO_POOL]; /* the last leaves first */
    uint32_t threshold; /* of sampling: see raudo_sampling_threshold */
    uint32_t random;
    uint32_t n_unseeded; /* entries [0, n) that the new learner does not know yet */
    uint32_t woken; /* when hits began to be stamped instead of marked */
} raudo_learned;

static inline void raudo_learned_reset(raudo_learned *q) {
    raudo_learner_free(q->learner);
    free(q->ghost);
    const uint32_t threshold = q->threshold;
    const raudo_guard guard = {.is_wanted = q->guard.is_wanted};
    *q = (raudo_learned){
        .guard = guard, .newest = RAUDO_NO_SLOT, .threshold = threshold, .random = 0x2545F491u};
}

static inline size_t raudo_learned_memory(const raudo_learned *q) {
    return raudo_learner_memory(q->learner) + (size_t)q->n_buckets * RAUDO_BUCKET * sizeof *q->ghost;
}

static inline raudo_left *raudo_left_bucket(const raudo_learned *q, uint32_t hash, uint16_t *tag) {
    const uint64_t spread = hash * UINT64_C(0x9E3779B97F4A7C15);
    *tag = (uint16_t)(spread >> 8 | 1);
    return q->ghost + RAUDO_BUCKET * (size_t)((spread >> 32) * q->n_buckets >> 32);
}

static inline void raudo_left_fetch(const raudo_learned *q, uint32_t hash) {
    uint16_t tag;
    if (q->n_buckets != 0) RAUDO_FETCH(raudo_left_bucket(q, hash, &tag));
}

/* Make what learns and remembers fit `capacity` entries: at first, and where it has doubled or halved.
 * Short of memory it goes on without. */
static inline void raudo_learned_fit(raudo_learned *q, const raudo_table *t, uint32_t capacity,
                                     uint32_t now) {
    const raudo_learner *l = q->learner;
    if (l != NULL && capacity / 2 <= l->capacity && l->capacity / 2 <= capacity) return;
    raudo_learner_free(q->learner);
    free(q->ghost);
    q->learner = raudo_learner_new(capacity, raudo_guard_applies(&q->guard, capacity), now);
    q->threshold = raudo_sampling_threshold(capacity);
    q->n_buckets = q->n_pooled = 0;
    q->n_unseeded = t->n_entries;
    q->ghost = NULL;
    if (q->learner == NULL) return;
    raudo_guard_start(&q->guard, q->learner);
    const uint32_t wanted =
        (uint32_t)(((uint64_t)capacity * RAUDO_GHOSTS + RAUDO_BUCKET - 1) / RAUDO_BUCKET);
    q->ghost = (raudo_left *)calloc((size_t)wanted * RAUDO_BUCKET, sizeof *q->ghost);
    if (q->ghost != NULL) q->n_buckets = wanted;
}

static inline void raudo_learned_remember(raudo_learned *q, const raudo_entry *e, uint32_t now) {
    if (q->n_buckets == 0) return;
    uint16_t tag;
    raudo_left *bucket = raudo_left_bucket(q, e->hash, &tag);
    uint32_t place = RAUDO_BUCKET;
    for (uint32_t i = RAUDO_BUCKET; i-- > 0;) { /* the first; without a branch, as below */
        place = ((bucket[i].tag == 0) | (bucket[i].tag == tag)) ? i : place;
    }
    if (place == RAUDO_BUCKET) {
        const uint32_t drawn = raudo_random(&q->random) >> 26;
        const uint32_t a = drawn & 7u, b = drawn >> 3;
        place = now - bucket[a].last >= now - bucket[b].last ? a : b;
    }
    bucket[place] = (raudo_left){e->prev, tag, (uint8_t)raudo_habit_uses(e->next),
                                 (uint8_t)raudo_habit_gap(e->next)};
}

/* Make usage of the marks that hits left while they were not stamped: evenly spaced, as far as can be
 * known, between the last stamp and the end of that time. */
static inline void raudo_learned_settle(const raudo_learned *q, raudo_entry *e) {
    const uint32_t marks = (e->meta & RAUDO_MARKS) >> RAUDO_META_SHIFT;
    uint32_t uses = raudo_habit_uses(e->next), gap = raudo_habit_gap(e->next);
    e->meta &= ~RAUDO_MARKS;
    if ((int32_t)(q->woken - e->prev) > 0) {
        const uint32_t each = (q->woken - e->prev) / (marks + 1);
        if (uses == 1) gap = raudo_log2_bits(each, 3);
        e->prev = q->woken - each;
    }
    uses = uses + marks < RAUDO_MOST_USES ? uses + marks : RAUDO_MOST_USES;
    e->next = raudo_habit_of(uses, gap);
}

/* A request for the key of a sampled entry. */
static inline void raudo_learned_follow(raudo_learned *q, const raudo_entry *e, uint32_t now) {
    if (q->learner == NULL) return;
    const uint32_t i = raudo_learner_request(q->learner, e->hash, now);
    if (q->guard.is_on && raudo_guard_request(&q->guard, q->learner, i, now)) q->n_pooled = 0;
}

/* Tell a new learner of some of the sampled entries that were there before it. */
static inline void raudo_learned_seed(raudo_learned *q, raudo_table *t, uint32_t now) {
    raudo_learner *l = q->learner;
    for (int n = 0; n < RAUDO_SEED && q->n_unseeded > 0; n++) {
        raudo_entry *e = &t->entries[--q->n_unseeded];
        if (e->key == NULL || (e->meta & RAUDO_SAMPLED) == 0) continue;
        if (raudo_scramble(e->hash) >= q->threshold) continue;
        if (l->n_tracked == l->most_tracked || l->index[raudo_tracked_find(l, e->hash)] != 0) continue;
        if (e->meta & RAUDO_MARKS) raudo_learned_settle(q, e);
        const raudo_usage usage = {e->prev, e->next};
        const uint32_t i = raudo_learner_track(l, e->hash, usage, now);
        if (q->guard.is_on) raudo_guard_seed(l, i);
    }
}

/* A new entry: with the usage of its ghost where there is one. */
static inline void raudo_learned_insert(raudo_learned *q, raudo_table *t, uint32_t slot, uint32_t now) {
    if (q->n_unseeded > 0 && q->learner != NULL) raudo_learned_seed(q, t, now);
    raudo_entry *e = &t->entries[slot];
    q->newest = slot;
    e->prev = now;
    e->next = RAUDO_HABIT_NEW;
    if (q->n_buckets != 0) {
        uint16_t tag;
        raudo_left *bucket = raudo_left_bucket(q, e->hash, &tag);
        raudo_left *left = NULL;
        for (int i = RAUDO_BUCKET; i-- > 0;) left = bucket[i].tag == tag ? &bucket[i] : left;
        if (left != NULL) {
            e->prev = left->last;
            e->next = raudo_habit_of(left->uses, left->gap);
            raudo_usage_touch(&e->prev, &e->next, now);
            left->tag = 0;
        }
    }
    if (raudo_scramble(e->hash) >= q->threshold) return;
    e->meta |= RAUDO_SAMPLED;
    raudo_learned_follow(q, e, now);
}

/* A hit on an entry that was sampled when it came. */
static inline void raudo_learned_hit(raudo_learned *q, raudo_entry *e, uint32_t now) {
    if (raudo_scramble(e->hash) >= q->threshold) {
        e->meta &= ~RAUDO_SAMPLED; /* there are more entries now */
    } else {
        raudo_learned_follow(q, e, now);
    }
}

static inline float raudo_learned_score(const raudo_learned *q, raudo_table *t, uint32_t slot,
                                        uint32_t now) {
    raudo_entry *e = &t->entries[slot];
    if (e->meta & RAUDO_MARKS) raudo_learned_settle(q, e);
    const float score = raudo_score(q->learner, q->guard.order, e->prev, e->next, now);
    if (t->weights == NULL || t->weights[slot] == 0) return score;
    return score / (float)t->weights[slot];
}

static inline void raudo_learned_forget(raudo_learned *q, uint32_t slot) {
    if (q->newest == slot) q->newest = RAUDO_NO_SLOT;
}

/* Whether `a` should leave before `b`: by score, or waiting longer at the same. */
static inline int raudo_leaves_first(const raudo_candidate *a, const raudo_candidate *b) {
    if (a->score != b->score) return a->score < b->score;
    return (int32_t)(a->last - b->last) < 0;
}

/* Keep the slot in the pool if it is among the least worth. */
static inline void raudo_learned_consider(raudo_learned *q, raudo_table *t, uint32_t slot,
                                          uint32_t now) {
    const raudo_entry *e = &t->entries[slot];
    if (e->key == NULL || slot == q->newest) return;
    const float score = raudo_learned_score(q, t, slot, now);
    const raudo_candidate c = {slot, e->prev, score};
    raudo_candidate *pool = q->pool;
    if (q->n_pooled == RAUDO_POOL && !raudo_leaves_first(&c, &pool[0])) return;
    uint32_t after = 0; /* candidates that leave after it */
    while (after < q->n_pooled && raudo_leaves_first(&c, &pool[after])) after++;
    if (after < q->n_pooled && pool[after].slot == slot) return; /* drawn twice */
    if (q->n_pooled == RAUDO_POOL) {
        after--;
        memmove(pool, pool + 1, after * sizeof *pool);
    } else {
        memmove(pool + after + 1, pool + after, (q->n_pooled++ - after) * sizeof *pool);
    }
    pool[after] = c;
}

static inline void raudo_learned_draw(raudo_learned *q, raudo_table *t, uint32_t now) {
    const uint32_t n = t->n_entries;
    q->n_pooled = 0;
    if (n <= RAUDO_DRAW) {
        for (uint32_t slot = 0; slot < n; slot++) raudo_learned_consider(q, t, slot, now);
        return;
    }
    const int n_runs = (t->weights == NULL ? RAUDO_DRAW : RAUDO_DRAW_WEIGHED) / RAUDO_RUN;
    uint32_t slot = 0, starts[RAUDO_DRAW_WEIGHED / RAUDO_RUN];
    for (int run = 0; run < n_runs; run++) { /* all on their way at once */
        starts[run] = (uint32_t)((uint64_t)raudo_random(&q->random) * (n - RAUDO_RUN) >> 32);
        const char *line = (const char *)&t->entries[starts[run]];
        for (size_t at = 0; at < RAUDO_RUN * sizeof *t->entries; at += RAUDO_LINE) RAUDO_FETCH(line + at);
    }
    for (int run = 0; run < n_runs; run++) {
        slot = starts[run];
        for (uint32_t i = 0; i < RAUDO_RUN; i++) raudo_learned_consider(q, t, slot + i, now);
    }
    while (q->n_pooled == 0) { /* most slots are free: whoever is next */
        slot = slot + 1 < n ? slot + 1 : 0;
        raudo_learned_consider(q, t, slot, now);
    }
}

/* Short of memory nothing is known: anyone. */
static inline uint32_t raudo_learned_any(raudo_learned *q, const raudo_table *t) {
    uint32_t slot = (uint32_t)((uint64_t)raudo_random(&q->random) * t->n_entries >> 32);
    while (t->entries[slot].key == NULL || (slot == q->newest && t->n_live > 1)) {
        slot = slot + 1 < t->n_entries ? slot + 1 : 0;
    }
    return slot;
}

static inline int raudo_learned_is_current(const raudo_table *t, const raudo_candidate *c) {
    return c->slot < t->n_entries && t->entries[c->slot].key != NULL &&
           t->entries[c->slot].prev == c->last;
}

/* The slot to drop next. The table is not empty. */
static inline uint32_t raudo_learned_victim(raudo_learned *q, raudo_table *t, uint32_t now) {
    raudo_learned_fit(q, t, t->n_live, now);
    raudo_left_fetch(q, t->coming);
    if (t->n_live == 1 && q->newest != RAUDO_NO_SLOT) return q->newest;
    if (q->learner == NULL) return raudo_learned_any(q, t);
    if (raudo_learner_is_due(q->learner, now)) raudo_learner_refresh(q->learner, now);
    while (q->n_pooled > 0 && !raudo_learned_is_current(t, &q->pool[q->n_pooled - 1])) q->n_pooled--;
    if (q->n_pooled == 0 || t->weights != NULL) raudo_learned_draw(q, t, now);
    const raudo_candidate *least = &q->pool[q->n_pooled - 1];
    if (q->n_pooled > 1 && raudo_learned_is_current(t, least - 1)) { /* who leaves after it */
        raudo_prefetch(t, least[-1].slot);
        raudo_left_fetch(q, t->entries[least[-1].slot].hash);
    }
    const float lowest = least->score;
    if (q->newest != RAUDO_NO_SLOT && raudo_learned_score(q, t, q->newest, now) < lowest) {
        return q->newest;
    }
    return least->slot;
}

#endif
