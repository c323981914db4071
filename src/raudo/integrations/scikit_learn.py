"""A scikit-learn transformer to the k nearest rows, on raudo's kernels.

In place of `sklearn.neighbors.KNeighborsTransformer`, in front of whatever takes a precomputed
graph of neighbours:

    make_pipeline(KNeighborsTransformer(n_neighbors=15), TSNE(metric="precomputed", init="random"))

Exact by brute force, which in more than some twenty dimensions is faster than trees.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from raudo.similarity import nearest
from raudo.similarity.metrics import metric_of

__all__ = ["KNeighborsTransformer"]

_NAMES = {"l1": "cityblock", "l2": "euclidean", "manhattan": "cityblock"}


# scikit-learn has no types
class KNeighborsTransformer(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Transform rows into a sparse graph of their nearest among the rows it was fitted to.

    Args:
        mode: "distance" for distances in the graph, "connectivity" for ones.
        n_neighbors: How many; in mode "distance" one more, as each row fitted is among its own
            (the convention of scikit-learn's transformer of that name).
        metric: As in `raudo.similarity.pairwise_distances`, or scikit-learn's "l1", "l2" and
            "manhattan"; "inner" is no distance.
        n_jobs: Threads; None takes all cores for big work, -1 always.

    After `fit`: `n_samples_fit_`, `effective_metric_`, `n_features_in_`.
    """

    def __init__(
        self,
        *,
        mode: Literal["distance", "connectivity"] = "distance",
        n_neighbors: int = 5,
        metric: str = "euclidean",
        n_jobs: int | None = None,
    ) -> None:
        self.mode = mode
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> Self:
        """Keep the rows of X, (n, d) finite numbers; float32 stays float32."""
        if self.mode not in ("distance", "connectivity"):
            raise ValueError(f"mode is {self.mode!r}, 'distance' or 'connectivity' is wanted")
        metric = metric_of(_NAMES.get(self.metric, self.metric))
        if metric.larger_is_nearer:
            raise ValueError(f"metric {metric.name!r} is no distance: choose another")
        if self.n_neighbors < 1:
            raise ValueError(f"n_neighbors is {self.n_neighbors}, at least 1 is wanted")
        self._rows = validate_data(self, X, dtype=(np.float64, np.float32))
        self.n_samples_fit_ = len(self._rows)
        self.effective_metric_ = metric.name
        self._n_features_out = self.n_samples_fit_
        return self

    def kneighbors(
        self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> Any:
        """Return the (q, k) distances and indices of the nearest, nearest first.

        Without X those of the rows fitted, each without itself.
        """
        check_is_fitted(self)
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        is_self = X is None
        rows = self._rows if is_self else self._checked(X)
        if k + is_self > self.n_samples_fit_:
            raise ValueError(
                f"n_neighbors is {k}, at most {self.n_samples_fit_ - is_self} are there: "
                f"n_samples_fit = {self.n_samples_fit_}, n_samples = {len(rows)}"
            )
        found = nearest(rows, self._rows, k + is_self, self.effective_metric_, self.n_jobs)
        ids, distances = found.ids, found.distances
        if is_self:
            ids, distances = _without_self(ids, distances)
        return (distances, ids) if return_distance else ids

    def kneighbors_graph(
        self, X: Any = None, n_neighbors: int | None = None, mode: str = "connectivity"
    ) -> sparse.csr_matrix:
        """Return the nearest as a sparse matrix, (q, n_samples_fit_), `n_neighbors` in each row."""
        if mode not in ("distance", "connectivity"):
            raise ValueError(f"mode is {mode!r}, 'distance' or 'connectivity' is wanted")
        distances, ids = self.kneighbors(X, n_neighbors)
        values = distances if mode == "distance" else np.ones_like(distances)
        offsets = np.arange(0, ids.size + 1, ids.shape[1])
        shape = len(ids), self.n_samples_fit_
        return sparse.csr_matrix((values.ravel(), ids.ravel(), offsets), shape=shape)

    def transform(self, X: Any) -> sparse.csr_matrix:
        """Return the graph from the rows of X to those fitted, each among its own neighbours."""
        check_is_fitted(self)
        n = self.n_neighbors + (self.mode == "distance")
        return self.kneighbors_graph(X, n, self.mode)

    def fit_transform(self, X: Any, y: Any = None) -> sparse.csr_matrix:
        """Return the graph of the rows of X among themselves."""
        return self.fit(X).transform(X)

    def _checked(self, X: Any) -> NDArray[Any]:
        rows: NDArray[Any] = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        return rows

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _without_self(
    ids: NDArray[np.int64], distances: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Leave each row's own number out; where enough others are as near, the last one."""
    keep = ids != np.arange(len(ids))[:, None]
    keep[keep.all(axis=1), -1] = False
    shape = len(ids), ids.shape[1] - 1
    return ids[keep].reshape(shape), distances[keep].reshape(shape)
