"""Folders listed with the stamps of what is in them, without the GIL: `csrc/walk/walk.h`."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy, strlen

import os

import numpy as np

from raudo._core.shares import in_threads, ranges


cdef extern from "Python.h":
    str PyUnicode_DecodeFSDefaultAndSize(const char *name, Py_ssize_t size)


cdef extern from "walk/walk.h" nogil:
    enum:
        RAUDO_STAMP_NUMBERS

    ctypedef struct raudo_found:
        const char *name
        uint32_t mode
        int64_t *stamp

    ctypedef struct raudo_folder:
        raudo_found *found
        size_t n

    int raudo_open_folder(const char *path, raudo_folder *folder)
    void raudo_look_at(const raudo_folder *folder, size_t lo, size_t hi)
    void raudo_free_folder(raudo_folder *folder)


STAMP_NUMBERS = RAUDO_STAMP_NUMBERS
# Fewer are looked at sooner than threads are made.
LEAST_SHARED = 512


cdef class _Folder:
    """A folder as it was read, for the threads that look at what is in it."""

    cdef raudo_folder folder

    def __cinit__(self, path):
        cdef bytes place = os.fsencode(path)
        cdef const char *name = place
        cdef int error
        with nogil:
            error = raudo_open_folder(name, &self.folder)
        if error != 0:
            raise OSError(error, os.strerror(error), path)

    def __dealloc__(self):
        raudo_free_folder(&self.folder)


def list_folder(path not None, *, n_jobs=1):
    cdef _Folder read = _Folder(path)
    cdef Py_ssize_t n = read.folder.n, i
    cdef const char *name
    cdef list names = [None] * n

    def look(piece):
        cdef Py_ssize_t lo = piece[0], hi = piece[1]
        with nogil:
            raudo_look_at(&read.folder, lo, hi)

    in_threads(look, ranges(n, n if n < LEAST_SHARED else -(-n // n_jobs)) if n else [], n_jobs)
    stamps = np.zeros((n, RAUDO_STAMP_NUMBERS), np.int64)
    modes = np.zeros(n, np.uint32)
    cdef int64_t[:, ::1] stamps_out = stamps
    cdef uint32_t[::1] modes_out = modes
    for i in range(n):
        name = read.folder.found[i].name
        names[i] = PyUnicode_DecodeFSDefaultAndSize(name, strlen(name))
        modes_out[i] = read.folder.found[i].mode
        memcpy(&stamps_out[i, 0], read.folder.found[i].stamp, RAUDO_STAMP_NUMBERS * sizeof(int64_t))
    return names, modes, stamps
