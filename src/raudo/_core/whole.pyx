# cython: binding=False
"""A table as a whole: a snapshot of what is in it, and what the garbage collector needs to know."""

from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject, PyTypeObject, traverseproc, visitproc
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uint32_t, uint64_t

from raudo._core.entry cimport (
    raudo_get_traverse,
    raudo_graves_drop_all,
    raudo_graves_visit,
    raudo_set_clear,
    raudo_set_traverse,
    raudo_visit,
)
from raudo._core.policy cimport HAS_EXPIRY, report_unraisable, slot_t
from raudo._core.table cimport KEYS, PAIRS, VALUES, Table, free_table


cdef list snapshot(Table table, int what):
    """Keys, values, or each key and then its value, of this moment in the policy's order and
    without what has expired."""
    cdef slot_t *order = NULL
    cdef Py_ssize_t n = 0, i, length = 0
    cdef uint64_t version
    cdef int64_t now
    cdef slot_t slot
    cdef list result
    cdef PyObject *item
    table.enter()
    try:
        while True:
            # Allocating may run the garbage collector, and so anything: look again after it.
            version = table.t.version
            n = table.t.n_live
            PyMem_Free(order)
            order = <slot_t *>PyMem_Malloc((n + 1) * sizeof(slot_t))
            if order == NULL:
                raise MemoryError
            now = table.now_for_checks()
            length = 2 * n if what == PAIRS else n
            result = PyList_New(length)
            if version == table.t.version:
                break
            for i in range(length):  # an empty place must not be seen
                Py_INCREF(None)
                PyList_SET_ITEM(result, i, None)
        table._policy.walk(order)
        i = 0
        for j in range(n):
            slot = order[j]
            if table.t.entries[slot].meta & HAS_EXPIRY and table.is_past(slot, now):
                continue
            if what != VALUES:
                item = <PyObject *>table.t.entries[slot].key
                Py_INCREF(<object>item)
                PyList_SET_ITEM(result, i, <object>item)
                i += 1
            if what != KEYS:
                item = <PyObject *>table.t.entries[slot].value
                Py_INCREF(<object>item)
                PyList_SET_ITEM(result, i, <object>item)
                i += 1
        for j in range(i, length):
            Py_INCREF(None)
            PyList_SET_ITEM(result, j, None)
        del result[i:]
    finally:
        table.leave()
        PyMem_Free(order)
    return result


# --- what the garbage collector needs to know of the entries ---

cdef traverseproc traverse_members = raudo_get_traverse(<PyTypeObject *>Table)


cdef int traverse(PyObject *self, visitproc visit, void *arg) noexcept:
    cdef int stop = traverse_members(self, visit, arg)
    if stop == 0:
        stop = raudo_visit(&(<Table>self).t, visit, arg)
    return stop if stop else raudo_graves_visit((<Table>self).graves, visit, arg)


cdef int clear_all(PyObject *self) noexcept:
    """Break cycles, and leave a cache that is empty, stays so, and is safe to call."""
    cdef Table table = <Table>self
    table.max_entries = 0
    table._listener = table._weigher = table._timer = None
    try:
        table._policy.reset()
    except BaseException as error:
        report_unraisable(error, table._policy)
    free_table(table, <uint32_t>-1)
    raudo_graves_drop_all(&table.graves)
    return 0


raudo_set_traverse(<PyTypeObject *>Table, <void *>traverse)
raudo_set_clear(<PyTypeObject *>Table, <void *>clear_all)
