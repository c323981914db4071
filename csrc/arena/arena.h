/* Keys and blobs in a few blocks of memory: an index, an order of use, and chunks that are filled from
 * the front.
 *
 * An entry takes its bytes, 8 of a header, a slot and 11 to 22 bytes of the index. Removing one leaves
 * a gap. Once gaps are a quarter of all chunks (or no further chunk is allowed and one has an eighth of
 * gaps), the emptiest chunk slides its entries to its front and is filled anew: the cleaning of
 * Rumble et al., "Log-structured memory for DRAM-based storage" (FAST '14), within one chunk, so that it
 * needs no memory to copy into. An entry larger than a quarter of a chunk has a block of its own.
 *
 * Not thread-safe. Entries are addressed by slot numbers, which stay while the entry does; pointers into
 * a chunk hold until the next call of has_room or remove.
 */
#ifndef RAUDO_ARENA_H
#define RAUDO_ARENA_H

#include <stdlib.h>

#include "record/record.h"

#define RAUDO_ARENA_NONE UINT32_MAX

enum { RAUDO_ARENA_BLOCK_HEAD = 8, RAUDO_ARENA_FIRST_SLOTS = 16 };

typedef struct {
    uint64_t hash, raw_bytes, expires_ns;
    uint32_t key_bytes, meta_bytes, payload_bytes;
    uint32_t chunk, at;     /* where the block begins; `at` is that of its content */
    uint32_t older, newer;  /* the order of use; `newer` also chains free slots */
} raudo_arena_slot;

typedef struct {
    unsigned char *data; /* NULL: free to be used again, the next such is `used` */
    uint32_t used, live, capacity;
    uint32_t is_common; /* 0: a block of a large entry's own */
} raudo_arena_chunk;

/* What holding a chunk costs besides its bytes: this and malloc's own. */
enum { RAUDO_ARENA_CHUNK_COST = sizeof(raudo_arena_chunk) + 16 };

typedef struct {
    uint64_t max_bytes, held_bytes; /* held: chunks, slots and index together */
    uint64_t chunk_total, live_total; /* of the chunks of common size */
    uint64_t seed;
    uint64_t *index; /* upper half of the hash, lower half slot + 1; 0 is empty */
    raudo_arena_slot *slots;
    raudo_arena_chunk *chunks;
    uint32_t index_mask, n_slots, n_entries, free_slot, oldest, newest;
    uint32_t n_chunks, chunk_room, free_chunk, chunk_bytes, active;
} raudo_arena;

static inline void raudo_arena_init(raudo_arena *arena, uint32_t chunk_bytes, uint64_t max_bytes, uint64_t seed)
{
    memset(arena, 0, sizeof *arena);
    arena->max_bytes = max_bytes;
    arena->chunk_bytes = chunk_bytes;
    arena->seed = seed;
    arena->free_slot = arena->free_chunk = arena->oldest = arena->newest = arena->active = RAUDO_ARENA_NONE;
}

/* Give all memory back; the arena is as after its init. */
static inline void raudo_arena_clear(raudo_arena *arena)
{
    for (uint32_t i = 0; i < arena->n_chunks; i++)
        free(arena->chunks[i].data);
    free(arena->chunks);
    free(arena->slots);
    free(arena->index);
    raudo_arena_init(arena, arena->chunk_bytes, arena->max_bytes, arena->seed);
}

/* Bytes that an entry takes in a chunk. */
static inline uint64_t raudo_arena_block_bytes(uint64_t key, uint64_t meta, uint64_t payload)
{
    return (RAUDO_ARENA_BLOCK_HEAD + key + meta + payload + 7) & ~(uint64_t)7;
}

static inline int raudo_arena_is_large(const raudo_arena *arena, uint64_t block_bytes)
{
    return block_bytes > arena->chunk_bytes / 4;
}

static inline const unsigned char *raudo_arena_data(const raudo_arena *arena, uint32_t slot)
{
    return arena->chunks[arena->slots[slot].chunk].data + arena->slots[slot].at;
}

static inline uint64_t raudo_arena_hash(const raudo_arena *arena, const void *key, size_t length)
{
    return raudo_checksum(key, length, arena->seed);
}

/* --- the index: open addressing, linear probing, backward-shift delete, at most 3/4 full --- */

