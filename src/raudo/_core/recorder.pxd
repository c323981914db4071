"""A recording of lookups, as the table writes to it."""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "trace/writer.h" nogil:
    const uint32_t BLOCK_KEYS "RAUDO_BLOCK_KEYS"
    const uint32_t BLOCK_HEADER "RAUDO_BLOCK_HEADER"
    ctypedef struct raudo_block:
        uint32_t n_keys
        uint64_t *keys

    uint64_t raudo_siphash(const uint64_t *key, uint32_t word) noexcept
    int raudo_block_write(int file, raudo_block *block) noexcept


@cython.final
cdef class Recorder:
    cdef readonly str path
    cdef readonly uint64_t n_recorded  # lookups that are in the file or on their way
    cdef readonly uint64_t n_lost
    cdef uint64_t[2] secret
    cdef raudo_block *filling
    cdef raudo_block *spare
    cdef bint is_writing  # the spare block, by a thread that has let go of the GIL
    cdef int file, error_number
    cdef int64_t room_bytes, owner
    cdef object __weakref__

    cdef void note(self, uint32_t hash) noexcept
    cdef void write_out(self) noexcept
    cdef void wait(self) noexcept
    cdef void stop(self) noexcept
