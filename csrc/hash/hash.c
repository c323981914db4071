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
