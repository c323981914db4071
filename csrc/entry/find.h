/* Keys as Python objects: hash, equality and look-up, with the types that need no call.
 *
 * The one place of csrc/ that includes Python.h: Cython's own handling of these costs more than the
 * work (a get of an int: 47 ns in plain Cython, 31 ns so).
 */
#ifndef RAUDO_FIND_H
#define RAUDO_FIND_H

#include <Python.h>

#include "entry/clock.h"
#include "table/curve.h"
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

/* hash() of an int of at most two digits, which is below its modulus of 2**61 - 1. */
static inline Py_hash_t raudo_hash_digits(PyObject *key) {
    const digit *digits = RAUDO_INT_DIGITS(key);
    const Py_ssize_t length = RAUDO_INT_LENGTH(key);
    if (length == 0) return 0;
    Py_hash_t h = (Py_hash_t)digits[0];
    if (length == 2) h |= (Py_hash_t)digits[1] << PyLong_SHIFT;
    h *= RAUDO_INT_SIGN(key);
    return h == -1 ? -2 : h; /* as Python does: 1.0, 1 and True must meet */
}

/* Whether two exact int are equal, the second of at most two digits. */
static inline int raudo_same_digits(PyObject *a, PyObject *b) {
    return RAUDO_INT_SAME_TAG(a, b) && RAUDO_INT_DIGITS(a)[0] == RAUDO_INT_DIGITS(b)[0] &&
           (RAUDO_INT_LENGTH(b) < 2 || RAUDO_INT_DIGITS(a)[1] == RAUDO_INT_DIGITS(b)[1]);
}

/* hash(key), folded. 0 on success; -1 with an exception set. */
static inline int raudo_hash(PyObject *key, uint32_t *hash) {
    Py_hash_t h;
    if (PyUnicode_CheckExact(key) && (h = ((PyASCIIObject *)key)->hash) != -1) {
        /* known already */
    } else if (PyLong_CheckExact(key) && RAUDO_INT_LENGTH(key) <= 2) {
        h = raudo_hash_digits(key);
    } else {
        h = PyObject_Hash(key);
        if (h == -1) return -1;
    }
    *hash = raudo_fold_hash((int64_t)h);
    return 0;
}

/* The flags that an entry of this key has. */
static inline uint32_t raudo_key_flags(PyObject *key) {
    if (!PyLong_CheckExact(key) || RAUDO_INT_SIGN(key) < 0) return 0;
    const Py_ssize_t length = RAUDO_INT_LENGTH(key);
    const int is_small = length <= 1 || (length == 2 && RAUDO_INT_DIGITS(key)[1] >> (32 - PyLong_SHIFT) == 0);
    return is_small ? RAUDO_HASH_IS_KEY : 0;
}

static inline Py_ALWAYS_INLINE int raudo_same_word(const char *a, const char *b, size_t size) {
    uint64_t of_a = 0, of_b = 0;
    memcpy(&of_a, a, size);
    memcpy(&of_b, b, size);
    return of_a == of_b;
}

/* Whether two exact str are of ASCII and equal. Makes no call. */
static inline Py_ALWAYS_INLINE int raudo_same_ascii(PyObject *a, PyObject *b) {
    const Py_ssize_t length = PyUnicode_GET_LENGTH(a);
    if (length != PyUnicode_GET_LENGTH(b)) return 0;
    if (!PyUnicode_IS_COMPACT_ASCII(a) || !PyUnicode_IS_COMPACT_ASCII(b)) return 0;
    const char *of_a = (const char *)((PyASCIIObject *)a + 1);
    const char *of_b = (const char *)((PyASCIIObject *)b + 1);
    /* By words, the last of which may overlap the one before. */
    if (length < 4) return length == 0 || (of_a[0] == of_b[0] && of_a[length / 2] == of_b[length / 2] &&
                                           of_a[length - 1] == of_b[length - 1]);
    if (length < 8) {
        return raudo_same_word(of_a, of_b, 4) &&
               raudo_same_word(of_a + length - 4, of_b + length - 4, 4);
    }
    for (Py_ssize_t i = 0; i + 8 < length; i += 8) {
        if (!raudo_same_word(of_a + i, of_b + i, 8)) return 0;
    }
    return raudo_same_word(of_a + length - 8, of_b + length - 8, 8);
}

/* 1 equal, 0 not, -1: only the objects' own __eq__ can tell. Runs no Python code. */
static inline int raudo_equal_simple(PyObject *a, PyObject *b) {
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
    if (PyBytes_CheckExact(a) && PyBytes_CheckExact(b)) {
        return PyBytes_GET_SIZE(a) == PyBytes_GET_SIZE(b) &&
               memcmp(PyBytes_AS_STRING(a), PyBytes_AS_STRING(b), (size_t)PyBytes_GET_SIZE(a)) == 0;
    }
    if (PyFloat_CheckExact(a) && PyFloat_CheckExact(b)) {
        return PyFloat_AS_DOUBLE(a) == PyFloat_AS_DOUBLE(b);
    }
    return -1;
}

