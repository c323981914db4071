"""What a search answers, and what an index of vectors can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, SupportsIndex

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


class Matches(NamedTuple):
    """The k nearest of each query, best first.

    `ids` is (q, k) int64, -1 where there are fewer than k; `distances` is (q, k) float32 or
    float64, in the metric's own sense (smaller is nearer, but for `inner`: larger is nearer), NaN
    where there is no match.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.floating[Any]]


class RangeMatches(NamedTuple):
    """All that lie within a radius, a row for each query, as the three arrays of a CSR matrix.

    What belongs to query i is `ids[offsets[i]:offsets[i + 1]]` and the same of `distances`, by
    rising id. `offsets` is (q + 1,) int64, `ids` and `distances` are (m,), int64 and float32 or
    float64. `scipy.sparse.csr_array((distances, ids, offsets), shape=(q, n))` takes them as they
    are.
    """

    offsets: NDArray[np.int64]
    ids: NDArray[np.int64]
    distances: NDArray[np.floating[Any]]


class Index(Protocol):
    """Vectors by id. What is missing from an answer is -1 and NaN, never an error; thread-safe."""

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def version(self) -> str:
        """Names the contents; changes whenever they do, and is no other index's."""
        ...

    @property
    def ids(self) -> NDArray[np.int64]:
        """(n,) ids of all vectors, a copy."""
        ...

    def __len__(self) -> int: ...

    def add(self, vectors: ArrayLike, ids: ArrayLike | None = None) -> NDArray[np.int64]:
        """Add (n, dim) vectors and return their (n,) ids: those given, else numbers not in use."""
        ...

    def update(self, ids: ArrayLike, vectors: ArrayLike) -> None:
        """Put (n, dim) vectors in the place of those with these (n,) ids."""
        ...

    def remove(self, ids: ArrayLike) -> int:
        """Remove vectors by id; return how many were there."""
        ...

    def search(
        self, queries: ArrayLike, k: SupportsIndex, *, filter: Any = None, n_jobs: Any = None
    ) -> Matches:
        """Find the k nearest of each of (q, dim) queries among the ids that `filter` allows."""
        ...

    def search_within(
        self, queries: ArrayLike, radius: float, *, filter: Any = None
    ) -> RangeMatches:
        """Find all within a distance of each query; with `inner`, of that similarity and more."""
        ...

    def save(self, path: Any) -> None:
        """Write the index to a file, whole or not at all."""
        ...

    @classmethod
    def load(cls, path: Any) -> Self:
        """Return the index that was saved."""
        ...
