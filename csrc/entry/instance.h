/* Whether an owner, given by a weak reference or by itself, is this instance. Runs no Python code. */
#ifndef RAUDO_INSTANCE_H
#define RAUDO_INSTANCE_H

#include <Python.h>

static inline int raudo_refers_to(PyObject *owner, PyObject *instance) {
    if (owner == instance) return 1;
    if (!PyWeakref_CheckRef(owner)) return 0;
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *target = NULL;
    if (PyWeakref_GetRef(owner, &target) <= 0) return 0;
    Py_DECREF(target); /* the caller holds the instance, if it is that */
    return target == instance;
#else
    return PyWeakref_GET_OBJECT(owner) == instance;
#endif
}

#endif
