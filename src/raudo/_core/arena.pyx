# cython: binding=False
"""Blobs in a few large blocks of memory, in the order of their use; csrc/arena/arena.h says how.

An entry is its key and its payload's bytes: no Python object, and about 80 bytes besides. Not
thread-safe: the tier above holds a lock, and decides what has to go. Making a blob may run the garbage
collector, and so finalizers that come back here: a slot's number is good only until then.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from raudo._core.blobs cimport Blobs
from raudo._core.plain cimport load

import os

cdef extern from "arena/arena.h" nogil:
    uint32_t RAUDO_ARENA_NONE
    ctypedef struct raudo_arena_slot:
        uint64_t raw_bytes
        uint64_t expires_ns
        uint32_t key_bytes
        uint32_t meta_bytes
        uint32_t payload_bytes
        uint32_t newer
    ctypedef struct raudo_arena:
        uint64_t held_bytes
        raudo_arena_slot *slots
        uint32_t n_entries
        uint32_t oldest
    void raudo_arena_init(raudo_arena *arena, uint32_t chunk_bytes, uint64_t max_bytes, uint64_t seed)
    void raudo_arena_clear(raudo_arena *arena)
    uint64_t raudo_arena_block_bytes(uint64_t key, uint64_t meta, uint64_t payload)
    const unsigned char *raudo_arena_data(const raudo_arena *arena, uint32_t slot)
    uint64_t raudo_arena_hash(const raudo_arena *arena, const void *key, size_t length)
    uint32_t raudo_arena_find(const raudo_arena *arena, const void *key, size_t length, uint64_t hash)
    bint raudo_arena_could_hold(const raudo_arena *arena, uint64_t block_bytes)
    int raudo_arena_has_room(raudo_arena *arena, uint64_t block_bytes)
    uint32_t raudo_arena_add(
        raudo_arena *arena, uint64_t hash, const void *key, uint32_t key_bytes, const void *meta,
        uint32_t meta_bytes, const void *payload, uint32_t payload_bytes,
    )
    void raudo_arena_remove(raudo_arena *arena, uint32_t slot)
    void raudo_arena_unlink(raudo_arena *arena, uint32_t slot)
    void raudo_arena_link_newest(raudo_arena *arena, uint32_t slot)

cdef extern from "lz4/decode.h" nogil:
    bint raudo_lz4_decode(const void *block, size_t size, void *room, size_t room_bytes)

cdef enum:
    # A larger value takes longer to make than whoever holds a lock may be held up.
    MAX_VALUE_BYTES = 64 * 1024
    MIN_CHUNK_BYTES = 64
    MAX_CHUNK_BYTES = 64 * 1024


@cython.final
cdef class Arena:
    """A bounded map of keys to blobs, oldest use first.

    Args:
        blobs: Makes the blobs.
        max_bytes: Most bytes of memory, with the tables; None for no bound.
        plain: The meta data of a blob whose payload is a plain pickle.
        packed: The meta data of one whose payload is such a pickle as an lz4 block.
    """

    cdef raudo_arena arena
    cdef Blobs blobs
    cdef bytes plain, packed

    def __cinit__(self, Blobs blobs not None, max_bytes=None, bytes plain not None=b"", bytes packed not None=b""):
        cdef uint64_t bound = 0xFFFFFFFFFFFFFFFF if max_bytes is None else max_bytes
        cdef uint64_t chunk_bytes = bound // 32
        if chunk_bytes < MIN_CHUNK_BYTES:
            chunk_bytes = MIN_CHUNK_BYTES
        elif chunk_bytes > MAX_CHUNK_BYTES:
            chunk_bytes = MAX_CHUNK_BYTES
        # Keys may come from strangers: they cannot know what collides.
        seed = int.from_bytes(os.urandom(8), "little")
        raudo_arena_init(&self.arena, <uint32_t> chunk_bytes, bound, seed)
        self.blobs = blobs
        self.plain = plain
        self.packed = packed

    def __dealloc__(self):
        raudo_arena_clear(&self.arena)

    def __len__(self):
        return self.arena.n_entries

    @property
    def held_bytes(self):
        """Bytes of memory taken, gaps and tables included."""
        return self.arena.held_bytes

    def get(self, bytes key not None):
        """Return the blob and make it the newest; None where there is none."""
        cdef uint32_t slot = self.find(key)
        if slot == RAUDO_ARENA_NONE:
            return None
        raudo_arena_unlink(&self.arena, slot)
        raudo_arena_link_newest(&self.arena, slot)
        return self.blob(slot, False)

    def peek(self, bytes key not None):
        """Return the blob without making it the newest."""
        cdef uint32_t slot = self.find(key)
        return None if slot == RAUDO_ARENA_NONE else self.blob(slot, False)

    def take(self, bytes key not None):
        """Remove the entry and return its blob."""
        cdef uint32_t slot = self.find(key)
        if slot == RAUDO_ARENA_NONE:
            return None
        return self.blob(slot, True)

    def take_value(self, bytes key not None):
        """Remove the entry and return its value; `NotImplemented`, changing nothing, where that takes more.

        For a small plain value without expiry and tags, three times as fast as `take` and a codec.
        """
        cdef uint32_t slot = self.find(key)
        if slot == RAUDO_ARENA_NONE:
            return NotImplemented
        cdef uint64_t n = self.arena.slots[slot].raw_bytes
        if self.arena.slots[slot].expires_ns or n > MAX_VALUE_BYTES:
            return NotImplemented
        # Copied before anything that could run code of others, and change the arena, is called.
        cdef void *raw = malloc(n + 1)
        if raw == NULL:
            raise MemoryError
        try:
            value = load(raw, n) if self.unpack(slot, raw, n) else NotImplemented
        except ValueError:  # too deep to be hashed: the codec says so, and it is a miss
            return NotImplemented
        finally:
            free(raw)
        if value is not NotImplemented:
            slot = self.find(key)
            if slot == RAUDO_ARENA_NONE:  # such code took it
                return NotImplemented
            raudo_arena_remove(&self.arena, slot)
        return value

    cdef bint unpack(self, uint32_t slot, void *raw, uint64_t n) noexcept:
        """Write the pickle of a plain value; False where the blob holds something else."""
        cdef raudo_arena_slot *entry = &self.arena.slots[slot]
        cdef const char *meta = <const char *> raudo_arena_data(&self.arena, slot) + entry.key_bytes
        cdef const char *payload = meta + entry.meta_bytes
        if is_same(self.packed, meta, entry.meta_bytes):
            return raudo_lz4_decode(payload, entry.payload_bytes, raw, n)
        if entry.payload_bytes != n or not is_same(self.plain, meta, entry.meta_bytes):
            return False
        memcpy(raw, payload, n)
        return True

    def raw_bytes(self, bytes key not None):
        """Return how long the value is as bytes, unpacked; 0 where there is none."""
        cdef uint32_t slot = self.find(key)
        return 0 if slot == RAUDO_ARENA_NONE else self.arena.slots[slot].raw_bytes

    def meta(self, bytes key not None):
        """Return the bytes for the blob's codec and tags, empty where there is none."""
        cdef uint32_t slot = self.find(key)
        if slot == RAUDO_ARENA_NONE:
            return b""
        cdef raudo_arena_slot *entry = &self.arena.slots[slot]
        cdef const char *data = <const char *> raudo_arena_data(&self.arena, slot)
        return PyBytes_FromStringAndSize(data + entry.key_bytes, entry.meta_bytes)

    def take_oldest(self):
        """Remove the entry that was used longest ago; return key and blob. There must be one."""
        cdef uint32_t slot = self.arena.oldest
        if slot == RAUDO_ARENA_NONE:
            raise KeyError("the arena is empty")
        key = self.key(slot)
        return key, self.blob(slot, True)

    def put(self, bytes key not None, blob not None):
        """Add the entry, in place of any of this key: 1 done, 0 another has to go first, -1 it never fits.

        While it is 0, `take_oldest` makes room.
        """
        cdef bytes payload = blob.payload, meta = self.blobs.meta(blob)
        cdef size_t n_key = PyBytes_GET_SIZE(key), n_meta = PyBytes_GET_SIZE(meta)
        cdef size_t n_payload = PyBytes_GET_SIZE(payload)
        cdef uint64_t hash = raudo_arena_hash(&self.arena, PyBytes_AS_STRING(key), n_key)
        cdef uint64_t raw_bytes = blob.raw_bytes, expires_ns = blob.expires_ns
        cdef uint32_t slot = raudo_arena_find(&self.arena, PyBytes_AS_STRING(key), n_key, hash)
        if slot != RAUDO_ARENA_NONE:
            raudo_arena_remove(&self.arena, slot)
        cdef uint64_t wanted = raudo_arena_block_bytes(n_key, n_meta, n_payload)
        if not raudo_arena_could_hold(&self.arena, wanted):
            return -1
        cdef int room = raudo_arena_has_room(&self.arena, wanted)
        if room == 1:
            slot = raudo_arena_add(
                &self.arena, hash, PyBytes_AS_STRING(key), <uint32_t> n_key, PyBytes_AS_STRING(meta),
                <uint32_t> n_meta, PyBytes_AS_STRING(payload), <uint32_t> n_payload,
            )
        if room < 0 or (room == 1 and slot == RAUDO_ARENA_NONE):
            raise MemoryError
        if room == 1:
            self.arena.slots[slot].raw_bytes = raw_bytes
            self.arena.slots[slot].expires_ns = expires_ns
        return room

    def take_expired(self, uint64_t now_ns):
        """Remove what has expired; return pairs of key and blob. Looks at every entry."""
        cdef list gone = []
        cdef uint32_t slot
        for key in self.keys(now_ns):
            slot = self.find(key)
            if slot != RAUDO_ARENA_NONE and self.is_past(slot, now_ns):
                gone.append((key, self.blob(slot, True)))
        return gone

    def items(self):
        """Return pairs of key and blob, oldest first."""
        cdef list found = []
        cdef uint32_t slot
        for key in self.keys(0):
            slot = self.find(key)
            if slot != RAUDO_ARENA_NONE:
                found.append((key, self.blob(slot, False)))
        return found

    def clear(self):
        """Remove everything and give the memory back."""
        raudo_arena_clear(&self.arena)

    cdef list keys(self, uint64_t past_ns):
        """Return the keys of this moment, oldest first; with a time of those alone that end by then."""
        cdef list keys = []
        cdef uint32_t slot = self.arena.oldest
        while slot != RAUDO_ARENA_NONE:
            if past_ns == 0 or self.is_past(slot, past_ns):
                keys.append(self.key(slot))
            slot = self.arena.slots[slot].newer
        return keys

    cdef bint is_past(self, uint32_t slot, uint64_t now_ns) noexcept:
        return 0 < self.arena.slots[slot].expires_ns <= now_ns

    cdef uint32_t find(self, bytes key) noexcept:
        cdef const char *data = PyBytes_AS_STRING(key)
        cdef size_t n = PyBytes_GET_SIZE(key)
        return raudo_arena_find(&self.arena, data, n, raudo_arena_hash(&self.arena, data, n))

    cdef bytes key(self, uint32_t slot):
        return PyBytes_FromStringAndSize(
            <const char *> raudo_arena_data(&self.arena, slot), self.arena.slots[slot].key_bytes
        )

    cdef object blob(self, uint32_t slot, bint takes):
        """Return the entry's blob; with `takes` remove it."""
        cdef raudo_arena_slot entry = self.arena.slots[slot]
        cdef const char *data = <const char *> raudo_arena_data(&self.arena, slot) + entry.key_bytes
        # Copied before anything that could run code of others, and change the arena, is called.
        cdef bytes meta = PyBytes_FromStringAndSize(data, entry.meta_bytes)
        cdef bytes payload = PyBytes_FromStringAndSize(data + entry.meta_bytes, entry.payload_bytes)
        if takes:
            raudo_arena_remove(&self.arena, slot)
        return self.blobs.make(payload, meta, entry.raw_bytes, entry.expires_ns)


cdef bint is_same(bytes wanted, const char *data, size_t n) noexcept:
    return n == <size_t> PyBytes_GET_SIZE(wanted) and memcmp(PyBytes_AS_STRING(wanted), data, n) == 0
