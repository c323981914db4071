"""FlatIndex: rows by id, filters, files, and threads that search while others change it."""

import numpy as np
import pytest

from raudo.errors import CorruptEntry
from raudo.similarity import FlatIndex, Metric, nearest, register_metric


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_finds_what_nearest_finds():
    vectors, queries = normal((500, 24)), normal((9, 24), 1)
    for metric in ("inner", "sqeuclidean", "euclidean", "cosine", "cityblock", "hamming"):
        index = FlatIndex(24, metric)
        assert index.add(vectors).tolist() == list(range(500))
        given, wanted = index.search(queries, 5), nearest(queries, vectors, 5, metric)
        np.testing.assert_array_equal(given.ids, wanted.ids)
        np.testing.assert_array_equal(given.distances, wanted.distances)


def test_ids_are_the_callers():
    index = FlatIndex(2, "sqeuclidean")
    index.add([[0, 0], [1, 0]], ids=[70, 30])
    index.add([[2, 0]])
    assert index.ids.tolist() == [70, 30, 71]
    assert index.search([[0.9, 0]], 3).ids.tolist() == [[30, 70, 71]]
    assert len(index) == 3


@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_an_index_over_vectors_leaves_them_where_they_are(storage):
    vectors, queries = normal((300, 24)), normal((9, 24), 1)
    kept = vectors.copy()
    index = FlatIndex.over(vectors, "inner", storage=storage)
    assert index._state.vectors is vectors
    given, wanted = index.search(queries, 5), nearest(queries, vectors, 5, "inner")
    np.testing.assert_array_equal(given.ids, wanted.ids)
    np.testing.assert_allclose(given.distances, wanted.distances, rtol=1e-5)
    index.update([0], queries[:1])
    index.remove([1, 2])
    assert index.add(queries[1:3]).tolist() == [300, 301]
    assert index.search(queries[:2], 1).ids.tolist() == [[0], [300]]
    assert len(index) == 300
    np.testing.assert_array_equal(vectors, kept)


def test_an_index_over_other_numbers_takes_a_copy():
    index = FlatIndex.over([[1, 0], [0, 1]], "inner")
    assert index.search([[0.0, 2.0]], 1).ids.tolist() == [[1]]
    assert len(FlatIndex.over(np.empty((0, 3)), storage="int8")) == 0
    with pytest.raises(ValueError, match="vectors"):
        FlatIndex.over([1.0, 2.0])


def test_ties_go_to_the_smaller_id_not_to_the_earlier_row():
    index = FlatIndex(3, "inner")
    index.add(np.ones((4, 3)), ids=[9, 2, 7, 4])
    for q in (1, 10):
        assert index.search(np.ones((q, 3)), 3).ids[-1].tolist() == [2, 4, 7]


def test_remove_counts_what_there_was():
    index = FlatIndex(4)
    index.add(np.eye(4), ids=[1, 2, 3, 4])
    assert index.remove([2, 99, 4, 4]) == 2
    assert index.remove(2) == 0
    assert index.ids.tolist() == [1, 3]
    assert set(index.search(np.eye(4), 4).ids.ravel()) == {1, 3, -1}
    index.add(np.eye(4)[1:2], ids=[2])
    assert index.search(np.eye(4)[1:2], 1).ids.tolist() == [[2]]


def test_ids_that_run_out_are_a_clear_error():
    index, largest = FlatIndex(2), 2**63 - 1
    index.add([[1, 0]], ids=[largest - 1])
    with pytest.raises(ValueError, match="ids run out"):
        index.add(np.eye(2))
    assert index.add([[0, 1]]).tolist() == [largest]
    with pytest.raises(ValueError, match="ids run out"):
        index.add([[0, 1]])
    assert index.search([[0, 1]], 1).ids.tolist() == [[largest]]


def test_padding_bits_that_are_set_are_refused():
    index = FlatIndex(13, "hamming", storage="bits")
    index.add(np.array([[255, 0b1111_1000]], np.uint8))
    for call in (index.add, lambda rows: index.search(rows, 1)):
        with pytest.raises(ValueError, match="beyond the 13"):
            call(np.array([[0, 0b0000_0100]], np.uint8))


def test_empty_index_has_no_matches():
    given = FlatIndex(4).search(np.eye(4), 2)
    assert (given.ids == -1).all()
    assert np.isnan(given.distances).all()


@pytest.mark.parametrize("n_allowed", [0, 1, 20, 180, 200])
@pytest.mark.parametrize("q", [2, 15])
def test_filter_says_what_may_be_found(n_allowed, q):
    vectors, queries = normal((200, 8)), normal((q, 8), 1)
    names = np.random.default_rng(2).permutation(1000)[:200]
    index = FlatIndex(8, "cosine")
    index.add(vectors, ids=names)
    allowed = np.sort(names[:n_allowed])
    of_id = np.zeros(allowed.max() + 1 if n_allowed else 0, bool)
    of_id[allowed] = True
    wanted = FlatIndex(8, "cosine")
    wanted.add(vectors[:n_allowed], ids=names[:n_allowed])
    answer = wanted.search(queries, 7)
    for filter in (allowed, of_id, lambda ids: np.isin(ids, allowed), set(allowed.tolist())):
        given = index.search(queries, 7, filter=filter)
        np.testing.assert_array_equal(given.ids, answer.ids)
        np.testing.assert_array_equal(given.distances, answer.distances)


