#include "likeness/join.h"

#include <math.h>

#include "likeness/overlap.h"

/* Bounds are loosened by this much, for the rounding of threshold * size: a candidate more, never less. */
static const double SLACK = 1e-9;

static inline size_t size_of(const raudo_sets *sets, size_t i)
{
    return (size_t)(sets->offsets[i + 1] - sets->offsets[i]);
}

static inline size_t at_least(double bound)
{
    double least = ceil(bound - SLACK);
    return least < 1.0 ? 1 : (size_t)least;
}

static inline size_t wanted_overlap(size_t n_a, size_t n_b, double threshold)
{
    return at_least(threshold / (1.0 + threshold) * (double)(n_a + n_b));
}

/* How many first terms of a set of n are indexed. */
static size_t index_prefix(size_t n, double threshold)
{
    return n == 0 ? 0 : n - at_least(2.0 * threshold / (1.0 + threshold) * (double)n) + 1;
}

/* And looked up. */
static size_t probe_prefix(size_t n, double threshold)
{
    return n == 0 ? 0 : n - at_least(threshold * (double)n) + 1;
}

void raudo_sign_sets(const raudo_sets *sets, uint64_t *signatures)
{
    for (size_t s = 0; s < sets->n_sets; s++) {
        uint64_t bits[2] = {0, 0};
        for (int64_t i = sets->offsets[s]; i < sets->offsets[s + 1]; i++) {
            uint32_t bit = sets->ranks[i] * 0x9E3779B1u >> 25;
            bits[bit >> 6] |= (uint64_t)1 << (bit & 63);
        }
        signatures[2 * s] = bits[0];
        signatures[2 * s + 1] = bits[1];
    }
}

