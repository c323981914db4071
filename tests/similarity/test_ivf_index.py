"""IVFIndex: with all lists the answers of FlatIndex; with few, the wanted share of them."""

import numpy as np
import pytest

from raudo.errors import CorruptEntry
from raudo.similarity import FlatIndex, IVFIndex
from raudo.similarity.index import ivf

METRICS = ("inner", "sqeuclidean", "euclidean", "cosine")


def clustered(n, d=24, seed=0, n_clusters=40):
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((n_clusters, d))
    rows = centres[random.integers(0, n_clusters, n)] + 0.4 * random.standard_normal((n, d))
    return rows.astype(np.float32)


def assert_same(given, wanted):
    np.testing.assert_array_equal(given.ids, wanted.ids)
    np.testing.assert_array_equal(given.distances, wanted.distances)


def both(vectors, metric="inner", ids=None, **options):
    flat, index = FlatIndex(vectors.shape[1], metric), IVFIndex(vectors.shape[1], metric, **options)
    flat.add(vectors, ids)
    index.add(vectors, ids)
    return flat, index


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("storage", ["int8", "bfloat16", "float32"])
def test_all_lists_give_the_answers_of_a_scan(isa, metric, storage):
    flat, index = both(clustered(1500), metric, storage=storage, nlist=37)
    assert index.nlist == 37
    for q in (1, 2, 13, 200):
        queries = clustered(q, seed=1)
        for k in (1, 10, 300):
            wanted = flat.search(queries, k)
            assert_same(index.search(queries, k, nprobe=37), wanted)
            assert_same(index.search(queries, k, nprobe=1000, n_jobs=3), wanted)


@pytest.mark.parametrize("metric", METRICS)
def test_finds_the_wanted_share(metric):
    flat, index = both(clustered(8000), metric)
    assert index.nlist > 100
    queries = clustered(500, seed=1)
    wanted = flat.search(queries, 10)
    for recall in (0.9, 0.99):
        tuned = IVFIndex(24, metric, recall=recall)
        tuned.add(clustered(8000))
        given = tuned.search(queries, 10)
        share = np.mean([np.isin(a, b).mean() for a, b in zip(wanted.ids, given.ids, strict=True)])
        assert share > recall - 0.03
        one_by_one = [tuned.search(queries[i : i + 1], 10).ids[0] for i in range(50)]
        np.testing.assert_array_equal(one_by_one, given.ids[:50])
        np.testing.assert_array_equal(tuned.search(queries, 10, n_jobs=3).ids, given.ids)


def test_distances_are_those_of_the_rows():
    flat, index = both(clustered(6000), "euclidean")
    queries = clustered(20, seed=1)
    given, wanted = index.search(queries, 5, nprobe=3), flat.search(queries, 6000)
    for i in range(20):
        by_id = dict(zip(wanted.ids[i].tolist(), wanted.distances[i].tolist(), strict=True))
        assert [by_id[name] for name in given.ids[i].tolist()] == given.distances[i].tolist()


@pytest.mark.parametrize("storage", ["int8", "bfloat16"])
@pytest.mark.parametrize("metric", METRICS)
def test_copies_alone_answer_as_the_flat_index_of_copies(metric, storage):
    vectors, queries = clustered(900), clustered(30, seed=1)
    flat = FlatIndex(24, metric, storage=storage, rerank=False)
    index = IVFIndex(24, metric, storage=storage, rerank=False, nlist=20)
    flat.add(vectors)
    index.add(vectors)
    assert_same(index.search(queries, 10, nprobe=20), flat.search(queries, 10))


@pytest.mark.parametrize("n", [0, 1, 2, 31, 32, 33, 100])
@pytest.mark.parametrize("nlist", [None, 1, 5])
def test_tiny_indexes(n, nlist):
    flat, index = both(clustered(n), "sqeuclidean", nlist=nlist)
    assert len(index) == n
    queries = clustered(3, seed=1)
    assert_same(index.search(queries, 5, nprobe=9), flat.search(queries, 5))
    assert_same(index.search(queries, 500), flat.search(queries, 500))
    assert index.search(queries[:0], 5).ids.shape == (0, 5)


