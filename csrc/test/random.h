/* Numbers that look random and are the same in every run. */
#ifndef RAUDO_TEST_RANDOM_H
#define RAUDO_TEST_RANDOM_H

#include <stdint.h>

static inline uint32_t random_u32(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

#endif
