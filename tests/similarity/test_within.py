"""Pairs within a radius, and the matrix by blocks: what the whole matrix holds, digit for digit."""

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist

from raudo.similarity import Metric, metric_names, pairs_within, pairwise_distances
from raudo.similarity._scipy_metrics import ALIASES, BY_SCIPY

RADII = {
    "sqeuclidean": 25.0,
    "euclidean": 5.0,
    "cosine": 0.8,
    "inner": 3.0,
    "cityblock": 19.0,
    "hamming": 1.0,
    "jaccard": 0.0,
    "canberra": 12.0,
}


def clustered(n, d=20, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(1, n // 7), d))
    rows = centres[rng.integers(len(centres), size=n)] + 0.05 * rng.standard_normal((n, d))
    return rows.astype(np.float32)


def expected(matrix, hits):
    i, j = np.nonzero(hits)
    return np.searchsorted(i, np.arange(len(matrix) + 1)), j, matrix[i, j]


def check(given, wanted):
    for one, other in zip(given, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("metric", "radius"), RADII.items())
@pytest.mark.parametrize(("q", "n"), [(1, 5), (7, 3), (200, 2500), (400, 30)])
def test_pairs_are_those_of_the_matrix(metric, radius, q, n):
    x, y = clustered(q), clustered(n)
    matrix = pairwise_distances(x, y, metric)
    hits = matrix >= radius if metric == "inner" else matrix <= radius
    check(pairs_within(x, radius, y, metric, n_jobs=2), expected(matrix, hits))


@pytest.mark.parametrize(("metric", "radius"), RADII.items())
@pytest.mark.parametrize("n", [1, 2, 193, 2300])
def test_within_one_set_each_pair_comes_once(metric, radius, n):
    x = clustered(n)
    matrix = pairwise_distances(x, None, metric)
    hits = matrix >= radius if metric == "inner" else matrix <= radius
    check(pairs_within(x, radius, metric=metric), expected(matrix, np.triu(hits, 1)))


def test_the_arrays_are_a_csr_matrix():
    x = clustered(300)
    offsets, ids, distances = pairs_within(x, 1.0)
    graph = sparse.csr_array((distances, ids, offsets), shape=(300, 300))
    assert graph.has_canonical_format
    assert (graph.indptr.dtype, distances.dtype) == (np.int64, np.float32)
    assert graph.nnz == len(ids) > 300


def test_equal_rows_are_found_at_radius_nought():
    x = np.repeat(clustered(50), 2, axis=0)
    found = pairs_within(x, 0.0)
    assert found.ids.tolist() == list(range(1, 100, 2))
    assert (found.distances == 0).all()


def test_nan_is_within_no_radius_and_infinity_within_its_own():
    x = np.array([[0.0], [np.nan], [np.inf]])
    assert pairs_within(x, np.inf).ids.tolist() == [2]
    assert pairs_within(x, 1e300).ids.tolist() == []


def test_nothing_to_pair():
    empty = np.empty((0, 4), np.float32)
    for x, y in ((empty, None), (empty, clustered(3, 4)), (clustered(3, 4), empty)):
        found = pairs_within(x, 1.0, y)
        assert found.offsets.tolist() == [0] * (len(x) + 1)
        assert (len(found.ids), found.distances.dtype) == (0, np.float32)
    assert pairs_within(empty.astype(float), 1.0).distances.dtype == np.float64


@pytest.mark.parametrize("radius", [None, "one", [1.0, 2.0]])
def test_a_radius_is_a_number(radius):
    with pytest.raises(TypeError, match="radius is"):
        pairs_within(clustered(3), radius)
    with pytest.raises(ValueError, match="radius is NaN"):
        pairs_within(clustered(3), float("nan"))


# --- the matrix by blocks ---------------------------------------------------------------------


@pytest.mark.parametrize("metric", [*RADII, "chebyshev"])
@pytest.mark.parametrize("chunks", [1, 3, 100, 1000, "auto"])
def test_blocks_stacked_are_the_matrix(metric, chunks):
    x, y = clustered(103), clustered(310, seed=1)
    blocks = list(pairwise_distances(x, y, metric, chunks=chunks))
    assert len(blocks) == -(-103 // (1000 if chunks == "auto" else chunks))
    np.testing.assert_array_equal(np.vstack(blocks), pairwise_distances(x, y, metric))


def test_blocks_are_computed_when_they_are_asked_for():
    calls = []

    def count(x, y):
        calls.append(len(x))
        return cdist(x, y)

    blocks = pairwise_distances(clustered(9), None, Metric("counted", count), chunks=4)
    assert calls == []
    assert next(blocks).shape == (4, 9)
    assert calls == [4]
    assert [len(block) for block in blocks] == [4, 1]


def test_blocks_go_into_a_file_that_is_larger_than_one_block(tmp_path):
    x = clustered(64)
    out = np.lib.format.open_memmap(tmp_path / "m.npy", "w+", np.float32, (64, 64))
    for block in pairwise_distances(x, out=out, chunks=10):
        assert np.shares_memory(block, out)
    del out
    np.testing.assert_array_equal(np.load(tmp_path / "m.npy"), pairwise_distances(x))


def test_blocks_go_into_an_array_that_kernels_cannot_write():
    x = clustered(40)
    out = np.empty((40, 40), np.float32, order="F")
    *_, last = pairwise_distances(x, out=out, chunks=16)
    assert np.shares_memory(last, out)
    np.testing.assert_array_equal(out, pairwise_distances(x))


@pytest.mark.parametrize(
    ("chunks", "error"), [(0, ValueError), (-1, ValueError), ("big", ValueError), (1.5, TypeError)]
)
def test_chunks_that_are_none(chunks, error):
    with pytest.raises(error, match="chunks is"):
        pairwise_distances(clustered(3), chunks=chunks)


def test_what_is_wrong_is_said_before_the_first_block():
    x = clustered(8)
    with pytest.raises(ValueError, match="out is"):
        pairwise_distances(x, out=np.empty((7, 8), np.float32), chunks=4)
    with pytest.raises(ValueError, match="n_jobs is"):
        pairwise_distances(x, n_jobs=0, chunks=4)


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*BY_SCIPY, *ALIASES])
def test_names_of_scipy_are_understood(name):
    if ALIASES.get(name) in ("seuclidean", "mahalanobis"):
        with pytest.raises(ValueError, match="depends on all rows"):
            pairwise_distances(clustered(3), metric=name)
        return
    rng = np.random.default_rng(2)
    x, y = rng.random((5, 12)), rng.random((9, 12))
    if name in ("dice", "rogerstanimoto", "russellrao", "sokalsneath", "yule"):
        x, y = x > 0.5, y > 0.5
    np.testing.assert_allclose(pairwise_distances(x, y, name), cdist(x, y, name), rtol=1e-12)


def test_every_name_is_listed_once():
    names = metric_names()
    assert len(set(names)) == len(names)
    assert {"sqeuclidean", "canberra", "yule"} <= set(names)
    assert not set(names) & set(ALIASES)
