"""The facade of the room: named pools, the garbage collector, a watch on the memory."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from time import perf_counter
from types import TracebackType
from typing import Any, Protocol, Self, TypedDict, TypeVar

from raudo._clock import SYSTEM_CLOCK, Clock
from raudo._process import available_memory_bytes, resident_bytes
from raudo._ticker import Ticker
from raudo.errors import UnknownPool
from raudo.memory.compact import compact
from raudo.memory.gc import IdleCollector, IdleWork, PauseMeter, Thresholds
from raudo.memory.malloc import give_back_free_pages
from raudo.memory.pool import ObjectPool
from raudo.memory.watch import PressureWatch
from raudo.types import Sample

__all__ = ["MemoryOptimizer", "Optimization"]

T = TypeVar("T")
_MB = 1 << 20
# A service that has not called `idle` for this long gets the collector's own schedule back.
_IDLE_LAPSE_S = 60.0


class Optimization(TypedDict):
    """What `optimize` did; `freed_bytes` is by how much the resident memory fell, 0 at least."""

    generation: int
    collected: int
    trimmed: int
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
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        _check_positive("gc_threshold", gc_threshold, whole=True)
        _check_positive("interval", interval)
        if memory_limit is not None:
            _check_positive("memory_limit", memory_limit, whole=True)
        self._auto_optimize = bool(auto_optimize)
        self._gc_threshold = gc_threshold
        self._memory_limit = memory_limit
        self._clock = clock
        self._lock = threading.RLock()
        self._pools: dict[str, ObjectPool[Any]] = {}
        self._attached: dict[str, _Trimmable] = {}
        self._thresholds = Thresholds()
        self._pauses = PauseMeter()
        self._collector = IdleCollector()
        self._watch = PressureWatch(clock)
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

    def attach(self, name: str, pool: _Trimmable) -> None:
        """Trim and report this too: a `BufferPool`, or what else has `trim(keep)` and `stats()`.

        Its stats say how much there is to trim, as `held_bytes` or as `idle`.

        Raises:
            TypeError: `pool` lacks one of the two methods.
            ValueError: The name is taken.
        """
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
        trimmed = 0
        for pool in self._all_pools().values():
            trimmed += pool.trim(0 if is_short else _half_of(pool))
        # After the pools: what they let go may have been part of a cycle.
        collected = gc.collect(generation)
        gave_back = give_back_free_pages()
        with self._lock:
            self._n_optimizations += 1
        return {
            "generation": generation,
            "collected": collected,
            "trimmed": trimmed,
            "gave_back_pages": gave_back,
            "freed_bytes": max(0, used - resident_bytes()),
            "seconds": perf_counter() - began,
        }

    def compact(self, obj: T) -> T:
        """Return `obj` with less memory behind it; see `raudo.memory.compact`."""
        return compact(obj)

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
            budget: Seconds there are. A full collection that would take longer is put off until
                the frozen objects have doubled.
        """
        if budget is not None and not budget >= 0:
            raise ValueError(f"budget is {budget!r}, wanted None or seconds >= 0")
        self._run_if_wanted(automatic=True)
        with self._lock:
            if self._last_idle is None and self._wants_to_run:
                self._thresholds.set(self._gc_threshold, IdleCollector.MIDDLE, IdleCollector.OLD)
            self._last_idle = self._clock.monotonic()
        return self._collector.idle(budget)

    def get_optimization_report(self) -> dict[str, Any]:
        """Return the state of the process's memory, the collector and the pools.

        `used_mb` is resident memory in units of 2**20 bytes, `percent` its share of the limit.
        Counts the collector's objects one by one: some 10 ms a million.
        """
        used = resident_bytes()
        limit = self._limit()
        frozen = gc.get_freeze_count()
        return {
            "current_memory": {
                "used_mb": used / _MB,
                "percent": self._percent(used),
                "limit_mb": limit / _MB,
            },
            "python_objects": len(gc.get_objects()) + frozen,
            "frozen_objects": frozen,
            "gc_collections": sum(each["collections"] for each in gc.get_stats()),
            "gc_pause_seconds": self._pauses.seconds,
            "gc_longest_pause_seconds": self._pauses.longest,
            "gc_threshold": gc.get_threshold(),
            "optimizations": self._n_optimizations,
            "pools": {name: dict(pool.stats()) for name, pool in self._all_pools().items()},
        }

    def samples(self) -> Iterator[Sample]:
        """Yield what `Monitor` shows; cheap but for the pools' own counts."""
        used = resident_bytes()
        yield Sample("raudo_memory_used_bytes", "gauge", used, help="Resident memory.")
        yield Sample(
            "raudo_memory_limit_bytes", "gauge", self._limit(), help="What counts as 100 %."
        )
        yield Sample(
            "raudo_memory_percent",
            "gauge",
            self._percent(used),
            help="Resident memory of the limit.",
        )
        yield Sample(
            "raudo_python_allocated_blocks",
            "gauge",
            sys.getallocatedblocks(),
            help="Memory blocks that Python's own allocator has handed out.",
        )
        yield Sample(
            "raudo_gc_frozen_objects",
            "gauge",
            gc.get_freeze_count(),
            help="Hidden from the collector.",
        )
        yield Sample(
            "raudo_gc_pause_seconds_total",
            "counter",
            self._pauses.seconds,
            help="Time spent in the cyclic garbage collector.",
        )
        yield Sample(
            "raudo_memory_optimizations_total",
            "counter",
            self._n_optimizations,
            help="Calls of optimize, by the user or under memory pressure.",
        )
        for name, pool in self._all_pools().items():
            labels = (("pool", name),)
            for key, value in pool.stats().items():
                metric = _POOL_METRICS.get(key)
                if metric is not None:
                    yield Sample(metric[0], metric[1], value, labels, metric[2])

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _run_if_wanted(self, *, automatic: bool) -> None:
        # A forked child finds itself wanting to run, without a thread.
        wanted = self._wants_to_run or (automatic and self._auto_optimize)
        if wanted and not self._ticker.is_running:
            self.start()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.RLock()

    def _tick(self) -> None:
        if self._watch.is_due(self._percent(resident_bytes())):
            # The young first: the old generation stops the process for longer.
            self.optimize(1)
            percent = self._percent(resident_bytes())
            if self._watch.is_short(percent):
                self.optimize(2)
                percent = self._percent(resident_bytes())
            self._watch.tried(percent)
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


