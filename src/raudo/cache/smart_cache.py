"""Three levels behind one cache: live objects, compressed bytes in memory, and the disk.

The facade: what callers see, and nothing that moves. The levels are in `levels`, `promote` and
`demote`, what is below memory in `cold`, loading in `loads`, loading ahead in `ahead`.
"""

from __future__ import annotations

import itertools
import os
import weakref
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar, overload

from raudo._clock import SYSTEM_CLOCK, Clock
from raudo._core.cache import Cache
from raudo._core.curve import check_prices
from raudo._core.front import Front
from raudo._core.ready import Ready
from raudo._pressure import register
from raudo.cache._checks import (
    check_arguments,
    check_bounds,
    check_loader,
    check_loading,
    check_ttl,
    iterable_of,
    pairs_of,
)
from raudo.cache.advise import Advice, Prices
from raudo.cache.ahead import Ahead
from raudo.cache.assemble import assemble
from raudo.cache.background import Background
from raudo.cache.entries import Timed, Watched
from raudo.cache.flush import flush, flush_now, settle, settle_now
from raudo.cache.keys import encode_key
from raudo.cache.levels import Levels
from raudo.cache.loading import MISSING
from raudo.cache.loads import Loader, Loads, Plan
from raudo.cache.many import get_many
from raudo.cache.memoize import FunctionNames, memoized
from raudo.cache.namespace import Namespace
from raudo.cache.promote import RETRY
from raudo.cache.reading import Reader
from raudo.cache.stats import histograms_of, report, samples_of
from raudo.cache.strategies import CacheStrategy
from raudo.cache.tags import Stamps
from raudo.types import Codec, Distribution, Sample, Serializer, Tier

__all__ = ["SmartCache"]

F = TypeVar("F", bound=Callable[..., Any])

_numbers = itertools.count(1)
_SET_BATCH = 512  # entries that wait to be written to the level that processes share


