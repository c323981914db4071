"""SimilarityCache: earlier answers for the same query and index, and for nothing else."""

import numpy as np
import pytest

from raudo.similarity import FlatIndex, SimilarityCache


class Counting:
    """An index that notes which queries reach it."""

    def __init__(self, index):
        self.index = index
        self.asked = []

    @property
    def version(self):
        return self.index.version

    def search(self, queries, k, *, filter=None):
        self.asked.append(len(queries))
        return self.index.search(queries, k, filter=filter)


@pytest.fixture
def index():
    made = FlatIndex(8, "sqeuclidean")
    made.add(np.random.default_rng(0).standard_normal((100, 8)))
    return Counting(made)


@pytest.fixture(params=["compiled", "dict"])
def cached(request, index):
    return SimilarityCache(index, 50, cache={} if request.param == "dict" else None)


QUERIES = np.random.default_rng(1).standard_normal((6, 8)).astype(np.float32)


def assert_same(given, wanted):
    np.testing.assert_array_equal(given.ids, wanted.ids)
    np.testing.assert_array_equal(given.distances, wanted.distances)


def test_second_search_does_not_reach_the_index(cached, index):
    wanted = index.index.search(QUERIES, 4)
    assert_same(cached.search(QUERIES, 4), wanted)
    assert_same(
        cached.search(QUERIES[::-1], 4), type(wanted)(wanted.ids[::-1], wanted.distances[::-1])
    )
    assert index.asked == [6]
    assert cached.stats() == {"hits": 6, "misses": 6, "hit_rate": 0.5, "size": 6}


def test_only_new_queries_are_searched(cached, index):
    cached.search(QUERIES[[0, 2]], 3)
    batch = QUERIES[[1, 0, 2, 1, 5]]
    assert_same(cached.search(batch, 3), index.index.search(batch, 3))
    assert index.asked == [2, 2]


def test_k_and_contents_are_part_of_the_question(cached, index):
    cached.search(QUERIES, 3)
    assert cached.search(QUERIES, 4).ids.shape == (6, 4)
    index.index.add(QUERIES, ids=np.arange(500, 506))
    assert cached.search(QUERIES, 3).ids[:, 0].tolist() == list(range(500, 506))
    index.index.remove(np.arange(500, 506))
    assert cached.search(QUERIES, 3).ids.max() < 100
    assert index.asked == [6, 6, 6, 6]


def test_two_indexes_may_share_a_mapping(index):
    other = FlatIndex(8, "sqeuclidean")
    other.add(QUERIES, ids=np.arange(1000, 1006))
    shared = {}
    assert SimilarityCache(index, cache=shared).search(QUERIES, 1).ids.max() < 100
    assert SimilarityCache(other, cache=shared).search(QUERIES, 1).ids.min() >= 1000


def test_filtered_searches_are_not_kept(cached, index):
    assert cached.search(QUERIES, 2, filter=[4, 5]).ids.max() <= 5
    assert cached.search(QUERIES, 2, filter=[4]).ids[0].tolist() == [4, -1]
    assert cached.stats()["size"] == 0
    assert index.asked == [6, 6]


def test_results_are_the_callers_own(cached, index):
    first = cached.search(QUERIES, 2)
    first.ids[:], first.distances[:] = -5, 0
    assert_same(cached.search(QUERIES, 2), index.index.search(QUERIES, 2))


def test_it_holds_at_most_its_size(index):
    cached = SimilarityCache(index, 3)
    for row in QUERIES:
        cached.search(row[None], 1)
    assert cached.stats()["size"] == 3
    cached.clear()
    assert cached.stats()["size"] == 0


def test_no_queries_no_results(cached):
    assert cached.search(np.empty((0, 8)), 3).ids.shape == (0, 3)


def test_wrong_arguments_are_named(cached, index):
    with pytest.raises(ValueError, match="k is 0"):
        cached.search(QUERIES, 0)
    with pytest.raises(ValueError, match="the index has 8"):
        cached.search(np.eye(3), 1)
    with pytest.raises(ValueError, match="maxsize is 0"):
        SimilarityCache(index, 0)
