"""Keeps the garbage collector out of the way: paused sections, settings that are given back, and a
recipe that moves the long pauses into idle moments.

The collector visits every container of a generation; the oldest one holds all that lives long, so
its collections are the long pauses (230-335 ms with a million containers). The recipe: what lives
long is frozen, out of the collector's sight; the old generation is collected when the service says
that it is idle (`IdleCollector.idle`), and only a full collection, run when enough has been frozen
since the last and there is time, finds the cycles that died after they were frozen.

The settings belong to the process, so there is one owner of them here, for all optimizers.
"""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, ClassVar, TypedDict

from raudo._clock import SYSTEM_CLOCK, Clock
from raudo._core import arenas
from raudo.memory.census import sample_types

__all__ = ["IdleCollector", "PauseMeter", "Thresholds", "gc_paused"]


# --- paused sections --------------------------------------------------------------------------


class _Pause:
    """Counts the sections under way, over all threads. One instance."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # re-entrant: a finaliser may pause too
        self.depth = 0
        self.here = threading.local()  # depth of this thread: what a forked child still has
        self.was_enabled = False

    def enter(self) -> None:
        with self.lock:
            if self.depth == 0:
                self.was_enabled = gc.isenabled()
                gc.disable()
                arenas.begin()
            self.depth += 1
            self.here.depth = getattr(self.here, "depth", 0) + 1

    def leave(self) -> None:
        with self.lock:
            self.depth -= 1
            self.here.depth -= 1
            if self.depth == 0:
                arenas.end()
                if self.was_enabled:
                    gc.enable()

    def after_fork(self) -> None:
        """Drop the sections of threads that do not exist in the child."""
        self.lock = threading.RLock()
        depth, self.depth = self.depth, getattr(self.here, "depth", 0)
        if depth and not self.depth:
            arenas.end()
            if self.was_enabled:
                gc.enable()


_pause = _Pause()


@contextmanager
def gc_paused(*, freeze: bool = False) -> Iterator[None]:
    """Keep the cyclic garbage collector from running for the length of a `with` block.

    For loading in bulk, where every object is meant to stay: the collector would visit them again
    and again and find nothing. Memory without cycles is freed as ever. Blocks nest and overlap over
    threads: the collector comes back, if it was on, when the last one ends. Works as a decorator.

    Args:
        freeze: Move all that is alive at the end out of the collector's sight (`gc.freeze`), so
            that the loaded data costs its later runs nothing. Cycles in it are not freed any more.
    """
    _pause.enter()
    try:
        yield
        if freeze:
            gc.freeze()
    finally:
        _pause.leave()


# --- settings ---------------------------------------------------------------------------------


class Thresholds:
    """Changes the thresholds of the collector, and gives back those it found.

    Several may be in force: the one set last counts, and what was there before the first is given
    back when the last one ends. Where somebody else has set them meanwhile, they are left alone.
    """

    _lock: ClassVar = threading.RLock()
    _in_force: ClassVar[list[Thresholds]] = []
    _found: ClassVar[tuple[int, int, int]] = (0, 0, 0)

    def __init__(self) -> None:
        self._wanted: tuple[int, int, int] | None = None

    def set(self, young: int, middle: int | None = None, old: int | None = None) -> None:
        """Ask for these; None keeps the one that was found."""
        with self._lock:
            stack = self._in_force
            if not stack:
                Thresholds._found = gc.get_threshold()
            found = self._found
            self._wanted = (
                young,
                found[1] if middle is None else middle,
                found[2] if old is None else old,
            )
            if self in stack:
                stack.remove(self)
            stack.append(self)
            gc.set_threshold(*self._wanted)

    def restore(self) -> None:
        """End this one's wish; does nothing when it has none."""
        with self._lock:
            if self._wanted is None:
                return
            untouched = gc.get_threshold() == self._in_force[-1]._wanted
            self._in_force.remove(self)
            self._wanted = None
            if untouched:
                left = self._in_force[-1]._wanted if self._in_force else None
                gc.set_threshold(*(left or self._found))


