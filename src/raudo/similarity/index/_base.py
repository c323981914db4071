"""What every index of raudo's own has in common: ids, versions, snapshots, filters, files.

An index is a lock and a state. Whoever changes it makes a new state, in which nothing that a search
of the old one looks at has changed, and publishes it whole; a search takes the state that is there
when it begins, and needs no lock.
"""

from __future__ import annotations

import os
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Generic, Protocol, Self, SupportsIndex, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raudo.errors import CorruptEntry
from raudo.similarity._arrays import check_radius, count
from raudo.similarity.index._file import Arrays, read_arrays, write_arrays
from raudo.similarity.index._ids import (
    Filter,
    allowed_of,
    id_array,
    next_ids,
    positions_of,
    refuse_known,
)
from raudo.similarity.index._within import within
from raudo.similarity.metrics import Metric, metric_of
from raudo.similarity.search import check_k
from raudo.types import Matches, RangeMatches

__all__ = ["State", "VectorIndex", "capacity_for"]


class State(Protocol):
    """What a search sees: arrays by position, of which it reads what the state says is there."""

    @property
    def ids(self) -> NDArray[np.int64]: ...  # by position; -1: removed, or never taken
    @property
    def n(self) -> int: ...  # how many vectors there are
    @property
    def largest_id(self) -> int: ...
    @property
    def version(self) -> str: ...
    def live(self) -> NDArray[np.int64]: ...  # the positions of vectors that are there, ascending


S = TypeVar("S", bound=State)


