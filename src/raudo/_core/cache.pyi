import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from types import GenericAlias
from typing import Any, Self, TypeVar, overload

from typing_extensions import disjoint_base

from raudo._core.watched_table import WatchedTable

_K = TypeVar("_K")
_V = TypeVar("_V")
_D = TypeVar("_D")

@disjoint_base
class Cache(WatchedTable, MutableMapping[_K, _V]):
    """A bounded mapping in compiled code; thread-safe, one level, any eviction strategy.

    Args:
        maxsize: Most entries it holds; None for no bound.
        strategy: A `CacheStrategy`, its name, or an object that follows `EvictionPolicy`.
        ttl: Seconds that an entry lives, unless `set` says otherwise; None for ever.
        max_weight: Bound on the sum of `weigher(key, value)`; needs `weigher`.
        weigher: Called as `weigher(key, value)`, returns a whole number >= 0 (below 2**32).
        on_evict: Called as `on_evict(key, value, reason)` after the entry is gone; reason is
            "capacity", "expired", "replaced" or "removed". What it raises is reported as
            unraisable, never passed on.
        timer: Returns monotonic seconds; the system's clock when None.
        advise: Keep what the method `advise` needs; costs 1 to 5 ns a hit, 4 to 8 a miss or set, more in
            caches of less than 1,000 entries, and up to 330 KB.
        auto_resize: `(lowest, highest)` number of entries, between which `maxsize` follows what costs
            least by the two prices. Decided by a lookup, at most once a minute; a step is at most to
            twice or half the size, and what is over it leaves at once. Implies `advise`.
        cost_per_gb_hour: What 10**9 bytes of entries cost an hour, in any currency.
        cost_per_miss: What a miss costs, in the same one.
        record: Path of a new file for what is looked up, as hashes keyed with a secret that is kept
            nowhere; `raudo cache replay` reads it. See `recorder`.
        record_keys: Record the keys themselves, as lines of text, in place of hashes.

    Every operation is O(1) on average (strategy TTL: O(log n) for a set). Expired entries are never
    returned; they are dropped a few at a time by later calls, so that none of them pauses, and until
    then `len` counts them.
    """

    def __init__(
        self,
        maxsize: int | None,
        *,
        strategy: object = "adaptive",
        ttl: float | None = None,
        max_weight: int | None = None,
        weigher: Callable[[_K, _V], int] | None = None,
        on_evict: Callable[[_K, _V, str], object] | None = None,
        timer: Callable[[], float] | None = None,
        advise: bool = False,
        auto_resize: tuple[int, int] | None = None,
        cost_per_gb_hour: float | None = None,
        cost_per_miss: float | None = None,
        record: str | os.PathLike[str] | None = None,
        record_keys: bool = False,
    ) -> None: ...
    @property
    def maxsize(self) -> int | None:
        """Most entries it holds; None where there is no bound."""
    @property
    def max_weight(self) -> int | None:
        """Bound on the sum of weights; None where there is none."""
    @property
    def weight(self) -> int:
        """Sum of the weights of the entries; their number where there is no weigher."""
    @property
    def ttl(self) -> float | None:
        """Seconds that an entry lives unless `set` says otherwise; None for ever."""
    @property
    def strategy(self) -> str:
        """Name of the policy in force."""
    @property
    def policy(self) -> object:
        """The policy object; its own attributes tell how it is doing."""
    def __getitem__(self, key: _K, /) -> _V: ...
    def __setitem__(self, key: _K, value: _V, /) -> None: ...
    def __delitem__(self, key: _K, /) -> None: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __reversed__(self) -> Iterator[_K]: ...
    def setdefault(self, key: _K, default: _V = ...) -> _V:
        """Return the value; on a miss store `default` and return that."""
    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...
    def __iter__(self) -> Iterator[_K]:
        """Iterate over the keys of this moment, next to be evicted first where the policy has an order."""
    @overload
    def get(self, key: _K, default: None = None) -> _V | None: ...
    @overload
    def get(self, key: _K, default: _V) -> _V: ...
    @overload
    def get(self, key: _K, default: _D) -> _V | _D: ...
    @overload
    def peek(self, key: _K, default: None = None, /) -> _V | None:
        """Return the value without counting or touching."""
    @overload
    def peek(self, key: _K, default: _D, /) -> _V | _D: ...
    def set(self, key: _K, value: _V, ttl: float | None = None) -> None:
        """Store a value for `ttl` seconds (None: the cache's own ttl; `math.inf`: for ever)."""
    def get_many(self, keys: Iterable[_K], /) -> dict[_K, _V]:
        """Return those found."""
    def set_many(
        self, mapping: Mapping[_K, _V] | Iterable[tuple[_K, _V]], ttl: float | None = None
    ) -> None:
        """Store the pairs of a mapping or of an iterable, all for `ttl` seconds, as `set` does."""
    def get_or_load(self, key: _K, loader: Callable[[_K], _V], ttl: float | None = None) -> _V:
        """Return the value, or call `loader(key)` once, however many threads ask, and store its result.

        Waiters get the loader's exception too; it is not stored. A loader that asks for its own key
        loads it again rather than wait for itself.
        """
    def expires_in(self, key: _K, /) -> float | None:
        """Return the seconds the entry has left, None where it does not expire; KeyError on a miss."""
    def touch(self, key: _K, ttl: float | None = None) -> bool:
        """Give the entry a new time to live; False on a miss."""
    def resize(self, maxsize: int | None) -> None:
        """Change the bound; what is over it is evicted in order."""
    def hot_keys(self, n: int = 10) -> list[tuple[_K, float]]:
        """Return the `n` keys most asked for of late, with about their share of the lookups.

        From the last 4,096 sampled, one lookup in eight. None before `follow_hot_keys`. 0.3 ms.
        """
    def stats(self) -> dict[str, Any]:
        """Return hits, misses, hit_rate, size, maxsize, weight, inserts, evictions, expirations, ..."""
    def reset_stats(self) -> None:
        """Set the counts of `stats` to zero; the entries stay."""
    def copy(self) -> Self:
        """Return a cache with the same settings, entries and expiries."""
    def __copy__(self) -> Self: ...
    def __sizeof__(self) -> int:
        """Bytes of the table itself, without keys and values."""
