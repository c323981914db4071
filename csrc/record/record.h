/* One cache entry as bytes in a segment file, and the checksums that guard it.
 *
 *     magic 4 | state 1 | version 1 | meta length 2 | key length 4 | payload length 4 |
 *     raw bytes 8 | expires_ns 8 | payload sum 8 | head sum 8 | key | meta | payload
 *
 * Little endian. The head sum covers everything before it (the state as LIVE), the key and the meta,
 * and starts from a seed made of the segment's nonce and the record's offset, so that a record is
 * valid in its own place alone: bytes of a segment that someone cached as a value, or moved, are
 * never taken for a record. The state byte is not covered: an entry is dropped by overwriting it.
 *
 * The sum is hash.h's block function on eight lanes of 16 bytes, whose multiplications overlap. It
 * finds damage, not malice: whoever can craft a record can also sum it.
 */
#ifndef RAUDO_RECORD_H
#define RAUDO_RECORD_H

#include "hash/hash.h"

enum {
    RAUDO_RECORD_HEAD_BYTES = 48,
    RAUDO_RECORD_SUM_AT = 40,
    RAUDO_RECORD_STATE_AT = 4,
    RAUDO_RECORD_VERSION = 3,
    RAUDO_RECORD_LIVE = 0xA5,
};

/* "rdo" and a byte that no text has. */
static const unsigned char RAUDO_RECORD_MAGIC[4] = {'r', 'd', 'o', 0xF1};

typedef struct {
    uint64_t raw_bytes, expires_ns, payload_sum;
    uint32_t key_bytes, payload_bytes;
    uint16_t meta_bytes;
    int is_live;
} raudo_record;

static inline uint64_t raudo_checksum(const void *data, size_t length, uint64_t seed)
{
    const unsigned char *bytes = data;
    uint64_t a = seed ^ RAUDO_HASH_P0;
    size_t left = length;

    if (left >= 128) {
        /* A lane is blind to half of a block whose other half equals it: none begins with a number that
         * data is likely to hold, as ~seed is where the seed is 0. */
        uint64_t b = seed ^ RAUDO_HASH_P3, c = seed ^ ~RAUDO_HASH_P2, d = seed + RAUDO_HASH_P2;
        uint64_t e = a + 1, f = b + 1, g = c - 1, h = d + 1;
        for (; left >= 128; left -= 128, bytes += 128) {
            a = raudo_hash_block(a, raudo_read64(bytes), raudo_read64(bytes + 8));
            b = raudo_hash_block(b, raudo_read64(bytes + 16), raudo_read64(bytes + 24));
            c = raudo_hash_block(c, raudo_read64(bytes + 32), raudo_read64(bytes + 40));
            d = raudo_hash_block(d, raudo_read64(bytes + 48), raudo_read64(bytes + 56));
            e = raudo_hash_block(e, raudo_read64(bytes + 64), raudo_read64(bytes + 72));
            f = raudo_hash_block(f, raudo_read64(bytes + 80), raudo_read64(bytes + 88));
            g = raudo_hash_block(g, raudo_read64(bytes + 96), raudo_read64(bytes + 104));
            h = raudo_hash_block(h, raudo_read64(bytes + 112), raudo_read64(bytes + 120));
        }
        a = raudo_hash_block(raudo_hash_block(a, b, c), d, e);
        a = raudo_hash_block(raudo_hash_block(a, f, g), h, length);
    }
    for (; left >= 16; left -= 16, bytes += 16)
        a = raudo_hash_block(a, raudo_read64(bytes), raudo_read64(bytes + 8));
    if (left > 0) {
        unsigned char last[16] = {0};
        memcpy(last, bytes, left);
        a = raudo_hash_block(a, raudo_read64(last), raudo_read64(last + 8));
    }
    return raudo_hash_end(a, length);
}

/* What the head sum of a record at this place starts from. */
static inline uint64_t raudo_record_seed(uint64_t nonce, uint64_t offset)
{
    return raudo_mix(nonce ^ RAUDO_HASH_P1, offset ^ RAUDO_HASH_P2);
}

