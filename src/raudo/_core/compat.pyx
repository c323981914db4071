# cython: binding=False
"""The caches behind `raudo.compat.cachetools`: a dict of nodes, and the nodes in order of eviction.

A dict, and not the table of `Cache`, because these are iterated in the order of insertion, like a
dict, and evict in another. `Plain` is cachetools' `Cache`; `Ordered` adds the order of FIFO, LRU, LFU
or RR, and `Timed` the expiry of TTL and TLRU. All three have one C layout and take their rule from the
class attribute `_raudo_kind`, so that the public classes can be ordinary Python classes: with
attributes that can be assigned, and with several of them as bases.

Subclass hooks: what a subclass or an instance has overridden is known from `hooks`; where it is
nothing that a step would call, the step is taken directly, else through the attribute.

Concurrency: with the GIL held, everything between two calls of user code is atomic. User code runs in
the search of the dict (`__hash__`, `__eq__`), in hooks, timers and sizes, and where a reference is
dropped (`__del__`). Invariant at all these points: a node is in the dict if and only if it is in the
order (`is_live`); so a thread or a hostile `__eq__` may change which entries there are, not more.

Ownership: the dict owns the nodes, which never leave this module; the links are borrowed. Nodes take
no part in garbage collection: `traverse` walks them for their cache.
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject, traverseproc, visitproc
from libc.math cimport NAN, isnan
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc

import copy
import heapq
import math
import random
import time as clock
from types import GenericAlias

cdef extern from "Python.h":
    void Py_INCREF(PyObject *) noexcept
    void Py_DECREF(PyObject *) noexcept
    PyObject *Py_None
    PyObject *PyDict_GetItemWithError(PyObject *, PyObject *) except? NULL
    PyObject *PyDict_SetDefault(PyObject *, PyObject *, PyObject *) except NULL
    Py_ssize_t PyDict_GET_SIZE(PyObject *) noexcept
    bint PyDict_Next(PyObject *, Py_ssize_t *, PyObject **, PyObject **) noexcept
    PyTypeObject *Py_TYPE(PyObject *) noexcept
    PyObject **_PyObject_GetDictPtr(PyObject *) noexcept
    void *PyCFunction_GetFunction(object) noexcept
    int PySequence_SetItem(object, Py_ssize_t, object) except -1
    Py_ssize_t PY_SSIZE_T_MAX
    int METH_FASTCALL, METH_KEYWORDS
    ctypedef struct PyMethodDef:
        const char *ml_name
        void *ml_meth
        int ml_flags
        const char *ml_doc
    object PyDescr_NewMethod(PyTypeObject *type, PyMethodDef *method)
    void PyType_Modified(PyTypeObject *type)
    PyObject *PyTuple_GET_ITEM(PyObject *, Py_ssize_t) noexcept
    Py_ssize_t PyTuple_GET_SIZE(PyObject *) noexcept

cdef extern from *:
    """
    #define raudo_type_version(type) ((type)->tp_version_tag)
    #define raudo_get_traverse(type) ((type)->tp_traverse)
    #define raudo_set_traverse(type, fn) ((type)->tp_traverse = (traverseproc)(fn))
    #define raudo_set_clear(type, fn) ((type)->tp_clear = (inquiry)(fn))

    static PyObject *raudo_wrap_subscript(PyTypeObject *type, PyObject *wrapper, void *entry) {
        type->tp_as_mapping->mp_subscript = (binaryfunc)entry;
        return PyDescr_NewWrapper(type, ((PyWrapperDescrObject *)wrapper)->d_base, entry);
    }

    /* raise KeyError(key); a tuple given to PyErr_SetObject would be taken for several arguments */
    static void raudo_set_key_error(PyObject *key) {
        PyObject *error = PyObject_CallOneArg(PyExc_KeyError, key);
        if (error == NULL) return;
        PyErr_SetObject(PyExc_KeyError, error);
        Py_DECREF(error);
    }

    #if PY_VERSION_HEX >= 0x030C0000
    #define raudo_type_dict(type) PyType_GetDict(type)
    #else
    #define raudo_type_dict(type) Py_NewRef((type)->tp_dict)
    #endif
    """
    unsigned int raudo_type_version(PyTypeObject *type) noexcept
    traverseproc raudo_get_traverse(PyTypeObject *type) noexcept
    void raudo_set_traverse(PyTypeObject *type, void *fn) noexcept
    void raudo_set_clear(PyTypeObject *type, void *fn) noexcept
    object raudo_type_dict(PyTypeObject *type)
    object raudo_wrap_subscript(PyTypeObject *type, object wrapper, void *entry)
    void raudo_set_key_error(PyObject *key) noexcept

from raudo._core.policy cimport report_unraisable

cdef extern from "entry/clock.h":
    int64_t raudo_now_ns() noexcept
    int64_t raudo_coarse_ns() noexcept
    int64_t RAUDO_COARSE_LAG_NS

cdef enum:
    ANY  # kinds
    FIFO
    RR
    LRU  # from here on reading is a use
    LFU
    TTL  # from here on items expire
    TLRU

cdef enum:
    GETITEM = 1  # hooks, as bits
    SETITEM = 2
    DELITEM = 4
    CONTAINS = 8
    ITER = 16
    MISSING = 32
    POPITEM = 64
    EXPIRE = 128
    TIMER = 256
    ON_EVICT = 4 + 64  # what evicting calls
    ON_TIME = 128 + 256  # what expiring calls

cdef dict KINDS = {
    "any": ANY, "fifo": FIFO, "lru": LRU, "lfu": LFU, "rr": RR, "ttl": TTL, "tlru": TLRU
}
cdef dict HOOKS = {
    "__getitem__": GETITEM, "__setitem__": SETITEM, "__delitem__": DELITEM,
    "__contains__": CONTAINS, "__iter__": ITER, "__missing__": MISSING, "popitem": POPITEM,
    "expire": EXPIRE, "timer": TIMER,
}
# Found on the instance too, because they are called as attributes.
cdef tuple OWN_HOOKS = ("popitem", "__missing__", "expire")

cdef object NOTHING = object()
cdef object STATE = "_raudo_state"
cdef object RANDOM_CHOICE = random.choice
cdef object HEAPPUSH = heapq.heappush, HEAPPOP = heapq.heappop
cdef object GETRANDBITS = random.getrandbits
# Whether `time.monotonic` is what raudo_now_ns reads, and the C function behind it: tools that turn the
# clock put another one in its place.
cdef bint CLOCK_IS_KNOWN = (
    clock.get_clock_info("monotonic").implementation == "clock_gettime(CLOCK_MONOTONIC)"
)
cdef object MONOTONIC = clock.monotonic
cdef void *MONOTONIC_CODE = PyCFunction_GetFunction(MONOTONIC)


cdef inline void ring_reset(Link *root) noexcept:
    root.prev = root.next = root
    root.node = NULL


cdef inline void ring_append(Link *root, Link *link) noexcept:
    link.next = root
    link.prev = root.prev
    root.prev.next = link
    root.prev = link


cdef inline void ring_remove(Link *link) noexcept:
    link.prev.next = link.next
    link.next.prev = link.prev


cdef int append_ring(list nodes, Link *root) except -1:
    cdef Link *link = root.next
    while link != root:
        nodes.append(<Node>link.node)
        link = link.next
    return 0


cdef Group *new_group(Group *below, uint64_t n_uses) except NULL:
    cdef Group *group = <Group *>malloc(sizeof(Group))
    if group == NULL:
        raise MemoryError
    ring_reset(&group.nodes)
    group.n_uses = n_uses
    group.below = below
    group.above = below.above
    below.above.below = group
    below.above = group
    return group


cdef void drop_group(Group *group) noexcept:
    group.below.above = group.above
    group.above.below = group.below
    free(group)


cdef int place_in(Group *group, Node node) except -1:
    cdef Group *old = node.group
    ring_remove(&node.use)
    ring_append(&group.nodes, &node.use)
    node.group = group
    if old.nodes.next == &old.nodes:
        drop_group(old)
    return 0


cdef int move_up(Node node) except -1:
    """Count a use of a node of an LFU cache."""
    cdef Group *group = node.group
    cdef Group *above = group.above
    if above.n_uses == group.n_uses + 1:  # the ring's root has 0
        return place_in(above, node)
    if node.use.next == node.use.prev:  # alone: the group itself moves up
        group.n_uses += 1
        return 0
    return place_in(new_group(group, group.n_uses + 1), node)


cdef inline double now_seconds() noexcept:
    return <double>raudo_now_ns() / 1e9


cdef inline bint has_come(double at) noexcept:
    """Whether the time is past; reads the exact clock only where the coarse one cannot tell."""
    if at - <double>raudo_coarse_ns() / 1e9 > <double>RAUDO_COARSE_LAG_NS / 1e9:
        return False
    return not now_seconds() < at


@cython.no_gc
@cython.freelist(64)  # a full cache's every insert frees one node and makes one
cdef class Node:
    pass


@cython.no_gc
cdef class TimedNode(Node):
    pass


cdef inline Node new_node(int kind, object key, object value, object size):
    cdef Node node
    if kind < TTL:
        node = Node.__new__(Node)
    else:
        node = TimedNode.__new__(TimedNode)
    node.key = key
    node.value = value
    node.size = size
    node.use.node = <PyObject *>node
    return node


cdef inline object owned(PyObject *item):
    """Take over a new reference."""
    result = <object>item
    Py_DECREF(item)
    return result


cdef object static_attribute(type cls, str name):
    for base in cls.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return None


cdef class Timer:
    """Calls a timer; inside a `with` block the time stands still, so that nested steps agree."""

    def __cinit__(self, source):
        self.source = source
        self.is_clock = CLOCK_IS_KNOWN and source is MONOTONIC

    cdef bint ticks(self) noexcept:
        """Whether now_seconds() is what it would return."""
        return (
            self.is_clock
            and self.depth == 0
            and PyCFunction_GetFunction(MONOTONIC) == MONOTONIC_CODE
        )

    cdef object read(self):
        return self.now if self.depth else self.source()

    def __call__(self):
        return self.read()

    cdef object freeze(self):
        if self.depth == 0:
            _held, now = self.now, self.source()
            self.now = now
        self.depth += 1
        return self.now

    def __enter__(self):
        return self.freeze()

    def __exit__(self, *error):
        self.depth -= 1

    def __copy__(self):
        return Timer(self.source)

    def __deepcopy__(self, memo):
        return Timer(copy.deepcopy(self.source, memo))

    def __reduce__(self):
        return Timer, (self.source,)

    def __getattr__(self, name):
        return getattr(self.source, name)


cdef class Plain:
    """cachetools' `Cache`: bounded, evicts what was inserted longest ago."""

    _raudo_kind = "any"

    def __cinit__(self):
        # Until __init__ the bound is 0 and nothing can be stored.
        ring_reset(&self.uses)
        ring_reset(&self.ages)
        self.groups.below = self.groups.above = &self.groups
        self.data = {}
        self.bound = self.total = 0
        self.kind = KINDS[type(self)._raudo_kind]
        if self.kind == RR:
            self.nodes, self.keys = [], []
        elif self.kind >= TTL:
            self.clock = Timer(MONOTONIC)
            if self.kind == TLRU:
                self.heap = []

    def __dealloc__(self):
        cdef Group *group = self.groups.above
        while group != &self.groups:
            self.groups.above = group.above
            free(group)
            group = self.groups.above

    def __init__(self, maxsize, getsizeof=None):
        self._raudo_start(maxsize, getsizeof, None, None)

    def _raudo_start(self, maxsize, getsizeof, setting, timer):
        if maxsize < 0:
            raise ValueError(f"maxsize must be non-negative, got {maxsize!r}")
        if getsizeof is not None:
            self.getsizeof = getsizeof
        self.empty()
        self.configure(maxsize, self.getsizeof is not Plain.getsizeof, setting)
        if timer is not None:
            self.clock = Timer(timer)

    cdef int configure(self, object maxsize, bint is_sized, object setting) except -1:
        _held = (self.bound, self.setting)  # until the new ones are there
        self.bound = maxsize
        self.limit = math.floor(maxsize) if maxsize < PY_SSIZE_T_MAX else PY_SSIZE_T_MAX
        self.is_sized = is_sized
        self.setting = setting
        self.ttl_seconds = NAN
        if self.kind == TTL and (type(setting) is float or type(setting) is int):
            try:
                self.ttl_seconds = setting
            except OverflowError:
                pass
        return 0

    # --- hooks ---

    cdef inline unsigned int class_hooks(self) except? 0xFFFFFFFF:
        """Bits of what the class overrides."""
        cdef unsigned int version = raudo_type_version(Py_TYPE(<PyObject *>self))
        if version == 0 or version != self.seen_version:
            self.look_for_hooks()
        return self.hooks_of_class

    cdef unsigned int hooks(self) except? 0xFFFFFFFF:
        """Bits of what the class or this instance overrides."""
        cdef unsigned int found = self.class_hooks()
        cdef PyObject **own = _PyObject_GetDictPtr(<PyObject *>self)
        if own != NULL and own[0] != NULL and PyDict_GET_SIZE(own[0]):
            for name in OWN_HOOKS:
                if name in <dict>own[0]:
                    found |= <unsigned int>HOOKS[name]
        return found

    cdef int look_for_hooks(self) except -1:
        """Compare the class with this module's own; the interpreter gives it a new version whenever an
        attribute of it or of a base is assigned."""
        cdef unsigned int found = 0
        cls = type(self)
        own = ORIGINALS[Plain if self.kind == ANY else Timed if self.kind >= TTL else Ordered]
        for name, bit in HOOKS.items():
            if static_attribute(cls, name) is not own[name]:
                found |= <unsigned int>bit
        getattr(cls, "popitem", None)  # a look-up by name gives it a version where it has none
        self.hooks_of_class = found
        self.seen_version = raudo_type_version(Py_TYPE(<PyObject *>self))
        return 0

    cdef bint is_plain_mapping(self) except -1:
        """Whether nothing overrides what reading and setting an item calls."""
        return not self.hooks() & (GETITEM | SETITEM | MISSING)

    # --- entries ---

    cdef Node find(self, PyObject *key):
        cdef PyObject *node = PyDict_GetItemWithError(<PyObject *>self.data, key)
        return None if node == NULL else <Node>node

    cdef PyObject *fetch(self, PyObject *key) except? NULL:
        """Look up as `self[key]` does where `__getitem__` and `__missing__` are this module's own: a new
        reference, or NULL and no exception on a miss."""
        cdef PyObject *found = PyDict_GetItemWithError(<PyObject *>self.data, key)
        cdef PyObject *value
        if found == NULL:
            return NULL
        if self.kind >= LRU and not self.use(<Node>found):
            return NULL
        value = <PyObject *>(<Node>found).value
        Py_INCREF(value)
        return value

    cdef bint use(self, Node node) except -1:
        """Count a use; False where the node has expired."""
        self.touch(node)
        return self.kind < TTL or not self.is_past(node)

    cdef int enter(self, Node node) except -1:
        """Put a node that the dict has just got at the end of the order."""
        cdef Group *group
        if self.kind == LFU:
            group = self.groups.above
            if group == &self.groups or group.n_uses != 1:
                group = new_group(&self.groups, 1)
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

    cdef inline int touch(self, Node node) except -1:
        """Count a use. The node may have left meanwhile."""
        if not node.is_live:
            return 0
        if self.kind == LFU:
            return move_up(node)
        if self.kind >= LRU:
            ring_remove(&node.use)
            ring_append(&self.uses, &node.use)
        return 0

    cdef int unlink(self, Node node) except -1:
        """Take a node that has just left the dict out of the order."""
        cdef Group *group = node.group
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
        ring_remove(&node.use)
        if self.kind == LFU:
            if group.nodes.next == &group.nodes:
                drop_group(group)
        elif self.kind == TTL and (<TimedNode>node).age.next != NULL:
            ring_remove(&(<TimedNode>node).age)
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
        cdef PyObject *found
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
        if node is None:
            node = new_node(self.kind, key, value, size)
            found = PyDict_SetDefault(
                <PyObject *>self.data, <PyObject *>key, <PyObject *>node
            )
            if found == <PyObject *>node:
                try:
                    self.enter(node)
                except BaseException:
                    self.data.pop(key, None)
                    raise
                if self.is_sized:
                    self.add_size(size)
                return node
            node = <Node>found  # the key's own `__eq__` has set it
        _old, old_size = node.value, node.size  # held until the node is consistent again
        node.value = value
        if self.is_sized:
            node.size = size
            self.add_size(size - old_size)
        if touches and node.is_live:
            if self.kind == FIFO:
                ring_remove(&node.use)
                ring_append(&self.uses, &node.use)
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
        if self.kind < TTL:
            return self.store(key, value, True)
        return self.put_timed(key, value)

    cdef int empty(self) except -1:
        """Drop all entries; the cache is empty before the first object is dropped."""
        cdef PyObject *key
        cdef PyObject *node
        cdef Py_ssize_t place = 0
        cdef list nodes = [], heap = []
        cdef list _keys = None if self.keys is None else list(self.keys)
        # What was there is held in these names until the end. From here to `data.clear` nothing is
        # made or dropped, so that nobody sees a half.
        _nodes, _heap, _total = self.nodes, self.heap, self.total
        while PyDict_Next(<PyObject *>self.data, &place, &key, &node):
            (<Node>node).is_live = False
        while self.groups.above != &self.groups:
            drop_group(self.groups.above)
        ring_reset(&self.uses)
        ring_reset(&self.ages)
        self.total = 0
        if self.kind == RR:
            self.nodes = nodes
            self.keys.clear()  # the same list: a `choice` may have kept it
        elif self.kind == TLRU:
            self.heap = heap
        self.data.clear()
        return 0

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
        return key in self.data

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

    # --- copies ---

    def __copy__(self):
        """Return a cache of its own entries; other attributes are shared with this one."""
        cdef Plain twin = type(self).__new__(type(self))
        (<object>twin).__dict__.update((<object>self).__dict__)
        twin.restore(self.snapshot())
        return twin

    def __getstate__(self):
        return self.with_entries(object.__getstate__(self))

    cdef object with_entries(self, object state):
        """Add the entries to what the class's own `__getstate__` gave, where they are not in it."""
        slots = None
        if type(state) is tuple and len(state) == 2:
            state, slots = state
        if state is None or type(state) is dict and STATE not in state:
            state = {**(state or {}), STATE: self.snapshot()}
        return state if slots is None else (state, slots)

    def __reduce_ex__(self, protocol):
        return _new, (type(self),), self.with_entries(self.__getstate__())

    def __setstate__(self, state):
        slots = {}
        if type(state) is tuple:
            state, slots = state
        state = dict(state)
        core = state.pop(STATE)
        (<object>self).__dict__.update(state)
        for name, value in slots.items():
            setattr(self, name, value)
        self.restore(core)

    cdef tuple snapshot(self):
        """All but the attributes, in flat lists, so that no depth of recursion depends on the size."""
        cdef Node node
        cdef Group *group
        cdef list order = [], ages = []
        cdef list nodes = list(self.data.values())
        # From here to the end of the loops nothing is made that could start a garbage collection.
        if self.kind == RR:
            order += self.nodes
        elif self.kind == LFU:
            group = self.groups.above
            while group != &self.groups:
                append_ring(order, &group.nodes)
                group = group.above
        else:
            append_ring(order, &self.uses)
        append_ring(ages, &self.ages)
        places = {node: place for place, node in enumerate(nodes)}
        return (
            self.bound,
            self.is_sized,
            self.setting,
            self.clock,
            [
                (node.key, node.value, node.size, n_uses_of(node), expiry_of(node))
                for node in nodes
            ],
            [places[node] for node in order if node in places],
            [places[node] for node in ages if node in places],
        )

    cdef int restore(self, tuple state) except -1:
        cdef Node node
        cdef Group *group
        cdef uint64_t n_uses
        bound, is_sized, setting, timer, entries, order, ages = state
        self.empty()
        self.configure(bound, is_sized, setting)
        if timer is not None:
            self.clock = copy.copy(timer)
        nodes = []
        for key, value, size, _, expires in entries:
            node = new_node(self.kind, key, value, size)
            if PyDict_SetDefault(
                <PyObject *>self.data, <PyObject *>key, <PyObject *>node
            ) == <PyObject *>node:
                self.enter(node)
                if is_sized:
                    self.add_size(size)
                if self.kind >= TTL:
                    self.set_expiry(<TimedNode>node, expires)
            nodes.append(node)
        # So far they are in the order of insertion.
        for place in order:
            node = nodes[place]
            if node.is_live and self.kind == LFU:
                n_uses = entries[place][3]
                group = self.groups.below
                place_in(group if group.n_uses >= n_uses else new_group(group, n_uses), node)
            elif node.is_live and self.kind != RR:
                ring_remove(&node.use)
                ring_append(&self.uses, &node.use)
        for place in ages:
            node = nodes[place]
            if node.is_live and self.kind == TTL:
                ring_remove(&(<TimedNode>node).age)
                ring_append(&self.ages, &(<TimedNode>node).age)
        if self.kind == RR:
            self.nodes = [nodes[place] for place in order if (<Node>nodes[place]).is_live]
            self.keys = [(<Node>each).key for each in self.nodes]
            for place, each in enumerate(self.nodes):
                (<Node>each).rank = place
        return 0

    # --- expiry ---

    cdef object frozen(self):
        """The timer, standing still until `thaw`."""
        if self.class_hooks() & TIMER:
            timer = self.timer
            timer.__enter__()
            return timer
        self.clock.freeze()
        return self.clock

    cdef bint is_past(self, Node node) except -1:
        cdef TimedNode timed = <TimedNode>node
        cdef bint has_hook = self.class_hooks() & TIMER
        if timed.expires is None and not has_hook and self.clock.ticks():
            return has_come(timed.at)
        now = self.timer() if has_hook else self.clock.read()
        return not now < expiry_of(timed)

    cdef int set_expiry(self, TimedNode node, object expires) except -1:
        _old = node.expires  # held until the node is consistent again
        if self.clock.is_clock and type(expires) is float:
            node.at = expires
            node.expires = None
        else:
            node.expires = expires
        if not node.is_live:
            return 0
        if self.kind == TTL:
            self.renew(node)
        elif node.ticket is None or expires < node.ticket[0]:
            self.n_serials += 1
            ticket = (expires, self.n_serials, node.key)
            _old = node.ticket
            node.ticket = ticket
            HEAPPUSH(self.heap, ticket)
        return 0

    cdef inline int renew(self, TimedNode node) noexcept:
        if node.age.next != NULL:
            ring_remove(&node.age)
        node.age.node = <PyObject *>node
        ring_append(&self.ages, &node.age)
        return 0

    cdef Node put_timed(self, object key, object value):
        cdef TimedNode node
        cdef double now
        cdef unsigned int hooks = self.hooks()
        if (
            self.kind == TTL
            and not self.is_sized
            and not hooks & (ON_EVICT | ON_TIME)
            and not isnan(self.ttl_seconds)
            and self.clock.ticks()
        ):
            now = now_seconds()
            self.drop_ticked(now)
            node = <TimedNode>self.store(key, value, True)
            if node.is_live:
                node.at = now + self.ttl_seconds
                _old = node.expires
                node.expires = None
                self.renew(node)
            return node
        timer = self.frozen()
        try:
            time = read(timer)
            if self.kind == TTL:
                expires = time + self.setting
            self.call_expire(time)
            if self.kind == TLRU:
                expires = self.setting(key, value, time)
                if not time < expires:  # expired before it came: the old value goes nonetheless
                    self.take(key)
                    return None
            node = <TimedNode>self.store(key, value, True)
        finally:
            thaw(timer)
        self.set_expiry(node, expires)
        return node

    cdef object call_expire(self, object time):
        return self.expire(time) if self.hooks() & EXPIRE else self.drop_expired(time)

    cdef int sweep(self) except -1:
        if self.kind == TTL and not self.hooks() & ON_TIME and self.clock.ticks():
            return self.drop_ticked(now_seconds())
        timer = self.frozen()
        try:
            self.call_expire(read(timer))
        finally:
            thaw(timer)
        return 0

    cdef int drop_ticked(self, double now) except -1:
        """`drop_expired` of a TTL cache on the system's clock."""
        cdef TimedNode node
        while self.ages.next != &self.ages:
            node = <TimedNode>self.ages.next.node
            if node.expires is not None:
                self.drop_expired(now)
                return 0
            if now < node.at:
                return 0
            if self.take(node.key) is None:
                raise KeyError(node.key)
        return 0

    cdef list drop_expired(self, object time):
        """Remove what has expired by `time` and return the items."""
        cdef Node node
        cdef TimedNode timed
        cdef list expired = []
        cdef list heap = self.heap
        if self.kind == TTL:
            while self.ages.next != &self.ages:
                node = <Node>self.ages.next.node
                if time < expiry_of(<TimedNode>node):
                    break
                if node.is_live:
                    expired.append((node.key, node.value))
                    if self.take(node.key) is None:
                        raise KeyError(node.key)
            return expired
        if len(heap) > 2 * len(self.data):  # most are stale: keep the heap linear in size
            heap[:] = [ticket for ticket in heap if self.holder(ticket) is not None]
            heapq.heapify(heap)
        while heap:
            ticket = heap[0]
            if time < ticket[0]:
                break
            if not (heap and heap[0] is ticket):  # comparing has run something
                continue
            HEAPPOP(heap)
            timed = self.holder(ticket)
            if timed is None:
                continue
            timed.ticket = None
            expires = expiry_of(timed)
            if time < expires:  # it was set again, to live longer
                self.set_expiry(timed, expires)
            elif timed.is_live:
                expired.append((timed.key, timed.value))
                self.take(timed.key)
        return expired

    cdef TimedNode holder(self, tuple ticket):
        """The node that a ticket of `heap` speaks of; None where it has left or has another one."""
        cdef TimedNode node = <TimedNode>self.find(<PyObject *>ticket[2])
        return node if node is not None and node.ticket is ticket else None


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


