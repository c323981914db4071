"""How the scripts of this folder count: whatever a round leaves behind, over many rounds."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

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
