"""Every index passes the contract, those of other libraries too."""

import sys

import numpy as np
import pytest

from raudo.errors import MissingExtra
from raudo.similarity import FlatIndex, IVFIndex, SimilarityCache
from raudo.similarity.index import create_index, index_class
from raudo.testing import IndexContract


class TestFlat(IndexContract):
    recall = 1

    def make(self, dim, metric):
        return create_index("flat", dim, metric)


class TestLists(IndexContract):
    def make(self, dim, metric):
        return create_index("ivf", dim, metric, nlist=8)


class TestHnswlib(IndexContract):
    def make(self, dim, metric):
        pytest.importorskip("hnswlib")
        return create_index("hnswlib", dim, metric)


class TestUsearch(IndexContract):
    def make(self, dim, metric):
        pytest.importorskip("usearch")
        return create_index("usearch", dim, metric)


def test_indexes_are_found_by_name():
    assert index_class("flat") is FlatIndex
    assert index_class("ivf") is IVFIndex
    with pytest.raises(ValueError, match="index is 'tree', wanted one of: flat, ivf, hnswlib"):
        create_index("tree", 4)


@pytest.mark.parametrize("name", ["hnswlib", "usearch"])
def test_a_library_that_is_not_there_is_named(name, monkeypatch):
    for module in (name, f"{name}.index"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"raudo\[{name}\]"):
        create_index(name, 4)


def test_graphs_can_be_cached():
    pytest.importorskip("hnswlib")
    index = create_index("hnswlib", 6)
    index.add(np.eye(6))
    cached = SimilarityCache(index)
    for _ in range(2):
        assert cached.search(np.eye(6), 1).ids[:, 0].tolist() == list(range(6))
    assert cached.stats()["hits"] == 6
