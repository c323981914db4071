# cython: binding=False
"""The caches behind `raudo.compat.cachetools`: a dict of nodes, and the nodes in order of eviction.

A dict, and not the table of `Cache`, because these are iterated in the order of insertion, like a
dict, and evict in another. `Plain` is cachetools' `Cache`; `Ordered` adds the order of FIFO, LRU, LFU
or RR, and `Timed` (in `compat_timed`) the expiry of TTL and TLRU. All take their rule from the class
attribute `_raudo_kind`, so that the public classes can be ordinary Python classes: with attributes that
can be assigned, and with several of them as bases. `compat_copy` knows what copies and pickles hold.

Concurrency: with the GIL held, everything between two calls of user code is atomic. User code runs in
the search of the dict (`__hash__`, `__eq__`), in hooks, timers and sizes, and where a reference is
dropped (`__del__`). Invariant at all these points: a node is in the dict if and only if it is in the
order (`is_live`); so a thread or a hostile `__eq__` may change which entries there are, not more.

Ownership: the dict owns the nodes, which never leave these modules; the links are borrowed. Nodes take
no part in garbage collection: `traverse` walks them for their cache.
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject, traverseproc, visitproc

from raudo._core.compat_hooks cimport (
    CONTAINS, DELITEM, GETITEM, ITER, MISSING, ON_EVICT, ON_TIME, SETITEM, remember_own, static_attribute
)
from raudo._core.entry cimport (
    Py_DECREF, PyTuple_GET_ITEM, PyTuple_GET_SIZE, raudo_get_traverse, raudo_set_clear, raudo_set_get,
    raudo_set_key_error, raudo_set_subscript, raudo_set_traverse
)
from raudo._core.policy cimport report_unraisable

import math
import random
from types import GenericAlias

cdef extern from "Python.h":
    PyObject *PyDict_SetDefault(PyObject *, PyObject *, PyObject *) except NULL
    Py_ssize_t PyDict_GET_SIZE(PyObject *) noexcept
    bint PyDict_Next(PyObject *, Py_ssize_t *, PyObject **, PyObject **) noexcept
    int PySequence_SetItem(object, Py_ssize_t, object) except -1
    Py_ssize_t PY_SSIZE_T_MAX

cdef dict KINDS = {
    "any": ANY, "fifo": FIFO, "lru": LRU, "lfu": LFU, "rr": RR, "ttl": TTL, "tlru": TLRU
}
NOTHING = object()
cdef object RANDOM_CHOICE = random.choice
cdef object GETRANDBITS = random.getrandbits


@cython.no_gc
@cython.freelist(64)  # a full cache's every insert frees one node and makes one
cdef class Node:
    pass


cdef inline object owned(PyObject *item):
    """Take over a new reference."""
    result = <object>item
    Py_DECREF(item)
    return result


@cython.auto_pickle(False)
cdef class Plain(Hooked):
    """cachetools' `Cache`: bounded, evicts what was inserted longest ago."""

    _raudo_kind = "any"

    def __cinit__(self):
        # Until __init__ the bound is 0 and nothing can be stored.
        ring_reset(&self.uses)
        groups_reset(&self.groups)
        self.data = {}
        self.bound = self.total = 0
        self.kind = KINDS[type(self)._raudo_kind]
        if self.kind == RR:
            self.nodes, self.keys = [], []

    def __dealloc__(self):
        groups_drop(&self.groups)

    def __init__(self, maxsize, getsizeof=None):
        self._raudo_start(maxsize, getsizeof, None)

    def _raudo_start(self, maxsize, getsizeof, setting):
        if maxsize < 0:
            raise ValueError(f"maxsize must be non-negative, got {maxsize!r}")
        if getsizeof is not None:
            self.getsizeof = getsizeof
        self.empty()
        self.configure(maxsize, self.getsizeof is not Plain.getsizeof, setting)

    cdef int configure(self, object maxsize, bint is_sized, object setting) except -1:
        _held = (self.bound, self.setting)  # until the new ones are there
        self.bound = maxsize
        self.limit = math.floor(maxsize) if maxsize < PY_SSIZE_T_MAX else PY_SSIZE_T_MAX
        self.is_sized = is_sized
        self.setting = setting
        return 0

    cdef bint is_plain_mapping(self) except -1:
        """Whether nothing overrides what reading and setting an item calls."""
        return not self.hooks() & (GETITEM | SETITEM | MISSING)

    # --- entries ---

    cdef Node find(self, PyObject *key):
        cdef PyObject *node = dict_find(<PyObject *>self.data, key)
        return None if node == NULL else <Node>node

    cdef PyObject *fetch(self, PyObject *key) except? NULL:
        """Look up as `self[key]` does where `__getitem__` and `__missing__` are this module's own: a new
        reference, or NULL and no exception on a miss."""
        cdef PyObject *found = dict_find(<PyObject *>self.data, key)
        if found == NULL:
            return NULL
        if self.kind >= LRU:
            self.touch(<Node>found)
        return given((<Node>found).value)

    cdef Node new_node(self):
        return Node.__new__(Node)

    cdef Node add(self, object key, object value, object size):
        """Put a new entry into the dict and the order; None where the key's own code has set it just now."""
        cdef Node node = self.new_node()
        node.key = key
        node.value = value
        node.size = size
        node.use.node = <PyObject *>node
        if PyDict_SetDefault(
            <PyObject *>self.data, <PyObject *>key, <PyObject *>node
        ) != <PyObject *>node:
            return None
        try:
            self.enter(node)
        except BaseException:
            self.data.pop(key, None)
            raise
        return node

    cdef int enter(self, Node node) except -1:
        """Put a node that the dict has just got at the end of the order."""
        cdef Group *group
        if self.kind == LFU:
            group = group_above(&self.groups, &self.groups, 1)
            if group == NULL:
                raise MemoryError
            node.group = group
            ring_append(&group.nodes, &node.use)
        elif self.kind == RR:
            node.rank = len(self.nodes)
            self.nodes.append(node)
            self.keys.append(node.key)
        else:
            ring_append(&self.uses, &node.use)
        node.is_live = True
        return 0

    cdef int unlink(self, Node node) except -1:
        """Take a node that has just left the dict out of the order."""
        cdef Node last
        if not node.is_live:
            return 0
        node.is_live = False
        if self.kind == RR:
            last = self.nodes.pop()
            if last is not node:
                self.nodes[node.rank] = last
                last.rank = node.rank
            # Checked, unlike `nodes`: `choice` may have changed the list.
            self.keys.pop()
            if last is not node:
                PySequence_SetItem(self.keys, node.rank, last.key)
            return 0
        if self.kind == LFU:
            group_leave(node.group, &node.use)
            return 0
        ring_remove(&node.use)
        return self.unlink_age(node) if self.kind >= TTL else 0

    cdef int unlink_age(self, Node node) except -1:
        return 0

    cdef Node take(self, object key):
        """Remove the key and return its node; None where there is none."""
        found = self.data.pop(key, None)
        if found is None:
            return None
        cdef Node node = <Node>found
        self.unlink(node)
        if self.is_sized:
            self.add_size(-node.size)
        return node

    cdef int add_size(self, object growth) except -1:
        old = self.total  # held until the new one is there: dropping it may run its `__del__`
        self.total = old + growth
        return 0

    cdef Node first_out(self):
        """The node to be evicted next; KeyError when empty."""
        cdef Link *link = self.uses.next
        if PyDict_GET_SIZE(<PyObject *>self.data) == 0:
            raise KeyError(f"{type(self).__name__} is empty") from None
        if self.kind == LFU:
            link = self.groups.above.nodes.next
        elif self.kind == RR:
            return self.chosen()
        return <Node>link.node

    cdef Node chosen(self):
        cdef Py_ssize_t n = len(self.nodes), place = n
        cdef Node node
        if self.setting is RANDOM_CHOICE:
            # What random.choice does with the same random bits, but for its Python frames.
            n_bits = n.bit_length()
            while place >= n:
                place = GETRANDBITS(n_bits)
            if place < len(self.nodes):
                return <Node>self.nodes[place]
        key = self.setting(self.keys)
        node = self.find(<PyObject *>key)
        if node is None:
            raise KeyError(key)
        return node

    cdef int evict(self) except -1:
        cdef unsigned int hooks = self.hooks()
        if self.kind == ANY:
            hooks &= ON_EVICT | ITER | GETITEM
        else:
            hooks &= ON_EVICT | (ON_TIME if self.kind >= TTL else 0)
        if hooks:
            self.popitem()
            return 0
        key = self.first_out().key
        if self.take(key) is None:
            raise KeyError(key)
        return 0

    cdef Node store(self, object key, object value, bint touches):
        """Set without regard to expiry; of an entry that is there count a use where `touches`."""
        cdef Node node
        size = None
        if self.is_sized:
            size = self.make_room(key, value)
            node = self.find(<PyObject *>key)
        else:
            if self.limit < 1:
                raise ValueError("value too large")
            node = self.find(<PyObject *>key)
            if node is None:
                while PyDict_GET_SIZE(<PyObject *>self.data) >= self.limit:
                    self.evict()
        while node is None:
            node = self.add(key, value, size)
            if node is not None:
                if self.is_sized:
                    self.add_size(size)
                return node
            node = self.find(<PyObject *>key)
        _old, old_size = node.value, node.size  # held until the node is consistent again
        node.value = value
        if self.is_sized:
            node.size = size
            self.add_size(size - old_size)
        if touches and node.is_live:
            if self.kind == FIFO:
                ring_move_to_end(&self.uses, &node.use)
            else:
                self.touch(node)
        return node

    cdef object make_room(self, object key, object value):
        """Evict until the value fits, and return its size."""
        size = self.getsizeof(value)
        if size > self.bound:
            raise ValueError("value too large")
        if size < 0:
            raise ValueError(f"value size must be non-negative, got {size!r}")
        cdef Node node = self.find(<PyObject *>key)
        while self.total + (
            size if node is None or not node.is_live else size - node.size
        ) > self.bound:
            self.evict()
        return size

    cdef Node put(self, object key, object value):
        """Set as `self[key] = value` does where `__setitem__` is this module's own."""
        return self.store(key, value, True)

    cdef int empty(self) except -1:
        """Drop all entries; the cache is empty before the first object is dropped."""
        cdef PyObject *key
        cdef PyObject *node
        cdef Py_ssize_t place = 0
        cdef list nodes = [], tickets = []
        cdef list _keys = None if self.keys is None else list(self.keys)
        # What was there is held in these names until the end. From here to `data.clear` nothing is
        # made or dropped, so that nobody sees a half.
        _nodes, _total = self.nodes, self.total
        while PyDict_Next(<PyObject *>self.data, &place, &key, &node):
            (<Node>node).is_live = False
        groups_drop(&self.groups)
        ring_reset(&self.uses)
        self.total = 0
        if self.kind == RR:
            self.nodes = nodes
            self.keys.clear()  # the same list: a `choice` may have kept it
        _tickets = self.forget_ages(tickets)
        self.data.clear()
        return 0

    cdef list forget_ages(self, list tickets):
        """Take the empty list for the tickets, and return the one so far."""
        return None

    # --- the mapping ---

    def __getitem__(self, key):
        """Return the value; a use, where the cache counts them."""  # see `subscript`
        return self[key]

    def __setitem__(self, key, value):
        self.store(key, value, False)

    def __delitem__(self, key):
        if self.take(key) is None:
            raise KeyError(key)

    def __contains__(self, key):
        return dict_find(<PyObject *>self.data, <PyObject *>key) != NULL

    def __missing__(self, key):
        """Answer a look-up of an absent key; raises KeyError unless overridden."""
        raise KeyError(key)

    def __iter__(self):
        return iter(self.data)

    def __len__(self):
        return PyDict_GET_SIZE(<PyObject *>self.data)

    def __repr__(self):
        items = {key: (<Node>node).value for key, node in self.data.items()}
        return (
            f"{type(self).__name__}({items!r}, maxsize={self.bound!r}, "
            f"currsize={(self.total if self.is_sized else len(self.data))!r})"
        )

    def pop(self, key, default=NOTHING):
        """Remove the key and return its value; the default, or KeyError, where it is absent."""
        cdef Node node
        if self.kind < TTL and not self.hooks() & (GETITEM | CONTAINS | DELITEM):
            node = self.take(key)
            if node is not None:
                return node.value
        elif key in self:
            value = self[key]
            del self[key]
            return value
        if default is NOTHING:
            raise KeyError(key)
        return default

    def setdefault(self, key, default=None):
        """Return the value; where the key is absent set it to the default first."""
        cdef PyObject *value
        if self.kind < TTL and not self.hooks() & (GETITEM | CONTAINS | SETITEM):
            value = self.fetch(<PyObject *>key)
            if value != NULL:
                return owned(value)
            self.put(key, default)
        elif key in self:
            return self[key]
        else:
            self[key] = default
        return default

    def popitem(self):
        """Remove and return the item inserted longest ago; KeyError when empty."""
        if self.kind != ANY or not self.hooks() & (ITER | GETITEM | DELITEM):
            return self.pop_first()
        for key in self:
            value = self[key]
            del self[key]
            return key, value
        raise KeyError(f"{type(self).__name__} is empty") from None

    cdef tuple pop_first(self):
        cdef Node node = self.first_out()
        item = (node.key, node.value)
        if self.hooks() & DELITEM:
            del self[node.key]
        elif self.take(node.key) is None:
            raise KeyError(node.key)
        return item

    def clear(self):
        """Remove all items."""
        self.empty()

    @property
    def _raudo_setting(self):
        return self.setting

    @classmethod
    def __class_getitem__(cls, item):
        return GenericAlias(cls, item)

    @property
    def maxsize(self):
        """Bound on the sum of the sizes."""
        return self.bound

    @property
    def currsize(self):
        """Sum of the sizes."""
        return self.total if self.is_sized else PyDict_GET_SIZE(<PyObject *>self.data)

    @staticmethod
    def getsizeof(value):
        """Return the size of a value: 1 unless overridden."""
        return 1


