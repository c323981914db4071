# cython: binding=False
"""Cached methods: the results live in the instance, and die with it.

They are kept in the instance's `__dict__`, so that a result which refers back to the instance is an
ordinary cycle. An instance without one is found by its weak reference. Copies and pickles of an
instance start with nothing remembered. A hit finds the instance's memo without Python code.

No locks: what is made for an instance is made first and then put in place by dict operations that run
no Python code, so that with the GIL held no thread cuts in; whoever comes second uses what is there.
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject

from raudo._core.memo cimport (
    PyVectorcall_NARGS,
    call_memo,
    raudo_call_with,
    raudo_enable_vectorcall,
    vectorcallfunc,
)

import functools
import inspect
import weakref

from raudo._core.memo import CacheInfo

cdef extern from "Python.h":
    void Py_DECREF(PyObject *) noexcept
    void Py_INCREF(PyObject *) noexcept
    PyTypeObject *Py_TYPE(PyObject *) noexcept
    unsigned long METHOD_DESCRIPTOR "Py_TPFLAGS_METHOD_DESCRIPTOR"
    PyObject *PyObject_Vectorcall(
        PyObject *callable, PyObject **args, size_t n_flagged, PyObject *names
    ) except NULL
    PyObject **_PyObject_GetDictPtr(PyObject *) noexcept
    bint PyDict_CheckExact(PyObject *) noexcept
    bint PyType_Check(PyObject *) noexcept
    PyObject *PyDict_GetItemWithError(PyObject *mapping, PyObject *key) except? NULL
    PyObject *PyTuple_GET_ITEM(PyObject *, Py_ssize_t) noexcept
    object PyLong_FromVoidPtr(void *)
    object PyMethod_New(object function, object instance)

cdef extern from "entry/instance.h":
    bint raudo_refers_to(PyObject *owner, PyObject *instance) noexcept

cdef str ATTRIBUTE = "_raudo_cached"


@cython.final
cdef class Results:
    """The memos of one instance, by method. Equal to any other: it is no part of the state."""

    cdef object owner  # a weak reference; the instance where it has none: a cycle, and collected
    cdef dict by_method
    cdef object last_method, last_memo  # most instances have one: found without the dict

    def __cinit__(self, instance=None):
        self.by_method = {}
        try:
            self.owner = None if instance is None else weakref.ref(instance)
        except TypeError:
            self.owner = instance

    def __eq__(self, other):
        return isinstance(other, Results)

    __hash__ = None

    def __reduce__(self):
        return Results, ()


cdef class CachedMethod:
    """What a cached function in a class body becomes: a memo for each instance."""

    cdef vectorcallfunc vectorcall
    cdef object fn, build, known, plain
    cdef dict without_dict  # id of an instance -> its weak reference, its memo
    cdef bint is_method
    cdef dict __dict__
    cdef object __weakref__

    def __cinit__(self, fn, build, *, is_method):
        self.vectorcall = <vectorcallfunc>call_method
        self.fn = fn
        self.build = build
        self.is_method = is_method
        self.known = weakref.WeakValueDictionary()  # by id
        self.without_dict = {}
        functools.update_wrapper(self, fn)

    def __call__(self, *args, **kwargs):
        """Call by name; the interpreter itself goes straight to `call_method`."""
        return self.fn(*args, **kwargs)

    def __set_name__(self, owner, name):
        self.is_method = True

    def __get__(self, instance, owner):
        if instance is None:
            return self
        if not self.is_method:  # within a class method
            return PyMethod_New(self, instance)
        return BoundMethod(instance, self)

    def memo_of(self, *args):
        """Return the memo of an instance, the first of the arguments; of all where it is none's."""
        cdef PyObject *found
        if not self.is_method or not args:
            return self.make_plain()
        found = find(<PyObject *>self, <PyObject *>args[0])
        return <object>found if found != NULL else self.make(args[0])

    cdef object make_plain(self):
        if self.plain is None:
            memo = self.build(self.fn, 0)
            if self.plain is None:
                self.plain = memo
        return self.plain

    cdef object make(self, instance):
        cdef PyObject **attributes = _PyObject_GetDictPtr(<PyObject *>instance)
        cdef dict kept
        if (
            attributes == NULL
            or attributes[0] == NULL
            or not PyDict_CheckExact(attributes[0])
            or PyType_Check(<PyObject *>instance)
        ):
            return self.make_without_dict(instance)
        kept = <dict>attributes[0]
        cdef Results results = Results(instance)
        memo = self.make_memo()
        found = kept.get(ATTRIBUTE)
        # None there, or that of another instance, from which this one was copied.
        if type(found) is Results and raudo_refers_to(
            <PyObject *>(<Results>found).owner, <PyObject *>instance
        ):
            results = found
        else:
            kept[ATTRIBUTE] = results
        return results.by_method.setdefault(self, memo)

    cdef object make_without_dict(self, instance):
        number = id(instance)
        try:
            reference = weakref.ref(instance, functools.partial(forget, self.without_dict, number))
        except TypeError:
            raise TypeError(
                f"results of {self.fn.__qualname__} cannot be kept with an instance of "
                f"{type(instance).__qualname__}, which has neither __dict__ nor __weakref__: add "
                "one of them to its __slots__, or give cached a key="
            ) from None
        made = reference, self.make_memo()
        known = self.without_dict.get(number)
        if known is not None and raudo_refers_to(
            <PyObject *>(<tuple>known)[0], <PyObject *>instance
        ):
            made = known
        else:
            self.without_dict[number] = made
        return made[1]

    cdef object make_memo(self):
        memo = self.build(self.fn, 1)
        self.known[id(memo)] = memo
        return memo

    def caches(self):
        """Return the memos of the instances that are alive."""
        found = [reference() for reference in self.known.valuerefs()]
        found.append(self.plain)
        return [memo for memo in found if memo is not None]

    def cache_info(self):
        """Return the sums over all instances."""
        infos = [each.cache_info() for each in self.caches()]
        return CacheInfo(
            sum([info.hits for info in infos]),
            sum([info.misses for info in infos]),
            self.build(self.fn, 0).cache_info().maxsize,
            sum([info.currsize for info in infos]),
        )

    def cache_clear(self):
        """Forget the results of all instances."""
        for each in self.caches():
            each.cache_clear()

    def cache_key(self, *args, **kwargs):
        """Return the key of such a call in the memo of the instance."""
        return self.memo_of(*args).cache_key(*args, **kwargs)

    def invalidate(self, *args, **kwargs):
        """Forget the result of such a call, the instance first."""
        return self.memo_of(*args).invalidate(*args, **kwargs)

    # As a function: pickled by name, and its copy is itself.
    def __reduce__(self):
        return self.__qualname__

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __repr__(self):
        return f"<raudo cached method {self.fn!r}>"


