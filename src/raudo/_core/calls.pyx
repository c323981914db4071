# cython: binding=False
"""`Cache.get`, `Cache.set` and `cache[key]`, by hand: Cython's handling of arguments costs 12-16 ns, a
third of a hit."""

from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport int64_t, uint32_t

from raudo._core.cache cimport Cache, ttl_to_ns
from raudo._core.entry cimport (
    METH_FASTCALL,
    METH_KEYWORDS,
    RAUDO_EXPIRING,
    RAUDO_UNSURE,
    Py_INCREF,
    Py_None,
    PyMethodDef,
    PyTuple_GET_ITEM,
    PyTuple_GET_SIZE,
    raudo_add_method,
    raudo_get_expiring,
    raudo_get_plain,
    raudo_hash,
    raudo_quickest_get,
    raudo_set_item_slot,
)
from raudo._core.table cimport OWN_TTL

cdef extern from "Python.h":
    void PyType_Modified(PyTypeObject *type)
    int PyUnicode_CompareWithASCIIString(PyObject *, const char *) noexcept

ctypedef PyObject *(*fastcall)(PyObject *, PyObject **, Py_ssize_t, PyObject *) noexcept
ctypedef PyObject *(*binary)(PyObject *, PyObject *) noexcept


cdef PyObject *fast_get(
    PyObject *self, PyObject **args, Py_ssize_t n_args, PyObject *names
) noexcept:
    cdef PyObject *value
    if names == NULL and n_args == 1:
        value = raudo_quickest_get(&(<Cache>self).t, args[0])
        if value != RAUDO_UNSURE and value != RAUDO_EXPIRING:
            if value == NULL:
                value = Py_None
                Py_INCREF(value)
            return value
        if value == RAUDO_EXPIRING:
            return EXPIRING_GET(self, args, n_args, names)
    return GENERAL_GET(self, args, n_args, names)


cdef PyObject *expiring_get(
    PyObject *self, PyObject **args, Py_ssize_t n_args, PyObject *names
) noexcept:
    cdef PyObject *value = raudo_get_expiring(&(<Cache>self).t, (<Cache>self).t.found)
    return value if value != RAUDO_UNSURE else GENERAL_GET(self, args, n_args, names)


cdef PyObject *general_get(
    PyObject *self, PyObject **args, Py_ssize_t n_args, PyObject *names
) except NULL:
    cdef PyObject *default = Py_None
    cdef PyObject *key = NULL
    if names == NULL and (n_args == 1 or n_args == 2):
        key = args[0]
        if n_args == 2:
            default = args[1]
    else:
        parse_get(args, n_args, names, &key, &default)
    cdef uint32_t hash
    raudo_hash(key, &hash)
    cdef PyObject *value = raudo_get_plain(&(<Cache>self).t, key, hash)
    if value == RAUDO_UNSURE:
        value = (<Cache>self).lookup_surely(key, hash)
    if value == NULL:
        value = default
        Py_INCREF(value)
    return value


cdef PyObject *fast_subscript(PyObject *self, PyObject *key) noexcept:
    cdef PyObject *value = raudo_quickest_get(&(<Cache>self).t, key)
    if value == NULL:
        return MISSED(self, key)
    if value == RAUDO_UNSURE:
        return GENERAL_SUBSCRIPT(self, key)
    return value if value != RAUDO_EXPIRING else EXPIRING_SUBSCRIPT(self, key)


cdef PyObject *expiring_subscript(PyObject *self, PyObject *key) noexcept:
    cdef PyObject *value = raudo_get_expiring(&(<Cache>self).t, (<Cache>self).t.found)
    return value if value != RAUDO_UNSURE else GENERAL_SUBSCRIPT(self, key)


cdef PyObject *general_subscript(PyObject *self, PyObject *key) except NULL:
    cdef uint32_t hash
    raudo_hash(key, &hash)
    cdef PyObject *value = raudo_get_plain(&(<Cache>self).t, key, hash)
    if value == RAUDO_UNSURE:
        value = (<Cache>self).lookup_surely(key, hash)
    if value == NULL:
        raise KeyError(<object>key)
    return value


