"""Arrays that are not NumPy's: what asking costs those that are, and PyTorch beside its own.

Rows "as on a device" go the way that arrays on a GPU go, on this CPU: by PyTorch's products and
sorts. They show what the care for digits costs beside the bare functions, not what a GPU gives.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from raudo.cli._bench_rows import Row, is_installed, race, timed_ms
from raudo.similarity import _device, nearest, pairwise_distances
from raudo.similarity._elsewhere import home_of
from raudo.similarity.metrics import metric_of

__all__ = ["rows"]

_ASKED = "arrays: whether they are NumPy's, asked at each call"
_FULL = "arrays: PyTorch, the matrix of 1,000 x 20,000, 128 columns"
_NEAREST = "arrays: PyTorch, the 10 nearest of 20,000, 1,000 queries"


def rows(quick: bool) -> list[Row]:
    """Measure the question always, PyTorch where it is installed."""
    found = [_asked(1_000 if quick else 200_000)]
    if is_installed("torch"):
        found += _torch(*((50, 500, 1) if quick else (1_000, 20_000, 5)))
    return found


def _asked(n: int) -> Row:
    x, turns = np.zeros((2, 2)), range(n)

    def asked() -> float:
        began = time.perf_counter()
        for _ in turns:
            if type(x) is not np.ndarray or (x is not None and type(x) is not np.ndarray):
                home_of(x)
        return (time.perf_counter() - began) / n * 1e9

    return Row(_ASKED, "x and y", "ns", race({"raudo": asked}, 7), at_most=100)


def _torch(q: int, n: int, rounds: int) -> list[Row]:
    import torch

    random = np.random.default_rng(0)
    x, y = (torch.tensor(random.standard_normal((m, 128)), dtype=torch.float32) for m in (q, n))
    metric = metric_of("euclidean")

    def there() -> _device.DeviceRows:
        home = home_of(x, y)
        assert home is not None
        home.is_seen_by_numpy = False
        return _device.DeviceRows(home, metric, x, y, ("x", "y"))

    def as_there() -> Any:
        return there().block_of_rows(slice(0, q), _device.WORK_BYTES)

    matrix: dict[str, Callable[[], Any]] = {
        "raudo": lambda: pairwise_distances(x, y, "euclidean"),
        "raudo, as on a device": as_there,
        "torch.cdist": lambda: torch.cdist(x, y),
        "torch.cdist, no products": lambda: torch.cdist(
            x, y, compute_mode="donot_use_mm_for_euclid_dist"
        ),
    }
    best: dict[str, Callable[[], Any]] = {
        "raudo": lambda: nearest(x, y, 10, "euclidean"),
        "raudo, as on a device": lambda: _device.nearest_there(there(), 10, _device.WORK_BYTES),
        "torch.cdist + topk": lambda: torch.cdist(x, y).topk(10, largest=False),
    }
    return [
        Row(_FULL, "euclidean", "ms", race(timed_ms(matrix), rounds)),
        Row(_NEAREST, "euclidean", "ms", race(timed_ms(best), rounds)),
    ]
