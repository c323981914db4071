"""The facade of the room: named pools, the garbage collector, a watch on the memory."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, Never, Protocol, Self, TypedDict, TypeVar

from raudo import _pressure
from raudo._clock import SYSTEM_CLOCK, Clock
from raudo._process import available_memory_bytes, bound_share, container_memory, resident_bytes
from raudo._ticker import Ticker
from raudo.errors import UnknownPool
from raudo.events import MemoryGrew, MemoryShort, emit, has_subscribers
from raudo.memory.buffer_pool import SHARED_BUFFERS
from raudo.memory.caches import CacheMemory
from raudo.memory.compacting import compact
from raudo.memory.gc import IdleCollector, IdleWork, PauseMeter, Thresholds
from raudo.memory.idle import IDLE_BUDGET_S, Request, Requests, idle_moment
from raudo.memory.malloc import find_malloc_trim, give_back_free_pages
from raudo.memory.pool import ObjectPool
from raudo.memory.report import report_of, samples_of
from raudo.memory.watch import AddressSlack, GrowthWatch, PressureWatch
from raudo.types import Sample

__all__ = ["MemoryOptimizer", "Optimization"]

T = TypeVar("T")
_log = logging.getLogger("raudo.memory")
# A service that has not called `idle` for this long gets the collector's own schedule back.
_IDLE_LAPSE_S = 60.0
# How often pools drop what nobody has needed since.
_UNUSED_S = 60.0
# What caches and pools keep at the soft and at the hard limit.
_KEEP = {"soft": 0.75, "hard": 0.5}


class Optimization(TypedDict):
    """What `optimize` did; `freed_bytes` is by how much the resident memory fell, 0 at least.

    `trimmed` objects or entries left pools and caches, `trimmed_bytes` the pools of buffers.
    """

    generation: int
    collected: int
    trimmed: int
    trimmed_bytes: int
    gave_back_pages: bool
    freed_bytes: int
    seconds: float


class _Trimmable(Protocol):
    def trim(self, keep: int = 0, /) -> int: ...
    def stats(self) -> Any: ...


class MemoryOptimizer:
    """Lends objects from named pools, collects garbage when it suits, and watches the memory.

    Args:
        auto_optimize: Start by itself when the first pool is created or the first object frozen;
            `start` and `with` do it at once, whatever this says.
        gc_threshold: New containers, less freed ones, after which the young generation is collected
            while this runs (Python's own default is 700, or 2000 from 3.13 on).
        interval: Seconds between two looks at the process's memory.
        memory_limit: Bytes that count as 100 %; what the machine or the cgroup has when None.
            Where `RLIMIT_AS` or `RLIMIT_DATA` is nearer, that counts.
        soft_ratio: Share of the limit from which caches and pools let a quarter go.
        hard_ratio: Share from which they let half go and `optimize` is called.
        growth_bytes: How much the process grows before `on_growth` is told.
        clock: Where time comes from.

    While it runs, the thresholds of the collector are set and a daemon thread looks at the memory:
    from 90 % on it calls `optimize`, less often where that does not help. `stop` ends the thread
    and gives back the settings it found; so does dropping the last reference. Nothing happens
    before it is started. After a fork the child starts its own thread with its next call of
    `create_pool`, `optimize` or `idle`. Thread-safe.

    >>> optimizer = MemoryOptimizer(auto_optimize=False)
    >>> pool = optimizer.create_pool("lists", list, max_size=500)
    >>> with pool.borrow() as items:
    ...     items.append(1)
    >>> optimizer.get_pool("lists").acquire()
    []
    """

    def __init__(
        self,
        auto_optimize: bool = True,
        *,
        gc_threshold: int = 1000,
        interval: float = 1.0,
        memory_limit: int | None = None,
        soft_ratio: float = 0.8,
        hard_ratio: float = 0.9,
        growth_bytes: int = 64 << 20,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        _check_positive("gc_threshold", gc_threshold, whole=True)
        _check_positive("interval", interval)
        if memory_limit is not None:
            _check_positive("memory_limit", memory_limit, whole=True)
        _check_positive("growth_bytes", growth_bytes, whole=True)
        if not 0 < soft_ratio <= hard_ratio <= 1:
            raise ValueError(
                f"soft_ratio and hard_ratio are {soft_ratio!r} and {hard_ratio!r}, "
                "wanted 0 < soft_ratio <= hard_ratio <= 1"
            )
        self._auto_optimize = bool(auto_optimize)
        self._interval = interval
        self._gc_threshold = gc_threshold
        self._memory_limit = memory_limit
        self._clock = clock
        self._lock = threading.RLock()
        self._pools: dict[str, ObjectPool[Any]] = {}
        self._attached: dict[str, _Trimmable] = {}
        self._thresholds = Thresholds()
        self._pauses = PauseMeter()
        self._collector = IdleCollector(clock)
        self._requests = Requests()
        self._watch = PressureWatch(clock, soft_ratio, hard_ratio)
        self._slack = AddressSlack()
        self._growth = GrowthWatch(growth_bytes)
        self._on_pressure: list[Callable[[MemoryShort], object]] = []
        self._on_growth: list[Callable[[MemoryGrew], object]] = []
        self._trimmed_unused = clock.monotonic()
        self._ticker = Ticker(self._tick, interval, "raudo-memory-watch")
        self._wants_to_run = False
        self._last_idle: float | None = None
        self._n_optimizations = 0
        weakref.finalize(
            self, _undo, self._thresholds, self._pauses, self._collector
        ).atexit = False

    # --- pools --------------------------------------------------------------------------------

    def create_pool(
        self,
        name: str,
        factory: Callable[[], T],
        max_size: int = 1000,
        reset: Callable[[T], object] | None = None,
    ) -> ObjectPool[T]:
        """Make a pool that `get_pool(name)` finds; see `ObjectPool` for the arguments.

        Raises:
            ValueError: There is a pool of this name.
        """
        if not isinstance(name, str):
            raise TypeError(f"name is {name!r}, wanted a str")
        pool: ObjectPool[T] = ObjectPool(factory, max_size, reset, name)
        with self._lock:
            self._claim(name)
            self._pools[name] = pool
        self._run_if_wanted(automatic=True)
        return pool

    def get_pool(self, name: str) -> ObjectPool[Any]:
        """Return the pool of this name.

        Raises:
            UnknownPool: There is none (a KeyError).
        """
        pool = self._pools.get(name)
        if pool is None:
            known = ", ".join(map(repr, self._pools)) or "none"
            raise UnknownPool(f"no pool is named {name!r}; created so far: {known}")
        return pool

    def attach(self, name: str, pool: Any) -> None:
        """Trim and report this too: a `BufferPool`, a `Cache`, or what has `trim(keep)` and
        `stats()`.

        Its stats say how much there is to trim, as `held_bytes` or as `idle`. Where it also has
        `shrink(keep)`, that is called at the soft and at the hard limit with the share to keep. A
        `Cache` lets entries go then; `BufferPool` and `SmartCache` do so without being attached.

        Raises:
            TypeError: `pool` lacks one of the methods.
            ValueError: The name is taken.
        """
        if hasattr(pool, "resize") and hasattr(pool, "maxsize"):
            pool = CacheMemory(pool)
        if not (callable(getattr(pool, "trim", None)) and callable(getattr(pool, "stats", None))):
            raise TypeError(
                f"pool must have trim(keep) and stats(), a {type(pool).__name__} does not"
            )
        with self._lock:
            self._claim(name)
            self._attached[name] = pool
        self._run_if_wanted(automatic=True)

    def _claim(self, name: str) -> None:
        if name in self._pools or name in self._attached:
            raise ValueError(f"name is {name!r}, wanted one that no other pool has")

    def on_pressure(self, listener: Callable[[MemoryShort], object]) -> None:
        """Call `listener` when the memory comes to the soft or the hard limit, from the watch's
        thread.

        What it raises is logged. `raudo.events.MemoryShort` is emitted too.
        """
        self._on_pressure.append(listener)

    def on_growth(self, listener: Callable[[MemoryGrew], object]) -> None:
        """Call `listener` each time the process has grown by `growth_bytes`, with the types that
        did.

        Objects are counted then (a sample of them), and once at the first look.
        """
        self._on_growth.append(listener)

    # --- memory -------------------------------------------------------------------------------

    def optimize(self, generation: int = 2) -> Optimization:
        """Free what can be freed now: garbage cycles, half of what idles in pools, empty pages.

        A collection of generation 2 visits every container (some 200 ms a million); 0 and 1 visit
        the young ones only. Frozen objects are not visited. When the memory is at 90 % or more, the
        pools are emptied. Pages that hold nothing any more go back to the system where the C
        library can do that (glibc).
        """
        if generation not in (0, 1, 2):
            raise ValueError(f"generation is {generation!r}, wanted 0, 1 or 2")
        self._run_if_wanted(automatic=False)
        began = perf_counter()
        used = resident_bytes()
        is_short = self._watch.is_short(self._percent(used))
        trimmed = trimmed_bytes = 0
        for pool in (SHARED_BUFFERS, *self._all_pools().values()):
            is_in_bytes, n_idle = _idle_of(pool)
            n = pool.trim(0 if is_short else n_idle // 2)
            if is_in_bytes:
                trimmed_bytes += n
            else:
                trimmed += n
        # After the pools: what they let go may have been part of a cycle.
        collected = gc.collect(generation)
        gave_back = give_back_free_pages()
        with self._lock:
            self._n_optimizations += 1
        return {
            "generation": generation,
            "collected": collected,
            "trimmed": trimmed,
            "trimmed_bytes": trimmed_bytes,
            "gave_back_pages": gave_back,
            "freed_bytes": max(0, used - resident_bytes()),
            "seconds": perf_counter() - began,
        }

    def compact(self, obj: T, *, in_place: bool = False) -> T:
        """Return something equal to `obj` with less memory behind it; see
        `raudo.memory.compact`."""
        return compact(obj, in_place=in_place)

    def freeze(self) -> int:
        """Collect everything once, then hide what is left from the collector; return how many.

        For the end of start-up: modules, configuration and loaded data are not visited again.
        `stop` brings them back.
        """
        self._run_if_wanted(automatic=True)
        return self._collector.freeze()

    def idle(self, budget: float | None = None) -> IdleWork:
        """Use a quiet moment: collect, so that the collector need not stop the busy ones.

        The young generations are collected and the survivors frozen. The first time, and when the
        frozen ones have grown by a quarter, everything is collected, which takes longer. From the
        first call on the old generation is collected here only; a minute without a call gives
        Python's own schedule back.

        Args:
            budget: Seconds there are; None for any number. A full collection that would take
                longer is put off until the frozen objects have doubled, and ten minutes at least.
        """
        _check_budget(budget)
        self._run_if_wanted(automatic=True)
        with self._lock:
            if self._last_idle is None and self._wants_to_run:
                self._thresholds.set(self._gc_threshold, IdleCollector.MIDDLE, IdleCollector.OLD)
            self._last_idle = self._clock.monotonic()
        return self._collector.idle(budget)

    def request(self, budget: float | None = IDLE_BUDGET_S) -> Request:
        """Serve a request in a `with` block, and use the moment after it as `idle(budget)` does.

        That is when no other request is under way, in whatever thread or task, and enough
        containers have gathered; otherwise the block costs a microsecond.
        """
        _check_budget(budget)
        return Request(self._requests, self._collector.has_work, self.idle, budget)

    async def idle_in_loop(
        self, every: float = 0.05, budget: float | None = IDLE_BUDGET_S
    ) -> Never:
        """Use the idle moments of the running event loop as `idle(budget)` does, until cancelled.

        Run it as a task. The loop counts as idle when nothing else is ready to run; one that is
        never found idle is interrupted every five seconds.

        Args:
            every: Seconds between two looks.
        """
        _check_positive("every", every)
        _check_budget(budget)
        while True:
            await idle_moment(every, self._collector.has_work)
            self.idle(budget)

    def get_optimization_report(self) -> dict[str, Any]:
        """Return the state of the process's memory, the collector and the pools.

        `used_mb` is resident memory in units of 2**20 bytes, `percent` its share of the limit.
        Counts the collector's objects one by one: some 10 ms a million.
        """
        used = resident_bytes()
        frozen = self._collector.frozen_types
        return report_of(used, self._limit(), self._pauses, self._all_pools(), frozen) | {
            "optimizations": self._n_optimizations
        }

    def samples(self) -> Iterator[Sample]:
        """Yield what `Monitor` shows; cheap but for the pools' own counts."""
        used = resident_bytes()
        frozen = self._collector.frozen
        yield from samples_of(used, self._limit(), self._pauses, self._all_pools(), frozen)
        yield Sample(
            "raudo_memory_optimizations_total",
            "counter",
            self._n_optimizations,
            help="Calls of optimize, by the user or under memory pressure.",
        )

    def _all_pools(self) -> dict[str, _Trimmable]:
        with self._lock:
            return {**self._pools, **self._attached}

    def _limit(self) -> int:
        return self._memory_limit if self._memory_limit is not None else available_memory_bytes()

    def _percent(self, used: int) -> float:
        return 100.0 * used / self._limit()

    # --- running ------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether the memory is being watched."""
        return self._ticker.is_running

    def start(self) -> Self:
        """Set the collector's thresholds and start to watch the memory; return itself."""
        with self._lock:
            if not self._wants_to_run:
                self._wants_to_run = True
                self._thresholds.set(self._gc_threshold)
                self._pauses.start()
                # While there is memory and time to load what the watch will ask.
                find_malloc_trim()
                self._limit()
            self._ticker.start()
        return self

    def stop(self) -> None:
        """End the watch and give back the settings that were found; pools stay as they are.

        The optimizer works on without it; only `start` makes it run again.
        """
        with self._lock:
            self._auto_optimize = False
            self._wants_to_run = False
            self._last_idle = None
            _undo(self._thresholds, self._pauses, self._collector)
        self._ticker.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run_if_wanted(self, *, automatic: bool) -> None:
        # A forked child finds itself wanting to run, without a thread.
        wanted = self._wants_to_run or (automatic and self._auto_optimize)
        if wanted and not self._ticker.is_running:
            self.start()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.RLock()
        self._requests.after_fork()

    def _tick(self) -> float:
        used = resident_bytes()
        percent = self._pressing(used)
        level = self._watch.crossed(percent)
        if level is not None:
            self._tell(MemoryShort(level, used, self._limit()), self._on_pressure)
            if level == "soft":
                self._shrink(_KEEP["soft"])
                self._slack.let_go(used, resident_bytes())
        if self._watch.is_due(percent):
            before = resident_bytes()
            self._shrink(_KEEP["hard"])
            # The young first: the old generation stops the process for longer.
            self.optimize(1)
            percent = self._percent_after(before)
            if self._watch.is_short(percent):
                before = resident_bytes()
                self.optimize(2)
                percent = self._percent_after(before)
            self._watch.tried(percent)
        if self._on_growth or has_subscribers(MemoryGrew):
            grew = self._growth.look(used, self._collector.frozen_types)
            if grew is not None:
                self._tell(grew, self._on_growth)
        self._trim_unused()
        self._end_idle()
        return self._watch.next_look(percent, self._interval)

    def _percent_after(self, before: int) -> float:
        """Return percent of the nearest limit after an attempt to free some of `before` bytes."""
        used = resident_bytes()
        self._slack.let_go(before, used)
        return self._pressing(used)

    def _pressing(self, used: int) -> float:
        """Return percent of the limit that is nearest."""
        shares = [self._percent(used), 100.0 * bound_share(self._slack.left(used))]
        if self._memory_limit is None:
            container = container_memory()
            if container is not None:
                shares.append(100.0 * container[0] / container[1])
        return max(shares)

    def _shrink(self, keep: float) -> None:
        own = [each for each in self._all_pools().values() if hasattr(each, "shrink")]
        known: dict[int, Any] = {id(each): each for each in (*own, *_pressure.registered())}
        _pressure.shrink(known.values(), keep)

    def _tell(self, event: Any, listeners: list[Callable[[Any], object]]) -> None:
        for listener in list(listeners):
            try:
                listener(event)
            except Exception:
                _log.exception("a listener of %s failed", type(event).__name__)
        emit(event)

    def _trim_unused(self) -> None:
        now = self._clock.monotonic()
        if now - self._trimmed_unused < _UNUSED_S:
            return
        self._trimmed_unused = now
        for pool in list(self._pools.values()):
            pool.trim_unused()

    def _end_idle(self) -> None:
        """Give Python's own schedule back where nobody has called `idle` for a while."""
        with self._lock:
            last = self._last_idle
            if last is not None and self._clock.monotonic() - last > _IDLE_LAPSE_S:
                self._last_idle = None
                self._collector.undo()
                if self._wants_to_run:
                    self._thresholds.set(self._gc_threshold)

    def __repr__(self) -> str:
        state = "running" if self.is_running else "not running"
        return f"<MemoryOptimizer {state}, pools: {', '.join(self._all_pools()) or 'none'}>"


def _idle_of(pool: _Trimmable) -> tuple[bool, int]:
    """Return whether the pool counts in bytes, and how much idles in it."""
    stats = pool.stats()
    return "held_bytes" in stats, int(stats.get("held_bytes", stats.get("idle", 0)))


def _undo(thresholds: Thresholds, pauses: PauseMeter, collector: IdleCollector) -> None:
    thresholds.restore()
    pauses.stop()
    collector.undo()


def _check_budget(budget: float | None) -> None:
    if budget is not None and not budget >= 0:
        raise ValueError(f"budget is {budget!r}, wanted None or seconds >= 0")


def _check_positive(name: str, value: Any, *, whole: bool = False) -> None:
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise TypeError(f"{name} is {value!r}, wanted a {'whole ' if whole else ''}number")
    if not value > 0:
        raise ValueError(f"{name} is {value!r}, wanted a number > 0")
