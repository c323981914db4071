"""Exact search over rows kept in memory: every row is looked at, and none is missed."""

from __future__ import annotations

import os
import secrets
import threading
from operator import index
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raudo.errors import CorruptEntry
from raudo.similarity._arrays import Pair, matrix, pack_bits, rows_of
from raudo.similarity.index._copies import COPIED_STORAGES, MOST_COLUMNS, Copies
from raudo.similarity.index._file import read_arrays, write_arrays
from raudo.similarity.index._ids import Filter, allowed_of, id_array, next_ids, refuse_known
from raudo.similarity.metrics import Form, Metric, metric_of
from raudo.similarity.search import check_k, search_rows
from raudo.types import Matches

__all__ = ["FlatIndex"]

_STORAGES = ("float32", *COPIED_STORAGES, "bits")


class _Rows(NamedTuple):
    """What a search sees: the first `n` of arrays whose seen rows never change."""

    vectors: NDArray[Any]  # (0, d) where the copies are all there is
    ids: NDArray[np.int64]
    copies: Copies | None
    n: int
    largest_id: int
    version: str


class FlatIndex:
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

    Thread-safe: searches run at once, beside an `add` or `remove` too, and see the index as it was
    when they began. Memory is that of the vectors (4 bytes an element; int8 adds 1, bfloat16 2) and
    8 bytes an id, up to twice that after adds.
    """

    def __init__(
        self,
        dim: SupportsIndex,
        metric: str | Metric = "inner",
        *,
        storage: str = "float32",
        rerank: bool = True,
    ) -> None:
        self._dim = index(dim)
        if self._dim < 1:
            raise ValueError(f"dim is {self._dim}, at least 1 is wanted")
        self._metric = metric_of(metric)
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
        self._storage = storage
        self._rerank = bool(rerank)
        self._keeps_rows = storage not in COPIED_STORAGES or self._rerank
        self._width = -(-self._dim // 8) if storage == "bits" else self._dim
        self._token = secrets.token_hex(8)
        self._n_changes = 0
        self._lock = threading.Lock()
        dtype = np.uint8 if storage == "bits" else np.float32
        self._rows = _Rows(
            np.empty((0, self._width), dtype), np.empty(0, np.int64), None, 0, -1, ""
        )
        self._publish(self._rows)

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def metric(self) -> Metric:
        return self._metric

    @property
    def storage(self) -> str:
        return self._storage

    @property
    def version(self) -> str:
        """Names the contents: changes with every add and remove, and is no other index's."""
        return self._rows.version

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids, in the order in which they were added; a copy."""
        rows = self._rows
        return rows.ids[: rows.n].copy()

    def __len__(self) -> int:
        return self._rows.n

    def __repr__(self) -> str:
        return (
            f"FlatIndex(dim={self._dim}, metric={self._metric.name!r}, storage={self._storage!r}): "
            f"{len(self)} vectors"
        )

    def _publish(self, rows: _Rows) -> None:
        self._n_changes += 1
        self._rows = rows._replace(version=f"{self._token}-{self._n_changes}")

    # --- changing -----------------------------------------------------------------------------

    def add(self, vectors: ArrayLike, ids: ArrayLike | None = None) -> NDArray[np.int64]:
        """Add vectors (m, dim) and return their ids: those given, or the next numbers.

        Ids are whole numbers from 0. One that is there already, or twice in `ids`, is a ValueError:
        remove it first. All vectors are added, or none. Amortised O(m dim).
        """
        added = self._checked("vectors", vectors)
        names = None if ids is None else id_array("ids", ids)
        if names is not None and len(names) != len(added):
            raise ValueError(f"ids has {len(names)} entries, vectors has {len(added)} rows")
        with self._lock:
            rows = self._rows
            if names is None:
                names = next_ids(len(added), rows.largest_id)
            else:
                refuse_known(names, rows.ids[: rows.n], rows.largest_id)
            if not len(added):
                return names
            n = rows.n + len(added)
            stored, stored_ids, copies = rows.vectors, rows.ids, rows.copies
            if copies is None and self._storage in COPIED_STORAGES:
                copies = Copies.empty(self._metric, self._storage, self._dim, added)
            # Searches may still read the old arrays: they are left as they are.
            if n > len(stored_ids):
                capacity = max(n, 2 * rows.n)
                stored_ids = np.empty(capacity, np.int64)
                stored_ids[: rows.n] = rows.ids[: rows.n]
                if self._keeps_rows:
                    stored = np.empty((capacity, self._width), rows.vectors.dtype)
                    stored[: rows.n] = rows.vectors[: rows.n]
                if copies is not None:
                    copies = copies.with_capacity(capacity)
            stored_ids[rows.n : n] = names
            if self._keeps_rows:
                stored[rows.n : n] = added
            if copies is not None:
                copies.write(added, np.arange(rows.n, n))
            largest = max(rows.largest_id, int(names.max()))
            self._publish(_Rows(stored, stored_ids, copies, n, largest, ""))
        return names

    def remove(self, ids: ArrayLike) -> int:
        """Remove the vectors of these ids; return how many there were. O(n dim)."""
        names = id_array("ids", np.atleast_1d(np.asarray(ids)), lowest=None)
        with self._lock:
            rows = self._rows
            stays = ~np.isin(rows.ids[: rows.n], names)
            n = int(np.count_nonzero(stays))
            if n < rows.n:
                vectors = rows.vectors[: rows.n][stays] if self._keeps_rows else rows.vectors
                copies = None if rows.copies is None else rows.copies.taken(np.flatnonzero(stays))
                kept_ids = rows.ids[: rows.n][stays]
                self._publish(_Rows(vectors, kept_ids, copies, n, rows.largest_id, ""))
            return rows.n - n

    def _checked(self, name: str, vectors: ArrayLike) -> NDArray[Any]:
        """Return vectors as they are stored."""
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

    # --- searching ----------------------------------------------------------------------------

    def search(
        self,
        queries: ArrayLike,
        k: SupportsIndex,
        *,
        filter: Filter | None = None,
        n_jobs: SupportsIndex | None = None,
    ) -> Matches:
        """Find the k nearest of each query (q, dim); -1 and NaN where there are fewer.

        Args:
            queries: (q, dim).
            k: How many.
            filter: What may be found: whole numbers are the ids allowed; a bool array says it by id
                (`filter[id]`, what lies beyond its end is not allowed); a callable gets all ids as
                an int64 array and returns a bool array as long.
            n_jobs: Threads; see `nearest`.

        Ties go to the smaller id. With `inner` the larger is the nearer, and `distances` are inner
        products.
        """
        wanted = check_k(k)
        asked = self._checked("queries", queries)
        rows = self._rows
        vectors, ids = rows.vectors[: rows.n], rows.ids[: rows.n]
        allowed = None if filter is None else allowed_of(filter, ids)
        if rows.copies is not None:
            kept = vectors if self._keeps_rows else None
            return rows.copies.search(asked, kept, rows.n, wanted, n_jobs, ids, allowed)
        if allowed is not None and np.count_nonzero(allowed) * 2 < rows.n:
            vectors, ids, allowed = vectors[allowed], ids[allowed], None
        kind = "bits" if self._storage == "bits" else "f32"
        return search_rows(
            self._metric, Pair(asked, vectors, kind, self._dim), wanted, n_jobs, ids, allowed
        )

    # --- on disk ------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file, atomically; a search or an add may go on meanwhile."""
        rows = self._rows
        meta = {
            "kind": "flat",
            "dim": self._dim,
            "metric": self._metric.name,
            "storage": self._storage,
            "rerank": self._rerank,
            "largest_id": rows.largest_id,
        }
        arrays: dict[str, NDArray[Any]] = {"ids": rows.ids[: rows.n]}
        if self._keeps_rows:
            arrays["vectors"] = rows.vectors[: rows.n]  # copies are made again, faster than read
        elif rows.copies is not None:
            arrays |= rows.copies.to_arrays(rows.n)
        write_arrays(
            path,
            meta,
            {name: a.astype(a.dtype.newbyteorder("<"), copy=False) for name, a in arrays.items()},
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FlatIndex:
        """Read what `save` wrote. A damaged file is a `CorruptEntry`, which is a ValueError.

        A metric of one's own must have been registered.
        """
        meta, arrays = read_arrays(path)
        if meta.get("kind") != "flat" or "ids" not in arrays:
            raise CorruptEntry(f"{os.fspath(path)} holds no FlatIndex")
        loaded = cls(
            meta["dim"],
            meta["metric"],
            storage=meta["storage"],
            rerank=meta.get("rerank", True),
        )
        ids = arrays.pop("ids")
        n, empty, copies = len(ids), loaded._rows, None
        vectors = arrays.pop("vectors", empty.vectors)
        n_rows = n if loaded._keeps_rows else 0
        wanted = (empty.vectors.dtype, (n_rows, loaded._width), np.dtype(np.int64), 1)
        if (vectors.dtype, vectors.shape, ids.dtype, ids.ndim) != wanted:
            raise CorruptEntry(f"{os.fspath(path)} has arrays of the wrong shape")
        if loaded._storage in COPIED_STORAGES and n:
            copies = Copies.empty(loaded._metric, loaded._storage, loaded._dim, vectors)
            if loaded._keeps_rows:
                copies = copies.with_capacity(n)
                copies.write(vectors, np.arange(n))
            else:
                copies = copies.from_arrays(arrays, n)
                if copies is None:
                    raise CorruptEntry(f"{os.fspath(path)} has copies of the wrong shape")
        loaded._publish(_Rows(vectors, ids, copies, n, meta["largest_id"], ""))
        return loaded
