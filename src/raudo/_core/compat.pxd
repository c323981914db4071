"""The stand-in caches as the memoising decorators use them."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

# A place in a ring of nodes; the root of a ring has no node.
ctypedef struct Link:
    Link *prev
    Link *next
    PyObject *node  # borrowed

# The nodes of one use count, used longest ago first. Groups form a ring too, in ascending order.
ctypedef struct Group:
    Link nodes
    uint64_t n_uses
    Group *below
    Group *above


@cython.no_gc  # never leaves its cache, which walks what it refers to: see `traverse`
cdef class Node:
    cdef object key, value
    cdef object size  # None where the cache has no sizes
    cdef Link use  # in the order of eviction
    cdef Group *group  # LFU
    cdef Py_ssize_t rank  # RR: its index in `Plain.nodes`
    cdef bint is_live  # in the dict and in the order


@cython.no_gc
cdef class TimedNode(Node):
    cdef Link age  # TTL: in the order in which they were set
    cdef double at  # when it expires, on the system's clock
    cdef tuple ticket  # TLRU: what stands for it in `Plain.heap`, expiring no later than it
    cdef object expires  # the same on any other timer; None where `at` says it


cdef class Timer:
    cdef object source, now
    cdef Py_ssize_t depth
    cdef bint is_clock
    cdef bint ticks(self) noexcept
    cdef object read(self)
    cdef object freeze(self)


cdef class Plain:
    cdef dict data  # key -> Node, in the order of insertion
    cdef Link uses, ages
    cdef Group groups  # LFU: root of the ring of groups
    cdef list nodes, keys  # RR: in step with each other; `keys` is what `choice` sees
    cdef list heap  # TLRU: tickets (expires, serial number, key), stale where the node has another
    cdef Py_ssize_t n_serials
    cdef int kind
    cdef bint is_sized
    cdef Py_ssize_t limit  # entries that fit where values have no sizes
    cdef object bound, total  # maxsize, and the sum of the sizes
    cdef object setting  # RR: choice; TTL: ttl; TLRU: ttu
    cdef double ttl_seconds  # TTL: the same as a float, NaN where it is no plain number
    cdef Timer clock
    cdef unsigned int hooks_of_class  # bits of what the class overrides, as of this version of it
    cdef unsigned int seen_version
    cdef dict __dict__
    cdef object __weakref__

    @cython.final
    cdef int configure(self, object maxsize, bint is_sized, object setting) except -1
    @cython.final
    cdef unsigned int class_hooks(self) except? 0xFFFFFFFF
    @cython.final
    cdef unsigned int hooks(self) except? 0xFFFFFFFF
    @cython.final
    cdef int look_for_hooks(self) except -1
    @cython.final
    cdef bint is_plain_mapping(self) except -1
    @cython.final
    cdef Node find(self, PyObject *key)
    @cython.final
    cdef PyObject *fetch(self, PyObject *key) except? NULL
    @cython.final
    cdef bint use(self, Node node) except -1
    @cython.final
    cdef int enter(self, Node node) except -1
    @cython.final
    cdef int touch(self, Node node) except -1
    @cython.final
    cdef int unlink(self, Node node) except -1
    @cython.final
    cdef Node take(self, object key)
    @cython.final
    cdef int add_size(self, object growth) except -1
    @cython.final
    cdef Node first_out(self)
    @cython.final
    cdef Node chosen(self)
    @cython.final
    cdef tuple pop_first(self)
    @cython.final
    cdef int evict(self) except -1
    @cython.final
    cdef Node store(self, object key, object value, bint touches)
    @cython.final
    cdef object make_room(self, object key, object value)
    @cython.final
    cdef Node put(self, object key, object value)
    @cython.final
    cdef int empty(self) except -1
    @cython.final
    cdef object with_entries(self, object state)
    @cython.final
    cdef tuple snapshot(self)
    @cython.final
    cdef int restore(self, tuple state) except -1
    @cython.final
    cdef object frozen(self)
    @cython.final
    cdef bint is_past(self, Node node) except -1
    @cython.final
    cdef int set_expiry(self, TimedNode node, object expires) except -1
    @cython.final
    cdef int renew(self, TimedNode node) noexcept
    @cython.final
    cdef Node put_timed(self, object key, object value)
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
