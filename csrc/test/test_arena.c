/* The arena against a plain model: every entry is found with its own bytes, the order is that of use,
 * and no more memory is held than allowed. Records: what is sealed parses, and any changed bit does not. */
#include <stdio.h>

#include "arena/arena.h"
#include "test/random.h"

#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                           \
            exit(1);                                                                                                  \
        }                                                                                                             \
    } while (0)

enum { N_KEYS = 200 };

static uint32_t chance(uint32_t n) { return random_u32() % n; }

typedef struct {
    int is_there;
    uint32_t size;
    unsigned char fill;
    uint64_t used_at;
} model;

/* The i of the entry's key "key <i>", which no zero ends in the arena. */
static unsigned number_of(const raudo_arena *arena, uint32_t slot)
{
    char key[16] = {0};
    unsigned i = 0;
    memcpy(key, raudo_arena_data(arena, slot), arena->slots[slot].key_bytes);
    CHECK(sscanf(key, "key %3u", &i) == 1);
    return i;
}

static void verify(const raudo_arena *arena, const model *entries, uint32_t max_payload)
{
    uint32_t n = 0;
    uint64_t chunks = 0, last = 0;
    for (uint32_t k = 0; k < N_KEYS; k++) {
        char key[16];
        size_t length = (size_t)snprintf(key, sizeof key, "key %u", k);
        uint32_t slot = raudo_arena_find(arena, key, length, raudo_arena_hash(arena, key, length));
        CHECK((slot != RAUDO_ARENA_NONE) == entries[k].is_there);
        if (slot == RAUDO_ARENA_NONE)
            continue;
        n++;
        const unsigned char *data = raudo_arena_data(arena, slot);
        CHECK(arena->slots[slot].payload_bytes == entries[k].size && entries[k].size <= max_payload);
        for (uint32_t i = 0; i < entries[k].size; i++)
            CHECK(data[length + 1 + i] == entries[k].fill);
    }
    CHECK(n == arena->n_entries);
    for (uint32_t slot = arena->oldest; slot != RAUDO_ARENA_NONE; slot = arena->slots[slot].newer, n--) {
        const unsigned k = number_of(arena, slot);
        CHECK(entries[k].used_at > last);
        last = entries[k].used_at;
    }
    CHECK(n == 0);
    for (uint32_t i = 0; i < arena->n_chunks; i++)
        if (arena->chunks[i].data != NULL)
            chunks += arena->chunks[i].capacity + (uint64_t)RAUDO_ARENA_CHUNK_COST;
    CHECK(arena->held_bytes == chunks + raudo_arena_table_bytes(arena->n_slots));
    CHECK(arena->held_bytes <= arena->max_bytes);
}

static void against_a_model(uint32_t chunk_bytes, uint64_t max_bytes, uint32_t max_payload)
{
    raudo_arena arena;
    model entries[N_KEYS] = {{0}};
    unsigned char *payload = malloc(max_payload + 1u);
    raudo_arena_init(&arena, chunk_bytes, max_bytes, 7);
    for (uint64_t step = 1; step < 6000; step++) {
        uint32_t k = chance(N_KEYS), what = chance(10);
        char key[16];
        uint32_t length = (uint32_t)snprintf(key, sizeof key, "key %u", k);
        uint64_t hash = raudo_arena_hash(&arena, key, length);
        uint32_t slot = raudo_arena_find(&arena, key, length, hash);
        if (what < 5) {
            uint32_t size = chance(8) ? chance(60) : chance(max_payload + 1);
            uint64_t wanted = raudo_arena_block_bytes(length, 1, size);
            memset(payload, (int)(step & 0xFF), size);
            if (slot != RAUDO_ARENA_NONE)
                raudo_arena_remove(&arena, slot);
            entries[k].is_there = 0;
            if (!raudo_arena_could_hold(&arena, wanted))
                continue;
            while (raudo_arena_has_room(&arena, wanted) != 1) {
                CHECK(arena.oldest != RAUDO_ARENA_NONE);
                const unsigned gone = number_of(&arena, arena.oldest);
                raudo_arena_remove(&arena, arena.oldest);
                entries[gone].is_there = 0;
            }
            slot = raudo_arena_add(&arena, hash, key, length, " ", 1, payload, size);
            CHECK(slot != RAUDO_ARENA_NONE);
            entries[k] = (model){1, size, (unsigned char)step, step};
        }
        else if (slot != RAUDO_ARENA_NONE && what < 8) {
            raudo_arena_remove(&arena, slot);
            entries[k].is_there = 0;
        }
        else if (slot != RAUDO_ARENA_NONE) {
            raudo_arena_unlink(&arena, slot);
            raudo_arena_link_newest(&arena, slot);
            entries[k].used_at = step;
        }
        if (step % 50 == 0)
            verify(&arena, entries, max_payload);
    }
    raudo_arena_clear(&arena);
    CHECK(arena.held_bytes == 0 && arena.n_entries == 0);
    free(payload);
}

static void records_notice_every_changed_bit(void)
{
    unsigned char data[RAUDO_RECORD_HEAD_BYTES + 7];
    raudo_record record = {.raw_bytes = 5, .expires_ns = 9, .payload_sum = raudo_checksum("xyz", 3, 0),
                           .key_bytes = 3, .payload_bytes = 3, .meta_bytes = 1};
    raudo_record found;
    uint64_t seed = raudo_record_seed(1, 16);
    memcpy(data + RAUDO_RECORD_HEAD_BYTES, "key\0xyz", 7);
    raudo_record_seal(data, &record, seed);
    CHECK(raudo_record_parse(data, sizeof data, seed, &found) && found.is_live);
    CHECK(raudo_record_length(&found) == sizeof data && found.payload_sum == record.payload_sum);
    CHECK(!raudo_record_parse(data, sizeof data, raudo_record_seed(1, 17), &found));
    CHECK(!raudo_record_parse(data, sizeof data, raudo_record_seed(2, 16), &found));
    for (size_t room = 0; room < RAUDO_RECORD_HEAD_BYTES + 4; room++)
        CHECK(!raudo_record_parse(data, room, seed, &found));
    for (size_t bit = 0; bit < 8 * (RAUDO_RECORD_HEAD_BYTES + 4); bit++) {
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        int parses = raudo_record_parse(data, sizeof data, seed, &found);
        CHECK(bit / 8 == RAUDO_RECORD_STATE_AT ? parses && !found.is_live : !parses);
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    CHECK(raudo_record_next(data, sizeof data, 0) == 0);
    CHECK(raudo_record_next(data, sizeof data, 1) == sizeof data);
}

static void sums_notice_every_changed_bit(void)
{
    unsigned char *data = malloc(300);
    for (size_t i = 0; i < 300; i++)
        data[i] = (unsigned char)(i * 7);
    for (size_t length = 0; length <= 300; length += length < 70 ? 1 : 23) {
        uint64_t whole = raudo_checksum(data, length, 3);
        CHECK(whole != raudo_checksum(data, length, 4));
        for (size_t bit = 0; bit < 8 * length; bit++) {
            data[bit / 8] ^= (unsigned char)(1u << bit % 8);
            CHECK(raudo_checksum(data, length, 3) != whole);
            data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
    }
    free(data);
}

int main(void)
{
    against_a_model(64, 6000, 3000);
    against_a_model(64, 40000, 3000);
    against_a_model(1024, UINT64_MAX, 1024);
    against_a_model(1024, 20000, 1024);
    against_a_model(4096, 200000, 5000);
    records_notice_every_changed_bit();
    sums_notice_every_changed_bit();
    puts("arena and records: well");
    return 0;
}
