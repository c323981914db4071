/* What the fuzz targets share. A target is one `raudo_fuzz(data, size)`, which aborts where an answer is
 * wrong; out-of-bounds and undefined behaviour are the sanitizers' to find. Each input is copied to memory
 * of just its size, so that a byte too far is seen. */
#ifndef RAUDO_FUZZ_H
#define RAUDO_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
            abort();                                                            \
        }                                                                       \
    } while (0)

static inline void *room_for(size_t size)
{
    void *room = malloc(size ? size : 1);
    CHECK(room != NULL);
    return room;
}

static inline void *exact_copy(const void *data, size_t size)
{
    void *copy = room_for(size);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
