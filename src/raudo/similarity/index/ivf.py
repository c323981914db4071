"""Approximate search in lists: rows near one centre lie together, and few lists are looked into.

The lists (inverted files: Sivic and Zisserman 2003; Jegou, Douze and Schmid 2011) hold compact
copies of rows in panels, and sketches of them (_core/lists). How many lists a query looks into is
found when they are made, by searching for rows that had no part in making them (_tuning).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any, Self, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raudo.similarity._arrays import count, matrix, rows_of
from raudo.similarity.index import _kmeans
from raudo.similarity.index._base import VectorIndex, capacity_for
from raudo.similarity.index._chains import CHAIN_ARRAYS, Chains
from raudo.similarity.index._copies import COPIED_STORAGES, MOST_COLUMNS, PANEL_ROWS, Copies
from raudo.similarity.index._file import Arrays, fitting
from raudo.similarity.index._ids import Filter
from raudo.similarity.index._lists import (
    TUNED_K,
    Lists,
    copies_of_centres,
    near_lists,
    sealed,
    search_lists,
)
from raudo.similarity.index._sketches import Sketches
from raudo.similarity.index._tuning import margins_for
from raudo.similarity.metrics import Form, Metric
from raudo.types import Matches

__all__ = ["IVFIndex"]

_STORAGES = (*COPIED_STORAGES, "float32")
# Below this one list is searched as fast as some of many are.
_FEWEST_ROWS = 5_000
_GROWTH = 4
_MOST_UNEVEN = 2.0
_HELD_OUT = 1_000


class IVFIndex(VectorIndex[Lists]):
    """Vectors by id, of which a search looks at those in the lists nearest to the query.

    Args:
        dim: Number of elements of a vector.
        metric: `inner`, `sqeuclidean`, `euclidean` or `cosine`.
        storage: What is searched first: `"int8"` or `"bfloat16"` copies. `"float32"` keeps int8
            copies too, and always the rows.
        nlist: Number of lists; None takes `4 sqrt(n)`, and one list, all of which is searched, for
            fewer than 5,000 vectors.
        recall: Share of the 10 nearest that a search finds on average, in (0, 1]; for it the number
            of lists looked into is chosen. It is measured on vectors of the index: queries of
            another kind may find fewer.
        rerank: Keep the float32 rows, and let them decide: distances are then exact, and a lone
            search several times as fast. False keeps the copies alone; see `FlatIndex`.

    Lists are made anew, by k-means, when there are four times as many vectors, when they have
    become twice as uneven, or when a third of the vectors are removed: then an `add` or a `remove`
    takes a second or two per 100,000 vectors. Otherwise an `add` takes O(m dim nlist).

    Thread-safe: searches run at once, beside an `add`, `update` or `remove` too, and see the index
    as it was when they began. Memory is that of `FlatIndex` and up to half more (lists are rounded
    up to panels of 32 rows), and a bit an element and 8 bytes a vector for sketches.
    """

    _file_kind = "ivf"
    _checked_arrays = ("ids", "centres", *CHAIN_ARRAYS)

    def __init__(
        self,
        dim: SupportsIndex,
        metric: str | Metric = "inner",
        *,
        storage: str = "int8",
        nlist: SupportsIndex | None = None,
        recall: float = 0.95,
        rerank: bool = True,
    ) -> None:
        super().__init__(dim, metric, storage)
        if self._dim > MOST_COLUMNS:
            raise ValueError(f"dim is {self._dim}, a number from 1 to {MOST_COLUMNS} is wanted")
        if self._metric.form not in (Form.INNER, Form.SQEUCLIDEAN, Form.COSINE):
            raise ValueError(
                f"metric is {self._metric.name!r}, "
                "inner, sqeuclidean, euclidean or cosine is wanted"
            )
        if storage not in _STORAGES:
            raise ValueError(f"storage is {storage!r}, one of {', '.join(_STORAGES)} is wanted")
        self._nlist = None if nlist is None else count("nlist", nlist)
        if isinstance(recall, bool) or not isinstance(recall, SupportsFloat):
            raise TypeError(f"recall is {recall!r}, a number is wanted")
        if not 0 < recall <= 1:
            raise ValueError(f"recall is {recall!r}, a share above 0 and up to 1 is wanted")
        self._recall = float(recall)
        self._keeps_rows = bool(rerank) or storage == "float32"
        self._kind = "int8" if storage == "float32" else storage
        self._publish(self._in_one_list(np.empty((0, self._dim), np.float32), -1))

    @property
    def nlist(self) -> int:
        """How many lists there are at present."""
        return len(self._state.centres)

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids, ascending; a copy."""
        return np.sort(super().ids)

    def __repr__(self) -> str:
        return f"{super().__repr__()} in {self.nlist} lists"

    def _in_one_list(self, first_rows: NDArray[np.float32], largest_id: int) -> Lists:
        """Return a state of no vectors; `first_rows` are such as will be added."""
        centres = np.zeros((1, self._dim), np.float32)
        return sealed(
            Lists(
                metric=self._metric,
                vectors=np.empty((0, self._dim), np.float32),
                ids=np.empty(0, np.int64),
                copies=Copies.empty(self._metric, self._kind, self._dim, first_rows),
                sketches=None,
                chains=Chains.empty(1),
                centres=centres,
                centre_copies=copies_of_centres(self._metric, centres),
                n=0,
                n_trained=0,
                unevenness=1.0,
                margins=(-np.inf,) * len(TUNED_K),
                row_norm=1.0,
                largest_id=largest_id,
                keeps_rows=self._keeps_rows,
            )
        )

    # --- changing -----------------------------------------------------------------------------

    def _checked(self, name: str, vectors: ArrayLike) -> NDArray[np.float32]:
        array = matrix(name, vectors)
        if array.shape[1] != self._dim:
            raise ValueError(f"{name} has {array.shape[1]} columns, the index has {self._dim}")
        with np.errstate(over="ignore"):  # beyond float32 is infinite
            return rows_of(array, np.float32)

    def _with_rows(
        self, state: Lists, rows: NDArray[np.float32], names: NDArray[np.int64]
    ) -> Lists:
        if not state.n:
            state = self._in_one_list(rows, state.largest_id)
            if self._lists_for(len(rows)) > 1:  # they need not lie in one list first
                return self._listed(state, rows, names)
        owners = _kmeans.assign(self._metric, rows, state.centres)
        chains, positions = state.chains.grown(owners)
        vectors, ids, copies, sketches = state.vectors, state.ids, state.copies, state.sketches
        n_places = len(chains.after) * PANEL_ROWS
        if capacity_for(n_places, (vectors, copies.panels), ids) is not None:
            ids = np.full(n_places, -1, np.int64)
            ids[: len(state.ids)] = state.ids
            copies = copies.with_capacity(n_places)
            if self._keeps_rows:
                vectors = np.zeros((n_places, self._dim), np.float32)
                vectors[: len(state.vectors)] = state.vectors
            if sketches is not None:
                sketches = sketches.with_capacity(n_places)
        ids[positions] = names
        copies.write(rows, positions)
        if self._keeps_rows:
            vectors[positions] = rows
        if sketches is not None:
            sketches.write(rows, owners, positions)
        return state._replace(
            vectors=vectors,
            ids=ids,
            copies=copies,
            sketches=sketches,
            chains=chains,
            n=state.n + len(rows),
            largest_id=max(state.largest_id, int(names.max())),
        )

    def _without(self, state: Lists, gone: NDArray[np.int64]) -> Lists:
        # Searches may still read the old arrays: they are left as they are.
        ids = state.ids.copy()
        ids[gone] = -1
        return state._replace(ids=ids, copies=state.copies.without(gone), n=state.n - len(gone))

    def _maintained(self, state: Lists) -> Lists:
        """Make the lists anew where the rows have outgrown them."""
        n_taken, n_lists = int(state.chains.counts.sum()), len(state.centres)
        has_grown = state.n >= _GROWTH * state.n_trained and self._lists_for(state.n) > 1
        is_holey = n_taken > 2 * PANEL_ROWS and state.n * 3 < n_taken * 2
        # Uneven by what has come since: what k-means could not even out, it will not now.
        is_uneven = (
            n_lists > 1
            and state.n > 1.25 * state.n_trained
            and state.chains.unevenness > _MOST_UNEVEN * state.unevenness
        )
        if not (has_grown or is_holey or is_uneven):
            return sealed(state)
        live = state.live()
        if not len(live):
            return self._in_one_list(state.vectors[:0], state.largest_id)
        rows = state.vectors[live] if self._keeps_rows else state.copies.decoded(live)
        copies = None if self._keeps_rows else state.copies.taken(live)
        return self._listed(state, rows, state.ids[live], copies)

    def _lists_for(self, n: int) -> int:
        if self._nlist is not None:
            return self._nlist if n >= self._nlist else 1
        return int(4 * math.sqrt(n)) if n >= _FEWEST_ROWS else 1

    def _listed(
        self,
        state: Lists,
        rows: NDArray[np.float32],
        names: NDArray[np.int64],
        copies: Copies | None = None,
    ) -> Lists:
        """Return these rows in lists made for them; `copies` (None: to be made) go by row."""
        n_lists = self._lists_for(len(rows))
        random = np.random.default_rng(0)
        held_out, rest = np.split(random.permutation(len(rows)), [min(_HELD_OUT, len(rows) // 10)])
        sample = rows[rest[: _kmeans.ROWS_A_CENTRE * n_lists]]
        centres = np.zeros((1, self._dim), np.float32)
        if n_lists > 1:
            centres = _kmeans.train(self._metric, sample, n_lists, random)
        owners = _kmeans.assign(self._metric, rows, centres)
        chains, positions = Chains.empty(len(centres)).grown(owners)
        ids = np.full(len(chains.after) * PANEL_ROWS, -1, np.int64)
        ids[positions] = names
        centre_copies = copies_of_centres(self._metric, centres)
        if copies is None:
            by_position = Copies.empty(self._metric, self._kind, self._dim, rows)
            by_position = by_position.with_capacity(len(ids))
            by_position.write(rows, positions)
        else:
            by_position = copies.taken(np.arange(len(rows)), positions, len(ids))
        vectors, sketches = state.vectors[:0], None
        if self._keeps_rows:
            vectors = np.zeros((len(ids), self._dim), np.float32)
            vectors[positions] = rows
            if len(centres) > 1:
                sketches = Sketches.empty(self._metric.form, centres, centre_copies.shift)
                sketches = sketches.with_capacity(len(ids))
                sketches.write(rows, owners, positions)
        made = sealed(
            state._replace(
                vectors=vectors,
                ids=ids,
                copies=by_position,
                sketches=sketches,
                chains=chains,
                centres=centres,
                centre_copies=centre_copies,
                n=len(rows),
                n_trained=len(rows),
                largest_id=max(state.largest_id, int(names.max())),
                unevenness=chains.unevenness,
                row_norm=_usual_norm(sample),
            )
        )
        return made._replace(
            margins=margins_for(self._recall, made, rows[held_out], positions[held_out])
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
        """Find about the k nearest of each query (q, dim); -1 and NaN where there are fewer.

        Args:
            queries: (q, dim).
            k: How many.
            filter: What may be found; see `FlatIndex.search`. The fewer rows it allows, the more
                lists are looked into.
            nprobe: Into how many lists to look, the nearest to the query first; all (`nlist`) gives
                the answer of `FlatIndex`. None looks into as many as the wanted recall takes.
            n_jobs: Threads; see `nearest`.

        Ties go to the smaller id. With `inner` the larger is the nearer, and `distances` are inner
        products. The answer to a query does not depend on the others.
        """
        n_probe = None if nprobe is None else count("nprobe", nprobe)
        return self._searched(queries, k, filter, n_jobs, n_probe=n_probe)

    def _find(
        self,
        state: Lists,
        queries: NDArray[Any],
        k: int,
        allowed: NDArray[np.bool_] | None,
        n_allowed: int,
        n_jobs: SupportsIndex | None,
        n_probe: int | None = None,
    ) -> Matches:
        if not n_allowed:
            nothing = (len(queries), k)
            return Matches(np.full(nothing, -1, np.int64), np.full(nothing, np.nan, np.float32))
        margin = -np.inf
        if n_probe is None:
            n_probe = near_lists(state, k, n_allowed)
            margin = state.margins[min(bisect_left(TUNED_K, k), len(TUNED_K) - 1)]
        return search_lists(state, queries, k, n_probe, margin, allowed, n_jobs)

    # --- on disk ------------------------------------------------------------------------------

    def _to_file(self, state: Lists) -> tuple[dict[str, Any], Arrays]:
        n_panels = state.chains.n_panels
        meta = {
            "rerank": self._keeps_rows,
            "nlist": self._nlist,
            "recall": self._recall,
            "n_trained": state.n_trained,
            "unevenness": state.unevenness,
            "margins": list(map(str, state.margins)),  # JSON has no infinity
            "row_norm": state.row_norm,
        }
        n = n_panels * PANEL_ROWS
        arrays: Arrays = {"ids": state.ids[:n], "centres": state.centres}
        arrays |= state.chains.to_arrays() | state.copies.to_arrays(n)
        if self._keeps_rows:
            arrays["vectors"] = state.vectors[:n]
        if state.sketches is not None:
            arrays |= state.sketches.to_arrays(n_panels)
        return meta, arrays

    @classmethod
    def _from_file(cls, meta: dict[str, Any], arrays: Arrays) -> Self:
        loaded = cls(
            meta["dim"],
            meta["metric"],
            storage=meta["storage"],
            nlist=meta["nlist"],
            recall=meta["recall"],
            rerank=meta["rerank"],
        )
        empty = loaded._state
        n_lists, n_panels = len(arrays["centres"]), len(arrays["after"])
        n = n_panels * PANEL_ROWS
        centres = fitting(arrays, "centres", max(1, n_lists), empty.centres)
        centre_copies = copies_of_centres(loaded._metric, centres)
        vectors, sketches = empty.vectors, None
        if loaded._keeps_rows:
            vectors = fitting(arrays, "vectors", n, vectors)
            if n_lists > 1:
                sketches = Sketches.empty(loaded._metric.form, centres, centre_copies.shift)
                sketches = sketches.from_arrays(arrays, n_panels)
        margins = tuple(map(float, meta["margins"]))
        if len(margins) != len(TUNED_K):
            raise ValueError(f"{len(margins)} margins")
        loaded._state = sealed(
            empty._replace(
                vectors=vectors,
                ids=fitting(arrays, "ids", n, empty.ids),
                copies=empty.copies.from_arrays(arrays, n),
                sketches=sketches,
                chains=Chains.from_arrays(arrays, n_lists),
                centres=centres,
                centre_copies=centre_copies,
                n=int(meta["n"]),
                n_trained=int(meta["n_trained"]),
                unevenness=float(meta["unevenness"]),
                margins=margins,
                row_norm=float(meta["row_norm"]),
                largest_id=int(meta["largest_id"]),
            )
        )
        return loaded


def _usual_norm(rows: NDArray[np.float32]) -> float:
    """Return the median norm of rows, 1 where they have none."""
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(rows[:1000].astype(np.float64), axis=1)
    norms = norms[np.isfinite(norms) & (norms > 0)]
    return float(np.median(norms)) if len(norms) else 1.0
