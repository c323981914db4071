# cython: binding=False
"""ADAPTIVE: what is worth least leaves, as ML has it, or the last to come, whichever does better.

Two orders of eviction, judged on the workload itself (see csrc/table/guard.h). Where everything hits
a hit costs what a mark costs: entries are stamped only from the first eviction on, and until nothing
has been inserted for some time; the marks of the time between are counted when somebody has to leave.
The learner follows the sampled keys from when the cache is half full.
"""

cimport cython

from raudo._core.learned cimport (
    RAUDO_BY_WORTH,
    RAUDO_SAMPLED,
    Learned,
    raudo_learned_hit,
    raudo_learned_reset,
    raudo_learned_victim,
)
from raudo._core.policy cimport (
    NO_SLOT,
    RAUDO_HIT_MARK,
    RAUDO_HIT_STAMP,
    raudo_request_count,
    slot_t,
    uint32_t,
)

from raudo._core.policy import REGISTRY as _REGISTRY

cdef enum:
    QUIET = 100  # sampled hits without an insert after which hits are no more than marks


@cython.final
cdef class Adaptive(Learned):
    """Chooses online between orders of eviction; see the module's text."""

    cdef uint32_t n_quiet

    def __cinit__(self):
        self.name = "adaptive"
        self.hit_kind = RAUDO_HIT_MARK
        self.learned.guard.is_wanted = True

    @property
    def expert(self):
        """Name of the order in force: "worth" or "seniority"."""
        return "worth" if self.learned.guard.order == RAUDO_BY_WORTH else "seniority"

    @property
    def switches(self):
        """How often the order has changed."""
        return self.learned.guard.n_switches

    cdef void rest(self) noexcept:
        self.t.hit_kind = RAUDO_HIT_MARK
        self.t.call_mask = 0

    cdef int reset(self) except -1:
        raudo_learned_reset(&self.learned)
        self.rest()
        return 0

    cdef int on_insert(self, slot_t slot, uint32_t weight) except -1:
        Learned.on_insert(self, slot, weight)
        if self.learned.learner != NULL:
            self.n_quiet = 0
            self.t.call_mask = RAUDO_SAMPLED
        return 0

    cdef void on_hit(self, slot_t slot) noexcept:
        """A hit on a sampled key; the table has stamped it already."""
        raudo_learned_hit(&self.learned, &self.t.entries[slot], raudo_request_count(self.t))
        self.n_quiet += 1
        if self.n_quiet > QUIET:
            self.rest()

    cdef slot_t victim(self) except? NO_SLOT:
        cdef uint32_t now = raudo_request_count(self.t)
        if self.t.hit_kind == RAUDO_HIT_MARK:
            self.learned.woken = now
            self.t.hit_kind = RAUDO_HIT_STAMP
        return raudo_learned_victim(&self.learned, self.t, now)


_REGISTRY["adaptive"] = Adaptive