def forget(without_dict, number, reference):
    """Drop what was kept for an instance that is gone, unless its id has another one by now."""
    known = without_dict.get(number)
    if known is not None and known[0] is reference:
        del without_dict[number]


@cython.final
cdef class BoundMethod:
    """The method as seen on an instance; keeps it alive as any bound method does."""

    cdef vectorcallfunc vectorcall
    cdef readonly object __self__
    cdef readonly CachedMethod __func__

    def __cinit__(self, instance, method):
        self.vectorcall = <vectorcallfunc>call_bound
        self.__self__ = instance
        self.__func__ = method

    def __call__(self, *args, **kwargs):
        """Call by name; the interpreter itself goes straight to `call_bound`."""
        return self.__func__(self.__self__, *args, **kwargs)

    @property
    def cache(self):
        return self.__func__.memo_of(self.__self__).cache

    def cache_info(self):
        """Return hits, misses, maxsize and currsize of this instance."""
        return self.__func__.memo_of(self.__self__).cache_info()

    def cache_clear(self):
        """Forget the results of this instance."""
        self.__func__.memo_of(self.__self__).cache_clear()

    def cache_key(self, *args, **kwargs):
        """Return the key under which the result of such a call is kept in `cache`."""
        return self.__func__.cache_key(self.__self__, *args, **kwargs)

    def invalidate(self, *args, **kwargs):
        """Forget the result of such a call of this instance."""
        return self.__func__.invalidate(self.__self__, *args, **kwargs)

    @property
    def __signature__(self):
        whole = inspect.signature(self.__func__.fn)
        return whole.replace(parameters=list(whole.parameters.values())[1:])

    def __getattr__(self, name):
        return getattr(self.__func__, name)

    def __eq__(self, other):
        if not isinstance(other, BoundMethod):
            return NotImplemented
        return self.__self__ is other.__self__ and self.__func__ is other.__func__

    def __hash__(self):
        return hash((id(self.__self__), id(self.__func__)))

    def __reduce__(self):
        return getattr, (self.__self__, self.__func__.__name__)

    def __repr__(self):
        return f"<bound {self.__func__!r} of {self.__self__!r}>"