def test_bits_are_stored_packed():
    bits = np.random.default_rng(0).random((300, 100)) < 0.5
    index = FlatIndex(100, "hamming", storage="bits")
    index.add(bits[:200])
    index.add(np.packbits(bits[200:], axis=1))
    given = index.search(bits[:6], 3)
    assert given.ids[:, 0].tolist() == list(range(6))
    wanted = nearest(bits[:6], bits, 3, "hamming")
    np.testing.assert_array_equal(given.ids, wanted.ids)
    np.testing.assert_allclose(given.distances, wanted.distances)


def test_version_names_the_contents():
    index, other = FlatIndex(2), FlatIndex(2)
    seen = {index.version, other.version}
    index.add(np.eye(2))
    seen.add(index.version)
    index.remove([0])
    seen.add(index.version)
    index.remove([0])
    seen.add(index.version)
    assert len(seen) == 4


@pytest.mark.parametrize(("metric", "storage"), [("cosine", "float32"), ("jaccard", "bits")])
@pytest.mark.parametrize("n", [0, 37])
def test_file_gives_the_same_index(tmp_path, metric, storage, n):
    index = FlatIndex(20, metric, storage=storage)
    rows = normal((n, 20))
    index.add(rows > 0 if storage == "bits" else rows, ids=np.arange(n) * 3)
    index.save(tmp_path / "rows.index")
    index.save(tmp_path / "rows.index")
    loaded = FlatIndex.load(tmp_path / "rows.index")
    assert (loaded.dim, loaded.metric, loaded.storage) == (20, index.metric, storage)
    assert loaded.ids.tolist() == index.ids.tolist()
    queries = normal((4, 20), 1)
    queries = queries > 0 if storage == "bits" else queries
    np.testing.assert_array_equal(loaded.search(queries, 5).ids, index.search(queries, 5).ids)
    assert loaded.add(queries).tolist() == index.add(queries).tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["rows.index"]


def test_every_damaged_byte_is_noticed(tmp_path):
    path = tmp_path / "rows.index"
    index = FlatIndex(3, "inner")
    index.add(normal((4, 3)))
    index.save(path)
    whole = path.read_bytes()
    padding = 0
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        try:
            loaded = FlatIndex.load(path)
        except CorruptEntry:
            continue
        padding += 1  # between the arrays: harmless
        assert loaded.ids.tolist() == index.ids.tolist()
    assert padding < 128
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptEntry):
            FlatIndex.load(path)


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "rows.index"
    index = FlatIndex(3)
    index.add(np.eye(3))
    index.save(path)
    index.add(np.eye(3))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        index.save(path)
    assert len(FlatIndex.load(path)) == 3
    assert [found.name for found in tmp_path.iterdir()] == ["rows.index"]
    with pytest.raises(FileNotFoundError):
        FlatIndex.load(tmp_path / "none")


def test_metric_of_ones_own():
    register_metric(Metric("test-flat", function=lambda x, y: np.abs(x[:, :1] - y[:, 0])))
    index = FlatIndex(2, "test-flat")
    index.add([[1, 0], [5, 0], [3, 0]])
    assert index.search([[4.9, 7]], 2).ids.tolist() == [[1, 2]]


def test_wrong_arguments_are_named():
    index = FlatIndex(3)
    index.add(np.eye(3), ids=[5, 6, 7])
    for call, error, message in (
        (lambda: FlatIndex(0), ValueError, "dim is 0"),
        (lambda: FlatIndex(2.5), TypeError, "dim is 2.5"),
        (
            lambda: FlatIndex(3, "inner", storage="int4"),
            ValueError,
            "one of float32, int8, bfloat16",
        ),
        (lambda: FlatIndex(3, "inner", storage="bits"), ValueError, "not inner"),
        (lambda: FlatIndex(3, "jaccard"), ValueError, "wants storage='bits'"),
        (lambda: index.add(np.eye(4)), ValueError, "vectors has 4 columns, the index has 3"),
        (lambda: index.add(np.eye(3), ids=[1]), ValueError, "ids has 1 entries"),
        (lambda: index.add(np.eye(3), ids=[1, 1, 2]), ValueError, "ids has 1 twice"),
        (lambda: index.add(np.eye(3), ids=[8, 6, 9]), ValueError, "id 6 is in the index already"),
        (lambda: index.add(np.eye(3), ids=[-1, 1, 2]), ValueError, "ids has -1"),
        (lambda: index.add(np.eye(3), ids=[0.5, 1, 2]), TypeError, "whole numbers"),
        (lambda: index.search(np.eye(3)[0], 1), ValueError, "queries has shape"),
        (lambda: index.search(np.eye(3), 1, filter=[0.5]), TypeError, "filter is float64"),
        (lambda: index.search(np.eye(3), 1, filter=lambda ids: ids), ValueError, "filter returned"),
        (lambda: FlatIndex(9, "hamming", storage="bits").add(np.eye(9)), ValueError, "uint8 of 2"),
    ):
        with pytest.raises(error, match=message):
            call()
    assert index.ids.tolist() == [5, 6, 7]
