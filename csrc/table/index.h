/* Which slot a hash is in: open addressing with linear probing over 32-bit words, by Robin Hood's rule
 * (Celis, "Robin Hood Hashing", 1986): of two words that want a place the one farther from home has it.
 * So a miss ends at the first word that is nearer to its home, and deletion shifts words back up to the
 * first that is at home: there are no tombstones.
 *
 * A word is tag | distance | slot + 1, from its high bits to its low ones. The slot takes the bits that
 * the index's length asks for; the distance from home takes four and stops at fifteen; what is left is
 * a tag, other bits of the hash. A word of the right distance and tag is of the same home, so that a
 * search almost never touches a wrong entry however few bits the tag has. At most half full. No Python.h.
 */
#ifndef RAUDO_INDEX_H
#define RAUDO_INDEX_H

#include "table/block.h"

#define RAUDO_NO_SLOT UINT32_MAX
#define RAUDO_NEIGHBOURS 8u /* neighbouring hashes that stay neighbours: half a cache line of words */

typedef struct {
    void *key;   /* owned reference; NULL where the entry is free */
    void *value; /* owned reference */
    uint32_t hash;
    uint32_t meta;
    uint32_t prev, next; /* the policy's list; `next` chains free entries */
} raudo_entry;

typedef struct {
    uint32_t *words;
    uint32_t n_words;  /* a multiple of RAUDO_NEIGHBOURS */
    uint32_t n_blocks; /* n_words / RAUDO_NEIGHBOURS */
    uint32_t slots;    /* mask of slot + 1; all ones is a word taken out of an index being left */
    uint32_t step;     /* one word of distance */
    uint32_t far;      /* mask of the distance */
    uint32_t tags;     /* mask of the tag */
} raudo_index;

/* Where a search is, and what a word must look like there but for its slot. */
typedef struct {
    uint32_t at, wanted;
} raudo_probe;

/* What an index without words looks at: nothing is found, and no look-up has to ask whether it may look.
 * Never written to; each extension has its own, so that its address tells nothing. */
static uint32_t raudo_no_words[RAUDO_NEIGHBOURS];

static inline void raudo_index_init(raudo_index *x) {
    *x = (raudo_index){.words = raudo_no_words, .n_words = RAUDO_NEIGHBOURS, .n_blocks = 1};
}

static inline int raudo_index_is_made(const raudo_index *x) {
    return x->step != 0;
}

static inline size_t raudo_index_size(const raudo_index *x) {
    return raudo_index_is_made(x) ? (size_t)x->n_words * sizeof *x->words : 0;
}

static inline void raudo_index_free(raudo_index *x) {
    if (raudo_index_is_made(x)) raudo_block_free(x->words, raudo_index_size(x));
    raudo_index_init(x);
}

/* Make an empty index of n_words, a multiple of RAUDO_NEIGHBOURS below 2**31. 0 on success, -1 when
 * memory is short. */
static inline int raudo_index_make(raudo_index *x, uint32_t n_words) {
    uint32_t *words = (uint32_t *)raudo_block_zeroed((size_t)n_words * sizeof *words);
    if (words == NULL) return -1;
    uint32_t bits = 0;
    while (n_words >> bits != 0) bits++;
    const uint32_t end = bits + 4 < 32 ? bits + 4 : 32; /* of the distance */
    const uint32_t below = end < 32 ? (UINT32_C(1) << end) - 1 : UINT32_MAX;
    const uint32_t slots = (UINT32_C(1) << bits) - 1;
    *x = (raudo_index){words, n_words, n_words / RAUDO_NEIGHBOURS, slots, slots + 1, below & ~slots, ~below};
    return 0;
}

/* Home of a hash. Runs of neighbouring integers stay neighbours and the runs are spread by Fibonacci
 * hashing, which places consecutive runs evenly (Knuth, TAOCP 3, 6.4). Longer runs are better for those
 * who ask in order and worse for inserts that evict; with runs as long as the table every miss walked
 * along two that overlap (750 ns instead of 20). Within a run the order differs from run to run, lest
 * strides of its length all want the same word of each. Multiply and shift instead of a mask, so that the
 * length need not be a power of two (Lemire, "Fast random integer generation in an interval", 2019). */
static inline uint32_t raudo_home(const raudo_index *x, uint32_t hash) {
    const uint32_t spread = hash / RAUDO_NEIGHBOURS * UINT32_C(0x9E3779B1);
    const uint32_t block = (uint32_t)((uint64_t)spread * x->n_blocks >> 32);
    return block * RAUDO_NEIGHBOURS + (hash ^ spread >> 8) % RAUDO_NEIGHBOURS;
}

static inline raudo_probe raudo_probe_start(const raudo_index *x, uint32_t hash) {
    return (raudo_probe){raudo_home(x, hash), hash * UINT32_C(0x85EBCA6B) & x->tags};
}

