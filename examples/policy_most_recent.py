"""An eviction policy of your own: put to the contract, offered by name, beside the others.

    python examples/policy_most_recent.py

In a loop that is a little longer than the cache, LRU drops each key just before it is asked for
again; what was used last is then the right thing to drop.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

import raudo
from raudo.cache.strategies import register
from raudo.testing import check_policy


class MostRecent:
    """Drops what was used last. It sees slots, small numbers of entries, never keys or values."""

    name: ClassVar[str] = "most-recent"

    def __init__(self) -> None:
        self._order: OrderedDict[int, None] = OrderedDict()

    def on_insert(self, slot: int, key_hash: int, weight: int) -> None:
        self._order[slot] = None

    def on_hit(self, slot: int) -> None:
        self._order.move_to_end(slot)

    def on_remove(self, slot: int) -> None:
        del self._order[slot]

    def victim(self) -> int:
        if not self._order:
            raise LookupError("empty")
        return next(reversed(self._order))

    def admits(self, key_hash: int, victim: int) -> bool:
        return True


def hit_rate(strategy: str) -> float:
    cache: raudo.Cache[int, int] = raudo.Cache(100, strategy=strategy)
    for n in range(50_000):
        key = n % 110
        if cache.get(key) is None:
            cache[key] = key
    return float(cache.stats()["hit_rate"])


def main() -> None:
    check_policy(MostRecent)
    register(MostRecent.name, MostRecent)
    for strategy in ("lru", "s3fifo", "adaptive", MostRecent.name):
        print(f"{strategy:12} {hit_rate(strategy):6.1%}")


if __name__ == "__main__":
    main()
