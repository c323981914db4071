/* What is stored means the same on every machine, whatever its order of bytes: hashes and sums,
 * the head of a record, a block of a recording, the signs of a sketch's rotation. */
#include <stdio.h>
#include <stdlib.h>

#include "hash/hash.c"
#include "record/record.h"
#include "sketch/scalar.c"
#include "trace/writer.h"

static int n_failed;

static void expect(const char *what, uint64_t got, uint64_t want)
{
    if (got == want)
        return;
    n_failed++;
    fprintf(stderr, "FAILED %s: got 0x%016llx, want 0x%016llx\n", what, (unsigned long long)got,
            (unsigned long long)want);
}

static void hashes(const unsigned char *bytes)
{
    expect("hash of 37 bytes", raudo_hash_bytes(bytes, 37, 5), 0xdc63fc6c4cf34ac4u);
    expect("hash of none", raudo_hash_bytes(bytes, 0, 5), 0x5ae32ab16b595d06u);
    expect("checksum", raudo_checksum(bytes, 333, 7), 0x59a18d9cbb646194u);
}

/* Damage is seen in bytes that are all alike too, under the seed that payloads have. */
static void sums(void)
{
    unsigned char alike[256];
    for (unsigned value = 0; value < 256; value += 255)
        for (size_t at = 0; at < sizeof alike; at++) {
            memset(alike, (int)value, sizeof alike);
            const uint64_t before = raudo_checksum(alike, sizeof alike, 0);
            alike[at] ^= 0x10;
            expect("damage is seen", raudo_checksum(alike, sizeof alike, 0) != before, 1);
        }
}

static void records(const unsigned char *bytes)
{
    unsigned char head[RAUDO_RECORD_HEAD_BYTES + 9];
    raudo_record found = {0}, record = {.raw_bytes = 0x1122334455667788u, .expires_ns = 99,
                                  .payload_sum = 0xfedcba9876543210u, .key_bytes = 4,
                                  .payload_bytes = 1000, .meta_bytes = 5};
    memcpy(head + RAUDO_RECORD_HEAD_BYTES, bytes, 9);
    raudo_record_seal(head, &record, 42);
    expect("head of a record", raudo_hash_bytes(head, sizeof head, 0), 0x3a4a8f3c77903b5du);
    expect("a head is read", (uint64_t)raudo_record_parse(head, sizeof head, 42, &found), 1);
    expect("raw bytes", found.raw_bytes, record.raw_bytes);
}

static void recordings(void)
{
    static raudo_block block;
    unsigned char written[RAUDO_BLOCK_HEADER + 2 * 8] = {0};
    FILE *file = tmpfile();
    if (file == NULL)
        return; /* where no temporary file can be had */
    block.n_keys = 2;
    block.keys[0] = 0x0102030405060708u;
    block.keys[1] = 3;
    expect("written", (uint64_t)raudo_block_write(fileno(file), &block), 0);
    expect("keys that a block has", block.n_keys, 2);
    rewind(file);
    expect("bytes of a block", fread(written, 1, sizeof written, file), sizeof written);
    fclose(file);
    expect("mark", raudo_record_get(written, 4), RAUDO_BLOCK_MARK);
    expect("count", raudo_record_get(written + 4, 4), 2);
    expect("sum", raudo_record_get(written + 16, 8), 0x404040a04040409u);
    expect("first key", raudo_record_get(written + 24, 8), 0x0102030405060708u);
}

static void sketches(void)
{
    float row[48], none[48] = {0};
    uint8_t codes[48 / 8 * RAUDO_SKETCH_ROWS];
    uint64_t signs = 0;
    for (int i = 0; i < 48; i++)
        row[i] = (float)(i * i % 17) - 8;
    raudo_sketch_scalar.rotate(row, 48);
    raudo_sketch_scalar.encode(row, none, 48, codes);
    for (int i = 0; i < 6; i++)
        signs |= (uint64_t)codes[i * RAUDO_SKETCH_ROWS] << 8 * i;
    expect("signs of a rotated row", signs, 0xfbf75ba814aau);
}

int main(void)
{
    unsigned char bytes[333];
    for (int i = 0; i < 333; i++)
        bytes[i] = (unsigned char)(i * 37 + i / 7);
    hashes(bytes);
    sums();
    records(bytes);
    recordings();
    sketches();
    if (n_failed == 0)
        printf("what is stored: well\n");
    return n_failed != 0;
}
