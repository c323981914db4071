"""Exact search over rows kept in memory: every row is looked at, and none is missed."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Self, SupportsIndex, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raudo.similarity._arrays import Pair, count, matrix, pack_bits, rows_of
from raudo.similarity._device import search_there
from raudo.similarity._elsewhere import Home, home_of
from raudo.similarity._threads import jobs_for
from raudo.similarity.index._base import VectorIndex, capacity_for
from raudo.similarity.index._copies import COPIED_STORAGES, MOST_COLUMNS, PANEL_ROWS, Copies
from raudo.similarity.index._file import Arrays, fitting
from raudo.similarity.index._ids import Filter
from raudo.similarity.metrics import Form, Metric
from raudo.similarity.search import search_rows
from raudo.types import Matches

__all__ = ["FlatIndex"]

_STORAGES = ("float32", *COPIED_STORAGES, "bits")


class Rows(NamedTuple):
    """What a search sees: the first `n_taken` of arrays whose seen rows never change."""

    vectors: NDArray[Any]  # (0, d) where the copies are all there is
    ids: NDArray[np.int64]  # -1: removed
    copies: Copies | None
    n_taken: int
    n: int
    largest_id: int
    version: str

    def live(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.ids[: self.n_taken] >= 0)


class FlatIndex(VectorIndex[Rows]):
    """Vectors by id, searched exhaustively; results are exact and do not depend on threads.

    Args:
        dim: Number of elements of a vector; of bits, with `storage="bits"`.
        metric: A name or a `Metric`; see `pairwise_distances`.
        storage: `"float32"`; `"int8"` or `"bfloat16"`, for `inner`, `sqeuclidean`, `euclidean` and
            `cosine`: compact copies are searched first, at several times the speed; or `"bits"` for
            `hamming` and `jaccard`: eight to a byte, given as bool rows of `dim` or as packed uint8
            rows, whose padding bits must be zero.
        rerank: With `"int8"` and `"bfloat16"`, keep the float32 rows too and let them decide: the
            answers are those of `"float32"`, digit for digit. False keeps the copies alone, a
            quarter or half the memory: distances are then those between copies, a few thousandths
            of the product of the norms away, and about one in a hundred of the nearest is missed.

    Thread-safe: searches run at once, beside an `add`, `update` or `remove` too, and see the index
    as it was when they began. Memory is that of the vectors (4 bytes an element; int8 adds 1,
    bfloat16 2) and 8 bytes an id, up to twice that after adds, and half more after removals. An
    `add` takes amortised O(m dim), an `update` or a `remove` O(n) beside.

    Vectors lie where the first of them lay. PyTorch's or CuPy's on a device of its own stay there
    (as float32, with a metric that is no function), searches are made there, within 256 MB of
    temporaries, and an `add` copies what is there already. A loaded index lies in the CPU's memory.
    """

    _file_kind = "flat"
    _lies_anywhere: ClassVar[bool] = True  # also on a device of its own

    def __init__(
        self,
        dim: SupportsIndex,
        metric: str | Metric = "inner",
        *,
        storage: str = "float32",
        rerank: bool = True,
    ) -> None:
        super().__init__(dim, metric, storage)
        if storage not in _STORAGES:
            raise ValueError(f"storage is {storage!r}, one of {', '.join(_STORAGES)} is wanted")
        on_bits = self._metric.function is None and "bits" in self._metric.types
        if storage == "bits" and not on_bits:
            raise ValueError(f"storage 'bits' is for hamming and jaccard, not {self._metric.name}")
        if storage != "bits" and self._metric.sets and on_bits:
            raise ValueError(f"metric {self._metric.name} wants storage='bits'")
        if storage in COPIED_STORAGES:
            if self._metric.form not in (Form.INNER, Form.SQEUCLIDEAN, Form.COSINE):
                raise ValueError(
                    f"storage {storage!r} is for inner, sqeuclidean, euclidean and cosine, "
                    f"not {self._metric.name}"
                )
            if self._dim > MOST_COLUMNS:
                raise ValueError(
                    f"dim is {self._dim}, at most {MOST_COLUMNS} is wanted with storage {storage!r}"
                )
        self._keeps_rows = storage not in COPIED_STORAGES or bool(rerank)
        self._width = -(-self._dim // 8) if storage == "bits" else self._dim
        dtype = np.uint8 if storage == "bits" else np.float32
        nothing = np.empty((0, self._width), dtype)
        self._publish(Rows(nothing, np.empty(0, np.int64), None, 0, 0, -1, ""))

    @classmethod
    def over(
        cls,
        vectors: ArrayLike,
        metric: str | Metric = "inner",
        *,
        storage: str = "float32",
    ) -> Self:
        """Make an index of vectors (n, dim), under the ids 0 to n - 1, which stay where they are.

        float32 in C order is not copied: do not change it while the index is used. The index never
        does; the first `add` or `update` takes a copy. Beside the vectors `"int8"` takes a byte an
        element, `"float32"` 8 bytes a vector.
        """
        given = matrix("vectors", vectors)
        made = cls(given.shape[1], metric, storage=storage)
        rows = made._checked("vectors", given)
        copies = None
        if storage in COPIED_STORAGES:
            copies = Copies.empty(made._metric, storage, made._dim, rows).with_capacity(len(rows))
            copies.write(rows, np.arange(len(rows)))
        n = len(rows)
        made._publish(Rows(rows, np.arange(n), copies, n, n, n - 1, ""))
        return made

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids, in the order in which they were added or updated; a copy."""
        return super().ids

    # --- changing -----------------------------------------------------------------------------

    def _checked(self, name: str, vectors: ArrayLike) -> NDArray[Any]:
        if type(vectors) is not np.ndarray:
            home = home_of(vectors)
            if home is not None and not home.is_seen_by_numpy:
                return self._checked_there(home, name, vectors)
        if self._home is not None:
            raise TypeError(f"{name} lies in the CPU's memory, the index lies in {self._home}")
        array = matrix(name, vectors)
        if self._storage == "bits":
            if array.dtype == np.bool_ and array.shape[1] == self._dim:
                return pack_bits(array)
            if array.dtype != np.uint8 or array.shape[1] != self._width:
                raise ValueError(
                    f"{name} is {array.dtype} of shape {array.shape}, "
                    f"bool of {self._dim} columns or packed uint8 of {self._width} is wanted"
                )
            padding = (1 << (8 * self._width - self._dim)) - 1
            if padding and (array[:, -1] & padding).any():
                raise ValueError(f"{name} has bits set beyond the {self._dim} of a vector")
            return rows_of(array, np.uint8)
        if array.shape[1] != self._dim:
            raise ValueError(f"{name} has {array.shape[1]} columns, the index has {self._dim}")
        with np.errstate(over="ignore"):  # beyond float32 is infinite
            return rows_of(array, np.float32)

    @property
    def _home(self) -> Home | None:
        """Where the vectors lie; None for NumPy."""
        vectors: Any = self._state.vectors
        return None if isinstance(vectors, np.ndarray) else home_of(vectors)

    def _checked_there(self, home: Home, name: str, vectors: Any) -> NDArray[Any]:
        """Return vectors that lie on a device as they are stored there."""
        is_plain = self._storage == "float32" and self._metric.function is None
        if not (is_plain and self._lies_anywhere):
            raise TypeError(
                f"{name} lies in {home}: that is for a FlatIndex with storage='float32' and a "
                f"metric that is no function of NumPy arrays, not for {self!r}"
            )
        if self._state.n_taken and self._home != home:
            there = self._home or "the CPU's memory"
            raise TypeError(f"{name} lies in {home}, the index lies in {there}")
        rows = home.rows(name, vectors, home.xp.float32)
        if rows.shape[1] != self._dim:
            raise ValueError(f"{name} has {rows.shape[1]} columns, the index has {self._dim}")
        return cast(NDArray[Any], rows)

    def _with_rows_there(self, state: Rows, rows: Any, names: NDArray[np.int64]) -> Rows:
        home, n = home_of(rows), state.n_taken
        assert home is not None, "rows were checked"
        vectors = home.joined([state.vectors[:n, :], rows]) if n else home.copied(rows)
        ids = np.concatenate((state.ids[:n], names))
        largest = max(state.largest_id, int(names.max()))
        return Rows(vectors, ids, None, n + len(names), state.n + len(names), largest, "")

    def _with_rows(self, state: Rows, rows: Any, names: NDArray[np.int64]) -> Rows:
        if not isinstance(rows, np.ndarray):
            return self._with_rows_there(state, rows, names)
        old, n_taken = state.n_taken, state.n_taken + len(rows)
        vectors, ids, copies = state.vectors, state.ids, state.copies
        if copies is None and self._storage in COPIED_STORAGES:
            copies = Copies.empty(self._metric, self._storage, self._dim, rows)
        kept = (vectors,) if copies is None else (vectors, copies.panels)
        capacity = capacity_for(n_taken, kept, ids)
        if capacity is not None:
            ids = np.full(capacity, -1, np.int64)
            ids[:old] = state.ids[:old]
            if self._keeps_rows:
                vectors = np.zeros((capacity, self._width), state.vectors.dtype)
                vectors[:old] = state.vectors[:old]
            if copies is not None:
                copies = copies.with_capacity(capacity)
        ids[old:n_taken] = names
        if self._keeps_rows:
            vectors[old:n_taken] = rows
        if copies is not None:
            copies.write(rows, np.arange(old, n_taken))
        largest = max(state.largest_id, int(names.max()))
        return Rows(vectors, ids, copies, n_taken, state.n + len(rows), largest, "")

    def _without(self, state: Rows, gone: NDArray[np.int64]) -> Rows:
        # Searches may still read the old arrays: they are left as they are.
        ids, copies = state.ids.copy(), state.copies
        ids[gone] = -1
        if copies is not None:
            copies = copies.without(gone)
        return state._replace(ids=ids, copies=copies, n=state.n - len(gone))

    def _maintained(self, state: Rows) -> Rows:
        """Close the gaps where they are a third of all."""
        if state.n_taken < PANEL_ROWS or 3 * state.n > 2 * state.n_taken:
            return state
        live, vectors, home = state.live(), state.vectors, self._home
        if home is not None:
            vectors = home.take(vectors, home.put(live))
        elif self._keeps_rows:
            vectors = vectors[live]
        return state._replace(
            vectors=vectors,
            ids=state.ids[live],
            copies=None if state.copies is None else state.copies.taken(live),
            n_taken=len(live),
        )

    # --- searching ----------------------------------------------------------------------------

    def search(
        self,
        queries: ArrayLike,
        k: SupportsIndex,
        *,
        filter: Filter | None = None,
        nprobe: SupportsIndex | None = None,
        n_jobs: SupportsIndex | None = None,
    ) -> Matches:
        """Find the k nearest of each query (q, dim); -1 and NaN where there are fewer.

        Args:
            queries: (q, dim).
            k: How many.
            filter: What may be found: whole numbers are the ids allowed; a bool array says it by id
                (`filter[id]`, what lies beyond its end is not allowed); a callable gets all ids as
                an int64 array and returns a bool array as long.
            nprobe: For an `IVFIndex` in this one's place; here every row is looked at.
            n_jobs: Threads; see `nearest`.

        Ties go to the smaller id. With `inner` the larger is the nearer, and `distances` are inner
        products. Queries that are not NumPy's are answered in kind, where they lie.
        """
        if nprobe is not None:
            count("nprobe", nprobe)
        found = self._searched(queries, k, filter, n_jobs)
        if type(queries) is not np.ndarray and type(found.ids) is np.ndarray:
            home = home_of(queries)
            if home is not None:
                return Matches(*map(home.put, found))
        return found

    def _find(
        self,
        state: Rows,
        queries: Any,
        k: int,
        allowed: NDArray[np.bool_] | None,
        n_allowed: int,
        n_jobs: SupportsIndex | None,
    ) -> Matches:
        n = state.n_taken
        vectors: Any = state.vectors[:n, :]
        ids = state.ids[:n]
        if allowed is not None:
            allowed = allowed[:n]
        if not isinstance(queries, np.ndarray):
            jobs_for(n_jobs, 0)
            if n:
                if allowed is None and state.n < n:
                    allowed = ids >= 0
                return Matches(*search_there(self._metric, queries, vectors, k, ids, allowed))
            queries, vectors = np.empty(queries.shape, np.float32), np.empty((0, self._dim), "f4")
        if state.copies is not None:
            kept = vectors if self._keeps_rows else None
            return state.copies.search(queries, kept, n, k, n_jobs, ids, allowed)
        if allowed is None and state.n < n:
            allowed = ids >= 0
        if allowed is not None and n_allowed * 2 < n:
            vectors, ids, allowed = vectors[allowed], ids[allowed], None
        kind = "bits" if self._storage == "bits" else "f32"
        return search_rows(
            self._metric, Pair(queries, vectors, kind, self._dim), k, n_jobs, ids, allowed
        )

    # --- on disk ------------------------------------------------------------------------------

    def _to_file(self, state: Rows) -> tuple[dict[str, Any], Arrays]:
        arrays: Arrays = {"ids": state.ids[: state.n_taken]}
        if self._keeps_rows:
            vectors, home = state.vectors[: state.n_taken, :], self._home
            arrays["vectors"] = vectors if home is None else home.fetch(vectors)
        if state.copies is not None:
            arrays |= state.copies.to_arrays(state.n_taken)
        return {"rerank": self._keeps_rows}, arrays

    @classmethod
    def _from_file(cls, meta: dict[str, Any], arrays: Arrays) -> Self:
        loaded = cls(meta["dim"], meta["metric"], storage=meta["storage"], rerank=meta["rerank"])
        empty, copies = loaded._state, None
        n = len(arrays["ids"])
        ids = fitting(arrays, "ids", n, empty.ids)
        vectors = empty.vectors
        if loaded._keeps_rows:
            vectors = fitting(arrays, "vectors", n, vectors)
        if loaded._storage in COPIED_STORAGES and n:
            none = Copies.empty(loaded._metric, loaded._storage, loaded._dim, empty.vectors)
            copies = none.from_arrays(arrays, n)
        loaded._state = Rows(vectors, ids, copies, n, int(meta["n"]), int(meta["largest_id"]), "")
        return loaded
