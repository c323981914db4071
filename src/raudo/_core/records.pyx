# cython: binding=False
"""Records of the segment log: made, checked and read without a Python object per field.

The format is csrc/record/record.h's. A `Records` makes and reads single ones; a `Window` shows
the bytes of one segment that this process appended, which the page cache holds: reading one of those
is a copy and no system call. Nothing here holds a lock; the log's owner does.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport errno
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from raudo._core.blobs cimport Blobs

import os

cdef extern from "Python.h":
    unsigned long long PyLong_AsUnsignedLongLongMask(object number) except? 0xFFFFFFFFFFFFFFFF

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    int madvise(void *address, size_t length, int advice)
    enum:
        PROT_READ
        MAP_SHARED
    void *MAP_FAILED

cdef extern from "record/record.h" nogil:
    enum:
        RAUDO_RECORD_HEAD_BYTES
        RAUDO_RECORD_STATE_AT
    ctypedef struct raudo_record:
        uint64_t raw_bytes
        uint64_t expires_ns
        uint64_t payload_sum
        uint32_t key_bytes
        uint32_t payload_bytes
        uint16_t meta_bytes
        int is_live
    uint64_t raudo_checksum(const void *data, size_t length, uint64_t seed)
    uint64_t raudo_record_seed(uint64_t nonce, uint64_t offset)
    void raudo_record_seal(unsigned char *head, const raudo_record *record, uint64_t seed)
    uint64_t raudo_record_length(const raudo_record *record)
    bint raudo_record_parse(const unsigned char *head, uint64_t room, uint64_t seed, raudo_record *record)
    uint64_t raudo_record_next(const unsigned char *data, uint64_t size, uint64_t begin)

HEAD_BYTES = RAUDO_RECORD_HEAD_BYTES
STATE_OFFSET = RAUDO_RECORD_STATE_AT
# A record's place is one integer, 40 bytes of memory where a tuple of three would take 120: the segment's
# number, the offset and the length. Offset and length fit a machine word: no segment that takes more
# than one record is larger than 16 MiB.
LENGTH_BITS = 34
SEGMENT_SHIFT = 74
MAX_OFFSET = (1 << 30) - 1

cdef enum:
    C_LENGTH_BITS = 34
cdef uint64_t LENGTH_MASK = (<uint64_t> 1 << C_LENGTH_BITS) - 1
cdef Py_ssize_t MAX_META = 0xFFFF
cdef uint64_t MAX_PART = 0xFFFFFFFF
cdef uint64_t C_MAX_OFFSET = (<uint64_t> 1 << 30) - 1
# Linux 5.14; where it is unknown, the first read of a page maps it.
cdef enum:
    MADV_POPULATE_READ = 22
    PAGE_BYTES = 4096
# Up to here a read copies with the GIL held, some 20 us; beyond, the system call that lets go of it is
# the better way.
cdef uint64_t MAX_WINDOW_READ = 256 * 1024


def checksum(const unsigned char[::1] data not None, uint64_t seed=0):
    """Return the 64-bit checksum of some bytes."""
    return raudo_checksum(&data[0] if data.shape[0] else NULL, <size_t> data.shape[0], seed)


@cython.final
cdef class Records:
    """Makes records of blobs, and blobs of records."""

    cdef Blobs blobs

    def __init__(self, Blobs blobs not None):
        self.blobs = blobs

    def measure(self, bytes key not None, blob not None):
        """Return the bytes for the blob's codec and tags, and how long its record is.

        `ValueError` for what a record's head cannot say the length of.
        """
        cdef bytes payload = blob.payload, meta = self.blobs.meta(blob)
        cdef uint64_t n_key = PyBytes_GET_SIZE(key), n_payload = PyBytes_GET_SIZE(payload)
        if n_key > MAX_PART or n_payload > MAX_PART or PyBytes_GET_SIZE(meta) > MAX_META:
            raise ValueError(
                f"a record holds {MAX_META} bytes of tags and 4 GiB of payload, got {len(meta)} and {n_payload}"
            )
        return meta, RAUDO_RECORD_HEAD_BYTES + n_key + PyBytes_GET_SIZE(meta) + n_payload

    def seal(self, bytes key not None, bytes meta not None, blob not None, uint64_t nonce, uint64_t offset):
        """Return head, key and meta of a record for its one place; the payload follows them.

        The meta is `measure`'s, which has seen to it that the parts are no longer than a head can say.
        """
        cdef bytes payload = blob.payload
        cdef Py_ssize_t n_key = PyBytes_GET_SIZE(key), n_meta = PyBytes_GET_SIZE(meta)
        cdef bytes sealed = PyBytes_FromStringAndSize(NULL, RAUDO_RECORD_HEAD_BYTES + n_key + n_meta)
        cdef char *head = PyBytes_AS_STRING(sealed)
        cdef raudo_record record
        memcpy(head + RAUDO_RECORD_HEAD_BYTES, PyBytes_AS_STRING(key), n_key)
        memcpy(head + RAUDO_RECORD_HEAD_BYTES + n_key, PyBytes_AS_STRING(meta), n_meta)
        record.raw_bytes = blob.raw_bytes
        record.expires_ns = blob.expires_ns
        record.payload_sum = raudo_checksum(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), 0)
        record.key_bytes = <uint32_t> n_key
        record.payload_bytes = <uint32_t> PyBytes_GET_SIZE(payload)
        record.meta_bytes = <uint16_t> n_meta
        raudo_record_seal(<unsigned char *> head, &record, raudo_record_seed(nonce, offset))
        return sealed

    def open(self, data not None, bytes key not None, uint64_t nonce, uint64_t offset):
        """Return the blob of a whole record, None unless everything checks out."""
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self.read(
                <const unsigned char *> view.buf, <uint64_t> view.len, key, raudo_record_seed(nonce, offset)
            )
        finally:
            PyBuffer_Release(&view)

    cdef object read(self, const unsigned char *data, uint64_t size, bytes key, uint64_t seed):
        cdef raudo_record record
        cdef const char *payload
        if not raudo_record_parse(data, size, seed, &record) or not record.is_live:
            return None
        if raudo_record_length(&record) != size or record.key_bytes != <uint64_t> PyBytes_GET_SIZE(key):
            return None
        if memcmp(data + RAUDO_RECORD_HEAD_BYTES, PyBytes_AS_STRING(key), record.key_bytes) != 0:
            return None
        payload = <const char *> data + (size - record.payload_bytes)
        cdef bytes copy = PyBytes_FromStringAndSize(payload, record.payload_bytes)
        # Of the copy: what it was made of may change under a map of the file.
        if raudo_checksum(PyBytes_AS_STRING(copy), record.payload_bytes, 0) != record.payload_sum:
            return None
        cdef bytes meta = PyBytes_FromStringAndSize(payload - record.meta_bytes, record.meta_bytes)
        return self.blobs.make(copy, meta, record.raw_bytes, record.expires_ns)


def scan(
    const unsigned char[::1] data not None,
    Py_ssize_t start,
    uint64_t nonce,
    segment,
    dict index not None,
    dict expires not None,
    list order not None,
    list superseded not None,
):
    """Enter the live records of a segment's bytes into an index, in the order they stand in.

    After a record that does not check out, the search goes on at the next magic number. A key that is
    in the index already is entered anew, at the end, and its old place appended to `superseded`.

    Returns:
        The offsets of the live records, the bytes they take, the end of the last valid record, and the
        number of those that did not check out.
    """
    cdef uint64_t at = start, end = start, size = data.shape[0], length, live_bytes = 0, n_corrupt = 0
    cdef raudo_record record
    cdef bytes key
    cdef list offsets = []
    base = segment << SEGMENT_SHIFT
    while at < size:
        if (
            at > C_MAX_OFFSET
            or not raudo_record_parse(&data[at], size - at, raudo_record_seed(nonce, at), &record)
            or raudo_record_length(&record) > size - at
        ):
            n_corrupt += 1
            at = raudo_record_next(&data[0], size, at + 1)
            continue
        length = raudo_record_length(&record)
        if record.is_live:
            key = PyBytes_FromStringAndSize(
                <const char *> &data[at] + RAUDO_RECORD_HEAD_BYTES, record.key_bytes
            )
            old = index.pop(key, None)
            if old is not None:
                superseded.append(old)
                expires.pop(key, None)
            index[key] = base | (at << C_LENGTH_BITS | length)
            if record.expires_ns:
                expires[key] = record.expires_ns
            order.append(key)
            offsets.append(at)
            live_bytes += length
        at += length
        end = at
    return offsets, live_bytes, end, n_corrupt


@cython.final
cdef class Window:
    """A map of one segment's file, for the records that this process appended to it.

    It may reach beyond the file's end: only places where a record was written are read. A file that is
    about to be cut has to be given up by `close` first.

    Args:
        fd: The file, open for reading.
        capacity: How far the map reaches.
        first: Where the first record begins that may be read through it.
        nonce: The segment's.
    """

    cdef char *base
    cdef size_t capacity
    cdef uint64_t first
    cdef uint64_t nonce

    def __cinit__(self, int fd, size_t capacity, uint64_t first, uint64_t nonce):
        self.base = NULL
        cdef void *base = mmap(NULL, capacity, PROT_READ, MAP_SHARED, fd, 0)
        if base == MAP_FAILED:
            raise OSError(errno, os.strerror(errno))
        self.base = <char *> base
        self.capacity = capacity
        self.first = first
        self.nonce = nonce

    def __dealloc__(self):
        if self.base != NULL:
            munmap(self.base, self.capacity)

    def read(self, Records records not None, bytes key not None, place not None):
        """Return the blob, None where it does not check out, and `NotImplemented` for what is not shown.

        Holds the GIL throughout, so that `close` in another thread cannot take the map away.
        """
        return self.look(records, key, place)

    cdef object look(self, Records records, bytes key, object place):
        cdef uint64_t low = PyLong_AsUnsignedLongLongMask(place)
        cdef uint64_t offset = low >> C_LENGTH_BITS, length = low & LENGTH_MASK
        if (
            self.base == NULL
            or offset < self.first
            or length > MAX_WINDOW_READ
            or offset + length > self.capacity
        ):
            return NotImplemented
        return records.read(
            <const unsigned char *> self.base + offset, length, key, raudo_record_seed(self.nonce, offset)
        )

    def show(self, uint64_t offset, uint64_t length):
        """Map the pages of what was just written there, so that its first read need not."""
        cdef uint64_t begin = offset & ~<uint64_t> (PAGE_BYTES - 1)
        if (
            self.base != NULL
            and length <= MAX_WINDOW_READ
            and offset + length <= self.capacity
            # Where it begins within a page, whoever wrote that page's first byte has shown it.
            and (begin == offset or offset + length > begin + PAGE_BYTES)
        ):
            madvise(self.base + begin, offset + length - begin, MADV_POPULATE_READ)

    def close(self):
        """Show nothing any more."""
        if self.base != NULL:
            munmap(self.base, self.capacity)
            self.base = NULL


def find(Records records not None, dict index not None, dict windows not None, bytes key not None):
    """Return the blob of a key that a window shows; None for anything that takes a longer look.

    Args:
        records: Reads it.
        index: Places by key.
        windows: Windows by the number of their segment.
    """
    place = index.get(key)
    if place is None:
        return None
    window = windows.get(place >> SEGMENT_SHIFT)
    if window is None:
        return None
    blob = (<Window?> window).look(records, key, place)
    return None if blob is NotImplemented else blob