cdef PyObject *missed(PyObject *self, PyObject *key) except NULL:
    raise KeyError(<object>key)


# Through pointers, so that the compiler does not put these into the functions that call them, which
# would then have registers to save.
cdef fastcall EXPIRING_GET = expiring_get
cdef fastcall GENERAL_GET = <fastcall>general_get
cdef binary EXPIRING_SUBSCRIPT = expiring_subscript
cdef binary GENERAL_SUBSCRIPT = <binary>general_subscript
cdef binary MISSED = <binary>missed


cdef int parse_get(
    PyObject **args, Py_ssize_t n_args, PyObject *names, PyObject **key, PyObject **default
) except -1:
    cdef Py_ssize_t i, n_names = PyTuple_GET_SIZE(names) if names != NULL else 0
    cdef PyObject *name
    if n_args > 2:
        raise TypeError(f"get() takes 1 or 2 arguments, got {n_args + n_names}")
    if n_args > 0:
        key[0] = args[0]
    if n_args > 1:
        default[0] = args[1]
    for i in range(n_names):
        name = PyTuple_GET_ITEM(names, i)
        if PyUnicode_CompareWithASCIIString(name, b"key") == 0 and n_args < 1:
            key[0] = args[n_args + i]
        elif PyUnicode_CompareWithASCIIString(name, b"default") == 0 and n_args < 2:
            default[0] = args[n_args + i]
        else:
            raise TypeError(f"get() got an unexpected or repeated argument {<object>name!r}")
    if key[0] == NULL:
        raise TypeError("get() missing the argument 'key'")
    return 0


cdef PyObject *fast_set(
    PyObject *self, PyObject **args, Py_ssize_t n_args, PyObject *names
) except NULL:
    cdef int64_t ttl_ns = OWN_TTL
    if names == NULL and (n_args == 2 or n_args == 3):
        if n_args == 3:
            ttl_ns = ttl_to_ns(<object>args[2])
        if ttl_ns == OWN_TTL:
            (<Cache>self).put(args[0], args[1])
        else:
            (<Cache>self).store(args[0], args[1], ttl_ns)
    else:
        set_by_name(<Cache>self, args, n_args, names)
    Py_INCREF(Py_None)
    return Py_None


cdef int set_by_name(Cache self, PyObject **args, Py_ssize_t n_args, PyObject *names) except -1:
    cdef Py_ssize_t i, n_names = PyTuple_GET_SIZE(names) if names != NULL else 0
    given = dict(zip(("key", "value", "ttl"), [<object>args[i] for i in range(min(n_args, 3))]))
    if n_args > 3:
        raise TypeError(f"set() takes 2 or 3 arguments, got {n_args + n_names}")
    for i in range(n_names):
        name = <object>PyTuple_GET_ITEM(names, i)
        if name not in ("key", "value", "ttl") or name in given:
            raise TypeError(f"set() got an unexpected or repeated argument {name!r}")
        given[name] = <object>args[n_args + i]
    for name in ("key", "value"):
        if name not in given:
            raise TypeError(f"set() missing the argument {name!r}")
    key, value = given["key"], given["value"]
    return self.store(<PyObject *>key, <PyObject *>value, ttl_to_ns(given.get("ttl")))


cdef PyMethodDef GET = PyMethodDef(
    b"get",
    <void *>fast_get,
    METH_FASTCALL | METH_KEYWORDS,
    b"get($self, key, default=None)\n--\n\nReturn the value, or the default on a miss.",
)
cdef PyMethodDef SET = PyMethodDef(
    b"set",
    <void *>fast_set,
    METH_FASTCALL | METH_KEYWORDS,
    b"set($self, key, value, ttl=None)\n--\n\n"
    b"Store a value for `ttl` seconds (None: the cache's own ttl; `math.inf`: for ever).",
)

raudo_add_method(<PyTypeObject *>Cache, &GET)
raudo_add_method(<PyTypeObject *>Cache, &SET)
raudo_set_item_slot(<PyTypeObject *>Cache, <void *>fast_subscript)
PyType_Modified(<PyTypeObject *>Cache)
