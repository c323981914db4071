# cython: binding=False
"""`Curve`: the hit rates that LRU caches of several sizes would have, from the lookups of one; and
`advise`, what they mean in bytes and money. The algorithm and its sources: csrc/table/curve.h."""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint32_t, uint64_t

from raudo._core.entry cimport raudo_hash

from bisect import bisect_left
from collections import namedtuple

cdef extern from "table/table.h" nogil:
    uint32_t raudo_fold_hash(int64_t hash) noexcept

cdef enum:
    A_TURN = 4096  # keys that are counted in a row: some 0.1 ms

FACTORS = (0.5, 1.0, 2.0, 4.0)
_BYTES_PER_GB = 10**9
cdef uint64_t HEAVIEST = 2**32 - 1


class Advice(namedtuple("Advice", ("max_size", "hit_rate", "bytes", "cost_per_hour"), defaults=(None,))):
    """What a cache of `max_size` entries (of that weight, where `max_weight` bounds it) would give: the hit
    rate, about how many bytes it would hold, and what bytes and misses would cost an hour where prices are
    given."""

    __slots__ = ()


@cython.final
cdef class Curve:
    """Curve(sizes, *, followed=8192, weighted=False)
--

    Counts the hits of LRU caches of `sizes` entries, given in ascending order, all in one.

    Follows at most `followed` keys: all where the largest size is no more than that, and then the
    counts are exact; otherwise a share of them by hash. A lookup of a key that is not followed costs
    2 ns, one that is some 20 to 40, growing with the number of sizes that it would have missed in.

    With `weighted` the sizes are sums of the weights that keys are stored with. A key is known from the
    first time that it is stored; all are followed until there are too many, then half as many, and so on.
    """

    def __init__(self, sizes, *, followed=8192, weighted=False):
        if self.sizes is not None:
            raise RuntimeError("Curve.__init__ was called twice on the same object")
        cdef tuple wanted = tuple(sizes)
        if not wanted or wanted[0] < 1 or any(a >= b for a, b in zip(wanted, wanted[1:])):
            raise ValueError(f"sizes: wanted numbers >= 1 in ascending order, got {wanted!r}")
        if followed < 1:
            raise ValueError(f"followed: wanted a number >= 1, got {followed!r}")
        cdef double share = 1.0 if weighted else min(1.0, followed / wanted[len(wanted) - 1])
        cdef dict numbers = {}  # scaled size -> region; sizes that scale to the same share one
        cdef list regions = []
        for size in wanted:
            regions.append(numbers.setdefault(max(1, round(size * share)), len(numbers)))
        cdef uint64_t *limits = <uint64_t *>PyMem_Malloc(len(numbers) * sizeof(uint64_t))
        if limits == NULL:
            raise MemoryError
        for limit, region in numbers.items():
            limits[<int>region] = limit
        cdef int failed = raudo_curve_init(
            &self.c,
            <uint64_t>(share * 4294967296.0),
            limits,
            len(numbers),
            followed if weighted else 0,
        )
        PyMem_Free(limits)
        if failed:
            raise MemoryError
        self.sizes = wanted
        self.is_weighted = weighted
        self.regions = tuple(regions)

    def __dealloc__(self):
        raudo_curve_free(&self.c)

    @property
    def share(self):
        """The share of all keys that are followed, in (0, 1]."""
        return self.c.below / 4294967296.0

    @property
    def n_lookups(self):
        """Lookups of followed keys."""
        return self.c.n_lookups

    def follows(self, key, /):
        """Say whether the key is in the share."""
        return self.c.n_regions and raudo_curve_follows(&self.c, hash_of(key))

    def look_up(self, key, /):
        """Count a lookup; nothing happens where the key is not followed."""
        if self.c.n_regions:
            raudo_curve_look_up(&self.c, hash_of(key))

    def store(self, key, weight=1, /):
        """Note that the key was stored, and would be found at any size that holds its weight."""
        if not 0 <= weight < 2**32:
            raise ValueError(f"weight: wanted 0 <= weight < 2**32, got {weight!r}")
        if self.c.n_regions:
            raudo_curve_store(&self.c, hash_of(key), weight)

    def take_over(self, Curve other not None, /):
        """Know the keys that another curve knows, as far as both follow them; no counts."""
        if self.c.n_regions and other.c.n_regions and other is not self:
            raudo_curve_take_over(&self.c, &other.c)

    def forget(self, key, /):
        """Note that the key was removed, and would be found at no size."""
        if self.c.n_regions:
            raudo_curve_forget(&self.c, hash_of(key))

    def feed(self, const uint64_t[::1] keys not None, const uint64_t[::1] weights=None):
        """Count a lookup of each key, and store it with its weight, up to 2**32 - 1, where there are any.

        Other threads have their turn after each some thousands.
        """
        cdef Py_ssize_t i = 0, end
        cdef uint32_t hash
        cdef bint stores = weights is not None
        if stores and weights.shape[0] != keys.shape[0]:
            raise ValueError(f"weights: wanted one for each of {len(keys)} keys, got {len(weights)}")
        while self.c.n_regions and i < keys.shape[0]:
            end = min(i + A_TURN, keys.shape[0])
            while i < end:
                hash = raudo_fold_hash(<int64_t>keys[i])
                raudo_curve_look_up(&self.c, hash)
                if stores:
                    raudo_curve_store(&self.c, hash, <uint32_t>min(weights[i], HEAVIEST))
                i += 1
            with nogil:  # not while it counts: another thread may feed the same curve
                pass

    def counts(self):
        """Return the lookups of followed keys and the hits in each region, for `since`."""
        return self.c.n_lookups, tuple([self.c.hits[i] for i in range(self.c.n_regions)])

    def reset(self):
        """Start counting over; the keys are still known."""
        cdef uint32_t i
        self.c.n_lookups = 0
        for i in range(self.c.n_regions):
            self.c.hits[i] = 0

    def hit_rates(self, lookups=None, since=None):
        """Return the hit rate at each of `sizes`, in [0, 1]; all 0 before the first lookup.

        `lookups` is how many there were in all, followed or not (None: as many as those followed stand
        for). `since`: of the time since that `counts()` was taken alone, and `lookups` too.
        """
        cdef uint64_t noted = self.c.n_lookups
        cdef list hits = [self.c.hits[i] for i in range(self.c.n_regions)]
        if since is not None:
            noted -= since[0]
            hits = [now - before for now, before in zip(hits, since[1])]
        cdef double expected = noted if lookups is None else lookups * self.share
        if expected <= 0:
            return [0.0] * len(self.sizes)
        # A hot key in the share or outside it makes for more or fewer lookups than expected; hot keys
        # are hits at the smallest size already (the paper's SHARDS-adj).
        cdef double total = expected - noted
        cdef list rates = []
        for each in hits:
            total += each
            rates.append(min(1.0, max(0.0, total / expected)))
        return [rates[region] for region in self.regions]

    def __sizeof__(self):
        cdef size_t size = type(self).__basicsize__ + self.c.n_regions * 28
        return size + (self.c.n_nodes * 20 + (self.c.mask + 1) * 4 if self.c.n_regions else 0)


