#include "likeness/candidates.h"

size_t raudo_shortlist(size_t k)
{
    return 2 * k + 16;
}

static float inner(const float *a, const float *b, size_t n)
{
    float sums[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t lane = 0; lane < 8; lane++)
            sums[lane] += a[i + lane] * b[i + lane];
    for (; i < n; i++)
        sums[0] += a[i] * b[i];
    return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

/* The stretch of a posting list that fits into `room`, around document x. */
static void stretch(const raudo_likeness *corpus, uint32_t rank, size_t x, size_t room, int64_t *lo,
                    int64_t *hi)
{
    int64_t begin = corpus->starts[rank], end = corpus->starts[rank + 1];
    *lo = begin;
    *hi = end;
    if ((size_t)(end - begin) <= room)
        return;
    int64_t low = begin, high = end;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (corpus->documents[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    int64_t first = low - (int64_t)(room / 2);
    if (first < begin)
        first = begin;
    if (first > end - (int64_t)room)
        first = end - (int64_t)room;
    *lo = first;
    *hi = first + (int64_t)room;
}

static inline int ahead(float score, uint32_t id, float other_score, uint32_t other)
{
    return score > other_score || (score == other_score && id < other);
}

void raudo_likely_neighbours(const raudo_likeness *corpus, size_t lo, size_t hi, size_t k, float *scores,
                             uint32_t *best, int64_t *ids, float *similarities)
{
    size_t most = raudo_shortlist(k), d = corpus->dimensions;

    for (size_t x = lo; x < hi; x++, ids += k, similarities += k) {
        uint32_t touched[RAUDO_VISITS];
        size_t n_touched = 0, room = RAUDO_VISITS, n_best = 0, n_kept = 0;

        for (int64_t i = corpus->offsets[x]; i < corpus->offsets[x + 1] && room > 0; i++) {
            uint32_t rank = corpus->ranks[i];
            float weight = corpus->idf[rank] * corpus->idf[rank];
            int64_t at, end;
            if (corpus->starts[rank + 1] - corpus->starts[rank] < 2)
                continue;
            stretch(corpus, rank, x, room, &at, &end);
            room -= (size_t)(end - at);
            for (; at < end; at++) {
                uint32_t y = corpus->documents[at];
                if (y == x)
                    continue;
                if (scores[y] == 0.0f)
                    touched[n_touched++] = y;
                scores[y] += weight;
            }
        }
        for (size_t i = 0; i < n_touched; i++) {
            uint32_t y = touched[i];
            size_t place = n_best;
            if (n_best == most) {
                if (!ahead(scores[y], y, scores[best[most - 1]], best[most - 1]))
                    continue;
                place = most - 1;
            } else {
                n_best++;
            }
            for (; place > 0 && ahead(scores[y], y, scores[best[place - 1]], best[place - 1]); place--)
                best[place] = best[place - 1];
            best[place] = y;
        }
        for (size_t i = 0; i < n_best; i++) {
            float cosine = inner(corpus->vectors + x * d, corpus->vectors + best[i] * d, d);
            size_t place = n_kept;
            if (n_kept == k) {
                if (k == 0 || !ahead(cosine, best[i], similarities[k - 1], (uint32_t)ids[k - 1]))
                    continue;
                place = k - 1;
            } else {
                n_kept++;
            }
            for (; place > 0 && ahead(cosine, best[i], similarities[place - 1], (uint32_t)ids[place - 1]);
                 place--) {
                ids[place] = ids[place - 1];
                similarities[place] = similarities[place - 1];
            }
            ids[place] = best[i];
            similarities[place] = cosine;
        }
        for (; n_kept < k; n_kept++) {
            ids[n_kept] = -1;
            similarities[n_kept] = 0.0f;
        }
        for (size_t i = 0; i < n_touched; i++)
            scores[touched[i]] = 0.0f;
    }
}
