"""Embedders: batches, a real model, and what is computed again when a text or a model changes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raudo import ParallelExecutor
from raudo.analysis import DocumentAnalyzer
from raudo.analysis.embeddings import BATCH_TEXTS, TextEmbedder

TEXTS = [
    "a fast cache for python services",
    "python services need a quick cache",
    "the recipe asks for two eggs and flour",
    "bake the cake with flour and eggs",
]


class Watched:
    """Records what it is given and from where; refuses to run twice at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.busy = threading.Lock()

    def embed(self, texts: list[str]) -> np.ndarray:
        assert self.busy.acquire(blocking=False), "two batches at once"
        self.sizes.append(len(texts))
        self.busy.release()
        return np.array([[len(text), 1.0] for text in texts])


def test_texts_go_in_batches_one_at_a_time_and_in_order() -> None:
    model = Watched()
    texts = ["x" * (i % 97) for i in range(2 * BATCH_TEXTS + 3)]
    vectors = TextEmbedder(model, None).encode(texts)
    assert model.sizes == [BATCH_TEXTS, BATCH_TEXTS, 3]
    expected = np.array([[i % 97, 1.0] for i in range(len(texts))])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(vectors, expected, atol=1e-6)


async def test_an_event_loop_may_call_the_analyzer() -> None:
    assert len(DocumentAnalyzer(Watched()).analyze(TEXTS, k=1)) == 4


def test_an_error_of_the_model_is_the_callers() -> None:
    def broken(texts: list[str]) -> np.ndarray:
        raise ZeroDivisionError("inside the model")

    with pytest.raises(ZeroDivisionError, match="inside the model"):
        DocumentAnalyzer(broken).analyze(TEXTS)


def test_wordllama_finds_meaning_and_is_computed_once(tmp_path: Path) -> None:
    pytest.importorskip("wordllama")
    first = DocumentAnalyzer("wordllama", cache=tmp_path).analyze(TEXTS, k=1)
    assert [first.similar(i)[0].id for i in range(4)] == [1, 0, 3, 2]
    changed = [*TEXTS[:3], "fix the bug in the parser"]
    second = DocumentAnalyzer("wordllama", cache=tmp_path).analyze(changed, k=1)
    embed = next(stage for stage in second.stages if stage.name == "embed")
    assert (embed.hits, embed.misses) == (3, 1)
    assert np.array_equal(second.neighbours.similarities[:2], first.neighbours.similarities[:2])


def lengths(texts: list[str]) -> np.ndarray:
    return np.array([[len(text), text.count("e"), 1.0] for text in texts])


@pytest.mark.parametrize("embedder", [lengths, "hashing"])
def test_workers_change_nothing(embedder: Any) -> None:
    texts = [f"the {'very ' * (i % 13)}same text, but for the {i % 50}" for i in range(600)]
    with ParallelExecutor(max_processes=2) as executor:
        here, there = (DocumentAnalyzer(embedder, backend=each) for each in (None, executor))
        reports = [each.analyze(texts, measure="cosine") for each in (here, there)]
        assert here.find_duplicates(0.99, measure="cosine") == there.find_duplicates(
            0.99, measure="cosine"
        )
    assert reports[0].groups == reports[1].groups
    for name in ("ids", "similarities"):
        found = [getattr(each.neighbours, name) for each in reports]
        np.testing.assert_array_equal(*found)


def test_an_index_and_workers_are_not_had_together(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="backend is 'dask' with an index"):
        DocumentAnalyzer(index=tmp_path, backend="dask")