static inline uint32_t raudo_arena_find(const raudo_arena *arena, const void *key, size_t length, uint64_t hash)
{
    if (arena->n_entries == 0)
        return RAUDO_ARENA_NONE;
    for (uint32_t i = (uint32_t)hash & arena->index_mask;; i = (i + 1) & arena->index_mask) {
        uint64_t word = arena->index[i];
        if (word == 0)
            return RAUDO_ARENA_NONE;
        if ((word ^ hash) >> 32 == 0) {
            uint32_t slot = (uint32_t)word - 1;
            if (arena->slots[slot].key_bytes == length
                && memcmp(raudo_arena_data(arena, slot), key, length) == 0)
                return slot;
        }
    }
}

static inline void raudo_arena_enter(raudo_arena *arena, uint32_t slot)
{
    uint64_t hash = arena->slots[slot].hash;
    uint32_t i = (uint32_t)hash & arena->index_mask;
    while (arena->index[i] != 0)
        i = (i + 1) & arena->index_mask;
    arena->index[i] = (hash & 0xFFFFFFFF00000000u) | (slot + 1);
}

static inline void raudo_arena_leave(raudo_arena *arena, uint32_t slot)
{
    uint32_t mask = arena->index_mask, i = (uint32_t)arena->slots[slot].hash & mask;
    while ((uint32_t)arena->index[i] != slot + 1)
        i = (i + 1) & mask;
    for (uint32_t j = (i + 1) & mask; arena->index[j] != 0; j = (j + 1) & mask) {
        uint32_t home = (uint32_t)arena->slots[(uint32_t)arena->index[j] - 1].hash & mask;
        if (((j - home) & mask) >= ((j - i) & mask)) {
            arena->index[i] = arena->index[j];
            i = j;
        }
    }
    arena->index[i] = 0;
}

/* --- room --- */

static inline uint64_t raudo_arena_index_bytes(uint32_t n_slots)
{
    uint64_t capacity = RAUDO_ARENA_FIRST_SLOTS;
    while (capacity * 3 < (uint64_t)n_slots * 4)
        capacity *= 2;
    return capacity * sizeof(uint64_t);
}

static inline uint64_t raudo_arena_table_bytes(uint32_t n_slots)
{
    return n_slots == 0 ? 0 : n_slots * (uint64_t)sizeof(raudo_arena_slot) + raudo_arena_index_bytes(n_slots);
}

static inline uint32_t raudo_arena_more_slots(const raudo_arena *arena)
{
    uint64_t wanted = arena->n_slots + (uint64_t)arena->n_slots / 2;
    return wanted < RAUDO_ARENA_FIRST_SLOTS ? RAUDO_ARENA_FIRST_SLOTS
           : wanted > UINT32_MAX / 4        ? UINT32_MAX / 4
                                            : (uint32_t)wanted;
}

static inline int raudo_arena_grow_slots(raudo_arena *arena)
{
    uint32_t wanted = raudo_arena_more_slots(arena);
    uint64_t index_bytes = raudo_arena_index_bytes(wanted);
    if (wanted <= arena->n_slots)
        return 0;
    raudo_arena_slot *slots = realloc(arena->slots, (size_t)wanted * sizeof *slots);
    if (slots == NULL)
        return 0;
    arena->slots = slots;
    uint64_t *index = calloc(1, (size_t)index_bytes);
    if (index == NULL)
        return 0;
    arena->held_bytes += raudo_arena_table_bytes(wanted) - raudo_arena_table_bytes(arena->n_slots);
    free(arena->index);
    arena->index = index;
    arena->index_mask = (uint32_t)(index_bytes / sizeof *index) - 1;
    for (uint32_t slot = arena->oldest; slot != RAUDO_ARENA_NONE; slot = slots[slot].newer)
        raudo_arena_enter(arena, slot);
    for (uint32_t slot = wanted; slot-- > arena->n_slots;) {
        slots[slot].newer = arena->free_slot;
        arena->free_slot = slot;
    }
    arena->n_slots = wanted;
    return 1;
}

