from libc.stdint cimport uint64_t


cdef class Blobs:
    cdef type kind
    cdef object encode_meta
    cdef object decode_meta
    cdef dict metas
    cdef dict codecs
    cdef Py_ssize_t[5] offsets
    cdef object fill(self, bytes payload, object codec, object raw_bytes, object expires_ns, tuple tags)
    cdef bytes meta(self, object blob)
    cdef object make(self, bytes payload, bytes meta, uint64_t raw_bytes, uint64_t expires_ns)
