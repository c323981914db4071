"""Many operations of each kind leave objects, blocks, references and memory as they were.

    python leak_each_kind.py [BEGINNING OF A NAME]...

RAUDO_LEAK_OPERATIONS says how many of each: `make harden` a million, CI some hundreds. What one
operation in a thousand leaks shows with many; what each one leaks shows with few.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Iterator

import kinds
import kinds_above
from counting import growth

N = int(os.environ.get("RAUDO_LEAK_OPERATIONS", "600"))
N_LEAST_CALLS = 5  # of those that do many operations
GROUPS = (
    *(kinds.caches, kinds.memos, kinds.pools, kinds.kernels),
    *(kinds_above.smart_caches, kinds_above.levels, kinds_above.awaited, kinds_above.processors),
    *(kinds_above.executors, kinds_above.exports, kinds_above.documents, kinds_above.monitoring),
)


def wanted(parts: list[str]) -> Iterator[tuple[str, kinds.Kind]]:
    for group in GROUPS:
        for kind in group():
            name = f"{group.__name__}: {kind.name}"
            if not parts or name.startswith(tuple(parts)):
                yield name, kind


def main(parts: list[str]) -> None:
    leaking = []
    gc.freeze()  # what the imports made: counting goes over the rest alone
    print(
        f"{'kind':38} {'operations':>10} {'s':>6} {'objects':>8} {'blocks':>7} "
        f"{'heap':>8} {'rss':>9} {'references':>10}"
    )
    for name, kind in wanted(parts):
        calls = max(N // kind.many, N_LEAST_CALLS)
        began = time.perf_counter()
        grown = growth(kind.operation, calls, kinds.WATCHED, kind.spare_blocks)
        seconds = time.perf_counter() - began
        print(
            f"{name:38} {calls * kind.many:10} {seconds:6.1f} {grown.objects:8} {grown.blocks:7} "
            f"{grown.heap_bytes:8} {grown.rss_bytes:9} {grown.references:10}",
            flush=True,
        )
        if not grown.is_noise(kind.spare_blocks):
            leaking.append(name)
    if leaking:
        sys.exit(f"growing: {'; '.join(leaking)}")


main(sys.argv[1:])
