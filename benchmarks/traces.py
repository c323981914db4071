"""Reads request traces: `.npz` or `.npz.xz` with an array `k` of integer keys in request order.

Some have an array `size` too, the bytes of the object asked for.
"""

from __future__ import annotations

import heapq
import io
import lzma
from collections.abc import Iterator
from pathlib import Path

import numpy as np

__all__ = [
    "belady_hits",
    "read",
    "read_sized",
    "sized_traces_in",
    "synthetic",
    "synthetic_sized",
    "traces_in",
]


def _arrays(path: Path, *names: str) -> list[np.ndarray] | None:
    packed = path.read_bytes()
    plain = lzma.decompress(packed) if path.suffix == ".xz" else packed
    with np.load(io.BytesIO(plain)) as file:
        if not set(names) <= set(file.files):
            return None
        return [file[name] for name in names]


def read(path: Path, limit: int | None = None) -> list[int]:
    """Return the keys of a trace, at most `limit` of them."""
    arrays = _arrays(path, "k")
    if arrays is None:
        raise ValueError(f"{path}: wanted an array 'k' of keys, found none")
    keys: list[int] = arrays[0][:limit].tolist()
    return keys


def read_sized(path: Path, limit: int | None = None) -> tuple[list[int], list[int]] | None:
    """Return the keys and the sizes in bytes of a trace, None where it has no sizes."""
    arrays = _arrays(path, "k", "size")
    if arrays is None:
        return None
    return arrays[0][:limit].tolist(), arrays[1][:limit].tolist()


def _paths(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.npz"), *folder.glob("*.npz.xz")])


def traces_in(folder: Path, limit: int | None = None) -> Iterator[tuple[str, list[int]]]:
    """Yield the name and the keys of each trace in a folder, by name."""
    for path in _paths(folder):
        yield path.name.split(".")[0], read(path, limit)


def sized_traces_in(
    folder: Path, limit: int | None = None
) -> Iterator[tuple[str, list[int], list[int]]]:
    """Yield the name, the keys and the sizes of each trace in a folder that has sizes."""
    for path in _paths(folder):
        found = read_sized(path, limit)
        if found is not None:
            yield path.name.split(".")[0], *found


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