cdef class Timed(Plain):
    """cachetools' `TTLCache` and `TLRUCache`."""

    _raudo_kind = "ttl"

    def __getitem__(self, key):
        """Return the value, which is a use."""  # see `subscript`
        return self[key]

    def __setitem__(self, key, value):
        self.put_timed(key, value)

    def __delitem__(self, key):
        cdef Node node = self.take(key)
        if node is None or self.is_past(node):  # gone already, as far as a caller can tell
            raise KeyError(key)

    def __contains__(self, key):
        cdef Node node = self.find(<PyObject *>key)
        return node is not None and not self.is_past(node)

    def __iter__(self):
        """Iterate over the keys of this moment that have not expired when their turn comes."""
        cdef Node node
        for key in list(self.data):
            timer = self.frozen()
            try:
                node = self.find(<PyObject *>key)
                if node is not None and not self.is_past(node):
                    yield key
            finally:
                thaw(timer)

    def __len__(self):
        self.sweep()
        return PyDict_GET_SIZE(<PyObject *>self.data)

    def __repr__(self):
        self.sweep()
        return Plain.__repr__(self)

    def __setstate__(self, state):
        Plain.__setstate__(self, state)
        self.expire(self.timer())

    @property
    def currsize(self):
        """Sum of the sizes of the items that have not expired."""
        self.sweep()
        return self.total if self.is_sized else PyDict_GET_SIZE(<PyObject *>self.data)

    @property
    def timer(self):
        """The timer; a context manager too, inside which the time stands still."""
        return self.clock

    def expire(self, time=None):
        """Remove and return the items that have expired by `time` (now when None)."""
        return self.drop_expired(self.timer() if time is None else time)

    def pop(self, key, default=NOTHING):
        """Remove the key and return its value; the default, or KeyError, where it is absent."""
        timer = self.frozen()
        try:
            return Plain.pop(self, key, default)
        finally:
            thaw(timer)

    def setdefault(self, key, default=None):
        """Return the value; where the key is absent set it to the default first."""
        timer = self.frozen()
        try:
            return Plain.setdefault(self, key, default)
        finally:
            thaw(timer)

    def popitem(self):
        """Remove and return the item used longest ago that has not expired; KeyError when empty."""
        timer = self.frozen()
        try:
            self.call_expire(read(timer))
            return self.pop_first()
        finally:
            thaw(timer)


