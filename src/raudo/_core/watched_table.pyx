# cython: binding=False
"""`WatchedTable`: a table whose lookups are watched, and what follows from them.

A curve tells what hit rates other sizes would have, and so which size costs least; a recorder writes the
lookups down; a sample knows the keys that are hot. Each is off until it is asked for.
"""

cimport cython
from libc.stdint cimport uint64_t

from raudo._core.curve cimport Curve
from raudo._core.hot cimport HotKeys
from raudo._core.policy cimport report_unraisable
from raudo._core.sizes cimport entry_bytes
from raudo._core.table cimport NO_WEIGHT_LIMIT, Table

from raudo._core.curve import advise as advise_by, check_prices, sizes_around

cdef enum:
    # Keys that a curve follows: this share of those that four times the cache's size would hold, but
    # at least so many, as a small sample errs, and at most so many, as a large one errs no less
    # (benchmarks/bench_cache_advisor.py).
    FOLLOWS_ONE_IN = 16
    FOLLOWS_AT_LEAST = 512
    FOLLOWS_AT_MOST = 8192
    FOLLOWS_BY_WEIGHT = 2048  # nobody knows how many keys a weight will hold
    LOOKS_UP = 16  # times the size, where it may be changed
    LOOKED_AT_EVERY = 512  # lookups of followed keys between two looks at the clock


cdef object checked_bounds(object bounds, object maxsize, object max_weight, bint has_prices):
    """`auto_resize` as a pair of whole numbers, or None."""
    if bounds is None:
        return None
    if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
        raise TypeError(f"auto_resize: wanted a pair (lowest, highest) or None, got {bounds!r}")
    for bound in bounds:
        if isinstance(bound, bool) or not hasattr(type(bound), "__index__"):
            raise TypeError(f"auto_resize: wanted two whole numbers, got {bounds!r}")
    if max_weight is not None:
        raise ValueError("auto_resize: goes by the number of entries, and cannot go with max_weight")
    if not has_prices:
        raise ValueError("auto_resize: needs cost_per_gb_hour and cost_per_miss, got neither")
    low, high = bounds
    if maxsize is None or not 1 <= low <= maxsize <= high:
        raise ValueError(
            f"auto_resize: wanted 1 <= lowest <= maxsize <= highest, got {low}, {maxsize}, {high}"
        )
    return low, high


@cython.trashcan(True)  # a chain of caches may be long
cdef class WatchedTable(Table):
    """The compiled base of `Cache`: a table, and who watches its lookups."""

    # --- another size ---

    cdef int start_curve(self, object maxsize) except -1:
        """Begin to count for sizes around this one; what the curve so far knows of keys is kept."""
        cdef bint by_weight = self.max_total_weight != NO_WEIGHT_LIMIT
        cdef object size = self.max_total_weight if by_weight else maxsize
        if size is None or size < 1:
            name = "max_weight" if by_weight else "maxsize"
            raise ValueError(f"{name}: wanted a number >= 1, as advise=True goes by it, got {size!r}")
        cdef list sizes = sizes_around(size)
        if self.resizer is not None:  # who looks farther up, as what a loop needs may lie there
            sizes = sizes_around(size, high=min(self.resizer.bounds[1], LOOKS_UP * size))
        cdef object followed = FOLLOWS_BY_WEIGHT
        if not by_weight:
            followed = sizes[len(sizes) - 1] // FOLLOWS_ONE_IN
            followed = min(FOLLOWS_AT_MOST, max(FOLLOWS_AT_LEAST, followed))
        cdef Curve curve = Curve(sizes, followed=followed, weighted=by_weight)
        is_first = self.curve is None
        if not is_first:
            curve.take_over(self.curve)
        self.curve_from_s = self.now_s()
        self.curve_from_lookups = self.n_lookups()
        self.watch(curve, self.writer)
        if self.resizer is not None:
            self.resizer.follow(curve, self.curve_from_lookups, self.curve_from_s, is_warm=is_first)
            curve.c.due = LOOKED_AT_EVERY
        return 0

    cdef int begin_curve_anew(self) except -1:
        """Forget what was looked up, but not which keys are there."""
        if self.curve is None:
            return 0
        self.curve.reset()
        self.curve_from_lookups = 0
        self.curve_from_s = self.now_s()
        if self.resizer is not None:
            self.resizer.follow(self.curve, 0, self.curve_from_s, is_warm=True)
            self.curve.c.due = LOOKED_AT_EVERY
        return 0

    cdef void follow_cheapest(self) noexcept:
        cdef Curve curve = self.curve
        curve.c.due = <uint64_t>-1  # user code may come back here
        try:
            self.follow_now()
        except BaseException as error:
            report_unraisable(error, self)
        if self.curve is curve:
            curve.c.due = curve.c.n_lookups + LOOKED_AT_EVERY

    cdef int follow_now(self) except -1:
        now_s = self.now_s()
        if not self.resizer.is_due(now_s):
            return 0
        wanted = self.resizer.wanted(self.max_entries, self.n_lookups(), entry_bytes(&self.t), now_s)
        if wanted != self.max_entries:
            self.resize(wanted)
        return 0

    cdef object now_s(self):
        return self.read_timer() / 1e9

    cdef uint64_t n_lookups(self) noexcept:
        return self.t.n_hits + self.t.n_misses

    def advise(self, *, cost_per_gb_hour=None, cost_per_miss=None):
        """Return what 0.5, 1, 2 and 4 times the size would give: an `Advice` for each of "0.5x", "1x", \
"2x", "4x".

        An `Advice` has `max_size` (a weight, where `max_weight` bounds the cache), `hit_rate` (expected of
        an LRU cache, since the cache was made, its size or its counts last changed), `bytes` (an estimate
        by up to 256 entries) and `cost_per_hour`. With both prices, given here or to the cache, in any
        one currency, "cheapest" is the size, from an eighth to four times the present one, at which memory
        (by 10**9 bytes) and misses cost least, if lookups go on as they came. RuntimeError where the cache
        was made without `advise=True`.
        """
        if self.curve is None:
            raise RuntimeError("advise() needs what a cache keeps that was made with advise=True")
        if not check_prices(cost_per_gb_hour, cost_per_miss):
            cost_per_gb_hour, cost_per_miss = self.prices
        size = self.max_entries
        cdef double bytes_per_unit = entry_bytes(&self.t)
        if self.curve.is_weighted:
            size = self.max_total_weight
            bytes_per_unit *= self.t.n_live / max(<double>self.total_weight, 1.0)
        return advise_by(
            self.curve,
            size,
            bytes_per_unit,
            lookups=self.n_lookups() - self.curve_from_lookups,
            hours=(self.now_s() - self.curve_from_s) / 3600,
            cost_per_gb_hour=cost_per_gb_hour,
            cost_per_miss=cost_per_miss,
        )

    # --- the others ---

    @property
    def recorder(self):
        """What writes the lookups down where `record` was given: its `flush` and `close`, how it is
        doing; else None."""
        return self.writer

    def follow_hot_keys(self):
        """Sample the lookups from now on, for `hot_keys`; a lookup costs some 20 ns more then."""
        if self.hot is None:
            self.hot = HotKeys()
            self.watch(self.curve, self.writer)

    def hot_keys(self, n=10):
        """Return the `n` keys most asked for of late, with about their share of the lookups.

        From the last 4,096 sampled, one lookup in eight. None before `follow_hot_keys`. 0.3 ms.
        """
        return [] if self.hot is None else self.hot.top(n)