static inline void raudo_probe_next(const raudo_index *x, raudo_probe *p) {
    p->at = p->at + 1 == x->n_words ? 0 : p->at + 1;
    p->wanted += (p->wanted & x->far) != x->far ? x->step : 0;
}

static inline int raudo_probe_fits(const raudo_index *x, const raudo_probe *p, uint32_t word) {
    return (word & ~x->slots) == p->wanted;
}

/* Whether the search is over: a word nearer to its home than what is looked for would have made way. */
static inline int raudo_probe_ends(const raudo_index *x, const raudo_probe *p, uint32_t word) {
    return word == 0 || ((word & x->far) < (p->wanted & x->far) && word != x->slots);
}

static inline uint32_t raudo_word_slot(const raudo_index *x, uint32_t word) {
    return (word & x->slots) - 1u;
}

/* The slot of the next word that fits, where the probe then is; RAUDO_NO_SLOT where the search is over. In
 * an index being left it may be a word taken out: see raudo_is_word_out. */
static inline uint32_t raudo_probe_find(const raudo_index *x, raudo_probe *p) {
    for (;; raudo_probe_next(x, p)) {
        const uint32_t word = x->words[p->at];
        if (raudo_probe_fits(x, p, word) && word != 0) return raudo_word_slot(x, word);
        if (raudo_probe_ends(x, p, word)) return RAUDO_NO_SLOT;
    }
}

static inline int raudo_is_word_out(const raudo_index *x, uint32_t slot) {
    return slot == x->slots - 1u;
}

static inline uint32_t raudo_probe_go_on(const raudo_index *x, raudo_probe *p) {
    raudo_probe_next(x, p);
    return raudo_probe_find(x, p);
}

/* For every slot in whose entry the key of this hash may be. */
#define RAUDO_EACH_FIT(slot, probe, x, hash) \
    raudo_probe probe = raudo_probe_start((x), (hash)); \
    for (uint32_t slot = raudo_probe_find((x), &probe); slot != RAUDO_NO_SLOT; \
         slot = raudo_probe_go_on((x), &probe))

/* How far `to` is behind `from`, going round. */
static inline uint32_t raudo_index_gap(const raudo_index *x, uint32_t from, uint32_t to) {
    return to >= from ? to - from : to + (x->n_words - from);
}

/* Whether the slot's word, were it at `at`, is farther from home than the other's. By their hashes, because
 * the words tell no more than fifteen: an order that only the words kept would not outlive a shift. */
static inline int raudo_index_is_farther(const raudo_index *x, const raudo_entry *entries, uint32_t slot,
                                         uint32_t other, uint32_t at) {
    return raudo_index_gap(x, raudo_home(x, entries[slot].hash), at) >
           raudo_index_gap(x, raudo_home(x, entries[other].hash), at);
}

/* The slot, whose entry has its hash, is not there, and a word is free. Who is nearer home makes way. */
static inline void raudo_index_insert(raudo_index *x, const raudo_entry *entries, uint32_t slot) {
    raudo_probe p = raudo_probe_start(x, entries[slot].hash);
    p.wanted |= slot + 1u;
    for (;; raudo_probe_next(x, &p)) {
        const uint32_t word = x->words[p.at], mine = p.wanted & x->far;
        if (word == 0) break;
        if ((word & x->far) > mine) continue;
        if ((word & x->far) == mine &&
            (mine != x->far || !raudo_index_is_farther(x, entries, raudo_word_slot(x, p.wanted),
                                                       raudo_word_slot(x, word), p.at))) {
            continue;
        }
        x->words[p.at] = p.wanted;
        p.wanted = word;
    }
    x->words[p.at] = p.wanted;
}

/* Where the word of the slot is, or RAUDO_NO_SLOT. */
static inline uint32_t raudo_index_place(const raudo_index *x, uint32_t hash, uint32_t slot) {
    raudo_probe p = raudo_probe_start(x, hash);
    for (;; raudo_probe_next(x, &p)) {
        const uint32_t word = x->words[p.at];
        if (word == 0) return RAUDO_NO_SLOT;
        if (raudo_word_slot(x, word) == slot) return p.at;
    }
}

/* Take the word at `hole` out and shift back what would not be found past it. */
static inline void raudo_index_remove(raudo_index *x, const raudo_entry *entries, uint32_t hole) {
    uint32_t i = hole;
    for (;;) {
        i = i + 1 == x->n_words ? 0 : i + 1;
        const uint32_t word = x->words[i];
        if (word == 0) break;
        const uint32_t field = word & x->far;
        if (field == 0) break; /* at home, and so are those behind it */
        uint64_t distance = field;
        if (field == x->far) { /* or more */
            const uint32_t home = raudo_home(x, entries[raudo_word_slot(x, word)].hash);
            distance = raudo_index_gap(x, home, i) * (uint64_t)x->step;
        }
        distance -= x->step;
        x->words[hole] = (word & ~x->far) | (uint32_t)(distance < x->far ? distance : x->far);
        hole = i;
    }
    x->words[hole] = 0;
}

#endif
