#include "text/sets.h"

#include <string.h>

#include "hash/hash.h"

enum { TINY = 16, SMALL = 32 };

/* Each item's place is the number of those below it: no branch depends on the items, which for hashes
 * could not be predicted. A quarter faster than insertion at 8 items, even at 16. */
static void rank_sort(const uint64_t *items, size_t n, uint64_t *sorted)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t item = items[i];
        size_t place = 0;
        for (size_t j = 0; j < i; j++)
            place += items[j] <= item;
        for (size_t j = i + 1; j < n; j++)
            place += items[j] < item;
        sorted[place] = item;
    }
}

static void insertion_sort(uint64_t *items, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        uint64_t item = items[i];
        size_t j = i;
        for (; j > 0 && items[j - 1] > item; j--)
            items[j] = items[j - 1];
        items[j] = item;
    }
}

/* Eight passes over the bytes, least significant first: the answer for items that cluster. */
static void radix_sort(uint64_t *items, size_t n, uint64_t *scratch)
{
    for (unsigned shift = 0; shift < 64; shift += 8) {
        size_t starts[257] = {0};
        for (size_t i = 0; i < n; i++)
            starts[((items[i] >> shift) & 0xFF) + 1]++;
        for (size_t i = 1; i < 257; i++)
            starts[i] += starts[i - 1];
        for (size_t i = 0; i < n; i++)
            scratch[starts[(items[i] >> shift) & 0xFF]++] = items[i];
        memcpy(items, scratch, n * sizeof *items);
    }
}

static unsigned bucket_bits(size_t n)
{
    unsigned bits = 1;
    while (bits < 24 && ((size_t)4 << bits) < n)
        bits++;
    return bits;
}

size_t raudo_sort_heads(size_t n)
{
    return ((size_t)1 << bucket_bits(n)) + 1;
}

static void sort_hashes(uint64_t *items, size_t n, uint64_t *scratch, uint32_t *heads)
{
    if (n > UINT32_MAX) {
        radix_sort(items, n, scratch);
        return;
    }
    unsigned bits = bucket_bits(n), shift = 64 - bits;
    size_t n_buckets = (size_t)1 << bits;

    memset(heads, 0, (n_buckets + 1) * sizeof *heads);
    for (size_t i = 0; i < n; i++)
        heads[(items[i] >> shift) + 1]++;
    for (size_t b = 1; b <= n_buckets; b++)
        heads[b] += heads[b - 1];
    for (size_t i = 0; i < n; i++)
        scratch[heads[items[i] >> shift]++] = items[i];
    /* heads[b] is now where bucket b ends */
    size_t begin = 0;
    for (size_t b = 0; b < n_buckets; b++) {
        size_t end = heads[b], size = end - begin;
        if (size <= SMALL)
            insertion_sort(scratch + begin, size);
        else
            radix_sort(scratch + begin, size, items + begin);
        begin = end;
    }
    memcpy(items, scratch, n * sizeof *items);
}

size_t raudo_distinct(uint64_t *items, size_t n, uint64_t *scratch, uint32_t *heads, uint64_t *out,
                      uint32_t *counts)
{
    const uint64_t *sorted = items;
    if (n <= TINY) {
        rank_sort(items, n, scratch);
        sorted = scratch;
    } else if (n <= SMALL) {
        insertion_sort(items, n);
    } else {
        sort_hashes(items, n, scratch, heads);
    }
    size_t kept = 0;
    for (size_t i = 0; i < n;) {
        size_t j = i + 1;
        while (j < n && sorted[j] == sorted[i])
            j++;
        if (counts != NULL)
            counts[kept] = j - i > UINT32_MAX ? UINT32_MAX : (uint32_t)(j - i);
        out[kept++] = sorted[i];
        i = j;
    }
    return kept;
}

size_t raudo_shingle(uint64_t *words, size_t n, size_t width)
{
    if (width <= 1 || n == 0)
        return n;
    size_t last = n < width ? 1 : n - width + 1;
    for (size_t i = 0; i < last; i++) {
        uint64_t h = RAUDO_HASH_P0;
        size_t end = i + width < n ? i + width : n;
        for (size_t j = i; j < end; j++)
            h = raudo_mix(h ^ words[j], RAUDO_HASH_P1);
        words[i] = h;
    }
    return last;
}
