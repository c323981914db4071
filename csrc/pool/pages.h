/* Memory for buffers that are used again: aligned to 64, and large ones on huge pages where the kernel has
 * them, so that touching a page costs no look-up in its tables. No Python.h.
 */
#ifndef RAUDO_PAGES_H
#define RAUDO_PAGES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef _WIN32
#include <malloc.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { RAUDO_ALIGNMENT = 64 }; /* a cache line, and the width of an AVX-512 register */

#define RAUDO_HUGE_PAGE ((size_t)2 << 20)
/* Smaller blocks would waste more of a huge page than they gain. */
#define RAUDO_HUGE_FROM (2 * RAUDO_HUGE_PAGE)

static inline size_t raudo_pages_round(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

/* Bits that the number takes. */
static inline int raudo_bits(uint64_t n) { return n ? 64 - __builtin_clzll(n) : 0; }

#if defined(__linux__) && defined(MADV_HUGEPAGE)
/* `length` bytes, a multiple of a huge page, on a boundary of one; NULL when memory is short. */
static inline void *raudo_pages_huge(size_t length) {
    const size_t mapped = length + RAUDO_HUGE_PAGE;
    if (mapped < length) return NULL;
    char *start = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == (char *)MAP_FAILED) return NULL;
    char *aligned = (char *)raudo_pages_round((size_t)(uintptr_t)start, RAUDO_HUGE_PAGE);
    if (aligned > start) munmap(start, (size_t)(aligned - start));
    munmap(aligned + length, (size_t)(start + mapped - (aligned + length)));
    (void)madvise(aligned, length, MADV_HUGEPAGE); /* a wish: refused where there are none */
    return aligned;
}
#endif

/* Ask for an array that nobody has written to yet to lie on huge pages, as NumPy does for those that it does
 * not fill. 512 small ones take five times as long to be had as a huge one: that was most of the time of
 * short documents' vectors. What the system answers does not matter. */
static inline void raudo_pages_prefer_huge(void *block, size_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (size >= RAUDO_HUGE_FROM) {
        char *start = (char *)raudo_pages_round((size_t)(uintptr_t)block, 4096);
        (void)madvise(start, size - (size_t)(start - (char *)block), MADV_HUGEPAGE);
    }
#else
    (void)block;
    (void)size;
#endif
}

/* At least `size` bytes, contents arbitrary; NULL when memory is short. */
static inline void *raudo_pages_new(size_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (size >= RAUDO_HUGE_FROM) {
        const size_t length = raudo_pages_round(size, RAUDO_HUGE_PAGE);
        return length < size ? NULL : raudo_pages_huge(length);
    }
#endif
    const size_t length = raudo_pages_round(size ? size : 1, RAUDO_ALIGNMENT);
    if (length < size) return NULL;
#ifdef _WIN32
    return _aligned_malloc(length, RAUDO_ALIGNMENT);
#else
    return aligned_alloc(RAUDO_ALIGNMENT, length);
#endif
}

static inline void raudo_pages_free(void *block, size_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (size >= RAUDO_HUGE_FROM) {
        if (block != NULL) munmap(block, raudo_pages_round(size, RAUDO_HUGE_PAGE));
        return;
    }
#endif
    (void)size;
#ifdef _WIN32
    _aligned_free(block);
#else
    free(block);
#endif
}

#endif
