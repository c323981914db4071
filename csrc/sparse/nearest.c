#include "sparse/nearest.h"

#include <math.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* So many rows of a tile meet a panel before the limits are looked at again. */
enum { LANES = 32, SLICE = 128 };

/* Products of two numbers in 2^-15, of which the upper 16 bits are kept. */
static const float UNIT = 32767.0f * 32767.0f / 65536.0f;
/* What sums of float32 may be off by. */
static const float SLACK = 1e-5f;

size_t raudo_count_numbers(const float *row, size_t dimensions)
{
    uint32_t count = 0;
    for (size_t d = 0; d < dimensions; d++)
        count += row[d] != 0.0f;
    return count;
}

static inline int16_t rounded(float value)
{
    float scaled = rintf(value * 32767.0f);
    return (int16_t)(scaled > 32767.0f ? 32767.0f : scaled < -32767.0f ? -32767.0f : scaled);
}

/* Which of 16 numbers are not zero. */
static inline uint32_t numbers_among(const float *row)
{
#if defined(__SSE2__)
    uint32_t found = 0;
    for (int i = 0; i < 4; i++) {
        __m128 differs = _mm_cmpneq_ps(_mm_loadu_ps(row + 4 * i), _mm_setzero_ps());
        found |= (uint32_t)_mm_movemask_ps(differs) << (4 * i);
    }
    return found;
#else
    uint32_t found = 0;
    for (int i = 0; i < 16; i++)
        found |= (uint32_t)(row[i] != 0.0f) << i;
    return found;
#endif
}

void raudo_gather_numbers(const float *row, size_t dimensions, uint16_t *places, float *values, int16_t *weights)
{
    size_t n = 0, d = 0;
    for (; d + 16 <= dimensions; d += 16) {
        for (uint32_t found = numbers_among(row + d); found != 0; found &= found - 1) {
            size_t place = d + (size_t)__builtin_ctz(found);
            places[n] = (uint16_t)place;
            values[n] = row[place];
            weights[n++] = rounded(row[place]);
        }
    }
    for (; d < dimensions; d++) {
        if (row[d] == 0.0f)
            continue;
        places[n] = (uint16_t)d;
        values[n] = row[d];
        weights[n++] = rounded(row[d]);
    }
}

/* --- some rows and a panel ------------------------------------------------------------- */

typedef struct {
    uint32_t row, above; /* a bit for each row of the panel */
} hit;

/* Rows [lo, lo + n) and their limits. */
typedef struct {
    const raudo_sparse *rows;
    const int16_t *limits;
    size_t lo, n;
} slice;

/* Sum up the products of each row of the slice with those of the panel; collect the rows that have sums above
 * their own limit, or above that of the panel's row. Returns how many. */
typedef size_t (*sift)(const slice *mine, const int16_t *panel, const int16_t *limits, hit *hits);

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx512f,avx512bw"))) static size_t sift_avx512(const slice *mine, const int16_t *panel,
                                                                      const int16_t *limits, hit *hits)
{
    const __m512i theirs = _mm512_loadu_si512(limits);
    const int64_t *offsets = mine->rows->offsets + mine->lo;
    size_t found = 0;
    for (size_t row = 0; row < mine->n; row++) {
        __m512i sums = _mm512_setzero_si512();
        for (int64_t j = offsets[row]; j < offsets[row + 1]; j++) {
            __m512i line = _mm512_loadu_si512(panel + (size_t)mine->rows->places[j] * LANES);
            __m512i weight = _mm512_set1_epi16(mine->rows->weights[j]);
            sums = _mm512_add_epi16(sums, _mm512_mulhi_epi16(line, weight));
        }
        __m512i least = _mm512_min_epi16(_mm512_set1_epi16(mine->limits[row]), theirs);
        hits[found].row = (uint32_t)row;
        hits[found].above = _mm512_cmpgt_epi16_mask(sums, least);
        found += hits[found].above != 0;
    }
    return found;
}

