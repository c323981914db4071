/* Learns how soon keys are used again, and what an entry is worth that has waited for some time.
 *
 * A key that was used `uses` times at gaps of about `gap` belongs to a class; ages since the last use
 * fall into cells, four an octave. A small tracker follows the keys of a sample by hash, whatever the
 * cache itself keeps: a key used again counts as a return at its age, one that the tracker drops or
 * still waits for as a wait of that age (censored). Per class and cell that gives the hazard of a
 * return, smoothed towards that of the same number of uses, and that towards a prior.
 *
 * The worth of a class at an age is the best ratio, over all times to give up, of the chance of a
 * return by then to the expected wait: the Gittins index of the entry (Gittins, "Bandit processes and
 * dynamic allocation indices", 1979), found from the last cell back by merging whatever has the better
 * ratio behind it. Evicting the least worth is LRU where reuse decays, LFU where references are
 * independent, and MRU in a loop. No Python.h.
 */
#ifndef RAUDO_LEARNER_H
#define RAUDO_LEARNER_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "table/usage.h"

#define RAUDO_AGES 52 /* from a 64th of the cache's entries up, in requests: 13 octaves */
#define RAUDO_GAPS 13
#define RAUDO_CLASSES (1 + (RAUDO_USE_OCTAVES - 1) * RAUDO_GAPS)
#define RAUDO_SAMPLE 512      /* entries of the cache whose keys are sampled, where the rate allows it */
#define RAUDO_HIGHEST_RATE 8  /* an eighth of the keys at the most */
#define RAUDO_TRACKED 3       /* keys tracked for each such entry */
#define RAUDO_CLASSES_A_STEP 8

/* The orders in which entries may leave: least worth first; or least used first, of those the newest. */
typedef enum { RAUDO_BY_WORTH, RAUDO_BY_SENIORITY, RAUDO_ORDERS } raudo_order;

typedef struct {
    uint32_t hash;
    raudo_usage usage;
    uint16_t places[RAUDO_ORDERS]; /* among a miniature's residents, + 1; 0: not there */
} raudo_tracked;

/* A miniature cache of tracked keys: see guard.h. */
typedef struct {
    uint16_t *residents; /* tracked keys; NULL where nothing is to be judged */
    uint32_t n_residents, capacity, n_hits;
} raudo_mini;

typedef struct {
    float returns[RAUDO_CLASSES][RAUDO_AGES];
    float waits[RAUDO_CLASSES][RAUDO_AGES];
    uint16_t waiting[RAUDO_CLASSES][RAUDO_AGES]; /* of the keys tracked now; for one refresh */
    float hazard[RAUDO_USE_OCTAVES][RAUDO_AGES]; /* of a number of uses, over all gaps */
    float worth[RAUDO_CLASSES][RAUDO_AGES];
    float width[RAUDO_AGES]; /* requests that a cell covers */
    uint8_t class_of[RAUDO_USE_OCTAVES * RAUDO_GAP_OCTAVES];
    uint32_t first_age;         /* raudo_log2_bits of the first cell */
    uint32_t capacity;
    raudo_tracked *tracked;
    uint16_t *index; /* tracked + 1, or 0 */
    uint32_t mask, n_tracked, most_tracked;
    uint32_t due, period, longest_period; /* of refreshing, in requests */
    uint32_t progress;                    /* classes that this refresh is through with; 0: none runs */
    uint32_t random;
    raudo_mini minis[RAUDO_ORDERS];
} raudo_learner;

