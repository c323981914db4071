"""usearch's graph as an index (`pip install raudo[usearch]`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raudo.errors import MissingExtra
from raudo.similarity.index.graph import Graph, GraphIndex
from raudo.similarity.metrics import Form

__all__ = ["UsearchIndex"]

_METRICS = {Form.INNER: "ip", Form.SQEUCLIDEAN: "l2sq", Form.COSINE: "cos"}


class UsearchIndex(GraphIndex):
    """An index over usearch's graph.

    Options: `connectivity` (16), `expansion_add` (128), `expansion_search` (64), `dtype` ("f32").
    """

    library = "usearch"
    _file_kind = "usearch"
    _checked_arrays = ("ids", "graph")

    def _make_graph(self, saved: NDArray[np.uint8] | None) -> Graph:
        return _Graph(_METRICS[self._metric.form], self._dim, saved, **self._options)


class _Graph:
    def __init__(
        self,
        metric: str,
        dim: int,
        saved: NDArray[np.uint8] | None,
        connectivity: int = 16,
        expansion_add: int = 128,
        expansion_search: int = 64,
        dtype: str = "f32",
    ) -> None:
        try:
            from usearch.index import Index
        except ImportError as error:
            raise MissingExtra("usearch", "usearch") from error
        self._index = Index(
            ndim=dim,
            metric=metric,
            dtype=dtype,
            connectivity=connectivity,
            expansion_add=expansion_add,
            expansion_search=expansion_search,
        )
        if saved is not None:
            self._index.load(saved.tobytes())

    def add(self, rows: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        if len(rows):
            self._index.add(labels.astype(np.uint64), np.ascontiguousarray(rows))

    def remove(self, labels: NDArray[np.int64]) -> None:
        for label in labels.tolist():
            self._index.remove(label)

    def find(self, queries: NDArray[np.float32], k: int, n_jobs: int) -> NDArray[np.int64] | None:
        given = self._index.search(
            np.ascontiguousarray(queries), k, threads=0 if n_jobs < 1 else n_jobs
        )
        keys = np.asarray(given.keys).reshape(len(queries), -1)
        counts = np.asarray(getattr(given, "counts", [len(given)])).reshape(-1, 1)
        labels = np.full((len(queries), k), -1, np.int64)
        n = min(k, keys.shape[1])
        is_found = np.arange(n) < counts
        labels[:, :n][is_found] = keys[:, :n][is_found].astype(np.int64)
        return labels

    def to_bytes(self) -> NDArray[np.uint8]:
        return np.frombuffer(self._index.save() or b"", np.uint8)
