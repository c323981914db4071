/* One LZ4 block, decompressed; the format is github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md.
 *
 * The block may come from anybody: nothing is read beyond it or written beyond the room, and no byte of
 * the room is read that was not written before.
 */
#ifndef RAUDO_LZ4_DECODE_H
#define RAUDO_LZ4_DECODE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { RAUDO_LZ4_MIN_MATCH = 4, RAUDO_LZ4_LAST_LITERALS = 5, RAUDO_LZ4_LONG = 15 };

/* Add the bytes that continue a length of 15; 0 where the block ends within it. */
static inline int raudo_lz4_length(const unsigned char **at, const unsigned char *end, size_t *length)
{
    unsigned char more = 255;
    if (*length != RAUDO_LZ4_LONG)
        return 1;
    while (more == 255) {
        if (*at == end)
            return 0;
        more = *(*at)++;
        *length += more;
    }
    return 1;
}

/* Copy from `distance` bytes before; the two may overlap, which repeats what lies between them. */
static inline void raudo_lz4_repeat(unsigned char *to, size_t distance, size_t length)
{
    const unsigned char *from = to - distance;
    if (distance >= length) {
        memcpy(to, from, length);
        return;
    }
    for (; distance >= 8 && length >= 8; length -= 8, to += 8, from += 8)
        memcpy(to, from, 8);
    while (length--)
        *to++ = *from++;
}

/* Return 1 where the block is whole and fills exactly `room` bytes, else 0. */
static inline int raudo_lz4_decode(const void *block, size_t size, void *room, size_t room_bytes)
{
    const unsigned char *at = block, *end = at + size;
    unsigned char *begin = room, *to = begin, *limit = begin + room_bytes;
    while (at < end) {
        size_t token = *at++, literals = token >> 4, match = token & 15, distance;
        if (!raudo_lz4_length(&at, end, &literals))
            return 0;
        if (literals > (size_t)(end - at) || literals > (size_t)(limit - to))
            return 0;
        memcpy(to, at, literals);
        at += literals;
        to += literals;
        if (at == end) /* the last sequence has literals alone */
            return to == limit && match == 0;
        if (end - at < 2)
            return 0;
        distance = (size_t)at[0] | (size_t)at[1] << 8;
        at += 2;
        if (!raudo_lz4_length(&at, end, &match))
            return 0;
        match += RAUDO_LZ4_MIN_MATCH;
        if (distance == 0 || distance > (size_t)(to - begin))
            return 0;
        if (match + RAUDO_LZ4_LAST_LITERALS > (size_t)(limit - to))
            return 0;
        raudo_lz4_repeat(to, distance, match);
        to += match;
    }
    return 0;
}

#endif
