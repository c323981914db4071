/* The key of a call, looked up before it exists: a hit makes no tuple.
 *
 * A call's key is the tuple that functools makes of it: the positional arguments, then a mark, names and
 * values, then the types where they count; one int or str stands for itself. Its elements are gathered
 * on the stack, hashed as the tuple would be, and compared with the stored one element by element. Only a
 * miss makes the tuple.
 */
#ifndef RAUDO_CALL_H
#define RAUDO_CALL_H

#include <Python.h>

#include "entry/find.h"

/* Elements that are gathered on the stack; a longer key takes memory from the heap. */
#define RAUDO_CALL_ITEMS 24

typedef struct {
    PyObject *keywords;         /* the mark, borrowed */
    PyObject *ignored_names;    /* a frozenset of str, borrowed; NULL for none */
    uint64_t ignored_positions; /* bit i: positional argument i is no part of the key */
    Py_ssize_t n_skipped;       /* leading ones that are not: `self` */
    int is_typed;
    int sorts_names; /* the order of keywords does not count */
    int is_plain;    /* the positional arguments after n_skipped are the key's, all and alone */
} raudo_call_rule;

/* --- hash --- */

#if SIZEOF_PY_UHASH_T > 4
#define RAUDO_XX_1 ((Py_uhash_t)11400714785074694791ULL)
#define RAUDO_XX_2 ((Py_uhash_t)14029467366897019727ULL)
#define RAUDO_XX_5 ((Py_uhash_t)2870177450012600261ULL)
#define RAUDO_XX_ROTATE(x) ((x << 31) | (x >> 33))
#else
#define RAUDO_XX_1 ((Py_uhash_t)2654435761UL)
#define RAUDO_XX_2 ((Py_uhash_t)2246822519UL)
#define RAUDO_XX_5 ((Py_uhash_t)374761393UL)
#define RAUDO_XX_ROTATE(x) ((x << 13) | (x >> 19))
#endif

static int raudo_hash_inner_tuple(PyObject *tuple, Py_hash_t *hash);

static inline int raudo_hash_item(PyObject *item, Py_hash_t *hash) {
    Py_hash_t h;
    if (PyUnicode_CheckExact(item) && (h = ((PyASCIIObject *)item)->hash) != -1) {
        /* known already */
    } else if (PyLong_CheckExact(item) && RAUDO_INT_LENGTH(item) <= 2) {
        h = raudo_hash_digits(item);
    } else if (PyTuple_CheckExact(item)) {
        return raudo_hash_inner_tuple(item, hash);
    } else {
        h = PyObject_Hash(item);
        if (h == -1) return -1;
    }
    *hash = h;
    return 0;
}

/* The hash that a tuple of these has (xxHash's lanes, as CPython's tuples have had since 3.8): it must
 * be, as whoever looks into the cache with such a tuple finds it by its own. -1: an exception is set. */
static inline int raudo_hash_items(PyObject *const *items, Py_ssize_t n, Py_hash_t *hash) {
    Py_uhash_t sum = RAUDO_XX_5;
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_hash_t lane;
        if (raudo_hash_item(items[i], &lane) < 0) return -1;
        sum += (Py_uhash_t)lane * RAUDO_XX_2;
        sum = RAUDO_XX_ROTATE(sum);
        sum *= RAUDO_XX_1;
    }
    sum += (Py_uhash_t)n ^ (RAUDO_XX_5 ^ (Py_uhash_t)3527539UL);
    *hash = sum == (Py_uhash_t)-1 ? 1546275796 : (Py_hash_t)sum;
    return 0;
}

static int raudo_hash_inner_tuple(PyObject *tuple, Py_hash_t *hash) {
    return raudo_hash_items(((PyTupleObject *)tuple)->ob_item, PyTuple_GET_SIZE(tuple), hash);
}

/* --- equality, running no Python code: 1 equal, 0 not, -1 only the objects can tell --- */

static int raudo_equal_inner_tuples(PyObject *a, PyObject *b, int depth);

static inline int raudo_equal_item(PyObject *a, PyObject *b, int depth) {
    if (a == b) return 1;
    const int equal = raudo_equal_simple(a, b);
    if (equal >= 0) return equal;
    if (PyTuple_CheckExact(a) && PyTuple_CheckExact(b)) return raudo_equal_inner_tuples(a, b, depth);
    return -1;
}

static inline int raudo_equal_items(PyObject *const *a, PyObject *const *b, Py_ssize_t n, int depth) {
    for (Py_ssize_t i = 0; i < n; i++) {
        const int equal = raudo_equal_item(a[i], b[i], depth);
        if (equal != 1) return equal;
    }
    return 1;
}

static int raudo_equal_inner_tuples(PyObject *a, PyObject *b, int depth) {
    if (PyTuple_GET_SIZE(a) != PyTuple_GET_SIZE(b)) return 0;
    if (depth == 0) return -1;
    return raudo_equal_items(((PyTupleObject *)a)->ob_item, ((PyTupleObject *)b)->ob_item,
                             PyTuple_GET_SIZE(a), depth - 1);
}

