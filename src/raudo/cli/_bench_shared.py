"""What the shared buffers save the rooms of this library, and where they save nothing.

Each case is a call as a user makes it, with and without the pool. Export is tried with a pool here,
and does without one: its blocks are small. What compresses (lz4, zstd, gzip) makes its own bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import numpy as np

from raudo.cache import codecs
from raudo.cli._bench_rows import OURS, Row, is_installed, race
from raudo.export._blocks import BATCH_ROWS
from raudo.memory import BufferPool, scratch
from raudo.similarity import nearest, pairwise_distances

__all__ = ["rows"]

_FRESH = "fresh memory"


def _ms(step: Callable[[], object]) -> Callable[[], float]:
    def once() -> float:
        begun = perf_counter_ns()
        step()
        return (perf_counter_ns() - begun) / 1e6

    return once


def _without_pool(room: Any, step: Callable[[], object]) -> Callable[[], None]:
    """Take the step with a room that deems nothing large enough."""

    def unpooled() -> None:
        usual = room.POOLED_FROM_BYTES
        room.POOLED_FROM_BYTES = 1 << 62
        try:
            step()
        finally:
            room.POOLED_FROM_BYTES = usual

    return unpooled


def _similarity(n: int) -> dict[str, Callable[[], object]]:
    """Calls whose result, or whose copy of the rows in another type, takes 32 to 128 MB."""
    generator = np.random.default_rng(0)
    many = generator.standard_normal((16 * n, 256), dtype=np.float32)
    halves, columns = many.astype(np.float16), np.asfortranarray(many)
    whole = (10 * many[:, :128]).astype(np.int32)
    short, long = many[:n, :32].copy(), many[:n].copy()
    return {
        "nearest, float16": lambda: nearest(halves[:8], halves, 10),
        "nearest, int32": lambda: nearest(whole[:8], whole, 10),
        "nearest, columns": lambda: nearest(many[:8], columns, 10),
        "pairwise, d=32": lambda: pairwise_distances(short),
        "pairwise, d=256": lambda: pairwise_distances(long),
        "pairwise of half": lambda: pairwise_distances(short[: n // 2]),
    }


def _export(buffers: BufferPool) -> dict[str, Callable[[], object]]:
    """A block of rows that an export has to copy, as it is in Fortran order."""
    block = np.asfortranarray(np.ones((BATCH_ROWS, 256), np.float32))

    def pooled() -> None:
        with buffers.borrow(block.shape, "float32") as room:
            room[...] = block

    return {OURS: pooled, _FRESH: lambda: np.ascontiguousarray(block)}


def _reading(n_bytes: int) -> Callable[[], object]:
    """Make a value again that a cache has compressed."""
    codec = codecs.BlobCodec(compression="zstd")
    value = np.random.default_rng(0).integers(0, 16, n_bytes, np.uint8).tobytes()
    blob = codec.encode((value,))
    return lambda: codec.decode(blob, trusted=True)


def rows(quick: bool) -> list[Row]:
    """Measure calls of the rooms with the shared buffers and without; milliseconds each."""
    n, rounds = (256, 1) if quick else (4096, 9)
    made = []

    def add(table: str, case: str, ways: dict[str, Callable[[], Any]], note: str = "") -> None:
        found = race({name: _ms(step) for name, step in ways.items()}, rounds)
        made.append(Row(table, case, "ms", found, note=note))

    for case, step in _similarity(n).items():
        note = "the result takes 16 MB, for which nothing is pooled" if "half" in case else ""
        ways = {OURS: step, _FRESH: _without_pool(scratch, step)}
        add("similarity, with shared buffers", case, ways, note)
    if is_installed("zstandard"):
        for mb in (1, 16, 64):
            step = _reading((mb << 20) // (1 if n == 4096 else 64) + 1)
            ways = {OURS: step, _FRESH: _without_pool(codecs, step)}
            note = "" if mb == 64 else "nothing is pooled"
            add("a cache reads a value compressed by zstd", f"{mb} MB", ways, note)
    ways = _export(BufferPool(64 << 20))
    note = "tried, and not in use"
    add("export, a block of rows in columns", "npy, 4 MB", ways, note)
    return made
