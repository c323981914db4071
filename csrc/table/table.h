/* The table that every cache and every eviction policy shares: entries, and the index over them.
 *
 * An entry is 32 bytes, two to a cache line; its number is its slot. The index is open addressing
 * with linear probing over u64 slots = hash << 32 | (entry + 1), so that a probe compares hashes
 * without touching the entries; deletion shifts back, so that there are no tombstones. No Python.h:
 * keys and values are opaque here.
 */
#ifndef RAUDO_TABLE_H
#define RAUDO_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "table/expiry.h"

#define RAUDO_NO_SLOT UINT32_MAX
#define RAUDO_FAILED (UINT32_MAX - 1u)
#define RAUDO_MAX_ENTRIES (1u << 31)

/* Bits of raudo_entry.meta. What is above the flags belongs to the policy. */
#define RAUDO_HAS_EXPIRY 1u
#define RAUDO_META_SHIFT 8
#define RAUDO_META_ONE (1u << RAUDO_META_SHIFT)

typedef struct {
    void *key;   /* owned reference; NULL where the entry is free */
    void *value; /* owned reference */
    uint32_t hash;
    uint32_t meta;
    uint32_t prev, next; /* the policy's list; `next` chains free entries */
} raudo_entry;

typedef struct {
    uint32_t head, tail; /* head leaves first */
    uint32_t length;
} raudo_list;

/* What a hit does, so that the common policies cost no call. */
typedef enum {
    RAUDO_HIT_NOTHING, /* FIFO, TTL */
    RAUDO_HIT_MARK,    /* SIEVE, S3-FIFO, ADAPTIVE: a counter in meta, up to 3 */
    RAUDO_HIT_MOVE,    /* LRU: splice to the tail of `order` */
    RAUDO_HIT_CALL     /* whatever else: Policy.on_hit */
} raudo_hit_kind;

typedef struct {
    raudo_entry *entries;
    uint64_t *index;
    uint32_t n_words;  /* length of the index */
    uint32_t n_blocks; /* n_words / 4 */
    uint32_t n_live;
    uint32_t n_entries; /* entries ever used: [0, n_entries) are live or free */
    uint32_t n_allocated;
    uint32_t free_head;
    uint32_t hit_kind;
    uint32_t call_mask;  /* RAUDO_HIT_MARK: entries with one of these bits call Policy.on_hit */
    raudo_list order;    /* the list of LRU, FIFO and TTL */
    uint64_t version;    /* grows with every insert, removal and rebuild: see raudo_find */
    uint64_t n_hits, n_misses, n_updates;
    raudo_expiry expiry;
    uint32_t is_plain;  /* a set has nobody to ask or tell: no weigher, listener, own ttl, lock */
    uint32_t has_timer; /* the user's clock tells the time, not the system's */
} raudo_table;

static inline uint32_t raudo_fold_hash(int64_t hash) {
    const uint64_t h = (uint64_t)hash;
    return (uint32_t)h + (uint32_t)(((h >> 32) * UINT64_C(0x9E3779B97F4A7C15)) >> 32);
}

/* Home of a hash. Runs of four neighbouring integers stay neighbours, half a cache line, and the runs
 * are spread by Fibonacci hashing, which places consecutive runs evenly (Knuth, TAOCP 3, 6.4). Longer
 * runs would be better for locality, but linear probing then walks along them on every miss and
 * wherever two of them overlap: with runs as long as the table a miss took 750 ns instead of 20.
 * Multiply and shift instead of a mask, so that the index need not be a power of two (Lemire, "Fast
 * random integer generation in an interval", 2019). */
static inline uint32_t raudo_home(const raudo_table *t, uint32_t hash) {
    const uint32_t spread = (hash >> 2) * 0x9E3779B1u;
    return (uint32_t)((uint64_t)spread * t->n_blocks >> 32) << 2 | (hash & 3u);
}

static inline uint32_t raudo_next_word(const raudo_table *t, uint32_t i) {
    return i + 1 == t->n_words ? 0 : i + 1;
}

/* How far `to` is behind `from`, going round. */
static inline uint32_t raudo_distance(const raudo_table *t, uint32_t from, uint32_t to) {
    return to >= from ? to - from : to + (t->n_words - from);
}

static inline uint64_t raudo_index_word(uint32_t hash, uint32_t slot) {
    return (uint64_t)hash << 32 | (slot + 1u);
}

static inline void raudo_index_insert(raudo_table *t, uint32_t hash, uint32_t slot) {
    uint32_t i = raudo_home(t, hash);
    while (t->index[i] != 0) i = raudo_next_word(t, i);
    t->index[i] = raudo_index_word(hash, slot);
}

static inline void raudo_index_remove(raudo_table *t, uint32_t hash, uint32_t slot) {
    const uint64_t word = raudo_index_word(hash, slot);
    uint32_t hole = raudo_home(t, hash);
    while (t->index[hole] != word) hole = raudo_next_word(t, hole);
    for (uint32_t i = raudo_next_word(t, hole); t->index[i] != 0; i = raudo_next_word(t, i)) {
        const uint32_t home = raudo_home(t, (uint32_t)(t->index[i] >> 32));
        if (raudo_distance(t, home, i) >= raudo_distance(t, hole, i)) { /* may fill the hole */
            t->index[hole] = t->index[i];
            hole = i;
        }
    }
    t->index[hole] = 0;
}

