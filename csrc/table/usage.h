/* How a key was used, in 8 bytes: when last, how often, and at what gaps. What a learned policy goes by.
 *
 * `last` is a count of requests that may wrap; ages are differences. The word `habit` holds the number
 * of uses (up to 64), log2 of the usual gap between them in eighths (a moving mean), and the class of
 * both: the octave of the uses * 32 + the octave of the gap. No Python.h.
 */
#ifndef RAUDO_USAGE_H
#define RAUDO_USAGE_H

#include <stdint.h>
#include <string.h>

#define RAUDO_MOST_USES 64u
#define RAUDO_USE_OCTAVES 6u /* 1, 2, 3-4, 5-8, 9-16, more */
#define RAUDO_GAP_OCTAVES 32u

typedef struct {
    uint32_t last;
    uint32_t habit; /* uses | gap << 8 | class << 16 */
} raudo_usage;

/* The exponent and the upper `bits` bits of the mantissa of n + 1: log2 in steps of 2^-bits, roughly. */
static inline uint32_t raudo_log2_bits(uint32_t n, int bits) {
    const float f = (float)((uint64_t)n + 1);
    uint32_t word;
    memcpy(&word, &f, sizeof word);
    return (word >> (23 - bits)) - (127u << bits);
}

static inline uint32_t raudo_habit_uses(uint32_t habit) { return habit & 0xFFu; }
static inline uint32_t raudo_habit_gap(uint32_t habit) { return habit >> 8 & 0xFFu; }
static inline uint32_t raudo_habit_class(uint32_t habit) { return habit >> 16 & 0xFFu; }

static inline uint32_t raudo_habit_of(uint32_t uses, uint32_t gap) {
    uint32_t octave = 0;
    if (uses > 1) octave = 32u - (uint32_t)__builtin_clz(uses - 1);
    if (octave >= RAUDO_USE_OCTAVES) octave = RAUDO_USE_OCTAVES - 1;
    return uses | gap << 8 | (octave * RAUDO_GAP_OCTAVES + (gap >> 3)) << 16;
}

#define RAUDO_HABIT_NEW 1u /* used once: no gap yet */

/* Note a use: the gap counts for a half at first, for a quarter later. */
static inline void raudo_usage_touch(uint32_t *last, uint32_t *habit, uint32_t now) {
    const uint32_t seen = raudo_log2_bits(now - *last, 3);
    uint32_t uses = raudo_habit_uses(*habit), gap = raudo_habit_gap(*habit);
    if (uses >= 4) {
        gap = (3 * gap + seen + 2) >> 2;
    } else {
        gap = uses > 1 ? (gap + seen + 1) >> 1 : seen;
    }
    if (uses < RAUDO_MOST_USES) uses++;
    *last = now;
    *habit = raudo_habit_of(uses, gap);
}

#endif
