"""SimilarityCache: earlier answers for the same query and index, and for nothing else."""

import os
import threading

import numpy as np
import pytest

from raudo.similarity import FlatIndex, IVFIndex, SimilarityCache


class Counting:
    """An index that notes which queries reach it."""

    def __init__(self, index):
        self.index = index
        self.asked = []

    @property
    def version(self):
        return self.index.version

    def search(self, queries, k, **options):
        self.asked.append(len(queries))
        return self.index.search(queries, k, **options)


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


def test_options_are_part_of_the_question_but_for_threads(index):
    lists = IVFIndex(8, nlist=10)
    lists.add(np.random.default_rng(0).standard_normal((400, 8)))
    index.index = lists
    cached = SimilarityCache(index)
    for nprobe in (1, 10, 1):
        assert_same(
            cached.search(QUERIES, 5, nprobe=nprobe), lists.search(QUERIES, 5, nprobe=nprobe)
        )
    cached.search(QUERIES, 5, nprobe=1, n_jobs=1)
    assert index.asked == [6, 6]


class Changing(Counting):
    """An index that changes while it is searched, a few times."""

    def __init__(self, index, n_changes):
        super().__init__(index)
        self.n_changes = n_changes

    def search(self, queries, k, **options):
        if self.n_changes:
            self.n_changes -= 1
            self.index.update(np.arange(100), np.random.default_rng(9).random((100, 8)) + 7)
        return super().search(queries, k, **options)


@pytest.mark.parametrize("n_changes", [1, 2, 3, 50])
def test_rows_of_one_answer_are_of_one_version(n_changes):
    made = FlatIndex(8, "sqeuclidean")
    made.add(np.random.default_rng(0).standard_normal((100, 8)))
    index = Changing(made, 0)
    cached = SimilarityCache(index)
    cached.search(QUERIES[:3], 4)
    index.n_changes = n_changes
    assert_same(cached.search(QUERIES, 4), made.search(QUERIES, 4))
    index.n_changes = 0
    assert_same(cached.search(QUERIES, 4), made.search(QUERIES, 4))


def test_queries_that_differ_in_type_or_width_are_different(index):
    bits = FlatIndex(16, "hamming", storage="bits")
    bits.add(np.random.default_rng(0).random((50, 16)) < 0.5)
    shared = {}
    packed = np.array([[1, 0], [0, 1]], np.uint8)
    for queries in (packed, np.unpackbits(packed, axis=1).view(bool)):
        assert_same(SimilarityCache(bits, cache=shared).search(queries, 3), bits.search(queries, 3))
    assert len(shared) == 4
    zeros = np.zeros((2, 8), np.float32)
    zeros[1] = -0.0
    for queries in (zeros, zeros.astype(np.float64), zeros[:, ::-1], np.asfortranarray(zeros)):
        given = SimilarityCache(index, cache=shared).search(queries, 3)
        assert_same(given, index.index.search(queries, 3))


def test_a_failed_search_keeps_nothing(cached, index, monkeypatch):
    def fails(*_, **options):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(index.index, "search", fails)
        with pytest.raises(MemoryError):
            cached.search(QUERIES, 3)
    assert cached.stats() == {"hits": 0, "misses": 0, "hit_rate": 0.0, "size": 0}
    assert_same(cached.search(QUERIES, 3), index.index.search(QUERIES, 3))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_versions_of_forked_processes_differ(index):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        index.index.remove([0])
        os.write(writer, index.index.version.encode())
        os._exit(0)
    os.waitpid(child, 0)
    index.index.remove([1])
    assert os.read(reader, 100).decode() != index.index.version
    os.close(reader)
    os.close(writer)


def test_threads_beside_changes_get_what_the_index_had():
    """Row i is at distance 0 from query i in one version and at 1 in the next, all at once."""
    rows = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    moved = rows + np.eye(8, dtype=np.float32)[0]
    made = FlatIndex(8, "sqeuclidean")
    made.add(rows)
    cached, problems, is_over = SimilarityCache(made, 64), [], threading.Event()

    def look(seed):
        random = np.random.default_rng(seed)
        while not is_over.is_set():
            some = random.choice(20, 6, replace=False)
            found = cached.search(rows[some], 20)
            own = found.distances[found.ids == some[:, None]]
            if not (np.allclose(own, 0) or np.allclose(own, 1, atol=1e-4)):
                problems.append(own)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for round in range(100):
        made.update(np.arange(20), rows if round % 2 else moved)
    is_over.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not problems
    assert cached.stats()["hits"] > 0
