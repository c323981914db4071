/* Keys as Python objects: hash, equality and look-up, with the types that need no call.
 *
 * The one place of csrc/ that includes Python.h: Cython's own handling of these costs more than the
 * work (a get of an int: 47 ns in plain Cython, 31 ns so).
 */
#ifndef RAUDO_FIND_H
#define RAUDO_FIND_H

#include <Python.h>

#include "entry/clock.h"
#include "table/table.h"

#if PY_VERSION_HEX >= 0x030C0000
#define RAUDO_INT_TAG(key) (((PyLongObject *)(key))->long_value.lv_tag)
#define RAUDO_INT_DIGITS(key) (((PyLongObject *)(key))->long_value.ob_digit)
#define RAUDO_INT_LENGTH(key) ((Py_ssize_t)(RAUDO_INT_TAG(key) >> 3))
#define RAUDO_INT_SIGN(key) (1 - (Py_ssize_t)(RAUDO_INT_TAG(key) & 3))
#define RAUDO_INT_SAME_TAG(a, b) (RAUDO_INT_TAG(a) == RAUDO_INT_TAG(b))
#else
#define RAUDO_INT_DIGITS(key) (((PyLongObject *)(key))->ob_digit)
#define RAUDO_INT_LENGTH(key) (Py_SIZE(key) < 0 ? -Py_SIZE(key) : Py_SIZE(key))
#define RAUDO_INT_SIGN(key) (Py_SIZE(key) < 0 ? -1 : 1)
#define RAUDO_INT_SAME_TAG(a, b) (Py_SIZE(a) == Py_SIZE(b))
#endif

/* hash(key), folded. 0 on success; -1 with an exception set. */
static inline int raudo_hash(PyObject *key, uint32_t *hash) {
    Py_hash_t h;
    if (PyUnicode_CheckExact(key) && (h = ((PyASCIIObject *)key)->hash) != -1) {
        /* known already */
    } else if (PyLong_CheckExact(key) && RAUDO_INT_LENGTH(key) <= 1) {
        h = RAUDO_INT_SIGN(key) * (Py_hash_t)RAUDO_INT_DIGITS(key)[0];
        if (RAUDO_INT_LENGTH(key) == 0) h = 0;
        if (h == -1) h = -2; /* as Python does: 1.0, 1 and True must meet */
    } else {
        h = PyObject_Hash(key);
        if (h == -1) return -1;
    }
    *hash = raudo_fold_hash((int64_t)h);
    return 0;
}

/* 1 equal, 0 not, -1: only the objects' own __eq__ can tell. Runs no Python code. */
static inline int raudo_equal_plain(PyObject *a, PyObject *b) {
    if (PyUnicode_CheckExact(a) && PyUnicode_CheckExact(b)) {
        const Py_ssize_t length = PyUnicode_GET_LENGTH(a);
        return length == PyUnicode_GET_LENGTH(b) && PyUnicode_KIND(a) == PyUnicode_KIND(b) &&
               memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b),
                      (size_t)length * (size_t)PyUnicode_KIND(a)) == 0;
    }
    if (PyLong_CheckExact(a) && PyLong_CheckExact(b)) {
        return RAUDO_INT_SAME_TAG(a, b) &&
               memcmp(RAUDO_INT_DIGITS(a), RAUDO_INT_DIGITS(b),
                      (size_t)RAUDO_INT_LENGTH(a) * sizeof(digit)) == 0;
    }
    return -1;
}

/* Slot of the key, RAUDO_NO_SLOT where it is not there, RAUDO_FAILED with an exception set.
 *
 * __eq__ may do anything, even to this very table: after it ran, an unchanged `version` says that
 * nothing moved; otherwise the search starts over, as a dict's does. */
static inline uint32_t raudo_find(const raudo_table *t, PyObject *key, uint32_t hash) {
again:
    if (t->n_live == 0) return RAUDO_NO_SLOT;
    for (uint32_t i = raudo_home(t, hash);; i = raudo_next_word(t, i)) {
        const uint64_t word = t->index[i];
        if (word == 0) return RAUDO_NO_SLOT;
        if ((uint32_t)(word >> 32) != hash) continue;
        const uint32_t slot = (uint32_t)word - 1u;
        PyObject *found = (PyObject *)t->entries[slot].key;
        if (found == key) return slot;
        int equal = raudo_equal_plain(found, key);
        if (equal < 0) {
            const uint64_t version = t->version;
            Py_INCREF(found);
            equal = PyObject_RichCompareBool(found, key, Py_EQ);
            Py_DECREF(found);
            if (equal < 0) return RAUDO_FAILED;
            if (t->version != version) goto again;
        }
        if (equal) return slot;
    }
}

