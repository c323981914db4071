"""The k nearest of each document against products of all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raudo._core import sparse
from raudo.analysis.embeddings import unit_rows
from raudo.analysis.neighbours import find_neighbours


def all_pairs(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest first, ties by place; -1 and NaN beyond those that have a vector."""
    cosines = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(cosines, -np.inf)
    cosines[:, ~vectors.any(axis=1)] = -np.inf
    cosines[~vectors.any(axis=1)] = -np.inf
    ids = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(cosines, ids, axis=1)
    return np.where(np.isfinite(found), ids, -1), np.where(np.isfinite(found), found, np.nan)


def random_rows(n: int, d: int, most: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    rows = np.zeros((n, d), np.float32)
    for row in rows:
        width = random.integers(0, most + 1)
        row[random.integers(0, d, width)] = random.normal(size=width)
    rows[random.random(n) < 0.2] = rows[n // 2]
    return unit_rows(rows)


@pytest.mark.parametrize("most", [3, 12, 64])  # sparse, sparse, dense
@pytest.mark.parametrize("n", [1, 2, 3, 31, 32, 33, 500])
def test_neighbours_are_those_of_all_pairs(n: int, most: int) -> None:
    vectors = random_rows(n, 64, most, n)
    k = min(7, n - 1)
    expected_ids, expected = all_pairs(vectors, k)
    for n_jobs in (1, 3):
        found = find_neighbours(vectors, k, n_jobs)
        assert found.method == "exact"
        np.testing.assert_allclose(found.similarities, expected, atol=1e-6)
        # equal but for rows whose cosines are the same but for the last digits of float32
        off = found.ids != expected_ids
        if off.any():
            i, j = np.nonzero(off)
            others = np.einsum("ij,ij->i", vectors[i], vectors[found.ids[i, j]])
            np.testing.assert_allclose(others, expected[i, j], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.integers(0, 63), st.sampled_from([-2, -1, 1, 2, 5]), max_size=4),
        min_size=1,
        max_size=60,
    ),
    st.integers(1, 6),
)
def test_sparse_rows_agree_with_all_pairs(made: list[dict[int, int]], k: int) -> None:
    rows = np.zeros((len(made), 64), np.float32)
    for row, numbers in zip(rows, made, strict=True):
        row[list(numbers)] = list(numbers.values())
    vectors = unit_rows(rows)
    found = sparse.SparseRows([(vectors, np.arange(len(made)))]).nearest(k)
    cosines = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    best = -np.sort(-cosines, axis=1)[:, :k]
    np.testing.assert_allclose(found[1][:, : best.shape[1]], best, atol=1e-6)
    assert (found[0][:, best.shape[1] :] == -1).all()
    for i, ids in enumerate(found[0][:, : best.shape[1]]):
        assert len(set(ids.tolist())) == len(ids)
        np.testing.assert_allclose(cosines[i, ids], found[1][i, : len(ids)], atol=1e-6)


def test_copies_come_first_and_in_order() -> None:
    vectors = np.zeros((3000, 64), np.float32)
    vectors[:, 3] = 1  # all alike, but for one
    vectors[1234, 3], vectors[1234, 5] = 0.6, 0.8
    found = find_neighbours(vectors, 3, 2)
    assert found.ids[0].tolist() == [1, 2, 3]
    assert found.ids[2].tolist() == [0, 1, 3]
    assert found.ids[1234].tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.similarities[1234], 0.6)


def test_threads_do_not_show() -> None:
    vectors = random_rows(3000, 64, 5, 5)
    one, many = find_neighbours(vectors, 9, 1), find_neighbours(vectors, 9, 4)
    np.testing.assert_array_equal(one.ids, many.ids)
    np.testing.assert_array_equal(one.similarities, many.similarities)


@pytest.mark.parametrize("most", [4, 64])
def test_many_documents_are_searched_in_lists(most: int) -> None:
    vectors = random_rows(700, 64, most, 2)
    found = find_neighbours(vectors, 5, 2, exact_limit=20)
    assert found.method.startswith("in lists")
    exact = find_neighbours(vectors, 5, 2)
    near = found.similarities >= exact.similarities[:, -1:] - 1e-6
    assert near[np.isfinite(exact.similarities)].mean() > 0.9
    assert (found.ids != np.arange(700)[:, None]).all()


def test_an_interrupt_ends_a_search() -> None:
    def tick(n: int) -> None:
        raise KeyboardInterrupt

    for n_jobs in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            find_neighbours(random_rows(3000, 64, 4, 3), 3, n_jobs, tick)


def test_a_few_meet_all() -> None:
    """Their own nearest are right, and every other row hears of those above its least."""
    generator = np.random.default_rng(2)
    made = np.zeros((3000, 120), np.float32)
    for row in made:
        row[generator.integers(0, 120, 9)] = generator.standard_normal(9)
    made[1500:1520] = made[:20]
    vectors = unit_rows(made)
    products = vectors @ vectors.T
    m, k, limit = 1100, 4, 0.5
    least = np.full(len(vectors), limit, np.float32)
    least[:m] = -np.inf
    pieces = [(vectors[:m], np.arange(m)), (vectors, np.arange(m, len(vectors)))]
    ids, cosines, told, offered, values = sparse.SparseRows(pieces).meet_first(
        m, k, least, n_jobs=2
    )
    assert np.allclose(cosines, -np.sort(-products[:m], axis=1)[:, :k], atol=1e-5)
    assert (ids[:20] != np.arange(20)[:, None]).any(axis=1).all(), "copies are among them"
    heard = np.where(products[m:, :m] > limit, products[m:, :m], np.nan)
    assert told.tolist() == (m + np.flatnonzero((heard > 0).any(axis=1))).tolist()
    best = -np.sort(-heard[told - m], axis=1)[:, :k]
    assert np.allclose(values, best, atol=1e-5, equal_nan=True)
    assert ((offered >= 0) == ~np.isnan(values)).all()