__attribute__((target("avx2"))) static size_t sift_avx2(const slice *mine, const int16_t *panel,
                                                        const int16_t *limits, hit *hits)
{
    const __m256i *halves = (const __m256i *)(const void *)limits;
    const __m256i low_theirs = _mm256_loadu_si256(halves), high_theirs = _mm256_loadu_si256(halves + 1);
    const int64_t *offsets = mine->rows->offsets + mine->lo;
    size_t found = 0;
    for (size_t row = 0; row < mine->n; row++) {
        __m256i low = _mm256_setzero_si256(), high = low, limit = _mm256_set1_epi16(mine->limits[row]);
        for (int64_t j = offsets[row]; j < offsets[row + 1]; j++) {
            const int16_t *line = panel + (size_t)mine->rows->places[j] * LANES;
            const __m256i *parts = (const __m256i *)(const void *)line;
            __m256i weight = _mm256_set1_epi16(mine->rows->weights[j]);
            low = _mm256_add_epi16(low, _mm256_mulhi_epi16(_mm256_loadu_si256(parts), weight));
            high = _mm256_add_epi16(high, _mm256_mulhi_epi16(_mm256_loadu_si256(parts + 1), weight));
        }
        low = _mm256_cmpgt_epi16(low, _mm256_min_epi16(limit, low_theirs));
        high = _mm256_cmpgt_epi16(high, _mm256_min_epi16(limit, high_theirs));
        __m256i above = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xD8);
        hits[found].row = (uint32_t)row;
        hits[found].above = (uint32_t)_mm256_movemask_epi8(above);
        found += hits[found].above != 0;
    }
    return found;
}
#endif

static size_t sift_plain(const slice *mine, const int16_t *panel, const int16_t *limits, hit *hits)
{
    const int64_t *offsets = mine->rows->offsets + mine->lo;
    size_t found = 0;
    for (size_t row = 0; row < mine->n; row++) {
        int32_t sums[LANES] = {0};
        uint32_t above = 0;
        for (int64_t j = offsets[row]; j < offsets[row + 1]; j++) {
            const int16_t *line = panel + (size_t)mine->rows->places[j] * LANES;
            for (size_t lane = 0; lane < LANES; lane++)
                sums[lane] += line[lane] * mine->rows->weights[j] >> 16;
        }
        for (size_t lane = 0; lane < LANES; lane++)
            above |= (uint32_t)(sums[lane] > mine->limits[row] || sums[lane] > limits[lane]) << lane;
        hits[found] = (hit){(uint32_t)row, above};
        found += above != 0;
    }
    return found;
}

static sift best_sift(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw"))
        return sift_avx512;
    if (__builtin_cpu_supports("avx2"))
        return sift_avx2;
#endif
    return sift_plain;
}

/* A row that is among x's best has a sum above this. A product loses up to 1 in its last place, and half
 * of that by the rounding of its factors. */
static float limit_of(const raudo_sparse *rows, size_t x, const raudo_topk *top)
{
    float n = (float)(rows->offsets[x + 1] - rows->offsets[x]);
    float beaten = top->size < top->k ? -INFINITY : (float)-top->scores[0];
    if (rows->least != NULL && rows->least[x] > beaten)
        beaten = rows->least[x];
    return beaten == -INFINITY ? 0.0f : (beaten - SLACK) * UNIT - 1.5f * n - 3.0f;
}

static int16_t whole_limit(const raudo_sparse *rows, size_t x, const raudo_topk *top)
{
    float limit = limit_of(rows, x, top);
    return (int16_t)(limit < 0.0f ? 0.0f : limit > INT16_MAX ? INT16_MAX : limit);
}

static void offer(const raudo_sparse *rows, size_t x, raudo_topk *top, double score, size_t y)
{
    if (rows->least == NULL || -score > (double)rows->least[x])
        raudo_topk_push(top, score, rows->names == NULL ? (int64_t)y : rows->names[y]);
}

int raudo_is_complete(const raudo_sparse *rows, size_t x, const raudo_topk *top)
{
    return limit_of(rows, x, top) > 0.0f;
}

/* --- all rows ---------------------------------------------------------------------------------- */

static void spread_row(const raudo_sparse *rows, size_t x, float *spread)
{
    for (int64_t j = rows->offsets[x]; j < rows->offsets[x + 1]; j++)
        spread[rows->places[j]] = rows->values[j];
}