static Py_NO_INLINE int raudo_equal_tuples(PyObject *a, PyObject *b) {
    const Py_ssize_t length = PyTuple_GET_SIZE(a);
    if (length != PyTuple_GET_SIZE(b)) return 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *of_a = PyTuple_GET_ITEM(a, i), *of_b = PyTuple_GET_ITEM(b, i);
        if (of_a == of_b) continue; /* as Python does, a NaN too */
        const int equal = raudo_equal_simple(of_a, of_b);
        if (equal != 1) return equal;
    }
    return 1;
}

/* The same, for tuples of such objects too. */
static inline int raudo_equal_plain(PyObject *a, PyObject *b) {
    const int equal = raudo_equal_simple(a, b);
    if (equal < 0 && PyTuple_CheckExact(a) && PyTuple_CheckExact(b)) return raudo_equal_tuples(a, b);
    return equal;
}

/* Whether the entry is the key's; -1: only __eq__ can tell. Reads a stored int only where it is large: in a
 * large cache every object that need not be read is a cache miss less. */
static inline int raudo_is_entry_of(const raudo_entry *e, PyObject *key, uint32_t hash) {
    if (e->key == key) return 1;
    if (e->hash != hash) return 0;
    if (e->meta & RAUDO_HASH_IS_KEY && raudo_key_flags(key)) return 1;
    return raudo_equal_plain((PyObject *)e->key, key);
}

/* Slot of the key, RAUDO_NO_SLOT where it is not there, RAUDO_FAILED with an exception set.
 *
 * __eq__ may do anything, even to this very table: after it ran, an unchanged `version` says that
 * nothing moved; otherwise the search starts over, as a dict's does. */
static inline uint32_t raudo_find(const raudo_table *t, PyObject *key, uint32_t hash) {
    const raudo_index *x;
again:
    x = &t->index;
    for (;;) {
        RAUDO_EACH_FIT(slot, p, x, hash) {
            if (raudo_is_word_out(x, slot)) continue;
            int equal = raudo_is_entry_of(&t->entries[slot], key, hash);
            if (equal < 0) {
                PyObject *found = (PyObject *)t->entries[slot].key;
                const uint64_t version = t->version;
                Py_INCREF(found);
                equal = PyObject_RichCompareBool(found, key, Py_EQ);
                Py_DECREF(found);
                if (equal < 0) return RAUDO_FAILED;
                if (t->version != version) goto again;
            }
            if (equal) return slot;
        }
        if (x == &t->old || !raudo_is_moving(t)) return RAUDO_NO_SLOT;
        x = &t->old;
    }
}

/* What a get returns where a more general one must decide. Never dereferenced. */
#define RAUDO_UNSURE ((PyObject *)(uintptr_t)1)

#define RAUDO_EXPIRING ((PyObject *)(uintptr_t)2)

/* Whether the curve can be told of a lookup right here, and has not had as many as it waits for. */
static inline int raudo_tells_curve(const raudo_table *t) {
    return t->curve != NULL && t->curve->n_lookups < t->curve->due;
}

static Py_NO_INLINE void raudo_tell_curve(raudo_table *t, uint32_t hash) {
    raudo_curve_look_up(t->curve, hash);
}

/* A hit on an entry that expires, is stamped, or that somebody watches: the value, or RAUDO_UNSURE. While
 * nothing at all has expired the clock and the next to expire tell enough: the entry's own time is not
 * looked at. */
static inline PyObject *raudo_get_expiring(raudo_table *t, uint32_t slot) {
    raudo_entry *e = &t->entries[slot];
    const uint32_t is_watched = e->meta & RAUDO_WATCHED;
    if (e->meta & t->call_mask || (is_watched && !raudo_tells_curve(t))) return RAUDO_UNSURE;
    if (e->meta & RAUDO_HAS_EXPIRY) {
        if (t->has_timer) return RAUDO_UNSURE;
        const int64_t now = raudo_coarse_ns(), next = t->expiry.heap[0].at_ns;
        if (next - now <= RAUDO_COARSE_LAG_NS) {
            if (next <= now) return RAUDO_UNSURE; /* something is to be dropped */
            if (raudo_has_passed(t->expiry.at_ns[slot])) return RAUDO_UNSURE;
        }
    }
    if (raudo_hit(t, slot)) return RAUDO_UNSURE;
    if (is_watched) raudo_tell_curve(t, e->hash);
    t->n_hits++;
    return Py_NewRef((PyObject *)e->value);
}

/* A hit on this slot: its value, counted; or RAUDO_UNSURE, nothing counted. */
static inline PyObject *raudo_hit_value(raudo_table *t, uint32_t slot) {
    if (t->entries[slot].meta & (RAUDO_HAS_EXPIRY | RAUDO_WATCHED | t->call_mask)) {
        return raudo_get_expiring(t, slot);
    }
    if (raudo_hit(t, slot)) return RAUDO_UNSURE;
    t->n_hits++;
    return Py_NewRef((PyObject *)t->entries[slot].value);
}

/* A new reference on a hit, NULL on a miss, both counted; or RAUDO_UNSURE, nothing counted, where Python
 * code would have to run, the policy be called or the key is watched by more than a curve. */
