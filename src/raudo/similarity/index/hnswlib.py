"""hnswlib's graph as an index (`pip install raudo[hnswlib]`)."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raudo.errors import MissingExtra
from raudo.similarity.index.graph import Graph, GraphIndex
from raudo.similarity.metrics import Form

__all__ = ["HnswlibIndex"]

_SPACES = {Form.INNER: "ip", Form.SQEUCLIDEAN: "l2", Form.COSINE: "cosine"}


class HnswlibIndex(GraphIndex):
    """An index over hnswlib's graph.

    Options: `M` (16), `ef_construction` (200) and `ef` (100), how many candidates a search keeps.
    """

    library = "hnswlib"
    _file_kind = "hnswlib"
    _checked_arrays = ("ids", "graph")

    def _make_graph(self, saved: NDArray[np.uint8] | None) -> Graph:
        return _Graph(_SPACES[self._metric.form], self._dim, saved, **self._options)


class _Graph:
    def __init__(
        self,
        space: str,
        dim: int,
        saved: NDArray[np.uint8] | None,
        M: int = 16,  # noqa: N803 - hnswlib's word
        ef_construction: int = 200,
        ef: int = 100,
    ) -> None:
        try:
            import hnswlib
        except ImportError as error:
            raise MissingExtra("hnswlib", "hnswlib") from error
        self._index = hnswlib.Index(space, dim)
        self._ef = ef
        if saved is None:
            self._index.init_index(1, M=M, ef_construction=ef_construction)
        else:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "graph"
                path.write_bytes(saved.tobytes())
                self._index.load_index(str(path))

    def add(self, rows: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        if not len(rows):  # hnswlib would read the first of them
            return
        needed = self._index.element_count + len(rows)
        if needed > self._index.max_elements:
            self._index.resize_index(max(needed, 2 * self._index.max_elements))
        self._index.add_items(rows, labels)

    def remove(self, labels: NDArray[np.int64]) -> None:
        for label in labels.tolist():
            with suppress(RuntimeError):  # removed before, by a change that then failed
                self._index.mark_deleted(label)

    def find(self, queries: NDArray[np.float32], k: int, n_jobs: int) -> NDArray[np.int64] | None:
        self._index.set_ef(max(self._ef, k))
        try:
            labels = self._index.knn_query(queries, k, num_threads=n_jobs)[0]
        except RuntimeError:  # it has found fewer than k for one of them
            return None
        found: NDArray[np.int64] = labels.astype(np.int64)
        return found

    def to_bytes(self) -> NDArray[np.uint8]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "graph"
            self._index.save_index(str(path))
            return np.fromfile(path, np.uint8)
