"""The sample of a corpus, its clusters and their places in the plane."""

from __future__ import annotations

import numpy as np
import pytest

from raudo.analysis.picture import clusters, plane, sample_of


def blobs(n: int, k: int, d: int = 16) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(5)
    labels = np.arange(n) % k
    vectors = np.eye(k, d)[labels] + chance.normal(scale=0.05, size=(n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def test_sample_is_bounded_and_leaves_out_zeros() -> None:
    vectors, _ = blobs(10_000, 4)
    vectors[::2] = 0
    sample = sample_of(len(vectors), vectors.__getitem__, 1000)
    assert 0 < len(sample.numbers) <= 1000
    assert (sample.numbers % 2 == 1).all()
    assert np.allclose(np.linalg.norm(sample.vectors, axis=1), 1)
    assert not np.shares_memory(sample.vectors, vectors)


@pytest.mark.parametrize("shape", [(0, 0), (0, 256), (1, 256), (2, 3)])
def test_small_corpora(shape: tuple[int, int]) -> None:
    vectors = np.ones(shape, np.float32)
    sample = sample_of(len(vectors), vectors.__getitem__)
    labels = clusters(sample.vectors)
    assert len(labels) == len(sample.numbers) == shape[0]
    assert plane(sample.vectors, labels).shape == (shape[0], 2)


def test_clear_clusters_are_found_and_lie_apart() -> None:
    vectors, truth = blobs(800, 4)
    labels = clusters(vectors, 4)
    assert all(len(np.unique(labels[truth == i])) == 1 for i in range(4))
    assert len(np.unique(labels)) == 4
    places = plane(vectors, labels)
    assert places.min() >= 0
    assert places.max() <= 1
    centres = np.stack([places[truth == i].mean(axis=0) for i in range(4)])
    inside = max(np.linalg.norm(places[truth == i] - centres[i], axis=1).mean() for i in range(4))
    apart = min(np.linalg.norm(centres[i] - centres[j]) for i in range(4) for j in range(i))
    assert apart > inside


def test_clusters_are_the_same_each_time_and_the_largest_is_first() -> None:
    vectors, _ = blobs(300, 3)
    labels = clusters(vectors)
    assert (clusters(vectors) == labels).all()
    sizes = np.bincount(labels)
    assert sizes.tolist() == sorted(sizes.tolist(), reverse=True)
    assert (plane(vectors, labels) == plane(vectors, labels)).all()


def test_equal_vectors_do_no_harm() -> None:
    vectors = np.tile(np.float32([1, 0, 0]), (50, 1))
    labels = clusters(vectors)
    assert np.isfinite(plane(vectors, labels)).all()
