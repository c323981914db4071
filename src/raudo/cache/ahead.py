"""Loading ahead: asks the prefetcher at each miss, and runs what it says in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any

from raudo.cache.background import Background
from raudo.cache.levels import Levels
from raudo.cache.loads import Loader, Loads, Plan
from raudo.cache.prefetch import Prefetcher

__all__ = ["Ahead"]

# Loads that run ahead of their use at one time. Callers who wait come first: where `max_loads`
# leaves no permit, nothing is loaded ahead.
_MAX_AHEAD = 32


class Ahead:
    """Loads what the prefetcher foresees; without a running event loop it only learns."""

    def __init__(
        self, levels: Levels, loads: Loads, background: Background, loader: Loader, plan: Plan
    ) -> None:
        self.prefetcher = Prefetcher(levels.max_size)
        self._levels = levels
        self._loads = loads
        self._background = background
        self._loader = loader
        self._plan = plan

    def note_hit(self, key: Hashable) -> None:
        """Note that a key was found; costs one look at a table unless it was loaded ahead."""
        if key in self.prefetcher:
            self._observe(key, was_held=True)

    def note_miss(self, key: Hashable) -> None:
        self._observe(key, was_held=False)

    def _observe(self, key: Hashable, *, was_held: bool) -> None:
        is_held = self._is_held
        for each in self.prefetcher.observe(key, was_held=was_held, is_held=is_held):
            if (
                len(self._background) >= _MAX_AHEAD
                or each in self._loads.flights
                or not self._background.spawn(self._load(each))
            ):
                self.prefetcher.give_up(each)

    def _is_held(self, key: Any) -> bool:
        return self._levels.contains(key) or self._levels.up.may_be_below(key) is not None

    async def _load(self, key: Hashable) -> None:
        await asyncio.sleep(0)  # after the load of the caller whose miss foretold this one
        limit = self._loads.limit
        if (
            key in self._loads.flights  # a caller was faster
            or self._is_held(key)
            or (limit is not None and not limit.has_free())
            or not self.prefetcher.begin_load(key)
        ):
            self.prefetcher.give_up(key)
            return
        try:
            await self._loads.load_aside(key, self._loader, self._plan)
        except BaseException:
            self.prefetcher.give_up(key)
            raise
        self.prefetcher.end_load(key)
