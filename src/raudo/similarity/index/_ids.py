"""Ids of an index's rows: what callers give, and which of them a filter allows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Filter", "allowed_of", "id_array", "next_ids", "positions_of", "refuse_known"]

Filter = ArrayLike | Callable[[NDArray[np.int64]], ArrayLike]
LARGEST_ID = int(np.iinfo(np.int64).max)


def id_array(name: str, ids: ArrayLike, lowest: int | None = 0) -> NDArray[np.int64]:
    """Return ids as int64 (m,)."""
    array = np.asarray(sorted(ids) if isinstance(ids, (set, frozenset)) else ids)
    if not array.size:
        array = array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(
            f"{name} is {array.dtype} of shape {array.shape}, a row of whole numbers is wanted"
        )
    if array.dtype.kind == "u" and array.size and int(array.max()) > LARGEST_ID:
        raise ValueError(f"{name} has {int(array.max())}, at most 2**63 - 1 is wanted")
    if lowest is not None and array.size and int(array.min()) < lowest:
        raise ValueError(f"{name} has {int(array.min())}, numbers from {lowest} are wanted")
    return array.astype(np.int64)


def next_ids(m: int, largest_id: int) -> NDArray[np.int64]:
    """Return the m numbers after the largest id so far."""
    first = largest_id + 1
    if first + m > LARGEST_ID + 1:
        raise ValueError(f"ids run out: the largest so far is {largest_id}, give free ones")
    return np.arange(m, dtype=np.int64) + first


def refuse_known(names: NDArray[np.int64], known_ids: NDArray[np.int64], largest_id: int) -> None:
    """Raise a ValueError for an id that is given twice, or known already."""
    _refuse_twice(names)
    if len(names) and names.min() <= largest_id:
        known = names[np.isin(names, known_ids)]
        if len(known):
            raise ValueError(f"id {known[0]} is in the index already: remove it first")


def positions_of(
    names: NDArray[np.int64], ids: NDArray[np.int64], live: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return where these ids are; a ValueError for one that is given twice, or is not there."""
    _refuse_twice(names)
    places = live[np.isin(ids[live], names)]
    if len(places) < len(names):
        unknown = names[~np.isin(names, ids[places])]
        raise ValueError(f"id {unknown[0]} is not in the index: add it first")
    return places


def _refuse_twice(names: NDArray[np.int64]) -> None:
    unique, counts = np.unique(names, return_counts=True)
    if len(unique) < len(names):
        raise ValueError(f"ids has {unique[counts > 1][0]} twice")


def allowed_of(filter: Filter, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows a filter allows."""
    if callable(filter):
        given = np.asarray(filter(ids.copy()))
        if given.dtype != np.bool_ or given.shape != ids.shape:
            raise ValueError(
                f"filter returned {given.dtype} of shape {given.shape}, "
                f"bool of {ids.shape} is wanted"
            )
        return given
    if isinstance(filter, (set, frozenset)):
        return np.isin(ids, id_array("filter", filter, lowest=None))
    array = np.asarray(filter)
    if array.dtype == np.bool_ and array.ndim == 1:
        inside = ids < len(array)
        return inside & array[np.where(inside, ids, 0)] if len(array) else inside
    return np.isin(ids, id_array("filter", array, lowest=None))