/* Return the number of a new chunk, NONE where there is no memory. */
static inline uint32_t raudo_arena_new_chunk(raudo_arena *arena, uint32_t capacity, uint32_t is_common)
{
    unsigned char *data = malloc(capacity);
    if (data == NULL)
        return RAUDO_ARENA_NONE;
    uint32_t number = arena->free_chunk;
    if (number != RAUDO_ARENA_NONE) {
        arena->free_chunk = arena->chunks[number].used;
    }
    else {
        number = arena->n_chunks;
        if (number == arena->chunk_room) {
            uint32_t wanted = arena->chunk_room * 2 + 8;
            raudo_arena_chunk *chunks = realloc(arena->chunks, (size_t)wanted * sizeof *chunks);
            if (chunks == NULL) {
                free(data);
                return RAUDO_ARENA_NONE;
            }
            arena->chunks = chunks;
            arena->chunk_room = wanted;
        }
        arena->n_chunks = number + 1;
    }
    arena->chunks[number] = (raudo_arena_chunk){data, 0, 0, capacity, is_common};
    arena->held_bytes += (uint64_t)capacity + RAUDO_ARENA_CHUNK_COST;
    if (is_common)
        arena->chunk_total += capacity;
    return number;
}

static inline void raudo_arena_free_chunk(raudo_arena *arena, uint32_t number)
{
    raudo_arena_chunk *chunk = &arena->chunks[number];
    free(chunk->data);
    chunk->data = NULL;
    chunk->used = arena->free_chunk;
    arena->free_chunk = number;
    arena->held_bytes -= (uint64_t)chunk->capacity + RAUDO_ARENA_CHUNK_COST;
    if (chunk->is_common)
        arena->chunk_total -= chunk->capacity;
}

static inline uint32_t raudo_arena_emptiest(const raudo_arena *arena)
{
    uint32_t found = RAUDO_ARENA_NONE;
    for (uint32_t i = 0; i < arena->n_chunks; i++)
        if (arena->chunks[i].data != NULL && arena->chunks[i].is_common
            && (found == RAUDO_ARENA_NONE || arena->chunks[i].live < arena->chunks[found].live))
            found = i;
    return found;
}

/* Move a chunk's entries to its front, over the gaps. */
static inline void raudo_arena_slide(raudo_arena *arena, uint32_t number)
{
    raudo_arena_chunk *chunk = &arena->chunks[number];
    uint32_t to = 0, bytes, slot;
    for (uint32_t from = 0; from < chunk->used; from += bytes) {
        memcpy(&slot, chunk->data + from, 4);
        memcpy(&bytes, chunk->data + from + 4, 4);
        if (slot == RAUDO_ARENA_NONE)
            continue;
        if (to != from)
            memmove(chunk->data + to, chunk->data + from, bytes);
        arena->slots[slot].at = to + RAUDO_ARENA_BLOCK_HEAD;
        to += bytes;
    }
    chunk->used = to;
}

/* Say whether a block of this size could be added if everything else were removed. */
static inline int raudo_arena_could_hold(const raudo_arena *arena, uint64_t block_bytes)
{
    uint64_t tables = raudo_arena_table_bytes(arena->n_slots ? arena->n_slots : RAUDO_ARENA_FIRST_SLOTS);
    uint64_t chunk = raudo_arena_is_large(arena, block_bytes) ? block_bytes : arena->chunk_bytes;
    return block_bytes < UINT32_MAX && tables <= arena->max_bytes
           && chunk + RAUDO_ARENA_CHUNK_COST <= arena->max_bytes - tables;
}

/* Make room for one more entry without removing any: 1 done, 0 an entry has to go first, -1 no memory. */
static inline int raudo_arena_has_room(raudo_arena *arena, uint64_t block_bytes)
{
    uint64_t held = arena->held_bytes;
    if (arena->free_slot == RAUDO_ARENA_NONE) {
        held += raudo_arena_table_bytes(raudo_arena_more_slots(arena)) - raudo_arena_table_bytes(arena->n_slots);
        if (held > arena->max_bytes)
            return 0;
        if (!raudo_arena_grow_slots(arena))
            return -1;
    }
    if (raudo_arena_is_large(arena, block_bytes))
        return block_bytes + RAUDO_ARENA_CHUNK_COST <= arena->max_bytes - held;
    if (arena->active != RAUDO_ARENA_NONE
        && arena->chunks[arena->active].capacity - arena->chunks[arena->active].used >= block_bytes)
        return 1;
    int may_grow = (uint64_t)arena->chunk_bytes + RAUDO_ARENA_CHUNK_COST <= arena->max_bytes - held;
    uint64_t gaps = arena->chunk_total - arena->live_total;
    if (!may_grow || gaps * 4 >= arena->chunk_total) {
        uint32_t number = raudo_arena_emptiest(arena);
        uint32_t wanted = arena->chunk_bytes / (may_grow ? 4 : 8);
        if (number != RAUDO_ARENA_NONE && arena->chunk_bytes - arena->chunks[number].live >= wanted) {
            raudo_arena_slide(arena, number);
            arena->active = number;
            if (arena->chunk_bytes - arena->chunks[number].used >= block_bytes)
                return 1;
        }
    }
    if (!may_grow)
        return 0;
    uint32_t number = raudo_arena_new_chunk(arena, arena->chunk_bytes, 1);
    if (number == RAUDO_ARENA_NONE)
        return -1;
    arena->active = number;
    return 1;
}

