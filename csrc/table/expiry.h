/* When entries expire: a time per slot for the look-up, and a 4-ary heap for who is next.
 *
 * Four children of 16 bytes share a cache line. Ties leave in the order they came. No Python.h.
 */
#ifndef RAUDO_EXPIRY_H
#define RAUDO_EXPIRY_H

#include "table/block.h"

typedef struct {
    int64_t at_ns;
    uint32_t order; /* arrival, compared by difference so that it may wrap */
    uint32_t slot;
} raudo_expiry_node;

typedef struct {
    int64_t *at_ns;     /* by slot; meaningful where the entry's RAUDO_HAS_EXPIRY is set */
    uint32_t *position; /* by slot: where it is in the heap */
    raudo_expiry_node *heap;
    uint32_t length;
    uint32_t n_times, n_positions, n_allocated; /* lengths of the three */
    uint32_t order;
} raudo_expiry;

static inline int raudo_expiry_before(const raudo_expiry_node *a, const raudo_expiry_node *b) {
    if (a->at_ns != b->at_ns) return a->at_ns < b->at_ns;
    return (int32_t)(a->order - b->order) < 0;
}

static inline void raudo_expiry_put(raudo_expiry *x, uint32_t i, raudo_expiry_node node) {
    x->heap[i] = node;
    x->position[node.slot] = i;
}

static inline void raudo_expiry_sift_up(raudo_expiry *x, uint32_t i, raudo_expiry_node node) {
    while (i > 0) {
        const uint32_t parent = (i - 1) / 4;
        if (!raudo_expiry_before(&node, &x->heap[parent])) break;
        raudo_expiry_put(x, i, x->heap[parent]);
        i = parent;
    }
    raudo_expiry_put(x, i, node);
}

static inline void raudo_expiry_sift_down(raudo_expiry *x, uint32_t i, raudo_expiry_node node) {
    for (;;) {
        const uint64_t first = (uint64_t)i * 4 + 1;
        if (first >= x->length) break;
        const uint32_t end = (uint32_t)(first + 4 < x->length ? first + 4 : x->length);
        uint32_t best = (uint32_t)first;
        for (uint32_t child = best + 1; child < end; child++) {
            if (raudo_expiry_before(&x->heap[child], &x->heap[best])) best = child;
        }
        if (!raudo_expiry_before(&x->heap[best], &node)) break;
        raudo_expiry_put(x, i, x->heap[best]);
        i = best;
    }
    raudo_expiry_put(x, i, node);
}

/* Make room for slots [0, n). 0 on success, -1 when memory is short (nothing lost). */
static inline int raudo_expiry_reserve(raudo_expiry *x, uint32_t n) {
    if (n <= x->n_allocated) return 0;
    void *block = x->at_ns;
    if (raudo_block_reserve(&block, &x->n_times, n, sizeof *x->at_ns) < 0) return -1;
    x->at_ns = (int64_t *)block;
    block = x->position;
    if (raudo_block_reserve(&block, &x->n_positions, n, sizeof *x->position) < 0) return -1;
    x->position = (uint32_t *)block;
    block = x->heap;
    if (raudo_block_reserve(&block, &x->n_allocated, n, sizeof *x->heap) < 0) return -1;
    x->heap = (raudo_expiry_node *)block;
    return 0;
}

static inline void raudo_expiry_remove(raudo_expiry *x, uint32_t slot) {
    const uint32_t i = x->position[slot];
    const raudo_expiry_node last = x->heap[--x->length];
    if (i == x->length) return;
    if (i > 0 && raudo_expiry_before(&last, &x->heap[(i - 1) / 4])) {
        raudo_expiry_sift_up(x, i, last);
    } else {
        raudo_expiry_sift_down(x, i, last);
    }
}

/* The slot is not in the heap; raudo_expiry_reserve came before. */
static inline void raudo_expiry_add(raudo_expiry *x, uint32_t slot, int64_t at_ns) {
    const raudo_expiry_node node = {at_ns, x->order++, slot};
    x->at_ns[slot] = at_ns;
    raudo_expiry_sift_up(x, x->length++, node);
}

static inline void raudo_expiry_free(raudo_expiry *x) {
    raudo_block_free(x->at_ns, x->n_times * sizeof *x->at_ns);
    raudo_block_free(x->position, x->n_positions * sizeof *x->position);
    raudo_block_free(x->heap, x->n_allocated * sizeof *x->heap);
    *x = (raudo_expiry){0};
}

#endif
