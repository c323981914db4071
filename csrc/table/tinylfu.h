/* W-TinyLFU: a window in order of use, and a main cache that lets in only what is used more often than
 * what would leave for it. Einziger, Eytan, Friedman and Manes, "Adaptive Software Cache Management",
 * Middleware 2018: section 4 for the hill climber that sizes the window.
 *
 * The main cache is a segmented LRU: what is used in probation becomes protected, up to four fifths.
 * Growing or shrinking the window moves nothing at once; evictions do it step by step. No Python.h.
 */
#ifndef RAUDO_TINYLFU_H
#define RAUDO_TINYLFU_H

#include "table/sketch.h"
#include "table/table.h"

#define RAUDO_IN_WINDOW 0u
#define RAUDO_IN_PROBATION (1u << RAUDO_META_SHIFT)
#define RAUDO_IN_PROTECTED (2u << RAUDO_META_SHIFT)
#define RAUDO_SEGMENT (3u << RAUDO_META_SHIFT)

typedef struct {
    raudo_list window, probation, protected_;
    raudo_sketch sketch;
    uint32_t expected; /* entries that the cache is to hold; 0: as many as it does */
    uint32_t fitted;   /* entries that the sketch was made for */
    /* the climber */
    double window_share;
    double step; /* of the share; its sign is the direction */
    double last_ratio;
    uint32_t n_hits, n_requests;
    uint32_t random;
} raudo_tinylfu;

#define RAUDO_FIRST_STEP 0.0625
#define RAUDO_STEP_DECAY 0.98
#define RAUDO_RESTART_AT 0.05 /* a change of the hit ratio after which the steps are long again */
#define RAUDO_LEAST_WINDOW 0.01
#define RAUDO_MOST_WINDOW 0.8

static inline void raudo_tinylfu_reset(raudo_tinylfu *q) {
    const uint32_t expected = q->expected;
    raudo_sketch_free(&q->sketch);
    *q = (raudo_tinylfu){.expected = expected,
                         .window_share = RAUDO_LEAST_WINDOW,
                         .step = RAUDO_FIRST_STEP,
                         .last_ratio = -1.0,
                         .random = 0x2545F491u};
    raudo_list_reset(&q->window);
    raudo_list_reset(&q->probation);
    raudo_list_reset(&q->protected_);
}

static inline raudo_list *raudo_tinylfu_list(raudo_tinylfu *q, uint32_t meta) {
    if ((meta & RAUDO_SEGMENT) == RAUDO_IN_PROTECTED) return &q->protected_;
    return (meta & RAUDO_SEGMENT) == RAUDO_IN_PROBATION ? &q->probation : &q->window;
}

static inline void raudo_tinylfu_remove(raudo_tinylfu *q, raudo_table *t, uint32_t slot) {
    raudo_list_remove(t->entries, raudo_tinylfu_list(q, t->entries[slot].meta), slot);
}

static inline void raudo_tinylfu_move(raudo_tinylfu *q, raudo_table *t, uint32_t slot,
                                      uint32_t segment) {
    raudo_entry *e = &t->entries[slot];
    raudo_tinylfu_remove(q, t, slot);
    e->meta = (e->meta & ~RAUDO_SEGMENT) | segment;
    raudo_list_append(t->entries, raudo_tinylfu_list(q, e->meta), slot);
}

static inline uint32_t raudo_tinylfu_capacity(const raudo_tinylfu *q, const raudo_table *t) {
    return q->expected != 0 ? q->expected : t->n_live;
}

static inline uint32_t raudo_tinylfu_window(const raudo_tinylfu *q, const raudo_table *t) {
    const uint32_t size = (uint32_t)(raudo_tinylfu_capacity(q, t) * q->window_share);
    return size > 0 ? size : 1;
}

/* Try another window once in ten requests for each entry: on in the same direction while the hit ratio
 * grows, back where it falls; by ever smaller steps until the ratio changes much. */
static inline void raudo_tinylfu_climb(raudo_tinylfu *q) {
    const double ratio = q->n_hits / (double)q->n_requests;
    const double change = ratio - q->last_ratio;
    if (q->last_ratio >= 0.0) {
        const double direction = (q->step > 0.0) == (change >= 0.0) ? 1.0 : -1.0;
        const double size = q->step > 0.0 ? q->step : -q->step;
        const int restarts = change >= RAUDO_RESTART_AT || change <= -RAUDO_RESTART_AT;
        q->step = direction * (restarts ? RAUDO_FIRST_STEP : size * RAUDO_STEP_DECAY);
    }
    q->window_share += q->step;
    if (q->window_share < RAUDO_LEAST_WINDOW) q->window_share = RAUDO_LEAST_WINDOW;
    if (q->window_share > RAUDO_MOST_WINDOW) q->window_share = RAUDO_MOST_WINDOW;
    q->last_ratio = ratio;
    q->n_hits = q->n_requests = 0;
}

