# cython: binding=False
"""What the pool of buffers needs of the interpreter."""

cdef extern from "Python.h":
    ctypedef struct PyObject
    Py_ssize_t Py_REFCNT(PyObject *)
    Py_ssize_t PyList_GET_SIZE(object)
    PyObject *PyList_GET_ITEM(object, Py_ssize_t)
    int PyByteArray_Resize(object, Py_ssize_t) except -1


def first_unshared(list items not None):
    """Return the index of the first item that nothing but the list refers to, or -1."""
    cdef Py_ssize_t i
    for i in range(PyList_GET_SIZE(items)):
        if Py_REFCNT(PyList_GET_ITEM(items, i)) == 1:
            return i
    return -1


def resize_bytearray(bytearray data not None, Py_ssize_t size):
    """Set the length; bytes that come to light are arbitrary. No copy where the allocation fits."""
    if size < 0:
        raise ValueError(f"size is {size}, wanted a number >= 0")
    PyByteArray_Resize(data, size)
