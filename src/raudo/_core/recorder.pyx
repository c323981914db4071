# cython: binding=False
"""`Recorder`: writes which keys a cache was asked for, as keyed hashes or as they are, for `raudo cache
replay`.

Recording never raises into the lookup that is recorded, and makes no other thread wait: one block
fills while another is written, with the GIL released. What comes while both are full is lost, and
counted. The secret of the hashes is drawn anew for each recording and kept nowhere.
"""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, strerror

import atexit
import os
import warnings
import weakref

cdef extern from "system.h" nogil:
    int raudo_close(int file)
    long raudo_process()
    void raudo_doze()

MAGIC = b"RAUDOKY1"
TEXT_MAGIC = b"# raudo keys 1\n"
LIMIT_BYTES = 1 << 30

cdef object _open = weakref.WeakSet()


@cython.final
cdef class Recorder:
    """Recorder(path, *, keys=False)
--

    Records lookups in a new file at `path`, 8 bytes each, in blocks of 4,096.

    With `keys` a lookup is a line, the key's `repr`, and a block is 32 KB. A key whose `repr` fails or is
    longer than that is lost.

    What is in the last block is written by `flush`, by `close`, when the cache goes and when the
    interpreter ends; a process that is killed loses it. Before 1 GiB is full the recording ends. A write that fails
    ends it too: `error` says why, and a RuntimeWarning is given, once. A forked child does not record.

    Raises OSError where the file cannot be made, and FileExistsError where something else than an older
    recording is there: that is replaced, and ends where this process still writes it. One process
    records at a path. Thread-safe.
    """

    def __cinit__(self, path, *, keys=False):
        self.file = -1
        self.path = os.path.abspath(os.fsdecode(path))
        secret = os.urandom(16)
        memcpy(self.secret, <const char *>secret, 16)
        self.filling = <raudo_block *>malloc(sizeof(raudo_block))
        self.spare = <raudo_block *>malloc(sizeof(raudo_block))
        if self.filling == NULL or self.spare == NULL:
            raise MemoryError
        self.filling.n_keys = self.spare.n_keys = 0
        self.filling.n_text = self.spare.n_text = 0
        self.has_keys = keys
        self.owner = raudo_process()
        magic = TEXT_MAGIC if keys else MAGIC
        self.room_bytes = LIMIT_BYTES - len(magic)
        self.file = make_file(self.path, magic)
        for other in list(_open):
            if other.path == self.path:  # what it holds back would be written into the new recording
                (<Recorder>other).wait()
                (<Recorder>other).stop()
        _open.add(self)

    def __dealloc__(self):
        if self.file >= 0:
            self.write_out()
            self.stop()
        free(self.filling)
        free(self.spare)

    cdef void note(self, PyObject *key, uint32_t hash) noexcept:
        cdef raudo_block *block
        if self.file < 0:
            return
        if self.has_keys:
            self.note_text(key)
            return
        if self.filling.n_keys == BLOCK_KEYS:  # filled while the other was written
            self.write_out()
            if self.filling.n_keys == BLOCK_KEYS or self.file < 0:
                self.n_lost += 1
                return
        block = self.filling
        block.keys[block.n_keys] = raudo_siphash(self.secret, hash)
        block.n_keys += 1
        self.n_recorded += 1
        if block.n_keys == BLOCK_KEYS:
            self.write_out()

    cdef void note_text(self, PyObject *key) noexcept:
        cdef bytes line
        cdef Py_ssize_t size
        try:
            line = repr(<object>key).replace("\n", "\\n").encode("utf-8", "backslashreplace") + b"\n"
        except Exception:  # the user's `__repr__`
            self.n_lost += 1
            return
        size = len(line)
        if self.filling.n_text + size > TEXT_BYTES:
            self.write_out()
        if self.file < 0 or self.filling.n_text + size > TEXT_BYTES:
            self.n_lost += 1
            return
        memcpy(<char *>self.filling.keys + self.filling.n_text, <const char *>line, size)
        self.filling.n_text += size
        self.filling.n_keys += 1
        self.n_recorded += 1

    cdef void write_out(self) noexcept:
        """Write what is there, unless another thread is writing."""
        cdef raudo_block *block = self.filling
        cdef int file = self.file, number = 0
        if file < 0 or block.n_keys == 0:
            return
        if self.owner != raudo_process():
            self.stop()  # after a fork: the file is the parent's
            return
        if self.is_writing:
            return
        self.filling = self.spare
        self.spare = block
        self.is_writing = True
        with nogil:
            number = raudo_block_write(file, block)
        self.is_writing = False
        self.room_bytes -= <int64_t>raudo_block_size(block)
        if number:
            self.error_number = number
            self.n_lost += block.n_keys
            self.n_recorded -= block.n_keys
        block.n_keys = block.n_text = 0
        if number or self.room_bytes < BLOCK_HEADER + 8 * BLOCK_KEYS:
            self.stop()
        if number:
            warn(self)

    cdef void wait(self) noexcept:
        """Until no thread is writing. After a fork there is none: the one that wrote is the parent's."""
        if self.owner != raudo_process():
            self.is_writing = False
        while self.is_writing:
            with nogil:
                raudo_doze()

    cdef void stop(self) noexcept:
        if self.file >= 0:
            raudo_close(self.file)
        self.file = -1
        self.n_lost += self.filling.n_keys
        self.n_recorded -= self.filling.n_keys
        self.filling.n_keys = self.filling.n_text = 0

    @property
    def error(self):
        """What ended the recording before its time, None where nothing did."""
        return strerror(self.error_number).decode() if self.error_number else None

    @property
    def is_recording(self):
        return self.file >= 0

    def flush(self):
        """Hand what is buffered to the system."""
        self.wait()
        self.write_out()

    def close(self):
        """Write what is buffered and end the recording; later lookups are not recorded."""
        self.flush()
        self.wait()
        self.stop()

    def __repr__(self):
        state = self.error or ("recording" if self.file >= 0 else "closed")
        return f"<Recorder {self.path!r}: {self.n_recorded} lookups, {state}>"

    def __reduce__(self):
        raise TypeError("a Recorder cannot be pickled: it has an open file of this process")


cdef int make_file(str path, bytes magic) except -1:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    cdef int file = os.open(path, flags, 0o600)
    try:
        start = os.pread(file, len(TEXT_MAGIC), 0)
        if start and not start.startswith(MAGIC) and start != TEXT_MAGIC:
            raise FileExistsError(
                f"record: wanted a new file or an older recording, {path!r} is something else"
            )
        os.ftruncate(file, 0)
        os.write(file, magic)
    except BaseException:
        os.close(file)
        raise
    return file


cdef void warn(Recorder recorder) noexcept:
    # A filter may make an error of it; that is printed, not raised, as everywhere in a `noexcept`.
    warnings.warn(
        f"recording of lookups ended, {recorder.path}: {recorder.error}", RuntimeWarning, stacklevel=2
    )


def _flush_all():
    for recorder in list(_open):
        recorder.flush()


atexit.register(_flush_all)
