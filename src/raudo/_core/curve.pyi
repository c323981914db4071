from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple, final

FACTORS: tuple[float, ...]

class Advice(NamedTuple):
    """What a cache of `max_size` entries (of that weight, where `max_weight` bounds it) would give: the hit
    rate, about how many bytes it would hold, and what bytes and misses would cost an hour where prices are
    given."""

    max_size: int
    hit_rate: float
    bytes: int
    cost_per_hour: float | None = None

@final
class Curve:
    """Counts the hits of LRU caches of `sizes` entries, given in ascending order, all in one.

    Follows at most `followed` keys: all where the largest size is no more than that, and then the
    counts are exact; otherwise a share of them by hash. A lookup of a key that is not followed costs
    2 ns, one that is some 20 to 40, growing with the number of sizes that it would have missed in.

    With `weighted` the sizes are sums of the weights that keys are stored with. A key is known from the
    first time that it is stored; all are followed until there are too many, then half as many, and so on.
    """

    def __init__(
        self, sizes: Sequence[int], *, followed: int = 8192, weighted: bool = False
    ) -> None: ...
    @property
    def sizes(self) -> tuple[int, ...]: ...
    @property
    def share(self) -> float:
        """The share of all keys that are followed, in (0, 1]."""
    @property
    def n_lookups(self) -> int:
        """Lookups of followed keys."""
    def follows(self, key: Hashable, /) -> bool:
        """Say whether the key is in the share."""
    def look_up(self, key: Hashable, /) -> None:
        """Count a lookup; nothing happens where the key is not followed."""
    @property
    def is_weighted(self) -> bool: ...
    def store(self, key: Hashable, weight: int = 1, /) -> None:
        """Note that the key was stored, and would be found at any size that holds its weight."""
    def take_over(self, other: Curve, /) -> None:
        """Know the keys that another curve knows, as far as both follow them; no counts."""
    def forget(self, key: Hashable, /) -> None:
        """Note that the key was removed, and would be found at no size."""
    def feed(self, keys: Any, weights: Any = None) -> None:
        """Count a lookup of each key, and store it with its weight, up to 2**32 - 1, where there are any."""
    def counts(self) -> tuple[int, tuple[int, ...]]:
        """Return the lookups of followed keys and the hits in each region, for `since`."""
    def reset(self) -> None:
        """Start counting over; the keys are still known."""
    def hit_rates(
        self, lookups: int | None = None, since: tuple[int, tuple[int, ...]] | None = None
    ) -> list[float]:
        """Return the hit rate at each of `sizes`, in [0, 1]; all 0 before the first lookup.

        `lookups` is how many there were in all, followed or not (None: as many as those followed stand
        for). `since`: of the time since that `counts()` was taken alone, and `lookups` too.
        """
    def __sizeof__(self) -> int: ...

def sizes_around(max_size: int, low: int | None = None, high: int | None = None) -> list[int]:
    """Return ascending sizes from an eighth to four times `max_size`, two to an octave.

    With `low` and `high` they reach down to `low` and up to `high` too.
    """

def check_prices(cost_per_gb_hour: float | None, cost_per_miss: float | None) -> bool:
    """Raise for prices that are none; return whether there are any."""

def advise(
    curve: Curve,
    max_size: int,
    bytes_per_entry: float,
    *,
    lookups: int | None = None,
    hours: float | None = None,
    since: tuple[int, tuple[int, ...]] | None = None,
    cost_per_gb_hour: float | None = None,
    cost_per_miss: float | None = None,
    within: tuple[int, int] | None = None,
) -> dict[str, Advice]:
    """Return what 0.5, 1, 2 and 4 times `max_size` would give, by "0.5x", "1x", "2x" and "4x".

    With prices also "cheapest": of the curve's sizes (those in `within`, a pair, where given) the one
    whose bytes and misses cost least, if as many lookups come as in the last `hours`; the present size
    as long as there were none. A GB is 10**9 bytes.
    """