static inline uint32_t raudo_random(uint32_t *state) { /* xorshift32, Marsaglia 2003 */
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

/* Other bits than the table's home: a stride in the keys must not bias a sample. */
static inline uint32_t raudo_scramble(uint32_t hash) {
    hash ^= hash >> 15;
    hash *= 0x2C1B3C6Du;
    hash ^= hash >> 12;
    hash *= 0x297A2D39u;
    return hash ^ hash >> 15;
}

/* Hashes scrambled to below it are sampled. */
static inline uint32_t raudo_sampling_threshold(uint32_t capacity) {
    if (capacity < RAUDO_SAMPLE * RAUDO_HIGHEST_RATE) return UINT32_MAX / RAUDO_HIGHEST_RATE;
    return (uint32_t)((uint64_t)UINT32_MAX * RAUDO_SAMPLE / capacity);
}

static inline uint32_t raudo_age_cell(const raudo_learner *l, uint32_t age) {
    const int32_t cell = (int32_t)(raudo_log2_bits(age, 2) - l->first_age);
    if (cell < 0) return 0;
    return cell < RAUDO_AGES ? (uint32_t)cell : RAUDO_AGES - 1;
}

static inline float raudo_worth(const raudo_learner *l, uint32_t last, uint32_t habit, uint32_t now) {
    return l->worth[l->class_of[raudo_habit_class(habit)]][raudo_age_cell(l, now - last)];
}

/* What an entry is held for: the lowest leaves. */
static inline float raudo_score(const raudo_learner *l, raudo_order order, uint32_t last, uint32_t habit,
                                uint32_t now) {
    if (order == RAUDO_BY_WORTH) return raudo_worth(l, last, habit, now);
    /* A float would not tell ages apart beside 64 uses; their logarithms it does. */
    return (float)raudo_habit_uses(habit) + (float)raudo_log2_bits(now - last, 9) / 16384.0f;
}

/* Hazard of a return before anything is known, by uses and age: such as most traces have it. */
static inline float raudo_prior_hazard(uint32_t octave, uint32_t cell) {
    static const float known[RAUDO_USE_OCTAVES] = {0.04f, 0.10f, 0.15f, 0.20f, 0.25f, 0.30f};
    const float ripeness = cell < 28 ? (float)cell / 28.0f : 1.0f;
    return known[octave] * (0.3f + 0.7f * ripeness);
}

/* Worth by cell, from hazards and the widths of the cells. */
static inline void raudo_worth_of(const float *hazard, const float *width, float *worth) {
    float gain[RAUDO_AGES], wait[RAUDO_AGES], stays[RAUDO_AGES]; /* a stack of merged runs of cells */
    int top = 0;
    for (int cell = RAUDO_AGES - 1; cell >= 0; cell--) {
        float g = hazard[cell], w = width[cell] * (1.0f - hazard[cell] / 2.0f);
        float s = 1.0f - hazard[cell];
        while (top > 0 && gain[top - 1] * w >= g * wait[top - 1]) {
            top--;
            g += s * gain[top];
            w += s * wait[top];
            s *= stays[top];
        }
        worth[cell] = g / w;
        gain[top] = g;
        wait[top] = w;
        stays[top++] = s;
    }
}

static inline uint32_t raudo_octave_of_class(uint32_t class) {
    return class == 0 ? 0 : 1 + (class - 1) / RAUDO_GAPS;
}

/* First step of a refresh: who still waits, and the hazards by the number of uses alone. */
static inline void raudo_learner_survey(raudo_learner *l, uint32_t now) {
    memset(l->waiting, 0, sizeof l->waiting);
    for (uint32_t i = 0; i < l->n_tracked; i++) {
        const raudo_usage *u = &l->tracked[i].usage;
        const uint32_t class = l->class_of[raudo_habit_class(u->habit)];
        l->waiting[class][raudo_age_cell(l, now - u->last)]++;
    }
    for (uint32_t octave = 0; octave < RAUDO_USE_OCTAVES; octave++) {
        const uint32_t first = octave == 0 ? 0 : 1 + (octave - 1) * RAUDO_GAPS;
        const uint32_t end = octave == 0 ? 1 : first + RAUDO_GAPS;
        const float weight = 30.0f; /* of the prior, in observations */
        float at_risk = 0.0f;
        for (uint32_t cell = RAUDO_AGES; cell-- > 0;) {
            float returns = 0.0f, waits = 0.0f;
            for (uint32_t class = first; class < end; class++) {
                returns += l->returns[class][cell];
                waits += l->waits[class][cell] + l->waiting[class][cell];
            }
            at_risk += returns + waits;
            l->hazard[octave][cell] = (returns + weight * raudo_prior_hazard(octave, cell)) /
                                      (at_risk - waits / 2.0f + weight);
        }
    }
}

/* The worth of one class anew; then what was counted is forgotten a little. */
static inline void raudo_learner_judge(raudo_learner *l, uint32_t class) {
    const float *towards = l->hazard[raudo_octave_of_class(class)];
    const float weight = 4.0f;
    float hazard[RAUDO_AGES], at_risk = 0.0f;
    for (uint32_t cell = RAUDO_AGES; cell-- > 0;) {
        const float waits = l->waits[class][cell] + l->waiting[class][cell];
        at_risk += l->returns[class][cell] + waits;
        hazard[cell] = (l->returns[class][cell] + weight * towards[cell]) /
                       (at_risk - waits / 2.0f + weight);
        l->returns[class][cell] *= 0.7f;
        l->waits[class][cell] *= 0.7f;
    }
    raudo_worth_of(hazard, l->width, l->worth[class]);
}

/* Do a part of a refresh where one is due: some 10 us, so that no call pays for the whole. */
static inline void raudo_learner_refresh(raudo_learner *l, uint32_t now) {
    if (l->progress == 0) {
        raudo_learner_survey(l, now);
        if (l->period < l->longest_period) l->period *= 2;
        l->due = now + l->period;
    }
    const uint32_t end = l->progress + RAUDO_CLASSES_A_STEP;
    while (l->progress < end && l->progress < RAUDO_CLASSES) raudo_learner_judge(l, l->progress++);
    if (l->progress == RAUDO_CLASSES) l->progress = 0;
}

static inline int raudo_learner_is_due(const raudo_learner *l, uint32_t now) {
    return l->progress != 0 || (int32_t)(now - l->due) >= 0;
}

static inline void raudo_learner_free(raudo_learner *l) {
    if (l == NULL) return;
    for (int order = 0; order < RAUDO_ORDERS; order++) free(l->minis[order].residents);
    free(l->tracked);
    free(l->index);
    free(l);
}

static inline size_t raudo_learner_memory(const raudo_learner *l) {
    if (l == NULL) return 0;
    size_t size = sizeof *l + l->most_tracked * sizeof *l->tracked + (l->mask + 1u) * sizeof *l->index;
    for (int order = 0; order < RAUDO_ORDERS; order++) {
        size += l->minis[order].capacity * sizeof *l->minis[order].residents;
    }
    return size;
}

/* A learner for a cache of `capacity` entries, and miniatures where orders are to be judged; NULL when
 * memory is short. */
static inline raudo_learner *raudo_learner_new(uint32_t capacity, int judges, uint32_t now) {
    raudo_learner *l = (raudo_learner *)calloc(1, sizeof *l);
    if (l == NULL) return NULL;
    l->capacity = capacity;
    const uint64_t sampled = (uint64_t)capacity * raudo_sampling_threshold(capacity) >> 32;
    l->most_tracked = (uint32_t)sampled * RAUDO_TRACKED + 8;
    uint32_t length = 16;
    while (length < 2 * l->most_tracked) length *= 2;
    l->mask = length - 1;
    l->tracked = (raudo_tracked *)malloc(l->most_tracked * sizeof *l->tracked);
    l->index = (uint16_t *)calloc(length, sizeof *l->index);
    if (l->tracked == NULL || l->index == NULL) {
        raudo_learner_free(l);
        return NULL;
    }
    for (int order = 0; judges && order < RAUDO_ORDERS; order++) {
        raudo_mini *m = &l->minis[order];
        m->capacity = sampled < 4 ? 4 : (uint32_t)sampled;
        m->residents = (uint16_t *)malloc(m->capacity * sizeof *m->residents);
        if (m->residents == NULL) {
            raudo_learner_free(l);
            return NULL;
        }
    }
    l->random = 0x9E3779B9u;
    const uint32_t shortest = capacity / 64 > 0 ? capacity / 64 : 1;
    l->first_age = raudo_log2_bits(shortest - 1, 2);
    const uint32_t first_gap = l->first_age / 4;
    for (uint32_t i = 0; i < sizeof l->class_of; i++) {
        const uint32_t octave = i / RAUDO_GAP_OCTAVES;
        uint32_t gap = i % RAUDO_GAP_OCTAVES;
        gap = gap > first_gap ? gap - first_gap : 0;
        if (gap >= RAUDO_GAPS) gap = RAUDO_GAPS - 1;
        l->class_of[i] = (uint8_t)(octave == 0 ? 0 : 1 + (octave - 1) * RAUDO_GAPS + gap);
    }
    for (uint32_t cell = 0; cell < RAUDO_AGES; cell++) {
        const uint32_t at = l->first_age + cell; /* a cell starts at 2^(at/4) * (1 + at%4/4) - 1 */
        const float start = (float)(UINT64_C(1) << (at / 4)) * (float)(4 + at % 4);
        const float end = (float)(UINT64_C(1) << ((at + 1) / 4)) * (float)(4 + (at + 1) % 4);
        l->width[cell] = (cell == 0 ? end - 4.0f : end - start) / 4.0f;
    }
    if (l->width[0] <= 0.0f) l->width[0] = 0.25f;
    l->longest_period = capacity < 4096 ? 8192 : capacity < 100000 ? 2 * capacity : 200000;
    l->period = 128;
    raudo_learner_survey(l, now);
    for (uint32_t class = 0; class < RAUDO_CLASSES; class++) { /* all gaps alike as yet */
        if (class <= 1 || (class - 1) % RAUDO_GAPS == 0) {
            raudo_learner_judge(l, class);
        } else {
            memcpy(l->worth[class], l->worth[class - 1], sizeof l->worth[class]);
        }
    }
    l->due = now + 2 * l->period;
    return l;
}

static inline uint32_t raudo_tracked_home(const raudo_learner *l, uint32_t hash) {
    return (hash * 0x9E3779B1u >> 16) & l->mask;
}

/* Place in the index where the hash is, or the empty place where the search ended. */
static inline uint32_t raudo_tracked_find(const raudo_learner *l, uint32_t hash) {
    uint32_t i = raudo_tracked_home(l, hash);
    while (l->index[i] != 0 && l->tracked[l->index[i] - 1].hash != hash) i = (i + 1) & l->mask;
    return i;
}

static inline void raudo_tracked_unindex(raudo_learner *l, uint32_t hole) {
    for (uint32_t i = (hole + 1) & l->mask; l->index[i] != 0; i = (i + 1) & l->mask) {
        const uint32_t home = raudo_tracked_home(l, l->tracked[l->index[i] - 1].hash);
        if (((i - home) & l->mask) >= ((i - hole) & l->mask)) {
            l->index[hole] = l->index[i];
            hole = i;
        }
    }
    l->index[hole] = 0;
}

/* Take a tracked key out of a miniature. */
static inline void raudo_mini_leave(raudo_learner *l, int order, uint32_t i) {
    raudo_mini *m = &l->minis[order];
    const uint32_t place = l->tracked[i].places[order];
    const uint16_t last = m->residents[--m->n_residents];
    m->residents[place - 1] = last;
    l->tracked[last].places[order] = (uint16_t)place;
    l->tracked[i].places[order] = 0;
}

static inline int raudo_tracked_is_resident(const raudo_tracked *k) {
    return k->places[RAUDO_BY_WORTH] != 0 || k->places[RAUDO_BY_SENIORITY] != 0;
}

static inline uint32_t raudo_tracked_draw(raudo_learner *l) {
    uint32_t i = 0;
    for (int attempt = 0; attempt < 6; attempt++) { /* residents are needed yet */
        i = (uint32_t)((uint64_t)raudo_random(&l->random) * l->n_tracked >> 32);
        if (!raudo_tracked_is_resident(&l->tracked[i])) break;
    }
    return i;
}

/* Stop tracking the older of two keys drawn at random, so that waits longer than the tracker are seen
 * too: by age alone no loop longer than that could ever be noticed. Returns its place. */
static inline uint32_t raudo_tracked_drop(raudo_learner *l, uint32_t now) {
    const uint32_t a = raudo_tracked_draw(l), b = raudo_tracked_draw(l);
    const uint32_t i = now - l->tracked[a].usage.last >= now - l->tracked[b].usage.last ? a : b;
    const raudo_usage *u = &l->tracked[i].usage;
    l->waits[l->class_of[raudo_habit_class(u->habit)]][raudo_age_cell(l, now - u->last)] += 1.0f;
    for (int order = 0; order < RAUDO_ORDERS; order++) {
        if (l->tracked[i].places[order] != 0) raudo_mini_leave(l, order, i);
    }
    raudo_tracked_unindex(l, raudo_tracked_find(l, l->tracked[i].hash));
    return i;
}

/* Track a key that is not tracked yet and has been used like that. Returns its place. */
static inline uint32_t raudo_learner_track(raudo_learner *l, uint32_t hash, raudo_usage usage,
                                           uint32_t now) {
    uint32_t i = l->n_tracked;
    if (i == l->most_tracked) {
        i = raudo_tracked_drop(l, now);
    } else {
        l->n_tracked++;
    }
    l->tracked[i] = (raudo_tracked){hash, usage, {0}};
    l->index[raudo_tracked_find(l, hash)] = (uint16_t)(i + 1);
    return i;
}

/* A request for a sampled key. Returns its place. */
static inline uint32_t raudo_learner_request(raudo_learner *l, uint32_t hash, uint32_t now) {
    const uint32_t place = raudo_tracked_find(l, hash);
    if (l->index[place] == 0) {
        return raudo_learner_track(l, hash, (raudo_usage){now, RAUDO_HABIT_NEW}, now);
    }
    const uint32_t i = l->index[place] - 1u;
    raudo_usage *u = &l->tracked[i].usage;
    l->returns[l->class_of[raudo_habit_class(u->habit)]][raudo_age_cell(l, now - u->last)] += 1.0f;
    raudo_usage_touch(&u->last, &u->habit, now);
    return i;
}

#endif
