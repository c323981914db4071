"""The stand-in caches that expire, as `compat_copy` sees them."""

cimport cython

from raudo._core.compat cimport Link, Node, Plain


@cython.no_gc
cdef class TimedNode(Node):
    cdef Link age  # TTL: in the order in which they were set
    cdef double at  # when it expires, on the system's clock
    cdef tuple ticket  # TLRU: what stands for it in `Timed.heap`, expiring no later than it
    cdef object expires  # the same as `at` on any other timer; None where `at` says it


cdef class Timer:
    cdef object source, now
    cdef Py_ssize_t depth
    cdef bint is_clock
    cdef bint ticks(self) noexcept
    cdef object read(self)
    cdef object freeze(self)


cdef class Timed(Plain):
    cdef Link ages
    cdef list heap  # TLRU: tickets (expires, serial number, key), stale where the node has another
    cdef Py_ssize_t n_serials
    cdef double ttl_seconds  # TTL: the same as a float, NaN where it is no plain number
    cdef Timer clock

    @cython.final
    cdef object frozen(self)
    @cython.final
    cdef bint is_past(self, Node node) except -1
    @cython.final
    cdef int set_expiry(self, TimedNode node, object expires) except -1
    @cython.final
    cdef int renew(self, TimedNode node) noexcept
    @cython.final
    cdef object call_expire(self, object time)
    @cython.final
    cdef int sweep(self) except -1
    @cython.final
    cdef int drop_ticked(self, double now) except -1
    @cython.final
    cdef list drop_expired(self, object time)
    @cython.final
    cdef TimedNode holder(self, tuple ticket)


cdef object expiry_of(TimedNode node)
