#include "hash/hash.h"

uint64_t raudo_hash_bytes(const void *data, size_t length, uint64_t seed)
{
    const unsigned char *bytes = data;
    uint64_t h = seed ^ RAUDO_HASH_P0;
    size_t left = length;

    for (; left >= 16; left -= 16, bytes += 16)
        h = raudo_hash_block(h, raudo_read64(bytes), raudo_read64(bytes + 8));
    if (left > 0) {
        unsigned char last[16] = {0};
        memcpy(last, bytes, left);
        h = raudo_hash_block(h, raudo_read64(last), raudo_read64(last + 8));
    }
    return raudo_hash_end(h, length);
}

void raudo_hash_twice(const void *data, size_t length, uint64_t seed_a, uint64_t seed_b, uint64_t out[2])
{
    const unsigned char *bytes = data;
    uint64_t a = seed_a ^ RAUDO_HASH_P0, b = seed_b ^ RAUDO_HASH_P0;
    size_t left = length;

    for (; left >= 16; left -= 16, bytes += 16) {
        uint64_t lo = raudo_read64(bytes), hi = raudo_read64(bytes + 8);
        a = raudo_hash_block(a, lo, hi);
        b = raudo_hash_block(b, lo, hi);
    }
    if (left > 0) {
        unsigned char last[16] = {0};
        memcpy(last, bytes, left);
        a = raudo_hash_block(a, raudo_read64(last), raudo_read64(last + 8));
        b = raudo_hash_block(b, raudo_read64(last), raudo_read64(last + 8));
    }
    out[0] = raudo_hash_end(a, length);
    out[1] = raudo_hash_end(b, length);
}
