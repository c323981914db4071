"""The contract of a metric: what `pairwise_distances`, `nearest` and the indexes rely on.

Derive a test class, name the metric, and say what the distance of two rows is:

    class TestChebyshev(MetricContract):
        metric = Metric("chebyshev", function=...)

        def distance(self, a, b):
            return max(abs(x - y) for x, y in zip(a, b))
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from raudo.similarity import Metric, nearest, pairwise_distances
from raudo.similarity.metrics import metric_of

__all__ = ["MetricContract"]


class MetricContract:
    """Tests for pytest, or for a `unittest.TestCase` that derives from both."""

    metric: ClassVar[str | Metric]
    tolerance: ClassVar[float] = 1e-4
    is_symmetric: ClassVar[bool] = True
    widths: ClassVar[tuple[int, ...]] = (1, 7, 8, 9, 31, 32, 33, 100)

    def distance(self, a: NDArray[Any], b: NDArray[Any]) -> float:
        """Return the distance of two rows, as plainly as can be."""
        raise AssertionError(f"{type(self).__name__} has no distance()")

    def rows(self, n: int, d: int, seed: int) -> NDArray[Any]:
        """Return n rows of d elements that the metric is for."""
        return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)

    def expected(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
        return np.array([[self.distance(a, b) for b in y] for a in x]).reshape(len(x), len(y))

    def assert_close(self, given: NDArray[Any], wanted: NDArray[Any]) -> None:
        np.testing.assert_allclose(given, wanted, rtol=self.tolerance, atol=self.tolerance)

    def test_it_has_a_name(self) -> None:
        name = metric_of(self.metric).name
        assert name
        assert name == name.lower()

    def test_the_matrix_holds_the_distance_of_every_pair(self) -> None:
        for d in self.widths:
            for q, n in ((1, 1), (3, 2), (13, 35)):
                x, y = self.rows(q, d, d), self.rows(n, d, d + 1)
                given = pairwise_distances(x, y, self.metric)
                assert given.dtype in (np.float32, np.float64)
                self.assert_close(given, self.expected(x, y))

    def test_without_y_it_is_x_to_itself(self) -> None:
        x = self.rows(9, 12, 1)
        self.assert_close(pairwise_distances(x, None, self.metric), self.expected(x, x))

    def test_it_is_symmetric(self) -> None:
        if self.is_symmetric:
            given = pairwise_distances(self.rows(20, 16, 2), None, self.metric)
            self.assert_close(given, given.T)

    def test_no_rows_make_no_distances(self) -> None:
        none, some = self.rows(0, 5, 3), self.rows(4, 5, 3)
        assert pairwise_distances(none, some, self.metric).shape == (0, 4)
        assert pairwise_distances(some, none, self.metric).shape == (4, 0)
        matches = nearest(some, none, 2, self.metric)
        assert (matches.ids == -1).all()
        assert np.isnan(matches.distances).all()
        assert nearest(none, some, 2, self.metric).ids.shape == (0, 2)

    def test_inputs_are_left_alone(self) -> None:
        x = self.rows(11, 8, 4)
        x.flags.writeable = False
        before = x.copy()
        pairwise_distances(x, x, self.metric)
        nearest(x, x, 3, self.metric)
        np.testing.assert_array_equal(x, before)

    def test_the_nearest_are_those_of_the_matrix(self) -> None:
        for q, n, k in ((1, 40, 5), (7, 3, 3), (30, 500, 10)):
            queries, base = self.rows(q, 24, 5), self.rows(n, 24, 6)
            wanted = self.expected(queries, base)
            order = -wanted if metric_of(self.metric).larger_is_nearer else wanted
            best = np.sort(order, axis=1)[:, :k]
            ids, distances = nearest(queries, base, k, self.metric)
            sign = -1 if metric_of(self.metric).larger_is_nearer else 1
            self.assert_close(distances, sign * best)
            self.assert_close(np.take_along_axis(wanted, ids, axis=1), sign * best)

    def test_equal_rows_are_ordered_by_id(self) -> None:
        for q in (1, 12):
            queries = self.rows(q, 10, 7)
            base = np.repeat(self.rows(1, 10, 8), 300, axis=0)
            ids = nearest(queries, base, 6, self.metric).ids
            np.testing.assert_array_equal(ids, np.tile(np.arange(6), (q, 1)))

    def test_threads_change_nothing(self) -> None:
        queries, base = self.rows(150, 20, 9), self.rows(3000, 20, 10)
        alone = nearest(queries, base, 5, self.metric, n_jobs=1)
        together = nearest(queries, base, 5, self.metric, n_jobs=3)
        np.testing.assert_array_equal(alone.ids, together.ids)
        np.testing.assert_array_equal(alone.distances, together.distances)
        np.testing.assert_array_equal(
            pairwise_distances(queries, base, self.metric, n_jobs=1),
            pairwise_distances(queries, base, self.metric, n_jobs=3),
        )
