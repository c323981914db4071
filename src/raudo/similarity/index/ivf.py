"""Approximate search in lists: rows near one centre lie together, and few lists are looked into.

The lists (inverted files: Sivic and Zisserman 2003; Jegou, Douze and Schmid 2011) hold compact
copies in panels; within the lists looked into, answers are exact (_core/lists). How many those are
is found when the lists are made, by searching for rows that had no part in making them (_tuning).
"""

from __future__ import annotations

import math
import os
import secrets
import threading
from bisect import bisect_left
from operator import index
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raudo._core import lists
from raudo.errors import CorruptEntry
from raudo.similarity._arrays import matrix, rows_of
from raudo.similarity.distances import row_kernel
from raudo.similarity.index import _kmeans
from raudo.similarity.index._chains import Chains
from raudo.similarity.index._copies import (
    COPIED_STORAGES,
    MOST_COLUMNS,
    PANEL_ROWS,
    Copies,
)
from raudo.similarity.index._file import read_arrays, write_arrays
from raudo.similarity.index._ids import Filter, allowed_of, id_array, next_ids, refuse_known
from raudo.similarity.index._lists import TUNED_K, State, near_lists, search_state
from raudo.similarity.index._tuning import margins_for
from raudo.similarity.metrics import Form, Metric, metric_of
from raudo.similarity.search import check_k
from raudo.types import Matches

__all__ = ["IVFIndex"]

_STORAGES = (*COPIED_STORAGES, "float32")
# Below this one list is searched as fast as some of many are.
_FEWEST_ROWS = 5_000
_GROWTH = 4
_MOST_UNEVEN = 2.0
_HELD_OUT = 1_000


