# cython: binding=False
"""The memoised callables behind `cached` and `cachedmethod` of `raudo.compat.cachetools`.

Three ways to call: plain; under a lock (the function itself runs outside it, and of two results the one
stored first wins); with a condition variable (a second caller of the same key waits for the first).
Called by the vectorcall protocol (PEP 590). The cache may be any mapping; one of ours whose reading and
setting nothing overrides is reached without Python's attribute look-up, and a miss raises no KeyError.
"""

from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF as INCREF_OBJECT
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport uint64_t

from raudo._core.compat cimport Plain

import threading
from functools import partial

cdef extern from "Python.h":
    void Py_INCREF(PyObject *) noexcept
    void Py_DECREF(PyObject *) noexcept
    ctypedef PyObject *(*vectorcallfunc)(
        PyObject *callable, PyObject **args, size_t n_flagged, PyObject *names
    ) except NULL
    PyObject *PyObject_Vectorcall(
        PyObject *callable, PyObject **args, size_t n_flagged, PyObject *names
    ) except NULL
    object PyObject_VectorcallMethod(
        object name, PyObject **args, size_t n_flagged, PyObject *names
    )
    Py_ssize_t PyVectorcall_NARGS(size_t n_flagged) noexcept
    Py_ssize_t PyTuple_GET_SIZE(PyObject *) noexcept
    PyObject *PyTuple_GET_ITEM(PyObject *, Py_ssize_t) noexcept
    PyObject *PyDict_GetItemWithError(PyObject *, PyObject *) except? NULL
    object PyMethod_New(object function, object instance)
    void PyType_Modified(PyTypeObject *type)

cdef extern from *:
    """
    #define raudo_enable_vectorcall(type, offset, flags) do { \\
        (type)->tp_vectorcall_offset = (offset); \\
        (type)->tp_call = PyVectorcall_Call; \\
        (type)->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL | (flags); \\
    } while (0)
    """
    void raudo_enable_vectorcall(PyTypeObject *type, Py_ssize_t offset, size_t flags) noexcept
    const size_t Py_TPFLAGS_METHOD_DESCRIPTOR

cdef object LOCK = type(threading.Lock())
cdef object RLOCK = type(threading.RLock())
cdef object CONDITION = threading.Condition
cdef str ACQUIRE = "acquire", RELEASE = "release"


# --- keys ---

class _Keywords:
    """Stands in a key between the positional and the keyword arguments.

    The class itself is the mark: no caller passes it by accident, and pickling keeps its identity.
    """

    __slots__ = ()


cdef tuple MARK = (_Keywords,)


def hashkey(*args, **kwargs):
    """Return a key of all arguments; 1 and 1.0 make the same key."""
    return args + MARK + tuple(sorted(kwargs.items())) if kwargs else args


def methodkey(self, /, *args, **kwargs):
    """Return a key of all arguments but the first, which need not be hashable."""
    return args + MARK + tuple(sorted(kwargs.items())) if kwargs else args


def typedkey(*args, **kwargs):
    """Return a key of all arguments and their types; 1 and 1.0 make different keys."""
    return typed(args, kwargs)


def typedmethodkey(self, /, *args, **kwargs):
    """Return a key as `typedkey` does, of all arguments but the first."""
    return typed(args, kwargs)


cdef tuple typed(tuple args, dict kwargs):
    cdef tuple key = args
    if kwargs:
        named = sorted(kwargs.items())
        key = (*args, *MARK, *named, *[type(value) for _, value in named])
    return key + tuple([type(each) for each in args])


cdef object HASHKEY = hashkey
cdef object METHODKEY = methodkey