class VectorIndex(ABC, Generic[S]):
    """Vectors by id, and the searches over them. Subclasses say how vectors are kept and found."""

    _file_kind: ClassVar[str]
    _checked_arrays: ClassVar[tuple[str, ...]] = ("ids",)  # also where a file is mapped
    _state: S

    def __init__(self, dim: SupportsIndex, metric: str | Metric, storage: str) -> None:
        self._dim = count("dim", dim)
        self._metric = metric_of(metric)
        self._storage = storage
        self._lock = threading.Lock()

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
        """Names the contents: changes with each of their changes, and is no other index's."""
        return self._state.version

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids, in the order of their places; a copy."""
        state = self._state
        return state.ids[state.live()]

    def __len__(self) -> int:
        return self._state.n

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(dim={self._dim}, metric={self._metric.name!r}, "
            f"storage={self._storage!r}): {len(self)} vectors"
        )

    # --- changing -----------------------------------------------------------------------------

    def add(self, vectors: ArrayLike, ids: ArrayLike | None = None) -> NDArray[np.int64]:
        """Add vectors (m, dim) and return their ids: those given, or the next numbers.

        Ids are whole numbers from 0. One that is there already, or twice in `ids`, is a ValueError:
        remove it first, or `update` it. All vectors are added, or none.
        """
        added = self._checked("vectors", vectors)
        names = None if ids is None else id_array("ids", ids)
        if names is not None and len(names) != added.shape[0]:
            raise ValueError(f"ids has {len(names)} entries, vectors has {added.shape[0]} rows")
        with self._lock:
            state = self._state
            if names is None:
                names = next_ids(added.shape[0], state.largest_id)
            else:
                refuse_known(names, state.ids, state.largest_id)
            if added.shape[0]:
                self._publish(self._with_rows(state, added, names))
        return names

    def update(self, ids: ArrayLike, vectors: ArrayLike) -> None:
        """Put vectors (m, dim) in the place of those with these ids, all at once.

        An id that is not there, or twice in `ids`, is a ValueError, and nothing is changed. A
        search finds all of the old vectors or all of the new.
        """
        names = id_array("ids", ids)
        added = self._checked("vectors", vectors)
        if len(names) != added.shape[0]:
            raise ValueError(f"ids has {len(names)} entries, vectors has {added.shape[0]} rows")
        with self._lock:
            state = self._state
            gone = positions_of(names, state.ids, state.live())
            if len(names):
                self._publish(self._with_rows(self._without(state, gone), added, names))

    def remove(self, ids: ArrayLike) -> int:
        """Remove the vectors of these ids; return how many there were. O(n)."""
        given = ids if isinstance(ids, (set, frozenset)) else np.atleast_1d(np.asarray(ids))
        names = id_array("ids", given, lowest=None)
        with self._lock:
            state = self._state
            live = state.live()
            gone = live[np.isin(state.ids[live], names)]
            if len(gone):
                self._publish(self._without(state, gone))
            return len(gone)

    def _publish(self, state: S) -> None:
        self._state = _named_anew(self._maintained(state))

    @abstractmethod
    def _checked(self, name: str, vectors: ArrayLike) -> NDArray[Any]:
        """Return vectors as they are stored."""

    @abstractmethod
    def _with_rows(self, state: S, rows: NDArray[Any], names: NDArray[np.int64]) -> S:
        """Return a state with these rows too, where no search of the given one looks."""

    @abstractmethod
    def _without(self, state: S, gone: NDArray[np.int64]) -> S:
        """Return a state in which these positions are not there."""

    @abstractmethod
    def _maintained(self, state: S) -> S:
        """Return the state, put in order where changes have put it out of it."""

    # --- searching ----------------------------------------------------------------------------

    def _searched(
        self,
        queries: ArrayLike,
        k: SupportsIndex,
        filter: Filter | None,
        n_jobs: SupportsIndex | None,
        **options: Any,
    ) -> Matches:
        """Search as `search` promises; `options` are for `_find`."""
        wanted = check_k(k)
        asked = self._checked("queries", queries)
        state = self._state
        allowed, n_allowed = _allowed(state, filter)
        return self._find(state, asked, wanted, allowed, n_allowed, n_jobs, **options)

    def search_within(
        self,
        queries: ArrayLike,
        radius: float,
        *,
        filter: Filter | None = None,
        n_jobs: SupportsIndex | None = None,
    ) -> RangeMatches:
        """Find all that is no farther from each query (q, dim) than `radius`.

        Args:
            queries: (q, dim).
            radius: The largest distance, or with `inner` the smallest inner product.
            filter: What may be found; see `search`.
            n_jobs: Threads; see `nearest`.

        Time and memory grow with what is found. An approximate index finds most of what there is.
        """
        asked = self._checked("queries", queries)
        if not isinstance(asked, np.ndarray):
            raise TypeError("queries lie on a device: search_within is for the CPU's memory")
        limit = check_radius(radius)
        state = self._state
        allowed, n_allowed = _allowed(state, filter)

        def find(rows: NDArray[np.int64], k: int) -> Matches:
            return self._find(state, asked[rows], k, allowed, n_allowed, n_jobs)

        return within(find, len(asked), n_allowed, limit, self._metric.larger_is_nearer)

    @abstractmethod
    def _find(
        self,
        state: S,
        queries: NDArray[Any],
        k: int,
        allowed: NDArray[np.bool_] | None,
        n_allowed: int,
        n_jobs: SupportsIndex | None,
    ) -> Matches:
        """Search checked queries. `allowed` (None: all) goes by position."""

    # --- on disk ------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file, atomically; a search or an add may go on meanwhile.

        A process that is killed meanwhile leaves the old file, and a part of the new one beside it,
        named `.<name>.` and eight characters.
        """
        write_arrays(path, *self._contents())

    def _contents(self) -> tuple[dict[str, Any], Arrays]:
        """Return what a file keeps: the index as it is now."""
        state = self._state
        meta, arrays = self._to_file(state)
        common = {
            "kind": self._file_kind,
            "dim": self._dim,
            "metric": self._metric.name,
            "storage": self._storage,
            "n": state.n,
            "largest_id": state.largest_id,
        }
        return common | meta, arrays

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy as `save` and `load` do: what comes of it is an index of its own."""
        meta, arrays = self._contents()
        own = {name: array.copy() for name, array in arrays.items()}
        return type(self)._opened, (f"a pickled {type(self).__name__}", meta, own)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = False) -> Self:
        """Read what `save` wrote. A damaged file is a `CorruptEntry`, which is a ValueError.

        Args:
            path: The file.
            mmap: Leave the vectors in the file, to be read where a search looks at them; the first
                change copies them into memory. The file must stay as it is meanwhile (`save` puts a
                new one in its place, which is fine). Ids and lists are read and checked, vectors
                themselves are not: damage there gives wrong matches.

        A metric of one's own must have been registered.
        """
        meta, arrays = read_arrays(path, mapped=mmap, checked=cls._checked_arrays)
        return cls._opened(os.fspath(path), meta, arrays)

    @classmethod
    def _opened(cls, name: str, meta: dict[str, Any], arrays: Arrays) -> Self:
        """Return the index that was written so; `name` says where, for messages."""
        if meta.get("kind") != cls._file_kind:
            raise CorruptEntry(f"{name} holds no {cls.__name__}")
        try:
            loaded = cls._from_file(meta, arrays)
            ids = loaded.ids
            if len(ids) != len(loaded) or not ids.max(initial=-1) <= loaded._state.largest_id:
                raise ValueError(f"{len(ids)} ids for {len(loaded)} vectors")
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise CorruptEntry(f"{name} does not fit together: {error}") from error
        loaded._state = _named_anew(loaded._state)
        return loaded

    @abstractmethod
    def _to_file(self, state: S) -> tuple[dict[str, Any], Arrays]:
        """Return what a file keeps beside what all indexes have."""

    @classmethod
    @abstractmethod
    def _from_file(cls, meta: dict[str, Any], arrays: Arrays) -> Self:
        """Return the index; any of five errors where the two do not fit together."""


def _named_anew(state: Any) -> Any:
    # Random, not counted: after a fork two processes may change their copies of one index.
    return state._replace(version=secrets.token_hex(8))


def _allowed(state: State, filter: Filter | None) -> tuple[NDArray[np.bool_] | None, int]:
    """Return which positions a filter allows, and how many."""
    if filter is None:
        return None, state.n
    live = state.live()
    allowed = np.zeros(len(state.ids), np.bool_)
    allowed[live] = allowed_of(filter, state.ids[live])
    return allowed, int(np.count_nonzero(allowed))


def capacity_for(n: int, arrays: Iterable[NDArray[Any]], ids: NDArray[np.int64]) -> int | None:
    """Return with how many positions arrays must be made anew to hold n, None: need not."""
    is_mapped = not all(array.flags.writeable for array in (ids, *arrays))
    return max(n, 2 * len(ids)) if n > len(ids) or is_mapped else None
