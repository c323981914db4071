/* The books of an object pool: an entry for each object, found by its address, and a stack of idle ones.
 *
 * Entries are numbers into one array; `buckets` finds the number by the address (linear probing, at most
 * half full). Free entries are chained. Nothing here knows what an object is.
 */
#ifndef RAUDO_BOOK_H
#define RAUDO_BOOK_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { RAUDO_BOOK_FIRST_ENTRIES = 8, RAUDO_BOOK_MOST_ENTRIES = 1 << 30 };

typedef struct {
    void *address; /* of the object; NULL where the entry is free */
    void *owned;   /* the same, where this entry holds a reference to it */
    void *ref;     /* weak reference, held; NULL unless tracked so */
    uint32_t lent; /* times it is lent */
    uint32_t idle; /* times it is on the stack; in a free entry, the next free one + 1 */
    double born, since; /* when it was made and last came back, where somebody wants to know */
    uint8_t tracking;
    uint8_t shape;
    uint8_t dirty_at; /* offset of a word of the object that is 0 when it is as new; 0: nothing to see */
    uint8_t unused[13]; /* a cache line in all: the entry's number is shifted, not multiplied */
} raudo_book_entry;

typedef struct {
    raudo_book_entry *entries;
    uint32_t *buckets; /* entry + 1 by address, 0 where empty; twice the entries, a power of two */
    uint32_t *stack;   /* idle entries, last in, first out */
    uint32_t n_entries, n_free, first_free; /* first_free: + 1 */
    uint32_t n_idle, stack_size;
    uint32_t low;    /* fewest that were idle since somebody set it: those below were not needed */
    uint32_t latest; /* the entry lent last, most likely the next to come back */
    int shift;       /* 64 - log2(buckets) */
} raudo_book;

static inline size_t raudo_book_home(const raudo_book *book, const void *address) {
    /* Objects are 16-aligned: the low four bits say nothing. 2**64 / golden ratio: Fibonacci hashing. */
    return (size_t)((((uint64_t)(uintptr_t)address >> 4) * UINT64_C(0x9E3779B97F4A7C15)) >> book->shift);
}

/* The entry of this address, or -1. */
static inline int64_t raudo_book_find(const raudo_book *book, const void *address) {
    const size_t mask = 2 * (size_t)book->n_entries - 1;
    for (size_t at = raudo_book_home(book, address);; at = (at + 1) & mask) {
        const uint32_t found = book->buckets[at];
        if (found == 0) return -1;
        if (book->entries[found - 1].address == address) return found - 1;
    }
}

static inline void raudo_book_link(raudo_book *book, uint32_t number) {
    const size_t mask = 2 * (size_t)book->n_entries - 1;
    size_t at = raudo_book_home(book, book->entries[number].address);
    while (book->buckets[at]) at = (at + 1) & mask;
    book->buckets[at] = number + 1;
}

/* Take the entry out of the buckets, closing the gap (Knuth 6.4, algorithm R). */
static inline void raudo_book_unlink(raudo_book *book, uint32_t number) {
    const size_t mask = 2 * (size_t)book->n_entries - 1;
    size_t gap = raudo_book_home(book, book->entries[number].address);
    while (book->buckets[gap] != number + 1) gap = (gap + 1) & mask;
    for (size_t at = (gap + 1) & mask; book->buckets[at]; at = (at + 1) & mask) {
        const size_t home = raudo_book_home(book, book->entries[book->buckets[at] - 1].address);
        if (((at - home) & mask) < ((at - gap) & mask)) continue;
        book->buckets[gap] = book->buckets[at];
        gap = at;
    }
    book->buckets[gap] = 0;
}

/* Double the entries. 0, or -1 where there is no memory. */
static inline int raudo_book_grow(raudo_book *book) {
    const uint32_t before = book->n_entries;
    const uint32_t after = before ? 2 * before : RAUDO_BOOK_FIRST_ENTRIES;
    if (after > RAUDO_BOOK_MOST_ENTRIES) return -1;
    uint32_t *buckets = (uint32_t *)calloc(2 * (size_t)after, sizeof *buckets);
    if (buckets == NULL) return -1;
    raudo_book_entry *entries = (raudo_book_entry *)realloc(book->entries, after * sizeof *entries);
    if (entries == NULL) {
        free(buckets);
        return -1;
    }
    free(book->buckets);
    book->buckets = buckets;
    book->entries = entries;
    memset(entries + before, 0, (after - before) * sizeof *entries);
    for (uint32_t i = after; i-- > before;) {
        entries[i].idle = book->first_free;
        book->first_free = i + 1;
    }
    book->n_free += after - before;
    book->n_entries = after;
    book->shift = 63; /* one bit more than the entries' own */
    for (uint32_t n = after; n > 1; n >>= 1) book->shift--;
    for (uint32_t i = 0; i < before; i++) {
        if (entries[i].address != NULL) raudo_book_link(book, i);
    }
    return 0;
}

/* A free entry for this address; there must be one. */
static inline uint32_t raudo_book_take(raudo_book *book, void *address) {
    const uint32_t number = book->first_free - 1;
    raudo_book_entry *entry = &book->entries[number];
    book->first_free = entry->idle;
    book->n_free--;
    *entry = (raudo_book_entry){.address = address};
    raudo_book_link(book, number);
    return number;
}

/* Free the entry. What it held is the caller's to let go. */
static inline void raudo_book_free(raudo_book *book, uint32_t number) {
    raudo_book_unlink(book, number);
    book->entries[number] = (raudo_book_entry){.idle = book->first_free};
    book->first_free = number + 1;
    book->n_free++;
}

/* Room for one more on the stack. 0, or -1 where there is no memory. */
static inline int raudo_book_reserve(raudo_book *book) {
    if (book->n_idle < book->stack_size) return 0;
    const uint32_t size = book->stack_size ? 2 * book->stack_size : RAUDO_BOOK_FIRST_ENTRIES;
    uint32_t *stack = (uint32_t *)realloc(book->stack, size * sizeof *stack);
    if (stack == NULL) return -1;
    book->stack = stack;
    book->stack_size = size;
    return 0;
}

static inline void raudo_book_push(raudo_book *book, uint32_t number) {
    book->entries[number].idle++;
    book->stack[book->n_idle++] = number;
}

static inline uint32_t raudo_book_pop(raudo_book *book) {
    const uint32_t number = book->stack[--book->n_idle];
    book->entries[number].idle--;
    if (book->n_idle < book->low) book->low = book->n_idle;
    return number;
}

/* Take the n that have been idle longest off the stack; their entries still count them as idle.
 * O(idle ones). */
static inline void raudo_book_pop_oldest(raudo_book *book, uint32_t *numbers, uint32_t n) {
    memcpy(numbers, book->stack, n * sizeof *numbers);
    book->n_idle -= n;
    memmove(book->stack, book->stack + n, book->n_idle * sizeof *book->stack);
    book->low = book->low > n ? book->low - n : 0;
}

static inline size_t raudo_book_size(const raudo_book *book) {
    return book->n_entries * (sizeof *book->entries + 2 * sizeof *book->buckets) +
           book->stack_size * sizeof *book->stack;
}

static inline void raudo_book_close(raudo_book *book) {
    free(book->entries);
    free(book->buckets);
    free(book->stack);
    *book = (raudo_book){0};
}

#endif