static inline void raudo_record_put(unsigned char *at, uint64_t value, unsigned n_bytes)
{
    for (unsigned i = 0; i < n_bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static inline uint64_t raudo_record_get(const unsigned char *at, unsigned n_bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < n_bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* The sum of a head as it was written: `head` may say by its state that the record was dropped. */
static inline uint64_t raudo_record_head_sum(const unsigned char *head, size_t rest_bytes, uint64_t seed)
{
    unsigned char fixed[RAUDO_RECORD_SUM_AT];

    memcpy(fixed, head, sizeof fixed);
    fixed[RAUDO_RECORD_STATE_AT] = RAUDO_RECORD_LIVE;
    return raudo_checksum(head + RAUDO_RECORD_HEAD_BYTES, rest_bytes,
                          raudo_checksum(fixed, sizeof fixed, seed));
}

/* Fill in the fixed part of a head; key and meta stand behind it already. */
static inline void raudo_record_seal(unsigned char *head, const raudo_record *record, uint64_t seed)
{
    memcpy(head, RAUDO_RECORD_MAGIC, 4);
    head[RAUDO_RECORD_STATE_AT] = RAUDO_RECORD_LIVE;
    head[5] = RAUDO_RECORD_VERSION;
    raudo_record_put(head + 6, record->meta_bytes, 2);
    raudo_record_put(head + 8, record->key_bytes, 4);
    raudo_record_put(head + 12, record->payload_bytes, 4);
    raudo_record_put(head + 16, record->raw_bytes, 8);
    raudo_record_put(head + 24, record->expires_ns, 8);
    raudo_record_put(head + 32, record->payload_sum, 8);
    raudo_record_put(head + RAUDO_RECORD_SUM_AT,
                     raudo_record_head_sum(head, (size_t)record->key_bytes + record->meta_bytes, seed), 8);
}

static inline uint64_t raudo_record_length(const raudo_record *record)
{
    return (uint64_t)RAUDO_RECORD_HEAD_BYTES + record->key_bytes + record->meta_bytes + record->payload_bytes;
}

/* Read the head at `head`, of which `room` bytes may be looked at. 0 where no valid head stands there:
 * then `record` means nothing. The payload is neither looked at nor known to be within the room. */
static inline int raudo_record_parse(const unsigned char *head, uint64_t room, uint64_t seed, raudo_record *record)
{
    if (room < RAUDO_RECORD_HEAD_BYTES || memcmp(head, RAUDO_RECORD_MAGIC, 4) != 0
        || head[5] != RAUDO_RECORD_VERSION)
        return 0;
    record->is_live = head[RAUDO_RECORD_STATE_AT] == RAUDO_RECORD_LIVE;
    record->meta_bytes = (uint16_t)raudo_record_get(head + 6, 2);
    record->key_bytes = (uint32_t)raudo_record_get(head + 8, 4);
    record->payload_bytes = (uint32_t)raudo_record_get(head + 12, 4);
    record->raw_bytes = raudo_record_get(head + 16, 8);
    record->expires_ns = raudo_record_get(head + 24, 8);
    record->payload_sum = raudo_record_get(head + 32, 8);
    uint64_t rest = (uint64_t)record->key_bytes + record->meta_bytes;
    return rest <= room - RAUDO_RECORD_HEAD_BYTES
           && raudo_record_head_sum(head, (size_t)rest, seed) == raudo_record_get(head + RAUDO_RECORD_SUM_AT, 8);
}

/* Return where the next record may begin, at or after `from`; `size` where none does. */
static inline uint64_t raudo_record_next(const unsigned char *data, uint64_t size, uint64_t from)
{
    while (from + RAUDO_RECORD_HEAD_BYTES <= size) {
        const unsigned char *found = memchr(data + from, RAUDO_RECORD_MAGIC[0], (size_t)(size - from));
        if (found == NULL)
            break;
        from = (uint64_t)(found - data);
        if (size - from >= 4 && memcmp(found, RAUDO_RECORD_MAGIC, 4) == 0)
            return from;
        from++;
    }
    return size;
}

#endif
