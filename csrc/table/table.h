/* The table that every cache and every eviction policy shares: entries, and the index over them.
 *
 * An entry is 32 bytes, two to a cache line; its number is its slot. Growing makes no pause: entries grow
 * as blocks do, and the words of an index that has become too short move to the next a few at a time.
 * No Python.h: keys and values are opaque here.
 */
#ifndef RAUDO_TABLE_H
#define RAUDO_TABLE_H

#include "table/block.h"
#include "table/expiry.h"
#include "table/index.h"
#include "table/usage.h"

#define RAUDO_FAILED (UINT32_MAX - 1u)
#define RAUDO_MAX_ENTRIES (1u << 29) /* the index is twice as long, and below 2**31 */

/* Bits of raudo_entry.meta. What is above the flags belongs to the policy. */
#define RAUDO_HAS_EXPIRY 1u
#define RAUDO_WATCHED 2u /* a lookup of it must be told to whoever watches */
#define RAUDO_HASH_IS_KEY 4u /* an int of [0, 2**32), whose hash it is: the key itself need not be read */
#define RAUDO_META_SHIFT 8
#define RAUDO_META_ONE (1u << RAUDO_META_SHIFT)
#define RAUDO_MARKS (3u << RAUDO_META_SHIFT) /* RAUDO_HIT_MARK: uses, up to 3 */

#define RAUDO_MOVED_AT_ONCE 1024 /* words: an index of this length is left in one go */
#define RAUDO_MOVED_A_STEP 8     /* words that an insert moves otherwise */

typedef struct {
    uint32_t head, tail; /* head leaves first */
    uint32_t length;
} raudo_list;

/* What a hit does, so that the common policies cost no call. */
typedef enum {
    RAUDO_HIT_NOTHING, /* FIFO, TTL: `order` is all there is to the policy, its head leaves first */
    RAUDO_HIT_MOVE,    /* LRU: the same, and a hit splices to the tail */
    RAUDO_HIT_MARK,    /* SIEVE, S3-FIFO, ADAPTIVE: a counter in meta, up to 3 */
    RAUDO_HIT_STAMP,   /* ML: the entry's usage, which is kept in `prev` and `next` */
    RAUDO_HIT_CALL     /* whatever else: Policy.on_hit */
} raudo_hit_kind;

typedef struct raudo_curve raudo_curve; /* table/curve.h */

typedef struct {
    raudo_entry *entries;
    raudo_index index;
    uint32_t n_live;
    uint32_t hit_kind;
    uint32_t call_mask; /* MARK, STAMP: entries with one of these bits call Policy.on_hit */
    uint32_t is_plain;  /* a set has nobody to ask or tell: no weigher, listener, own ttl, lock */
    uint64_t n_hits, n_misses, n_updates;
    uint64_t version; /* grows whenever anything moves: see raudo_find */
    raudo_list order; /* the list of LRU, FIFO and TTL */
    uint32_t n_entries; /* entries ever used: [0, n_entries) are live or free */
    uint32_t n_allocated;
    uint32_t free_head;
    uint32_t has_timer; /* the user's clock tells the time, not the system's */
    uint32_t asks_on_miss; /* an index is being left, or lookups are watched */
    uint64_t watched_below; /* keys mixed to less than this are watched; 0: none */
    raudo_index old;    /* the index being left, if there is one; its words before `n_moved` are out */
    uint32_t n_moved;
    uint32_t found; /* see raudo_quickest_get */
    raudo_expiry expiry;
    uint32_t n_stamped; /* with hits and updates: the requests so far, see raudo_request_count */
    uint32_t coming; /* hash of the key that somebody has to leave for: a hint for fetching ahead */
    const uint32_t *weights; /* by slot; NULL without a weigher */
    raudo_curve *curve; /* who alone is told of lookups of watched keys; NULL: Python code decides */
} raudo_table;

static inline void raudo_table_init(raudo_table *t) {
    *t = (raudo_table){.free_head = RAUDO_NO_SLOT};
    raudo_index_init(&t->index);
    raudo_index_init(&t->old);
}

static inline uint32_t raudo_fold_hash(int64_t hash) {
    const uint64_t h = (uint64_t)hash;
    return (uint32_t)h + (uint32_t)(((h >> 32) * UINT64_C(0x9E3779B97F4A7C15)) >> 32);
}

