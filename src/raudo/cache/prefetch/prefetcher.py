"""The finders and the ledger behind one door."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

from raudo.cache._forks import reset_after_fork
from raudo.cache.prefetch.ledger import Ledger
from raudo.cache.prefetch.sequences import Sequences
from raudo.cache.prefetch.strides import Strides

__all__ = ["Prefetcher"]


class Prefetcher:
    """Learns from misses, and from hits on what was loaded ahead. Thread-safe; O(1) a call.

    Other hits teach nothing and need not be told, so that they cost nothing.

    Args:
        max_size: Entries of the cache that is loaded into.
        strides: Look for integers at equal distances.
        sequences: Look for keys that come in an order known from before.
    """

    def __init__(self, max_size: int, *, strides: bool = True, sequences: bool = True) -> None:
        # Re-entrant: __eq__ of keys, and finalizers that the collector runs, may come back here.
        self._lock = threading.RLock()
        self._ledger = Ledger(max_size)
        self._strides = Strides() if strides else None
        self._sequences = Sequences(max_size) if sequences else None
        reset_after_fork(self)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()

    def __contains__(self, key: Hashable) -> bool:
        """Say whether the key was chosen to be loaded ahead and not asked for so far."""
        return key in self._ledger.awaited

    def observe(self, key: Any, *, was_held: bool, is_held: Callable[[Any], bool]) -> list[Any]:
        """Note that a key was asked for; return keys that are worth loading now.

        Args:
            was_held: The cache had it, as it was loaded ahead.
            is_held: Says whether the cache has a key; what it has is not proposed.
        """
        with self._lock:
            was_foreseen = self._ledger.arrive(key, was_held=was_held)
            candidates = self._strides.follow(key) if self._strides is not None else []
            if self._sequences is not None:
                candidates += self._sequences.follow(key, was_foreseen=was_foreseen)
            return self._ledger.propose(candidates, is_held) if candidates else candidates

    def begin_load(self, key: Hashable) -> bool:
        """Note that the load of a key that was returned begins; False where it is of no use now."""
        with self._lock:
            return self._ledger.begin_load(key)

    def end_load(self, key: Hashable) -> None:
        """Note that the key was loaded and the cache holds it."""
        with self._lock:
            self._ledger.end_load(key)

    def give_up(self, key: Hashable) -> None:
        """Note that a key that was returned is not loaded, or that its load failed."""
        with self._lock:
            self._ledger.give_up(key)

    @property
    def loads(self) -> int:
        """Loads made ahead, failed ones included."""
        return self._ledger.loads

    @property
    def useful(self) -> int:
        """Loads whose value was asked for while the cache held it."""
        return self._ledger.useful

    @property
    def wasted(self) -> int:
        """Loads that failed, or whose value nobody asked for while the cache held it."""
        return self._ledger.wasted

    @property
    def precision(self) -> float:
        """Useful ones among the loads whose outcome is known; 0 where there are none."""
        n_judged = self.useful + self.wasted
        return self.useful / n_judged if n_judged else 0.0