def hostile_rows(kind, n=700, d=9):
    rows = clustered(n, d)
    if kind == "equal":
        rows[:] = rows[0]
    elif kind == "zeros":
        rows[:] = 0
    elif kind == "nan":
        rows[::2, 3] = np.nan
    elif kind == "all nan":
        rows[:] = np.nan
    elif kind == "infinite":
        rows[::3, 0], rows[1::3, 1] = np.inf, -np.inf
    elif kind == "huge":
        rows[::2] *= np.float32(1e30)
    elif kind == "tiny":
        rows *= np.float32(1e-38)
    elif kind == "twice":
        rows[n // 2 :] = rows[: n - n // 2]
    return rows


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "kind", ["equal", "zeros", "nan", "all nan", "infinite", "huge", "tiny", "twice"]
)
def test_hostile_rows(isa, kind, metric):
    rows = hostile_rows(kind)
    flat, index = both(rows, metric, nlist=8)
    for queries in (rows[:40], clustered(40, 9, seed=1), rows[:1]):
        assert_same(index.search(queries, 12, nprobe=8), flat.search(queries, 12))
        few = index.search(queries, 12, nprobe=1)
        assert few.ids.shape == (len(queries), 12)
        index.search(queries, 12)


@pytest.mark.parametrize("rerank", [True, False])
@pytest.mark.parametrize("n_allowed", [0, 1, 20, 3000, 6000])
def test_filter_says_what_may_be_found(rerank, n_allowed):
    vectors, queries = clustered(6000), clustered(15, seed=1)
    names = np.random.default_rng(2).permutation(10_000)[:6000]
    flat = FlatIndex(24, "cosine", storage="int8", rerank=rerank)
    index = IVFIndex(24, "cosine", rerank=rerank)
    flat.add(vectors, names)
    index.add(vectors, names)
    allowed = names[:n_allowed]
    of_id = np.zeros(allowed.max() + 1 if n_allowed else 0, bool)
    of_id[allowed] = True
    wanted = flat.search(queries, 7, filter=allowed)
    for filter in (allowed, of_id, lambda ids: np.isin(ids, allowed), set(allowed.tolist())):
        assert_same(index.search(queries, 7, filter=filter, nprobe=index.nlist), wanted)
        few = index.search(queries, 7, filter=filter)
        assert np.isin(few.ids[few.ids >= 0], allowed).all()
        assert ((few.ids >= 0).sum(axis=1) == min(7, n_allowed)).all()


def test_as_many_as_there_are_are_found():
    index = IVFIndex(24, "sqeuclidean", recall=0.01)
    index.add(clustered(6000))
    for k in (1, 500, 5999, 6000):
        given = index.search(clustered(3, seed=1), k)
        assert (given.ids >= 0).all()
    assert (index.search(clustered(3, seed=1), 6010).ids[:, 6000:] == -1).all()


def test_lists_are_made_anew_as_the_index_grows():
    index, rows = IVFIndex(24, "inner"), clustered(40_000)
    seen = []
    for lo in range(0, 40_000, 2_500):
        index.add(rows[lo : lo + 2_500])
        seen.append(index.nlist)
    assert seen[0] == 1
    assert len(set(seen)) == 3
    flat = FlatIndex(24, "inner")
    flat.add(rows)
    queries = clustered(50, seed=1)
    assert_same(index.search(queries, 10, nprobe=index.nlist), flat.search(queries, 10))


def test_lists_are_made_anew_when_new_rows_crowd_one():
    index = IVFIndex(24, "sqeuclidean", nlist=50)
    index.add(clustered(3000))
    index.add(clustered(1, seed=5) + 0.3 * clustered(2000, seed=6))
    assert index._state.n_trained == 5000


def test_one_row_at_a_time():
    rows = clustered(300)
    flat, index = both(rows[:100], nlist=6)
    for i in range(100, 300):
        flat.add(rows[i : i + 1])
        index.add(rows[i : i + 1])
    queries = clustered(9, seed=1)
    assert_same(index.search(queries, 9, nprobe=6), flat.search(queries, 9))


def test_removed_rows_are_gone_and_their_places_come_back():
    rows, queries = clustered(6000), clustered(20, seed=1)
    flat, index = both(rows)
    for lo in (0, 1000, 2500, 5990):
        gone = np.arange(lo, min(lo + 1200, 6000))
        assert index.remove(gone) == flat.remove(gone)
        assert index.remove(gone) == 0
        assert len(index) == len(flat)
        np.testing.assert_array_equal(index.ids, np.sort(flat.ids))
        assert_same(index.search(queries, 10, nprobe=index.nlist), flat.search(queries, 10))
    assert index._state.chains.counts.sum() < 5000
    index.remove(index.ids)
    assert len(index) == 0
    assert (index.search(queries, 3).ids == -1).all()
    index.add(rows[:50], np.arange(50))
    assert index.search(rows[:1], 1).ids.tolist() == [[0]]