static inline int raudo_key_has_items(PyObject *key, PyObject *const *items, Py_ssize_t n) {
    if (!PyTuple_CheckExact(key)) {
        return PyUnicode_CheckExact(key) || PyLong_CheckExact(key) ? 0 : -1;
    }
    if (PyTuple_GET_SIZE(key) != n) return 0;
    return raudo_equal_items(((PyTupleObject *)key)->ob_item, items, n, 8);
}

/* --- look-up --- */

/* raudo_get_plain for the tuple of these elements, whose folded hash is known. `hint` is a slot to try
 * first where there are no elements: of the empty tuple there is only one, known by its address. */
static inline PyObject *raudo_quick_get_items(raudo_table *t, PyObject *const *items, Py_ssize_t n,
                                              uint32_t hash, uint32_t *hint) {
    RAUDO_EACH_FIT(slot, p, &t->index, hash) {
        const raudo_entry *e = &t->entries[slot];
        if (e->hash != hash) continue;
        const int equal = raudo_key_has_items((PyObject *)e->key, items, n);
        if (equal < 0) return RAUDO_UNSURE;
        if (!equal) continue;
        if (n == 0) *hint = slot;
        return raudo_hit_value(t, slot);
    }
    if (t->asks_on_miss) return RAUDO_UNSURE;
    t->n_misses++;
    return NULL;
}

static inline int raudo_hint_holds(const raudo_table *t, uint32_t hint, PyObject *empty) {
    return hint < t->n_entries && t->entries[hint].key == empty;
}

/* --- gathering --- */

/* No more elements than this has the key of such a call. */
static inline Py_ssize_t raudo_most_items(Py_ssize_t n_args, Py_ssize_t n_names) {
    return 2 * n_args + 3 * n_names + 1;
}

/* Put the elements of the call's key into `items`. Their number, or -1 with an exception. They are borrowed,
 * but the last `n_types`, for raudo_drop_types: a __hash__ may give its object another class. */
static inline Py_ssize_t raudo_gather(const raudo_call_rule *rule, PyObject *const *args,
                                      Py_ssize_t n_args, PyObject *names, PyObject **items,
                                      Py_ssize_t *n_types) {
    Py_ssize_t n = 0;
    for (Py_ssize_t i = rule->n_skipped; i < n_args; i++) {
        if (i < 64 && rule->ignored_positions >> i & 1) continue;
        items[n++] = args[i];
    }
    const Py_ssize_t n_positional = n;
    const Py_ssize_t n_names = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    for (Py_ssize_t i = 0; i < n_names; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        if (rule->ignored_names != NULL) {
            const int is_ignored = PySet_Contains(rule->ignored_names, name);
            if (is_ignored < 0) return -1;
            if (is_ignored) continue;
        }
        if (n == n_positional) items[n++] = rule->keywords;
        Py_ssize_t at = n;
        while (rule->sorts_names && at > n_positional + 1 &&
               PyUnicode_Compare(items[at - 2], name) > 0) {
            items[at] = items[at - 2];
            items[at + 1] = items[at - 1];
            at -= 2;
        }
        items[at] = name;
        items[at + 1] = args[n_args + i];
        n += 2;
    }
    if (rule->is_typed) {
        const Py_ssize_t n_untyped = n;
        for (Py_ssize_t i = 0; i < n_positional; i++) items[n++] = Py_NewRef(Py_TYPE(items[i]));
        for (Py_ssize_t i = n_positional + 2; i < n_untyped; i += 2) {
            items[n++] = Py_NewRef(Py_TYPE(items[i]));
        }
        *n_types = n - n_untyped;
    }
    return n;
}

static inline void raudo_drop_types(PyObject *const *items, Py_ssize_t n, Py_ssize_t n_types) {
    for (Py_ssize_t i = n - n_types; i < n; i++) Py_DECREF(items[i]);
}

static inline PyObject *raudo_tuple_of(PyObject *const *items, Py_ssize_t n) {
    PyObject *made = PyTuple_New(n);
    if (made == NULL) return NULL;
    for (Py_ssize_t i = 0; i < n; i++) PyTuple_SET_ITEM(made, i, Py_NewRef(items[i]));
    return made;
}

/* Call with one more argument in front. */
static inline PyObject *raudo_call_with(PyObject *fn, PyObject *first, PyObject *const *args,
                                        size_t n_flagged, PyObject *names) {
    const Py_ssize_t n = PyVectorcall_NARGS(n_flagged);
    const Py_ssize_t n_all = n + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
    PyObject *local[RAUDO_CALL_ITEMS];
    PyObject **all = local;
    if (n_all + 1 > RAUDO_CALL_ITEMS) {
        all = (PyObject **)PyMem_Malloc((size_t)(n_all + 1) * sizeof *all);
        if (all == NULL) return PyErr_NoMemory();
    }
    all[0] = first;
    for (Py_ssize_t i = 0; i < n_all; i++) all[i + 1] = args[i];
    PyObject *result = PyObject_Vectorcall(fn, all, (size_t)n + 1, names);
    if (all != local) PyMem_Free(all);
    return result;
}

/* Have the interpreter call by vectorcall. */
#define raudo_enable_vectorcall(type, offset, more_flags) \
    do { \
        (type)->tp_vectorcall_offset = (offset); \
        (type)->tp_call = PyVectorcall_Call; \
        (type)->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL | (more_flags); \
        PyType_Modified(type); \
    } while (0)

#endif
