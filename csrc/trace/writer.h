/* The file that a cache's lookups are recorded in: blocks of keyed hashes, or lines of text, appended.
 *
 * A file starts with the 8 bytes of RAUDO_TRACE_MAGIC. A block is a header and n u64 hashes in the
 * order of lookup, all little-endian; it is written at once, so that a process that is killed leaves at
 * most one torn block, the last. Keys themselves are lines after the line RAUDO_TEXT_MAGIC; of them the
 * last may be torn. No Python.h.
 */
#ifndef RAUDO_WRITER_H
#define RAUDO_WRITER_H

#include <errno.h>
#include <stdint.h>

#include "system.h"

#define RAUDO_TRACE_MAGIC "RAUDOKY1"
#define RAUDO_TEXT_MAGIC "# raudo keys 1\n"
#define RAUDO_BLOCK_MARK UINT32_C(0x314B4C42) /* "BLK1" */
#define RAUDO_BLOCK_KEYS 4096u

typedef struct {
    uint32_t mark;
    uint32_t n_keys;
    int64_t time_ns; /* wall clock, of the last lookup */
    uint64_t check;  /* raudo_block_check of the keys */
    uint64_t keys[RAUDO_BLOCK_KEYS];
    uint32_t n_text; /* bytes of lines, in place of `keys` */
} raudo_block;

#define RAUDO_BLOCK_HEADER 24u
#define RAUDO_TEXT_BYTES (8u * RAUDO_BLOCK_KEYS)

static inline uint64_t raudo_rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

/* SipHash-2-4 of four bytes (Aumasson, Bernstein, "SipHash: a fast short-input PRF", 2012,
 * https://cr.yp.to/siphash/siphash-20120918.pdf): without the key nobody can tell which hash went in,
 * not even by trying all of them. */
static inline uint64_t raudo_siphash(const uint64_t key[2], uint32_t word) {
    uint64_t v0 = key[0] ^ UINT64_C(0x736f6d6570736575);
    uint64_t v1 = key[1] ^ UINT64_C(0x646f72616e646f6d);
    uint64_t v2 = key[0] ^ UINT64_C(0x6c7967656e657261);
    uint64_t v3 = key[1] ^ UINT64_C(0x7465646279746573);
    const uint64_t m = UINT64_C(4) << 56 | word;
    v3 ^= m;
    for (int round = 0; round < 6; round++) {
        if (round == 2) {
            v0 ^= m;
            v2 ^= 0xff;
        }
        v0 += v1;
        v2 += v3;
        v1 = raudo_rotate(v1, 13) ^ v0;
        v3 = raudo_rotate(v3, 16) ^ v2;
        v0 = raudo_rotate(v0, 32);
        v2 += v1;
        v0 += v3;
        v1 = raudo_rotate(v1, 17) ^ v2;
        v3 = raudo_rotate(v3, 21) ^ v0;
        v2 = raudo_rotate(v2, 32);
    }
    return v0 ^ v1 ^ v2 ^ v3;
}

/* Sum of the keys and sum of the sums, as Fletcher's: NumPy computes it without a loop. */
static inline uint64_t raudo_block_check(const raudo_block *b) {
    uint64_t sum = b->n_keys, sums = 0;
    for (uint32_t i = 0; i < b->n_keys; i++) {
        sum += b->keys[i];
        sums += (i + UINT64_C(1)) * b->keys[i];
    }
    return sum ^ raudo_rotate(sums, 32);
}

/* 0, or the error's number; then a part may be written. */
static inline int raudo_write_all(int file, const char *at, size_t left) {
    while (left > 0) {
        const ptrdiff_t written = raudo_write(file, at, left);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return errno;
        if (written == 0) return EIO;
        at += written;
        left -= (size_t)written;
    }
    return 0;
}

/* Bytes that a block takes in the file. */
static inline size_t raudo_block_size(const raudo_block *b) {
    return b->n_text ? b->n_text : RAUDO_BLOCK_HEADER + b->n_keys * sizeof b->keys[0];
}

/* The block as it stands in a file: on a big-endian machine its numbers are turned. */
static inline void raudo_block_order(raudo_block *b) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (uint32_t i = 0; i < b->n_keys; i++) b->keys[i] = __builtin_bswap64(b->keys[i]);
    b->mark = __builtin_bswap32(b->mark);
    b->n_keys = __builtin_bswap32(b->n_keys);
    b->time_ns = (int64_t)__builtin_bswap64((uint64_t)b->time_ns);
    b->check = __builtin_bswap64(b->check);
#else
    (void)b;
#endif
}

/* Write a block that has keys. 0, or the error's number; then the file may end in a torn block. */
static inline int raudo_block_write(int file, raudo_block *b) {
    if (b->n_text) return raudo_write_all(file, (const char *)b->keys, b->n_text);
    const size_t n_bytes = raudo_block_size(b);
    const uint32_t n_keys = b->n_keys;
    b->mark = RAUDO_BLOCK_MARK;
    b->time_ns = raudo_wall_ns();
    b->check = raudo_block_check(b);
    raudo_block_order(b);
    const int failed = raudo_write_all(file, (const char *)b, n_bytes);
    b->n_keys = n_keys;
    return failed;
}

#endif
