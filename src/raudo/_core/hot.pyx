# cython: binding=False
"""`HotKeys`: which keys a cache is asked for most, from a sample of its last lookups.

Every eighth lookup on average, at random so that no rhythm of the lookups is met, leaves its key in a
ring of 4,096: a key that gets a share `p` of the lookups is in it `4096 * p` times, give or take the
root of that. Older lookups are forgotten as newer ones come. Holds up to 4,096 keys alive.
"""

cimport cython
from cpython.object cimport PyObject

from collections import Counter

cdef enum:
    MOST_SAMPLES = 4096
    MEAN_STEP = 8  # lookups from one sample to the next


@cython.final
cdef class HotKeys:
    """HotKeys()
--

    Samples lookups. A lookup costs it 2 ns, a sampled one some 10. Thread-safe under the GIL.
    """

    def __cinit__(self):
        self.sampled = []
        self.left, self.state = 1, 2463534242

    cdef void note(self, PyObject *key) noexcept:
        cdef object _gone
        self.left -= 1
        if self.left:
            return
        self.state ^= self.state << 13  # Marsaglia's xorshift32
        self.state ^= self.state >> 17
        self.state ^= self.state << 5
        self.left = 1 + self.state % (2 * MEAN_STEP - 1)
        if len(self.sampled) < MOST_SAMPLES:
            self.sampled.append(<object>key)
            return
        _gone = self.sampled[self.place]  # dropped at the end, as its `__del__` may come back here
        self.sampled[self.place] = <object>key
        self.place = (self.place + 1) % MOST_SAMPLES

    def look_up(self, key):
        """Note a lookup."""
        self.note(<PyObject *>key)

    def top(self, Py_ssize_t n):
        """Return the `n` keys most asked for with their share of the lookups, the most first.

        Counts 4,096 keys by their hash and equality; 0.3 ms. A key that raises in these is an error here.
        """
        sampled = self.sampled.copy()
        return [(key, count / len(sampled)) for key, count in Counter(sampled).most_common(n)]

    def __len__(self):
        return len(self.sampled)
