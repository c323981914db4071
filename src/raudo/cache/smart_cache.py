"""Three levels behind one cache: live objects, compressed bytes in memory, and the disk.

The facade: arguments, the event loop, and nothing else. What moves is in `promote`, what is below
memory in `cold`, one load per key in `loading`.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from raudo._clock import SYSTEM_CLOCK, Clock
from raudo._core.cache import Cache
from raudo._core.curve import check_prices
from raudo._core.front import Front
from raudo._core.ready import Ready
from raudo.cache._checks import check_arguments, check_bounds, check_ttl
from raudo.cache.advise import Advice, Prices
from raudo.cache.codecs import BlobCodec, Signer
from raudo.cache.cold import ColdLevels
from raudo.cache.entries import Timed, Watched
from raudo.cache.flush import flush_steps
from raudo.cache.loading import MISSING, Flights
from raudo.cache.memoize import FunctionNames, memoized
from raudo.cache.prefetch import StridePredictor
from raudo.cache.promote import RETRY, Levels
from raudo.cache.reading import Reader
from raudo.cache.stats import report, samples_of
from raudo.cache.strategies import CacheStrategy
from raudo.cache.tags import TagGenerations
from raudo.cache.tiers import DiskTier, ScratchTier
from raudo.types import Codec, Sample, Serializer, Tier

__all__ = ["SmartCache"]

F = TypeVar("F", bound=Callable[..., Any])
Loader = Callable[[Any], Any]

_FLUSH_SLICE_S = 0.0005
_MAX_PREFETCHES = 8
_numbers = itertools.count(1)


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
        prefetch: Load keys ahead of those that follow each other at a stride, while that pays.
        tiers: Levels below L2 in place of the disk.
        name: Tells this cache from others in samples and events.
        on_evict: Called as `on_evict(key, value, reason)` for what the cache lets go of on its own,
            `"capacity"` or `"expired"`; the value is None where it can no longer be read.
        max_disk_bytes: Bound on the bytes of L3's files.
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
        self._loader = loader
        self._clock = clock
        self._flights = Flights()
        self._background: set[asyncio.Task[Any]] = set()
        self._is_closing = False
        self._names = FunctionNames()
        self._predictor = StridePredictor() if prefetch else None
        codec = BlobCodec(serializer, compression, allow)
        signer = Signer(secret) if secret is not None else None
        below: list[Tier] | Callable[[], Tier] | None = list(tiers) if tiers is not None else None
        self._levels = levels_ = Levels(
            max_size,
            (levels[0], levels[1], levels[2]),
            strategy=strategy,
            max_bytes=max_bytes,
            codec=codec,
            clock=clock,
            tags=TagGenerations(clock=clock),
            on_evict=on_evict,
            bounds=bounds,
            prices=self._prices,
        )
        reports = on_evict is not None

        def make_scratch() -> Tier:
            return ScratchTier(
                max_bytes=max_disk_bytes,
                on_evict=levels_.left_tier,
                report_values=reports,
                clock=clock,
            )

        if below is None and levels[2]:
            below = make_scratch
            if path is not None:
                disk = DiskTier(
                    path,
                    max_entries=max_size if bounds is None else bounds[1],
                    max_bytes=max_disk_bytes,
                    on_evict=levels_.left_tier,
                    report_values=reports,
                    clock=clock,
                )
                below = [disk]
        if isinstance(below, list):
            for tier in below:
                if tier.survives_restart and hasattr(tier, "keep") and hasattr(tier, "path"):
                    levels_.tags = TagGenerations(Path(tier.path) / "tags", clock)
        if below:
            levels_.cold = ColdLevels(
                below,
                cache=self.name,
                codec=codec,
                signer=signer,
                clock=clock,
                lock=levels_.lock,
                dropped=levels_.left_cold,
            )
            levels_.start_accounts()
        self._reader = Reader(levels_)
        self._l1_get = levels_.l1.get
        if self._predictor is None and isinstance(levels_.l1, Cache):
            self._open(levels_.l1, Timed, Watched, MISSING)
        # Gives files and folders up where nobody calls close.
        self._abandon = weakref.finalize(self, _abandon, levels_)

    # --- one key ------------------------------------------------------------------------------

    def _get(self, key: Hashable, default: Any = None) -> Awaitable[Any]:
        """Do as `get`, where the compiled one does not answer by itself."""
        entry = self._l1_get(key, MISSING)
        if self._predictor is not None:
            self._foresee(key)
        if entry is not MISSING:
            kind = type(entry)
            if kind is Timed:
                return Ready(entry.value)
            if kind is not Watched:
                return Ready(entry)
        return self._get_below(key, entry, default)

    def _get_below(self, key: Hashable, entry: Any, default: Any) -> Awaitable[Any]:
        value = self._levels.find(key, entry)
        data = self._levels.may_be_below(key) if value is MISSING else None
        if data is not None:
            value = self._reader.read_ready(key, data)
            if value is RETRY:
                return self._get_waiting(key, data, default)
        if self._has_leftovers():
            self._settle()
        return Ready(default if value is MISSING else value)

    async def _get_waiting(self, key: Hashable, data: bytes, default: Any) -> Any:
        value = await self._reader.read(key, data)
        if self._has_leftovers():
            await self._settle_waiting()
        return default if value is MISSING else value

    def get_nowait(self, key: Hashable, default: Any = None) -> Any:
        """Return the value without an event loop, waiting for the disk where need be.

        Levels that only have coroutines are not asked.
        """
        entry = self._l1_get(key, MISSING)
        if entry is not MISSING:
            kind = type(entry)
            if kind is Timed:
                return entry.value
            if kind is not Watched:
                return entry
        value = self._levels.find(key, entry)
        data = self._levels.may_be_below(key) if value is MISSING else None
        if data is not None:
            value = self._reader.read_now(key, data)
        self._settle_now()
        return default if value is MISSING else value

    def set(
        self, key: Hashable, value: Any, ttl: float | None = None, *, tags: Iterable[str] = ()
    ) -> Awaitable[None]:
        """Store a value for `ttl` seconds (None: `default_ttl`; `math.inf`: for ever)."""
        self._put(key, value, ttl, tags)
        if not self._has_leftovers():
            return Ready(None)
        return self._settle_waiting()

    def set_nowait(
        self, key: Hashable, value: Any, ttl: float | None = None, *, tags: Iterable[str] = ()
    ) -> None:
        """Store a value without an event loop."""
        self._put(key, value, ttl, tags)
        self._settle_now()

    def _put(self, key: Hashable, value: Any, ttl: float | None, tags: Iterable[str]) -> None:
        seconds = check_ttl(ttl, self.default_ttl)
        stamps = self._levels.tags.stamp(tags) if tags else ()
        self._flights.supersede(key)
        self._levels.put(key, value, seconds, stamps)

    def delete(self, key: Hashable) -> Awaitable[bool]:
        """Remove the key from every level; True where it was there.

        Of an entry on the disk it is not known whether its tags were invalidated: it was there.
        """
        self._flights.supersede(key)
        gone = self._levels.remove(key)
        return self._settle_waiting(gone) if self._has_leftovers() else Ready(gone)

    def delete_nowait(self, key: Hashable) -> bool:
        """Remove the key without an event loop."""
        self._flights.supersede(key)
        gone = self._levels.remove(key)
        self._settle_now()
        return gone

    def contains(self, key: Hashable) -> Awaitable[bool]:
        """Say whether the key is there, without counting or moving anything."""
        hash(key)
        if self._levels.contains(key):
            return Ready(True)
        data = self._levels.may_be_below(key)
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
            return True
        data = self._levels.may_be_below(key)
        if data is None or await self._reader.read(key, data, counts=False) is MISSING:
            return False
        touched = self._levels.touch(key, seconds)  # it has come up, unless nothing is above
        if not touched and self._levels.cold is not None:
            token = self._levels.begin_read(data)
            try:
                fetched = await self._levels.cold.fetch_async(data)
                touched = self._levels.finish_touch(data, token, fetched, seconds)
            finally:
                self._levels.end_read(data, token)
        await self._settle_waiting()
        return touched

    # --- many keys ----------------------------------------------------------------------------

    async def get_many(self, keys: Iterable[Hashable]) -> dict[Any, Any]:
        """Return those that are found."""
        found = {}
        for key in keys:
            value = await self.get(key, MISSING)
            if value is not MISSING:
                found[key] = value
        return found

    async def set_many(
        self, mapping: Mapping[Any, Any], ttl: float | None = None, *, tags: Iterable[str] = ()
    ) -> None:
        """Store all of them."""
        named = tuple(tags) if not isinstance(tags, str) else tags
        for key, value in mapping.items():
            await self.set(key, value, ttl, tags=named)

    async def clear(self) -> None:
        """Remove everything, from every level."""
        self._flights.supersede_all()
        self._levels.clear()
        await self._settle_waiting()

    async def invalidate_tag(self, tag: str) -> None:
        """Make every entry with this tag a miss, in every level and after a restart; O(1)."""
        self._levels.check()
        self._levels.tags.invalidate(tag)

    # --- loading ------------------------------------------------------------------------------

    def get_or_load(
        self,
        key: Hashable,
        loader: Loader | None = None,
        ttl: float | None = None,
        *,
        stale: float = 0.0,
        refresh_ahead: float = 0.0,
    ) -> Awaitable[Any]:
        """Return the value, or what `loader(key)` gives, stored for `ttl` seconds.

        One load runs per key, however many tasks and threads ask; all get its result or its error,
        and an error is not stored. A loader that is no coroutine function runs in a thread.

        Args:
            stale: Seconds past its time to live that a loaded value is still served, while one
                reload runs.
            refresh_ahead: Seconds before its end that a value is reloaded in the background.
        """
        load = loader if loader is not None else self._loader
        if load is None:
            raise TypeError("loader: none was given, neither here nor to the cache")
        if not (stale >= 0 and refresh_ahead >= 0):
            raise ValueError(f"stale and refresh_ahead must be >= 0, got {stale}, {refresh_ahead}")
        seconds = check_ttl(ttl, self.default_ttl)
        return self._get_or_load(key, load, seconds, stale, refresh_ahead)

    async def _get_or_load(
        self, key: Hashable, loader: Loader, ttl: float | None, stale: float, ahead: float
    ) -> Any:
        value = await self.get(key, MISSING)
        if value is not MISSING:
            if ahead and self._levels.seconds_left(key) < ahead:
                self._refresh(key, loader, ttl, stale)
            return value
        if stale:
            value = self._levels.stale_value(key)
            if value is not MISSING:
                self._refresh(key, loader, ttl, stale)
                return value
        return await self._load(key, loader, ttl, stale)

    def _refresh(self, key: Hashable, loader: Loader, ttl: float | None, stale: float) -> None:
        if key not in self._flights:
            self._spawn(self._load(key, loader, ttl, stale, is_refresh=True))

    async def _load(
        self,
        key: Hashable,
        loader: Loader,
        ttl: float | None,
        stale: float = 0.0,
        *,
        stamps: tuple[tuple[str, int], ...] = (),
        is_refresh: bool = False,
    ) -> Any:
        levels = self._levels

        async def load() -> Any:
            levels.counters.loads += 1
            try:
                return await _call(loader, key)
            except Exception:
                levels.counters.load_failures += 1
                raise

        def look() -> Any:
            return MISSING if is_refresh else self._reader.look(key)

        return await self._flights.run_async(
            key, load, lambda value: levels.put(key, value, ttl, stamps, stale), look
        )

    def _load_now(
        self,
        key: Hashable,
        call: Callable[[], Any],
        ttl: float | None,
        stamps: tuple[tuple[str, int], ...],
    ) -> Any:
        def load() -> Any:
            self._levels.counters.loads += 1
            try:
                return call()
            except Exception:
                self._levels.counters.load_failures += 1
                raise

        value = self._flights.run(
            key,
            load,
            lambda value: self._levels.put(key, value, ttl, stamps),
            lambda: self._reader.look(key),
        )
        self._settle_now()
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
        self._levels.tags.stamp(tags)  # refuses what is no tag
        named = tuple(tags)
        return lambda fn: memoized(self, fn, seconds, key, named)

    # --- ahead of time ------------------------------------------------------------------------

    def _foresee(self, key: Hashable) -> None:
        predictor, loader = self._predictor, self._loader
        if predictor is None or loader is None:
            return
        for each in predictor.observe(key):
            if len(self._background) >= _MAX_PREFETCHES or each in self._flights:
                return
            if not self._levels.contains(each):
                self._spawn(self._prefetch(each, loader))

    async def _prefetch(self, key: Hashable, loader: Loader) -> None:
        if self._predictor is not None:
            await self._load(key, loader, self.default_ttl)
            self._predictor.note_loaded(key)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run in the background; what it raises is counted by the load, and told to nobody."""
        try:
            task = asyncio.get_running_loop().create_task(work)
        except RuntimeError:  # no loop runs here: nothing happens ahead of time
            work.close()
            return
        self._background.add(task)
        task.add_done_callback(self._forget_task)

    def _forget_task(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled():
            task.exception()

    # --- what a call leaves to be done --------------------------------------------------------

    def _has_leftovers(self) -> bool:
        return self._levels.has_leftovers()

    def _settle(self) -> None:
        """Tell the listener, and see to it that what waits for the disk is carried there."""
        self._levels.deliver()
        if self._levels.cold is None or not self._levels.cold.outbox:
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._settle_now()
        else:
            self._spawn(self._levels.cold.drain_async())

    def _settle_now(self) -> None:
        cold = self._levels.cold
        if cold is not None and cold.outbox:
            cold.drain()
        self._levels.deliver()

    async def _settle_waiting(self, result: Any = None) -> Any:
        cold = self._levels.cold
        if cold is not None and cold.outbox:
            await cold.drain_async()
        self._levels.deliver()
        return result

    # --- the whole ----------------------------------------------------------------------------

    async def flush(self) -> None:
        """With a path: write what L1 and L2 hold to the disk, and wait until it is there.

        Works in slices of half a millisecond, so that the event loop goes on. Also drops what has
        expired.
        """
        self._levels.sweep()
        if self._levels.cold is not None:  # first: a drop that waits would take the new copy along
            await self._levels.cold.drain_fully()
        until = time.perf_counter() + _FLUSH_SLICE_S
        for _ in flush_steps(self._levels):
            if time.perf_counter() >= until:
                await asyncio.sleep(0)
                until = time.perf_counter() + _FLUSH_SLICE_S
        if self._levels.cold is not None:
            await self._levels.cold.drain_fully()
            await asyncio.to_thread(self._levels.cold.sync)
        self._levels.deliver()

    def flush_nowait(self) -> None:
        """Flush without an event loop."""
        self._levels.sweep()
        if self._levels.cold is not None:
            self._levels.cold.drain_fully_now()
        for _ in flush_steps(self._levels):
            pass
        if self._levels.cold is not None:
            self._levels.cold.drain_fully_now()
            self._levels.cold.sync()
        self._levels.deliver()

    async def close(self) -> None:
        """Flush where there is a path, and give everything up. Closing twice is harmless."""
        if self._levels.is_closed or self._is_closing:
            return
        self._is_closing = True
        try:
            loop = asyncio.get_running_loop()
            own = [task for task in self._background if task.get_loop() is loop]
            for task in own:
                task.cancel()
            await asyncio.gather(*own, return_exceptions=True)
            await self.flush()
            self._levels.empty()
            if self._levels.cold is not None:
                await self._levels.cold.aclose()
            self._abandon.detach()
        finally:
            self._is_closing = False

    def close_nowait(self) -> None:
        """Close without an event loop."""
        if not self._levels.is_closed:
            self.flush_nowait()
            self._levels.empty()
            self._abandon()

    async def __aenter__(self) -> Self:
        self._levels.check()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __enter__(self) -> Self:
        self._levels.check()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close_nowait()

    @property
    def max_size(self) -> int:
        """Most entries, over all levels."""
        return self._levels.max_size

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
        """Return counts, sizes, bytes and mean latency by level; no I/O, thread-safe."""
        self._levels.deliver()
        return report(self._levels, self._predictor)

    def samples(self) -> Iterable[Sample]:
        """Return the statistics as samples for a monitor."""
        return list(samples_of(self.get_stats(), self.name))

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


async def _call(loader: Loader, key: Hashable) -> Any:
    call: Any = getattr(loader, "__call__", None)  # noqa: B004  asks what kind it is, not whether
    if inspect.iscoroutinefunction(loader) or inspect.iscoroutinefunction(call):
        return await loader(key)
    value = await asyncio.to_thread(_call_here, loader, key)
    return await value if inspect.isawaitable(value) else value


def _call_here(loader: Loader, key: Hashable) -> Any:
    try:
        return loader(key)
    except StopIteration as error:  # no future can hold one: whoever waits would wait for ever
        raise RuntimeError("the loader raised StopIteration") from error


def _abandon(levels: Levels) -> None:
    if levels.cold is not None:
        levels.cold.close()
