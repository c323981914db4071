"""Results of searches, kept by the content of the query."""

from __future__ import annotations

import hashlib
from collections.abc import MutableMapping
from operator import index
from typing import Any, Protocol, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raudo.similarity._arrays import matrix
from raudo.similarity.search import check_k
from raudo.types import Matches

__all__ = ["SimilarityCache"]


class Searchable(Protocol):
    """What can be cached: `version` names the contents, and changes whenever they do."""

    @property
    def version(self) -> str: ...
    def search(self, queries: ArrayLike, k: SupportsIndex, *, filter: Any = None) -> Matches: ...


class SimilarityCache:
    """Answers `search` from earlier results; only the queries not seen before reach the index.

    The key of a result is the content of one query row, k and the index's version, so that a change
    of the index never serves an old answer: what was kept for the old version is left to eviction.

    Args:
        index: A `FlatIndex`, or what offers `search` and `version` like one.
        maxsize: Most results kept, one a query row.
        cache: A mapping to keep them in, in place of a compiled LRU cache of `maxsize`; it must be
            thread-safe if searches are to be. Several `SimilarityCache` may share one.

    Thread-safe as the mapping is; a new query that two threads ask at once is searched twice.
    """

    def __init__(
        self,
        index: Searchable,
        maxsize: SupportsIndex = 4096,
        *,
        cache: MutableMapping[Any, Any] | None = None,
    ) -> None:
        self._index = index
        self._kept = _bounded(maxsize) if cache is None else cache
        self._n_hits = 0
        self._n_misses = 0

    @property
    def index(self) -> Searchable:
        return self._index

    def search(self, queries: ArrayLike, k: SupportsIndex, *, filter: Any = None) -> Matches:
        """Search as the index does. With a `filter` nothing is kept, nor looked up.

        The arrays returned are the caller's own.
        """
        if filter is not None:
            return self._index.search(queries, k, filter=filter)
        wanted = check_k(k)
        asked = matrix("queries", queries)
        prefix = f"{self._index.version}|{wanted}|{asked.dtype.str}|".encode()
        keys = [_key(prefix, row) for row in np.ascontiguousarray(asked)]
        rows: list[Any] = [self._kept.get(key) for key in keys]
        # Equal queries of one batch are searched once.
        missing = {keys[i]: i for i in range(len(keys) - 1, -1, -1) if rows[i] is None}
        self._n_hits += sum(row is not None for row in rows)
        self._n_misses += sum(row is None for row in rows)
        if missing or not keys:
            positions = sorted(missing.values())
            found = self._index.search(asked[positions] if keys else asked, wanted)
            if not keys:
                return found
            fresh = {}
            for i, names, distances in zip(positions, found.ids, found.distances, strict=True):
                fresh[keys[i]] = self._kept[keys[i]] = (_frozen(names), _frozen(distances))
            rows = [fresh[key] if row is None else row for key, row in zip(keys, rows, strict=True)]
        return Matches(np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows]))

    def clear(self) -> None:
        """Forget all results, those of others that share the mapping too."""
        self._kept.clear()

    def stats(self) -> dict[str, float]:
        """Return hits, misses, hit_rate and size; hits and misses count query rows."""
        asked = self._n_hits + self._n_misses
        return {
            "hits": self._n_hits,
            "misses": self._n_misses,
            "hit_rate": self._n_hits / asked if asked else 0.0,
            "size": len(self._kept),
        }


def _bounded(maxsize: SupportsIndex) -> MutableMapping[Any, Any]:
    from raudo._core.cache import Cache

    size = index(maxsize)
    if size < 1:
        raise ValueError(f"maxsize is {size}, at least 1 is wanted")
    return Cache(size, strategy="lru")


def _key(prefix: bytes, row: NDArray[Any]) -> bytes:
    return hashlib.blake2b(row.data, digest_size=16).digest() + prefix


def _frozen(row: NDArray[Any]) -> NDArray[Any]:
    kept = row.copy()
    kept.flags.writeable = False
    return kept
