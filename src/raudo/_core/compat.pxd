"""The stand-in caches as the modules that extend, copy and call them see them."""

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uint64_t

from raudo._core.compat_hooks cimport Hooked
from raudo._core.entry cimport Py_INCREF

cdef extern from "table/ring.h":
    ctypedef struct Link "raudo_link":
        Link *prev
        Link *next
        void *node  # borrowed
    ctypedef struct Group "raudo_group":
        Link nodes
        uint64_t n_uses
        Group *below
        Group *above
    void ring_reset "raudo_ring_reset"(Link *root) noexcept
    void ring_append "raudo_ring_append"(Link *root, Link *link) noexcept
    void ring_remove "raudo_ring_remove"(Link *link) noexcept
    void ring_move_to_end "raudo_ring_move_to_end"(Link *root, Link *link) noexcept
    void groups_reset "raudo_groups_reset"(Group *root) noexcept
    void groups_drop "raudo_groups_drop"(Group *root) noexcept
    Group *group_above "raudo_group_above"(Group *below, Group *root, uint64_t n_uses) noexcept
    void group_leave "raudo_group_leave"(Group *group, Link *link) noexcept
    void group_move "raudo_group_move"(Group **of, Link *link, Group *to) noexcept
    int group_count "raudo_group_count"(Group **of, Link *link, Group *root) noexcept

cdef extern from "entry/dict.h":
    PyObject *dict_find "raudo_dict_find"(PyObject *data, PyObject *key) except? NULL

cdef enum:
    ANY  # kinds
    FIFO
    RR
    LRU  # from here on reading is a use
    LFU
    TTL  # from here on items expire
    TLRU


@cython.no_gc  # never leaves its cache, which walks what it refers to: see `traverse`
cdef class Node:
    cdef object key, value
    cdef object size  # None where the cache has no sizes
    cdef Link use  # in the order of eviction
    cdef Group *group  # LFU
    cdef Py_ssize_t rank  # RR: its index in `Plain.nodes`
    cdef bint is_live  # in the dict and in the order


cdef class Plain(Hooked):
    cdef dict data  # key -> Node, in the order of insertion
    cdef Link uses
    cdef Group groups  # LFU: root of the ring of groups
    cdef list nodes, keys  # RR: in step with each other; `keys` is what `choice` sees
    cdef int kind
    cdef bint is_sized
    cdef Py_ssize_t limit  # entries that fit where values have no sizes
    cdef object bound, total  # maxsize, and the sum of the sizes
    cdef object setting  # RR: choice; TTL: ttl; TLRU: ttu
    cdef dict __dict__
    cdef object __weakref__

    # What expiry adds to.
    cdef int configure(self, object maxsize, bint is_sized, object setting) except -1
    cdef Node new_node(self)
    cdef PyObject *fetch(self, PyObject *key) except? NULL
    cdef Node put(self, object key, object value)
    cdef int unlink_age(self, Node node) except -1
    cdef list forget_ages(self, list tickets)

    @cython.final
    cdef bint is_plain_mapping(self) except -1
    @cython.final
    cdef Node find(self, PyObject *key)
    @cython.final
    cdef Node add(self, object key, object value, object size)
    @cython.final
    cdef int enter(self, Node node) except -1
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
    cdef int empty(self) except -1

    @cython.final
    cdef inline int touch(self, Node node) except -1:
        """Count a use. The node may have left meanwhile."""
        if node.is_live and self.kind >= LRU:
            if self.kind == LFU:
                if group_count(&node.group, &node.use, &self.groups) < 0:
                    raise MemoryError
            else:
                ring_move_to_end(&self.uses, &node.use)
        return 0


cdef inline PyObject *given(object item) noexcept:
    """Hand out a new reference."""
    Py_INCREF(<PyObject *>item)
    return <PyObject *>item


cdef object NOTHING  # no default was given
cdef PyObject *call_missing(Plain cache, PyObject *key) except NULL
cdef PyObject *get_by_name(
    Plain cache, PyObject **args, Py_ssize_t n_args, PyObject *names
) except NULL
cdef int install(type kind, void *of_subscript) except -1
cdef int collect_by(type kind, void *of_traverse) except -1
