"""Arrays from the shared buffers: of one's own for as long as they are kept, and let go."""

from __future__ import annotations

import numpy as np
import pytest

from raudo.memory import MemoryOptimizer, scratch
from raudo.memory.buffer_pool import SHARED_BUFFERS
from raudo.similarity import nearest, pairwise_distances


@pytest.fixture(autouse=True)
def small_ones_too(monkeypatch):
    monkeypatch.setattr(scratch, "POOLED_FROM_BYTES", 1 << 10)
    SHARED_BUFFERS.trim()
    yield
    SHARED_BUFFERS.trim()


def test_large_arrays_use_the_memory_of_those_that_are_gone():
    first = scratch.empty((16, 64), "float32")
    address = first.ctypes.data
    assert first.flags.carray
    assert address % 64 == 0
    del first
    second = scratch.empty((32, 32), np.float32)
    assert second.ctypes.data == address
    second = second[3:]  # a view: it still has the memory
    assert scratch.empty((16, 64), np.float32).ctypes.data != address
    assert second.ctypes.data == address + 3 * 32 * 4


def test_small_ones_leave_the_pool_alone():
    before = SHARED_BUFFERS.stats()
    assert scratch.empty((0, 5), "int8").shape == (0, 5)
    assert scratch.empty((255,), "float32").base is None
    assert SHARED_BUFFERS.stats() == before


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine", "hamming"])
def test_results_that_are_kept_are_not_written_again(metric):
    rows = np.random.default_rng(0).standard_normal((48, 8)).astype(np.float16)
    kept = [pairwise_distances(rows + i, metric=metric) for i in range(4)]
    copies = [result.copy() for result in kept]
    for i in range(4):
        pairwise_distances(np.asfortranarray(rows * i), metric=metric)
        nearest(rows[:2], np.asfortranarray(rows * i), 3, metric=metric)
    for result, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(result, copy)


def test_copies_of_the_rows_come_from_the_pool_and_go_back():
    rows = np.ones((300, 8), np.float16)
    nearest(rows[:1], rows, 1)
    created = SHARED_BUFFERS.stats()["created"]
    for _ in range(5):
        nearest(rows[:1], rows, 1)
    assert SHARED_BUFFERS.stats()["created"] == created


def test_optimize_lets_them_go():
    scratch.empty((1024,), np.uint8)
    scratch.empty((2048,), np.uint8)
    assert SHARED_BUFFERS.stats()["held_bytes"] == 3072
    done = MemoryOptimizer(auto_optimize=False).optimize(0)
    assert done["trimmed_bytes"] == 3072 - SHARED_BUFFERS.stats()["held_bytes"] >= 1536
    assert done["trimmed"] == 0
