/* LZ4 blocks of anybody, into rooms of any size: two decodings agree, whatever was in the room before. */
#include "fuzz.h"
#include "lz4/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const size_t room_bytes = (size_t)data[0] << 8 | data[1];
    uint8_t *block = exact_copy(data + 2, size - 2);
    uint8_t *first = room_for(room_bytes), *second = room_for(room_bytes);
    memset(first, 0xAA, room_bytes);
    memset(second, 0x55, room_bytes);
    const int is_whole = raudo_lz4_decode(block, size - 2, first, room_bytes);
    CHECK(is_whole == raudo_lz4_decode(block, size - 2, second, room_bytes));
    CHECK(!is_whole || memcmp(first, second, room_bytes) == 0);
    free(block);
    free(first);
    free(second);
    return 0;
}