class SmartCache(Front):
    """A cache of three levels, async first, usable without an event loop too.

    Args:
        max_size: Most entries, over all levels.
        strategy: Who leaves L1 first: a `CacheStrategy`, its name, or an eviction policy.
        default_ttl: Seconds that an entry lives unless `set` says otherwise; None for ever.
        compression: True (lz4), False, `"lz4"`, `"zstd"` or a `Codec`, for what is below L1.
        levels: Shares of `max_size` for L1, L2 and L3; a level of share 0 is off.
        max_bytes: Bound on the memory of L1 (estimated) and L2 together; None for none.
        path: Folder of L3; None for a private temporary one. What is there survives a restart.
        serializer: `"pickle"` or a `Serializer`; `bytes` and `str` are always stored as they are.
        allow: Classes that may be loaded from where others could write.
        secret: Signs what is stored where others could write; any class may travel then.
        loader: Called with a key that is missing, by `get_or_load` and `prefetch`.
        prefetch: Load keys ahead that the order of misses foretells, while at least half of such
            loads are of use. Costs some 5 us a miss, and about 2 KB of history an entry.
        tiers: Levels below L2 in place of the disk. One that is written through, as a
            `raudo.integrations.redis.RedisTier`, comes below all others, and with a `path` below
            the disk.
        name: Tells this cache from others in samples and events.
        on_evict: Called as `on_evict(key, value, reason)` for what the cache lets go of on its own,
            `"capacity"` or `"expired"`; the value is None where it can no longer be read. What it
            raises is reported as unraisable, never passed on.
        max_disk_bytes: Bound on the bytes of L3's files.
        max_loads: Most loads at one time, over all tasks and threads; others wait their turn.
        auto_resize: `(lowest, highest)` number of entries, between which the cache takes the size
            that costs least by the two prices, looked for at most once a minute.
        cost_per_gb_hour: What 10**9 bytes of entries cost an hour.
        cost_per_miss: What a miss costs, in the same currency.
        clock: Where the time comes from.

    Thread-safe, and bound to no event loop. L1 hands out the object that was stored, not a copy:
    change it and every reader sees the change; below L1 it is bytes, which make a new object.
    """

    def __init__(
        self,
        max_size: int = 1000,
        strategy: object = CacheStrategy.ADAPTIVE,
        default_ttl: float | None = None,
        compression: bool | str | Codec = True,
        *,
        levels: tuple[float, float, float] = (0.2, 0.3, 0.5),
        max_bytes: int | None = None,
        path: str | os.PathLike[str] | None = None,
        serializer: str | Serializer = "pickle",
        allow: Iterable[type] = (),
        secret: bytes | str | None = None,
        loader: Loader | None = None,
        prefetch: bool = False,
        tiers: Sequence[Tier] | None = None,
        name: str | None = None,
        on_evict: Callable[[Any, Any, str], object] | None = None,
        max_disk_bytes: int = 1 << 30,
        max_loads: int | None = None,
        auto_resize: tuple[int, int] | None = None,
        cost_per_gb_hour: float | None = None,
        cost_per_miss: float | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        check_arguments(
            max_size=max_size,
            default_ttl=default_ttl,
            levels=levels,
            max_bytes=max_bytes,
            path=path,
            tiers=tiers,
            prefetch=prefetch,
            loader=loader,
            on_evict=on_evict,
            max_disk_bytes=max_disk_bytes,
            max_loads=max_loads,
        )
        bounds = check_bounds(auto_resize, max_size, levels)
        self._prices = None
        if cost_per_gb_hour is not None or cost_per_miss is not None:
            check_prices(cost_per_gb_hour, cost_per_miss)
            self._prices = Prices(cost_per_gb_hour or 0.0, cost_per_miss or 0.0)
        if bounds is not None and self._prices is None:
            raise ValueError("auto_resize: needs cost_per_gb_hour and cost_per_miss, got neither")
        self.name = name if name is not None else f"cache-{next(_numbers)}"
        self.default_ttl = default_ttl
        self._default_s = check_ttl(None, default_ttl)
        self._loader = loader
        self._clock = clock
        self._background = Background()
        self._is_closing = False
        self._names = FunctionNames()
        self._levels = assemble(
            name=self.name,
            max_size=max_size,
            strategy=strategy,
            compression=compression,
            shares=(levels[0], levels[1], levels[2]),
            max_bytes=max_bytes,
            path=path,
            serializer=serializer,
            allow=allow,
            secret=secret,
            tiers=tiers,
            on_evict=on_evict,
            max_disk_bytes=max_disk_bytes,
            clock=clock,
            bounds=bounds,
            prices=self._prices,
        )
        self._reader = Reader(self._levels)
        self._loads = Loads(self.name, self._levels, self._reader, self._background, max_loads)
        self._ahead: Ahead | None = None
        if prefetch and loader is not None:
            plan = Plan(default_ttl)
            self._ahead = Ahead(self._levels, self._loads, self._background, loader, plan)
        self._l1_get = self._levels.l1.get
        if self._ahead is None and isinstance(self._levels.l1, Cache):
            note = self._levels.sampler.note
            self._open(self._levels.l1, Timed, Watched, MISSING, note)
        if self._levels.shared is not None:
            self._levels.shared.tier.watch(_forgetter(self._levels, self._loads))
        # Gives files and folders up where nobody calls close.
        self._abandon = weakref.finalize(self, _abandon, self._levels)
        register(self)

    # --- one key ------------------------------------------------------------------------------

    # `get` and `get_nowait` are compiled, in `Front`. What is no plain hit on L1 comes here, and
    # every call where hits have to be noted.

    def _get(self, key: Hashable, default: Any = None) -> Awaitable[Any]:
        entry = self._l1_get(key, MISSING)
        if entry is MISSING or type(entry) is Watched:
            return self._get_below(key, entry, default)
        self._note_hit(key)
        return Ready(entry.value if type(entry) is Timed else entry)

    def _get_now(self, key: Hashable, default: Any = None) -> Any:
        entry = self._l1_get(key, MISSING)
        if entry is MISSING or type(entry) is Watched:
            return self._get_below_now(key, entry, default)
        self._note_hit(key)
        return entry.value if type(entry) is Timed else entry

    def _get_below(self, key: Hashable, entry: Any, default: Any) -> Awaitable[Any]:
        value = self._levels.up.find(key, entry, only_light=True)
        if value is RETRY:
            return self._get_waiting(key, self._reader.lift, encode_key(key), default)
        data = self._levels.up.may_be_below(key) if value is MISSING else None
        if data is not None:
            value = self._reader.read_ready(key, data)
            if value is RETRY:
                return self._get_waiting(key, self._reader.read, data, default)
        if self._ahead is not None:
            self._note_lookup(key, value)
        if self._levels.has_leftovers():
            self._settle()
        return Ready(default if value is MISSING else value)

    async def _get_waiting(
        self,
        key: Hashable,
        read: Callable[[Hashable, bytes], Awaitable[Any]],
        data: bytes,
        default: Any,
    ) -> Any:
        value = await read(key, data)
        self._note_lookup(key, value)
        if self._levels.has_leftovers():
            await settle(self._levels)
        return default if value is MISSING else value

    def _get_below_now(self, key: Hashable, entry: Any, default: Any) -> Any:
        value = self._levels.up.find(key, entry)
        data = self._levels.up.may_be_below(key) if value is MISSING else None
        if data is not None:
            value = self._reader.read_now(key, data)
        self._note_lookup(key, value)
        settle_now(self._levels)
        return default if value is MISSING else value

    def _note_hit(self, key: Hashable) -> None:
        if self._ahead is not None:
            self._ahead.note_hit(key)

    def _note_lookup(self, key: Hashable, value: Any) -> None:
        if self._ahead is not None:
            if value is MISSING:
                self._ahead.note_miss(key)
            else:
                self._ahead.note_hit(key)

    def set(
        self, key: Hashable, value: Any, ttl: float | None = None, *, tags: Iterable[str] = ()
    ) -> Awaitable[None]:
        """Store a value for `ttl` seconds (None: `default_ttl`; `math.inf`: for ever)."""
        self._put(key, value, ttl, tags)
        return settle(self._levels) if self._levels.has_leftovers() else Ready(None)

    def set_nowait(
        self, key: Hashable, value: Any, ttl: float | None = None, *, tags: Iterable[str] = ()
    ) -> None:
        """Store a value without an event loop."""
        self._put(key, value, ttl, tags)
        settle_now(self._levels)

    def _put(self, key: Hashable, value: Any, ttl: float | None, tags: Iterable[str]) -> None:
        seconds = check_ttl(ttl, self.default_ttl)
        stamps = self._levels.tags.stamp(tags) if tags else ()
        self._loads.supersede(key)
        self._levels.put(key, value, seconds, stamps)

    def delete(self, key: Hashable) -> Awaitable[bool]:
        """Remove the key from every level; True where it was there.

        Of an entry on the disk it is not known whether its tags were invalidated: it was there.
        """
        self._loads.supersede(key)
        gone = self._levels.remove(key)
        if self._levels.shared is not None:
            return self._delete_shared(key, gone)
        return self._settled(gone) if self._levels.has_leftovers() else Ready(gone)

    async def _settled(self, result: Any) -> Any:
        await settle(self._levels)
        return result

    async def _delete_shared(self, key: Hashable, gone: bool) -> bool:
        data, shared = self._levels.encode(key), self._levels.shared
        if data is not None and shared is not None:
            gone = await shared.drop(data) or gone
        await settle(self._levels)
        return gone

    def delete_nowait(self, key: Hashable) -> bool:
        """Remove the key without an event loop."""
        self._loads.supersede(key)
        gone = self._levels.remove(key)
        data, shared = self._levels.encode(key), self._levels.shared
        if data is not None and shared is not None:
            gone = shared.drop_now(data) or gone
        settle_now(self._levels)
        return gone

    def contains(self, key: Hashable) -> Awaitable[bool]:
        """Say whether the key is there, without counting or moving anything."""
        hash(key)
        if self._levels.contains(key):
            return Ready(True)
        data = self._levels.up.may_be_below(key)
        cold = self._levels.cold
        if data is None or cold is None:
            return Ready(False)
        return self._contains_below(data)

    async def _contains_below(self, data: bytes) -> bool:
        cold = self._levels.cold
        fetched = await cold.fetch_async(data) if cold is not None else None
        if fetched is None:
            return False
        tags = fetched.blob.tags
        return not tags or self._levels.tags.is_current(tags)

    async def touch(self, key: Hashable, ttl: float | None = None) -> bool:
        """Give an entry a new time to live from now; False on a miss."""
        seconds = check_ttl(ttl, self.default_ttl)
        if self._levels.touch(key, seconds):
            if self._levels.shared is not None:
                await settle(self._levels)
            return True
        data = self._levels.up.may_be_below(key)
        if data is None or await self._reader.read(key, data, counts=False) is MISSING:
            return False
        touched = self._levels.touch(key, seconds)  # it has come up, unless nothing is above
        if not touched and self._levels.cold is not None:
            token = self._levels.up.begin_read(data)
            try:
                fetched = await self._levels.cold.fetch_async(data)
                touched = self._levels.up.finish_touch(data, token, fetched, seconds)
            finally:
                self._levels.up.end_read(data, token)
        await settle(self._levels)
        return touched

    # --- many keys ----------------------------------------------------------------------------

    async def get_many(self, keys: Iterable[Hashable]) -> dict[Any, Any]:
        """Return those that are found."""
        wanted = iterable_of("keys", keys, "an iterable of keys")
        return await get_many(self._levels, self._reader, self.get, wanted)

    async def set_many(
        self, mapping: Mapping[Any, Any], ttl: float | None = None, *, tags: Iterable[str] = ()
    ) -> None:
        """Store all of them."""
        self._levels.check()
        pairs = pairs_of(mapping)
        named = tuple(iterable_of("tags", tags, "strings")) if not isinstance(tags, str) else tags
        if self._levels.shared is None:
            for key, value in pairs:
                await self.set(key, value, ttl, tags=named)
            return
        for n, (key, value) in enumerate(pairs, 1):
            self._put(key, value, ttl, named)
            if not n % _SET_BATCH:
                await settle(self._levels)
        await settle(self._levels)

    async def clear(self) -> None:
        """Remove everything, from every level."""
        self._loads.supersede_all()
        self._levels.clear()
        if self._levels.shared is not None:
            await self._levels.shared.clear()
        await settle(self._levels)

    def clear_nowait(self) -> None:
        """Remove everything without an event loop."""
        self._loads.supersede_all()
        self._levels.clear()
        if self._levels.shared is not None:
            self._levels.shared.clear_now()
        settle_now(self._levels)

    async def invalidate_tag(self, tag: str) -> None:
        """Make every entry with this tag a miss, in every level and after a restart; O(1)."""
        self._levels.check()
        self._levels.tags.invalidate(tag)
        if self._levels.shared is not None:
            await self._levels.shared.publish_tags()

    def invalidate_tag_nowait(self, tag: str) -> None:
        """Do the same without an event loop."""
        self._levels.check()
        self._levels.tags.invalidate(tag)
        if self._levels.shared is not None:
            self._levels.shared.publish_tags_now()

    def namespace(self, name: str) -> Namespace:
        """Return a part of this cache: keys of its own, cleared by `clear` in O(1)."""
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, got {name!r}")
        return Namespace(self, name)

    # --- loading ------------------------------------------------------------------------------

    def get_or_load(
        self,
        key: Hashable,
        loader: Loader | None = None,
        ttl: float | None = None,
        *,
        stale: float = 0.0,
        refresh_ahead: float = 0.0,
        early: float = 0.0,
        negative_ttl: float | None = None,
        tags: Iterable[str] = (),
    ) -> Awaitable[Any]:
        """Return the value, or what `loader(key)` gives, stored for `ttl` seconds.

        One load runs per key, however many tasks and threads ask; all get its result or its error,
        and an error is not stored. A loader that is no coroutine function runs in a thread.

        Args:
            stale: Seconds past its time to live that a loaded value is still served, while one
                reload runs.
            refresh_ahead: Seconds before its end that a value is reloaded in the background.
            early: Reload in the background at random before the end, so that callers in many
                processes do not all do so at once: about this many times the load's duration
                before it. 1 suits most (XFetch's beta); 0 is off.
            negative_ttl: Seconds that a key which the loader does not find is not loaded again: it
                returned None, kept for so long in place of `ttl`, or raised a `LookupError`, which
                is raised again. Without it None is kept as any value and errors are not.
            tags: Of the loaded value. One that is invalidated during the load makes it invalid.
        """
        load = loader if loader is not None else self._loader
        if load is None:
            raise TypeError("loader: none was given, neither here nor to the cache")
        if stale or refresh_ahead or early or negative_ttl is not None:
            check_loading(stale, refresh_ahead, early, negative_ttl)
        seconds = check_ttl(ttl, self.default_ttl) if ttl is not None else self._default_s
        entry = self._l1_get(key, MISSING)
        if entry is not MISSING:
            kind = type(entry)
            if kind is not Watched and not (kind is Timed and (refresh_ahead or early)):
                if self._ahead is not None:
                    self._ahead.note_hit(key)
                return Ready(entry.value if kind is Timed else entry)
        check_loader(load)
        plan = Plan(seconds, stale, refresh_ahead, early, negative_ttl)
        stamps = self._levels.tags.stamp(tags) if tags else ()
        return self._get_or_load(key, entry, load, plan, stamps)

    async def _get_or_load(
        self, key: Hashable, entry: Any, loader: Loader, plan: Plan, stamps: Stamps
    ) -> Any:
        value = await self._get_below(key, entry, MISSING)
        value = await self._loads.get(key, value, loader, plan, stamps)
        if self._levels.has_leftovers():
            await settle(self._levels)
        return value

    async def _load(
        self, key: Hashable, loader: Loader, ttl: float | None, *, stamps: Stamps = ()
    ) -> Any:
        return await self._loads.load(key, loader, Plan(ttl), stamps=stamps)

    def _load_now(
        self, key: Hashable, call: Callable[[], Any], ttl: float | None, stamps: Stamps
    ) -> Any:
        value = self._loads.load_now(key, call, ttl, stamps)
        settle_now(self._levels)
        return value

    @overload
    def memoize(self, ttl: F, /) -> F: ...
    @overload
    def memoize(
        self,
        ttl: float | None = None,
        key: Callable[..., Hashable] | None = None,
        tags: Iterable[str] = (),
    ) -> Callable[[F], F]: ...
    def memoize(
        self,
        ttl: Any = None,
        key: Callable[..., Hashable] | None = None,
        tags: Iterable[str] = (),
    ) -> Any:
        """Return a decorator that keeps a function's results here, one call per key at a time.

        Works on functions and on coroutine functions. The key is the function's name and its
        arguments, or what `key(*args, **kwargs)` returns. Lambdas, and closures over different
        values, are told apart by the order in which they are decorated: where they outlive the
        process, decorate them in the same order. Without arguments it decorates as it stands.
        """
        if callable(ttl):
            return self.memoize()(ttl)
        seconds = check_ttl(ttl, self.default_ttl)
        if key is not None and not callable(key):
            raise TypeError(f"key must be callable or None, got {key!r}")
        named = tuple(tag for tag, _ in self._levels.tags.stamp(tags))  # refuses what is no tag
        return lambda fn: memoized(self, fn, seconds, key, named)

    # --- the whole ----------------------------------------------------------------------------

    def _settle(self) -> None:
        """Tell the listener, and see to it that what waits below L1 is carried down."""
        self._levels.deliver()
        if self._levels.has_leftovers() and not self._background.settle(self._levels):
            settle_now(self._levels)

    def shrink(self, keep: float) -> int:
        """Keep the share `keep`, in [0, 1], of the entries in memory; return how many left it.

        Called where memory is short: what the policy would evict next moves down, or goes where
        there is nothing below. Takes about as long as evicting it one by one. Thread-safe.
        """
        went = self._levels.shrink(keep)
        self._settle()
        return went

    async def flush(self) -> None:
        """With a path: write what L1 and L2 hold to the disk, and wait until it is there.

        Works in slices of half a millisecond, so that the event loop goes on. Also drops what has
        expired.
        """
        await flush(self._levels)

    def flush_nowait(self) -> None:
        """Flush without an event loop."""
        flush_now(self._levels)

    async def close(self) -> None:
        """Flush where there is a path, and give everything up. Closing twice is harmless."""
        if self._levels.is_closed or self._is_closing:
            return
        self._is_closing = True
        try:
            await self._background.cancel()
            await flush(self._levels)
            self._levels.empty()
            if self._levels.cold is not None:
                await self._levels.cold.aclose()
            self._abandon.detach()
        finally:
            self._is_closing = False

    def close_nowait(self) -> None:
        """Close without an event loop."""
        if not self._levels.is_closed:
            flush_now(self._levels)
            self._levels.empty()
            self._abandon()

    async def __aenter__(self) -> Self:
        self._levels.check()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __enter__(self) -> Self:
        self._levels.check()
        return self

    def __exit__(self, *_: object) -> None:
        self.close_nowait()

    @property
    def max_size(self) -> int:
        """Most entries, over all levels."""
        return self._levels.max_size

    def resize(self, max_size: int) -> None:
        """Change how many entries there may be, over all levels in their shares.

        What is over it moves down, and the coldest goes; that takes about as long as evicting it
        one by one. Thread-safe. ValueError where `auto_resize` chooses the size.
        """
        self._levels.resize(max_size)
        self._levels.deliver()

    def __len__(self) -> int:
        return sum(self._levels.level_sizes())

    def __bool__(self) -> bool:
        return True  # an empty cache is a cache

    def __repr__(self) -> str:
        state = "closed" if self._levels.is_closed else f"{len(self)} of {self.max_size} entries"
        return f"<SmartCache {self.name!r}: {state}>"

    def __reduce__(self) -> Any:
        raise TypeError(
            "a SmartCache cannot be pickled: it holds locks and open files of this process. Make "
            "one in each process; tiers that processes share can hold the same entries."
        )

    # --- how it is doing ----------------------------------------------------------------------

    def get_stats(self) -> dict[str, Any]:
        """Return counts, sizes, bytes and latency by level; no I/O, thread-safe."""
        self._levels.deliver()
        return report(self._levels, self._ahead.prefetcher if self._ahead is not None else None)

    def samples(self) -> Iterable[Sample]:
        """Return the statistics as samples for a monitor."""
        return list(samples_of(self.get_stats(), self.name))

    def follow_hot_keys(self) -> None:
        """Sample the lookups from now on, for `hot_keys`; a hit costs some 20 ns more then."""
        if isinstance(self._levels.l1, Cache):
            self._levels.l1.follow_hot_keys()

    def hot_keys(self, n: int = 10) -> list[tuple[Hashable, float]]:
        """Return the `n` keys most asked for of late, with about their share of the lookups.

        Nothing before `follow_hot_keys`, nor with the first level off.
        """
        l1 = self._levels.l1
        return l1.hot_keys(n) if isinstance(l1, Cache) else []

    def histograms(self) -> Iterable[Distribution]:
        """Return how long hits took, by level, for a monitor."""
        return list(histograms_of(self._levels.counters, self.name))

    def advise(
        self, *, cost_per_gb_hour: float | None = None, cost_per_miss: float | None = None
    ) -> dict[str, Advice]:
        """Return the hit rate to expect at `0.5x`, `1x`, `2x` and `4x` of the size.

        From a sample of the lookups so far; each with the entries and about the bytes it would be.
        With prices, given here or to the cache, each has its `cost_per_hour` too, and `cheapest` is
        the size at which memory (by 10**9 bytes) and misses cost least.
        """
        prices = self._prices
        if check_prices(cost_per_gb_hour, cost_per_miss):
            prices = Prices(cost_per_gb_hour or 0.0, cost_per_miss or 0.0)
        levels = self._levels
        with levels.lock:
            hours = (self._clock.monotonic() - levels.started_s) / 3600
            return levels.sampler.advise(
                levels.max_size, levels.lookups(), levels.bytes_per_entry(), hours, prices
            )


def _forgetter(levels: Levels, loads: Loads) -> Callable[[bytes | None], None]:
    """Return what another process's change is told to; it keeps no cache alive."""
    levels_ref, loads_ref = weakref.ref(levels), weakref.ref(loads)

    def forget(data: bytes | None) -> None:
        of_levels, of_loads = levels_ref(), loads_ref()
        if of_levels is not None and of_loads is not None:
            of_loads.supersede_encoded(data)
            of_levels.forget(data)
            of_loads.wake(data)

    return forget


def _abandon(levels: Levels) -> None:
    if levels.cold is not None:
        levels.cold.close()
