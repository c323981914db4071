"""Compact copies: with the rows behind them they answer as an exhaustive scan does."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raudo.errors import CorruptEntry
from raudo.similarity import FlatIndex, nearest

METRICS = ("inner", "sqeuclidean", "euclidean", "cosine")
STORAGES = ("int8", "bfloat16")


def rows_of(n, d, seed=0):
    """Rows of unlike sizes, some odd: NaN, infinite, zeros, enormous, tiny, twice the same."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d)).astype(np.float32)
    rows *= rng.choice(np.float32([1, 1, 1e-3, 100]), (n, 1))
    for place, value in zip(range(3, n, 5), (np.nan, np.inf, 0, 1e30, 1e-35, 1e-40), strict=False):
        rows[place] = value
    rows[n // 2] = rows[n // 3]
    return rows


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("n", "d", "q", "k"),
    [
        (1, 1, 1, 1),
        (5, 3, 7, 10),
        (32, 4, 12, 3),
        (33, 17, 13, 4),
        (700, 31, 100, 7),
        (300, 129, 3, 300),
    ],
)
def test_answers_as_an_exhaustive_scan_does(isa, metric, storage, n, d, q, k):
    rows, queries = rows_of(n, d), rows_of(q, d, 1)
    queries[q // 2] = rows[n // 2]
    index = FlatIndex(d, metric, storage=storage)
    for part in np.array_split(rows, 3):
        index.add(part)
    found, wanted = index.search(queries, k), nearest(queries, rows, k, metric)
    np.testing.assert_array_equal(found.ids, wanted.ids)
    np.testing.assert_array_equal(found.distances, wanted.distances)


@settings(max_examples=60)
@given(
    st.sampled_from(METRICS),
    st.sampled_from(STORAGES),
    st.integers(1, 90),
    st.integers(1, 40),
    st.integers(1, 30),
    st.integers(1, 12),
    st.floats(-30, 30),
    st.integers(0, 2**32 - 1),
)
def test_any_shape_and_size(metric, storage, n, d, q, k, exponent, seed):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d)) * 10.0**exponent + rng.choice([0.0, 10.0**exponent])
    queries = rng.standard_normal((q, d)) * 10.0**exponent
    rows, queries = rows.astype(np.float32), queries.astype(np.float32)
    index = FlatIndex(d, metric, storage=storage)
    index.add(rows)
    found, wanted = index.search(queries, k), nearest(queries, rows, k, metric)
    np.testing.assert_array_equal(found.ids, wanted.ids)


@pytest.mark.parametrize("storage", STORAGES)
def test_filters_and_removals(storage):
    rows, queries = rows_of(500, 24), rows_of(9, 24, 1)
    index, plain = FlatIndex(24, storage=storage), FlatIndex(24)
    for each in (index, plain):
        each.add(rows, ids=np.arange(500) * 2)
        assert each.remove(np.arange(0, 300, 6)) == 50
        each.add(rows[:7], ids=np.arange(7) + 5000)
    for allowed in (None, [2, 4, 5001], lambda ids: ids % 4 == 0):
        found, wanted = (each.search(queries, 6, filter=allowed) for each in (index, plain))
        np.testing.assert_array_equal(found.ids, wanted.ids)


@pytest.mark.parametrize("rerank", [True, False])
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("n", [0, 1, 77])
def test_file_gives_the_same_index(tmp_path, storage, rerank, n):
    index = FlatIndex(20, "euclidean", storage=storage, rerank=rerank)
    index.add(np.random.default_rng(0).standard_normal((n, 20)), ids=np.arange(n) * 3)
    index.save(tmp_path / "index")
    loaded = FlatIndex.load(tmp_path / "index")
    queries = np.random.default_rng(1).standard_normal((5, 20))
    for _ in range(2):
        found, wanted = loaded.search(queries, 4), index.search(queries, 4)
        np.testing.assert_array_equal(found.ids, wanted.ids)
        np.testing.assert_array_equal(found.distances, wanted.distances)
        for each in (index, loaded):
            each.add(np.ones((40, 20)))
            each.remove([0])


def test_damaged_file_is_refused(tmp_path):
    index = FlatIndex(8, storage="int8", rerank=False)
    index.add(np.eye(8))
    index.save(tmp_path / "index")
    content = bytearray((tmp_path / "index").read_bytes())
    content[-70] ^= 1
    (tmp_path / "index").write_bytes(content)
    with pytest.raises(CorruptEntry, match="damaged"):
        FlatIndex.load(tmp_path / "index")


@pytest.mark.parametrize(("storage", "least"), [("int8", 0.95), ("bfloat16", 0.98)])
@pytest.mark.parametrize("metric", METRICS)
def test_copies_alone_come_close(isa, metric, storage, least):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((2000, 64)).astype(np.float32)
    queries = rows[:50] + 0.3 * rng.standard_normal((50, 64)).astype(np.float32)
    index = FlatIndex(64, metric, storage=storage, rerank=False)
    index.add(rows)
    found, wanted = index.search(queries, 10), nearest(queries, rows, 10, metric)
    shared = [len(np.intersect1d(*pair)) for pair in zip(found.ids, wanted.ids, strict=True)]
    assert np.mean(shared) / 10 >= least
    scale = np.abs(wanted.distances).max()
    np.testing.assert_allclose(found.distances, wanted.distances, atol=0.03 * scale)


def test_threads_change_nothing_and_an_add_disturbs_no_search():
    rows, queries = rows_of(4000, 16), rows_of(300, 16, 1)
    index = FlatIndex(16, storage="int8")
    index.add(rows)
    wanted = index.search(queries, 5, n_jobs=1)
    for q in (2, 300):
        found = index.search(queries[:q], 5, n_jobs=3)
        np.testing.assert_array_equal(found.ids, wanted.ids[:q])
    stop, errors = threading.Event(), []

    def search():
        while not stop.is_set():
            found = index.search(queries, 5, filter=lambda ids: ids < 4000)
            if not np.array_equal(found.ids, wanted.ids):
                errors.append(found)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(60):
        index.add(rows[:33] * 2)
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: FlatIndex(3, "cityblock", storage="int8"), "not cityblock"),
        (lambda: FlatIndex(70_000, storage="bfloat16"), "at most 65536"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
