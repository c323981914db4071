# cython: binding=False
"""The first level of a `SmartCache` as `get` and `get_nowait` meet it: a hit runs no Python code."""

from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uint32_t

from raudo._core.cache cimport Cache
from raudo._core.entry cimport (
    METH_FASTCALL,
    METH_KEYWORDS,
    RAUDO_UNSURE,
    Py_DECREF,
    Py_INCREF,
    PyMethodDef,
    PyTuple_GET_ITEM,
    PyTuple_GET_SIZE,
    raudo_add_method,
    raudo_quick_get,
)
from raudo._core.ready cimport ready_with

cdef extern from "Python.h":
    PyTypeObject *Py_TYPE(PyObject *) noexcept


cdef class Front:
    cdef Cache first  # None: everything goes the way of `_get` and `_get_now`
    cdef object timed, watched, missing, note
    cdef uint32_t n_followed

    def __cinit__(self, *args, **kwargs):
        pass

    def _open(self, Cache first, timed, watched, missing, note):
        """Answer from `first` from now on.

        An entry of type `timed` hands out its attribute `value`, one of type `watched` goes the way of
        `_get_below(key, entry, default)`, as does a miss, with `missing` as its entry; `get_nowait` goes
        that of `_get_below_now`. But where the entry's `is_only_followed` is true, `note(key)` is told and the
        value handed out; one in 64 of those goes the long way nevertheless, which does that and takes the time.
        """
        self.note = note
        self.timed = timed
        self.watched = watched
        self.missing = missing
        self.first = first


cdef PyObject *fast_get(
    PyObject *self, PyObject **args, Py_ssize_t n_args, PyObject *names
) except NULL:
    # No variable of type Front here: it would be counted, up and down, on each hit.
    cdef PyObject *found
    if names != NULL or n_args < 1 or n_args > 2 or (<Front>self).first is None:
        return kept((<Front>self)._get(*positional(args, n_args), **named(args + n_args, names)))
    found = raudo_quick_get(&(<Front>self).first.t, args[0])
    if found == RAUDO_UNSURE:
        found = (<Front>self).first.lookup(args[0])
    if found == NULL:
        return kept(answer_from_below(<Front>self, (<Front>self)._get_below, args, n_args, NULL))
    if Py_TYPE(found) == <PyTypeObject *>(<Front>self).timed:
        return ready_with(value_of(found))
    if Py_TYPE(found) == <PyTypeObject *>(<Front>self).watched:
        if is_only_noted(<Front>self, args[0], found):
            return ready_with(value_of(found))
        return kept(answer_from_below(<Front>self, (<Front>self)._get_below, args, n_args, found))
    return ready_with(found)


cdef PyObject *fast_get_nowait(
    PyObject *self, PyObject **args, Py_ssize_t n_args, PyObject *names
) except NULL:
    cdef PyObject *found
    if names != NULL or n_args < 1 or n_args > 2 or (<Front>self).first is None:
        return kept((<Front>self)._get_now(*positional(args, n_args), **named(args + n_args, names)))
    found = raudo_quick_get(&(<Front>self).first.t, args[0])
    if found == RAUDO_UNSURE:
        found = (<Front>self).first.lookup(args[0])
    if found == NULL:
        return kept(answer_from_below(<Front>self, (<Front>self)._get_below_now, args, n_args, NULL))
    if Py_TYPE(found) == <PyTypeObject *>(<Front>self).timed:
        return value_of(found)
    if Py_TYPE(found) == <PyTypeObject *>(<Front>self).watched:
        if is_only_noted(<Front>self, args[0], found):
            return value_of(found)
        return kept(answer_from_below(<Front>self, (<Front>self)._get_below_now, args, n_args, found))
    return found


cdef PyObject *kept(object result) noexcept:
    """Make a reference of its own."""
    Py_INCREF(<PyObject *>result)
    return <PyObject *>result


cdef PyObject *value_of(PyObject *found) except NULL:
    """Return the value of an entry, whose reference is taken over."""
    entry = <object>found
    Py_DECREF(found)
    return kept(entry.value)


cdef int is_only_noted(Front self, PyObject *key, PyObject *found) except -1:
    """Say whether the entry is good as it is, and note its use then."""
    if (<object>found).is_only_followed is not True:
        return 0
    self.n_followed += 1
    if self.n_followed % 64 == 0:
        return 0
    try:
        self.note(<object>key)
    except BaseException:
        Py_DECREF(found)
        raise
    return 1


cdef object answer_from_below(
    Front self, object below, PyObject **args, Py_ssize_t n_args, PyObject *found
):
    default = <object>args[1] if n_args == 2 else None
    if found == NULL:
        return below(<object>args[0], self.missing, default)
    entry = <object>found
    Py_DECREF(found)
    return below(<object>args[0], entry, default)


cdef tuple positional(PyObject **args, Py_ssize_t n_args):
    return tuple([<object>args[i] for i in range(n_args)])


cdef dict named(PyObject **values, PyObject *names):
    found = {}
    if names != NULL:
        for i in range(PyTuple_GET_SIZE(names)):
            found[<object>PyTuple_GET_ITEM(names, i)] = <object>values[i]
    return found


cdef PyMethodDef GET = PyMethodDef(
    b"get",
    <void *>fast_get,
    METH_FASTCALL | METH_KEYWORDS,
    b"get($self, /, key, default=None)\n--\n\n"
    b"Return the value, or `default` on a miss. A hit in memory never suspends.",
)

cdef PyMethodDef GET_NOWAIT = PyMethodDef(
    b"get_nowait",
    <void *>fast_get_nowait,
    METH_FASTCALL | METH_KEYWORDS,
    b"get_nowait($self, /, key, default=None)\n--\n\n"
    b"Return the value without an event loop, waiting for the disk where need be.\n\n"
    b"Levels that only have coroutines are not asked.",
)


raudo_add_method(<PyTypeObject *>Front, &GET)
raudo_add_method(<PyTypeObject *>Front, &GET_NOWAIT)
