/* Look-up in a dict, without the call that hashing costs for int and str. */
#ifndef RAUDO_DICT_H
#define RAUDO_DICT_H

#include "entry/find.h"

/* The value, borrowed; NULL where it is not there, or with an exception set. */
static inline PyObject *raudo_dict_find(PyObject *dict, PyObject *key) {
    Py_hash_t hash;
    if (PyLong_CheckExact(key) && RAUDO_INT_LENGTH(key) <= 2) {
        hash = raudo_hash_digits(key);
    } else if (!PyUnicode_CheckExact(key) || (hash = ((PyASCIIObject *)key)->hash) == -1) {
        return PyDict_GetItemWithError(dict, key);
    }
    return _PyDict_GetItem_KnownHash(dict, key, hash);
}

#endif
