"""`raudo cache replay`: the hit ratio of each strategy over a trace, by the caches themselves."""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raudo.cache import Cache, CacheStrategy
from raudo.cache.replay import belady_hits, replay_hits, replay_sized_hits
from raudo.cli._bench_peers import Peer, installed, version_of
from raudo.cli._cache_plot import Panel, draw
from raudo.cli._cache_read import read
from raudo.cli._cache_sizes import Capacity, of_each_key, resolve, spaced

__all__ = ["PLOTTED", "curves_of", "run"]

# Without a time to live TTL is FIFO.
_DEFAULT = [each.value for each in CacheStrategy if each is not CacheStrategy.TTL]
_DEFAULT_PERCENT = (1, 10, 25)
_PLOT_STEPS = 12

PLOTTED = ("adaptive", "s3fifo", "lru")
"""What a plot shows where no strategy is named, beside Belady's optimum."""


@dataclass(frozen=True, slots=True)
class _Requests:
    keys: list[int]
    sizes: list[int] | None


_Replay = Callable[[Capacity, _Requests], int]  # hits


def run(args: argparse.Namespace) -> int:
    """Print hit ratios and times by strategy and size."""
    trace = read(args)
    unique, numbers = np.unique(trace.keys, return_inverse=True)
    if args.size:
        capacities = resolve(args.size, trace, len(unique))
    else:
        shares = (percent / 100 for percent in _DEFAULT_PERCENT)
        found = {max(1, round(len(unique) * share)) for share in shares}
        capacities = [Capacity(size) for size in sorted(found)]
    is_bytes = capacities[0].is_bytes
    sizes = trace.sizes.tolist() if is_bytes and trace.sizes is not None else None
    requests = _Requests(numbers.tolist(), sizes)
    n = len(requests.keys)
    print(f"{args.trace}: {n:,} requests of {len(unique):,} keys")
    if is_bytes:
        print(f"their objects have {sum(of_each_key(trace)):,} bytes")
    print("hit ratio in percent, and ns a request: get, and set on a miss\n")
    print(
        f"{'bytes' if is_bytes else 'entries':24}"
        + "".join(f" {each.size:>16,}" for each in capacities)
    )
    for name, replay in _subjects(args.strategy or _DEFAULT, not args.no_peers, is_bytes):
        cells = [_cell(replay, capacity, requests) for capacity in capacities]
        print(f"{name:24}" + "".join(f" {cell:>16}" for cell in cells), flush=True)
    if is_bytes:
        print("(no known optimum by bytes)")
    else:
        best = [100 * belady_hits(requests.keys, each.size) / n for each in capacities]
        print(f"{'Belady (the optimum)':24}" + "".join(f"{each:9.2f}        " for each in best))
    print(
        f"{'no bound at all':24}" + f"{100 * (1 - len(unique) / n):9.2f}        " * len(capacities)
    )
    if args.plot:
        lines = curves_of(requests.keys, args.strategy or PLOTTED)
        Path(args.plot).write_text(
            draw([Panel("", lines)], "entries", "hit ratio"), encoding="utf-8"
        )
        print(f"\n{args.plot}: hit ratio by entries")
    return 0


def curves_of(
    keys: Sequence[int], strategies: Sequence[str], n_sizes: int = _PLOT_STEPS
) -> dict[str, tuple[Sequence[int], Sequence[float]]]:
    """Return hit ratios by size: of strategies, by the caches themselves, and Belady's."""
    sizes = [size for size in spaced(len(set(keys)), n_sizes) if size > 1 or len(set(keys)) == 1]
    lines: dict[str, tuple[Sequence[int], Sequence[float]]] = {}
    for strategy in dict.fromkeys(strategies):
        ratios = []
        for size in sizes:
            cache = Cache[int, int](size, strategy=strategy)
            ratios.append(replay_hits(keys, cache.get, cache.set) / len(keys))
        lines[strategy] = sizes, ratios
    lines["Belady"] = sizes, [belady_hits(keys, size) / len(keys) for size in sizes]
    return lines


def _subjects(
    strategies: Sequence[str], with_peers: bool, is_bytes: bool
) -> Iterator[tuple[str, _Replay]]:
    for strategy in dict.fromkeys(strategies):

        def replay(capacity: Capacity, requests: _Requests, strategy: str = strategy) -> int:
            if requests.sizes is None:
                cache = Cache[int, int](capacity.size, strategy=strategy)
                return replay_hits(requests.keys, cache.get, cache.set)
            cache = Cache(None, strategy=strategy, max_weight=capacity.size, weigher=_size_of)
            return replay_sized_hits(requests.keys, requests.sizes, cache.get, cache.set)

        yield f"raudo {strategy}", replay
    if with_peers and is_bytes:
        yield from _peers_by_bytes()
    elif with_peers:
        for peer in installed():
            if not peer.ours and peer.name != "dict":
                yield peer.name, _replay_of(peer)


def _replay_of(peer: Peer) -> _Replay:
    def replay(capacity: Capacity, requests: _Requests) -> int:
        subject: Any = peer.make(capacity.size)
        if subject.is_decorator_only:
            for key in requests.keys:
                subject.memo(key)
            hits: int = subject.memo.cache_info().hits
            return hits
        put = subject.set or subject.mapping.__setitem__
        return replay_hits(requests.keys, subject.get, put, subject.miss)

    return replay


def _size_of(key: int, size: int) -> int:
    return size


def _peers_by_bytes() -> Iterator[tuple[str, _Replay]]:
    """Yield those of the peers that can be bound by bytes."""
    if version_of("cachetools") is None:
        return
    cachetools = importlib.import_module("cachetools")

    def replay(capacity: Capacity, requests: _Requests) -> int:
        cache = cachetools.LRUCache(capacity.size, getsizeof=int)

        def put(key: int, size: int) -> None:
            if size <= capacity.size:
                cache[key] = size

        return replay_sized_hits(requests.keys, requests.sizes or (), cache.get, put)

    yield "cachetools LRU", replay


def _cell(replay: _Replay, capacity: Capacity, requests: _Requests) -> str:
    started = time.perf_counter()
    hits = replay(capacity, requests)
    ns = (time.perf_counter() - started) / len(requests.keys) * 1e9
    return f"{100 * hits / len(requests.keys):.2f} {ns:6.0f} ns"
