"""Nearest rows: those of an exhaustive scan, digit for digit, however the work is cut."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from raudo.similarity import nearest, pairwise_distances
from raudo.types import Matches

COMPILED = ("sqeuclidean", "euclidean", "cosine", "inner", "cityblock", "hamming", "jaccard")


def normal(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def exhaustive(queries, base, k, metric):
    """The answer by one query at a time: row kernels alone, sorted by distance and then by id."""
    rows = [nearest(query[None], base, len(base), metric) for query in queries]
    return Matches(
        np.vstack([row.ids[:, :k] for row in rows]),
        np.vstack([row.distances[:, :k] for row in rows]),
    )


def assert_same(given, wanted):
    np.testing.assert_array_equal(given.ids, wanted.ids)
    np.testing.assert_array_equal(given.distances, wanted.distances)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", COMPILED)
@pytest.mark.parametrize(
    ("q", "n", "d", "k"), [(5, 7, 3, 4), (30, 450, 100, 7), (101, 200, 650, 20)]
)
def test_tiles_sift_but_never_decide(isa, metric, dtype, q, n, d, k):
    queries, base = normal((q, d), dtype, 1), normal((n, d), dtype, 2)
    assert_same(nearest(queries, base, k, metric), exhaustive(queries, base, k, metric))


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine", "inner", "cityblock"])
@pytest.mark.parametrize("spread", [1e-6, 1e-4, 1e-2])
def test_tight_clusters_far_from_the_origin_are_told_apart(isa, metric, spread):
    centres = normal((4, 48), seed=3) * 10
    base = np.repeat(centres, 60, axis=0) + np.float32(spread) * normal((240, 48), seed=4)
    queries = base[::17] + np.float32(spread / 10) * normal((15, 48), seed=5)
    assert_same(nearest(queries, base, 9, metric), exhaustive(queries, base, 9, metric))


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e19, 1e37])
@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine", "inner", "cityblock"])
def test_extreme_scales(isa, metric, scale):
    base = normal((300, 16), seed=6) * np.float32(scale)
    base[7], base[11] = 0, np.inf
    queries = normal((12, 16), seed=7) * np.float32(scale)
    given, wanted = nearest(queries, base, 5, metric), exhaustive(queries, base, 5, metric)
    np.testing.assert_array_equal(given.distances, wanted.distances)
    if scale not in (1e-30, 1e-20):  # below float32's range all distances are ties or rounding
        np.testing.assert_array_equal(given.ids, wanted.ids)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    q=st.integers(1, 20),
    n=st.integers(0, 250),
    d=st.integers(0, 40),
    k=st.integers(1, 30),
    levels=st.integers(1, 4),
    metric=st.sampled_from(COMPILED),
    n_jobs=st.integers(1, 3),
)
def test_ties_go_to_the_smaller_id(seed, q, n, d, k, levels, metric, n_jobs):
    """Small whole numbers: all sums are exact, and most distances are equal."""
    random = np.random.default_rng(seed)
    queries, base = (random.integers(0, levels, (m, d)).astype(np.float32) for m in (q, n))
    distances = pairwise_distances(queries, base, metric).astype(float)
    order = -distances if metric == "inner" else distances
    given = nearest(queries, base, k, metric, n_jobs)
    assert given.ids.shape == given.distances.shape == (q, k)
    for row in range(q):
        valid = np.flatnonzero(~np.isnan(order[row]))
        if metric == "cosine":  # square roots: compare the distances alone
            wanted = np.sort(order[row][valid])[:k]
            np.testing.assert_allclose(given.distances[row][: len(wanted)], wanted, atol=1e-6)
            continue
        wanted = valid[np.lexsort((valid, order[row][valid]))][:k]
        found = given.ids[row]
        assert found[: len(wanted)].tolist() == wanted.tolist()
        assert (found[len(wanted) :] == -1).all()
        np.testing.assert_allclose(given.distances[row][: len(wanted)], distances[row][wanted])
        assert np.isnan(given.distances[row][len(wanted) :]).all()


def test_fewer_rows_than_k_are_padded():
    ids, distances = nearest([[0.0]], [[3.0], [1.0]], 4)
    assert ids.tolist() == [[1, 0, -1, -1]]
    assert distances[0, :2].tolist() == [1.0, 9.0]
    assert np.isnan(distances[0, 2:]).all()


@pytest.mark.parametrize("metric", COMPILED[:5])
@pytest.mark.parametrize("q", [2, 9])
def test_nan_is_never_a_match(isa, metric, q):
    queries, base = normal((q, 6)), normal((300, 6), seed=1)
    base[::2, 3] = np.nan
    queries[0, 0] = np.nan
    given = nearest(queries, base, 200, metric)
    assert (given.ids[0] == -1).all()
    assert np.isnan(given.distances[0]).all()
    assert (given.ids[1:, :150] % 2 == 1).all()
    assert (given.ids[:, 150:] == -1).all()


@pytest.mark.parametrize("q", [1, 5, 200])
@pytest.mark.parametrize("metric", COMPILED)
def test_threads_change_nothing(metric, q):
    queries, base = normal((q, 20)), normal((5000, 20), seed=1)
    base[2500:] = base[:2500]
    wanted = nearest(queries, base, 12, metric, n_jobs=1)
    for n_jobs in (2, 3, 8, -1, None):
        assert_same(nearest(queries, base, 12, metric, n_jobs), wanted)


def test_searches_from_many_threads_at_once():
    queries, base = normal((40, 32)), normal((2000, 32), seed=1)
    wanted = nearest(queries, base, 5)
    failures = []

    def search():
        for _ in range(10):
            if not np.array_equal(nearest(queries, base, 5, n_jobs=2).ids, wanted.ids):
                failures.append(1)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_int8_and_bits_are_exact():
    random = np.random.default_rng(0)
    a, b = (random.integers(-128, 128, (m, 1000), dtype=np.int8) for m in (6, 500))
    product = a.astype(np.int64) @ b.T.astype(np.int64)
    given = nearest(a, b, 3, "inner")
    assert given.distances.tolist() == np.sort(-product, axis=1)[:, :3].__neg__().tolist()
    x, y = (random.integers(0, 256, (m, 40), dtype=np.uint8) for m in (6, 500))
    wanted = np.sort(cdist(np.unpackbits(x, axis=1), np.unpackbits(y, axis=1), "hamming"), axis=1)
    np.testing.assert_allclose(nearest(x, y, 3, "hamming").distances, wanted[:, :3])


def test_wrong_arguments_are_named():
    for arguments, error, message in (
        ((np.eye(2), np.eye(3), 1), ValueError, "queries has 2 columns, base has 3"),
        ((np.eye(2), np.eye(2), 0), ValueError, "k is 0, at least 1"),
        ((np.eye(2), np.eye(2), 1.5), TypeError, "k is 1.5, a whole number"),
        ((np.eye(2)[0], np.eye(2), 1), ValueError, "queries has shape"),
        ((np.eye(2), "base", 1), TypeError, "base has dtype <U4"),
        ((np.eye(2), np.eye(2), 1, "none"), ValueError, "metric 'none' is unknown"),
    ):
        with pytest.raises(error, match=message):
            nearest(*arguments)
