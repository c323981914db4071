"""`raudo cache advise`: the exact LRU curve of a trace, in hit rate, bytes and money."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raudo.cache.replay import belady_hits, lru_hit_rates
from raudo.cache.traces import Trace
from raudo.cli._cache_read import read
from raudo.cli._cache_sizes import Capacity, mean_bytes, resolve, spaced

__all__ = ["run"]

_BYTES_PER_GB = 10**9
_FACTORS = (0.5, 1, 2, 4)  # of a present size
_STEPS = 20  # sizes of the table where none is given, of equal ratio
_PLOT_STEPS = 80
_BELADY_STEPS = 12  # each costs a pass in Python


def run(args: argparse.Namespace) -> int:
    """Print the table; with `--plot` draw it too."""
    has_price = args.cost_per_miss is not None
    if has_price != (args.cost_per_gb_hour is not None):
        _refuse("--cost-per-miss and --cost-per-gb-hour: give both or none")
    trace = read(args)
    n_unique = trace.n_unique
    per_entry = args.bytes_per_entry if args.bytes_per_entry is not None else mean_bytes(trace)
    if has_price and per_entry is None:
        _refuse("--bytes-per-entry: wanted with prices, the trace has no sizes")
    an_hour = args.requests_per_hour
    if an_hour is None and trace.seconds is not None:
        an_hour = len(trace.keys) / trace.seconds * 3600
    if has_price and an_hour is None:
        _refuse("--requests-per-hour: wanted with prices, the trace has no times")
    capacities, notes = _capacities(args, trace, n_unique)
    is_bytes = capacities[0].is_bytes
    sizes = [capacity.size for capacity in capacities]
    rates = lru_hit_rates(trace.keys, sizes, trace.sizes if is_bytes else None)
    entries = [round(size / per_entry) if is_bytes and per_entry else size for size in sizes]
    in_bytes = [size if is_bytes else size * per_entry for size in sizes] if per_entry else []
    if has_price:
        prices = args.cost_per_gb_hour, args.cost_per_miss * an_hour
        costs = [
            n / _BYTES_PER_GB * prices[0] + (1 - rate) * prices[1]
            for n, rate in zip(in_bytes, rates, strict=True)
        ]
        notes[costs.index(min(costs))].append("cheapest")
    print(f"{args.trace}: {len(trace.keys):,} requests of {n_unique:,} keys")
    print(f"at most {1 - n_unique / len(trace.keys):.2%} can hit: the rest ask first\n")
    head = f"{'entries':>12} {'of keys':>8} {'LRU hit rate':>13}"
    head += f" {'bytes':>16}" if in_bytes else ""
    print(head + (f" {'cost an hour':>14}" if has_price else ""))
    for i, (size, rate) in enumerate(zip(entries, rates, strict=True)):
        line = f"{size:12,} {size / n_unique:8.2%} {rate:13.2%}"
        line += f" {in_bytes[i]:16,.0f}" if in_bytes else ""
        line += f" {costs[i]:14.6g}" if has_price else ""
        print(" ".join([line, *notes[i]]))
    if not in_bytes:
        print("\nno bytes: the trace has no sizes; --bytes-per-entry says what one takes")
    if args.plot:
        _plot(args.plot, trace, n_unique)
        print(f"\n{args.plot}: the curve")
    return 0


def _capacities(
    args: argparse.Namespace, trace: Trace, n_unique: int
) -> tuple[list[Capacity], list[list[str]]]:
    """Return the sizes of the table, ascending, and what is to be said of each."""
    if not args.size:
        found = [Capacity(size) for size in spaced(n_unique, _STEPS)]
        return found, [[] for _ in found]
    found = resolve(args.size, trace, n_unique)
    if len(found) > 1:
        return found, [[] for _ in found]
    present = found[0]
    named: dict[int, list[str]] = {}  # factors of a small size may come to the same
    for factor in _FACTORS:
        named.setdefault(max(1, round(present.size * factor)), []).append(f"{factor:g}x")
    return [Capacity(size, present.is_bytes) for size in named], list(named.values())


def _plot(path: str, trace: Trace, n_unique: int) -> None:
    from raudo.cli._cache_plot import Panel, draw

    def sizes_for(steps: int) -> Sequence[int]:
        return spaced(n_unique, steps)

    sizes, few = sizes_for(_PLOT_STEPS), sizes_for(_BELADY_STEPS)
    keys = np.unique(trace.keys, return_inverse=True)[1].tolist()
    lines = {
        "LRU": (sizes, lru_hit_rates(trace.keys, sizes)),
        "Belady's optimum": (few, [belady_hits(keys, size) / len(keys) for size in few]),
    }
    Path(path).write_text(draw([Panel("", lines)], "entries", "hit rate"), encoding="utf-8")


def _refuse(message: str) -> None:
    raise argparse.ArgumentTypeError(message)