cdef class Memo:
    """Memo(fn, cache, key, lock, condition, make_info)

    A memoised function. `cache_info` is there only where `make_info` is not None.
    """

    cdef vectorcallfunc vectorcall
    cdef object fn
    cdef object cache_of, key_of, lock_of, condition_of
    cdef object make_info
    cdef object instance
    cdef bint is_method  # the four above are called with `instance`
    cdef bint is_keyed_by_arguments
    cdef set pending
    cdef uint64_t n_hits, n_misses
    cdef dict __dict__
    cdef object __weakref__

    def __cinit__(self, fn, cache, key, lock, condition, make_info, *more):
        self.vectorcall = <vectorcallfunc><void *>call_memo
        self.fn = fn
        self.cache_of = cache
        self.key_of = key
        self.is_keyed_by_arguments = key is HASHKEY
        self.lock_of = condition if lock is None else lock
        self.condition_of = condition
        self.make_info = make_info
        self.pending = set()

    def __call__(self, *args, **kwargs):
        """Call by name; the interpreter itself goes straight to `call_memo`."""
        return self.fn(*args, **kwargs)

    def __getattr__(self, name):
        if name == "cache_info" and self.make_info is not None:
            return self._raudo_info
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _raudo_info(self):
        """Return hits, misses, and the size of the cache."""
        lock = self.cache_lock
        if lock is None:
            return self.make_info(self.cache, self.n_hits, self.n_misses)
        with lock:
            return self.make_info(self.cache, self.n_hits, self.n_misses)

    def cache_clear(self):
        """Drop all results, and set the statistics to zero."""
        lock = self.cache_lock
        if lock is None:
            self.forget()
        else:
            with lock:
                self.forget()

    cdef object forget(self):
        self.cache.clear()
        self.n_hits = self.n_misses = 0

    # --- one call ---

    cdef object look_up(self, object cache, object key, object condition, bint *found):
        """Return the value where it is `found`, else enter the key as being computed. Counts."""
        if condition is not None:
            while self.pending and key in self.pending:
                condition.wait()
        value = read(cache, key, found)
        if found[0]:
            self.n_hits += 1
            return value
        if condition is not None:
            self.pending.add(key)
        self.n_misses += 1
        return None

    cdef object look_up_locked(
        self, object cache, object key, object lock, object condition, bint *found
    ):
        if type(lock) is CONDITION:
            lock = lock._lock  # which is all that its own __enter__ and __exit__ use
        if type(lock) is not LOCK and type(lock) is not RLOCK:
            with lock:
                return self.look_up(cache, key, condition, found)
        # As `with` does, without its look-ups: a third of a hit.
        cdef PyObject *args[1]
        args[0] = <PyObject *>lock
        PyObject_VectorcallMethod(ACQUIRE, args, 1, NULL)
        try:
            return self.look_up(cache, key, condition, found)
        finally:
            PyObject_VectorcallMethod(RELEASE, args, 1, NULL)

    cdef object finish(self, object key, object condition, object lock):
        with lock:
            self.pending.remove(key)
            condition.notify_all()


cdef object read(object cache, object key, bint *found):
    cdef PyObject *value = NULL
    found[0] = False
    try:
        if isinstance(cache, Plain) and (<Plain>cache).is_plain_mapping():
            value = (<Plain>cache).fetch(<PyObject *>key)
        elif type(cache) is dict:
            value = PyDict_GetItemWithError(<PyObject *>cache, <PyObject *>key)
            if value != NULL:
                Py_INCREF(value)
        else:
            result = cache[key]
            found[0] = True
            return result
    except KeyError:
        return None
    if value == NULL:
        return None
    found[0] = True
    result = <object>value
    Py_DECREF(value)
    return result


cdef int write(object cache, object key, object value) except -1:
    try:
        if isinstance(cache, Plain) and (<Plain>cache).is_plain_mapping():
            (<Plain>cache).put(key, value)
        else:
            cache[key] = value
    except ValueError:
        pass  # too large for the cache
    return 0


cdef object key_of_call(Memo self, PyObject **args, Py_ssize_t n, PyObject *names):
    cdef Py_ssize_t i, n_names = PyTuple_GET_SIZE(names) if names != NULL else 0
    if self.is_keyed_by_arguments and n_names == 0:
        key = PyTuple_New(n)
        for i in range(n):
            INCREF_OBJECT(<object>args[i])
            PyTuple_SET_ITEM(key, i, <object>args[i])
        return key
    positional = [<object>args[i] for i in range(n)]
    named = {<object>PyTuple_GET_ITEM(names, i): <object>args[n + i] for i in range(n_names)}
    if self.is_method:
        return self.key_of(self.instance, *positional, **named)
    return self.key_of(*positional, **named)