cdef uint32_t hash_of(object key) except? 0:
    cdef uint32_t hash
    raudo_hash(<PyObject *>key, &hash)
    return hash


def sizes_around(max_size, low=None, high=None):
    """Return ascending sizes from an eighth to four times `max_size`, two to an octave.

    With `low` and `high` they reach down to `low` and up to `high` too.
    """
    first = max_size / 8 if low is None else min(max_size / 8, low)
    last = 4 * max_size if high is None else max(4 * max_size, high)
    found = {max(1, round(max_size * factor)) for factor in FACTORS}
    found.update(size for size in (low, high) if size is not None)
    steps = 0
    while max_size * 2 ** (steps / 2) <= last:
        found.add(max(1, round(max_size * 2 ** (steps / 2))))
        steps += 1
    steps = -1
    while max_size * 2 ** (steps / 2) >= max(1, first):
        found.add(round(max_size * 2 ** (steps / 2)))
        steps -= 1
    return sorted(found)


def check_prices(cost_per_gb_hour, cost_per_miss):
    """Raise for prices that are none; return whether there are any."""
    for name, price in (("cost_per_gb_hour", cost_per_gb_hour), ("cost_per_miss", cost_per_miss)):
        if price is None:
            continue
        if isinstance(price, bool) or not isinstance(price, (int, float)):
            raise TypeError(f"{name}: wanted a number or None, got {price!r}")
        if not isfinite(price) or price < 0:
            raise ValueError(f"{name}: wanted a number >= 0, got {price!r}")
    if (cost_per_gb_hour is None) != (cost_per_miss is None):
        missing = "cost_per_miss" if cost_per_miss is None else "cost_per_gb_hour"
        raise ValueError(f"{missing}: wanted too, as a size has a price only against its misses")
    return cost_per_miss is not None


def advise(
    Curve curve not None,
    max_size,
    bytes_per_entry,
    *,
    lookups=None,
    hours=None,
    since=None,
    cost_per_gb_hour=None,
    cost_per_miss=None,
    within=None,
):
    """Return what 0.5, 1, 2 and 4 times `max_size` would give, by "0.5x", "1x", "2x" and "4x".

    With prices also "cheapest": of the curve's sizes (those in `within`, a pair, where given) the one
    whose bytes and misses cost least, if as many lookups come as in the last `hours`; the present size
    as long as there were none. A GB is 10**9 bytes.
    """
    has_prices = check_prices(cost_per_gb_hour, cost_per_miss)
    rates = curve.hit_rates(lookups, since)
    if lookups is None:
        lookups = curve.n_lookups / curve.share
    an_hour = lookups / hours if hours else 0.0

    def at(size):
        rate = rate_at(curve.sizes, rates, size)
        cost = None
        if has_prices:
            cost = size * bytes_per_entry / _BYTES_PER_GB * cost_per_gb_hour
            cost += an_hour * (1.0 - rate) * cost_per_miss
        return Advice(size, rate, round(size * bytes_per_entry), cost)

    advice = {f"{factor:g}x": at(max(1, round(max_size * factor))) for factor in FACTORS}
    if has_prices:
        offered = [max_size]
        if an_hour:
            low, high = within or (curve.sizes[0], curve.sizes[len(curve.sizes) - 1])
            offered = [size for size in curve.sizes if low <= size <= high]
        advice["cheapest"] = min(map(at, offered), key=lambda each: each.cost_per_hour)
    return advice


cdef double rate_at(tuple sizes, list rates, double size) except -1.0:
    """The rate at a size, on the line between the two sizes around it."""
    cdef Py_ssize_t i = bisect_left(sizes, size)
    if i == len(sizes):
        return rates[i - 1]
    if i == 0 or sizes[i] == size:
        return rates[i]
    cdef double part = (size - sizes[i - 1]) / (sizes[i] - sizes[i - 1])
    return rates[i - 1] + part * (rates[i] - rates[i - 1])
