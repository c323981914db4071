# cython: binding=False
"""A coroutine that is done already, so that a hit in an async API costs no coroutine frame.

`await` calls am_await (returns the object itself), then am_send where the interpreter asks for it
(3.11; one call, no exception) or tp_iternext (3.12 and later, by way of StopIteration). These, and how
one is made and dropped, are in csrc/entry/stop.h.
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject

from collections.abc import Coroutine

cdef extern from "Python.h":
    PyObject *PyExc_StopIteration
    void PyErr_SetObject(PyObject *kind, PyObject *value)
    object PyObject_CallOneArg(PyObject *fn, PyObject *arg)
    Py_ssize_t PyVectorcall_NARGS(size_t n_flagged) noexcept
    void Py_INCREF(PyObject *) noexcept

cdef extern from "entry/stop.h":
    PyObject *raudo_ready_with(PyObject *value) except NULL
    int raudo_use_ready(PyTypeObject *type, void *call) except -1


@cython.final
cdef class Ready:

    def __cinit__(self, value):
        self.value = value

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        stop_with(self.value)

    def send(self, value, /):
        stop_with(self.value)

    def throw(self, kind, value=None, trace=None, /):
        """Raise what was thrown, as a coroutine that has ended does."""
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        raise value if trace is None else value.with_traceback(trace)

    def close(self):
        pass

    def __bool__(self):
        """Refuse: `if cache.get(key)` would hold for every key."""
        raise TypeError("this is still to be awaited: its truth is not that of its value")

    def __repr__(self):
        return f"Ready({self.value!r})"


cdef PyObject *ready_with(PyObject *value) except NULL:
    """Make one from C; takes over the reference."""
    return raudo_ready_with(value)


cdef int stop_with(object value) except -1:
    """Raise StopIteration(value); made here, since setting a tuple as value would unpack it."""
    stop = PyObject_CallOneArg(PyExc_StopIteration, <PyObject *>value)
    PyErr_SetObject(PyExc_StopIteration, <PyObject *>stop)
    return -1


cdef PyObject *call_ready(
    PyObject *kind, PyObject **args, size_t n_flagged, PyObject *names
) except NULL:
    if names != NULL or PyVectorcall_NARGS(n_flagged) != 1:
        raise TypeError("Ready() takes one positional argument, the value")
    Py_INCREF(args[0])
    return raudo_ready_with(args[0])


raudo_use_ready(<PyTypeObject *>Ready, <void *>call_ready)
Coroutine.register(Ready)