@cython.auto_pickle(False)
cdef class Ordered(Plain):
    """cachetools' `FIFOCache`, `LFUCache`, `LRUCache` and `RRCache`."""

    _raudo_kind = "lru"

    def __getitem__(self, key):
        """Return the value; a use, where the cache counts them."""  # see `subscript`
        return self[key]

    def __setitem__(self, key, value):
        self.store(key, value, True)

    def __delitem__(self, key):
        if self.take(key) is None:
            raise KeyError(key)

    def popitem(self):
        """Remove and return the item that would be evicted next; KeyError when empty."""
        return self.pop_first()


# --- entry points by hand ---
# Cython's argument handling costs 12-16 ns, a third of a hit, and its tracebacks 300 ns a KeyError.

cdef PyObject *subscript(PyObject *self, PyObject *key) except NULL:
    """`Plain.__getitem__` and `Ordered.__getitem__`."""
    cdef PyObject *found = dict_find(<PyObject *>(<Plain>self).data, key)
    if found == NULL:
        if (<Plain>self).hooks() & MISSING:
            return call_missing(<Plain>self, key)
        raudo_set_key_error(key)
        return NULL
    if (<Plain>self).kind >= LRU:
        (<Plain>self).touch(<Node>found)
    return given((<Node>found).value)


