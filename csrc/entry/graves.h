/* Entries of tables that were cleared: dropping a million objects takes a tenth of a second, so that a
 * clear drops some at once and leaves the others to the calls that follow, a few each.
 *
 * Dropping runs __del__, which may do anything, to this very pile too: it is in order before each.
 */
#ifndef RAUDO_GRAVES_H
#define RAUDO_GRAVES_H

#include <Python.h>

#include "table/table.h"

#define RAUDO_GRAVE_BLOCKS 6

typedef struct {
    void *at;
    size_t size;
} raudo_grave_block;

typedef struct raudo_grave {
    raudo_entry *entries; /* blocks[0] */
    uint32_t n_left;      /* the first n_left may still hold objects */
    raudo_grave_block blocks[RAUDO_GRAVE_BLOCKS];
    struct raudo_grave *below;
} raudo_grave;

/* Drop the next object pair, unless the place is free. */
static inline void raudo_grave_drop(raudo_grave *grave) {
    const raudo_entry *e = &grave->entries[--grave->n_left];
    PyObject *key = (PyObject *)e->key, *value = (PyObject *)e->value;
    if (key == NULL) return;
    Py_DECREF(key);
    Py_DECREF(value);
}

/* Give a piece of the memory back: unmapping much at once takes milliseconds. 0 when all is gone. */
static inline int raudo_grave_trim(raudo_grave *grave) {
    for (int i = RAUDO_GRAVE_BLOCKS - 1; i >= 0; i--) {
        raudo_grave_block *block = &grave->blocks[i];
        if (block->size == 0) continue;
        block->size = raudo_block_trim(block->at, block->size);
        return 1;
    }
    return 0;
}

/* Drop the objects of up to n places, or give back a piece of memory that held some. */
static inline void raudo_graves_drop(raudo_grave **graves, uint32_t n) {
    while (n-- > 0 && *graves != NULL) {
        raudo_grave *grave = *graves;
        if (grave->n_left > 0) {
            raudo_grave_drop(grave);
        } else if (raudo_grave_trim(grave)) {
            return;
        } else {
            *graves = grave->below;
            free(grave);
        }
    }
}

static inline void raudo_graves_drop_all(raudo_grave **graves) {
    while (*graves != NULL) raudo_graves_drop(graves, UINT32_MAX);
}

/* Empty the table, but for its order. The objects are dropped at once where they are few or memory is
 * short. */
static inline void raudo_graves_take(raudo_grave **graves, raudo_table *t, uint32_t at_once) {
    const raudo_expiry *x = &t->expiry;
    raudo_grave all = {
        .entries = t->entries,
        .n_left = t->n_entries,
        .blocks = {{t->entries, t->n_allocated * sizeof *t->entries},
                   {t->index.words, raudo_index_size(&t->index)},
                   {t->old.words, raudo_index_size(&t->old)},
                   {x->at_ns, x->n_times * sizeof *x->at_ns},
                   {x->position, x->n_positions * sizeof *x->position},
                   {x->heap, x->n_allocated * sizeof *x->heap}},
        .below = *graves,
    };
    t->entries = NULL;
    t->n_live = t->n_entries = t->n_allocated = 0;
    t->free_head = RAUDO_NO_SLOT;
    t->version++;
    raudo_index_init(&t->index);
    raudo_index_init(&t->old);
    t->expiry = (raudo_expiry){0};
    raudo_grave *grave = all.n_left > at_once ? (raudo_grave *)malloc(sizeof *grave) : NULL;
    if (grave != NULL) {
        *grave = all;
        *graves = grave;
        raudo_graves_drop(graves, at_once);
        return;
    }
    while (all.n_left > 0) raudo_grave_drop(&all);
    while (raudo_grave_trim(&all)) {}
}

static inline size_t raudo_graves_size(const raudo_grave *grave) {
    size_t size = 0;
    for (; grave != NULL; grave = grave->below) {
        for (int i = 0; i < RAUDO_GRAVE_BLOCKS; i++) size += grave->blocks[i].size;
    }
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
