/* A seeded 64-bit hash of bytes: one widening multiplication per 16 bytes, folded by xor.
 *
 * After Wang Yi's wyhash (https://github.com/wangyi-fudan/wyhash), with our own schedule, chosen so
 * that a word of up to 16 bytes costs two multiplications and no branch on its length:
 *
 *     h = seed ^ P0
 *     for each block of 16 bytes, the last one padded with zeros:  h = mix(lo ^ P1, hi ^ h)
 *     return mix(h ^ P2, length ^ P3)
 *
 * Bytes are read little-endian on every machine, so that hashes may be stored. It is not made to
 * withstand someone who crafts collisions.
 */
#ifndef RAUDO_HASH_H
#define RAUDO_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RAUDO_HASH_P0 0x2d358dccaa6c78a5u
#define RAUDO_HASH_P1 0x8bb84b93962eacc9u
#define RAUDO_HASH_P2 0x4b33a62ed433d4a3u
#define RAUDO_HASH_P3 0x4d5a2da51de1aa47u

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 raudo_wide; /* not of ISO C */
#endif

static inline uint64_t raudo_mix(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
    raudo_wide product = (raudo_wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    uint64_t a_hi = a >> 32, a_lo = (uint32_t)a, b_hi = b >> 32, b_lo = (uint32_t)b;
    uint64_t hh = a_hi * b_hi, hl = a_hi * b_lo, lh = a_lo * b_hi, ll = a_lo * b_lo;
    uint64_t middle = (ll >> 32) + (uint32_t)hl + (uint32_t)lh;
    uint64_t hi = hh + (hl >> 32) + (lh >> 32) + (middle >> 32);
    uint64_t lo = (middle << 32) | (uint32_t)ll;
    return lo ^ hi;
#endif
}

static inline uint64_t raudo_read64(const unsigned char *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static inline uint64_t raudo_hash_block(uint64_t h, uint64_t lo, uint64_t hi)
{
    return raudo_mix(lo ^ RAUDO_HASH_P1, hi ^ h);
}

static inline uint64_t raudo_hash_end(uint64_t h, uint64_t length)
{
    return raudo_mix(h ^ RAUDO_HASH_P2, length ^ RAUDO_HASH_P3);
}

/* Hash `length` bytes at any address. */
uint64_t raudo_hash_bytes(const void *data, size_t length, uint64_t seed);

/* The same under two seeds in one pass: the second chain of multiplications hides behind the first. */
void raudo_hash_twice(const void *data, size_t length, uint64_t seed_a, uint64_t seed_b, uint64_t out[2]);

#endif