cdef PyObject *call_missing(Plain cache, PyObject *key) except NULL:
    cdef Node node
    result = cache.__missing__(<object>key)
    if cache.kind == LRU or cache.kind == LFU:
        node = cache.find(key)
        if node is not None:  # it has stored the key: that was a use too
            cache.touch(node)
    return given(result)


cdef PyObject *get(
    PyObject *self, PyObject **args, Py_ssize_t n_args, PyObject *names
) except NULL:
    cdef Plain cache = <Plain>self
    cdef PyObject *found
    if names != NULL or n_args < 1 or n_args > 2:
        return get_by_name(cache, args, n_args, names)
    if cache.class_hooks() & (GETITEM | CONTAINS):
        key = <object>args[0]
        if key in cache:
            return given(cache[key])
    else:
        found = dict_find(<PyObject *>cache.data, args[0])
        if found != NULL:
            if cache.kind >= LRU:
                cache.touch(<Node>found)
            return given((<Node>found).value)
    return given(<object>args[1] if n_args == 2 else None)


cdef PyObject *get_by_name(
    Plain cache, PyObject **args, Py_ssize_t n_args, PyObject *names
) except NULL:
    cdef Py_ssize_t i, n_names = PyTuple_GET_SIZE(names) if names != NULL else 0
    positional = [<object>args[i] for i in range(n_args)]
    named = {<object>PyTuple_GET_ITEM(names, i): <object>args[n_args + i] for i in range(n_names)}
    return given(cache.get(*_key_and_default(*positional, **named)))


