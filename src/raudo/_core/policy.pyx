# cython: binding=False
"""The seam of eviction: the base of compiled policies, and the adapter of Python ones."""

cimport cython
from cpython.exc cimport PyErr_WriteUnraisable

from operator import index

REGISTRY = {}
"""Strategy name -> callable that returns a new `Policy`, or a new `EvictionPolicy` object."""

cdef extern from "Python.h":
    void PyErr_SetObject(object kind, object value)

cdef object finder = None


cdef int report_unraisable(object error, object where) except -1:
    """Hand an exception that cannot reach a caller to `sys.unraisablehook`."""
    PyErr_SetObject(type(error), error)
    PyErr_WriteUnraisable(where)
    return 0


def tell_unraisable(error, where, /):
    """Do the same for Python code."""
    report_unraisable(error, where)


def find_unknown(find):
    """Let `find(name)` return a factory for a name that is not in the registry, or None."""
    global finder
    finder = find


cdef class Policy:
    cdef int attach(self, raudo_table *t, uint64_t maxsize) except -1:
        if self.t != NULL:
            raise ValueError(f"strategy: this {self.name} policy already serves another cache")
        self.t = t
        t.hit_kind = self.hit_kind
        self.resize(maxsize)
        return self.reset()

    cdef int on_insert(self, slot_t slot, uint32_t weight) except -1:
        return 0

    cdef void on_hit(self, slot_t slot) noexcept:
        pass

    cdef void on_remove(self, slot_t slot) noexcept:
        pass

    cdef void on_evict(self, slot_t slot) noexcept:
        self.on_remove(slot)

    cdef slot_t victim(self) except? NO_SLOT:
        return NO_SLOT

    cdef int resize(self, uint64_t maxsize) except -1:
        return 0

    cdef int reset(self) except -1:
        raudo_list_reset(&self.t.order)
        return 0

    cdef void walk(self, slot_t *out) noexcept:
        cdef slot_t slot
        cdef uint32_t n = 0
        for slot in range(self.t.n_entries):
            if self.t.entries[slot].key != NULL:
                out[n] = slot
                n += 1

    cdef size_t memory(self) noexcept:
        return 0


@cython.final
cdef class PythonPolicy(Policy):
    """Lets a Python object that follows `raudo.types.EvictionPolicy` order the entries.

    The cache holds a lock around it, since Python code may be switched away from. What its
    notifications raise is reported as unraisable; what `victim` raises reaches the caller.
    """

    def __init__(self, wrapped):
        missing = [
            name
            for name in ("on_insert", "on_hit", "on_remove", "victim", "admits")
            if not callable(getattr(wrapped, name, None))
        ]
        if missing:
            raise TypeError(
                "strategy: wanted a CacheStrategy, its name or an EvictionPolicy object, got "
                f"{wrapped!r} (no method {', '.join(missing)})"
            )
        self.wrapped = wrapped
        self.name = str(getattr(wrapped, "name", type(wrapped).__name__))
        self.hit_kind = RAUDO_HIT_CALL
        self.newest = NO_SLOT

    cdef int check(self, slot_t slot) except -1:
        if slot >= self.t.n_entries or self.t.entries[slot].key == NULL:
            raise ValueError(f"policy {self.name!r} chose slot {slot}, which holds no entry")
        return 0

    cdef int on_insert(self, slot_t slot, uint32_t weight) except -1:
        self.is_calling = True
        try:
            self.wrapped.on_insert(slot, self.t.entries[slot].hash, weight)
            self.newest = slot
        finally:
            self.is_calling = False
        return 0

    cdef void on_hit(self, slot_t slot) noexcept:
        self.is_calling = True
        try:
            self.wrapped.on_hit(slot)
        except BaseException as error:
            report_unraisable(error, self.wrapped)
        self.is_calling = False

    cdef void on_remove(self, slot_t slot) noexcept:
        if slot == self.newest:
            self.newest = NO_SLOT
        self.is_calling = True
        try:
            self.wrapped.on_remove(slot)
        except BaseException as error:
            report_unraisable(error, self.wrapped)
        self.is_calling = False

    cdef slot_t victim(self) except? NO_SLOT:
        cdef slot_t slot
        self.is_calling = True
        try:
            slot = index(self.wrapped.victim())
            self.check(slot)
            # The newest was let in so that its setter could read it; it is judged now.
            if self.newest != NO_SLOT and self.newest != slot and self.t.n_live > 1:
                if not self.wrapped.admits(self.t.entries[self.newest].hash, slot):
                    slot = self.newest
        except LookupError as error:
            raise RuntimeError(
                f"policy {self.name!r} has no victim although the cache holds "
                f"{self.t.n_live} entries"
            ) from error
        finally:
            self.is_calling = False
        return slot

    cdef int reset(self) except -1:
        self.newest = NO_SLOT
        return 0


cdef int empty_policy(object policy) except -1:
    """Have a policy that came with a copied cache let go of the slots of the original."""
    cdef set gone = set()
    while True:
        try:
            slot = index(policy.victim())
        except LookupError:
            return 0
        if slot in gone:
            name = getattr(policy, "name", type(policy).__name__)
            raise ValueError(f"policy {name!r} chose slot {slot}, which was removed from it")
        gone.add(slot)
        policy.on_remove(slot)


cdef Policy make_policy(object strategy):
    if isinstance(strategy, Policy):
        return strategy
    if isinstance(strategy, str):
        name = str(strategy.value if hasattr(strategy, "value") else strategy).lower()
        factory = REGISTRY.get(name)
        if factory is None and finder is not None:
            factory = finder(name)
        if factory is None:
            raise ValueError(
                f"strategy: got {name!r}, wanted one of {', '.join(sorted(REGISTRY))}"
            )
        strategy = factory()
        if isinstance(strategy, Policy):
            return strategy
    return PythonPolicy(strategy)
