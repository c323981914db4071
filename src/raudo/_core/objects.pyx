# cython: binding=False
"""What `compact` has to know of objects: how many bytes lie behind one, and whether dicts look alike."""

from cpython.object cimport PyObject
from libc.stdint cimport uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, realloc

import sys
import types

cdef extern from *:
    """
    /* Bytes of an object of one of the commonest types, its collector's head included; 0: ask it. */
    static size_t raudo_plain_size(PyObject *o) {
        const size_t head = 2 * sizeof(void *); /* of the collector */
        if (PyUnicode_CheckExact(o) && PyUnicode_IS_COMPACT_ASCII(o)) {
            return sizeof(PyASCIIObject) + (size_t)PyUnicode_GET_LENGTH(o) + 1;
        }
        if (PyFloat_CheckExact(o)) return sizeof(PyFloatObject);
        if (PyList_CheckExact(o)) {
            return head + sizeof(PyListObject) + (size_t)((PyListObject *)o)->allocated * sizeof(void *);
        }
        if (PyTuple_CheckExact(o)) {
            return head + sizeof(PyTupleObject) - sizeof(PyObject *) + (size_t)PyTuple_GET_SIZE(o) * sizeof(void *);
        }
        return 0;
    }
    """
    size_t raudo_plain_size(PyObject *) noexcept

cdef extern from "Python.h":
    ctypedef int (*visitproc)(PyObject *, void *) noexcept
    ctypedef int (*traverser)(PyObject *, visitproc, void *) noexcept
    ctypedef struct TypeObject "PyTypeObject":
        traverser tp_traverse
    TypeObject *type_of "Py_TYPE"(PyObject *)
    int PyObject_IS_GC(PyObject *)
    int PyType_Check(PyObject *)
    int PyModule_Check(PyObject *)
    int PyFunction_Check(PyObject *)
    int PyCFunction_Check(PyObject *)
    int PyCode_Check(PyObject *)
    void Py_INCREF(PyObject *)
    void Py_DECREF(PyObject *)
    int PyDict_Check(PyObject *)
    int PyDict_CheckExact(PyObject *)
    int PyDict_Next(PyObject *, Py_ssize_t *, PyObject **, PyObject **)
    Py_ssize_t PyDict_Size(PyObject *)
    int PyUnicode_CheckExact(PyObject *)
    int PyUnicode_Compare(PyObject *, PyObject *)
    Py_ssize_t PyList_GET_SIZE(object)
    PyObject *PyList_GET_ITEM(object, Py_ssize_t)
    PyObject *PyTuple_GET_ITEM(object, Py_ssize_t)

cdef object SIZE_OF = sys.getsizeof
# Belong to the program and not to the data that refers to them.
cdef tuple SHARED = (types.FrameType, types.MethodType, property, staticmethod, classmethod)


cdef struct Walk:
    PyObject **stack  # referred to
    size_t n_stack, stack_size
    PyObject **seen  # open addressing, at most half full
    size_t n_seen, mask
    bint is_short  # of memory


cdef bint note(Walk *walk, PyObject *obj) noexcept:
    """Whether the object is new."""
    cdef size_t at = <size_t>((<uint64_t><uintptr_t>obj >> 4) * <uint64_t>0x9E3779B97F4A7C15) >> 16
    cdef PyObject **old
    cdef size_t i, n_old
    if 2 * walk.n_seen >= walk.mask:
        old = walk.seen
        n_old = walk.mask + 1
        walk.seen = <PyObject **>calloc(2 * n_old, sizeof(PyObject *))
        if walk.seen == NULL:
            walk.seen = old
            walk.is_short = True
            return False
        walk.mask = 2 * n_old - 1
        walk.n_seen = 0
        for i in range(n_old):
            if old[i] != NULL:
                note(walk, old[i])
        free(old)
    while walk.seen[at & walk.mask] != NULL:
        if walk.seen[at & walk.mask] == obj:
            return False
        at += 1
    walk.seen[at & walk.mask] = obj
    walk.n_seen += 1
    return True


