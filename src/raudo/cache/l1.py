"""L1's size, weights, and what stands in its place where it is off."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from raudo._core.sizes import estimate_bytes
from raudo.cache.entries import unwrap

__all__ = ["OffLevel", "apportion", "weigh"]

_ENTRY_BYTES = 48  # of the compiled table, for one entry


def apportion(total: int, shares: tuple[float, float, float]) -> tuple[int, int, int]:
    """Split `total` by shares into whole numbers of exactly that sum.

    A level with a share gets at least one, the faster levels first where there is not enough.
    """
    exact = [total * share / sum(shares) for share in shares]
    sizes = [max(1, math.floor(each)) if each else 0 for each in exact]
    while sum(sizes) < total:
        sizes[max((0, 1, 2), key=lambda n: (exact[n] > 0, exact[n] - sizes[n]))] += 1
    while sum(sizes) > total:
        sizes[max((2, 1, 0), key=lambda n: sizes[n])] -= 1
    return sizes[0], sizes[1], sizes[2]


class OffLevel:
    """An L1 of no size: hands everything on to the next level."""

    def __init__(self, on_evict: Callable[[Any, Any, str], object]) -> None:
        self._on_evict = on_evict
        self._n_misses = 0

    def get(self, key: Hashable, default: Any = None) -> Any:
        hash(key)
        self._n_misses += 1
        return default

    def peek(self, key: Hashable, default: Any = None) -> Any:
        return default

    pop = peek

    def set(self, key: Hashable, value: Any, ttl: float | None = None) -> None:
        self._on_evict(key, value, "capacity")

    def clear(self) -> None: ...

    def expire(self) -> int:
        return 0

    def stats(self) -> dict[str, int]:
        return {"hits": 0, "misses": self._n_misses, "weight": 0}

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Hashable]:
        return iter(())


def weigh(key: Any, entry: Any) -> int:
    """Return about how many bytes an entry of L1 takes, as the table's weight."""
    return min(estimate_bytes(unwrap(entry)) + estimate_bytes(key) + _ENTRY_BYTES, (1 << 32) - 1)