/* What raudo_quick_get returns where the general way must decide. Never dereferenced. */
#define RAUDO_UNSURE ((PyObject *)(uintptr_t)1)

/* The common get in one straight piece: a new reference on a hit, NULL on a miss, both counted; or
 * RAUDO_UNSURE, nothing counted, where Python code would have to run or the policy be called. */
static inline PyObject *raudo_quick_get(raudo_table *t, PyObject *key) {
    uint32_t hash;
    if (PyUnicode_CheckExact(key)) {
        const Py_hash_t h = ((PyASCIIObject *)key)->hash;
        if (h == -1) return RAUDO_UNSURE;
        hash = raudo_fold_hash((int64_t)h);
    } else if (!PyLong_CheckExact(key) || raudo_hash(key, &hash) < 0) {
        return RAUDO_UNSURE;
    }
    if (t->n_live == 0) {
        t->n_misses++;
        return NULL;
    }
    for (uint32_t i = raudo_home(t, hash);; i = raudo_next_word(t, i)) {
        const uint64_t word = t->index[i];
        if ((uint32_t)(word >> 32) == hash && word != 0) {
            const uint32_t slot = (uint32_t)word - 1u;
            raudo_entry *e = &t->entries[slot];
            if (e->key != key) {
                const int equal = raudo_equal_plain((PyObject *)e->key, key);
                if (equal < 0) return RAUDO_UNSURE;
                if (!equal) continue;
            }
            if (e->meta & (RAUDO_HAS_EXPIRY | t->call_mask)) {
                if (e->meta & t->call_mask || t->has_timer) return RAUDO_UNSURE;
                if (raudo_has_passed(t->expiry.at_ns[slot])) return RAUDO_UNSURE;
            }
            if (raudo_hit(t, slot)) return RAUDO_UNSURE;
            t->n_hits++;
            Py_INCREF((PyObject *)e->value);
            return (PyObject *)e->value;
        }
        if (word == 0) {
            t->n_misses++;
            return NULL;
        }
    }
}

typedef enum { RAUDO_STORE_UNSURE, RAUDO_STORED, RAUDO_STORE_ABSENT } raudo_store_state;

/* The common set of a key that is there, in one straight piece; or RAUDO_STORE_ABSENT and the hash
 * where it certainly is not, or RAUDO_STORE_UNSURE, nothing done. Drops the old value last. */
static inline raudo_store_state raudo_quick_set(raudo_table *t, PyObject *key, PyObject *value,
                                                uint32_t *hash) {
    if (!t->is_plain) return RAUDO_STORE_UNSURE;
    if (!PyUnicode_CheckExact(key) && !PyLong_CheckExact(key)) return RAUDO_STORE_UNSURE;
    if (raudo_hash(key, hash) < 0) {
        PyErr_Clear(); /* cannot be for these types; the general way reports it */
        return RAUDO_STORE_UNSURE;
    }
    if (t->n_live == 0) return RAUDO_STORE_ABSENT;
    for (uint32_t i = raudo_home(t, *hash);; i = raudo_next_word(t, i)) {
        const uint64_t word = t->index[i];
        if (word == 0) return RAUDO_STORE_ABSENT;
        if ((uint32_t)(word >> 32) != *hash) continue;
        const uint32_t slot = (uint32_t)word - 1u;
        raudo_entry *e = &t->entries[slot];
        if (e->key != key) {
            const int equal = raudo_equal_plain((PyObject *)e->key, key);
            if (equal < 0) return RAUDO_STORE_UNSURE;
            if (!equal) continue;
        }
        if (e->meta & (RAUDO_HAS_EXPIRY | t->call_mask)) return RAUDO_STORE_UNSURE;
        if (raudo_hit(t, slot)) return RAUDO_STORE_UNSURE;
        PyObject *old = (PyObject *)e->value;
        Py_INCREF(value);
        e->value = value;
        t->n_updates++;
        Py_DECREF(old);
        return RAUDO_STORED;
    }
}

/* tp_traverse's part over the entries. */
static inline int raudo_visit(const raudo_table *t, visitproc visit, void *arg) {
    for (uint32_t slot = 0; slot < t->n_entries; slot++) {
        Py_VISIT((PyObject *)t->entries[slot].key);
        Py_VISIT((PyObject *)t->entries[slot].value);
    }
    return 0;
}

#endif
