/* The k best of a stream: a bounded binary heap with the worst on top.
 *
 * Smaller scores are better; of equal scores the smaller id is, so that the result does not depend
 * on the order of arrival. NaN is never kept. O(log k) a kept item, O(1) a refused one. The caller
 * owns the two arrays of k; nothing is allocated.
 */
#ifndef RAUDO_TOPK_H
#define RAUDO_TOPK_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    double *scores;
    int64_t *ids;
    size_t k, size;
} raudo_topk;

static inline int raudo_topk_worse(double score, int64_t id, double other_score, int64_t other_id)
{
    return score > other_score || (score == other_score && id > other_id);
}

/* What exceeds this is not among the k best. */
static inline double raudo_topk_limit(const raudo_topk *top)
{
    return top->k == 0 ? -INFINITY : top->size < top->k ? INFINITY : top->scores[0];
}

/* Put an item where the hole at `at` is, or below it, in a heap of `size`. */
static inline void raudo_topk_sink(raudo_topk *top, size_t at, size_t size, double score, int64_t id)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= size)
            break;
        if (child + 1 < size
            && raudo_topk_worse(top->scores[child + 1], top->ids[child + 1], top->scores[child],
                                top->ids[child]))
            child++;
        if (!raudo_topk_worse(top->scores[child], top->ids[child], score, id))
            break;
        top->scores[at] = top->scores[child];
        top->ids[at] = top->ids[child];
        at = child;
    }
    top->scores[at] = score;
    top->ids[at] = id;
}

static inline void raudo_topk_push(raudo_topk *top, double score, int64_t id)
{
    if (isnan(score) || top->k == 0)
        return;
    if (top->size < top->k) {
        size_t at = top->size++;
        while (at > 0) {
            const size_t parent = (at - 1) / 2;
            if (!raudo_topk_worse(score, id, top->scores[parent], top->ids[parent]))
                break;
            top->scores[at] = top->scores[parent];
            top->ids[at] = top->ids[parent];
            at = parent;
        }
        top->scores[at] = score;
        top->ids[at] = id;
    } else if (raudo_topk_worse(top->scores[0], top->ids[0], score, id)) {
        raudo_topk_sink(top, 0, top->k, score, id);
    }
}

/* Order best first, and fill what is missing with NaN and -1. The heap is used up. */
static inline void raudo_topk_finish(raudo_topk *top)
{
    for (size_t size = top->size; size > 1; size--) {
        const double score = top->scores[size - 1];
        const int64_t id = top->ids[size - 1];
        top->scores[size - 1] = top->scores[0];
        top->ids[size - 1] = top->ids[0];
        raudo_topk_sink(top, 0, size - 1, score, id);
    }
    for (size_t i = top->size; i < top->k; i++) {
        top->scores[i] = NAN;
        top->ids[i] = -1;
    }
    top->size = 0;
}

#endif