cdef int push(PyObject *obj, void *arg) noexcept:
    cdef Walk *walk = <Walk *>arg
    cdef PyObject **grown
    if PyType_Check(obj) or PyModule_Check(obj) or PyFunction_Check(obj):
        return 0
    if PyCFunction_Check(obj) or PyCode_Check(obj):
        return 0
    if not note(walk, obj):
        return 0
    if walk.n_stack == walk.stack_size:
        grown = <PyObject **>realloc(walk.stack, 2 * walk.stack_size * sizeof(PyObject *))
        if grown == NULL:
            walk.is_short = True
            return 1
        walk.stack = grown
        walk.stack_size *= 2
    Py_INCREF(obj)
    walk.stack[walk.n_stack] = obj
    walk.n_stack += 1
    return 0


cdef size_t size_of(PyObject *obj) except? 0:
    cdef size_t size = raudo_plain_size(obj)
    if size == 0:
        try:
            size = SIZE_OF(<object>obj)
        except Exception:  # a __sizeof__ of its own that fails
            size = object.__sizeof__(<object>obj)
    return size


def deep_size(obj):
    """Return the bytes behind an object: its own and those of all that it refers to, each once.

    As `sys.getsizeof` has them, so that what a C extension holds counts where its `__sizeof__` says
    so. Classes, modules, functions and code belong to the program and do not count. Some 50 ns an
    object; nesting has no limit.
    """
    cdef Walk walk
    cdef PyObject *each
    cdef PyObject *key
    cdef Py_ssize_t place
    cdef size_t total = 0
    walk.n_stack = walk.n_seen = 0
    walk.stack_size = 1024
    walk.mask = 4095
    walk.is_short = False
    walk.seen = <PyObject **>calloc(walk.mask + 1, sizeof(PyObject *))
    walk.stack = <PyObject **>realloc(NULL, walk.stack_size * sizeof(PyObject *))
    try:
        if walk.seen == NULL or walk.stack == NULL:
            raise MemoryError()
        push(<PyObject *>obj, &walk)
        while walk.n_stack and not walk.is_short:
            walk.n_stack -= 1
            each = walk.stack[walk.n_stack]
            try:
                if isinstance(<object>each, SHARED):
                    continue
                total += size_of(each)
                if PyDict_Check(each):  # whose own traversal leaves str keys out
                    place = 0
                    while PyDict_Next(each, &place, &key, NULL):
                        push(key, &walk)
                if PyObject_IS_GC(each) and type_of(each).tp_traverse != NULL:
                    type_of(each).tp_traverse(each, push, &walk)
            finally:
                Py_DECREF(each)
        if walk.is_short:
            raise MemoryError()
    finally:
        while walk.n_stack:
            walk.n_stack -= 1
            Py_DECREF(walk.stack[walk.n_stack])
        free(walk.seen)
        free(walk.stack)
    return total


def common_keys(list rows not None):
    """Return the keys that all of the rows have, in the same order, as a tuple; or None.

    None also where a row is no exact dict, or a key no exact str. Runs no code of theirs.
    """
    cdef Py_ssize_t i, at, place
    cdef PyObject *row
    cdef PyObject *key
    cdef PyObject *wanted
    cdef tuple keys
    if not rows or type(rows[0]) is not dict:
        return None
    keys = tuple(rows[0])
    for each in keys:
        if type(each) is not str:
            return None
    for i in range(PyList_GET_SIZE(rows)):
        row = PyList_GET_ITEM(rows, i)
        if not PyDict_CheckExact(row) or PyDict_Size(row) != len(keys):
            return None
        at = place = 0
        while PyDict_Next(row, &place, &key, NULL):
            wanted = PyTuple_GET_ITEM(keys, at)
            if key != wanted and (not PyUnicode_CheckExact(key) or PyUnicode_Compare(key, wanted) != 0):
                return None
            at += 1
    return keys