/* Spread a folded hash for taking a share of all keys by threshold: no stride is favoured. Constants:
 * C. Wellons, "Prospecting for Hash Functions", 2018, https://nullprogram.com/blog/2018/07/31/. */
static inline uint32_t raudo_mix(uint32_t hash) {
    hash = (hash ^ hash >> 16) * UINT32_C(0x21F0AAAD);
    hash = (hash ^ hash >> 15) * UINT32_C(0xD35A2D97);
    return hash ^ hash >> 15;
}

static inline int raudo_is_watched(const raudo_table *t, uint32_t hash) {
    return raudo_mix(hash) < t->watched_below;
}

/* --- the index, and the one being left --- */

static inline int raudo_is_moving(const raudo_table *t) {
    return raudo_index_is_made(&t->old);
}

static inline void raudo_note_misses(raudo_table *t) {
    t->asks_on_miss = raudo_is_moving(t) || t->watched_below != 0;
}

/* Have the keys mixed to less than `below` watched, those that are there already too. */
static inline void raudo_watch(raudo_table *t, uint64_t below) {
    t->watched_below = below;
    raudo_note_misses(t);
    for (uint32_t slot = 0; slot < t->n_entries; slot++) {
        raudo_entry *e = &t->entries[slot];
        e->meta &= ~RAUDO_WATCHED;
        if (e->key != NULL && raudo_is_watched(t, e->hash)) e->meta |= RAUDO_WATCHED;
    }
}

/* Move the next `n` words of the index being left. */
static inline void raudo_move(raudo_table *t, uint32_t n) {
    raudo_index *old = &t->old;
    const uint32_t end = n < old->n_words - t->n_moved ? t->n_moved + n : old->n_words;
    for (; t->n_moved < end; t->n_moved++) {
        const uint32_t word = old->words[t->n_moved];
        if (word == 0 || word == old->slots) continue;
        const uint32_t slot = raudo_word_slot(old, word);
        raudo_index_insert(&t->index, t->entries, slot);
        old->words[t->n_moved] = old->slots; /* not 0: searches must go on past it */
    }
    t->version++;
    if (end == old->n_words) raudo_index_free(old);
    raudo_note_misses(t);
}

static inline void raudo_index_slot(raudo_table *t, uint32_t slot) {
    if (raudo_is_moving(t)) raudo_move(t, RAUDO_MOVED_A_STEP);
    raudo_index_insert(&t->index, t->entries, slot);
}

static inline void raudo_unindex_slot(raudo_table *t, uint32_t slot) {
    const uint32_t hash = t->entries[slot].hash;
    const uint32_t place = raudo_index_place(&t->index, hash, slot);
    if (place != RAUDO_NO_SLOT) {
        raudo_index_remove(&t->index, t->entries, place);
    } else {
        t->old.words[raudo_index_place(&t->old, hash, slot)] = t->old.slots;
    }
}

/* Where a table of hashes alone keeps this one; RAUDO_NO_SLOT where it does not. */
static inline uint32_t raudo_find_hash(const raudo_table *t, uint32_t hash) {
    for (const raudo_index *x = &t->index;; x = &t->old) {
        RAUDO_EACH_FIT(slot, p, x, hash) {
            if (!raudo_is_word_out(x, slot) && t->entries[slot].hash == hash) return slot;
        }
        if (x == &t->old || !raudo_is_moving(t)) return RAUDO_NO_SLOT;
    }
}

/* Leave the index for one of n_words. 0 on success, -1 when memory is short (and nothing is lost). */
static inline int raudo_index_grow(raudo_table *t, uint64_t n_words) {
    raudo_index grown;
    if (n_words >= UINT64_C(1) << 31) return -1;
    if (raudo_index_make(&grown, (uint32_t)n_words) < 0) return -1;
    if (raudo_is_moving(t)) raudo_move(t, t->old.n_words); /* only where the bound was raised meanwhile */
    t->old = t->index;
    t->index = grown;
    t->n_moved = 0;
    t->version++;
    raudo_note_misses(t);
    if (raudo_is_moving(t) && t->old.n_words <= RAUDO_MOVED_AT_ONCE) raudo_move(t, t->old.n_words);
    return 0;
}

