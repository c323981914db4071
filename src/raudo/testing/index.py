"""The contract of an index: what callers and `SimilarityCache` rely on.

Derive a test class, and say how to make an index:

    class TestMine(IndexContract):
        def make(self, dim, metric):
            return MyIndex(dim, metric)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from raudo.similarity import FlatIndex
from raudo.types import Index, Matches

__all__ = ["IndexContract"]


class IndexContract:
    """Tests for pytest."""

    metrics: ClassVar[tuple[str, ...]] = ("inner", "sqeuclidean", "euclidean", "cosine")
    recall: ClassVar[float] = 0.9

    def make(self, dim: int, metric: str) -> Index:
        """Return an empty index."""
        raise AssertionError(f"{type(self).__name__} has no make()")

    def rows(self, n: int, seed: int = 0) -> NDArray[np.float32]:
        return np.random.default_rng(seed).standard_normal((n, 12)).astype(np.float32)

    def both(self, metric: str, n: int) -> tuple[Index, FlatIndex]:
        """Return the index and an exact one, with the same n rows."""
        index, exact = self.make(12, metric), FlatIndex(12, metric)
        for each in (index, exact):
            each.add(self.rows(n), np.arange(n) * 2)
        return index, exact

    def check(self, given: Matches, wanted: Matches) -> None:
        """Check that most is found, each at its distance, and nothing where there is nothing."""
        np.testing.assert_array_equal(given.ids >= 0, wanted.ids >= 0)
        np.testing.assert_array_equal(np.isnan(given.distances), wanted.ids < 0)
        pairs = zip(given.ids, wanted.ids, strict=True)
        shares = [np.isin(b[b >= 0], a).mean() for a, b in pairs if (b >= 0).any()]
        assert np.mean(shares or [1.0]) >= self.recall
        is_same = given.ids == wanted.ids
        np.testing.assert_allclose(
            given.distances[is_same], wanted.distances[is_same], rtol=1e-3, atol=1e-4
        )

    def test_finds_most(self) -> None:
        for metric in self.metrics:
            index, exact = self.both(metric, 400)
            assert (len(index), index.dim) == (400, 12)
            queries = self.rows(20, seed=1)
            self.check(index.search(queries, 10), exact.search(queries, 10))
            self.check(index.search(queries[:1], 1), exact.search(queries[:1], 1))

    def test_fewer_than_k_are_minus_one(self) -> None:
        for n in (0, 1, 5):
            index, exact = self.both("inner", n)
            self.check(index.search(self.rows(3), 8), exact.search(self.rows(3), 8))
            assert index.search(self.rows(0), 8).ids.shape == (0, 8)
            allowed = [0, 4, 99]
            self.check(
                index.search(self.rows(3), 8, filter=allowed),
                exact.search(self.rows(3), 8, filter=allowed),
            )

    def test_changes_are_seen(self) -> None:
        for metric in self.metrics[:2]:
            index, exact = self.both(metric, 200)
            seen, queries = {index.version}, self.rows(9, seed=1)
            changes: list[Any] = [
                lambda each: each.remove(np.arange(0, 40)),
                lambda each: each.update([50, 60], self.rows(2, seed=3)),
                lambda each: each.add(self.rows(30, seed=4), np.arange(30) + 5000),
                lambda each: each.remove(np.arange(100, 390)),
                lambda each: each.remove(each.ids),
                lambda each: each.add(self.rows(7, seed=5)),
            ]
            for change in changes:
                change(index)
                change(exact)
                assert index.version not in seen
                seen.add(index.version)
                assert len(index) == len(exact)
                assert sorted(index.ids.tolist()) == sorted(exact.ids.tolist())
                self.check(index.search(queries, 10), exact.search(queries, 10))

    def test_mistakes_are_told(self) -> None:
        index, _ = self.both("inner", 5)
        for call in (
            lambda: index.add(self.rows(1), [2]),
            lambda: index.add(self.rows(1)[:, :3]),
            lambda: index.update([1], self.rows(1)),
            lambda: index.search(self.rows(1), 0),
        ):
            with pytest.raises(ValueError, match=r".+"):
                call()
        assert index.remove([1, 3]) == 0
        assert len(index) == 5

    def test_within_a_radius(self) -> None:
        index, exact = self.both("sqeuclidean", 200)
        given = index.search_within(self.rows(5, seed=1), 20.0)
        wanted = exact.search_within(self.rows(5, seed=1), 20.0)
        assert len(given.offsets) == 6
        assert np.isin(given.ids, wanted.ids).all()
        assert len(given.ids) >= self.recall * len(wanted.ids)

    def test_a_file_gives_the_same_index(self, tmp_path: Path) -> None:
        for n in (0, 200):
            index, exact = self.both("cosine", n)
            for each in (index, exact):
                each.remove(np.arange(0, 60))
            index.save(tmp_path / "rows")
            loaded = type(index).load(tmp_path / "rows")
            assert loaded.version != index.version
            for each in (loaded, exact):
                each.remove(np.arange(60, 90))
                each.add(self.rows(20, seed=2), np.arange(20))
            self.check(loaded.search(self.rows(5), 10), exact.search(self.rows(5), 10))
        whole = (tmp_path / "rows").read_bytes()
        for damaged in (whole[: len(whole) // 2], whole[:99] + b"?" + whole[100:], b""):
            (tmp_path / "rows").write_bytes(damaged)
            with pytest.raises((ValueError, OSError)):
                type(index).load(tmp_path / "rows")
