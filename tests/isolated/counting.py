"""How the scripts of this folder count: whatever a round leaves behind, over many rounds."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import psutil

STRATEGIES = ("adaptive", "fifo", "lfu", "lru", "s3fifo", "sieve", "ttl")
N_TRIALS = 3
NOISE = 250  # blocks that the interpreter's own free lists may hold more or less of


def assert_no_growth(name: str, work: Callable[[], object], rounds: int = 300) -> None:
    """Run `work` until it is warm, then `rounds` times; objects and blocks of memory must not grow.

    What a round leaks shows `rounds` times, and again in each trial. The free lists' share does
    not: pickling alone moves it by 90 and more, event loops now and then by 270.
    """
    assert rounds > NOISE, "one block a round must show"
    for _ in range(20):
        work()
    for _ in range(N_TRIALS):
        gc.collect()
        objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
        for _ in range(rounds):
            work()
        gc.collect()
        more_objects = len(gc.get_objects()) - objects
        more_blocks = sys.getallocatedblocks() - blocks
        if more_objects < 20 and more_blocks < NOISE:
            return
    raise AssertionError(
        f"{name}: {more_objects} objects and {more_blocks} blocks in {rounds} rounds, "
        f"too many {N_TRIALS} times in a row"
    )


class Growth(NamedTuple):
    """What there is more of afterwards."""

    objects: int
    blocks: int
    heap_bytes: int
    rss_bytes: int
    references: int  # of that one of the watched objects which gained most

    def is_noise(self, spare_blocks: int) -> bool:
        return (
            self.objects < 20 + spare_blocks
            and self.blocks < NOISE + 10 + spare_blocks
            and self.heap_bytes < 400_000
            and self.rss_bytes < 4_000_000
            and self.references < 100
        )


class _Heap(ctypes.Structure):
    _fields_ = (*((f"f{i}", ctypes.c_size_t) for i in range(4)), ("mapped", ctypes.c_size_t),
                *((f"g{i}", ctypes.c_size_t) for i in range(2)), ("used", ctypes.c_size_t),
                *((f"h{i}", ctypes.c_size_t) for i in range(2)))  # fmt: skip


def heap_bytes() -> int:
    """Return what malloc has given out; 0 where this C library does not tell."""
    try:
        tell = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return 0
    tell.restype = _Heap
    told = tell()
    return int(told.used + told.mapped)


def growth(
    operation: Callable[[int], object], calls: int, watched: Sequence[object], spare_blocks: int = 0
) -> Growth:
    """Call `operation` so often and return what it leaves behind, in the best of three trials.

    A leak shows in each trial; a free list or the heap's own pages do not.
    """
    process = psutil.Process()

    def count() -> tuple[int, ...]:
        gc.collect()
        return (
            len(gc.get_objects()), sys.getallocatedblocks(), heap_bytes(), process.memory_info().rss
        )  # fmt: skip

    for i in range(min(calls, 200)):
        operation(i)
    for _ in range(N_TRIALS):
        before, held = count(), [sys.getrefcount(each) for each in watched]
        for i in range(calls):
            operation(i)
        more = [b - a for a, b in zip(before, count(), strict=True)]
        held = [sys.getrefcount(each) - n for each, n in zip(watched, held, strict=True)]
        grown = Growth(*more, references=max(held))
        if grown.is_noise(spare_blocks):
            break
    return grown