@pytest.mark.parametrize("rerank", [True, False])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("n", [0, 37, 6000])
def test_file_gives_the_same_index(tmp_path, n, metric, rerank):
    index = IVFIndex(24, metric, rerank=rerank, recall=0.9)
    index.add(clustered(n), np.arange(n) * 3)
    index.remove(np.arange(0, n, 17) * 3)
    index.save(tmp_path / "rows.index")
    index.save(tmp_path / "rows.index")
    loaded = IVFIndex.load(tmp_path / "rows.index")
    assert (loaded.dim, loaded.metric, loaded.storage) == (24, index.metric, "int8")
    assert (loaded.nlist, len(loaded)) == (index.nlist, len(index))
    np.testing.assert_array_equal(loaded.ids, index.ids)
    queries = clustered(30, seed=1)
    for nprobe in (None, 2, 1000):
        assert_same(
            loaded.search(queries, 8, nprobe=nprobe), index.search(queries, 8, nprobe=nprobe)
        )
    assert loaded.add(queries).tolist() == index.add(queries).tolist()
    assert_same(loaded.search(queries, 8), index.search(queries, 8))


def test_a_flat_index_is_not_read_as_lists(tmp_path):
    FlatIndex(3).save(tmp_path / "flat")
    with pytest.raises(CorruptEntry, match="no IVFIndex"):
        IVFIndex.load(tmp_path / "flat")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dim": 0}, "dim is 0"),
        ({"metric": "cityblock"}, "cityblock"),
        ({"metric": "hamming"}, "hamming"),
        ({"storage": "bits"}, "storage is 'bits'"),
        ({"nlist": 0}, "nlist is 0"),
        ({"recall": 0}, "recall is 0"),
        ({"recall": 1.5}, "recall is 1.5"),
        ({"recall": float("nan")}, "recall is nan"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        IVFIndex(**({"dim": 4} | options))


def test_wrong_arguments_are_named():
    index = IVFIndex(4)
    index.add(np.eye(4), ids=[3, 5, 7, 9])
    for call, words in [
        (lambda: index.add(np.eye(3)), "3 columns"),
        (lambda: index.add(np.eye(4), ids=[1]), "ids has 1"),
        (lambda: index.add(np.eye(4), ids=[1, 1, 2, 4]), "1 twice"),
        (lambda: index.add(np.eye(4), ids=[0, 1, 2, 7]), "id 7 is in"),
        (lambda: index.search(np.eye(4), 0), "k is 0"),
        (lambda: index.search(np.eye(4), 1, nprobe=0), "nprobe is 0"),
        (lambda: index.search(np.eye(4), 1, filter=lambda ids: [True]), "filter returned"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    assert len(index) == 4
    assert "4 vectors in 1 lists" in repr(index)


def test_what_fails_leaves_the_index_as_it_was(monkeypatch):
    rows = clustered(400)
    flat, index = both(rows[:300], nlist=5)

    def fails(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(ivf.IVFIndex, "_maintained", fails)
        with pytest.raises(MemoryError):
            index.add(rows[300:] * 3)
        with pytest.raises(MemoryError):
            index.remove([1, 2, 3])
    assert len(index) == 300
    queries = clustered(9, seed=1)
    assert_same(index.search(queries, 9, nprobe=5), flat.search(queries, 9))
    flat.add(rows[300:])
    index.add(rows[300:])
    assert_same(index.search(queries, 9, nprobe=5), flat.search(queries, 9))


def test_many_lists_of_copies_alone_are_searched() -> None:
    """Where there are no rows there are no sketches of them, also for queries that look further."""
    rows = np.random.default_rng(3).standard_normal((6000, 64)).astype(np.float32)
    index = IVFIndex(64, "inner", rerank=False)
    index.add(rows)
    assert index.nlist > 100
    found = index.search(rows[:300], 10)
    best = np.argsort(-(rows[:300] @ rows.T), axis=1)[:, :10]
    hits = [len(set(a) & set(b)) for a, b in zip(found.ids.tolist(), best.tolist(), strict=True)]
    assert np.mean(hits) > 8
