# cython: binding=False
"""What has left L1 and is not bytes yet: entries on their way to the level below.

A large value takes longer to serialise than an event loop may be held up, and one heavy newcomer
can push out hundreds. They wait here as they are, where they can still be found, until a thread or
a quiet moment makes bytes of them.
"""

cimport cython

from collections import OrderedDict


@cython.final
@cython.freelist(64)
cdef class Parcel:
    """A live entry under way; `n_bytes` is what it takes, a guess until it is weighed."""

    cdef readonly object key, value, expires_ns, tags
    cdef readonly Py_ssize_t n_bytes
    cdef readonly bint is_weighed

    def __cinit__(self, key, value, expires_ns, tags, Py_ssize_t n_bytes):
        self.key = key
        self.value = value
        self.expires_ns = expires_ns
        self.tags = tags
        self.n_bytes = n_bytes


@cython.final
cdef class Transit:
    """Entries under way, oldest first. The caller holds a lock.

    Up to `may_stay` of them, and `may_stay_bytes`, need not be carried on.
    """

    cdef object parcels
    cdef readonly Py_ssize_t n_bytes
    cdef public Py_ssize_t may_stay, may_stay_bytes

    def __cinit__(self):
        self.parcels = OrderedDict()

    def __len__(self):
        return len(self.parcels)

    def __iter__(self):
        """Return the parcels of this moment, oldest first."""
        return iter(list(self.parcels.values()))

    def get(self, data, /):
        return self.parcels.get(data)

    def put(self, data, Parcel parcel not None, /):
        """Let an entry wait, in place of any of this key."""
        self.take(data)
        self.parcels[data] = parcel
        self.n_bytes += parcel.n_bytes

    def take(self, data, /):
        """Remove the entry and return it."""
        parcel = self.parcels.pop(data, None)
        if parcel is not None:
            self.n_bytes -= (<Parcel>parcel).n_bytes
        return parcel

    def weigh(self, Parcel parcel not None, Py_ssize_t n_bytes):
        """Note what an entry that waits takes."""
        self.n_bytes += n_bytes - parcel.n_bytes
        parcel.n_bytes = n_bytes
        parcel.is_weighed = True

    def oldest(self):
        """Return key and parcel of what has waited longest, and leave it there."""
        return next(iter(self.parcels.items()), None)

    def is_due(self):
        """Say whether more waits than may stay."""
        n = len(self.parcels)
        return n > 0 and (n > self.may_stay or self.n_bytes > self.may_stay_bytes)

    def is_overdue(self):
        """Say whether so much waits that whoever finds it should help."""
        return len(self.parcels) > 2 * self.may_stay + 64

    def is_half_done(self):
        """Say whether no more waits than half of what may stay."""
        n = len(self.parcels)
        return n == 0 or (n <= self.may_stay // 2 and self.n_bytes <= self.may_stay_bytes // 2)

    def clear(self):
        """Forget everything; return how many entries that were."""
        n = len(self.parcels)
        self.parcels.clear()
        self.n_bytes = 0
        return n
