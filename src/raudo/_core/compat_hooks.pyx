# cython: binding=False
"""Subclass hooks of the stand-in caches: what a subclass or an instance overrides, as bits.

Where it is nothing that a step would call, the step is taken directly, else through the attribute.
"""

cimport cython
from cpython.object cimport PyObject

cdef extern from "Python.h":
    PyObject **_PyObject_GetDictPtr(PyObject *) noexcept
    Py_ssize_t PyDict_GET_SIZE(PyObject *) noexcept

cdef dict HOOKS = {
    "__getitem__": GETITEM, "__setitem__": SETITEM, "__delitem__": DELITEM,
    "__contains__": CONTAINS, "__iter__": ITER, "__missing__": MISSING, "popitem": POPITEM,
    "expire": EXPIRE, "timer": TIMER,
}
# Found on the instance too, because they are called as attributes.
cdef tuple OWN_HOOKS = ("popitem", "__missing__", "expire")

cdef dict ORIGINALS = {}  # compiled class -> what each hook is there


cdef object static_attribute(type cls, str name):
    for base in cls.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return None


cdef int remember_own(type kind) except -1:
    """Take the attributes that a compiled class has now for its own, which override nothing."""
    ORIGINALS[kind] = {name: static_attribute(kind, name) for name in HOOKS}
    return 0


@cython.auto_pickle(False)
cdef class Hooked:
    """Knows what its class and instance override."""

    cdef unsigned int hooks(self) except? 0xFFFFFFFF:
        """Bits of what the class or this instance overrides."""
        cdef unsigned int found = self.class_hooks()
        cdef PyObject **own = _PyObject_GetDictPtr(<PyObject *>self)
        if own != NULL and own[0] != NULL and PyDict_GET_SIZE(own[0]):
            for name in OWN_HOOKS:
                if name in <dict>own[0]:
                    found |= <unsigned int>HOOKS[name]
        return found

    cdef int look_for_hooks(self) except -1:
        """Compare the class with the compiled one that it extends; the interpreter gives it a new version
        whenever an attribute of it or of a base is assigned."""
        cdef unsigned int found = 0
        cls = type(self)
        own = [ORIGINALS[base] for base in cls.__mro__ if base in ORIGINALS][0]
        for name, bit in HOOKS.items():
            if static_attribute(cls, name) is not own[name]:
                found |= <unsigned int>bit
        getattr(cls, "popitem", None)  # a look-up by name gives it a version where it has none
        self.hooks_of_class = found
        self.seen_version = raudo_type_version(Py_TYPE(<PyObject *>self))
        return 0