class IVFIndex:
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
        rerank: Keep the float32 rows, and let them decide: distances are then exact. False keeps
            the copies alone; see `FlatIndex`.

    Lists are made anew, by k-means, when there are four times as many vectors, when they have
    become twice as uneven, or when a third of the vectors are removed: then an `add` or a `remove`
    takes a second or two per 100,000 vectors.

    Thread-safe: searches run at once, beside an `add` or `remove` too, and see the index as it was
    when they began. Memory is that of `FlatIndex` and up to half more: lists are rounded up to
    panels of 32 rows.
    """

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
        self._dim = index(dim)
        if not 1 <= self._dim <= MOST_COLUMNS:
            raise ValueError(f"dim is {self._dim}, a number from 1 to {MOST_COLUMNS} is wanted")
        self._metric = metric_of(metric)
        if self._metric.form not in (Form.INNER, Form.SQEUCLIDEAN, Form.COSINE):
            raise ValueError(
                f"metric is {self._metric.name!r}, "
                "inner, sqeuclidean, euclidean or cosine is wanted"
            )
        if storage not in _STORAGES:
            raise ValueError(f"storage is {storage!r}, one of {', '.join(_STORAGES)} is wanted")
        self._nlist = None if nlist is None else index(nlist)
        if self._nlist is not None and self._nlist < 1:
            raise ValueError(f"nlist is {self._nlist}, at least 1 is wanted")
        if not 0 < recall <= 1:
            raise ValueError(f"recall is {recall!r}, a share above 0 and up to 1 is wanted")
        self._recall = float(recall)
        self._storage = storage
        self._keeps_rows = bool(rerank) or storage == "float32"
        self._kind = "int8" if storage == "float32" else storage
        self._token = secrets.token_hex(8)
        self._n_changes = 0
        self._lock = threading.Lock()
        nothing = np.empty((0, self._dim), np.float32)
        self._state = self._published(
            vectors=nothing,
            ids=np.empty(0, np.int64),
            copies=Copies.empty(self._metric, self._kind, self._dim, nothing),
            chains=Chains.empty(1),
            centres=np.zeros((1, self._dim), np.float32),
            n=0,
            n_trained=0,
            unevenness=1.0,
            margins=(-np.inf,) * len(TUNED_K),
            row_norm=1.0,
            largest_id=-1,
        )

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
    def nlist(self) -> int:
        """How many lists there are at present."""
        return len(self._state.centres)

    @property
    def version(self) -> str:
        """Names the contents: changes with every add and remove, and is no other index's."""
        return self._state.version

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids, ascending; a copy."""
        state = self._state
        return np.sort(state.ids[state.live()])

    def __len__(self) -> int:
        return self._state.n

    def __repr__(self) -> str:
        return (
            f"IVFIndex(dim={self._dim}, metric={self._metric.name!r}, storage={self._storage!r}): "
            f"{len(self)} vectors in {self.nlist} lists"
        )

    def _published(self, **fields: Any) -> State:
        """Return a state with its compiled searcher and a version of its own."""
        self._n_changes += 1
        copies, centres = fields["copies"], fields["centres"]
        ordered_by = _kmeans.centres_metric(self._metric)
        centre_copies = Copies.empty(ordered_by, "int8", self._dim, centres)
        centre_copies = centre_copies.with_capacity(len(centres))
        centre_copies.write(centres, np.arange(len(centres)))
        compiled = lists.Lists(
            copies,
            fields["vectors"] if self._keeps_rows else None,
            fields["ids"],
            fields["chains"],
            centre_copies,
            len(centres),
            row_kernel(self._metric, "f32"),
            fields["row_norm"],
        )
        return State(compiled=compiled, version=f"{self._token}-{self._n_changes}", **fields)

    # --- changing -----------------------------------------------------------------------------

    def add(self, vectors: ArrayLike, ids: ArrayLike | None = None) -> NDArray[np.int64]:
        """Add vectors (m, dim) and return their ids: those given, or the next numbers.

        Ids are whole numbers from 0. One that is there already, or twice in `ids`, is a ValueError:
        remove it first. All vectors are added, or none. O(m dim nlist), but where lists are made.
        """
        added = self._checked("vectors", vectors)
        names = None if ids is None else id_array("ids", ids)
        if names is not None and len(names) != len(added):
            raise ValueError(f"ids has {len(names)} entries, vectors has {len(added)} rows")
        with self._lock:
            state = self._state
            if names is None:
                names = next_ids(len(added), state.largest_id)
            else:
                refuse_known(names, state.ids, state.largest_id)
            if len(added):
                if not state.n:
                    empty = Copies.empty(self._metric, self._kind, self._dim, added)
                    state = state._replace(
                        copies=empty,
                        vectors=state.vectors[:0],
                        ids=state.ids[:0],
                        chains=Chains.empty(len(state.centres)),
                    )
                owners = _kmeans.assign(self._metric, added, state.centres)
                self._state = self._maintained(self._with_rows(state, added, names, owners))
        return names

    def _with_rows(
        self,
        state: State,
        added: NDArray[np.float32],
        names: NDArray[np.int64],
        owners: NDArray[np.int64],
    ) -> State:
        """Return a state with these rows too, behind what searches of the given one see."""
        chains, positions = state.chains.grown(owners)
        vectors, ids, copies = state.vectors, state.ids, state.copies
        capacity = len(chains.after) * PANEL_ROWS
        if capacity > len(ids):
            ids = np.full(capacity, -1, np.int64)
            ids[: len(state.ids)] = state.ids
            copies = copies.with_capacity(capacity)
            if self._keeps_rows:
                vectors = np.empty((capacity, self._dim), np.float32)
                vectors[: len(state.vectors)] = state.vectors
        ids[positions] = names
        copies.write(added, positions)
        if self._keeps_rows:
            vectors[positions] = added
        return self._replaced(
            state,
            vectors=vectors,
            ids=ids,
            copies=copies,
            chains=chains,
            n=state.n + len(added),
            largest_id=max(state.largest_id, int(names.max(initial=-1))),
        )

    def _replaced(self, state: State, **changes: Any) -> State:
        fields = state._asdict() | changes
        del fields["compiled"], fields["version"]
        return self._published(**fields)

    def remove(self, ids: ArrayLike) -> int:
        """Remove the vectors of these ids; return how many there were. O(n)."""
        names = id_array("ids", np.atleast_1d(np.asarray(ids)), lowest=None)
        with self._lock:
            state = self._state
            live = state.live()
            gone = live[np.isin(state.ids[live], names)]
            if len(gone):
                # Searches may still read the old arrays: they are left as they are.
                ids_left, bias = state.ids.copy(), state.copies.bias.copy()
                ids_left[gone], bias[gone] = -1, np.inf
                self._state = self._maintained(
                    self._replaced(
                        state,
                        ids=ids_left,
                        copies=state.copies.with_bias(bias),
                        n=state.n - len(gone),
                    )
                )
            return len(gone)

    def _checked(self, name: str, vectors: ArrayLike) -> NDArray[np.float32]:
        array = matrix(name, vectors)
        if array.shape[1] != self._dim:
            raise ValueError(f"{name} has {array.shape[1]} columns, the index has {self._dim}")
        if array.dtype == np.float32:
            return rows_of(array, np.float32)
        with np.errstate(over="ignore"):  # beyond float32 is infinite
            return rows_of(array, np.float32)

    # --- making lists -------------------------------------------------------------------------

    def _lists_for(self, n: int) -> int:
        if self._nlist is not None:
            return self._nlist if n >= self._nlist else 1
        return int(4 * math.sqrt(n)) if n >= _FEWEST_ROWS else 1

    def _maintained(self, state: State) -> State:
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
        return self._rebuilt(state) if has_grown or is_holey or is_uneven else state

    def _rebuilt(self, state: State) -> State:
        """Return the same rows in lists made for them."""
        live = state.live()
        rows = state.vectors[live] if self._keeps_rows else state.copies.decoded(live, self._dim)
        n_lists = self._lists_for(len(live))
        random = np.random.default_rng(0)
        order = random.permutation(len(live))
        held_out, rest = np.split(order, [min(_HELD_OUT, len(live) // 10)])
        sample = rest[: _kmeans.ROWS_A_CENTRE * n_lists]
        centres = np.zeros((1, self._dim), np.float32)
        if n_lists > 1:
            centres = _kmeans.train(self._metric, rows[sample], n_lists, random)
        owners = _kmeans.assign(self._metric, rows, centres)
        chains, positions = Chains.empty(len(centres)).grown(owners)
        ids = np.full(len(chains.after) * PANEL_ROWS, -1, np.int64)
        ids[positions] = state.ids[live]
        vectors = state.vectors[:0]
        if self._keeps_rows:
            vectors = np.empty((len(ids), self._dim), np.float32)
            vectors[positions] = rows
            copies = Copies.empty(self._metric, self._kind, self._dim, rows)
            copies = copies.with_capacity(len(ids))
            copies.write(rows, positions)
        else:
            copies = state.copies.taken(live, positions, len(ids))
        made = self._replaced(
            state,
            vectors=vectors,
            ids=ids,
            copies=copies,
            chains=chains,
            centres=centres,
            n_trained=len(live),
            unevenness=chains.unevenness,
            row_norm=_usual_norm(rows[sample]),
        )
        margins = margins_for(self._metric, self._recall, made, rows[held_out], positions[held_out])
        return made._replace(margins=margins)

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
        products.
        """
        wanted = check_k(k)
        n_probe = None if nprobe is None else index(nprobe)
        if n_probe is not None and n_probe < 1:
            raise ValueError(f"nprobe is {n_probe}, at least 1 is wanted")
        asked = self._checked("queries", queries)
        state = self._state
        allowed, n_allowed = None, state.n
        if filter is not None:
            live = state.live()
            allowed = np.zeros(len(state.ids), np.uint8)
            allowed[live] = allowed_of(filter, state.ids[live])
            n_allowed = int(np.count_nonzero(allowed))
        if not n_allowed:
            nothing = (len(asked), wanted)
            return Matches(np.full(nothing, -1, np.int64), np.full(nothing, np.nan, np.float32))
        if n_probe is not None:
            return search_state(
                self._metric, state, asked, wanted, n_probe, -np.inf, allowed, n_jobs
            )
        margin = state.margins[min(bisect_left(TUNED_K, wanted), len(TUNED_K) - 1)]
        n_near = near_lists(state, wanted, n_allowed)
        return search_state(self._metric, state, asked, wanted, n_near, margin, allowed, n_jobs)

    # --- on disk ------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file, atomically; a search or an add may go on meanwhile."""
        state = self._state
        live = state.live()
        meta = {
            "kind": "ivf",
            "dim": self._dim,
            "metric": self._metric.name,
            "storage": self._storage,
            "rerank": self._keeps_rows,
            "nlist": self._nlist,
            "recall": self._recall,
            "largest_id": state.largest_id,
            "n_trained": state.n_trained,
            "unevenness": state.unevenness,
            "margins": list(map(str, state.margins)),
            "row_norm": state.row_norm,
        }
        arrays: dict[str, NDArray[Any]] = {
            "ids": state.ids[live],
            "owners": state.chains.owners_of(live),
            "centres": state.centres,
        }
        if self._keeps_rows:
            arrays["vectors"] = state.vectors[live]
        else:
            arrays |= state.copies.taken(live).to_arrays(len(live))
        write_arrays(
            path,
            meta,
            {name: a.astype(a.dtype.newbyteorder("<"), copy=False) for name, a in arrays.items()},
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> IVFIndex:
        """Read what `save` wrote. A damaged file is a `CorruptEntry`, which is a ValueError."""
        meta, arrays = read_arrays(path)
        if meta.get("kind") != "ivf" or not {"ids", "owners", "centres"} <= set(arrays):
            raise CorruptEntry(f"{os.fspath(path)} holds no IVFIndex")
        loaded = cls(
            meta["dim"],
            meta["metric"],
            storage=meta["storage"],
            nlist=meta["nlist"],
            recall=meta["recall"],
            rerank=meta["rerank"],
        )
        ids, owners, centres = (arrays.pop(name) for name in ("ids", "owners", "centres"))
        n, empty = len(ids), loaded._state
        vectors = arrays.pop("vectors", empty.vectors)
        n_rows = n if loaded._keeps_rows else 0
        shapes = [array.shape for array in (ids, owners, centres, vectors)]
        if (
            shapes != [(n,), (n,), (len(centres), loaded._dim), (n_rows, loaded._dim)]
            or not len(centres)
            or (n and not 0 <= owners.min() <= owners.max() < len(centres))
        ):
            raise CorruptEntry(f"{os.fspath(path)} has arrays of the wrong shape")
        chains, positions = Chains.empty(len(centres)).grown(owners)
        by_position = np.full(len(chains.after) * PANEL_ROWS, -1, np.int64)
        by_position[positions] = ids
        rows = empty.vectors
        if loaded._keeps_rows:
            rows = np.empty((len(by_position), loaded._dim), np.float32)
            rows[positions] = vectors
            copies = Copies.empty(loaded._metric, loaded._kind, loaded._dim, vectors)
            copies = copies.with_capacity(len(by_position))
            copies.write(vectors, positions)
        else:
            read = empty.copies.from_arrays(arrays, n)
            if read is None:
                raise CorruptEntry(f"{os.fspath(path)} has copies of the wrong shape")
            copies = read.taken(np.arange(n), positions, len(by_position))
        loaded._state = loaded._published(
            vectors=rows,
            ids=by_position,
            copies=copies,
            chains=chains,
            centres=centres,
            n=n,
            n_trained=meta["n_trained"],
            unevenness=meta["unevenness"],
            margins=tuple(map(float, meta["margins"])),
            row_norm=meta["row_norm"],
            largest_id=meta["largest_id"],
        )
        return loaded


def _usual_norm(rows: NDArray[np.float32]) -> float:
    """Return the median norm of rows, 1 where they have none."""
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(rows[:1000].astype(np.float64), axis=1)
    norms = norms[np.isfinite(norms) & (norms > 0)]
    return float(np.median(norms)) if len(norms) else 1.0
