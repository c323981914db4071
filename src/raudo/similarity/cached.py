"""Results of searches, kept by the content of the query."""

from __future__ import annotations

import hashlib
from collections.abc import MutableMapping
from threading import Lock
from typing import Any, Protocol, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raudo.similarity._arrays import count, matrix
from raudo.similarity.search import check_k
from raudo.types import Matches

__all__ = ["SimilarityCache"]


# How often to begin anew when the index changes while it is searched.
_TRIES = 3


class Searchable(Protocol):
    """What can be cached: `version` names the contents, and changes whenever they do."""

    @property
    def version(self) -> str: ...
    def search(
        self, queries: ArrayLike, k: SupportsIndex, *, filter: Any = None, **options: Any
    ) -> Matches: ...


class SimilarityCache:
    """Answers `search` from earlier results; only the queries not seen before reach the index.

    The key of a result is the content of one query row, k, the options and the index's version, so
    that a change of the index never serves an old answer: what was kept for the old version is left
    to eviction. The rows of one answer are all of one version of the index.

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
        if not callable(getattr(index, "search", None)) or not hasattr(index, "version"):
            raise TypeError(f"index is {index!r}, one with search and version is wanted")
        self._index = index
        self._kept = _bounded(maxsize) if cache is None else cache
        self._lock = Lock()  # of the counts
        self._n_hits = 0
        self._n_misses = 0

    @property
    def index(self) -> Searchable:
        """The index that answers a miss; change it and what was answered before is forgotten."""
        return self._index

    def search(
        self, queries: ArrayLike, k: SupportsIndex, *, filter: Any = None, **options: Any
    ) -> Matches:
        """Search as the index does. With a `filter` nothing is kept, nor looked up.

        `options` are passed on (`nprobe`, `n_jobs`). The arrays returned are the caller's own.
        """
        if filter is not None:
            return self._index.search(queries, k, filter=filter, **options)
        wanted = check_k(k)
        asked = np.ascontiguousarray(matrix("queries", queries))
        if not len(asked):
            return self._index.search(asked, wanted, **options)
        settings = sorted(item for item in options.items() if item[0] != "n_jobs")
        contents = [_digest(row) for row in asked]
        for _ in range(_TRIES):
            version = self._index.version
            prefix = repr((version, wanted, asked.dtype.str, asked.shape[1], settings)).encode()
            keys = [content + prefix for content in contents]
            rows: list[Any] = [self._kept.get(key) for key in keys]
            # Equal queries of one batch are searched once.
            missing = {keys[i]: i for i in range(len(keys) - 1, -1, -1) if rows[i] is None}
            n_missed = sum(row is None for row in rows)
            if missing:
                positions = sorted(missing.values())
                found = self._index.search(asked[positions], wanted, **options)
                if self._index.version != version:
                    continue  # the kept rows are of the version before, these may be of either
                self._keep(rows, keys, positions, found)
            self._count(len(rows) - n_missed, n_missed)
            return Matches(np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows]))
        # It changes faster than it is searched.
        self._count(0, len(asked))
        return self._index.search(asked, wanted, **options)

    def _keep(
        self, rows: list[Any], keys: list[bytes], positions: list[int], found: Matches
    ) -> None:
        """Keep what was found, and put it into `rows`."""
        fresh = {}
        for i, names, distances in zip(positions, found.ids, found.distances, strict=True):
            fresh[keys[i]] = self._kept[keys[i]] = (_frozen(names), _frozen(distances))
        for i, key in enumerate(keys):
            if rows[i] is None:
                rows[i] = fresh[key]

    def _count(self, n_hits: int, n_misses: int) -> None:
        with self._lock:
            self._n_hits += n_hits
            self._n_misses += n_misses

    def clear(self) -> None:
        """Forget all results, those of others that share the mapping too."""
        self._kept.clear()

    def stats(self) -> dict[str, float]:
        """Return hits, misses, hit_rate and size; hits and misses count query rows."""
        with self._lock:
            n_hits, n_misses = self._n_hits, self._n_misses
        return {
            "hits": n_hits,
            "misses": n_misses,
            "hit_rate": n_hits / (n_hits + n_misses) if n_hits + n_misses else 0.0,
            "size": len(self._kept),
        }


def _bounded(maxsize: SupportsIndex) -> MutableMapping[Any, Any]:
    from raudo._core.cache import Cache

    return Cache(count("maxsize", maxsize), strategy="lru")


def _digest(row: NDArray[Any]) -> bytes:
    return hashlib.blake2b(row.data, digest_size=16).digest()


def _frozen(row: NDArray[Any]) -> NDArray[Any]:
    kept = row.copy()
    kept.flags.writeable = False
    return kept
