"""Blocks on the workers of an executor: what threads here give, digit for digit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from raudo import ParallelExecutor
from raudo.similarity import nearest, pairwise_distances

METRICS = ["sqeuclidean", "cosine", "inner", "hamming", "canberra"]


@pytest.fixture(scope="module")
def executor() -> Iterator[ParallelExecutor]:
    with ParallelExecutor(max_processes=2) as made:
        yield made


def rows(n: int, dtype: str = "f4") -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, 33)).astype(dtype)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_workers_change_no_digit(executor: ParallelExecutor, metric: str, dtype: str) -> None:
    x, y = rows(333, dtype), rows(500, dtype)
    here, there = (pairwise_distances(x, y, metric, backend=each) for each in (None, executor))
    np.testing.assert_array_equal(here, there)
    assert here.dtype == there.dtype
    for here, there in zip(
        nearest(x, y, 5, metric), nearest(x, y, 5, metric, backend=executor), strict=True
    ):
        np.testing.assert_array_equal(here, there)
        assert here.dtype == there.dtype


def test_bits_outs_and_nothing(executor: ParallelExecutor) -> None:
    sets = rows(200) > 0
    expected = pairwise_distances(sets, metric="jaccard")
    out = np.empty_like(expected)
    assert pairwise_distances(sets, metric="jaccard", out=out, backend=executor) is out
    np.testing.assert_array_equal(out, expected)
    x = rows(33)
    expected = pairwise_distances(x)
    np.testing.assert_array_equal(pairwise_distances(x, out=x, backend=executor), expected)
    none = np.empty((0, 3), np.float32)
    assert pairwise_distances(none, np.ones((2, 3)), backend=executor).shape == (0, 2)
    assert nearest(none, np.ones((2, 3)), 2, backend=executor).ids.shape == (0, 2)


def test_blocks_one_by_one_are_computed_here(executor: ParallelExecutor) -> None:
    with pytest.raises(ValueError, match="chunks is 7 with a backend"):
        pairwise_distances(rows(9), chunks=7, backend=executor)
