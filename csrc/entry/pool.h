/* The quick ways in and out of an object pool: nothing of the user's runs, nothing is made.
 *
 * The GIL makes each of these atomic; a pool has no lock.
 */
#ifndef RAUDO_POOL_H
#define RAUDO_POOL_H

#include <Python.h>

#include "pool/book.h"

enum { RAUDO_WEAK, RAUDO_HELD, RAUDO_VALUE };

/* How an object is made as new; from RAUDO_STREAM on it takes a call. */
enum {
    RAUDO_OPAQUE,
    RAUDO_LIST,
    RAUDO_DICT,
    RAUDO_SET,
    RAUDO_BYTEARRAY,
    RAUDO_STREAM,
    RAUDO_RESETTABLE,
    RAUDO_CLEARABLE,
};

enum { RAUDO_REAP_EVERY = 16 };

typedef struct {
    raudo_book book;
    uint32_t max_size;
    uint32_t quick_above; /* acquire is quick with more idle than this: 0, or out of reach with a guard */
    uint32_t quick_below; /* release is quick with fewer idle than this: the room on the stack, or 0 */
    uint32_t hand;        /* the next entry to look at for a lost object */
    uint64_t n_acquired, n_created, n_released, n_discarded, n_lost;
} raudo_pool;

/* To be called when the rules or the room on the stack have changed. */
static inline void raudo_pool_set_quick(raudo_pool *pool, int has_guard, int has_reset) {
    const uint32_t room = pool->book.stack_size < pool->max_size ? pool->book.stack_size : pool->max_size;
    pool->quick_above = has_guard ? UINT32_MAX : 0;
    pool->quick_below = has_guard || has_reset ? 0 : room;
}

static inline uint64_t raudo_pool_lent(const raudo_pool *pool) {
    return pool->n_acquired - pool->n_released - pool->n_lost;
}

/* Weak references are compared by their field: PyWeakref_GetObject is deprecated from 3.13 on, and its
 * successor makes and drops a reference for nothing. */
static inline int raudo_is_dead(const raudo_book_entry *entry) {
    return entry->tracking == RAUDO_WEAK &&
           (void *)((PyWeakReference *)entry->ref)->wr_object != entry->address;
}

/* Nobody but the pool refers to the lent object of this entry. */
static inline int raudo_is_lost(const raudo_book_entry *entry) {
    if (entry->lent == 0) return 0;
    return entry->tracking == RAUDO_WEAK ? raudo_is_dead(entry) : Py_REFCNT((PyObject *)entry->address) == 1;
}

static inline uint8_t raudo_dirty_at(uint8_t shape) {
    switch (shape) {
    case RAUDO_OPAQUE:
        return 0;
    case RAUDO_LIST:
    case RAUDO_BYTEARRAY:
        return offsetof(PyVarObject, ob_size);
    case RAUDO_DICT:
        return offsetof(PyDictObject, ma_used);
    case RAUDO_SET:
        return offsetof(PySetObject, used);
    default:
        return offsetof(PyObject, ob_type); /* never 0: only a call makes it as new */
    }
}

static inline int raudo_is_clean(const raudo_book_entry *entry) {
    return entry->dirty_at == 0 || *(Py_ssize_t *)((char *)entry->address + entry->dirty_at) == 0;
}

/* An idle object, now lent, as a new reference. There must be one. */
static inline PyObject *raudo_pool_lend(raudo_pool *pool) {
    const uint32_t number = raudo_book_pop(&pool->book);
    raudo_book_entry *entry = &pool->book.entries[number];
    entry->lent++;
    pool->n_acquired++;
    pool->book.latest = number;
    PyObject *object = (PyObject *)entry->address;
    if (entry->tracking == RAUDO_WEAK) {
        entry->owned = NULL; /* its reference goes to the borrower */
        return object;
    }
    return Py_NewRef(object);
}

/* Put the object of this entry on the stack, where there is room for it. */
static inline void raudo_pool_keep(raudo_pool *pool, uint32_t number) {
    raudo_book_entry *entry = &pool->book.entries[number];
    if (entry->tracking == RAUDO_WEAK) entry->owned = Py_NewRef((PyObject *)entry->address);
    raudo_book_push(&pool->book, number);
}

/* NULL where it takes more than this. */
static inline PyObject *raudo_pool_quick_acquire(raudo_pool *pool) {
    if (pool->book.n_idle <= pool->quick_above || pool->n_acquired % RAUDO_REAP_EVERY == 0) return NULL;
    return raudo_pool_lend(pool);
}

/* 0 where it takes more than this, nothing done. */
static inline int raudo_pool_quick_release(raudo_pool *pool, PyObject *object) {
    raudo_book *book = &pool->book;
    raudo_book_entry *entry = &book->entries[book->latest];
    uint32_t number = book->latest;
    if (entry->address != object) {
        const int64_t found = raudo_book_find(book, object);
        if (found < 0) return 0;
        number = (uint32_t)found;
        entry = &book->entries[number];
    }
    if (book->n_idle >= pool->quick_below || entry->lent == 0) return 0;
    if (!raudo_is_clean(entry) || raudo_is_dead(entry)) return 0;
    entry->lent--;
    pool->n_released++;
    raudo_pool_keep(pool, number);
    return 1;
}

/* tp_traverse's part over the entries. */
static inline int raudo_pool_visit(const raudo_pool *pool, visitproc visit, void *arg) {
    for (uint32_t i = 0; i < pool->book.n_entries; i++) {
        Py_VISIT((PyObject *)pool->book.entries[i].owned);
        Py_VISIT((PyObject *)pool->book.entries[i].ref);
    }
    return 0;
}

#endif
