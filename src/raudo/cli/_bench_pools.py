"""What a pool costs a step, and what it saves: an object acquired and released, or made anew.

Pools of lists and dicts save nothing, and are shown with the others: the interpreter has pools of
its own for them.
"""

from __future__ import annotations

import io
import queue
import sqlite3
from collections import deque
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from raudo.cli._bench_rows import OURS, Row, race
from raudo.memory import ObjectPool

__all__ = ["rows"]

_LOOP = "loop"


class _Record:
    """Twelve fields, set one by one: what an object of a request costs."""

    __slots__ = tuple("abcdefghijkl")

    def __init__(self) -> None:
        self.a = self.b = self.c = self.d = self.e = self.f = None
        self.g = self.h = self.i = self.j = self.k = self.l = None

    def reset(self) -> None:
        self.a = None


def _connect() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", check_same_thread=False)


_MADE: dict[str, tuple[Callable[[], Any], int]] = {
    "list": (list, 20_000),
    "dict": (dict, 20_000),
    "set": (set, 20_000),
    "bytearray(64 KB)": (lambda: bytearray(65536), 2_000),
    "StringIO": (io.StringIO, 20_000),
    "12 slots, reset()": (_Record, 20_000),
    "SQLite connection": (_connect, 200),
}
"""How each is made, and how many a pass."""


def _nothing(n: int) -> float:
    begun = perf_counter_ns()
    for _ in range(n):
        pass
    return (perf_counter_ns() - begun) / n


def _pairs(take: Callable[[], Any], give: Callable[[Any], object], n: int) -> float:
    """Return nanoseconds for one taken and given back, the loop included."""
    give(take())
    begun = perf_counter_ns()
    for _ in range(n):
        obj = take()
        give(obj)
    return (perf_counter_ns() - begun) / n


def _calls(step: Callable[[], Any], n: int) -> float:
    begun = perf_counter_ns()
    for _ in range(n):
        step()
    return (perf_counter_ns() - begun) / n


def _borrows(pool: ObjectPool[Any], n: int) -> float:
    begun = perf_counter_ns()
    for _ in range(n):
        with pool.borrow():
            pass
    return (perf_counter_ns() - begun) / n


def _race(contenders: dict[str, Callable[[], float]], n: int, rounds: int) -> dict[str, float]:
    """Race them; take the cost of the loop off."""
    found = race({**contenders, _LOOP: lambda: _nothing(n)}, rounds)
    loop_ns = found.pop(_LOOP)
    return {name: max(ns - loop_ns, 0.0) for name, ns in found.items()}


def _steps(n: int, rounds: int) -> dict[str, float]:
    """Race a loop of acquire and release with what others take for it, and an empty loop."""
    pool: ObjectPool[Any] = ObjectPool(list)
    stack: list[Any] = [[]]
    both_ends: deque[Any] = deque([[]])
    shared: queue.SimpleQueue[Any] = queue.SimpleQueue()
    shared.put([])
    locked: queue.LifoQueue[Any] = queue.LifoQueue()
    locked.put([])
    return race(
        {
            _LOOP: lambda: _nothing(n),
            OURS: lambda: _pairs(pool.acquire, pool.release, n),
            "raudo borrow()": lambda: _borrows(pool, n),
            "list.pop, append": lambda: _pairs(stack.pop, stack.append, n),
            "deque.pop, append": lambda: _pairs(both_ends.pop, both_ends.append, n),
            "SimpleQueue": lambda: _pairs(shared.get, shared.put, n // 2),
            "LifoQueue": lambda: _pairs(locked.get, locked.put, n // 20),
        },
        rounds,
    )


def rows(quick: bool) -> list[Row]:
    """Measure steps of a pool, and kinds of objects made anew beside pooled ones."""
    share, rounds = (100, 1) if quick else (1, 11)
    n = 100_000 // share
    steps = _steps(n, rounds)
    loop_ns = steps.pop(_LOOP)
    net = {name: max(ns - loop_ns, 0.0) for name, ns in steps.items()}
    table = "acquire and release of a list"
    rivals = ("list.pop, append",)
    note = "the stack has no reset, no check for foreign objects and no statistics"
    made = [
        Row(table, "in a loop", "ns", steps, times_better=1 / 1.3, rivals=rivals, note=note),
        Row(table, "less the loop", "ns", net, times_better=1 / 1.3, rivals=rivals),
    ]
    for kind, (make, n_made) in _MADE.items():
        n = max(n_made // share, 2)
        pool = ObjectPool(make)
        contenders: dict[str, Callable[[], float]] = {
            OURS: lambda pool=pool, n=n: _pairs(pool.acquire, pool.release, n),  # type: ignore[misc]
            "made anew": lambda make=make, n=n: _calls(make, n),  # type: ignore[misc]
        }
        made.append(Row("an object from a pool", kind, "ns", _race(contenders, n, rounds)))
    return made
