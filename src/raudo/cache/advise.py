"""What another size would give, and following it: the curve of a SmartCache.

The curve itself, its sources and its limits: `raudo._core.curve`. It is that of an LRU cache; the
adaptive strategies do a little better. Times to live and tags are not part of it.
"""

from __future__ import annotations

from typing import NamedTuple

from raudo._core.curve import Advice, Curve, advise, sizes_around

__all__ = ["Advice", "Prices", "ReuseSampler"]

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
