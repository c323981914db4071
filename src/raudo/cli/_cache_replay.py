"""`raudo cache replay`: the hit ratio of each strategy over a trace, by the caches themselves."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from raudo.cache import Cache, CacheStrategy
from raudo.cache.replay import belady_hits, replay_hits
from raudo.cache.traces import read_trace
from raudo.cli._bench_peers import installed
from raudo.cli._cache_advise import sizes_of

__all__ = ["run"]

# Without a time to live TTL is FIFO.
_DEFAULT = [each.value for each in CacheStrategy if each is not CacheStrategy.TTL]
_DEFAULT_PERCENT = (1, 10, 25)

_Calls = tuple[Callable[[Any], Any], Callable[[Any, Any], Any], Any]


def run(args: argparse.Namespace) -> int:
    """Print hit ratios and times by strategy and size."""
    trace = read_trace(args.trace, format=args.format, limit=args.limit)
    if trace.torn:
        print(f"raudo cache replay: note: {trace.torn}", file=sys.stderr)
    unique, numbers = np.unique(trace.keys, return_inverse=True)
    keys: list[int] = numbers.tolist()
    sizes = (
        sizes_of(args.size, len(unique))
        if args.size
        else sorted({max(1, round(len(unique) * percent / 100)) for percent in _DEFAULT_PERCENT})
    )
    print(f"{args.trace}: {len(keys):,} requests of {len(unique):,} keys")
    print("hit ratio in percent, and ns a request: get, and set on a miss\n")
    print(f"{'entries':24}" + "".join(f" {size:>16,}" for size in sizes))
    for name, make in _subjects(args.strategy or _available(), not args.no_peers):
        cells = [_cell(keys, make(size)) for size in sizes]
        print(f"{name:24}" + "".join(f" {cell:>16}" for cell in cells), flush=True)
    best = [100 * belady_hits(keys, size) / len(keys) for size in sizes]
    print(f"{'Belady (the optimum)':24}" + "".join(f"{each:9.2f}        " for each in best))
    return 0


def _available() -> list[str]:
    """Return the strategies that are there."""
    found = []
    for name in _DEFAULT:
        try:
            Cache[int, int](1, strategy=name)
        except ValueError:
            continue
        found.append(name)
    return found


def _subjects(
    strategies: Sequence[str], with_peers: bool
) -> Iterator[tuple[str, Callable[[int], _Calls]]]:
    for strategy in dict.fromkeys(strategies):

        def make(size: int, strategy: str = strategy) -> _Calls:
            cache = Cache[int, int](size, strategy=strategy)
            return cache.get, cache.set, None

        yield f"raudo {strategy}", make
    for peer in installed() if with_peers else ():
        if peer.ours or not peer.package:
            continue

        def make_peer(size: int, make: Callable[[int], Any] = peer.make) -> _Calls:
            subject = make(size)
            return subject.get, subject.set or subject.mapping.__setitem__, subject.miss

        yield peer.name, make_peer


def _cell(keys: Sequence[int], calls: _Calls) -> str:
    started = time.perf_counter()
    hits = replay_hits(keys, *calls)
    ns = (time.perf_counter() - started) / len(keys) * 1e9
    return f"{100 * hits / len(keys):.2f} {ns:6.0f} ns"
