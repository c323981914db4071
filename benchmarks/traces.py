"""Reads request traces: `.npz` or `.npz.xz` with an array `k` of integer keys in request order."""

from __future__ import annotations

import heapq
import io
import lzma
from collections.abc import Iterator
from pathlib import Path

import numpy as np

__all__ = ["belady_hits", "read", "synthetic", "traces_in"]


def read(path: Path, limit: int | None = None) -> list[int]:
    """Return the keys of a trace, at most `limit` of them."""
    packed = path.read_bytes()
    plain = lzma.decompress(packed) if path.suffix == ".xz" else packed
    with np.load(io.BytesIO(plain)) as file:
        keys: list[int] = file["k"][:limit].tolist()
    return keys


def traces_in(folder: Path, limit: int | None = None) -> Iterator[tuple[str, list[int]]]:
    """Yield the name and the keys of each trace in a folder, by name."""
    for path in sorted([*folder.glob("*.npz"), *folder.glob("*.npz.xz")]):
        yield path.name.split(".")[0], read(path, limit)


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


def belady_hits(keys: list[int], capacity: int) -> int:
    """Count the hits of the best possible cache, one that knows the future and may bypass.

    Belady, "A study of replacement algorithms for a virtual-storage computer", 1966.
    """
    n = len(keys)
    following, last = [n] * n, {}
    for i in range(n - 1, -1, -1):
        following[i] = last.get(keys[i], n)
        last[keys[i]] = i
    due: dict[int, int] = {}  # key -> its next use
    heap: list[tuple[int, int]] = []  # (-next use, key), stale ones included
    hits = 0
    for i, key in enumerate(keys):
        if key in due:
            hits += 1
            due[key] = following[i]
            heapq.heappush(heap, (-following[i], key))
            continue
        if following[i] == n:
            continue
        if len(due) >= capacity:
            while due.get(heap[0][1]) != -heap[0][0]:
                heapq.heappop(heap)
            if -heap[0][0] <= following[i]:
                continue  # the newcomer is the one needed last
            del due[heapq.heappop(heap)[1]]
        due[key] = following[i]
        heapq.heappush(heap, (-following[i], key))
    return hits