cdef PyObject *find(PyObject *method, PyObject *instance) except? NULL:
    """Return the instance's memo, borrowed, or NULL where there is none yet."""
    cdef PyObject **attributes = _PyObject_GetDictPtr(instance)
    cdef PyObject *found
    if attributes != NULL and attributes[0] != NULL:
        found = PyDict_GetItemWithError(attributes[0], <PyObject *>ATTRIBUTE)
        if (
            found != NULL
            and Py_TYPE(found) == <PyTypeObject *>Results
            and raudo_refers_to(<PyObject *>(<Results>found).owner, instance)
        ):
            if <PyObject *>(<Results>found).last_method == method:
                return <PyObject *>(<Results>found).last_memo
            return find_among(<Results>found, method)
    if not (<CachedMethod>method).without_dict:
        return NULL
    number = PyLong_FromVoidPtr(instance)
    found = PyDict_GetItemWithError(
        <PyObject *>(<CachedMethod>method).without_dict, <PyObject *>number
    )
    if found == NULL or not raudo_refers_to(PyTuple_GET_ITEM(found, 0), instance):
        return NULL
    return PyTuple_GET_ITEM(found, 1)


cdef PyObject *find_among(Results results, PyObject *method) except? NULL:
    memo = results.by_method.get(<object>method)
    if memo is None:
        return NULL
    results.last_method = <object>method
    results.last_memo = memo
    return <PyObject *>memo  # `results` keeps it


cdef PyObject *call_method(
    PyObject *callable, PyObject **args, size_t n_flagged, PyObject *names
) except NULL:
    cdef PyObject *memo = NULL
    if not (<CachedMethod>callable).is_method or PyVectorcall_NARGS(n_flagged) == 0:
        return call_unbound(<CachedMethod>callable, args, n_flagged, names)
    memo = find(callable, args[0])
    if memo == NULL:
        return call_first(<CachedMethod>callable, args, n_flagged, names)
    Py_INCREF(memo)  # user code may drop the instance's attributes meanwhile
    try:
        return call_memo(memo, args, n_flagged, names)
    finally:
        Py_DECREF(memo)


cdef PyObject *call_unbound(
    CachedMethod self, PyObject **args, size_t n_flagged, PyObject *names
) except NULL:
    if self.is_method:  # without an instance: the function says so, or is given it by its name
        return PyObject_Vectorcall(<PyObject *>self.fn, args, n_flagged, names)
    memo = self.make_plain()
    return call_memo(<PyObject *>memo, args, n_flagged, names)


cdef PyObject *call_first(
    CachedMethod self, PyObject **args, size_t n_flagged, PyObject *names
) except NULL:
    memo = self.make(<object>args[0])
    return call_memo(<PyObject *>memo, args, n_flagged, names)


cdef PyObject *call_bound(
    PyObject *callable, PyObject **args, size_t n_flagged, PyObject *names
) except NULL:
    cdef BoundMethod self = <BoundMethod>callable
    return raudo_call_with(<PyObject *>self.__func__, <PyObject *>self.__self__, args, n_flagged, names)


cdef int enable_vectorcall() except -1:
    cdef CachedMethod method = CachedMethod(enable_vectorcall_probe, None, is_method=True)
    cdef BoundMethod bound = BoundMethod(None, method)
    raudo_enable_vectorcall(
        <PyTypeObject *>CachedMethod,
        <char *>&method.vectorcall - <char *><PyObject *>method,
        METHOD_DESCRIPTOR,
    )
    raudo_enable_vectorcall(
        <PyTypeObject *>BoundMethod, <char *>&bound.vectorcall - <char *><PyObject *>bound, 0
    )
    return 0


def enable_vectorcall_probe():
    """Stand for a function while the offsets are taken."""


enable_vectorcall()
