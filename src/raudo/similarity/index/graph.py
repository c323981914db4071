"""Graphs of other libraries behind the seam of raudo's indexes: hnswlib and usearch.

A graph proposes, the rows decide: they are kept as in `FlatIndex`, so that distances are exact, and
a query to which the graph gives fewer rows than there are is searched exhaustively. A search with a
filter is, always. So none of them raises, forgets or crashes, whatever the graph does.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from typing import Any, ClassVar, Protocol, Self, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from raudo.similarity.index._file import Arrays
from raudo.similarity.index.flat import FlatIndex, Rows
from raudo.similarity.metrics import Form, Metric
from raudo.similarity.search import best
from raudo.types import Matches

__all__ = ["Graph", "GraphIndex"]

_QUERIES_AT_A_TIME = 256


class Graph(Protocol):
    """What a library must offer. Labels are positions, each of them added once."""

    def add(self, rows: NDArray[np.float32], labels: NDArray[np.int64]) -> None: ...
    def remove(self, labels: NDArray[np.int64]) -> None: ...
    def find(self, queries: NDArray[np.float32], k: int, n_jobs: int) -> NDArray[np.int64] | None:
        """Return (q, k) labels, -1 for none; None where there are fewer than k."""
        ...

    def to_bytes(self) -> NDArray[np.uint8]: ...


class GraphIndex(FlatIndex):
    """Vectors by id, of which a graph proposes those near a query.

    Args:
        dim: Number of elements of a vector.
        metric: `inner`, `sqeuclidean`, `euclidean` or `cosine`.
        options: For the library.

    Thread-safe; the graph is used by one call at a time. Memory is that of the rows twice (the
    graph has its own) and of the graph. Where a third of the rows has been removed the graph is
    made anew.
    """

    library: ClassVar[str]
    _lies_anywhere = False

    def __init__(self, dim: SupportsIndex, metric: str | Metric = "inner", **options: Any) -> None:
        self._options = options
        self._graph: Graph | None = None
        self._graph_lock = threading.Lock()
        super().__init__(dim, metric)
        if self._metric.form not in (Form.INNER, Form.SQEUCLIDEAN, Form.COSINE):
            raise ValueError(
                f"metric is {self._metric.name!r}, "
                "inner, sqeuclidean, euclidean or cosine is wanted"
            )
        self._graph = self._make_graph(None)

    @abstractmethod
    def _make_graph(self, saved: NDArray[np.uint8] | None) -> Graph:
        """Return an empty graph, or the one that was saved."""

    # --- changing -----------------------------------------------------------------------------

    def _with_rows(self, state: Rows, rows: NDArray[Any], names: NDArray[np.int64]) -> Rows:
        made = super()._with_rows(state, rows, names)
        with self._graph_lock:
            assert self._graph is not None
            self._graph.add(rows, np.arange(state.n_taken, made.n_taken))
        return made

    def _without(self, state: Rows, gone: NDArray[np.int64]) -> Rows:
        with self._graph_lock:
            assert self._graph is not None
            self._graph.remove(gone)
        return super()._without(state, gone)

    def _maintained(self, state: Rows) -> Rows:
        made = super()._maintained(state)
        if made.n_taken != state.n_taken:  # rows have other positions now
            graph = self._make_graph(None)
            graph.add(made.vectors[: made.n_taken], np.arange(made.n_taken))
            with self._graph_lock:
                self._graph = graph
        return made

    # --- searching ----------------------------------------------------------------------------

    def _find(
        self,
        state: Rows,
        queries: NDArray[Any],
        k: int,
        allowed: NDArray[np.bool_] | None,
        n_allowed: int,
        n_jobs: SupportsIndex | None,
    ) -> Matches:
        labels = None
        if allowed is None and state.n and len(queries):
            jobs = -1 if n_jobs is None else int(n_jobs)
            with self._graph_lock:
                # After a compaction labels are those of another state.
                if self._state is state and self._graph is not None:
                    labels = self._graph.find(queries, min(k, state.n), jobs)
        if labels is None:
            return super()._find(state, queries, k, allowed, n_allowed, n_jobs)
        is_row = (labels >= 0) & (labels < state.n_taken)
        is_row &= state.ids[np.where(is_row, labels, 0)] >= 0
        ids = np.full((len(queries), k), -1, np.int64)
        distances = np.full((len(queries), k), np.nan, np.float32)
        for lo in range(0, len(queries), _QUERIES_AT_A_TIME):
            some = slice(lo, lo + _QUERIES_AT_A_TIME)
            ids[some, : labels.shape[1]], distances[some, : labels.shape[1]] = self._measured(
                state, queries[some], np.where(is_row[some], labels[some], -1)
            )
        lacks = np.flatnonzero((ids[:, : min(k, state.n)] < 0).any(axis=1))
        if len(lacks):
            exact = super()._find(state, queries[lacks], k, None, state.n, n_jobs)
            ids[lacks], distances[lacks] = exact
        return Matches(ids, distances)

    def _measured(
        self, state: Rows, queries: NDArray[Any], labels: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return ids and distances of proposed rows, the nearest first."""
        rows = state.vectors[np.maximum(labels, 0)].astype(np.float64)
        x = queries.astype(np.float64)[:, None]
        with np.errstate(all="ignore"):
            if self._metric.form == Form.SQEUCLIDEAN:
                scores = ((rows - x) ** 2).sum(axis=2)
            else:
                scores = -(rows * x).sum(axis=2)
            if self._metric.form == Form.COSINE:
                scores = 1 + scores / (np.linalg.norm(rows, axis=2) * np.linalg.norm(x, axis=2))
        scores[labels < 0] = np.nan
        names = np.where(np.isnan(scores), -1, state.ids[np.maximum(labels, 0)])
        scores, names = best(scores, names, labels.shape[1])
        if self._metric.larger_is_nearer:
            scores = -scores
        return names, np.sqrt(scores) if self._metric.root else scores

    # --- on disk ------------------------------------------------------------------------------

    def _contents(self) -> tuple[dict[str, Any], Arrays]:
        with self._lock:  # rows and graph of one moment
            return super()._contents()

    def _to_file(self, state: Rows) -> tuple[dict[str, Any], Arrays]:
        meta, arrays = super()._to_file(state)
        assert self._graph is not None
        with self._graph_lock:
            arrays["graph"] = self._graph.to_bytes()
        return meta | {"options": self._options}, arrays

    @classmethod
    def _from_file(cls, meta: dict[str, Any], arrays: Arrays) -> Self:
        loaded = cls(meta["dim"], meta["metric"], **meta["options"])
        flat = FlatIndex._from_file(meta, arrays)
        loaded._state = flat._state
        loaded._graph = loaded._make_graph(arrays["graph"])
        return loaded
