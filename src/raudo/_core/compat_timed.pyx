# cython: binding=False
"""The stand-ins for `TTLCache` and `TLRUCache`: the caches of `compat`, with items that expire.

A TTL cache keeps its nodes in the order in which they were set, a TLRU cache in a heap: of tickets, which
stay there when their node leaves or gets another one. On the system's own monotonic clock the time is read
in C and kept as a float; any other timer is called, and its values are kept as the objects they are.
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject, traverseproc, visitproc
from libc.math cimport INFINITY, NAN, isnan

from raudo._core.compat cimport (
    NOTHING, TLRU, TTL, call_missing, collect_by, dict_find, get_by_name, given, install, ring_append,
    ring_remove, ring_reset
)
from raudo._core.compat_hooks cimport CONTAINS, EXPIRE, GETITEM, MISSING, ON_EVICT, ON_TIME, TIMER
from raudo._core.entry cimport (
    RAUDO_COARSE_LAG_NS, raudo_coarse_ns, raudo_get_traverse, raudo_now_ns, raudo_set_get,
    raudo_set_key_error
)

import copy
import heapq
import time as clock

cdef extern from "Python.h":
    Py_ssize_t PyDict_GET_SIZE(PyObject *) noexcept
    bint PyDict_Next(PyObject *, Py_ssize_t *, PyObject **, PyObject **) noexcept
    void *PyCFunction_GetFunction(object) noexcept

cdef object HEAPPUSH = heapq.heappush, HEAPPOP = heapq.heappop
# Whether `time.monotonic` is what raudo_now_ns reads, and the C function behind it: tools that turn the
# clock put another one in its place.
cdef bint CLOCK_IS_KNOWN = (
    clock.get_clock_info("monotonic").implementation == "clock_gettime(CLOCK_MONOTONIC)"
)
cdef object MONOTONIC = clock.monotonic
cdef void *MONOTONIC_CODE = PyCFunction_GetFunction(MONOTONIC)


cdef inline double now_seconds() noexcept:
    return <double>raudo_now_ns() / 1e9


cdef inline bint has_come(double at) noexcept:
    """Whether the time is past; reads the exact clock only where the coarse one cannot tell."""
    if at - <double>raudo_coarse_ns() / 1e9 > <double>RAUDO_COARSE_LAG_NS / 1e9:
        return False
    return not now_seconds() < at


@cython.no_gc
cdef class TimedNode(Node):
    def __cinit__(self):
        self.at = INFINITY


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


@cython.auto_pickle(False)
cdef class Timed(Plain):
    """cachetools' `TTLCache` and `TLRUCache`."""

    _raudo_kind = "ttl"

    def __cinit__(self):
        if self.kind != TLRU:  # also where another base's attribute comes first
            self.kind = TTL
        ring_reset(&self.ages)
        self.heap = []
        self.clock = Timer(MONOTONIC)

    def _raudo_start(self, maxsize, getsizeof, setting, timer=MONOTONIC):
        Plain._raudo_start(self, maxsize, getsizeof, setting)
        self.clock = Timer(timer)

    cdef int configure(self, object maxsize, bint is_sized, object setting) except -1:
        Plain.configure(self, maxsize, is_sized, setting)
        self.ttl_seconds = NAN
        if self.kind == TTL and (type(setting) is float or type(setting) is int):
            try:
                self.ttl_seconds = setting
            except OverflowError:
                pass
        return 0

    cdef Node new_node(self):
        return TimedNode.__new__(TimedNode)

    cdef PyObject *fetch(self, PyObject *key) except? NULL:
        cdef PyObject *found = dict_find(<PyObject *>self.data, key)
        if found == NULL:
            return NULL
        cdef Node node = <Node>found
        self.touch(node)
        if self.is_past(node):
            return NULL
        return given(node.value)

    cdef int unlink_age(self, Node node) except -1:
        if self.kind == TTL and (<TimedNode>node).age.next != NULL:
            ring_remove(&(<TimedNode>node).age)
        return 0

    cdef list forget_ages(self, list tickets):
        cdef list old = self.heap
        self.heap = tickets
        ring_reset(&self.ages)
        return old

    cdef object frozen(self):
        """The timer, standing still until `thaw`."""
        if self.class_hooks() & TIMER:
            timer = self.timer
            timer.__enter__()
            return timer
        self.clock.freeze()
        return self.clock

    cdef inline bint is_past(self, Node node) except -1:
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

    cdef Node put(self, object key, object value):
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

    # --- the mapping ---

    def __getitem__(self, key):
        """Return the value, which is a use."""  # see `subscript`
        return self[key]

    def __setitem__(self, key, value):
        self.put(key, value)

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


cdef object expiry_of(TimedNode node):
    return node.at if node.expires is None else node.expires


# --- entry points by hand, as in `compat` ---

cdef PyObject *subscript(PyObject *self, PyObject *key) except NULL:
    cdef PyObject *value = (<Timed>self).fetch(key)
    if value == NULL:
        if (<Timed>self).hooks() & MISSING:
            return call_missing(<Timed>self, key)
        raudo_set_key_error(key)
    return value


cdef PyObject *get(
    PyObject *self, PyObject **args, Py_ssize_t n_args, PyObject *names
) except NULL:
    cdef Timed cache = <Timed>self
    cdef PyObject *found
    if names != NULL or n_args < 1 or n_args > 2:
        return get_by_name(cache, args, n_args, names)
    default = <object>args[1] if n_args == 2 else None
    if cache.class_hooks() & (GETITEM | CONTAINS):
        return given(general_get(cache, <object>args[0], default))
    found = dict_find(<PyObject *>cache.data, args[0])
    if found == NULL:
        return given(default)
    cdef Node node = <Node>found
    if cache.is_past(node):
        return given(default)
    cache.touch(node)
    return given(node.value)


cdef object general_get(Timed cache, object key, object default):
    timer = cache.frozen()
    try:
        return cache[key] if key in cache else default
    finally:
        thaw(timer)


raudo_set_get(<PyTypeObject *>Timed, <void *>get)
install(Timed, <void *>subscript)

# That of Cython visits the members, and by its base's the nodes.
cdef traverseproc traverse_members = raudo_get_traverse(<PyTypeObject *>Timed)


cdef int traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    cdef PyObject *key
    cdef PyObject *node
    cdef Py_ssize_t place = 0
    cdef int stop = traverse_members(self, visit, arg)
    cdef PyObject *data = <PyObject *>(<Timed>self).data
    while stop == 0 and PyDict_Next(data, &place, &key, &node):
        stop = visit(<PyObject *>(<TimedNode>node).expires, arg)
        if stop == 0:
            stop = visit(<PyObject *>(<TimedNode>node).ticket, arg)
    return stop


collect_by(Timed, <void *>traverse)
