# cython: binding=False
"""A coroutine that is done already, so that a hit in an async API costs no coroutine frame.

`await` calls am_await (returns the object itself), then am_send where the interpreter asks for it
(3.11; one call, no exception) or tp_iternext (3.12 and later, by way of StopIteration: stop.h).
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF

from collections.abc import Coroutine

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
    PyObject *PyExc_StopIteration
    void PyErr_SetObject(PyObject *kind, PyObject *value)
    object PyObject_CallOneArg(PyObject *fn, PyObject *arg)
    Py_ssize_t PyVectorcall_NARGS(size_t n_flagged) noexcept

cdef extern from "entry/stop.h":
    void raudo_set_am_send(PyTypeObject *type, void *fn) noexcept
    void raudo_set_vectorcall(PyTypeObject *type, void *fn) noexcept
    void raudo_stop_with(PyObject *value) noexcept
    ctypedef PyObject *(*iternextfunc)(PyObject *) noexcept
    int raudo_use_iternext(PyTypeObject *type, iternextfunc fn) except -1


@cython.final
@cython.freelist(32)
cdef class Ready:

    def __cinit__(self, *value):  # none at all from `ready_with`
        if value:
            self.value, = value

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

    def __repr__(self):
        return f"Ready({self.value!r})"


cdef Ready ready_with(object value):
    """Make one from C, without a tuple of arguments."""
    cdef Ready made = Ready.__new__(Ready)
    made.value = value
    return made


cdef int stop_with(object value) except -1:
    """Raise StopIteration(value); made here, since setting a tuple as value would unpack it."""
    stop = PyObject_CallOneArg(PyExc_StopIteration, <PyObject *>value)
    PyErr_SetObject(PyExc_StopIteration, <PyObject *>stop)
    return -1


cdef object call_ready(PyObject *kind, PyObject **args, size_t n_flagged, PyObject *names):
    if names != NULL or PyVectorcall_NARGS(n_flagged) != 1:
        raise TypeError("Ready() takes one positional argument, the value")
    return ready_with(<object>args[0])


cdef PySendResult am_send(PyObject *self, PyObject *argument, PyObject **result) noexcept:
    value = (<Ready>self).value
    Py_INCREF(value)
    result[0] = <PyObject *>value
    return PYGEN_RETURN


cdef PyObject *iternext(PyObject *self) noexcept:
    raudo_stop_with(<PyObject *>(<Ready>self).value)
    return NULL


raudo_set_am_send(<PyTypeObject *>Ready, <void *>am_send)
raudo_set_vectorcall(<PyTypeObject *>Ready, <void *>call_ready)
raudo_use_iternext(<PyTypeObject *>Ready, iternext)
Coroutine.register(Ready)