_POOL_METRICS: dict[str, tuple[str, Any, str]] = {
    "created": ("raudo_pool_created_total", "counter", "Objects made."),
    "reused": ("raudo_pool_reused_total", "counter", "Acquires that needed no new object."),
    "discarded": ("raudo_pool_discarded_total", "counter", "Objects let go."),
    "lost": ("raudo_pool_lost_total", "counter", "Objects dropped instead of released."),
    "in_use": ("raudo_pool_in_use", "gauge", "Objects lent."),
    "idle": ("raudo_pool_idle", "gauge", "Objects waiting to be lent."),
    "held_bytes": ("raudo_pool_idle_bytes", "gauge", "Memory of the idle buffers."),
    "hit_rate": ("raudo_pool_hit_ratio", "gauge", "Share of the acquires served by reuse."),
}


def _half_of(pool: _Trimmable) -> int:
    stats = pool.stats()
    return int(stats.get("held_bytes", stats.get("idle", 0))) // 2


def _undo(thresholds: Thresholds, pauses: PauseMeter, collector: IdleCollector) -> None:
    thresholds.restore()
    pauses.stop()
    collector.undo()


def _check_positive(name: str, value: Any, *, whole: bool = False) -> None:
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise TypeError(f"{name} is {value!r}, wanted a {'whole ' if whole else ''}number")
    if not value > 0:
        raise ValueError(f"{name} is {value!r}, wanted a number > 0")