static inline void raudo_tinylfu_count(raudo_tinylfu *q, const raudo_table *t, uint32_t hash) {
    if (q->sketch.n_lines == 0) return; /* the cache is half empty yet: nobody has to leave */
    raudo_sketch_add(&q->sketch, hash);
    q->n_requests++;
    if (q->n_requests >= 10 * (uint64_t)raudo_tinylfu_capacity(q, t)) raudo_tinylfu_climb(q);
}

/* Make the sketch fit the cache: at first, and where that has doubled or halved. */
static inline void raudo_tinylfu_fit(raudo_tinylfu *q, uint32_t capacity) {
    if (q->fitted != 0 && capacity / 2 <= q->fitted && q->fitted / 2 <= capacity) return;
    q->fitted = capacity;
    (void)raudo_sketch_reset(&q->sketch, capacity); /* short of memory: goes on without */
    q->n_hits = q->n_requests = 0;
}

static inline void raudo_tinylfu_insert(raudo_tinylfu *q, raudo_table *t, uint32_t slot) {
    raudo_entry *e = &t->entries[slot];
    raudo_list_append(t->entries, &q->window, slot);
    if (q->expected != 0 && t->n_live > q->expected / 2) raudo_tinylfu_fit(q, q->expected);
    raudo_tinylfu_count(q, t, e->hash);
    if (q->window.length > raudo_tinylfu_window(q, t)) {
        raudo_tinylfu_move(q, t, q->window.head, RAUDO_IN_PROBATION);
    }
}

static inline void raudo_tinylfu_hit(raudo_tinylfu *q, raudo_table *t, uint32_t slot) {
    const uint32_t segment = t->entries[slot].meta & RAUDO_SEGMENT;
    q->n_hits++;
    raudo_tinylfu_count(q, t, t->entries[slot].hash);
    if (segment != RAUDO_IN_PROBATION) {
        raudo_list_move_to_tail(t->entries, raudo_tinylfu_list(q, segment), slot);
        return;
    }
    raudo_tinylfu_move(q, t, slot, RAUDO_IN_PROTECTED);
    const uint32_t main_size = q->probation.length + q->protected_.length;
    if (q->protected_.length > main_size - main_size / 5) {
        raudo_tinylfu_move(q, t, q->protected_.head, RAUDO_IN_PROBATION);
    }
}

/* Whether the first deserves the place of the second: it was used more often; or, where it is used a
 * lot itself, by a rare chance, so that nobody can keep all others out by making one key look hot. */
static inline int raudo_tinylfu_admits(raudo_tinylfu *q, uint32_t hash, uint32_t other) {
    const uint32_t count = raudo_sketch_count(&q->sketch, hash);
    if (count > raudo_sketch_count(&q->sketch, other)) return 1;
    if (count <= 5) return 0;
    q->random = q->random * 1664525u + 1013904223u;
    return q->random >> 25 == 0;
}

/* The slot to drop next. The table is not empty. */
static inline uint32_t raudo_tinylfu_victim(raudo_tinylfu *q, raudo_table *t) {
    raudo_tinylfu_fit(q, raudo_tinylfu_capacity(q, t));
    const uint32_t window = raudo_tinylfu_window(q, t);
    for (int i = 0; i < 2 && q->window.length > window; i++) { /* it is to shrink */
        raudo_tinylfu_move(q, t, q->window.head, RAUDO_IN_PROBATION);
    }
    uint32_t slot = q->probation.head;
    if (slot == RAUDO_NO_SLOT) slot = q->protected_.head;
    if (q->window.length < window && slot != RAUDO_NO_SLOT) return slot; /* it is to grow */
    const uint32_t candidate = q->window.head;
    if (candidate == RAUDO_NO_SLOT) return slot;
    if (slot == RAUDO_NO_SLOT) return candidate;
    if (!raudo_tinylfu_admits(q, t->entries[candidate].hash, t->entries[slot].hash)) {
        return candidate;
    }
    raudo_tinylfu_move(q, t, candidate, RAUDO_IN_PROBATION);
    return slot;
}

#endif
