"""Centres of lists: k-means by Lloyd's rounds on a sample, on the search kernels.

For inner products and cosines rows and centres are unit vectors (spherical k-means, Dhillon and
Modha 2001).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raudo._core import lists
from raudo.similarity._arrays import Pair
from raudo.similarity.metrics import Form, Metric, metric_of
from raudo.similarity.search import search_rows

__all__ = ["assign", "centres_metric", "train"]

ROWS_A_CENTRE = 32
# Which part of the sample each round takes: the first centres are rough, whatever they are made of.
_PARTS = (0.25, 0.25, 0.5, 0.5, 1, 1)
# Squares of larger numbers may overflow, of smaller ones vanish.
_LARGEST, _SMALLEST = 1e15, 1e-15


def centres_metric(metric: Metric) -> Metric:
    """Return what orders centres: unit vectors are ordered by their inner products."""
    return metric_of("sqeuclidean" if metric.form == Form.SQEUCLIDEAN else "inner")


def assign(
    metric: Metric, rows: NDArray[np.float32], centres: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return each row's nearest centre; a row that is near none (NaN) goes to the first."""
    found = search_rows(
        centres_metric(metric), Pair(rows, centres, "f32", rows.shape[1]), 1, None
    ).ids[:, 0]
    return np.maximum(found, 0)


def train(
    metric: Metric, rows: NDArray[np.float32], n_lists: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """Return up to `n_lists` centres (there may be too few rows for so many), at least one."""
    sample = _usable(metric, rows)
    n_lists = min(n_lists, len(sample))
    if n_lists < 2:
        return np.zeros((1, rows.shape[1]), np.float32)
    centres = sample[random.choice(len(sample), n_lists, replace=False)]
    for share in _PARTS:
        part = sample[: max(n_lists, int(share * len(sample)))]
        owners = assign(metric, part, centres)
        sums = np.zeros(centres.shape)
        lists.sum_rows(part, owners, sums)
        counts = np.bincount(owners, minlength=n_lists)
        is_empty = counts == 0
        sums[is_empty] = part[_crowded(owners, counts, int(is_empty.sum()), random)]
        if metric.form == Form.SQEUCLIDEAN:
            sums /= np.maximum(counts, 1)[:, None]
        else:
            norms = np.linalg.norm(sums, axis=1, keepdims=True)
            sums = np.where(norms > 0, sums / np.where(norms > 0, norms, 1), centres)
        centres = sums.astype(np.float32)
    return centres


def _usable(metric: Metric, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows that means can be taken of."""
    with np.errstate(all="ignore"):
        largest = np.abs(rows).max(axis=1, initial=0)
        if metric.form == Form.SQEUCLIDEAN:
            return np.ascontiguousarray(rows[largest < _LARGEST])
        usable = rows[(largest < _LARGEST) & (largest > _SMALLEST)]
        return np.ascontiguousarray(usable / np.linalg.norm(usable, axis=1, keepdims=True))


def _crowded(
    owners: NDArray[np.int64], counts: NDArray[np.int64], n: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Choose n rows for new centres, more of them where lists are long."""
    weights = counts[owners].astype(np.float64)
    return random.choice(len(owners), n, p=weights / weights.sum())
