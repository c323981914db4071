# cython: binding=False
"""A callable that remembers: the compiled body of `raudo.lru_cache` and `raudo.cached`.

Called by the vectorcall protocol (PEP 590), so that a hit parses no arguments, builds no tuple for
one positional argument and makes no frame.
"""

from cpython.object cimport PyObject, PyTypeObject
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from cpython.ref cimport Py_INCREF as INCREF_OBJECT
from libc.stdint cimport uint32_t, uint64_t

from raudo._core.cache cimport Cache
from raudo._core.policy cimport raudo_table
from raudo._core.table cimport OWN_TTL

from collections import namedtuple

cdef extern from "Python.h":
    void Py_INCREF(PyObject *) noexcept
    void Py_DECREF(PyObject *) noexcept
    ctypedef PyObject *(*vectorcallfunc)(
        PyObject *callable, PyObject **args, size_t n_flagged, PyObject *names
    ) except NULL
    PyObject *PyObject_Vectorcall(
        PyObject *callable, PyObject **args, size_t n_flagged, PyObject *names
    ) except NULL
    Py_ssize_t PyVectorcall_NARGS(size_t n_flagged) noexcept
    bint PyTuple_Check(PyObject *) noexcept
    Py_ssize_t PyTuple_GET_SIZE(PyObject *) noexcept
    PyObject *PyTuple_GET_ITEM(PyObject *, Py_ssize_t) noexcept
    object PyMethod_New(object function, object instance)
    PyTypeObject *Py_TYPE(PyObject *) noexcept
    void PyType_Modified(PyTypeObject *type)

cdef extern from *:
    """
    #define raudo_enable_vectorcall(type, offset) do { \\
        (type)->tp_vectorcall_offset = (offset); \\
        (type)->tp_call = PyVectorcall_Call; \\
        (type)->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR; \\
    } while (0)
    """
    void raudo_enable_vectorcall(PyTypeObject *type, Py_ssize_t offset) noexcept

cdef extern from "entry/find.h":
    int raudo_hash(PyObject *key, uint32_t *hash) except -1
    PyObject *RAUDO_UNSURE
    PyObject *raudo_quick_get(raudo_table *t, PyObject *key) noexcept

CacheInfo = namedtuple("CacheInfo", ("hits", "misses", "maxsize", "currsize"))

cdef object KEYWORDS = object()  # stands between the positional and the keyword part of a key


cdef class Memo:
    cdef vectorcallfunc vectorcall
    cdef object fn
    cdef Cache store  # None: remembers nothing
    cdef object key_of
    cdef bint typed
    cdef uint64_t n_calls  # while nothing is remembered
    cdef dict __dict__
    cdef object __weakref__

    def __cinit__(self, fn, cache, *, typed=False, key=None):
        self.vectorcall = <vectorcallfunc><void *>call_memo
        self.fn = fn
        self.typed = typed
        self.key_of = key
        self.store = cache
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
        """Forget all results and counts."""
        self.n_calls = 0
        if self.store is not None:
            self.store.clear()
            self.store.reset_stats()

    def cache_key(self, *args, **kwargs):
        """Return the key under which the result of such a call is kept in `cache`."""
        if self.key_of is not None:
            return self.key_of(*args, **kwargs)
        if len(args) == 1 and not kwargs and not self.typed and not isinstance(args[0], tuple):
            return args[0]
        return tuple_key(args, kwargs, self.typed)

    def __reduce__(self):
        return self.__qualname__

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __repr__(self):
        return f"<raudo memo of {self.fn!r}>"


def tuple_key(args, kwargs, typed):
    """Make a key of a call as `functools.lru_cache` does: keyword order counts."""
    key = tuple(args)
    if kwargs:
        key += (KEYWORDS,)
        for item in kwargs.items():
            key += item
    if typed:
        key += tuple([type(each) for each in args])
        key += tuple([type(each) for each in kwargs.values()])
    return key


cdef object key_of_call(Memo self, PyObject **args, Py_ssize_t n, PyObject *names):
    cdef Py_ssize_t i, n_names = PyTuple_GET_SIZE(names) if names != NULL else 0
    if self.key_of is None and n_names == 0 and not self.typed:
        key = PyTuple_New(n)
        for i in range(n):
            INCREF_OBJECT(<object>args[i])
            PyTuple_SET_ITEM(key, i, <object>args[i])
        return key
    positional = tuple([<object>args[i] for i in range(n)])
    named = {
        <object>PyTuple_GET_ITEM(names, i): <object>args[n + i] for i in range(n_names)
    }
    if self.key_of is not None:
        return self.key_of(*positional, **named)
    return tuple_key(positional, named, self.typed)


cdef PyObject *call_memo(
    PyObject *callable, PyObject **args, size_t n_flagged, PyObject *names
) except NULL:
    cdef Memo self = <Memo>callable
    cdef Py_ssize_t n = PyVectorcall_NARGS(n_flagged)
    cdef PyObject *key
    cdef PyObject *value
    cdef uint32_t hash
    cdef object made
    if self.store is None:
        self.n_calls += 1
        return PyObject_Vectorcall(<PyObject *>self.fn, args, n_flagged, names)
    if n == 1 and names == NULL and not self.typed and self.key_of is None and (
        not PyTuple_Check(args[0])
    ):
        made = None
        key = args[0]
    else:
        made = key_of_call(self, args, n, names)
        key = <PyObject *>made
    value = raudo_quick_get(&self.store.t, key)
    if value != NULL and value != RAUDO_UNSURE:
        return value
    raudo_hash(key, &hash)
    if value == RAUDO_UNSURE:
        value = self.store.lookup_hashed(key, hash)
        if value != NULL:
            return value
    value = PyObject_Vectorcall(<PyObject *>self.fn, args, n_flagged, names)
    try:
        self.store.store_hashed(key, value, hash, OWN_TTL)
    except BaseException:
        Py_DECREF(value)
        raise
    return value


cdef int enable_vectorcall() except -1:
    cdef Memo probe = Memo(None, None)
    raudo_enable_vectorcall(
        <PyTypeObject *>Memo, <char *>&probe.vectorcall - <char *><PyObject *>probe
    )
    PyType_Modified(<PyTypeObject *>Memo)
    return 0


enable_vectorcall()
