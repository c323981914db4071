# cython: binding=False
"""A callable that remembers: the compiled body of `raudo.lru_cache` and `raudo.cached`.

Called by the vectorcall protocol (PEP 590), so that a hit parses no arguments, makes no frame, and
looks the key up without building it (csrc/entry/call.h).

User code (`__hash__`, `__eq__`, `key`, the function) runs with no lock held and nothing half done:
hashes are taken before the search, equality that only the objects can tell is left to the table's own
search, which notices whatever they change.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uint32_t

from raudo._core.cache cimport Cache
from raudo._core.entry cimport (
    RAUDO_UNSURE,
    Py_DECREF,
    PyTuple_GET_SIZE,
    raudo_hash,
    raudo_hit_value,
    raudo_quick_get,
)
from raudo._core.policy cimport raudo_fold_hash
from raudo._core.ready cimport ready_with
from raudo._core.table cimport OWN_TTL

from collections import namedtuple

cdef extern from "Python.h":
    unsigned long METHOD_DESCRIPTOR "Py_TPFLAGS_METHOD_DESCRIPTOR"  # binds as functions do
    PyObject *PyObject_Vectorcall(
        PyObject *callable, PyObject **args, size_t n_flagged, PyObject *names
    ) except NULL
    bint PyLong_CheckExact(PyObject *) noexcept
    bint PyUnicode_CheckExact(PyObject *) noexcept
    PyObject **PySequence_Fast_ITEMS(PyObject *) noexcept
    object PyMethod_New(object function, object instance)

CacheInfo = namedtuple("CacheInfo", ("hits", "misses", "maxsize", "currsize"))

cdef object KEYWORDS = object()  # stands between the positional and the keyword part of a key
cdef object MISSING = object()
cdef tuple EMPTY = ()


cdef class Memo:

    def __cinit__(
        self,
        fn,
        Cache cache,
        *,
        typed=False,
        key=None,
        sorts_keywords=False,
        ignored=((), ()),
        n_skipped=0,
        once=None,
        flights=None,
        is_async=False,
    ):
        self.vectorcall = <vectorcallfunc>call_memo
        self.fn = fn
        self.store = cache
        self.key_of = key
        self.once = once
        self.flights = flights
        self.is_async = is_async
        self.rule.keywords = <PyObject *>KEYWORDS
        self.rule.is_typed = typed
        self.rule.sorts_names = sorts_keywords
        self.rule.n_skipped = n_skipped
        for position in ignored[0]:
            self.rule.ignored_positions |= <uint64_t>1 << <int>position
        self.ignored_names = frozenset(ignored[1])
        if self.ignored_names:
            self.rule.ignored_names = <PyObject *>self.ignored_names
        self.rule.is_plain = (
            cache is not None and key is None and not typed and not self.rule.ignored_positions
        )
        object.__setattr__(self, "__wrapped__", fn)

    def __call__(self, *args, **kwargs):
        """Call by name; the interpreter itself goes straight to `call_memo`."""
        return self.fn(*args, **kwargs)

    def __get__(self, instance, owner):
        return self if instance is None else PyMethod_New(self, instance)

    @property
    def cache(self):
        return self.store

    def cache_info(self):
        """Return hits, misses, maxsize and currsize as a named tuple."""
        if self.store is None:
            return CacheInfo(0, self.n_calls, 0, 0)
        return CacheInfo(
            self.store.t.n_hits, self.store.t.n_misses, self.store.maxsize, len(self.store)
        )

    def cache_clear(self):
        """Forget all results and counts, also of calls under way."""
        self.n_calls = 0
        if self.flights is not None:
            self.flights.supersede_all()
        if self.store is not None:
            self.store.clear()
            self.store.reset_stats()

    def cache_key(self, *args, **kwargs):
        """Return the key under which the result of such a call is kept in `cache`."""
        if self.key_of is not None:
            return self.key_of(*args, **kwargs)
        cdef tuple every = args + tuple(kwargs.values())
        names = tuple(kwargs)
        cdef PyObject **items = <PyObject **>PyMem_Malloc(
            raudo_most_items(len(args), len(names)) * sizeof(PyObject *)
        )
        cdef Py_ssize_t n = 0, n_types = 0
        if items == NULL:
            raise MemoryError
        try:
            n = raudo_gather(
                &self.rule, PySequence_Fast_ITEMS(<PyObject *>every), len(args),
                <PyObject *>names, items, &n_types,
            )
            return <object>items[0] if is_key_itself(items, n) else raudo_tuple_of(items, n)
        finally:
            raudo_drop_types(items, n, n_types)
            PyMem_Free(items)

    def invalidate(self, *args, **kwargs):
        """Forget the result of such a call, also of one under way; say whether there was one."""
        made = self.cache_key(*args, **kwargs)
        if self.flights is not None:
            self.flights.supersede(made)
        return self.store is not None and self.store.pop(made, MISSING) is not MISSING

    def __reduce__(self):
        return self.__qualname__

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __repr__(self):
        return f"<raudo memo of {self.fn!r}>"


cdef inline bint is_key_itself(PyObject **items, Py_ssize_t n) noexcept:
    """Say whether the only element is the key, as in functools; a typed call has two."""
    return n == 1 and (PyLong_CheckExact(items[0]) or PyUnicode_CheckExact(items[0]))


cdef PyObject *call_memo(
    PyObject *callable, PyObject **args, size_t n_flagged, PyObject *names
) except NULL:
    # No variable of type Memo here and in `answer`: it would be counted, up and down, on each hit.
    cdef Py_ssize_t n_skipped = (<Memo>callable).rule.n_skipped
    cdef Py_ssize_t n = PyVectorcall_NARGS(n_flagged) - n_skipped
    if n < 0:  # the function says what is missing
        return PyObject_Vectorcall(<PyObject *>(<Memo>callable).fn, args, n_flagged, names)
    if names == NULL and (<Memo>callable).rule.is_plain:
        return answer(callable, args + n_skipped, n, args, n_flagged, names)
    return call_gathered(callable, args, n_flagged, names)


cdef PyObject *call_gathered(
    PyObject *callable, PyObject **args, size_t n_flagged, PyObject *names
) except NULL:
    """Answer a call whose key is more than its positional arguments."""
    cdef Memo self = <Memo>callable
    cdef Py_ssize_t n = PyVectorcall_NARGS(n_flagged)
    cdef PyObject *items[CALL_ITEMS]
    cdef PyObject **many
    if self.store is None:
        self.n_calls += 1
        return PyObject_Vectorcall(<PyObject *>self.fn, args, n_flagged, names)
    if self.key_of is not None:
        return call_with_own_key(self, args, n_flagged, names)
    cdef Py_ssize_t most = raudo_most_items(n, PyTuple_GET_SIZE(names) if names != NULL else 0)
    if most <= CALL_ITEMS:
        return answer_gathered(callable, items, args, n_flagged, names)
    many = <PyObject **>PyMem_Malloc(most * sizeof(PyObject *))
    if many == NULL:
        raise MemoryError
    try:
        return answer_gathered(callable, many, args, n_flagged, names)
    finally:
        PyMem_Free(many)


cdef PyObject *answer_gathered(
    PyObject *callable, PyObject **items, PyObject **args, size_t n_flagged, PyObject *names
) except NULL:
    """Answer with the key's elements gathered in `items`, which has room for them."""
    cdef Py_ssize_t n_types = 0
    cdef Py_ssize_t n = raudo_gather(
        &(<Memo>callable).rule, args, PyVectorcall_NARGS(n_flagged), names, items, &n_types
    )
    if n_types == 0:
        return answer(callable, items, n, args, n_flagged, names)
    return answer_typed(callable, items, n, n_types, args, n_flagged, names)