static inline PyObject *raudo_get_plain(raudo_table *t, PyObject *key, uint32_t hash) {
    RAUDO_EACH_FIT(slot, p, &t->index, hash) {
        const int equal = raudo_is_entry_of(&t->entries[slot], key, hash);
        if (equal < 0) return RAUDO_UNSURE;
        if (equal) return raudo_hit_value(t, slot);
    }
    if (t->asks_on_miss) {
        if (raudo_is_moving(t)) return RAUDO_UNSURE;
        if (raudo_is_watched(t, hash)) {
            if (!raudo_tells_curve(t)) return RAUDO_UNSURE;
            raudo_tell_curve(t, hash);
        }
    }
    t->n_misses++;
    return NULL;
}

/* The same for the commonest of keys, an int below 2**60 or a str of ASCII that knows its hash, without
 * a call: a function made of this has no registers to save, a fifth of a hit. Of an entry that expires or is
 * stamped it says RAUDO_EXPIRING, and `found` is its slot. */
static inline Py_ALWAYS_INLINE PyObject *raudo_quickest_get(raudo_table *t, PyObject *key) {
    const int is_text = PyUnicode_CheckExact(key);
    Py_hash_t h;
    if (is_text) {
        h = ((PyASCIIObject *)key)->hash;
        if (h == -1) return RAUDO_UNSURE;
    } else {
        if (!PyLong_CheckExact(key) || RAUDO_INT_LENGTH(key) > 2) return RAUDO_UNSURE;
        h = raudo_hash_digits(key);
    }
    const uint32_t hash = raudo_fold_hash((int64_t)h);
    RAUDO_EACH_FIT(slot, p, &t->index, hash) {
        raudo_entry *e = &t->entries[slot];
        PyObject *found = (PyObject *)e->key;
        if (found != key &&
            !(e->meta & RAUDO_HASH_IS_KEY && e->hash == hash && !is_text && (uint64_t)h >> 32 == 0)) {
            if (Py_TYPE(found) != Py_TYPE(key)) return RAUDO_UNSURE;
            if (!(is_text ? raudo_same_ascii(found, key) : raudo_same_digits(found, key))) {
                return RAUDO_UNSURE; /* another of this very home and tag: as good as never */
            }
        }
        if (e->meta & (RAUDO_HAS_EXPIRY | RAUDO_WATCHED | t->call_mask)) {
            t->found = slot;
            return RAUDO_EXPIRING;
        }
        if (t->hit_kind != RAUDO_HIT_MARK) {
            if (t->hit_kind == RAUDO_HIT_CALL) return RAUDO_UNSURE;
            if (t->hit_kind == RAUDO_HIT_STAMP) {
                t->found = slot;
                return RAUDO_EXPIRING;
            }
            if (t->hit_kind == RAUDO_HIT_MOVE) raudo_list_move_to_tail(t->entries, &t->order, slot);
        } else if ((e->meta & RAUDO_MARKS) != RAUDO_MARKS) {
            if ((e->meta + RAUDO_META_ONE) & t->call_mask) return RAUDO_UNSURE;
            e->meta += RAUDO_META_ONE;
        }
        t->n_hits++;
        return Py_NewRef((PyObject *)e->value);
    }
    if (t->asks_on_miss && (raudo_is_moving(t) || raudo_is_watched(t, hash))) return RAUDO_UNSURE;
    t->n_misses++;
    return NULL;
}

/* The same, which answers for entries that expire too. */
static inline PyObject *raudo_quick_get(raudo_table *t, PyObject *key) {
    PyObject *value = raudo_quickest_get(t, key);
    return value != RAUDO_EXPIRING ? value : raudo_get_expiring(t, t->found);
}

typedef enum { RAUDO_STORE_UNSURE, RAUDO_STORED, RAUDO_STORE_ABSENT } raudo_store_state;

/* The common set of a key that is there, in one straight piece; or RAUDO_STORE_ABSENT where it certainly
 * is not, or RAUDO_STORE_UNSURE, nothing done. Drops the old value last. */
static inline raudo_store_state raudo_quick_set(raudo_table *t, PyObject *key, PyObject *value,
                                                uint32_t hash) {
    if (!t->is_plain) return RAUDO_STORE_UNSURE;
    RAUDO_EACH_FIT(slot, p, &t->index, hash) {
        raudo_entry *e = &t->entries[slot];
        const int equal = raudo_is_entry_of(e, key, hash);
        if (equal < 0) return RAUDO_STORE_UNSURE;
        if (!equal) continue;
        if (e->meta & (RAUDO_HAS_EXPIRY | RAUDO_WATCHED | t->call_mask)) return RAUDO_STORE_UNSURE;
        if (raudo_hit(t, slot)) return RAUDO_STORE_UNSURE;
        PyObject *old = (PyObject *)e->value;
        e->value = Py_NewRef(value);
        t->n_updates++;
        Py_DECREF(old);
        return RAUDO_STORED;
    }
    return raudo_is_moving(t) ? RAUDO_STORE_UNSURE : RAUDO_STORE_ABSENT;
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
