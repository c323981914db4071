# cython: binding=False
"""Reuses the memory of large arrays and bytearrays, by size class.

A fresh array of a few megabytes costs page faults each time: the kernel maps and zeroes its pages.
A pool keeps the pages. The contents of a borrowed buffer are arbitrary, as with `numpy.empty`.

No buffer is lent while anything still refers to it. A view that outlives its `with` block (the
block's own variable, most often) stays valid: its buffer is set aside until the last reference is
gone. Whether it is, its reference count tells, so there is nothing to release by hand.

Size classes are four to a doubling, as in jemalloc: at most a fifth of a buffer is unused. What lies
together is a shelf: one kind of buffer, of one class. The GIL makes each step atomic; there is no lock,
and so nothing that shelves for each thread could save.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport uint64_t
from libc.string cimport memset

import operator

cdef extern from "pool/pages.h":
    void *raudo_pages_new(size_t size) noexcept
    int raudo_bits(uint64_t n) noexcept
    void raudo_pages_free(void *block, size_t size) noexcept

cdef extern from "Python.h":
    ctypedef struct PyObject
    ctypedef struct PyByteArrayObject:
        Py_ssize_t ob_alloc
    Py_ssize_t Py_REFCNT(PyObject *)
    Py_ssize_t PyList_GET_SIZE(object)
    PyObject *PyList_GET_ITEM(object, Py_ssize_t)
    int PyByteArray_Resize(object, Py_ssize_t) except -1
    char *PyByteArray_AS_STRING(object)
    int PyLong_CheckExact(object)

cdef Py_ssize_t SMALLEST_CLASS = 64
cdef Py_ssize_t MOST_PLANS = 256  # shapes that are remembered; others are worked out anew


cdef Py_ssize_t class_above(Py_ssize_t n_bytes) noexcept:
    """The size that holds `n_bytes` with the least waste, of four to a doubling."""
    cdef Py_ssize_t step
    if n_bytes <= SMALLEST_CLASS:
        return SMALLEST_CLASS if n_bytes else 0
    step = (<Py_ssize_t>1) << (raudo_bits(<uint64_t>n_bytes - 1) - 3)
    return (n_bytes + step - 1) // step * step


cdef Py_ssize_t class_below(Py_ssize_t room) noexcept:
    """The largest class that a buffer of this room serves."""
    cdef Py_ssize_t step
    if room < SMALLEST_CLASS:
        return 0
    step = (<Py_ssize_t>1) << (raudo_bits(<uint64_t>room) - 3)
    return room // step * step


cdef object ON_NEW = None


def register_listener(listener):
    """Call this with every pool that is made."""
    global ON_NEW
    ON_NEW = listener


def size_class(n_bytes):
    """Return the size that holds `n_bytes` with the least waste, of four to a doubling."""
    return class_above(n_bytes)


@cython.final
cdef class Block:
    """Memory of an array. All views of the array, and views of those, refer to it."""

    cdef void *start
    cdef Py_ssize_t size

    def __cinit__(self, Py_ssize_t size):
        self.start = raudo_pages_new(<size_t>size)
        if self.start == NULL:
            raise MemoryError(f"no memory for a buffer of {size} bytes")
        self.size = size

    def __dealloc__(self):
        raudo_pages_free(self.start, <size_t>self.size)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.start, self.size, False, flags)

    def __sizeof__(self):
        """Bytes of the block, the memory it owns included."""
        return object.__sizeof__(self) + self.size


@cython.final
cdef class Shelf:
    cdef list idle
    cdef Py_ssize_t size
    cdef bint is_of_arrays
    cdef uint64_t used  # when something last came back, by the pool's own count


@cython.final
cdef class Plan:
    """What a shape and a dtype come to."""

    cdef Shelf shelf
    cdef Py_ssize_t n_bytes
    cdef tuple sides
    cdef object dtype


cdef class BufferPool:
    """Lends NumPy arrays and bytearrays, and keeps up to `max_bytes` of them for the next.

    Args:
        max_bytes: Bound on the memory of idle buffers; those least recently used go first. A
            buffer larger than this is never kept.
        name: For messages and metrics.

    >>> buffers = BufferPool(max_bytes=1 << 20)
    >>> with buffers.borrow((100, 8), "float32") as a:
    ...     a.shape, a.dtype.name, a.flags.c_contiguous
    ((100, 8), 'float32', True)
    >>> with buffers.borrow_bytes(1000) as b:
    ...     len(b)
    1000

    Thread-safe. A block costs half a microsecond, so that it pays from some tens of kilobytes on
    (`raudo bench memory` prints where). Arrays from 4 MB on ask the kernel for huge pages.
    """

    cdef readonly object name
    cdef Py_ssize_t limit
    cdef Py_ssize_t held
    cdef dict shelves  # 2 * size class + 1 for arrays -> Shelf
    cdef Shelf latest  # the one asked for last
    cdef dict plans
    cdef uint64_t n_returns
    cdef Py_ssize_t n_created, n_reused, n_discarded, n_in_use
    cdef object __weakref__

    def __init__(self, max_bytes=256 << 20, *, name=None):
        if not isinstance(max_bytes, int) or isinstance(max_bytes, bool):
            raise TypeError(f"max_bytes is {max_bytes!r}, wanted a whole number")
        if max_bytes < 0:
            raise ValueError(f"max_bytes is {max_bytes}, wanted a number >= 0")
        self.name = name
        self.limit = min(max_bytes, 2**62)
        self.shelves = {}
        self.plans = {}
        if ON_NEW is not None:
            ON_NEW(self)

    @property
    def max_bytes(self):
        """Bound on the memory of idle buffers."""
        return self.limit

    def borrow(self, shape, dtype="float64", *, zeroed=False):
        """Lend an array for a `with` block: C order, 64-byte aligned, contents arbitrary.

        With `zeroed` it is filled with zeros, for those who must not see what was there before.
        """
        cdef Plan plan = None
        cdef Lease lease
        key = None
        if is_simple(shape) and type(dtype) is str:
            key = shape, dtype
            plan = self.plans.get(key)
        if plan is None:
            plan = make_plan(self, shape, dtype)
            if key is not None and len(self.plans) < MOST_PLANS:
                self.plans[key] = plan
        lease = Lease.__new__(Lease)
        lease.pool = self
        lease.plan = plan
        lease.shelf = plan.shelf
        lease.size = plan.n_bytes
        lease.is_zeroed = zeroed
        return lease

    def borrow_bytes(self, size, *, zeroed=False):
        """Lend a bytearray of `size` bytes for a `with` block, contents arbitrary.

        It may be resized inside; a `memoryview` of it must be released before the block's end, or
        the buffer waits until it is.
        """
        cdef Lease lease
        if not PyLong_CheckExact(size):
            if not isinstance(size, int) or isinstance(size, bool):
                raise TypeError(f"size is {size!r}, wanted a whole number")
        lease = Lease.__new__(Lease)
        lease.pool = self
        lease.size = size
        if lease.size < 0:
            raise ValueError(f"size is {size}, wanted a number >= 0")
        lease.shelf = shelf_of(self, class_above(lease.size), False)
        lease.is_zeroed = zeroed
        return lease

    def trim(self, keep_bytes=0):
        """Drop idle buffers, least recently used first, to `keep_bytes`; return what went."""
        cdef Py_ssize_t before = self.held
        if keep_bytes < 0:
            raise ValueError(f"keep_bytes is {keep_bytes}, wanted a number >= 0")
        drop_to(self, keep_bytes)
        return before - self.held

    def shrink(self, keep):
        """Drop idle buffers until the share `keep` of their bytes is left; return the bytes that went.

        Memory that is short calls this, see `raudo.events.MemoryShort`.
        """
        return self.trim(int(self.held * keep))

    def stats(self):
        """Return the counts; `held_bytes` is the memory of the idle buffers."""
        cdef Py_ssize_t n_borrowed = self.n_created + self.n_reused
        return {
            "created": self.n_created,
            "reused": self.n_reused,
            "discarded": self.n_discarded,
            "in_use": self.n_in_use,
            "idle": sum([len((<Shelf>shelf).idle) for shelf in list(self.shelves.values())]),
            "held_bytes": self.held,
            "max_bytes": self.limit,
            "hit_rate": self.n_reused / <double>n_borrowed if n_borrowed else 0.0,
        }

    def __repr__(self):
        named = f" {self.name!r}" if self.name is not None else ""
        return f"<BufferPool{named}: {self.n_in_use} in use, {self.held} bytes idle>"

    def __reduce__(self):
        raise TypeError("a BufferPool cannot be copied or pickled: what it lent is its own")


@cython.final
@cython.freelist(8)
cdef class Lease:
    """A buffer for the length of a `with` block. One block at a time."""

    cdef BufferPool pool
    cdef Shelf shelf
    cdef Plan plan  # None for bytes
    cdef Py_ssize_t size
    cdef bint is_zeroed
    cdef object buffer

    def __init__(self):
        raise TypeError("a lease is made by BufferPool.borrow")

    def __enter__(self):
        """Take an idle buffer of the class, or make one."""
        if self.buffer is not None:
            raise RuntimeError("this lease is in use; call borrow() once for each with block")
        buffer = take(self.pool, self.shelf)
        self.buffer = buffer
        if self.plan is None:
            try:
                PyByteArray_Resize(buffer, self.size)
            except BaseException:
                self.buffer = None
                give_back(self.pool, self.shelf, buffer)
                raise
            if self.is_zeroed:
                memset(PyByteArray_AS_STRING(buffer), 0, <size_t>self.size)
            return buffer
        if self.is_zeroed:
            memset((<Block>buffer).start, 0, <size_t>self.size)
        return NDARRAY(self.plan.sides, self.plan.dtype, buffer)

    def __exit__(self, kind, error, trace, /):
        """Give the buffer back; it is lent again once nothing refers to it."""
        cdef Shelf shelf = self.shelf
        buffer = self.buffer
        if buffer is None:
            raise RuntimeError("this lease is not in use; its buffer is back already")
        self.buffer = None
        if self.plan is None:  # its borrower may have resized it
            shelf = shelf_of(self.pool, class_below((<PyByteArrayObject *>buffer).ob_alloc - 1), False)
        give_back(self.pool, shelf, buffer)

    def __reduce__(self):
        raise TypeError("a lease cannot be copied or pickled")


cdef object NUMPY = None
cdef object NDARRAY = None


cdef int load_numpy() except -1:
    """Import numpy when the first array is borrowed."""
    global NUMPY, NDARRAY
    if NUMPY is None:
        import numpy

        NDARRAY = numpy.ndarray
        NUMPY = numpy
    return 0


cdef bint is_simple(shape):
    """Whether equal shapes are the same: 1.0 and True are equal to 1, and no shapes."""
    if PyLong_CheckExact(shape):
        return True
    if type(shape) is not tuple:
        return False
    for side in <tuple>shape:
        if not PyLong_CheckExact(side):
            return False
    return True


cdef Plan make_plan(BufferPool pool, shape, dtype):
    cdef Plan plan = Plan.__new__(Plan)
    load_numpy()
    try:
        kind = NUMPY.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype is {dtype!r}, wanted one that NumPy knows") from None
    if kind.hasobject:
        raise TypeError(f"dtype is {kind}, wanted one without Python objects")
    try:
        sides = tuple(map(operator.index, shape if isinstance(shape, (tuple, list)) else (shape,)))
    except TypeError:
        raise TypeError(f"shape is {shape!r}, wanted a whole number or a tuple of them") from None
    n_bytes = kind.itemsize
    for side in sides:
        if side < 0:
            raise ValueError(f"shape is {shape}, wanted no negative side")
        n_bytes *= side
    if n_bytes >= 2**62:
        raise MemoryError(f"shape is {shape}, more than any machine has room for")
    plan.n_bytes = n_bytes
    plan.sides = sides
    plan.dtype = kind
    plan.shelf = shelf_of(pool, class_above(n_bytes), True)
    return plan


cdef Shelf shelf_of(BufferPool pool, Py_ssize_t size, bint is_of_arrays):
    cdef Shelf shelf = pool.latest
    if shelf is not None and shelf.size == size and shelf.is_of_arrays == is_of_arrays:
        return shelf
    key = 2 * size + is_of_arrays
    shelf = pool.shelves.get(key)
    if shelf is None:
        shelf = Shelf.__new__(Shelf)
        shelf.idle = []
        shelf.size = size
        shelf.is_of_arrays = is_of_arrays
        shelf = pool.shelves.setdefault(key, shelf)  # making it may have run a finaliser that borrows
    pool.latest = shelf
    return shelf


cdef object take(BufferPool pool, Shelf shelf):
    """An idle buffer that nobody refers to, or a new one. O(idle ones of the class)."""
    cdef list idle = shelf.idle
    cdef Py_ssize_t at = PyList_GET_SIZE(idle)
    while at > 0:  # the last one first: it is warm
        at -= 1
        if Py_REFCNT(PyList_GET_ITEM(idle, at)) == 1:
            buffer = idle.pop(at)
            pool.held -= shelf.size
            pool.n_reused += 1
            pool.n_in_use += 1
            return buffer
    buffer = Block.__new__(Block, shelf.size) if shelf.is_of_arrays else bytearray(shelf.size)
    pool.n_created += 1
    pool.n_in_use += 1
    return buffer


cdef int give_back(BufferPool pool, Shelf shelf, buffer) except -1:
    pool.n_in_use -= 1
    if not 0 < shelf.size <= pool.limit:
        pool.n_discarded += 1
        return 0
    shelf.idle.append(buffer)
    pool.n_returns += 1
    shelf.used = pool.n_returns
    pool.held += shelf.size
    if pool.held > pool.limit:
        drop_to(pool, pool.limit)
    return 0


cdef int drop_to(BufferPool pool, Py_ssize_t keep_bytes) except -1:
    # Shelves that are empty stay: there are few, and the next buffer needs them again.
    cdef Shelf oldest
    while pool.held > keep_bytes:
        oldest = None
        for shelf in list(pool.shelves.values()):
            if (<Shelf>shelf).idle and (oldest is None or (<Shelf>shelf).used < oldest.used):
                oldest = shelf
        if oldest is None:
            break
        del oldest.idle[0]
        pool.held -= oldest.size
        pool.n_discarded += 1
    return 0
