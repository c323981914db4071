"""Packed bits: panels and row kernels give the digits of counting by hand, however bits lie."""

import numpy as np
import pytest

from raudo.similarity import FlatIndex, nearest, pairwise_distances


def packed(n, width, seed):
    rows = np.random.default_rng(seed).integers(0, 256, (n, width), np.uint8)
    rows[::7] = 0
    rows[1::9] = rows[n // 2]
    return rows


def by_hand(metric, x, y):
    a = np.unpackbits(x, axis=1).astype(bool)[:, None]
    b = np.unpackbits(y, axis=1).astype(bool)[None]
    differ = (a ^ b).sum(axis=2)
    of = np.maximum((a | b).sum(axis=2), 1) if metric == "jaccard" else max(1, a.shape[2])
    return differ / of


def k_best(distances, k):
    order = np.lexsort((np.broadcast_to(np.arange(distances.shape[1]), distances.shape), distances))
    return order[:, :k]


@pytest.mark.parametrize("metric", ["hamming", "jaccard"])
@pytest.mark.parametrize("width", [1, 3, 4, 33, 64, 130])
@pytest.mark.parametrize(("q", "n"), [(1, 40), (3, 257), (13, 300), (30, 31)])
def test_matrix_and_search_count_as_by_hand(isa, metric, width, q, n):
    x, y = packed(q, width, 1), packed(n, width, 2)
    wanted = by_hand(metric, x, y)
    given = pairwise_distances(x, y, metric)
    assert given.dtype == np.float32
    np.testing.assert_array_equal(given, wanted.astype(np.float32))
    for k in (1, 11, n + 2):
        found = nearest(x, y, k, metric)
        best = k_best(wanted, k)
        np.testing.assert_array_equal(found.ids[:, : best.shape[1]], best)
        near = np.take_along_axis(wanted, best, axis=1).astype(np.float32)
        np.testing.assert_array_equal(found.distances[:, : best.shape[1]], near)
        assert (found.ids[:, n:] == -1).all()


def test_rows_may_lie_apart_and_be_read_only(isa):
    whole = packed(40, 21, 3)
    x, y = whole[:20:2, 3:17], whole[20:, 5:19]
    whole.flags.writeable = False
    wanted = by_hand("hamming", x, y).astype(np.float32)
    np.testing.assert_array_equal(pairwise_distances(x, y, "hamming"), wanted)
    np.testing.assert_array_equal(
        pairwise_distances(np.asfortranarray(x), np.asfortranarray(y), "hamming"), wanted
    )


def test_a_filter_leaves_its_rows(isa):
    base, queries = packed(300, 8, 4), packed(12, 8, 5)
    index = FlatIndex(64, "hamming", storage="bits")
    index.add(base)
    allowed = np.arange(0, 300, 3)
    best = allowed[k_best(by_hand("hamming", queries, base[allowed]), 5)]
    np.testing.assert_array_equal(index.search(queries, 5, filter=allowed).ids, best)


def test_jaccard_of_float64_stays_float64():
    x = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    given = pairwise_distances(x, x[:1], "jaccard")
    assert given.dtype == np.float64
    assert pairwise_distances(np.ones((1, 3)), x, "jaccard")[0, 0] == 1 / 3


@pytest.mark.parametrize("shapes", [((0, 4), (5, 4)), ((5, 4), (0, 4)), ((5, 0), (6, 0))])
def test_empty_sides(shapes):
    x, y = (np.zeros(shape, np.uint8) for shape in shapes)
    assert pairwise_distances(x, y, "hamming").tolist() == [[0.0] * len(y)] * len(x)
    assert nearest(x, y, 2, "jaccard").ids.shape == (len(x), 2)
