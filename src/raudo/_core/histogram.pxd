cimport cython
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    static inline int raudo_top_bit(unsigned long long value) { return 63 - __builtin_clzll(value); }
    """
    int raudo_top_bit(unsigned long long value) noexcept nogil

cdef enum:
    SUB_BITS = 4  # 16 buckets in each power of two: a bucket is at most 1/16 wide
    TOP_BIT = 41  # 2**42 ns are 73 minutes; what takes longer is all in the last bucket
    N_BUCKETS = ((TOP_BIT - SUB_BITS) << SUB_BITS) + (2 << SUB_BITS) + 1


cdef inline int bucket_of(uint64_t ns) noexcept nogil:
    """Below 32 ns a bucket a nanosecond; from there on the five highest bits make the bucket."""
    cdef int shift
    if ns < (2 << SUB_BITS):
        return <int>ns
    shift = raudo_top_bit(ns) - SUB_BITS
    if shift > TOP_BIT - SUB_BITS:
        return N_BUCKETS - 1
    return (shift << SUB_BITS) + <int>(ns >> shift)


@cython.final
cdef class Histogram:
    cdef uint64_t counts[N_BUCKETS]
    cdef uint64_t n, total_ns, max_ns

    cdef uint64_t last_of(self, int bucket) noexcept nogil

    cdef inline void note(self, uint64_t ns) noexcept nogil:
        """Count a duration; some 2 ns. With the GIL held, or by one thread alone."""
        self.counts[bucket_of(ns)] += 1
        self.n += 1
        self.total_ns += ns
        if ns > self.max_ns:
            self.max_ns = ns

    cdef inline void note_s(self, double seconds) noexcept nogil:
        """Count seconds; less than none, as of a clock that was set back, and NaN count as none."""
        if not seconds > 0:
            self.note(0)
        else:
            self.note(<uint64_t>(seconds * 1e9) if seconds < 1e6 else <uint64_t>1 << 50)
