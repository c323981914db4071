/* How often keys were used lately, estimated for all of them in 8 bytes for each entry of the cache.
 *
 * A count-min sketch of counters up to 15 in four rows (Cormode and Muthukrishnan, "An improved data
 * stream summary", 2005); the four counters of a key lie in one cache line (Putze, Sanders and Singler,
 * "Cache-, hash- and space-efficient Bloom filters", 2007), and only the least of them grow. So that
 * the past fades every counter is halved once in ten uses for each entry (Einziger, Friedman and Manes,
 * "TinyLFU: a highly efficient cache admission policy", 2017), one line at a time: no use pays for all
 * of them. No Python.h.
 */
#ifndef RAUDO_SKETCH_H
#define RAUDO_SKETCH_H

#include <stdint.h>
#include <stdlib.h>

#define RAUDO_SKETCH_LINE 8        /* words of 16 counters; two for each row */
#define RAUDO_USES_A_LINE 80u      /* between the halving of one line and the next */
#define RAUDO_ODD_BITS UINT64_C(0x7777777777777777)

typedef struct {
    uint64_t *words;
    uint32_t n_lines;
    uint32_t n_uses; /* since a line was halved */
    uint32_t next;   /* line to be halved */
} raudo_sketch;

static inline void raudo_sketch_free(raudo_sketch *s) {
    free(s->words);
    *s = (raudo_sketch){0};
}

/* Start over with counters for `capacity` entries. 0 on success, -1 when memory is short. */
static inline int raudo_sketch_reset(raudo_sketch *s, uint32_t capacity) {
    raudo_sketch_free(s);
    const uint32_t n_lines = capacity / RAUDO_SKETCH_LINE + 1;
    s->words = (uint64_t *)calloc((size_t)n_lines * RAUDO_SKETCH_LINE, sizeof *s->words);
    if (s->words == NULL) return -1;
    s->n_lines = n_lines;
    return 0;
}

/* Where a hash counts: its line, and in each row a word (one of two) and a counter (one of 16). */
static inline uint64_t *raudo_sketch_line(const raudo_sketch *s, uint32_t hash, uint32_t *places) {
    const uint64_t spread = (hash ^ UINT64_C(0xD6E8FEB86659FD93)) * UINT64_C(0x9E3779B97F4A7C15);
    *places = (uint32_t)(spread >> 12); /* five bits for each row */
    return s->words + RAUDO_SKETCH_LINE * (size_t)((spread >> 32) * s->n_lines >> 32);
}

static inline uint32_t raudo_sketch_word(uint32_t places, uint32_t row) {
    return 2 * row + (places >> (5 * row) & 1u);
}

static inline uint32_t raudo_sketch_shift(uint32_t places, uint32_t row) {
    return 4 * (places >> (5 * row + 1) & 15u);
}

/* How often it was used, 15 at the most; never less than it was since it last faded. */
static inline uint32_t raudo_sketch_count(const raudo_sketch *s, uint32_t hash) {
    if (s->n_lines == 0) return 0;
    uint32_t places, least = 15;
    const uint64_t *line = raudo_sketch_line(s, hash, &places);
    for (uint32_t row = 0; row < 4; row++) {
        const uint64_t word = line[raudo_sketch_word(places, row)];
        const uint32_t count = (uint32_t)(word >> raudo_sketch_shift(places, row)) & 15u;
        if (count < least) least = count;
    }
    return least;
}

static inline void raudo_sketch_add(raudo_sketch *s, uint32_t hash) {
    if (s->n_lines == 0) return;
    uint32_t places;
    uint64_t *line = raudo_sketch_line(s, hash, &places);
    const uint32_t least = raudo_sketch_count(s, hash);
    for (uint32_t row = 0; row < 4 && least < 15; row++) {
        uint64_t *word = &line[raudo_sketch_word(places, row)];
        const uint32_t shift = raudo_sketch_shift(places, row);
        if ((*word >> shift & 15u) == least) *word += UINT64_C(1) << shift;
    }
    if (++s->n_uses < RAUDO_USES_A_LINE) return;
    s->n_uses = 0;
    line = s->words + (size_t)s->next * RAUDO_SKETCH_LINE;
    for (int i = 0; i < RAUDO_SKETCH_LINE; i++) line[i] = line[i] >> 1 & RAUDO_ODD_BITS;
    s->next = s->next + 1 < s->n_lines ? s->next + 1 : 0;
}

static inline size_t raudo_sketch_memory(const raudo_sketch *s) {
    return (size_t)s->n_lines * RAUDO_SKETCH_LINE * sizeof *s->words;
}

#endif