def _key_and_default(key, default=None):
    return key, default


cdef int install(type kind, void *of_subscript) except -1:
    """Give a class its `__getitem__`, and remember what its methods are."""
    raudo_set_subscript(<PyTypeObject *>kind, static_attribute(kind, "__getitem__"), of_subscript)
    remember_own(kind)
    return 0


raudo_set_get(<PyTypeObject *>Plain, <void *>get)
install(Plain, <void *>subscript)
install(Ordered, <void *>subscript)


# --- what the garbage collector needs to know of the nodes ---

cdef traverseproc traverse_members = raudo_get_traverse(<PyTypeObject *>Plain)


cdef int traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    cdef PyObject *key
    cdef PyObject *found
    cdef Py_ssize_t place = 0
    cdef int stop = traverse_members(self, visit, arg)
    cdef PyObject *data = <PyObject *>(<Plain>self).data
    while stop == 0 and PyDict_Next(data, &place, &key, &found):
        stop = visit_node(<Node>found, visit, arg)
    return stop


cdef int visit_node(Node node, visitproc visit, void *arg) noexcept:
    cdef int stop = visit(<PyObject *>node.key, arg)
    if stop == 0:
        stop = visit(<PyObject *>node.value, arg)
    if stop == 0:
        stop = visit(<PyObject *>node.size, arg)
    return stop


cdef int clear_all(PyObject *self) noexcept:
    """Break cycles, and leave a cache that is empty, stays so, and is safe to call."""
    cdef Plain cache = <Plain>self
    cache.limit = 0
    cache.bound = 0
    cache.setting = None
    try:
        (<object>cache).__dict__.clear()
        cache.empty()
    except BaseException as error:
        report_unraisable(error, None)
    return 0


cdef int collect_by(type kind, void *of_traverse) except -1:
    """Give a class its part in garbage collection."""
    raudo_set_traverse(<PyTypeObject *>kind, of_traverse)
    raudo_set_clear(<PyTypeObject *>kind, <void *>clear_all)
    return 0


collect_by(Plain, <void *>traverse)
collect_by(Ordered, <void *>traverse)
