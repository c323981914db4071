"""The registry of metrics: one row for each, compiled or a function of the user's.

A compiled metric names its row kernels (a line of `csrc/distance/metrics.def`) and, where it can be
had from a matrix product, the form that turns products into distances. The other names that
`scipy.spatial.distance.cdist` takes are computed by SciPy. A metric of one's own is a
NumPy function of two matrices:

    >>> import numpy as np
    >>> from raudo.similarity import Metric, nearest, register_metric
    >>> chebyshev = Metric("chebyshev", function=lambda x, y: abs(x[:, None] - y[None]).max(axis=2))
    >>> register_metric(chebyshev)
    >>> nearest(np.zeros((1, 2)), np.array([[3.0, 1.0], [2.0, 2.0]]), 1, metric="chebyshev").ids
    array([[1]])

`raudo.testing.MetricContract` proves one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any

from numpy.typing import NDArray

from raudo.similarity._scipy_metrics import ALIASES, BY_SCIPY, WHOLE_SET, cdist

__all__ = ["Form", "Metric", "metric_names", "metric_of", "register_metric"]

Distances = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]


class Form(IntEnum):
    """What a matrix product means; the numbers are those of `_core/kernels.pxd`."""

    NONE = -1
    INNER = 0
    SQEUCLIDEAN = 1
    COSINE = 2
    CITYBLOCK = 3


@dataclass(frozen=True, slots=True)
class Metric:
    """How far two rows are apart.

    Args:
        name: What callers say; lower case.
        function: `(q, d), (n, d) -> (q, n)` in NumPy; gets float32, float64 or, where `types` has
            "bits", packed uint8 rows. It is called with a few hundred rows at a time.
        kernel: Stem of the row kernels, in place of a function.
        form: The form of the metric's matrix product, if it has one.
        types: Element types of the row kernels: f32, f64, i8, bits.
        root: The distance is the square root of what the kernels give.
        share: The distance is what the kernels give, as a share of the number of positions.
        sets: Rows are sets: all that counts is which elements are not zero.
        larger_is_nearer: As for inner products.
    """

    name: str
    function: Distances | None = None
    kernel: str = ""
    form: Form = Form.NONE
    types: tuple[str, ...] = ("f32", "f64")
    root: bool = False
    share: bool = False
    sets: bool = False
    larger_is_nearer: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name is {self.name!r}, a non-empty string is wanted")
        if (self.function is None) == (not self.kernel):
            raise ValueError(f"metric {self.name!r} wants either a function or a kernel")
        if self.function is not None and not callable(self.function):
            raise TypeError(f"function of metric {self.name!r} is not callable: {self.function!r}")


_METRICS = {
    metric.name: metric
    for metric in (
        Metric("sqeuclidean", None, "sqeuclidean", Form.SQEUCLIDEAN, ("f32", "f64", "i8")),
        Metric("euclidean", None, "sqeuclidean", Form.SQEUCLIDEAN, ("f32", "f64", "i8"), root=True),
        Metric("cosine", None, "cosine", Form.COSINE),
        Metric("inner", None, "inner", Form.INNER, ("f32", "f64", "i8"), larger_is_nearer=True),
        Metric("cityblock", None, "cityblock", Form.CITYBLOCK),
        Metric("hamming", None, "hamming", types=("f32", "f64", "bits"), share=True),
        Metric("jaccard", None, "jaccard", types=("bits",), sets=True),
    )
}
_BUILT_IN = frozenset({*_METRICS, *ALIASES})
_METRICS.update({name: Metric(name, partial(cdist, name)) for name in BY_SCIPY})


def register_metric(metric: Metric) -> None:
    """Make a metric known by its name, in place of an earlier one or SciPy's; ours stay."""
    if not isinstance(metric, Metric):
        raise TypeError(f"metric is {type(metric).__name__}, a Metric is wanted")
    if metric.name in _BUILT_IN:
        raise ValueError(f"{metric.name!r} is a built-in metric: choose another name")
    _METRICS[metric.name] = metric


def metric_names() -> tuple[str, ...]:
    """Return the names that `metric=` takes."""
    return tuple(_METRICS)


def metric_of(metric: str | Metric) -> Metric:
    """Return the metric of that name; a `Metric` is itself."""
    if isinstance(metric, Metric):
        return metric
    if not isinstance(metric, str):
        raise TypeError(f"metric is {type(metric).__name__}, a name or a Metric is wanted")
    name = ALIASES.get(metric, metric)
    if name in WHOLE_SET and name not in _METRICS:
        raise ValueError(
            f"metric {metric!r} depends on all rows at once: scale them yourself and use "
            "'euclidean', or pass a Metric with a function"
        )
    try:
        return _METRICS[name]
    except KeyError:
        raise ValueError(f"metric {metric!r} is unknown: one of {', '.join(_METRICS)}") from None
