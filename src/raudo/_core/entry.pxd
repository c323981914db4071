"""The hand-written C of csrc/entry, and what goes with it of CPython's own, as Cython sees them."""

from cpython.object cimport PyObject, PyTypeObject, traverseproc, visitproc
from libc.stdint cimport int64_t, uint32_t

from raudo._core.policy cimport raudo_table

cdef extern from "Python.h":
    void Py_INCREF(PyObject *) noexcept
    void Py_DECREF(PyObject *) noexcept
    PyObject *Py_None
    PyObject *PyTuple_GET_ITEM(PyObject *, Py_ssize_t) noexcept
    Py_ssize_t PyTuple_GET_SIZE(PyObject *) noexcept
    int METH_FASTCALL, METH_KEYWORDS
    ctypedef struct PyMethodDef:
        const char *ml_name
        void *ml_meth
        int ml_flags
        const char *ml_doc

cdef extern from "entry/find.h":
    int raudo_hash(PyObject *key, uint32_t *hash) except -1
    uint32_t raudo_key_flags(PyObject *key) noexcept
    uint32_t raudo_find(const raudo_table *t, PyObject *key, uint32_t hash) except? 0xFFFFFFFE
    PyObject *RAUDO_UNSURE
    PyObject *RAUDO_EXPIRING
    PyObject *raudo_get_plain(raudo_table *t, PyObject *key, uint32_t hash) noexcept
    PyObject *raudo_quickest_get(raudo_table *t, PyObject *key) noexcept
    PyObject *raudo_quick_get(raudo_table *t, PyObject *key) noexcept
    PyObject *raudo_get_expiring(raudo_table *t, uint32_t slot) noexcept
    PyObject *raudo_hit_value(raudo_table *t, uint32_t slot) noexcept
    ctypedef enum raudo_store_state:
        RAUDO_STORE_UNSURE
        RAUDO_STORED
        RAUDO_STORE_ABSENT
    raudo_store_state raudo_quick_set(
        raudo_table *t, PyObject *key, PyObject *value, uint32_t hash
    ) noexcept
    int raudo_visit(const raudo_table *t, visitproc visit, void *arg) noexcept

cdef extern from "entry/clock.h":
    int64_t RAUDO_COARSE_LAG_NS
    int64_t raudo_now_ns() noexcept
    int64_t raudo_coarse_ns() noexcept
    bint raudo_has_passed(int64_t at_ns) noexcept

cdef extern from "entry/graves.h":
    ctypedef struct raudo_grave:
        pass
    void raudo_graves_take(raudo_grave **graves, raudo_table *t, uint32_t at_once) noexcept
    void raudo_graves_drop(raudo_grave **graves, uint32_t n) noexcept
    void raudo_graves_drop_all(raudo_grave **graves) noexcept
    size_t raudo_graves_size(const raudo_grave *grave) noexcept
    int raudo_graves_visit(const raudo_grave *grave, visitproc visit, void *arg) noexcept

cdef extern from "entry/slots.h":
    traverseproc raudo_get_traverse(PyTypeObject *type) noexcept
    void raudo_set_traverse(PyTypeObject *type, void *fn) noexcept
    void raudo_set_clear(PyTypeObject *type, void *fn) noexcept
    void raudo_set_item_slot(PyTypeObject *type, void *entry) noexcept
    int raudo_set_subscript(PyTypeObject *type, object own, void *entry) except -1
    int raudo_set_get(PyTypeObject *type, void *entry) except -1
    int raudo_add_method(PyTypeObject *type, PyMethodDef *method) except -1
    void raudo_set_key_error(PyObject *key) noexcept
