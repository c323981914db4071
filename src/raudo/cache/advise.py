"""What another size would give, and following it: the curve of a SmartCache.

The curve itself, its sources and its limits: `raudo._core.curve`. It is that of an LRU cache; the
adaptive strategies do a little better. Times to live and tags are not part of it.
"""

from __future__ import annotations

from typing import NamedTuple

from raudo._clock import Clock
from raudo._core.curve import Advice, Curve, advise, sizes_around

__all__ = ["Advice", "Prices", "Resizer", "ReuseSampler"]

# A hit on a followed key in L1 costs about a microsecond instead of a tenth: of the keys that the
# largest size would hold one in 16 is followed, and more only where the sample would be too small.
_FOLLOWS_ONE_IN = 16
_FOLLOWS_AT_LEAST = 512
_FOLLOWS_AT_MOST = 4096


class ReuseSampler:
    """Follows the keys of a hash-chosen share, whose lookups and stores it has to be told of.

    Thread-safe: each method is one call into compiled code.
    """

    def __init__(self, max_size: int, bounds: tuple[int, int] | None = None) -> None:
        sizes = sizes_around(max_size, *(bounds or (None, None)))
        followed = min(_FOLLOWS_AT_MOST, max(_FOLLOWS_AT_LEAST, sizes[-1] // _FOLLOWS_ONE_IN))
        self.curve = Curve(sizes, followed=followed)
        self.follows = self.curve.follows
        self.note = self.curve.look_up
        self.note_stored = self.curve.store
        self.note_removed = self.curve.forget

    def advise(
        self,
        max_size: int,
        lookups: int,
        bytes_per_entry: float,
        hours: float,
        prices: Prices | None = None,
    ) -> dict[str, Advice]:
        """Return the expected hit rate at 0.5, 1, 2 and 4 times the size, and the cheapest size.

        `lookups` is how many there were in all, followed or not.
        """
        return advise(
            self.curve,
            max_size,
            bytes_per_entry,
            lookups=lookups,
            hours=hours,
            cost_per_gb_hour=prices.per_gb_hour if prices else None,
            cost_per_miss=prices.per_miss if prices else None,
        )


class Prices(NamedTuple):
    """What memory and misses cost, in one currency; a GB is 10**9 bytes."""

    per_gb_hour: float
    per_miss: float


class Resizer:
    """Decides, now and then, which size is the cheapest for what was looked up since the last time.

    At most once a minute and after 4,096 lookups of followed keys; to no more than twice or half
    the size at once; and only where that saves a twentieth, so that noise moves nothing.
    """

    INTERVAL_S = 60.0
    LOOKUPS = 4096
    SAVES = 0.05

    def __init__(
        self, sampler: ReuseSampler, bounds: tuple[int, int], prices: Prices, clock: Clock
    ) -> None:
        self._curve = sampler.curve
        self._bounds = bounds
        self._prices = prices
        self._clock = clock
        self._since = self._curve.counts()
        self._from_lookups = 0
        self._from_s = clock.monotonic()

    def is_due(self) -> bool:
        """Say whether it is time for `wanted`."""
        return (
            self._curve.n_lookups - self._since[0] >= self.LOOKUPS
            and self._clock.monotonic() - self._from_s >= self.INTERVAL_S
        )

    def wanted(self, max_size: int, lookups: int, bytes_per_entry: float) -> int:
        """Return the size to take now; `lookups` as for `ReuseSampler.advise`."""
        now_s = self._clock.monotonic()
        low, high = self._bounds
        advice = advise(
            self._curve,
            max_size,
            bytes_per_entry,
            lookups=lookups - self._from_lookups,
            hours=(now_s - self._from_s) / 3600,
            since=self._since,
            cost_per_gb_hour=self._prices.per_gb_hour,
            cost_per_miss=self._prices.per_miss,
            within=(max(low, max_size // 2), min(high, 2 * max_size)),
        )
        self._since = self._curve.counts()
        self._from_lookups, self._from_s = lookups, now_s
        best, present = advice["cheapest"], advice["1x"]
        if best.cost_per_hour is None or present.cost_per_hour is None:
            return max_size
        saves = best.cost_per_hour < (1 - self.SAVES) * present.cost_per_hour
        return best.max_size if saves else max_size
