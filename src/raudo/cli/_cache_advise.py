"""`raudo cache advise`: the exact LRU curve of a trace, in hit rate, bytes and money."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raudo.cache.replay import belady_hits, lru_hit_rates
from raudo.cache.traces import Trace, read_trace

__all__ = ["run", "sizes_of"]

_BYTES_PER_GB = 10**9
_STEPS = 20  # sizes of the default table, of equal ratio
_PLOT_STEPS = 80
_BELADY_STEPS = 8  # each costs a pass in Python


def run(args: argparse.Namespace) -> int:
    """Print the table; with `--plot` draw it too."""
    has_price = args.cost_per_miss is not None
    if has_price != (args.cost_per_gb_hour is not None):
        return _wrong("--cost-per-miss and --cost-per-gb-hour: give both or none")
    trace = read_trace(args.trace, format=args.format, limit=args.limit)
    if trace.torn:
        print(f"raudo cache advise: note: {trace.torn}", file=sys.stderr)
    n_unique = trace.n_unique
    sizes = sizes_of(args.size, n_unique)
    rates = lru_hit_rates(trace.keys, sizes)
    per_entry = _bytes_per_entry(trace, args.bytes_per_entry)
    if has_price and per_entry is None:
        return _wrong("--bytes-per-entry: wanted with prices, the trace has no sizes")
    an_hour = args.requests_per_hour
    if an_hour is None and trace.seconds is not None:
        an_hour = len(trace.keys) / trace.seconds * 3600
    if has_price and an_hour is None:
        return _wrong("--requests-per-hour: wanted with prices, the trace has no times")
    costs = [
        size * per_entry / _BYTES_PER_GB * args.cost_per_gb_hour
        + an_hour * (1 - rate) * args.cost_per_miss
        for size, rate in zip(sizes, rates, strict=True)
        if has_price and per_entry is not None and an_hour is not None
    ]
    print(f"{args.trace}: {len(trace.keys):,} requests of {n_unique:,} keys")
    print(f"at most {100 * (1 - n_unique / len(trace.keys)):.2f} % can hit: the rest ask first\n")
    head = f"{'entries':>12} {'of keys':>8} {'LRU hit rate':>13}"
    head += f" {'bytes':>16}" if per_entry is not None else ""
    print(head + (f" {'cost an hour':>14}" if costs else ""))
    for i, (size, rate) in enumerate(zip(sizes, rates, strict=True)):
        line = f"{size:12,} {size / n_unique:8.2%} {rate:13.2%}"
        line += f" {size * per_entry:16,.0f}" if per_entry is not None else ""
        if costs:
            line += f" {costs[i]:14.6g}" + (" cheapest" if costs[i] == min(costs) else "")
        print(line)
    if args.plot:
        _plot(args.plot, trace, n_unique)
        print(f"\n{args.plot}: the curve")
    return 0


def sizes_of(wanted: Sequence[object] | None, n_unique: int) -> list[int]:
    """Return the sizes asked for, or some of equal ratio up to the number of keys, ascending."""
    if wanted:
        return sorted({size(n_unique) for size in wanted})  # type: ignore[operator]
    return _spaced(n_unique, _STEPS)


def _spaced(n_unique: int, steps: int) -> list[int]:
    first = min(n_unique, max(1.0, n_unique / 1000))
    return sorted({round(size) for size in np.geomspace(first, n_unique, steps).tolist()})


def _bytes_per_entry(trace: Trace, given: float | None) -> float | None:
    """Return the mean size of an object, as many times as it has been asked for last."""
    if given is not None or trace.sizes is None:
        return given
    last = len(trace.keys) - 1 - np.unique(trace.keys[::-1], return_index=True)[1]
    return float(trace.sizes[last].mean())


def _plot(path: str, trace: Trace, n_unique: int) -> None:
    from raudo.cli._cache_plot import curves

    sizes = _spaced(n_unique, _PLOT_STEPS)
    few = _spaced(n_unique, _BELADY_STEPS)
    keys = trace.keys.tolist()
    lines = {
        "LRU": (sizes, lru_hit_rates(trace.keys, sizes)),
        "Belady's optimum": (few, [belady_hits(keys, size) / len(keys) for size in few]),
    }
    Path(path).write_text(curves(lines, "entries", "hit rate"), encoding="utf-8")


def _wrong(message: str) -> int:
    print(f"raudo cache advise: error: {message} (see raudo cache advise --help)", file=sys.stderr)
    return 2
