"""Folders listed with the stamps of what is in them, without the GIL: `csrc/walk/walk.h`."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy, strlen

import os

import numpy as np


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

    int raudo_list_folder(const char *path, raudo_folder *folder)
    void raudo_free_folder(raudo_folder *folder)


STAMP_NUMBERS = RAUDO_STAMP_NUMBERS


def list_folder(path not None):
    cdef bytes place = os.fsencode(path)
    cdef const char *name = place
    cdef raudo_folder folder
    cdef int error
    cdef size_t i
    cdef list names
    cdef int64_t[:, ::1] stamps_out
    cdef uint32_t[::1] modes_out
    with nogil:
        error = raudo_list_folder(name, &folder)
    try:
        if error != 0:
            raise OSError(error, os.strerror(error), path)
        names = [None] * folder.n
        stamps = np.zeros((folder.n, RAUDO_STAMP_NUMBERS), np.int64)
        modes = np.zeros(folder.n, np.uint32)
        stamps_out, modes_out = stamps, modes
        for i in range(folder.n):
            name = folder.found[i].name
            names[i] = PyUnicode_DecodeFSDefaultAndSize(name, strlen(name))
            modes_out[i] = folder.found[i].mode
            memcpy(&stamps_out[i, 0], folder.found[i].stamp, RAUDO_STAMP_NUMBERS * sizeof(int64_t))
        return names, modes, stamps
    finally:
        raudo_free_folder(&folder)
