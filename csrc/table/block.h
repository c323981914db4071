/* Arrays that grow without being copied, and zeroed ones that cost nothing until they are touched.
 *
 * Where the kernel can move pages (Linux), a large array is a mapping of its own: growing it takes a
 * fraction of a millisecond at any size, and its fresh pages come one by one, zeroed. Elsewhere, and for
 * small ones, it is the C library's. Needs _GNU_SOURCE on Linux, as Python.h defines it. No Python.h.
 */
#ifndef RAUDO_BLOCK_H
#define RAUDO_BLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <sys/mman.h>
#define RAUDO_MAPPED_FROM ((size_t)256 << 10) /* bytes; smaller arrays are copied in microseconds */
#else
#define RAUDO_MAPPED_FROM SIZE_MAX
#endif

/* Have the cache line of an address, which is soon to be written to, on its way. */
#ifdef __GNUC__
#define RAUDO_FETCH(address) __builtin_prefetch((address), 1)
#else
#define RAUDO_FETCH(address) ((void)(address))
#endif
#define RAUDO_LINE 64 /* bytes; of another length the fetching is in vain, no more */

static inline void *raudo_block_zeroed(size_t size) {
#ifdef __linux__
    if (size >= RAUDO_MAPPED_FROM) {
        void *block =
            mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return block == MAP_FAILED ? NULL : block;
    }
#endif
    return calloc(1, size);
}

static inline void raudo_block_free(void *block, size_t size) {
#ifdef __linux__
    if (size >= RAUDO_MAPPED_FROM) {
        if (block != NULL) munmap(block, size);
        return;
    }
#endif
    (void)size;
    free(block);
}

/* Give back the block's end, a piece that takes no time, or all of it; and say what is left of it. */
static inline size_t raudo_block_trim(void *block, size_t size) {
#ifdef __linux__
    const size_t piece = (size_t)512 << 10;
    if (size >= RAUDO_MAPPED_FROM) {
        const size_t left = size > piece ? (size - 1) / piece * piece : 0;
        munmap((char *)block + left, size - left);
        return left;
    }
#endif
    (void)size;
    free(block);
    return 0;
}

/* As realloc; NULL, and the old block as it was, when memory is short. What is new is not zeroed. */
static inline void *raudo_block_grow(void *block, size_t old_size, size_t size) {
#ifdef __linux__
    if (size >= RAUDO_MAPPED_FROM) {
        if (old_size >= RAUDO_MAPPED_FROM) {
            void *grown = mremap(block, old_size, size, MREMAP_MAYMOVE);
            return grown == MAP_FAILED ? NULL : grown;
        }
        void *mapped = raudo_block_zeroed(size);
        if (mapped != NULL && block != NULL) {
            memcpy(mapped, block, old_size);
            free(block);
        }
        return mapped;
    }
#endif
    (void)old_size;
    return realloc(block, size);
}

/* Make the array at least n items long. 0 on success, -1 when memory is short. */
static inline int raudo_block_reserve(void **block, uint32_t *length, uint32_t n, size_t item) {
    if (n <= *length) return 0;
    void *grown = raudo_block_grow(*block, *length * item, n * item);
    if (grown == NULL) return -1;
    *block = grown;
    *length = n;
    return 0;
}

#endif
