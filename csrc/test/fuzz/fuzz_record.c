/* Heads of records in bytes of anybody; what is sealed parses in its own place, and changed nowhere. */
#include "fuzz.h"
#include "record/record.h"

enum { SEED = 11 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = exact_copy(data, size);
    raudo_record found;
    for (uint64_t at = raudo_record_next(bytes, size, 0); at < size; at = raudo_record_next(bytes, size, at + 1)) {
        if (!raudo_record_parse(bytes + at, size - at, SEED, &found))
            continue;
        CHECK(RAUDO_RECORD_HEAD_BYTES + (uint64_t)found.key_bytes + found.meta_bytes <= size - at);
    }
    if (size >= RAUDO_RECORD_HEAD_BYTES) { /* what stands behind the head is key and meta */
        const size_t rest = size - RAUDO_RECORD_HEAD_BYTES;
        const raudo_record made = {
            .raw_bytes = rest, .expires_ns = 5, .payload_sum = 9, .payload_bytes = (uint32_t)rest,
            .meta_bytes = (uint16_t)(rest < 300 ? rest : 300),
            .key_bytes = (uint32_t)(rest - (rest < 300 ? rest : 300)),
        };
        raudo_record_seal(bytes, &made, SEED);
        CHECK(raudo_record_parse(bytes, size, SEED, &found));
        CHECK(found.key_bytes == made.key_bytes && found.meta_bytes == made.meta_bytes && found.is_live);
        CHECK(!raudo_record_parse(bytes, size, SEED + 1, &found));
        const size_t bit = (size_t)data[0] * 8u % (size * 8);
        bytes[bit / 8] ^= (uint8_t)(1u << (data[1] & 7));
        if (bit / 8 != RAUDO_RECORD_STATE_AT)
            CHECK(!raudo_record_parse(bytes, size, SEED, &found));
    }
    free(bytes);
    return 0;
}