/* --- entries --- */

static inline void raudo_arena_link_newest(raudo_arena *arena, uint32_t slot)
{
    arena->slots[slot].older = arena->newest;
    arena->slots[slot].newer = RAUDO_ARENA_NONE;
    if (arena->newest != RAUDO_ARENA_NONE)
        arena->slots[arena->newest].newer = slot;
    else
        arena->oldest = slot;
    arena->newest = slot;
}

static inline void raudo_arena_unlink(raudo_arena *arena, uint32_t slot)
{
    uint32_t older = arena->slots[slot].older, newer = arena->slots[slot].newer;
    if (older != RAUDO_ARENA_NONE)
        arena->slots[older].newer = newer;
    else
        arena->oldest = newer;
    if (newer != RAUDO_ARENA_NONE)
        arena->slots[newer].older = older;
    else
        arena->newest = older;
}

/* Add an entry as the newest, after has_room said 1; NONE where there is no memory. The key must not be
 * there. The caller fills in raw_bytes and expires_ns. */
static inline uint32_t raudo_arena_add(raudo_arena *arena, uint64_t hash, const void *key, uint32_t key_bytes,
                                       const void *meta, uint32_t meta_bytes, const void *payload,
                                       uint32_t payload_bytes)
{
    uint32_t bytes = (uint32_t)raudo_arena_block_bytes(key_bytes, meta_bytes, payload_bytes);
    uint32_t number = arena->active, slot = arena->free_slot;
    if (raudo_arena_is_large(arena, bytes)) {
        number = raudo_arena_new_chunk(arena, bytes, 0);
        if (number == RAUDO_ARENA_NONE)
            return RAUDO_ARENA_NONE;
    }
    else {
        arena->live_total += bytes;
    }
    raudo_arena_chunk *chunk = &arena->chunks[number];
    unsigned char *block = chunk->data + chunk->used;
    memcpy(block, &slot, 4);
    memcpy(block + 4, &bytes, 4);
    memcpy(block + RAUDO_ARENA_BLOCK_HEAD, key, key_bytes);
    memcpy(block + RAUDO_ARENA_BLOCK_HEAD + key_bytes, meta, meta_bytes);
    memcpy(block + RAUDO_ARENA_BLOCK_HEAD + key_bytes + meta_bytes, payload, payload_bytes);
    raudo_arena_slot *made = &arena->slots[slot];
    arena->free_slot = made->newer;
    made->hash = hash;
    made->key_bytes = key_bytes;
    made->meta_bytes = meta_bytes;
    made->payload_bytes = payload_bytes;
    made->chunk = number;
    made->at = chunk->used + RAUDO_ARENA_BLOCK_HEAD;
    chunk->used += bytes;
    chunk->live += bytes;
    arena->n_entries++;
    raudo_arena_enter(arena, slot);
    raudo_arena_link_newest(arena, slot);
    return slot;
}

static inline void raudo_arena_remove(raudo_arena *arena, uint32_t slot)
{
    raudo_arena_slot *gone = &arena->slots[slot];
    raudo_arena_chunk *chunk = &arena->chunks[gone->chunk];
    unsigned char *block = chunk->data + gone->at - RAUDO_ARENA_BLOCK_HEAD;
    uint32_t bytes, none = RAUDO_ARENA_NONE;
    raudo_arena_leave(arena, slot);
    raudo_arena_unlink(arena, slot);
    memcpy(&bytes, block + 4, 4);
    memcpy(block, &none, 4);
    chunk->live -= bytes;
    if (chunk->is_common)
        arena->live_total -= bytes;
    if (gone->chunk == arena->active && chunk->live == 0)
        chunk->used = 0;
    else if (chunk->live == 0)
        raudo_arena_free_chunk(arena, gone->chunk);
    gone->newer = arena->free_slot;
    arena->free_slot = slot;
    arena->n_entries--;
}

#endif
