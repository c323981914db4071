"""A picture of a corpus: some of its documents as points of a plane, in clusters.

The points are documents at equal steps through the corpus, at most `POINTS`, so that the cost and
the page do not grow with it. Clusters are those of k-means by cosine. The plane is that of the two
directions in which the clusters lie furthest apart (the principal components of their centres),
since those of the documents say little at 256 dimensions; then each point is drawn to the points
that are most like it, as in the power iteration for the eigenvectors of their graph. All neighbours
are found with the kernels of the similarity room.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raudo.analysis.copies import distinct_of

__all__ = ["CLUSTERS", "POINTS", "Sample", "clusters", "plane", "sample_of"]

POINTS = 2_000
CLUSTERS = 8
_ROUNDS = 12
_NEIGHBOURS = 8
_PULLS = 6


@dataclass(frozen=True, slots=True)
class Sample:
    """Documents of the picture: their numbers, (m,) int64, and vectors, (m, d) float32."""

    numbers: NDArray[np.int64]
    vectors: NDArray[np.float32]


def sample_of(
    n: int, vectors_of: Callable[[NDArray[np.int64]], NDArray[np.float32]], most: int = POINTS
) -> Sample:
    """Take documents of n at equal steps; those of zeros, which have no direction, are left out."""
    numbers = distinct_of(np.linspace(0, n - 1, min(n, most)).astype(np.int64)) if n else _NONE
    taken = np.ascontiguousarray(vectors_of(numbers), np.float32)
    lengths = np.linalg.norm(taken, axis=1, keepdims=True) if taken.size else np.empty((0, 1))
    kept = lengths[:, 0] > 0
    return Sample(numbers[kept], (taken[kept] / lengths[kept]).astype(np.float32))


_NONE = np.empty(0, np.int64)


def clusters(vectors: NDArray[np.float32], k: int = CLUSTERS) -> NDArray[np.int64]:
    """Return the cluster of each row, (m,) int64, the largest first; the same each time.

    The first centres are rows as far apart as can be found one by one; of few rows there are few
    clusters.
    """
    from raudo.similarity import nearest

    k = min(k, len(vectors) // 8)
    if k < 2:
        return np.zeros(len(vectors), np.int64)
    centres = np.empty((k, vectors.shape[1]), np.float32)
    mean = vectors.mean(axis=0)
    closest = np.full(len(vectors), -np.inf, np.float32)
    centres[0] = vectors[np.argmax(vectors @ mean)]
    for i in range(1, k):
        closest = np.maximum(closest, vectors @ centres[i - 1])
        # Of those not near a centre yet the most typical: the furthest of all is but an oddity.
        far = closest <= np.quantile(closest, 0.5)
        centres[i] = vectors[np.argmax(np.where(far, vectors @ mean, -np.inf))]
    labels = np.zeros(len(vectors), np.int64)
    for _ in range(_ROUNDS):
        found = nearest(vectors, centres, 1, metric="inner").ids[:, 0]
        if np.array_equal(found, labels):
            break
        labels = found
        for i in range(k):
            members = vectors[labels == i]
            if len(members):
                total = members.sum(axis=0)
                centres[i] = total / max(float(np.linalg.norm(total)), 1e-12)
    sizes = np.bincount(labels, minlength=k)
    rank = np.empty(k, np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(k)
    return rank[labels]


def plane(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the place of each row in the plane, (m, 2), each side within [0, 1]."""
    from raudo.similarity import nearest

    if len(vectors) < 3:
        return np.full((len(vectors), 2), 0.5)
    rows = vectors.astype(np.float64)
    centred = rows - rows.mean(axis=0)
    centres = np.stack([centred[labels == i].mean(axis=0) for i in np.unique(labels)])
    # Fewer than three centres span no plane: then the rows themselves do.
    spread = centres if len(centres) > 2 else centred
    _, _, directions = np.linalg.svd(spread, full_matrices=False)
    places = np.zeros((len(rows), 2))
    found = centred @ directions[:2].T
    places[:, : found.shape[1]] = found
    # The sign of a direction is the library's whim: the side with the outlier is always the same.
    places *= np.where(np.abs(places.max(axis=0)) < np.abs(places.min(axis=0)), -1.0, 1.0)
    alike = nearest(vectors, vectors, min(_NEIGHBOURS, len(rows)), metric="inner").ids
    for _ in range(_PULLS):
        places = (places + places[alike].mean(axis=1)) / 2
    # Half by value, half by rank: crowds come apart, and what is alone stays so.
    ranks = np.argsort(np.argsort(places, axis=0, kind="stable"), axis=0) / (len(rows) - 1)
    low, high = np.quantile(places, [0.01, 0.99], axis=0)
    values = np.clip((places - low) / np.maximum(high - low, 1e-12), 0.0, 1.0)
    mixed: NDArray[np.float64] = (ranks + values) / 2
    return mixed
