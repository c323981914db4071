/* Arenas of Python's own allocator while objects are made in bulk: of huge pages, or else of pages that the
 * kernel hands out together. A page fault for each 4 KB is two thirds of what making a million lists takes
 * otherwise. For what follows the allocator is as it was.
 */
#ifndef RAUDO_ARENAS_H
#define RAUDO_ARENAS_H

#include <Python.h>

#include "entry/clock.h"
#include "pool/pages.h"

typedef struct {
    PyObjectArenaAllocator usual;
    char *next; /* what is left of the latest huge page */
    size_t left;
    int n_small; /* arenas to be made of small pages until a huge one is tried again */
    int64_t credit_ns; /* what huge pages have saved */
    int is_on;
} raudo_arenas;

#if defined(__linux__) && defined(MADV_HUGEPAGE) && defined(MAP_POPULATE)
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; refused by older ones, which fault it in by and by */
#endif

/* 512 small pages take 0.7 ms, a huge one 0.3, but milliseconds where the kernel has to clear its place
 * first. Where those have eaten up what the others saved, 64 MB go by before another is tried. */
#define RAUDO_SMALL_PAGES_NS INT64_C(700000)
#define RAUDO_FIRST_CREDIT_NS INT64_C(2000000)
enum { RAUDO_SMALL_ARENAS = 64 };

static void *raudo_arenas_alloc(void *ctx, size_t size) {
    raudo_arenas *arenas = ctx;
    if (arenas->left == 0 && arenas->n_small == 0 && RAUDO_HUGE_PAGE % size == 0) {
        const int64_t begun = raudo_now_ns();
        arenas->next = raudo_pages_huge(RAUDO_HUGE_PAGE);
        if (arenas->next != NULL) {
            arenas->left = RAUDO_HUGE_PAGE;
            (void)madvise(arenas->next, RAUDO_HUGE_PAGE, MADV_POPULATE_WRITE);
        }
        arenas->credit_ns += RAUDO_SMALL_PAGES_NS - (raudo_now_ns() - begun);
        if (arenas->credit_ns < 0) {
            arenas->credit_ns = 0;
            arenas->n_small = RAUDO_SMALL_ARENAS;
        }
    }
    if (arenas->left >= size) {
        char *arena = arenas->next;
        arenas->next += size;
        arenas->left -= size;
        return arena;
    }
    if (arenas->n_small > 0) arenas->n_small--;
    void *arena = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return arena == MAP_FAILED ? NULL : arena;
}

static void raudo_arenas_free(void *ctx, void *arena, size_t size) {
    (void)ctx;
    munmap(arena, size);
}

static void raudo_arenas_begin(raudo_arenas *arenas) {
    if (arenas->is_on) return;
    PyObject_GetArenaAllocator(&arenas->usual);
    /* Python's own has no context and unmaps what the other one has mapped; anybody else's is left alone. */
    if (arenas->usual.ctx != NULL) return;
    arenas->is_on = 1;
    arenas->credit_ns = RAUDO_FIRST_CREDIT_NS;
    arenas->n_small = 0;
    PyObjectArenaAllocator own = {arenas, raudo_arenas_alloc, raudo_arenas_free};
    PyObject_SetArenaAllocator(&own);
}

static void raudo_arenas_end(raudo_arenas *arenas) {
    PyObjectArenaAllocator now;
    if (!arenas->is_on) return;
    PyObject_GetArenaAllocator(&now);
    if (now.ctx != arenas) return; /* somebody builds upon it */
    PyObject_SetArenaAllocator(&arenas->usual);
    if (arenas->left) munmap(arenas->next, arenas->left);
    arenas->left = 0;
    arenas->is_on = 0;
}
#else
static void raudo_arenas_begin(raudo_arenas *arenas) { (void)arenas; }
static void raudo_arenas_end(raudo_arenas *arenas) { (void)arenas; }
#endif

#endif
