"""What a buffer of a pool saves beside a fresh one, whose pages the kernel has to map and zero."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns

import numpy as np

from raudo.cli._bench_rows import OURS, Row, race
from raudo.memory import BufferPool

__all__ = ["rows"]

_KB, _MB = 1 << 10, 1 << 20
_PAGE = 4096


def _us(step: Callable[[], object], n: int) -> Callable[[], float]:
    def once() -> float:
        begun = perf_counter_ns()
        for _ in range(n):
            step()
        return (perf_counter_ns() - begun) / n / 1e3

    return once


Ways = dict[str, Callable[[], object]]
_FRESH = "a fresh one"
_FLOOR = "raudo, kept"
"""The step alone, in an array that is kept: what no pool can beat."""


def _zeros(buffers: BufferPool, size: int) -> Ways:
    def pooled() -> None:
        with buffers.borrow(size, np.uint8):
            pass

    return {OURS: pooled, _FRESH: lambda: np.zeros(size, np.uint8)}


def _touched(buffers: BufferPool, size: int) -> Ways:
    """A byte of each page is written."""

    def pooled() -> None:
        with buffers.borrow(size, np.uint8) as array:
            array[::_PAGE] = 1

    def fresh() -> None:
        np.empty(size, np.uint8)[::_PAGE] = 1

    kept = np.ones(size, np.uint8)

    def touch() -> None:
        kept[::_PAGE] = 1

    return {OURS: pooled, _FRESH: fresh, _FLOOR: touch}


def _filled(buffers: BufferPool, size: int) -> Ways:
    def pooled() -> None:
        with buffers.borrow(size, np.uint8) as array:
            array.fill(1)

    kept = np.ones(size, np.uint8)
    return {
        OURS: pooled,
        _FRESH: lambda: np.empty(size, np.uint8).fill(1),
        _FLOOR: lambda: kept.fill(1),
    }


def _bytes(buffers: BufferPool, size: int) -> Ways:
    def pooled() -> None:
        with buffers.borrow_bytes(size):
            pass

    return {OURS: pooled, _FRESH: lambda: bytearray(size)}


# The case, what it does, bytes, how many a pass, and how many times better it is to be.
_CASES: list[tuple[str, Callable[[BufferPool, int], Ways], int, int, float | None]] = [
    ("1 KB, as np.zeros", _zeros, _KB, 5_000, None),
    ("64 KB, as np.zeros", _zeros, 64 * _KB, 5_000, None),
    ("1 MB, as np.zeros", _zeros, _MB, 1_000, 10),
    ("1 MB, page-touched", _touched, _MB, 500, None),
    ("64 MB, page-touched", _touched, 64 * _MB, 4, 50),
    ("1 MB, filled", _filled, _MB, 500, None),
    ("64 MB, filled", _filled, 64 * _MB, 4, 3),
    ("bytearray of 1 KB", _bytes, _KB, 5_000, None),
    ("bytearray of 64 KB", _bytes, 64 * _KB, 5_000, 3),
    ("bytearray of 1 MB", _bytes, _MB, 500, None),
]


def rows(quick: bool) -> list[Row]:
    """Measure buffers borrowed and given back; microseconds each."""
    rounds = 1 if quick else 9
    made = []
    for case, ways_of, size, n, times_better in _CASES:
        buffers = BufferPool(2 * size)
        n = 2 if quick else n
        ways = ways_of(buffers, size)
        found = race({name: _us(step, n) for name, step in ways.items()}, rounds)
        table = "bytearrays" if ways_of is _bytes else "arrays"
        made.append(Row(table, case, "us", found, times_better=times_better))
    return made
