"""Which methods a subclass of a stand-in cache overrides, as bits."""

cimport cython
from cpython.object cimport PyObject, PyTypeObject

cdef extern from *:
    """
    #define raudo_type_version(type) ((type)->tp_version_tag)
    """
    unsigned int raudo_type_version(PyTypeObject *type) noexcept

cdef extern from "Python.h":
    PyTypeObject *Py_TYPE(PyObject *) noexcept

cdef enum:
    GETITEM = 1
    SETITEM = 2
    DELITEM = 4
    CONTAINS = 8
    ITER = 16
    MISSING = 32
    POPITEM = 64
    EXPIRE = 128
    TIMER = 256
    ON_EVICT = 4 + 64  # what evicting calls
    ON_TIME = 128 + 256  # what expiring calls


cdef class Hooked:
    cdef unsigned int hooks_of_class  # as of this version of the class
    cdef unsigned int seen_version

    @cython.final
    cdef inline unsigned int class_hooks(self) except? 0xFFFFFFFF:
        """Bits of what the class overrides."""
        cdef unsigned int version = raudo_type_version(Py_TYPE(<PyObject *>self))
        if version == 0 or version != self.seen_version:
            self.look_for_hooks()
        return self.hooks_of_class

    @cython.final
    cdef unsigned int hooks(self) except? 0xFFFFFFFF
    @cython.final
    cdef int look_for_hooks(self) except -1


cdef object static_attribute(type cls, str name)
cdef int remember_own(type kind) except -1