/* Make room for one more entry, up to `limit` allocated. 0 on success, -1 when memory is short. */
static inline int raudo_reserve(raudo_table *t, uint64_t limit) {
    const uint64_t needed = ((uint64_t)t->n_live + 1) * 2;
    if (needed > t->index.n_words || !raudo_index_is_made(&t->index)) {
        /* Doubles, but not past what `limit` needs. */
        uint64_t wanted = raudo_index_is_made(&t->index) ? (uint64_t)t->index.n_words * 2 : RAUDO_NEIGHBOURS;
        if (wanted > limit * 2) wanted = limit * 2;
        if (wanted < needed) wanted = needed;
        if (raudo_index_grow(t, (wanted + RAUDO_NEIGHBOURS - 1) / RAUDO_NEIGHBOURS * RAUDO_NEIGHBOURS) < 0) return -1;
    }
    if (t->free_head == RAUDO_NO_SLOT && t->n_entries == t->n_allocated) {
        uint64_t wanted = t->n_allocated < 8 ? 8 : (uint64_t)t->n_allocated + t->n_allocated / 2;
        if (wanted > limit) wanted = limit;
        if (wanted <= t->n_allocated) wanted = (uint64_t)t->n_allocated + 1;
        if (wanted > RAUDO_MAX_ENTRIES) return -1;
        raudo_entry *grown = (raudo_entry *)raudo_block_grow(
            t->entries, t->n_allocated * sizeof *grown, (size_t)wanted * sizeof *grown);
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

/* Bytes of the entries and the index. */
static inline size_t raudo_table_size(const raudo_table *t) {
    return t->n_allocated * sizeof *t->entries + raudo_index_size(&t->index) +
           raudo_index_size(&t->old);
}

static inline void raudo_table_free(raudo_table *t) {
    if (t->entries != NULL) raudo_block_free(t->entries, t->n_allocated * sizeof *t->entries);
    raudo_index_free(&t->index);
    raudo_index_free(&t->old);
    raudo_note_misses(t);
    t->entries = NULL;
    t->n_live = t->n_entries = t->n_allocated = 0;
    t->free_head = RAUDO_NO_SLOT;
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

/* The clock of usage: requests that found an entry or made one; wraps. */
static inline uint32_t raudo_request_count(const raudo_table *t) {
    return (uint32_t)(t->n_hits + t->n_updates) + t->n_stamped;
}

/* Apply a hit. Returns 1 where Policy.on_hit must be called for it. */
static inline int raudo_hit(raudo_table *t, uint32_t slot) {
    raudo_entry *e = &t->entries[slot];
    if (t->hit_kind == RAUDO_HIT_MARK) { /* first, for the default: a switch would jump by a table */
        /* only ever written when it changes: the line stays clean when hot */
        if ((e->meta & RAUDO_MARKS) != RAUDO_MARKS) e->meta += RAUDO_META_ONE;
        return (e->meta & t->call_mask) != 0;
    }
    if (t->hit_kind == RAUDO_HIT_MOVE) {
        raudo_list_move_to_tail(t->entries, &t->order, slot);
        return 0;
    }
    if (t->hit_kind == RAUDO_HIT_STAMP) {
        raudo_usage_touch(&e->prev, &e->next, raudo_request_count(t));
        return (e->meta & t->call_mask) != 0;
    }
    return t->hit_kind == RAUDO_HIT_CALL;
}

/* --- a full cache's every insert --- */

/* Fetch what the eviction of the slot will touch: by then it will be there. */
static inline void raudo_prefetch(const raudo_table *t, uint32_t slot) {
    if (slot == RAUDO_NO_SLOT) return;
    const raudo_entry *e = &t->entries[slot];
    RAUDO_FETCH(e->key);
    RAUDO_FETCH(e->value);
    RAUDO_FETCH(&t->index.words[raudo_home(&t->index, e->hash)]);
}

/* Give the slot of an entry that leaves to a key that is not there, references and all. */
static inline void raudo_replace(raudo_table *t, uint32_t slot, void *key, void *value, uint32_t hash,
                                 uint32_t meta) {
    raudo_entry *e = &t->entries[slot];
    raudo_unindex_slot(t, slot);
    e->key = key;
    e->value = value;
    e->hash = hash;
    e->meta = meta;
    raudo_index_slot(t, slot);
    t->version++;
}

#endif
