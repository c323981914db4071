"""What Python's own files cannot do: read small ones in a moment, write large ones out early.

The small ones are those under /proc and /sys, read without letting go of the interpreter lock. Python's
own `open` and `read` let go of it at each step, and a thread that computes gives it back only after its
interval of 5 ms: a dozen files took a watch of the memory 250 ms, in which a process can outgrow its
limit. The kernel makes these files from memory, in microseconds.
"""

from libc.errno cimport errno
from libc.stdio cimport FILE, fclose, fopen, fread

import os

cdef enum:
    MOST_BYTES = 16384


def read_small(path not None):
    """Return the first 16 KiB of a file that is read in microseconds; OSError where that fails."""
    cdef bytes name = os.fsencode(path)
    cdef char[MOST_BYTES] content
    cdef FILE *file = fopen(name, "rb")
    if file == NULL:
        raise OSError(errno, os.strerror(errno), path)
    cdef size_t n = fread(content, 1, MOST_BYTES, file)
    fclose(file)
    return content[:n]


cdef extern from *:
    """
    #ifdef __linux__
    #include <fcntl.h>
    #ifndef SYNC_FILE_RANGE_WRITE  /* declared for _GNU_SOURCE alone, which Python.h sets */
    #define SYNC_FILE_RANGE_WRITE 2
    #endif
    static int raudo_start_writing(int fd, long long offset, long long n_bytes) {
        return sync_file_range(fd, offset, n_bytes, SYNC_FILE_RANGE_WRITE);
    }
    #else
    static int raudo_start_writing(int fd, long long offset, long long n_bytes) {
        (void)fd; (void)offset; (void)n_bytes;
        return 0;
    }
    #endif
    """
    int raudo_start_writing(int fd, long long offset, long long n_bytes) nogil


def start_writing(int fd, long long offset, long long n_bytes):
    """Ask for a range of a file to be written to the disk now, and do not wait for it.

    A later fsync, which alone makes it safe, then has less to wait for. Errors are left to that one;
    where the system has no such call, nothing is done.
    """
    with nogil:
        raudo_start_writing(fd, offset, n_bytes)
