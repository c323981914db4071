/* Eviction by two queues and marks: one engine whose rule makes it FIFO-with-reinsertion (CLOCK), SIEVE,
 * S3-FIFO or something between. A change of rule takes effect at the next eviction and moves nothing.
 *
 * SIEVE: Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024, algorithm 1.
 * S3-FIFO: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023, algorithm 1; as in
 * the authors' simulator the queue to evict from is chosen anew after each promotion. No Python.h.
 */
#ifndef RAUDO_TWO_QUEUE_H
#define RAUDO_TWO_QUEUE_H

#include "table/ghost.h"
#include "table/table.h"

#define RAUDO_IN_MAIN (4u << RAUDO_META_SHIFT)

typedef struct {
    uint32_t small_divisor; /* newcomers get 1/divisor of the entries; 0: they join the main queue */
    uint32_t promote_at;    /* marks that take a newcomer to the main queue */
    uint32_t ghost_divisor; /* remembers entries/divisor * 9/10 newcomers that left; 0: none */
    uint32_t has_hand;      /* the main queue is passed by a hand and keeps its order (SIEVE) */
    uint32_t clears;        /* being passed takes all marks, not one */
} raudo_two_queue_rule;

typedef struct {
    raudo_two_queue_rule rule;
    raudo_list small, main;
    uint32_t hand; /* of the main queue: the next to look at; RAUDO_NO_SLOT: the oldest */
    raudo_ghost ghost;
} raudo_two_queue;

static inline void raudo_two_queue_reset(raudo_two_queue *q) {
    raudo_list_reset(&q->small);
    raudo_list_reset(&q->main);
    q->hand = RAUDO_NO_SLOT;
    raudo_ghost_free(&q->ghost);
}

static inline void raudo_two_queue_insert(raudo_two_queue *q, raudo_table *t, uint32_t slot) {
    raudo_entry *e = &t->entries[slot];
    const int returns = raudo_ghost_take(&q->ghost, e->hash);
    if (q->rule.small_divisor == 0 || (returns && q->rule.ghost_divisor != 0)) {
        e->meta |= RAUDO_IN_MAIN;
        raudo_list_append(t->entries, &q->main, slot);
    } else {
        raudo_list_append(t->entries, &q->small, slot);
    }
}

static inline void raudo_two_queue_mark(raudo_entry *e) {
    if ((e->meta & RAUDO_MARKS) != RAUDO_MARKS) e->meta += RAUDO_META_ONE;
}

static inline void raudo_two_queue_remove(raudo_two_queue *q, raudo_table *t, uint32_t slot) {
    if ((t->entries[slot].meta & RAUDO_IN_MAIN) == 0) {
        raudo_list_remove(t->entries, &q->small, slot);
        return;
    }
    if (q->hand == slot) q->hand = t->entries[slot].next;
    raudo_list_remove(t->entries, &q->main, slot);
}

/* The victim leaves: a newcomer's hash is remembered. The ghost is as long as the main queue is meant
 * to be, and made when it is first needed, by what the cache then holds. */
static inline void raudo_two_queue_evict(raudo_two_queue *q, raudo_table *t, uint32_t slot) {
    const raudo_entry *e = &t->entries[slot];
    if (q->rule.ghost_divisor != 0 && (e->meta & RAUDO_IN_MAIN) == 0) {
        const uint32_t whole = t->n_live / q->rule.ghost_divisor;
        const uint32_t wanted = whole - whole / 10 > 0 ? whole - whole / 10 : 1;
        if (q->ghost.capacity < wanted / 2 || q->ghost.capacity == 0) {
            (void)raudo_ghost_reset(&q->ghost, wanted); /* short of memory: goes on without */
        }
        raudo_ghost_add(&q->ghost, e->hash);
    }
    raudo_two_queue_remove(q, t, slot);
}

static inline uint32_t raudo_two_queue_passed(const raudo_two_queue *q, uint32_t meta) {
    return q->rule.clears ? meta & ~RAUDO_MARKS : meta - RAUDO_META_ONE;
}

/* The slot to drop next; promotes and passes over what is in its way. The table is not empty. */
static inline uint32_t raudo_two_queue_victim(raudo_two_queue *q, raudo_table *t) {
    raudo_entry *entries = t->entries;
    uint32_t small_share = 1;
    if (q->rule.small_divisor > 1) small_share = t->n_live / q->rule.small_divisor;
    if (small_share == 0) small_share = 1;
    for (;;) {
        uint32_t slot;
        raudo_entry *e;
        if (q->small.length >= small_share || q->main.length == 0) {
            slot = q->small.head;
            e = &entries[slot];
            if ((e->meta & RAUDO_MARKS) < q->rule.promote_at * RAUDO_META_ONE) {
                if (e->key != NULL) raudo_prefetch(t, e->next);
                return slot;
            }
            raudo_list_remove(entries, &q->small, slot);
            e->meta = (e->meta & ~RAUDO_MARKS) | RAUDO_IN_MAIN;
            raudo_list_append(entries, &q->main, slot);
        } else if (q->rule.has_hand) {
            slot = q->hand != RAUDO_NO_SLOT ? q->hand : q->main.head;
            e = &entries[slot];
            if ((e->meta & RAUDO_MARKS) == 0) {
                q->hand = slot;
                return slot;
            }
            e->meta = raudo_two_queue_passed(q, e->meta);
            q->hand = e->next;
        } else {
            slot = q->main.head;
            e = &entries[slot];
            if ((e->meta & RAUDO_MARKS) == 0) return slot;
            e->meta = raudo_two_queue_passed(q, e->meta);
            if (q->hand == slot) q->hand = e->next;
            raudo_list_move_to_tail(entries, &q->main, slot);
        }
    }
}

static inline size_t raudo_two_queue_memory(const raudo_two_queue *q) {
    return raudo_ghost_size(&q->ghost);
}

#endif
