"""The memo as the compiled methods use it."""

from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uint32_t, uint64_t

from raudo._core.cache cimport Cache
from raudo._core.policy cimport raudo_table

cdef extern from "Python.h":
    ctypedef PyObject *(*vectorcallfunc)(
        PyObject *callable, PyObject **args, size_t n_flagged, PyObject *names
    ) except NULL
    Py_ssize_t PyVectorcall_NARGS(size_t n_flagged) noexcept

cdef extern from "entry/call.h":
    const int CALL_ITEMS "RAUDO_CALL_ITEMS"

    ctypedef struct raudo_call_rule:
        PyObject *keywords
        PyObject *ignored_names
        uint64_t ignored_positions
        Py_ssize_t n_skipped
        bint is_typed
        bint sorts_names
        bint is_plain

    int raudo_hash_items(PyObject **items, Py_ssize_t n, Py_hash_t *hash) except -1
    PyObject *raudo_quick_get_items(
        raudo_table *t, PyObject **items, Py_ssize_t n, uint32_t hash, uint32_t *hint
    ) noexcept
    bint raudo_hint_holds(const raudo_table *t, uint32_t hint, PyObject *empty) noexcept
    Py_ssize_t raudo_most_items(Py_ssize_t n_args, Py_ssize_t n_names) noexcept
    Py_ssize_t raudo_gather(
        const raudo_call_rule *rule, PyObject **args, Py_ssize_t n_args, PyObject *names,
        PyObject **items, Py_ssize_t *n_types,
    ) except -1
    void raudo_drop_types(PyObject **items, Py_ssize_t n, Py_ssize_t n_types) noexcept
    object raudo_tuple_of(PyObject **items, Py_ssize_t n)
    PyObject *raudo_call_with(
        PyObject *fn, PyObject *first, PyObject **args, size_t n_flagged, PyObject *names
    ) except NULL
    void raudo_enable_vectorcall(
        PyTypeObject *type, Py_ssize_t offset, unsigned long more_flags
    ) noexcept


cdef class Memo:
    cdef vectorcallfunc vectorcall
    cdef raudo_call_rule rule
    cdef object fn
    cdef Cache store  # None: remembers nothing
    cdef object key_of, once, flights
    cdef frozenset ignored_names
    cdef bint is_async
    cdef uint32_t hint  # slot of the call without arguments, if it holds
    cdef uint64_t n_calls  # while nothing is remembered
    cdef dict __dict__
    cdef object __weakref__


cdef PyObject *call_memo(
    PyObject *callable, PyObject **args, size_t n_flagged, PyObject *names
) except NULL
