from typing import Any

from typing_extensions import disjoint_base

from raudo._core.curve import Advice
from raudo._core.recorder import Recorder
from raudo._core.table import Table

@disjoint_base
class WatchedTable(Table):
    """The compiled base of `Cache`: a table, and who watches its lookups."""

    def advise(
        self, *, cost_per_gb_hour: float | None = None, cost_per_miss: float | None = None
    ) -> dict[str, Advice]:
        """Return what 0.5, 1, 2 and 4 times the size would give: an `Advice` for each of "0.5x", "1x", \
"2x", "4x".

        An `Advice` has `max_size` (a weight, where `max_weight` bounds the cache), `hit_rate` (expected of
        an LRU cache, since the cache was made, its size or its counts last changed), `bytes` (an estimate
        by up to 256 entries) and `cost_per_hour`. With both prices, given here or to the cache, in any
        one currency, "cheapest" is the size, from an eighth to four times the present one, at which memory
        (by 10**9 bytes) and misses cost least, if lookups go on as they came. RuntimeError where the cache
        was made without `advise=True`.
        """
    @property
    def recorder(self) -> Recorder | None:
        """What writes the lookups down where `record` was given: its `flush` and `close`, how it is
        doing; else None."""
    def follow_hot_keys(self) -> None:
        """Sample the lookups from now on, for `hot_keys`; a lookup costs some 20 ns more then."""
    def hot_keys(self, n: int = 10) -> list[tuple[Any, float]]:
        """Return the `n` keys most asked for of late, with about their share of the lookups.

        From the last 4,096 sampled, one lookup in eight. None before `follow_hot_keys`. 0.3 ms.
        """
