"""A recording of lookups, as the table writes to it."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "trace/writer.h" nogil:
    const uint32_t BLOCK_KEYS "RAUDO_BLOCK_KEYS"
    const uint32_t BLOCK_HEADER "RAUDO_BLOCK_HEADER"
    const uint32_t TEXT_BYTES "RAUDO_TEXT_BYTES"
    ctypedef struct raudo_block:
        uint32_t n_keys
        uint64_t *keys
        uint32_t n_text

    size_t raudo_block_size(const raudo_block *block) noexcept
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
    cdef readonly bint has_keys  # as lines of text, in place of hashes
    cdef bint is_writing  # the spare block, by a thread that has let go of the GIL
    cdef int file, error_number
    cdef int64_t room_bytes, owner
    cdef object __weakref__

    cdef void note(self, PyObject *key, uint32_t hash) noexcept
    cdef void note_text(self, PyObject *key) noexcept
    cdef void write_out(self) noexcept
    cdef void wait(self) noexcept
    cdef void stop(self) noexcept