static void clear_row(const raudo_sparse *rows, size_t x, float *spread)
{
    for (int64_t j = rows->offsets[x]; j < rows->offsets[x + 1]; j++)
        spread[rows->places[j]] = 0.0f;
}

/* Zeros add nothing, so the product of x and y is that of y and x, to the last bit. */
static inline double product_with(const raudo_sparse *rows, const float *spread, size_t y)
{
    float product = 0.0f;
    for (int64_t j = rows->offsets[y]; j < rows->offsets[y + 1]; j++)
        product += spread[rows->places[j]] * rows->values[j];
    return (double)product;
}

static void lay_panel(const raudo_sparse *rows, size_t first, int16_t *panel)
{
    memset(panel, 0, rows->dimensions * LANES * sizeof *panel);
    for (size_t lane = 0; lane < LANES && first + lane < rows->n; lane++)
        for (int64_t j = rows->offsets[first + lane]; j < rows->offsets[first + lane + 1]; j++)
            panel[rows->places[j] * LANES + lane] = rows->weights[j];
}

size_t raudo_nearest_scratch(size_t dimensions)
{
    return dimensions * (LANES * sizeof(int16_t) + sizeof(float)) + SLICE * sizeof(hit)
         + RAUDO_TILE_ROWS * sizeof(int16_t);
}

/* Offer x and the rows of the panel from `first` on that have a bit in `above` to each other. */
static void offer_both(const raudo_sparse *rows, size_t x, size_t first, uint32_t above, raudo_topk *tops,
                       float *spread)
{
    spread_row(rows, x, spread);
    for (size_t y = first; above; above >>= 1, y++) {
        if (!(above & 1))
            continue;
        double score = -product_with(rows, spread, y);
        offer(rows, x, &tops[x], score, y);
        if (y != x)
            offer(rows, y, &tops[y], score, x);
    }
    clear_row(rows, x, spread);
}

void raudo_meet_rows(const raudo_sparse *rows, size_t lo, size_t hi, size_t from, size_t until, raudo_topk *tops,
                     void *scratch)
{
    float *spread = scratch;
    hit *hits = (hit *)(void *)(spread + rows->dimensions);
    int16_t *panel = (int16_t *)(void *)(hits + SLICE);
    int16_t *mine = panel + rows->dimensions * LANES, theirs[LANES];
    sift sift_panel = best_sift();

    memset(spread, 0, rows->dimensions * sizeof *spread);
    for (size_t x = lo; x < hi; x++)
        mine[x - lo] = whole_limit(rows, x, &tops[x]);
    for (size_t first = from; first < until; first += LANES) {
        lay_panel(rows, first, panel);
        for (size_t lane = 0; lane < LANES; lane++)
            theirs[lane] = first + lane < rows->n ? whole_limit(rows, first + lane, &tops[first + lane])
                                                  : INT16_MAX;
        for (size_t begin = 0; begin < hi - lo; begin += SLICE) {
            size_t n = begin + SLICE < hi - lo ? SLICE : hi - lo - begin;
            slice some = {rows, mine + begin, lo + begin, n};
            size_t n_hits = sift_panel(&some, panel, theirs, hits);
            for (const hit *each = hits; each < hits + n_hits; each++) {
                size_t x = lo + begin + each->row;
                if (x < first + LANES) { /* a pair meets once */
                    uint32_t above = x > first ? each->above & ~(uint32_t)0 << (x - first) : each->above;
                    offer_both(rows, x, first, above, tops, spread);
                    mine[x - lo] = whole_limit(rows, x, &tops[x]);
                }
            }
            for (size_t y = first; n_hits && y < first + LANES && y < rows->n; y++) {
                theirs[y - first] = whole_limit(rows, y, &tops[y]);
                if (y >= lo && y < hi)
                    mine[y - lo] = theirs[y - first];
            }
        }
    }
}

void raudo_offer_all(const raudo_sparse *rows, size_t x, raudo_topk *top, void *scratch)
{
    float *spread = scratch;
    memset(spread, 0, rows->dimensions * sizeof *spread);
    spread_row(rows, x, spread);
    top->size = 0;
    for (size_t y = 0; y < rows->n; y++)
        raudo_topk_push(top, -product_with(rows, spread, y), rows->names == NULL ? (int64_t)y : rows->names[y]);
}
