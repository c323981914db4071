# cython: binding=False
"""`Histogram`: how often durations fell into each of 625 log-linear buckets.

A bucket is a sixteenth of a power of two wide (Gil Tene's HdrHistogram, with 4 bits of precision), from
1 ns to 73 minutes, so that a quantile is at most 6.25 % too long; the last bucket holds what is longer.
Two histograms of different processes or moments merge by adding. 5 KB each. Compiled code counts by
`note`, without a call.
"""

cimport cython
from libc.string cimport memcpy, memset

cdef double NS = 1e9


cdef uint64_t end_of(int bucket) noexcept nogil:
    """Return the first nanosecond beyond a bucket."""
    cdef int shift
    if bucket < (2 << SUB_BITS):
        return <uint64_t>bucket + 1
    shift = (bucket >> SUB_BITS) - 1
    return <uint64_t>((bucket & ((1 << SUB_BITS) - 1)) + (1 << SUB_BITS) + 1) << shift


cdef Histogram like(uint64_t n, uint64_t total_ns, uint64_t max_ns):
    cdef Histogram made = Histogram.__new__(Histogram)
    made.n, made.total_ns, made.max_ns = n, total_ns, max_ns
    return made


@cython.final
cdef class Histogram:
    """Histogram()
--

    Counts durations in log-linear buckets. Thread-safe: each method holds the GIL throughout.

    >>> times = Histogram()
    >>> for ms in range(1, 101):
    ...     times.record(ms / 1000)
    >>> times.count, round(times.quantile(0.5), 2), round(times.quantile(0.99), 1)
    (100, 0.05, 0.1)
    """

    def record(self, double seconds):
        """Count a duration in seconds."""
        self.note_s(seconds)

    def record_ns(self, ns):
        """Count a duration in whole nanoseconds; a negative one as 0."""
        self.note(0 if ns < 0 else min(ns, 1 << 50))

    @property
    def count(self):
        """How many durations."""
        return self.n

    @property
    def total(self):
        """Their sum in seconds."""
        return self.total_ns / NS

    @property
    def mean(self):
        """Their mean in seconds; 0 where there are none."""
        return self.total_ns / NS / self.n if self.n else 0.0

    @property
    def max(self):
        """The longest, in seconds."""
        return self.max_ns / NS

    def quantile(self, double share):
        """Return the seconds that `share` of the durations stayed within, at most 6.25 % too long.

        0.0 where there are none. A share outside of `[0, 1]` is a ValueError.
        """
        cdef double wanted
        cdef uint64_t found = 0
        cdef int bucket
        if not 0 <= share <= 1:
            raise ValueError(f"share is {share!r}, wanted 0 to 1")
        if self.n == 0:
            return 0.0
        wanted = max(share * <double>self.n, 1.0)
        for bucket in range(N_BUCKETS):
            found += self.counts[bucket]
            if <double>found >= wanted:
                return self.last_of(bucket) / NS
        return self.max_ns / NS

    cdef uint64_t last_of(self, int bucket) noexcept nogil:
        """Return the longest that a duration of this bucket can be."""
        return self.max_ns if bucket == N_BUCKETS - 1 else min(end_of(bucket) - 1, self.max_ns)

    def merge(self, Histogram other not None):
        """Add what another one counted to this."""
        cdef int bucket
        for bucket in range(N_BUCKETS):
            self.counts[bucket] += other.counts[bucket]
        self.n += other.n
        self.total_ns += other.total_ns
        self.max_ns = max(self.max_ns, other.max_ns)

    def copy(self):
        """Return one that has counted the same."""
        cdef Histogram made = like(self.n, self.total_ns, self.max_ns)
        memcpy(made.counts, self.counts, sizeof(self.counts))
        return made

    def since(self, Histogram earlier not None):
        """Return what was counted after `earlier`, a copy of this one, was taken.

        All of it where this one counts less, as it was cleared or replaced meanwhile. The longest is known to
        the bucket.
        """
        cdef Histogram made = like(0, 0, 0)
        cdef int bucket
        if self.n < earlier.n or self.total_ns < earlier.total_ns:
            return self.copy()
        made.n, made.total_ns = self.n - earlier.n, self.total_ns - earlier.total_ns
        for bucket in range(N_BUCKETS):
            if self.counts[bucket] < earlier.counts[bucket]:
                return self.copy()
            made.counts[bucket] = self.counts[bucket] - earlier.counts[bucket]
            if made.counts[bucket]:
                made.max_ns = self.last_of(bucket)
        return made

    def below_powers(self, int first, int last):
        """Return how many were shorter than `2**k` ns for each k in `[first, last]`.

        Exact: a power of two is where a bucket ends. Between 5 and 42.
        """
        cdef list found = []
        cdef uint64_t n = 0
        cdef int bucket = 0, power
        if not SUB_BITS < first <= last <= TOP_BIT + 1:
            raise ValueError(f"first and last are {first} and {last}, wanted 5 to 42, in order")
        for power in range(first, last + 1):
            while bucket < N_BUCKETS and end_of(bucket) <= (<uint64_t>1 << power):
                n += self.counts[bucket]
                bucket += 1
            found.append(n)
        return found

    def clear(self):
        """Forget everything."""
        memset(self.counts, 0, sizeof(self.counts))
        self.n = self.total_ns = self.max_ns = 0

    def __reduce__(self):
        cdef int bucket
        held = {bucket: self.counts[bucket] for bucket in range(N_BUCKETS) if self.counts[bucket]}
        return _restored, (held, self.total_ns, self.max_ns)

    def __repr__(self):
        return f"<Histogram of {self.n}, mean {self.mean:.3g} s, p99 {self.quantile(0.99):.3g} s>"


def _restored(dict held not None, total_ns, max_ns):
    cdef Histogram made = like(sum(held.values()), total_ns, max_ns)
    for bucket, count in held.items():
        if not 0 <= bucket < N_BUCKETS:
            raise ValueError(f"bucket is {bucket!r}, wanted 0 to {N_BUCKETS - 1}")
        made.counts[<int>bucket] = count
    return made