/* Make the index n_words long, a multiple of 4. 0 on success, -1 when memory is short (and nothing has
 * changed). */
static inline int raudo_index_rebuild(raudo_table *t, uint32_t n_words) {
    uint64_t *old = t->index;
    const size_t old_length = old != NULL ? t->n_words : 0;
    uint64_t *fresh = (uint64_t *)calloc(n_words, sizeof *fresh);
    if (fresh == NULL) return -1;
    t->index = fresh;
    t->n_words = n_words;
    t->n_blocks = n_words / 4;
    for (size_t i = 0; i < old_length; i++) {
        if (old[i] != 0) raudo_index_insert(t, (uint32_t)(old[i] >> 32), (uint32_t)old[i] - 1u);
    }
    t->version++;
    free(old);
    return 0;
}

/* Make room for one more entry, up to `limit` allocated. 0 on success, -1 when memory is short. */
static inline int raudo_reserve(raudo_table *t, uint64_t limit) {
    /* At most 4/7 full: a miss looks at 3.2 words there, at 5 where 2/3 are full (Knuth, TAOCP 3, 6.4).
     * Grows by doubling, but not past what `limit` needs. */
    const uint64_t needed = ((uint64_t)t->n_live + 1) * 7 / 4 + 4;
    if (t->index == NULL || needed > t->n_words) {
        uint64_t wanted = t->index == NULL ? 8 : (uint64_t)t->n_words * 2;
        const uint64_t last = limit * 7 / 4 + 8;
        if (wanted > last) wanted = last;
        if (wanted < needed) wanted = needed;
        wanted = (wanted + 3) & ~UINT64_C(3);
        if (wanted > UINT32_MAX - 3 || raudo_index_rebuild(t, (uint32_t)wanted) < 0) return -1;
    }
    if (t->free_head == RAUDO_NO_SLOT && t->n_entries == t->n_allocated) {
        uint64_t wanted = t->n_allocated < 8 ? 8 : (uint64_t)t->n_allocated + t->n_allocated / 2;
        if (wanted > limit) wanted = limit;
        if (wanted <= t->n_allocated) wanted = (uint64_t)t->n_allocated + 1;
        if (wanted > RAUDO_MAX_ENTRIES) return -1;
        raudo_entry *grown =
            (raudo_entry *)realloc(t->entries, (size_t)wanted * sizeof *grown);
        if (grown == NULL) return -1;
        t->entries = grown;
        t->n_allocated = (uint32_t)wanted;
        t->version++;
    }
    return 0;
}

/* Take a free entry; raudo_reserve came before. */
static inline uint32_t raudo_take(raudo_table *t) {
    uint32_t slot = t->free_head;
    if (slot != RAUDO_NO_SLOT) {
        t->free_head = t->entries[slot].next;
    } else {
        slot = t->n_entries++;
    }
    return slot;
}

static inline void raudo_give_back(raudo_table *t, uint32_t slot) {
    raudo_entry *e = &t->entries[slot];
    e->key = NULL;
    e->value = NULL;
    e->meta = 0;
    e->next = t->free_head;
    t->free_head = slot;
}

/* --- lists through the entries' links --- */

static inline void raudo_list_reset(raudo_list *list) {
    list->head = list->tail = RAUDO_NO_SLOT;
    list->length = 0;
}

static inline void raudo_list_append(raudo_entry *entries, raudo_list *list, uint32_t slot) {
    raudo_entry *e = &entries[slot];
    e->next = RAUDO_NO_SLOT;
    e->prev = list->tail;
    if (list->tail != RAUDO_NO_SLOT) {
        entries[list->tail].next = slot;
    } else {
        list->head = slot;
    }
    list->tail = slot;
    list->length++;
}

static inline void raudo_list_remove(raudo_entry *entries, raudo_list *list, uint32_t slot) {
    const raudo_entry *e = &entries[slot];
    if (e->prev != RAUDO_NO_SLOT) {
        entries[e->prev].next = e->next;
    } else {
        list->head = e->next;
    }
    if (e->next != RAUDO_NO_SLOT) {
        entries[e->next].prev = e->prev;
    } else {
        list->tail = e->prev;
    }
    list->length--;
}

static inline void raudo_list_move_to_tail(raudo_entry *entries, raudo_list *list, uint32_t slot) {
    if (list->tail == slot) return;
    raudo_list_remove(entries, list, slot);
    raudo_list_append(entries, list, slot);
}

/* Apply a hit. Returns 1 where Policy.on_hit must be called for it. */
static inline int raudo_hit(raudo_table *t, uint32_t slot) {
    raudo_entry *e = &t->entries[slot];
    switch (t->hit_kind) {
    case RAUDO_HIT_NOTHING:
        return 0;
    case RAUDO_HIT_MARK: /* only ever written when it changes: the line stays clean when hot */
        if ((e->meta >> RAUDO_META_SHIFT & 3u) != 3u) e->meta += RAUDO_META_ONE;
        return (e->meta & t->call_mask) != 0;
    case RAUDO_HIT_MOVE:
        raudo_list_move_to_tail(t->entries, &t->order, slot);
        return 0;
    default:
        return 1;
    }
}

#endif
