"""A cache of plain dictionaries that follows a compiled one and checks each of its steps.

What the cache reports to its listener is replayed here: every report must be one that the contract
allows at that moment, and after it both must hold the same entries. When expired entries are
dropped is the cache's own affair; that they are never returned, and reported once, is not.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

MISS = object()


@dataclass
class Entry:
    value: Any
    weight: int
    expires: float | None


class CacheModel:
    """Wraps an oracle of a policy, given as one of the other modules' models."""

    def __init__(self, policy: Any, maxsize: int | None, ttl: float | None, max_weight: int | None):
        self.policy = policy
        self.maxsize = maxsize
        self.ttl = ttl
        self.max_weight = max_weight
        self.now = 0.0
        self.entries: dict[Hashable, Entry] = {}
        self.counts = dict.fromkeys(
            ("hits", "misses", "inserts", "updates", "evictions", "expirations", "removals"), 0
        )
        self.counts["refused"] = 0
        self.n_sets = 0
        self.n_reported = 0
        policy.resize(maxsize)

    # --- what a caller sees ---

    def is_expired(self, key: Hashable) -> bool:
        expires = self.entries[key].expires
        return expires is not None and self.now >= expires

    def is_live(self, key: Hashable) -> bool:
        return key in self.entries and not self.is_expired(key)

    def peek(self, key: Hashable) -> Any:
        return self.entries[key].value if self.is_live(key) else MISS

    def live(self) -> dict[Hashable, Any]:
        return {key: e.value for key, e in self.entries.items() if not self.is_expired(key)}

    @property
    def weight(self) -> int:
        return sum(entry.weight for entry in self.entries.values())

    # --- steps; `reports` is what the listener heard meanwhile ---

    def get(self, key: Hashable, reports: list[tuple[Any, ...]]) -> Any:
        """Follow a look-up that counts and touches."""
        value = self.peek(key)
        if value is MISS:
            self.counts["misses"] += 1
            self.drop_expired(reports)
            return MISS
        self.drop_expired(reports)  # others, a few at a time
        self.counts["hits"] += 1
        self.policy.hit(key)
        return value

    def set(
        self,
        key: Hashable,
        value: Any,
        ttl: float | None,
        weight: int,
        reports: list[tuple[Any, ...]],
    ) -> None:
        self.n_sets += 1
        reports = list(reports)
        if ttl is None:
            ttl = self.ttl
        expires = None if ttl is None or math.isinf(ttl) else self.now + ttl
        entry = self.entries.get(key)
        was_expired = entry is not None and self.is_expired(key)
        if entry is not None and not was_expired:
            assert reports[0] == (key, entry.value, "replaced"), reports
            growth = weight - entry.weight
            self.counts["updates"] += 1
            self.n_reported += 1
            if growth <= 0 or self.max_weight is None or self.weight + growth <= self.max_weight:
                assert len(reports) == 1
                self.entries[key] = Entry(value, weight, expires)
                self._expires(key, expires)
                self.policy.hit(key)
                return
            # Others may have to leave for it: it comes back as the newest.
            self.policy.remove(key)
            del self.entries[key]
            del reports[0]
            self.counts["inserts"] -= 1
        is_too_heavy = self.max_weight is not None and weight > self.max_weight
        if self.maxsize == 0 or is_too_heavy:
            assert reports.pop() == (key, value, "capacity")
            self.n_reported += 1
            self.counts["refused"] += 1
            if entry is not None and key not in self.entries and not was_expired:
                self.counts["updates"] -= 1  # replaced by what was refused: it is removed
                self.counts["inserts"] += 1
                self.counts["removals"] += 1
            self.drop_expired(reports)
            assert key not in self.entries
            return
        for report in reports:
            if report[2] == "expired" and self.entries[report[0]].expires is not None:
                self.drop_expired([report])
            else:
                assert self._is_over(len(self.entries) + 1, self.weight + weight), "evicted early"
                self._evict(report)
        assert key not in self.entries
        assert not self._is_over(len(self.entries) + 1, self.weight + weight), "evicted too little"
        self.entries[key] = Entry(value, weight, expires)
        self.policy.insert(key)
        self._expires(key, expires)
        self.counts["inserts"] += 1

    def pop(self, key: Hashable, reports: list[tuple[Any, ...]]) -> Any:
        value = self.peek(key)
        if value is MISS:
            self.drop_expired(reports)
            return MISS
        assert reports == [(key, value, "removed")]
        self._remove(key, "removals")
        return value

    def popitem(self, reports: list[tuple[Any, ...]]) -> Any:
        """Return the pair that must have come, MISS where nothing may have."""
        reports = list(reports)
        while reports and reports[0][2] == "expired":
            self._evict(reports.pop(0))
        if not reports:
            assert not self.entries
            return MISS
        ((key, value, reason),) = reports
        assert reason == "removed"
        assert self.policy.victim() == key
        assert self.peek(key) is value
        self._remove(key, "removals")
        return key, value

    def clear(self, reports: list[tuple[Any, ...]]) -> None:
        assert sorted(map(repr, reports)) == sorted(
            repr((key, entry.value, "removed")) for key, entry in self.entries.items()
        )
        for key in list(self.entries):
            self._remove(key, "removals")
        self.policy.clear()

    def resize(self, maxsize: int | None, reports: list[tuple[Any, ...]]) -> None:
        self.maxsize = maxsize
        for report in reports:
            assert self._is_over(len(self.entries), self.weight), "evicted too much"
            self._evict(report)
        assert not self._is_over(len(self.entries), self.weight)
        self.policy.resize(maxsize)

    def touch(self, key: Hashable, ttl: float | None, reports: list[tuple[Any, ...]]) -> bool:
        if not self.is_live(key):
            self.drop_expired(reports)
            return False
        assert reports == []
        if ttl is None:
            ttl = self.ttl
        expires = None if ttl is None or math.isinf(ttl) else self.now + ttl
        self.entries[key].expires = expires
        self._expires(key, expires)
        self.policy.hit(key)
        return True

    def drop_expired(self, reports: list[tuple[Any, ...]]) -> None:
        for key, value, reason in reports:
            assert reason == "expired"
            assert self.is_expired(key)
            assert self.entries[key].value is value
            self._remove(key, "expirations")

    # --- inside ---

    def _is_over(self, n: int, weight: int) -> bool:
        too_many = self.maxsize is not None and n > self.maxsize
        return too_many or (self.max_weight is not None and weight > self.max_weight)

    def _evict(self, report: tuple[Any, ...]) -> None:
        key, value, reason = report
        assert self.policy.victim() == key, f"{self.policy.victim()} should have left, not {key}"
        assert self.entries[key].value is value
        # One that had expired and was in the way may be reported as either.
        assert reason == "capacity" or (reason == "expired" and self.is_expired(key))
        self._remove(key, "evictions" if reason == "capacity" else "expirations")

    def _remove(self, key: Hashable, counted: str) -> None:
        del self.entries[key]
        (self.policy.evict if counted == "evictions" else self.policy.remove)(key)
        self.counts[counted] += 1
        self.n_reported += 1

    def _expires(self, key: Hashable, at: float | None) -> None:
        note = getattr(self.policy, "expires", None)
        if note is not None:
            note(key, at)