cdef int thaw(object timer) except -1:
    if type(timer) is Timer:
        (<Timer>timer).depth -= 1
    else:
        timer.__exit__(None, None, None)
    return 0


cdef object read(object timer):
    return (<Timer>timer).read() if type(timer) is Timer else timer()


cdef object expiry_of(Node node):
    if not isinstance(node, TimedNode):
        return None
    cdef TimedNode timed = <TimedNode>node
    return timed.at if timed.expires is None else timed.expires


cdef object n_uses_of(Node node):
    return 0 if node.group == NULL else node.group.n_uses


def _new(kind):
    """Make what `__setstate__` fills."""
    return kind.__new__(kind)


# --- entry points by hand ---
# Cython's argument handling costs 12-16 ns, a third of a hit, and its tracebacks 300 ns a KeyError.

cdef PyObject *subscript(PyObject *self, PyObject *key) except NULL:
    """`Ordered.__getitem__` and `Timed.__getitem__`."""
    cdef Plain cache = <Plain>self
    cdef PyObject *value = cache.fetch(key)
    cdef Node node
    if value != NULL:
        return value
    if not cache.hooks() & MISSING:
        raudo_set_key_error(key)
        return NULL
    result = cache.__missing__(<object>key)
    if cache.kind == LRU or cache.kind == LFU:
        node = cache.find(key)
        if node is not None:  # it has stored the key: that was a use too
            cache.touch(node)
    Py_INCREF(<PyObject *>result)
    return <PyObject *>result


