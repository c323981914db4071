/* Entries of tables that were cleared: dropping a million objects takes a tenth of a second, so that a
 * clear drops some at once and leaves the others to the calls that follow, a few each.
 *
 * Dropping runs __del__, which may do anything, to this very pile too: it is in order before each.
 */
#ifndef RAUDO_GRAVES_H
#define RAUDO_GRAVES_H

#include <Python.h>

#include "table/table.h"

typedef struct raudo_grave {
    raudo_entry *entries;
    uint32_t n_allocated, n_left; /* the first n_left may still hold objects */
    struct raudo_grave *below;
} raudo_grave;

/* Drop the next object pair of the grave, unless the place is free. */
static inline void raudo_grave_drop(raudo_grave *grave) {
    const raudo_entry *e = &grave->entries[--grave->n_left];
    PyObject *key = (PyObject *)e->key, *value = (PyObject *)e->value;
    if (key == NULL) return;
    Py_DECREF(key);
    Py_DECREF(value);
}

static inline void raudo_graves_drop(raudo_grave **graves, uint64_t n) {
    for (; n > 0 && *graves != NULL; n--) {
        raudo_grave *grave = *graves;
        if (grave->n_left > 0) {
            raudo_grave_drop(grave);
            continue;
        }
        *graves = grave->below;
        raudo_block_free(grave->entries, grave->n_allocated * sizeof *grave->entries);
        free(grave);
    }
}

/* Empty the table. Its objects are dropped at once where they are few or memory is short. */
static inline void raudo_graves_take(raudo_grave **graves, raudo_table *t, uint64_t at_once) {
    raudo_grave all = {t->entries, t->n_allocated, t->n_entries, *graves};
    raudo_grave *grave = all.n_left > at_once ? (raudo_grave *)malloc(sizeof *grave) : NULL;
    t->entries = NULL;
    raudo_table_free(t);
    t->version++;
    if (grave != NULL) {
        *grave = all;
        *graves = grave;
        raudo_graves_drop(graves, at_once);
        return;
    }
    while (all.n_left > 0) raudo_grave_drop(&all);
    raudo_block_free(all.entries, all.n_allocated * sizeof *all.entries);
}

static inline size_t raudo_graves_size(const raudo_grave *grave) {
    size_t size = 0;
    for (; grave != NULL; grave = grave->below) size += grave->n_allocated * sizeof *grave->entries;
    return size;
}

static inline int raudo_graves_visit(const raudo_grave *grave, visitproc visit, void *arg) {
    for (; grave != NULL; grave = grave->below) {
        for (uint32_t i = 0; i < grave->n_left; i++) {
            Py_VISIT((PyObject *)grave->entries[i].key);
            Py_VISIT((PyObject *)grave->entries[i].value);
        }
    }
    return 0;
}

#endif