cdef PyObject *call_memo(
    PyObject *callable, PyObject **args, size_t n_flagged, PyObject *names
) except NULL:
    cdef Memo self = <Memo>callable
    cdef PyObject *made
    cdef bint found = False
    cache, lock, condition = self.cache_of, self.lock_of, self.condition_of
    if self.is_method:
        cache = cache(self.instance)
    key = key_of_call(self, args, PyVectorcall_NARGS(n_flagged), names)
    if lock is None:
        value = self.look_up(cache, key, None, &found)
    else:
        if self.is_method:
            lock = lock(self.instance)
            if condition is not None:
                condition = condition(self.instance)
        value = self.look_up_locked(cache, key, lock, condition, &found)
    if not found and condition is not None:
        try:
            value = call(self.fn, args, n_flagged, names)
            with lock:
                write(cache, key, value)
        finally:
            self.finish(key, condition, lock)
    elif not found:
        value = call(self.fn, args, n_flagged, names)
        if lock is None:
            write(cache, key, value)
        else:
            with lock:
                try:
                    value = cache.setdefault(key, value)  # another thread may have been first
                except ValueError:
                    pass  # too large for the cache
    made = <PyObject *>value
    Py_INCREF(made)
    return made


cdef object call(object fn, PyObject **args, size_t n_flagged, PyObject *names):
    cdef PyObject *value = PyObject_Vectorcall(<PyObject *>fn, args, n_flagged, names)
    result = <object>value
    Py_DECREF(value)
    return result


cdef class FunctionMemo(Memo):
    """A memoised function: binds, copies and pickles as a function does."""

    def __get__(self, instance, owner):
        return self if instance is None else PyMethod_New(self, instance)

    @property
    def cache(self):
        return self.cache_of

    @cache.setter
    def cache(self, cache):
        self.cache_of = cache

    @property
    def cache_key(self):
        return self.key_of

    @cache_key.setter
    def cache_key(self, key):
        self.key_of = key
        self.is_keyed_by_arguments = key is HASHKEY

    @property
    def cache_lock(self):
        return self.lock_of

    @cache_lock.setter
    def cache_lock(self, lock):
        self.lock_of = lock

    @property
    def cache_condition(self):
        return self.condition_of

    @cache_condition.setter
    def cache_condition(self, condition):
        self.condition_of = condition

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return self.__qualname__

    def __repr__(self):
        return f"<cached {self.__wrapped__!r}>"


cdef class MethodMemo(Memo):
    """MethodMemo(bound, cache, key, lock, condition, make_info, descriptor, instance)

    A memoised method of one instance; asks it for its cache and lock at each call.
    """

    cdef object descriptor

    def __cinit__(
        self, fn, cache, key, lock, condition, make_info, descriptor, instance
    ):
        if not callable(key):
            raise TypeError(f"key must be callable, got {key!r}")
        self.is_method = True
        self.is_keyed_by_arguments = key is METHODKEY  # which leaves the instance out
        self.descriptor = descriptor
        self.instance = instance

    @property
    def cache(self):
        return self.cache_of(self.instance)

    @property
    def cache_key(self):
        return partial(self.key_of, self.instance)

    @property
    def cache_lock(self):
        return None if self.lock_of is None else self.lock_of(self.instance)

    @property
    def cache_condition(self):
        return None if self.condition_of is None else self.condition_of(self.instance)

    def __reduce__(self):
        # Made anew when loaded: locks do not pickle, and statistics begin at zero.
        return self.descriptor.__get__, (self.instance,)

    def __repr__(self):
        owner = object.__repr__(self.instance)
        return f"<cachedmethod {self.__wrapped__!r} of {owner}>"


cdef int enable_vectorcall() except -1:
    cdef Memo probe = Memo(None, None, None, None, None, None)
    cdef Py_ssize_t offset = <char *>&probe.vectorcall - <char *><PyObject *>probe
    raudo_enable_vectorcall(
        <PyTypeObject *>FunctionMemo, offset, Py_TPFLAGS_METHOD_DESCRIPTOR
    )
    raudo_enable_vectorcall(<PyTypeObject *>MethodMemo, offset, 0)
    PyType_Modified(<PyTypeObject *>Memo)
    return 0


enable_vectorcall()
