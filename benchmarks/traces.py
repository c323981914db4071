"""Workloads of the cache benchmarks: a folder of traces, and seeded synthetic ones."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from raudo.cache.traces import Trace, read_trace

__all__ = ["arguments", "sized_traces_in", "synthetic", "synthetic_sized", "traces_in"]


def arguments(doc: str, quick: str) -> argparse.ArgumentParser:
    """Return a parser of what benchmarks over traces take; `quick` says what that does."""
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument("--traces", type=Path, help="folder of .npz and .npz.xz files")
    parser.add_argument("--limit", type=int, default=400_000, help="requests of each trace")
    parser.add_argument("--quick", action="store_true", help=quick)
    return parser


def _read_all(folder: Path, limit: int | None) -> Iterator[tuple[str, Trace]]:
    for path in sorted([*folder.glob("*.npz"), *folder.glob("*.npz.xz")]):
        yield path.name.split(".")[0], read_trace(path, limit=limit)


def traces_in(folder: Path, limit: int | None = None) -> Iterator[tuple[str, list[int]]]:
    """Yield the name and the keys of each `.npz` and `.npz.xz` trace in a folder, by name."""
    for name, trace in _read_all(folder, limit):
        yield name, trace.keys.tolist()


def sized_traces_in(
    folder: Path, limit: int | None = None
) -> Iterator[tuple[str, list[int], list[int]]]:
    """Yield the name, the keys and the sizes of each trace in a folder that has sizes."""
    for name, trace in _read_all(folder, limit):
        if trace.sizes is not None:
            yield name, trace.keys.tolist(), trace.sizes.tolist()


def synthetic(n: int = 200_000, seed: int = 0) -> Iterator[tuple[str, list[int]]]:
    """Yield seeded workloads: independent, shifting, scanned over, looping, in phases."""
    rng = np.random.default_rng(seed)

    def zipf(exponent: float, size: int, universe: int = 50_000) -> np.ndarray:
        weights = np.arange(1, universe + 1) ** -exponent
        ranks = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(size))
        return rng.permutation(universe)[ranks]

    for exponent in (0.7, 0.9, 1.0, 1.2):
        yield f"zipf_{exponent}", zipf(exponent, n).tolist()
    step = n // 10
    yield (
        "shifting",
        np.concatenate([zipf(1.0, step) + 20_000 * i for i in range(10)]).tolist(),
    )
    scanned = zipf(1.0, n)
    for start in range(step, n, 2 * step):
        scanned[start : start + step // 2] = np.arange(step // 2) + 10**6 + start
    yield "scans_over_zipf", scanned.tolist()
    yield "loop", (np.arange(n) % 5_000).tolist()
    phases = [zipf(1.0, n // 4), np.arange(n // 4) % 5_000, zipf(0.7, n // 4), zipf(1.2, n // 4)]
    yield "phases", np.concatenate(phases).tolist()


def synthetic_sized(n: int = 200_000, seed: int = 0) -> Iterator[tuple[str, list[int], list[int]]]:
    """Yield seeded workloads with sizes: heavy-tailed, either of no relation to how often an object
    is asked for, or with the often asked for ones the small ones, as on the web."""
    rng = np.random.default_rng(seed)
    n_objects = 20_000
    weights = np.arange(1, n_objects + 1) ** -0.9
    ranks = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(n))
    sizes = np.exp(rng.normal(9.0, 1.5, n_objects)).astype(np.int64) + 1  # median 8 KB
    names = rng.permutation(n_objects)
    for name, of_rank in (("sizes_unrelated", sizes), ("small_often", np.sort(sizes))):
        noise = np.exp(rng.normal(0.0, 0.5, n_objects))
        mixed = np.maximum((of_rank * noise).astype(np.int64), 1)
        yield name, names[ranks].tolist(), mixed[ranks].tolist()