static inline uint64_t pairs_of_bits(uint64_t x)
{
    x -= x >> 1 & 0x5555555555555555u;
    return (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
}

/* Whether the signatures leave room for an overlap of `wanted`. */
static inline int may_share(const raudo_sets *sets, size_t a, size_t b, size_t n_both, size_t wanted)
{
    const uint64_t *x = sets->signatures + 2 * a, *y = sets->signatures + 2 * b;
    uint64_t fours = pairs_of_bits(x[0] ^ y[0]) + pairs_of_bits(x[1] ^ y[1]);
    fours = (fours & 0x0F0F0F0F0F0F0F0Fu) + (fours >> 4 & 0x0F0F0F0F0F0F0F0Fu);
    size_t n_differ = (size_t)(fours * 0x0101010101010101u >> 56);
    return n_differ + 2 * wanted <= n_both;
}

uint32_t raudo_root(uint32_t *parents, uint32_t i)
{
    while (parents[i] != i) {
        parents[i] = parents[parents[i]];
        i = parents[i];
    }
    return i;
}

/* The smaller number becomes the root: the forest depends on what is united, not on the order. */
void raudo_unite(uint32_t *parents, uint32_t a, uint32_t b)
{
    a = raudo_root(parents, a);
    b = raudo_root(parents, b);
    if (a < b)
        parents[b] = a;
    else if (b < a)
        parents[a] = b;
}

RAUDO_DEFINE_OVERLAP(overlap, uint32_t)

int raudo_are_similar(const raudo_sets *sets, size_t a, size_t b)
{
    size_t n_a = size_of(sets, a), n_b = size_of(sets, b);
    size_t wanted = wanted_overlap(n_a, n_b, sets->threshold);
    if ((n_a < n_b ? n_a : n_b) < wanted || !may_share(sets, a, b, n_a + n_b, wanted))
        return 0;
    size_t shared = overlap(sets->ranks + sets->offsets[a], n_a, sets->ranks + sets->offsets[b], n_b, wanted);
    return raudo_reaches(shared, n_a, n_b, sets->threshold);
}

void raudo_count_postings(const raudo_sets *sets, int64_t *starts, int64_t *probes)
{
    for (size_t s = 0; s < sets->n_sets; s++) {
        const uint32_t *ranks = sets->ranks + sets->offsets[s];
        size_t indexed = index_prefix(size_of(sets, s), sets->threshold);
        size_t probed = probe_prefix(size_of(sets, s), sets->threshold);
        for (size_t i = 0; i < indexed; i++)
            starts[ranks[i] + 1]++;
        for (size_t i = 0; i < probed; i++)
            probes[ranks[i]]++;
    }
}

void raudo_fill_postings(const raudo_sets *sets, int64_t *next, uint32_t *in_sets, uint32_t *places)
{
    for (size_t s = 0; s < sets->n_sets; s++) {
        const uint32_t *ranks = sets->ranks + sets->offsets[s];
        size_t prefix = index_prefix(size_of(sets, s), sets->threshold);
        for (size_t i = 0; i < prefix; i++) {
            int64_t at = next[ranks[i]]++;
            in_sets[at] = (uint32_t)s;
            places[at] = (uint32_t)i;
        }
    }
}

/* First posting of [lo, hi) whose set has at least `least` terms; sets ascend by size. */
static int64_t skip_smaller(const raudo_sets *sets, const uint32_t *in_sets, int64_t lo, int64_t hi,
                            size_t least)
{
    while (lo < hi) {
        int64_t middle = lo + (hi - lo) / 2;
        if (size_of(sets, in_sets[middle]) < least)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

void raudo_join(const raudo_sets *sets, const raudo_postings *postings, size_t lo, size_t hi,
                uint32_t *parents, uint32_t *seen)
{
    double threshold = sets->threshold;

    for (size_t x = lo; x < hi; x++) {
        const uint32_t *terms = sets->ranks + sets->offsets[x];
        size_t n_x = size_of(sets, x), prefix = probe_prefix(n_x, threshold);
        size_t least = n_x == 0 ? 0 : at_least(threshold * (double)n_x);
        uint32_t mark = (uint32_t)x + 1;

        for (size_t i = 0; i < prefix; i++) {
            int64_t end = postings->starts[terms[i] + 1];
            int64_t at = skip_smaller(sets, postings->sets, postings->starts[terms[i]], end, least);
            for (; at < end && postings->sets[at] < x; at++) {
                uint32_t y = postings->sets[at];
                if (seen[y] == mark)
                    continue;
                seen[y] = mark;
                /* This is the first term that both have: what follows bounds the overlap. */
                size_t n_y = size_of(sets, y), j = postings->places[at];
                size_t wanted = wanted_overlap(n_x, n_y, threshold);
                size_t rest = n_x - i < n_y - j ? n_x - i : n_y - j;
                if (rest < wanted || !may_share(sets, x, y, n_x + n_y, wanted))
                    continue;
                if (raudo_root(parents, (uint32_t)x) == raudo_root(parents, y))
                    continue;
                const uint32_t *others = sets->ranks + sets->offsets[y];
                size_t shared = overlap(terms + i, n_x - i, others + j, n_y - j, wanted);
                if (raudo_reaches(shared, n_x, n_y, threshold))
                    raudo_unite(parents, (uint32_t)x, y);
            }
        }
    }
}

#define NOBODY UINT32_MAX

/* The members of a bucket that were looked at, chained by component: a member of a component that is
 * met already is not compared with it, so that a bucket of one component takes linear time. */
typedef struct {
    uint32_t *last, *first; /* member of each component */
    uint32_t *before;       /* each member's predecessor in its chain */
    size_t n;
} chains;

/* Compare x with the members of a component, the last first. */
static int joins(const raudo_sets *sets, const int64_t *members, const chains *met, size_t component, size_t x,
                 uint32_t *parents, size_t *n_compared)
{
    uint32_t a = (uint32_t)members[x];
    uint32_t i = met->last[component];
    if (raudo_root(parents, a) == raudo_root(parents, (uint32_t)members[i]))
        return 1;
    for (; i != NOBODY && *n_compared < RAUDO_MOST_COMPARED; i = met->before[i]) {
        (*n_compared)++;
        if (raudo_are_similar(sets, a, (size_t)members[i])) {
            raudo_unite(parents, a, (uint32_t)members[i]);
            return 1;
        }
    }
    return 0;
}

static void join_bucket(const raudo_sets *sets, const int64_t *members, size_t n, uint32_t *parents,
                        uint32_t *scratch)
{
    chains met = {scratch, scratch + n, scratch + 2 * n, 0};

    for (size_t x = 0; x < n; x++) {
        size_t n_compared = 0, mine = n;
        for (size_t c = met.n; c-- > 0 && n_compared < RAUDO_MOST_COMPARED;) {
            if (!joins(sets, members, &met, c, x, parents, &n_compared))
                continue;
            if (mine == n) {
                met.before[x] = met.last[c];
                met.last[c] = (uint32_t)x;
                mine = c;
                continue;
            }
            /* x links two components: one chain follows the other, and the last takes its place. */
            met.before[met.first[mine]] = met.last[c];
            met.first[mine] = met.first[c];
            met.n--;
            met.last[c] = met.last[met.n];
            met.first[c] = met.first[met.n];
            if (mine == met.n)
                mine = c;
        }
        if (mine == n) {
            met.last[met.n] = met.first[met.n] = (uint32_t)x;
            met.before[x] = NOBODY;
            met.n++;
        }
    }
}

void raudo_join_buckets(const raudo_sets *sets, const int64_t *starts, const int64_t *members, size_t lo,
                        size_t hi, uint32_t *parents, uint32_t *scratch)
{
    for (size_t bucket = lo; bucket < hi; bucket++)
        join_bucket(sets, members + starts[bucket], (size_t)(starts[bucket + 1] - starts[bucket]), parents,
                    scratch);
}
