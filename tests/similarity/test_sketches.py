"""Sketches: few of the rows that matter are ruled out, whatever the rows and instructions."""

import numpy as np
import pytest

from raudo._core import sketches
from raudo.similarity import IVFIndex
from raudo.similarity.index._lists import search_lists

METRICS = ("inner", "sqeuclidean", "euclidean", "cosine")


def clustered(n, d, seed=0):
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((30, d))
    rows = centres[random.integers(0, 30, n)] + 0.9 * random.standard_normal((n, d))
    return rows.astype(np.float32)


def found_share(index, queries, k=10):
    """Return the share found where all lists are sifted but the nearest eight, and the answers."""
    wanted = index.search(queries, k, nprobe=index.nlist)
    given = search_lists(index._state, queries, k, 8, np.inf, None, None)
    is_near = given.distances <= wanted.distances[:, -1:] * (1 + 1e-6)
    if index.metric.larger_is_nearer:
        is_near = given.distances >= wanted.distances[:, -1:] * (1 - 1e-6)
    return float(is_near.mean()), given


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [3, 24, 256])
def test_nearly_all_is_found(isa, metric, d):
    index = IVFIndex(d, metric, nlist=40)
    index.add(clustered(1500, d))
    share, _ = found_share(index, clustered(40, d, seed=1))
    assert share > 0.97


def test_sums_of_wide_rows_do_not_overflow(isa):
    index = IVFIndex(2100, nlist=10)
    index.add(clustered(400, 2100))
    assert found_share(index, clustered(10, 2100, seed=1))[0] > 0.97


@pytest.mark.parametrize("metric", METRICS)
def test_rows_of_all_lengths_and_far_from_the_origin(metric):
    rows, queries = clustered(1500, 64), clustered(40, 64, seed=1)
    lengths = np.random.default_rng(3).lognormal(0, 1, (1500, 1)).astype(np.float32)
    apart = 1000 * np.sign(rows[:, :1]), 1000 * np.sign(queries[:, :1])
    for base, asked in (
        (rows * lengths, queries),
        (rows + 300, queries + 300),
        (rows + apart[0], queries + apart[1]),
    ):
        index = IVFIndex(64, metric, nlist=40)
        index.add(base)
        assert found_share(index, asked)[0] > 0.97


@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_cannot_be_sketched_are_measured(metric):
    rows = clustered(900, 20)
    rows[::50] *= np.float32(1e18)
    rows[7::90] = 0
    rows[3::100, 2] = np.nan
    index = IVFIndex(20, metric, nlist=20)
    index.add(rows)
    queries = np.concatenate((clustered(20, 20, seed=1), rows[::150], rows[7:8]))
    wanted = index.search(queries, 5, nprobe=20)
    given = search_lists(index._state, queries, 5, 8, np.inf, None, None)
    assert (given.ids == wanted.ids).mean() > 0.97


def test_the_answer_does_not_depend_on_the_others():
    index = IVFIndex(48, "cosine", nlist=60, recall=0.9)
    index.add(clustered(3000, 48))
    queries = clustered(70, 48, seed=1)
    _, given = found_share(index, queries)
    for n_jobs in (1, 3):
        for q in (1, 3, 13):
            some = search_lists(index._state, queries[:q], 10, 8, np.inf, None, n_jobs)
            np.testing.assert_array_equal(some.ids, given.ids[:q])
            np.testing.assert_array_equal(some.distances, given.distances[:q])


def test_removed_and_forbidden_rows_are_not_found():
    index = IVFIndex(32, "inner", nlist=30)
    index.add(clustered(2000, 32))
    queries = clustered(30, 32, seed=1)
    _, before = found_share(index, queries)
    gone = np.unique(before.ids[:, :3])
    index.remove(gone)
    share, after = found_share(index, queries)
    assert share > 0.97
    assert not np.isin(after.ids, gone).any()
    allowed = index.search(queries, 10, filter=lambda ids: ids % 7 == 0)
    assert (allowed.ids % 7 == 0).all()


def test_a_sketch_is_a_bit_an_element():
    assert [sketches.n_bytes(d) for d in (1, 16, 17, 256)] == [2, 2, 4, 32]
