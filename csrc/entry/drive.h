/* What driving a coroutine needs of CPython beside its public calls: short ways to frequent answers. */
#ifndef RAUDO_DRIVE_H
#define RAUDO_DRIVE_H

#include <Python.h>

#include "entry/clock.h"

/* Take the exception that is set, with its traceback; a new reference. */
static inline PyObject *raudo_take_error(void) {
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    PyErr_NormalizeException(&kind, &error, &trace);
    if (trace != NULL) PyException_SetTraceback(error, trace);
    Py_XDECREF(kind);
    Py_XDECREF(trace);
    return error;
#endif
}

/* What a method without arguments says that returns an int, as a truth value; -1: an exception is set.
 * A built-in one (of asyncio's Task, mostly) is called as the C function it is: 3 ns instead of 20. */
static inline int raudo_says(PyObject *method) {
    PyObject *said;
    if (PyCFunction_CheckExact(method) && PyCFunction_GET_FLAGS(method) == METH_NOARGS)
        said = PyCFunction_GET_FUNCTION(method)(PyCFunction_GET_SELF(method), NULL);
    else
        said = PyObject_CallNoArgs(method);
    if (said == NULL) return -1;
    const int truth = PyObject_IsTrue(said);
    Py_DECREF(said);
    return truth;
}

/* Call with a tuple of arguments, and keywords or NULL. */
static inline PyObject *raudo_call(PyObject *fn, PyObject *args, PyObject *kwargs) {
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) != 0) return PyObject_Call(fn, args, kwargs);
    return PyObject_Vectorcall(
        fn, ((PyTupleObject *)args)->ob_item, (size_t)PyTuple_GET_SIZE(args), NULL);
}

/* Seconds of the clock that time.monotonic() reads, on Linux. */
static inline double raudo_monotonic(void) {
#if defined(__linux__) && defined(CLOCK_MONOTONIC_COARSE)
    struct timespec now;
    raudo_clock(CLOCK_MONOTONIC, &now);
    return (double)((int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec) / 1e9;
#else
    return (double)raudo_now_ns() / 1e9;
#endif
}

#endif
