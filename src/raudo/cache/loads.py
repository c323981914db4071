"""Loading what is missing: once per key, ahead of the end of a value's life, and within a bound.

Three ways keep a popular key's expiry from stopping its callers: `stale` serves the old value while
one reload runs, `refresh_ahead` reloads when little time is left, and `early` does so at random,
more likely the nearer the end and the longer the load: XFetch (Vattani, Chierichetti and
Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015), of which we changed that
the reload runs in the background instead of in the caller that drew it.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import random
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from raudo import _trace
from raudo.cache.background import Background
from raudo.cache.flush import settle
from raudo.cache.keys import decode_key
from raudo.cache.leases import Leases
from raudo.cache.levels import Levels
from raudo.cache.limit import LoadLimit
from raudo.cache.loading import MISSING, Flights
from raudo.cache.reading import Reader
from raudo.cache.tags import Stamps
from raudo.types import Lease

__all__ = ["Loader", "Loads", "Plan"]

Loader = Callable[[Any], Any]

_MAX_ABSENT = 10_000
_MEAN_WEIGHT = 1 / 16


class Plan(NamedTuple):
    """How one call wants a value to be loaded and kept; all times in seconds."""

    ttl: float | None
    stale: float = 0.0
    refresh_ahead: float = 0.0
    early: float = 0.0
    negative_ttl: float | None = None


class Loads:
    """The loads of one cache. Thread-safe, bound to no event loop."""

    def __init__(
        self,
        name: str,
        levels: Levels,
        reader: Reader,
        background: Background,
        max_loads: int | None,
    ) -> None:
        self._name = name  # of the cache
        self.flights = Flights()
        self.limit = LoadLimit(max_loads) if max_loads is not None else None
        self._levels = levels
        self._reader = reader
        self._background = background
        self._leases = None
        if levels.shared is not None and getattr(levels.shared.tier, "lease_s", None):
            self._leases = Leases(levels, reader, levels.shared)
        self._mean_load_s = 0.0
        # Keys that a loader did not find: its error, and until when it is raised again.
        self._absent: OrderedDict[Hashable, tuple[LookupError, float]] = OrderedDict()

    def supersede(self, key: Hashable) -> None:
        """Note that the key was set or deleted: what was loaded or not found before is void."""
        self.flights.supersede(key)
        if self._absent:
            self._absent.pop(key, None)

    def supersede_encoded(self, data: bytes | None) -> None:
        """Do so for a key that another process changed; None: for all."""
        if data is None:
            self.supersede_all()
            return
        try:
            self.supersede(decode_key(data))
        except ValueError:
            return  # no key of this process

    def wake(self, data: bytes | None) -> None:
        """Let loads look again that wait for another process to load the key; None: any key."""
        if self._leases is not None:
            self._leases.wake(data)

    def supersede_all(self) -> None:
        self.flights.supersede_all()
        self._absent.clear()

    # --- with an event loop -------------------------------------------------------------------

    async def get(
        self, key: Hashable, value: Any, loader: Loader, plan: Plan, stamps: Stamps
    ) -> Any:
        """Return the value that was found, or load it where that is `MISSING`."""
        if value is not MISSING:
            if self._is_due(key, plan):
                self._refresh(key, loader, plan, stamps)
            return value
        if plan.stale:
            value = self._levels.stale_value(key)
            if value is not MISSING:
                self._levels.counters.stale_served += 1
                self._refresh(key, loader, plan, stamps)
                return value
        if self._absent:
            self._raise_if_absent(key)
        return await self.load(key, loader, plan, stamps=stamps)

    def _is_due(self, key: Hashable, plan: Plan) -> bool:
        if not (plan.refresh_ahead or plan.early):
            return False
        left_s, load_s = self._levels.seconds_left(key)
        if left_s < plan.refresh_ahead:
            return True
        if not plan.early or left_s == math.inf:
            return False
        # An entry that was below L1 since its load does not know what that took.
        took_s = load_s or self._mean_load_s
        return left_s <= took_s * plan.early * -math.log(1.0 - random.random())

    def _refresh(self, key: Hashable, loader: Loader, plan: Plan, stamps: Stamps) -> None:
        if key in self.flights:
            return
        load = self.load_aside(key, loader, plan, stamps=stamps, is_refresh=True)
        if self._background.spawn(load):
            self._levels.counters.refreshes += 1

    async def load_aside(self, key: Hashable, loader: Loader, plan: Plan, **settings: Any) -> None:
        """Load the key where no caller will carry down what that leaves behind."""
        await self.load(key, loader, plan, **settings)
        if self._levels.has_leftovers():
            await settle(self._levels)

    async def load(
        self,
        key: Hashable,
        loader: Loader,
        plan: Plan,
        *,
        stamps: Stamps = (),
        is_refresh: bool = False,
    ) -> Any:
        """Load the key, or wait for the load of it that is under way."""
        took_s = 0.0
        lease: Lease | None = None

        async def load() -> Any:
            nonlocal took_s
            self._levels.counters.loads += 1
            started = self._levels.clock.monotonic()
            is_stored = False
            try:
                with self._span():
                    value = await self.call(loader, key)
                is_stored = not self.flights.is_superseded(key)
                return value
            except Exception as error:
                self._note_failure(key, error, plan)
                raise
            finally:
                took_s = self._levels.clock.monotonic() - started
                self._mean_load_s += (took_s - self._mean_load_s) * _MEAN_WEIGHT
                if self._leases is not None and lease is not None:
                    await self._leases.end_async(key, lease, is_stored=is_stored)

        def look() -> Any:
            return MISSING if is_refresh else self._reader.look(key)

        async def ask() -> Any:
            nonlocal lease
            if self._leases is None:
                return MISSING
            value, lease = await self._leases.begin_async(key, is_refresh=is_refresh)
            return value

        def store(value: Any) -> None:
            kept_s = plan.ttl
            if value is None and plan.negative_ttl is not None:
                kept_s = plan.negative_ttl
            stale_s, load_s = plan.stale, took_s if plan.early else 0.0
            self._levels.put(key, value, kept_s, stamps, stale_s, load_s, lease)

        return await self.flights.run_async(key, load, store, look, self.limit, ask)

    def _span(self) -> AbstractContextManager[object]:
        return _trace.span("raudo.cache.load", {"raudo.cache": self._name})

    def _note_failure(self, key: Hashable, error: Exception, plan: Plan) -> None:
        self._levels.counters.load_failures += 1
        if plan.negative_ttl is not None and isinstance(error, LookupError):
            until = self._levels.clock.monotonic() + plan.negative_ttl
            self._absent[key] = (error, until)
            if len(self._absent) > _MAX_ABSENT:
                self._absent.popitem(last=False)

    def _raise_if_absent(self, key: Hashable) -> None:
        found = self._absent.get(key)
        if found is None:
            return
        error, until = found
        if until <= self._levels.clock.monotonic():
            self._absent.pop(key, None)
            return
        self._levels.counters.negative_hits += 1
        raise error.with_traceback(None)  # it would grow by a frame each time

    @staticmethod
    async def call(loader: Loader, key: Hashable) -> Any:
        """Call a loader: a coroutine function here, any other on a thread."""
        call: Any = getattr(loader, "__call__", None)  # noqa: B004  asks what kind it is
        if inspect.iscoroutinefunction(loader) or inspect.iscoroutinefunction(call):
            return await loader(key)
        value = await asyncio.to_thread(_call_here, loader, key)
        return await value if inspect.isawaitable(value) else value

    # --- without one --------------------------------------------------------------------------

    def load_now(
        self, key: Hashable, call: Callable[[], Any], ttl: float | None, stamps: Stamps
    ) -> Any:
        """Load the key on this thread, or wait for the load of it that is under way."""

        lease: Lease | None = None

        def load() -> Any:
            self._levels.counters.loads += 1
            is_stored = False
            try:
                with self._span():
                    value = call()
                is_stored = not self.flights.is_superseded(key)
                return value
            except Exception:
                self._levels.counters.load_failures += 1
                raise
            finally:
                if self._leases is not None and lease is not None:
                    self._leases.end(key, lease, is_stored=is_stored)

        def look() -> Any:
            nonlocal lease
            value = self._reader.look(key)
            if value is MISSING and self._leases is not None:
                value, lease = self._leases.begin(key)
            return value

        def store(value: Any) -> None:
            self._levels.put(key, value, ttl, stamps, lease=lease)

        return self.flights.run(key, load, store, look, self.limit)


def _call_here(loader: Loader, key: Hashable) -> Any:
    try:
        return loader(key)
    except StopIteration as error:  # no future can hold one: whoever waits would wait for ever
        raise RuntimeError("the loader raised StopIteration") from error
