/* Hand-written entry points in the slots of Cython's classes, and what else Cython has no words for. */
#ifndef RAUDO_SLOTS_H
#define RAUDO_SLOTS_H

#include <Python.h>

#define raudo_get_traverse(type) ((type)->tp_traverse)
#define raudo_get_clear(type) ((type)->tp_clear)
#define raudo_set_traverse(type, fn) ((type)->tp_traverse = (traverseproc)(fn))
#define raudo_set_clear(type, fn) ((type)->tp_clear = (inquiry)(fn))
#define raudo_set_item_slot(type, fn) ((type)->tp_as_mapping->mp_subscript = (binaryfunc)(fn))

/* Put an attribute into the class itself. Takes over the value; 0, or -1 with an exception set. */
static inline int raudo_set_type_attribute(PyTypeObject *type, const char *name, PyObject *value) {
#if PY_VERSION_HEX >= 0x030C0000
    PyObject *dict = PyType_GetDict(type);
#else
    PyObject *dict = Py_NewRef(type->tp_dict);
#endif
    const int failed = value == NULL ? -1 : PyDict_SetItemString(dict, name, value);
    Py_DECREF(dict);
    Py_XDECREF(value);
    PyType_Modified(type);
    return failed;
}

/* Give the class a method; its definition must stay. */
static inline int raudo_add_method(PyTypeObject *type, PyMethodDef *method) {
    return raudo_set_type_attribute(type, method->ml_name, PyDescr_NewMethod(type, method));
}

/* Make `entry` the class's `__getitem__`: in its slot, and in the wrapper `own`, which it has so far and
 * which subclasses take the slot from. */
static inline int raudo_set_subscript(PyTypeObject *type, PyObject *own, void *entry) {
    PyObject *wrapper = PyDescr_NewWrapper(type, ((PyWrapperDescrObject *)own)->d_base, entry);
    raudo_set_item_slot(type, entry);
    return raudo_set_type_attribute(type, "__getitem__", wrapper);
}

/* Give the class the method `get`. Only one class of a module can have it. */
static inline int raudo_set_get(PyTypeObject *type, void *entry) {
    static PyMethodDef get = {"get", NULL, METH_FASTCALL | METH_KEYWORDS,
                              "get($self, key, default=None)\n--\n\n"
                              "Return the value, or the default on a miss."};
    get.ml_meth = (PyCFunction)entry;
    return raudo_add_method(type, &get);
}

/* raise KeyError(key); a tuple given to PyErr_SetObject would be taken for several arguments. */
static inline void raudo_set_key_error(PyObject *key) {
    PyObject *error = PyObject_CallOneArg(PyExc_KeyError, key);
    if (error == NULL) return;
    PyErr_SetObject(PyExc_KeyError, error);
    Py_DECREF(error);
}

#endif