class PauseMeter:
    """Measures what the collector costs, from its own callbacks: two clock reads a collection."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.longest = 0.0
        self._began = 0.0

    def __call__(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._began = perf_counter()
        elif self._began:
            took = perf_counter() - self._began
            self._began = 0.0
            self.seconds += took
            self.longest = max(self.longest, took)

    def start(self) -> None:
        if self not in gc.callbacks:
            gc.callbacks.append(self)

    def stop(self) -> None:
        if self in gc.callbacks:
            gc.callbacks.remove(self)


# --- the recipe for idle moments --------------------------------------------------------------

# As CPython's own rule for full collections: only when the survivors have grown by a quarter.
_FULL_GROWTH = 1.25
# One that does not fit into the moments there are: when they have doubled, and this seldom. A
# moment without a bound is used this often for cycles that died frozen, grown or not.
_FORCED_GROWTH = 2.0
_FORCED_EVERY_S = 600.0
# Until a full collection has been measured: slow enough for what the machines at hand showed.
_SECONDS_EACH = 400e-9
# Of those that an idle moment freezes: some 30 us.
_SAMPLED_SURVIVORS = 1000


class IdleWork(TypedDict):
    """What an idle moment was used for; `frozen` is by how much the frozen objects grew."""

    generation: int
    collected: int
    frozen: int
    seconds: float


class IdleCollector:
    """Collects in the moments that a service calls idle.

    With it go thresholds that leave the old generation to those moments. A heap that grows to a
    million containers is stopped for a millisecond at most instead of some hundred (`raudo bench
    memory --only gc`). How many objects are frozen is summed up, as counting them takes some
    milliseconds a million: what died by itself is taken off when a full collection may be due.
    """

    MIDDLE: ClassVar = 10
    OLD: ClassVar = 1_000_000  # out of reach

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._frozen = 0  # at most so many
        self.frozen_types: Counter[type] = Counter()  # about, and with those that died since
        self._frozen_after_full: int | None = None
        self._count_again_at = 0.0
        self._full_at = clock.monotonic()
        self._seconds_each = _SECONDS_EACH

    @property
    def frozen(self) -> int:
        """How many objects are frozen, at most: those that died since may be among them."""
        return self._frozen

    def has_work(self) -> bool:
        """Whether an idle moment is worth using: most of what starts a collection has gathered."""
        young, middle, _ = gc.get_count()
        return middle > 0 or 4 * young >= 3 * gc.get_threshold()[0]

    def freeze(self) -> int:
        """Collect everything, then freeze what is left; return how many objects are frozen."""
        self._collect_all()
        return self._frozen

    def idle(self, budget: float | None) -> IdleWork:
        """Collect the young generations and freeze the survivors; now and then everything."""
        began = perf_counter()
        is_full = self._full_is_due(budget)
        before = gc.get_freeze_count() if is_full else self._frozen
        collected = self._collect_all() if is_full else self._collect_young()
        return {
            "generation": 2 if is_full else 1,
            "collected": collected,
            "frozen": self._frozen - before,
            "seconds": perf_counter() - began,
        }

    def _collect_all(self) -> int:
        began = perf_counter()
        gc.unfreeze()
        collected = gc.collect()
        self.frozen_types = sample_types(gc.get_objects())
        gc.freeze()
        took = perf_counter() - began
        self._frozen = self._frozen_after_full = gc.get_freeze_count()
        self._seconds_each = took / max(self._frozen, 1)
        self._count_again_at = 0.0
        self._full_at = self._clock.monotonic()
        return collected

    def _collect_young(self) -> int:
        collected = gc.collect(1)
        if self._frozen_after_full is None:
            self.frozen_types = sample_types(gc.get_objects())
            gc.freeze()
            self._frozen = self._frozen_after_full = gc.get_freeze_count()
        else:
            survivors = gc.get_objects(2)  # the old ones are those since the last time
            self._frozen += len(survivors)
            self.frozen_types += sample_types(survivors, _SAMPLED_SURVIVORS)
            del survivors
            gc.freeze()
        return collected

    def _full_is_due(self, budget: float | None) -> bool:
        base = self._frozen_after_full
        if base is None:
            return budget is None  # the first with a bound counts what there is
        is_late = self._clock.monotonic() - self._full_at >= _FORCED_EVERY_S
        fits = budget is None or self._frozen * self._seconds_each <= budget
        if not fits and not is_late:
            return False
        if budget is None and is_late and self._frozen > base:
            return True
        enough = base * (_FULL_GROWTH if fits else _FORCED_GROWTH)
        if self._frozen <= max(enough, self._count_again_at):
            return False
        self._frozen = gc.get_freeze_count()
        self._count_again_at = self._frozen + base / 16
        return self._frozen > enough

    def undo(self) -> None:
        """Give what was frozen back to the collector."""
        if self._frozen_after_full is not None:
            self._frozen_after_full = None
            self._frozen = 0
            self.frozen_types = Counter()
            gc.unfreeze()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pause.after_fork)