cdef PyObject *answer_typed(
    PyObject *callable, PyObject **items, Py_ssize_t n, Py_ssize_t n_types, PyObject **args,
    size_t n_flagged, PyObject *names,
) except NULL:
    try:
        return answer(callable, items, n, args, n_flagged, names)
    finally:
        raudo_drop_types(items, n, n_types)


cdef inline PyObject *answer(
    PyObject *callable, PyObject **items, Py_ssize_t n, PyObject **args, size_t n_flagged,
    PyObject *names,
) except NULL:
    """Return what is kept under the key of these elements, or call."""
    cdef PyObject *value
    cdef uint32_t hash = 0
    cdef Py_hash_t whole
    if is_key_itself(items, n):
        value = raudo_quick_get(&(<Memo>callable).store.t, items[0])
    elif n == 0 and raudo_hint_holds(
        &(<Memo>callable).store.t, (<Memo>callable).hint, <PyObject *>EMPTY
    ):
        value = raudo_hit_value(&(<Memo>callable).store.t, (<Memo>callable).hint)
    else:
        raudo_hash_items(items, n, &whole)
        hash = raudo_fold_hash(whole)
        value = raudo_quick_get_items(
            &(<Memo>callable).store.t, items, n, hash, &(<Memo>callable).hint
        )
    if value == NULL or value == RAUDO_UNSURE:
        return answer_slowly(callable, items, n, hash, value, args, n_flagged, names)
    if (<Memo>callable).is_async:
        return ready_with(value)
    return value


cdef PyObject *answer_slowly(
    PyObject *callable, PyObject **items, Py_ssize_t n, uint32_t hash, PyObject *value,
    PyObject **args, size_t n_flagged, PyObject *names,
) except NULL:
    cdef object key
    if is_key_itself(items, n):
        raudo_hash(items[0], &hash)
        key = <object>items[0]
    else:
        key = raudo_tuple_of(items, n)
        if n == 0:  # the hint spared it
            raudo_hash(<PyObject *>key, &hash)
    return answer_with(<Memo>callable, key, hash, value == NULL, args, n_flagged, names)


cdef PyObject *call_with_own_key(
    Memo self, PyObject **args, size_t n_flagged, PyObject *names
) except NULL:
    cdef PyObject *made = PyObject_Vectorcall(<PyObject *>self.key_of, args, n_flagged, names)
    cdef object key = <object>made
    cdef uint32_t hash
    Py_DECREF(made)
    raudo_hash(made, &hash)
    return answer_with(self, key, hash, False, args, n_flagged, names)


cdef PyObject *answer_with(
    Memo self, object key, uint32_t hash, bint is_miss, PyObject **args, size_t n_flagged,
    PyObject *names,
) except NULL:
    """Go on with the key made: look again where the quick look was unsure, and call on a miss."""
    cdef PyObject *value
    if not is_miss:
        value = self.store.lookup_hashed(<PyObject *>key, hash)
        if value != NULL:
            return value if not self.is_async else ready_with(value)
    if self.once is not None:  # stores by itself
        return raudo_call_with(<PyObject *>self.once, <PyObject *>key, args, n_flagged, names)
    value = PyObject_Vectorcall(<PyObject *>self.fn, args, n_flagged, names)
    try:
        self.store.store_hashed(<PyObject *>key, value, hash, OWN_TTL)
    except BaseException:
        Py_DECREF(value)
        raise
    return value


cdef int enable_vectorcall() except -1:
    cdef Memo probe = Memo(None, None)
    raudo_enable_vectorcall(
        <PyTypeObject *>Memo,
        <char *>&probe.vectorcall - <char *><PyObject *>probe,
        METHOD_DESCRIPTOR,
    )
    return 0


enable_vectorcall()
