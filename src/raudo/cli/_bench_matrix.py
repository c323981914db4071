"""Full matrices of distances beside NumPy, SciPy, scikit-learn, faiss and NumKong; one thread."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo.cli._bench_rows import Row, is_installed
from raudo.cli._bench_vectors import limited, measure, normal, share_of_peak
from raudo.similarity import pairwise_distances

__all__ = ["rows"]

_WIDTHS = (64, 128, 256, 768)
_FAISS = {"sqeuclidean": "METRIC_L2", "inner": "METRIC_INNER_PRODUCT", "cityblock": "METRIC_L1"}


def _by_product(x: Any, y: Any, metric: str) -> Any:
    """The usual trick: |a|^2 + |b|^2 - 2ab, which cancels for near rows."""
    if metric == "inner":
        return x @ y.T
    if metric == "cosine":
        x = x / np.linalg.norm(x, axis=1)[:, None]
        y = y / np.linalg.norm(y, axis=1)[:, None]
        return 1 - x @ y.T
    return np.einsum("ij,ij->i", x, x)[:, None] + np.einsum("ij,ij->i", y, y) - 2 * (x @ y.T)


def _by_numkong(x: Any, y: Any, metric: str) -> Any:
    numkong: Any = importlib.import_module("numkong")
    if metric == "inner":
        return numkong.dots_packed(x, numkong.dots_pack(y))
    return numkong.cdist(x, y, metric)


def _subjects(metric: str, x: Any, y: Any) -> dict[str, Callable[[], Any]]:
    out = np.empty((len(x), len(y)), x.dtype)
    found: dict[str, Callable[[], Any]] = {
        "raudo": partial(pairwise_distances, x, y, metric, n_jobs=1),
        "raudo, out=": partial(pairwise_distances, x, y, metric, out=out, n_jobs=1),
    }
    if metric != "cityblock":
        found["numpy"] = partial(_by_product, x, y, metric)
    if metric != "inner" and is_installed("scipy"):
        from scipy.spatial.distance import cdist

        found["scipy"] = partial(cdist, x, y, metric)
    if metric != "inner" and is_installed("sklearn"):
        metrics = importlib.import_module("sklearn.metrics")
        found["sklearn"] = partial(metrics.pairwise_distances, x, y, metric)
    if metric in _FAISS and x.dtype == np.float32 and is_installed("faiss"):
        import faiss

        found["faiss"] = partial(faiss.pairwise_distances, x, y, getattr(faiss, _FAISS[metric]))
    if metric in ("inner", "sqeuclidean") and is_installed("numkong"):
        found["numkong"] = partial(_by_numkong, x, y, metric)
    return found


def _reference(metric: str, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the distances in float64, the plain way, of some of the rows."""
    a, b = x.astype(np.float64), y.astype(np.float64)
    if metric == "cityblock":
        return np.stack([np.abs(row - b).sum(axis=1) for row in a])
    if metric == "sqeuclidean":
        return np.stack([((row - b) ** 2).sum(axis=1) for row in a])
    product = _by_product(a, b, metric)
    assert isinstance(product, np.ndarray)
    return product


def _row(metric: str, d: int, n: int, rounds: int, dtype: Any, bars: dict[str, float]) -> Row:
    x, y = normal(n, d, 0, dtype), normal(n, d, 1, dtype)
    some = np.arange(0, n, max(1, n // 40))
    wanted = _reference(metric, x[some], y)
    scale = float(np.abs(wanted).max())
    digits = 1e-4 if dtype == np.float32 else 1e-12

    def check(name: str, given: Any) -> None:
        given = np.asarray(given)
        assert given.shape == (n, n), f"{name} gave shape {given.shape}"
        assert not np.isnan(given).any(), f"{name} gave NaN"
        worst = float(np.abs(given[some] - wanted).max()) / scale
        assert worst < digits, f"{name} is off by {worst:.1e} of the largest distance"

    outcome = measure(_subjects(metric, x, y), check, rounds)
    operations = (1 if metric == "cityblock" else 2) * float(n) * n * d
    note = f"raudo {operations / outcome.median['raudo'] / 1e6:.0f} Gop/s"
    if metric != "cityblock" and dtype == np.float32:
        note = share_of_peak(operations, outcome.median["raudo"])
    return Row(
        f"{n} x {n} {metric}, {np.dtype(dtype).name}, one thread",
        f"d={d}",
        "ms",
        outcome.median,
        times_better=bars,
        note=note,
        failed=outcome.failed,
        best=outcome.best,
    )


def rows(quick: bool) -> list[Row]:
    """Measure matrices of all products and of cityblock; milliseconds each."""
    n, rounds = (101, 1) if quick else (1999, 5)
    scipy, f4, f8 = {"scipy": 10.0}, np.float32, np.float64
    with limited(1):
        return [
            *(_row("sqeuclidean", d, n, rounds, f4, _bars(d)) for d in _WIDTHS),
            *(
                _row(each, d, n, rounds, f4, scipy)
                for each in ("cosine", "inner")
                for d in (64, 768)
            ),
            *(_row("sqeuclidean", d, n, rounds, f8, {"numpy": 0.9}) for d in _WIDTHS),
            *(_row("cityblock", d, n, rounds, f4, scipy | {"faiss": 1.5}) for d in (64, 256, 768)),
        ]


def _bars(d: int) -> dict[str, float]:
    return {"faiss": 1.0, "scipy": 10.0} | ({"numpy": 1.3} if d <= 128 else {})