cdef PyObject *plain_subscript(PyObject *self, PyObject *key) except NULL:
    """`Plain.__getitem__`, which neither touches nor asks for the time."""
    cdef Plain cache = <Plain>self
    cdef PyObject *node = PyDict_GetItemWithError(<PyObject *>cache.data, key)
    if node != NULL:
        Py_INCREF(<PyObject *>(<Node>node).value)
        return <PyObject *>(<Node>node).value
    if not cache.hooks() & MISSING:
        raudo_set_key_error(key)
        return NULL
    result = cache.__missing__(<object>key)
    Py_INCREF(<PyObject *>result)
    return <PyObject *>result


cdef PyObject *fast_get(
    PyObject *self, PyObject **args, Py_ssize_t n_args, PyObject *names
) except NULL:
    cdef Plain cache = <Plain>self
    cdef Node node
    cdef PyObject *found
    if names != NULL or n_args < 1 or n_args > 2:
        result = get_by_name(cache, args, n_args, names)
        Py_INCREF(<PyObject *>result)
        return <PyObject *>result
    if cache.class_hooks() & (GETITEM | CONTAINS):
        result = general_get(cache, <object>args[0], <object>args[1] if n_args == 2 else None)
        Py_INCREF(<PyObject *>result)
        return <PyObject *>result
    found = PyDict_GetItemWithError(<PyObject *>cache.data, args[0])
    if found != NULL:
        node = <Node>found
        if cache.kind < TTL or not cache.is_past(node):
            if cache.kind >= LRU:
                cache.touch(node)
            Py_INCREF(<PyObject *>node.value)
            return <PyObject *>node.value
    found = args[1] if n_args == 2 else Py_None
    Py_INCREF(found)
    return found


