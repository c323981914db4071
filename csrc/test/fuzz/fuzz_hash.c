/* The hash of bytes: at any address the same, and both at once as one by one. */
#include "fuzz.h"
#include "hash/hash.h"
#include "record/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = exact_copy(data, size), *shifted = room_for(size + 1);
    memcpy(shifted + 1, data, size);
    uint64_t both[2];
    raudo_hash_twice(copy, size, 1, 2, both);
    CHECK(both[0] == raudo_hash_bytes(copy, size, 1) && both[1] == raudo_hash_bytes(shifted + 1, size, 2));
    CHECK(raudo_checksum(copy, size, 3) == raudo_checksum(shifted + 1, size, 3));
    if (size > 0) { /* any changed byte is seen: a sum that misses one in 2^64 is never met here */
        const size_t at = data[0] % size;
        const uint64_t before = raudo_checksum(copy, size, 3), hash = both[0];
        copy[at] = (uint8_t)(copy[at] ^ 0x10);
        CHECK(raudo_checksum(copy, size, 3) != before && raudo_hash_bytes(copy, size, 1) != hash);
    }
    free(copy);
    free(shifted);
    return 0;
}
