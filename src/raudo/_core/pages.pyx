# cython: binding=False
"""Mappings of memory that two processes share, and leases of them.

The first word of a mapping says whether its content is in use. The side that reads takes a `Lease`
and hands out views of it; when the last of them dies, whenever and on whatever thread that is, the
lease says in that word that the side that writes may write again. No view, no finaliser and no
descriptor of the file is needed for that.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from libc.errno cimport errno
from libc.stdint cimport uint32_t
from libc.string cimport memcpy
from posix.unistd cimport getpid

import os

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    enum:
        PROT_READ
        PROT_WRITE
        MAP_SHARED
    void *MAP_FAILED

cdef extern from *:
    """
    static inline void raudo_store(uint32_t *word, uint32_t value) {
        __atomic_store_n(word, value, __ATOMIC_RELEASE);
    }
    static inline uint32_t raudo_load(const uint32_t *word) {
        return __atomic_load_n(word, __ATOMIC_ACQUIRE);
    }
    """
    void raudo_store(uint32_t *word, uint32_t value) noexcept nogil
    uint32_t raudo_load(const uint32_t *word) noexcept nogil

cdef enum:
    _TAKEN
    _FREE
    _ABANDONED
    _COPIED_WITHOUT_GIL = 65536  # bytes from which giving the lock away costs less than it gains

TAKEN = _TAKEN
FREE = _FREE
ABANDONED = _ABANDONED  # free, and not to be written again: a fork of the reader may still see it

cdef uint32_t n_forks = 0
cdef Py_ssize_t n_mapped = 0


def note_fork():
    """Have all leases that there are now abandon their pages instead of giving them back."""
    global n_forks
    n_forks += 1


def count_mapped():
    """Return how many `Pages` there are; the system bounds them (Linux: 65,530)."""
    return n_mapped


@cython.final
cdef class Pages:
    """The first `n_bytes` of a file, mapped shared and writable: a buffer of bytes.

    The file may be closed and must not shrink. `OSError` where the system maps no more.
    """

    cdef unsigned char *start
    cdef readonly Py_ssize_t n_bytes

    def __cinit__(self, int fd, Py_ssize_t n_bytes):
        global n_mapped
        cdef void *start
        if n_bytes < <Py_ssize_t>sizeof(uint32_t):
            raise ValueError(f"n_bytes must be at least {sizeof(uint32_t)}, not {n_bytes}")
        # Not MAP_POPULATE: to have 8 MB of writable pages ready takes 2 ms, to read them 0.7 ms.
        with nogil:
            start = mmap(NULL, <size_t>n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        if start == MAP_FAILED:
            raise OSError(errno, f"cannot map {n_bytes} bytes of shared memory: {os.strerror(errno)}")
        self.start = <unsigned char *>start
        self.n_bytes = n_bytes
        n_mapped += 1

    def __dealloc__(self):
        global n_mapped
        if self.start != NULL:
            n_mapped -= 1
            munmap(self.start, <size_t>self.n_bytes)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.start, self.n_bytes, 0, flags)

    @property
    def state(self):
        """`TAKEN`, `FREE` or `ABANDONED`; what is set is seen by the other process."""
        return raudo_load(<uint32_t *>self.start)

    @state.setter
    def state(self, uint32_t value):
        raudo_store(<uint32_t *>self.start, value)

    def write(self, Py_ssize_t at, const unsigned char[::1] data not None):
        """Copy `data` to `[at, at + len(data))`; long copies let other threads run."""
        cdef Py_ssize_t n_bytes = data.shape[0]
        if at < 0 or n_bytes > self.n_bytes - at:
            raise ValueError(f"[{at}, {at + n_bytes}) is not within {self.n_bytes} bytes")
        if n_bytes == 0:
            return
        if n_bytes < _COPIED_WITHOUT_GIL:
            memcpy(self.start + at, &data[0], <size_t>n_bytes)
            return
        with nogil:
            memcpy(self.start + at, &data[0], <size_t>n_bytes)


@cython.final
@cython.no_gc  # it refers to pages only, and they refer to nothing
cdef class Lease:
    """A buffer of all bytes of `pages`; when it dies their state is `FREE` again.

    They are `ABANDONED` where the process has forked meanwhile, as its child may hold views too.
    What the child does with them is not told to the other side.
    """

    cdef Pages pages
    cdef uint32_t n_forks_before
    cdef int owner

    def __cinit__(self, Pages pages not None):
        self.n_forks_before = n_forks
        self.owner = getpid()
        self.pages = pages

    def __dealloc__(self):
        if self.pages is None or self.owner != getpid():
            return
        raudo_store(
            <uint32_t *>self.pages.start, _FREE if self.n_forks_before == n_forks else _ABANDONED
        )

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.pages.start, self.pages.n_bytes, 0, flags)