cdef object general_get(Plain cache, object key, object default):
    if cache.kind < TTL:
        return cache[key] if key in cache else default
    timer = cache.frozen()
    try:
        return cache[key] if key in cache else default
    finally:
        thaw(timer)


cdef object get_by_name(Plain cache, PyObject **args, Py_ssize_t n_args, PyObject *names):
    cdef Py_ssize_t i, n_names = PyTuple_GET_SIZE(names) if names != NULL else 0
    positional = [<object>args[i] for i in range(n_args)]
    named = {<object>PyTuple_GET_ITEM(names, i): <object>args[n_args + i] for i in range(n_names)}
    return cache.get(*_key_and_default(*positional, **named))


def _key_and_default(key, default=None):
    return key, default


cdef PyMethodDef GET = PyMethodDef(
    b"get",
    <void *>fast_get,
    METH_FASTCALL | METH_KEYWORDS,
    b"get($self, key, default=None)\n--\n\nReturn the value, or the default on a miss.",
)
raudo_type_dict(<PyTypeObject *>Plain)["get"] = PyDescr_NewMethod(<PyTypeObject *>Plain, &GET)


cdef int set_subscript(type kind, void *entry) except -1:
    """Make `entry` the type's `__getitem__`: in its slot, and in the wrapper that subclasses take it from."""
    wrapper = raudo_wrap_subscript(<PyTypeObject *>kind, static_attribute(kind, "__getitem__"), entry)
    raudo_type_dict(<PyTypeObject *>kind)["__getitem__"] = wrapper
    PyType_Modified(<PyTypeObject *>kind)
    return 0


set_subscript(Plain, <void *>plain_subscript)
set_subscript(Ordered, <void *>subscript)
set_subscript(Timed, <void *>subscript)

cdef dict ORIGINALS = {
    kind: {name: static_attribute(kind, name) for name in HOOKS} for kind in (Plain, Ordered, Timed)
}


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
    if stop == 0 and isinstance(node, TimedNode):
        stop = visit(<PyObject *>(<TimedNode>node).expires, arg)
        if stop == 0:
            stop = visit(<PyObject *>(<TimedNode>node).ticket, arg)
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


for _kind in (Plain, Ordered, Timed):
    raudo_set_traverse(<PyTypeObject *>_kind, <void *>traverse)
    raudo_set_clear(<PyTypeObject *>_kind, <void *>clear_all)
