"""Keeps a level that fails from harming the cache: counts, says so, and rests it for a while."""

from __future__ import annotations

from typing import Any

from raudo import events
from raudo._clock import Clock
from raudo.errors import CorruptEntry, ServerUnavailable
from raudo.types import Tier

__all__ = ["Guard"]

_FIRST_REST_S, _LONGEST_REST_S = 1.0, 60.0


class Guard:
    """Watches one tier: what failed, and whether it is worth trying again.

    Reads and writes rest apart from each other: a full disk can still be read. Drops are never
    skipped; keys of those that failed are not believed until they are dropped or put after all.
    """

    def __init__(
        self, tier: Tier, cache: str, clock: Clock, longest_rest_s: float = _LONGEST_REST_S
    ) -> None:
        self.tier = tier
        self.offers: Any = tier  # for what it offers beyond the protocol
        self._longest_rest_s = longest_rest_s
        self.failures = 0
        self.doubtful: set[bytes] = set()
        self._cache = cache
        self._clock = clock
        self._rest_s = {"get": 0.0, "put": 0.0}
        self._resume_at = {"get": 0.0, "put": 0.0}

    def is_resting(self, operation: str) -> bool:
        """Say whether the operation failed so lately that it should not be tried now."""
        return self._rest_s[operation] > 0 and self._clock.monotonic() < self._resume_at[operation]

    def note_success(self, operation: str) -> None:
        if self._rest_s[operation]:
            self._rest_s[operation] = 0.0

    def note_failure(self, operation: str, error: BaseException) -> None:
        """Count the failure and emit it; one bad record, or server of many, is none for a rest."""
        if isinstance(error, ServerUnavailable) and not error.was_asked:
            return
        self.failures += 1
        is_of_all = not isinstance(error, CorruptEntry | ServerUnavailable)
        if operation in self._rest_s and is_of_all:
            rest_s = min(max(_FIRST_REST_S, 2 * self._rest_s[operation]), self._longest_rest_s)
            self._rest_s[operation] = rest_s
            self._resume_at[operation] = self._clock.monotonic() + rest_s
        events.emit(events.TierFailed(self._cache, self.tier.name, operation, error))
