"""Short documents from files, and which of them are truly near-duplicates."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["groups_of_pairs", "read_corpus", "similar_pairs", "sparse_sets", "write_jsonl"]

_WORD = re.compile(r"\w+")
_ROWS = 512


def read_corpus(paths: Iterable[str], cut: str, most: int | None = None) -> list[str]:
    """Return what stands after the last `cut` of each line, in a shuffled order that is always the
    same; lines without it, or with nothing after it, are left out.
    """
    texts = []
    for path in paths:
        with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
            for line in file:
                _, found, text = line.rpartition(cut)
                if found and text.strip():
                    texts.append(text.strip())
    random.Random(1).shuffle(texts)
    return texts[:most]


def write_jsonl(path: Path, texts: Sequence[str]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for number, text in enumerate(texts):
            file.write(json.dumps({"id": f"d{number}", "text": text}) + "\n")


def sparse_sets(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (offsets, numbers) of the distinct lower-cased words of each text, by Python's re."""
    numbers: dict[str, int] = {}
    offsets, flat = [0], []
    for text in texts:
        words = set(_WORD.findall(text.lower()))
        flat += [numbers.setdefault(word, len(numbers)) for word in words]
        offsets.append(len(flat))
    return np.array(offsets, np.int64), np.array(flat, np.int64)


def similar_pairs(texts: Sequence[str], threshold: float) -> NDArray[np.int64]:
    """Return every pair (i, j), i < j, whose sets of words have a Jaccard similarity of at least
    `threshold`: all pairs are compared, by a product of sparse matrices.
    """
    from scipy.sparse import csr_array

    offsets, flat = sparse_sets(texts)
    n = len(texts)
    sizes = np.diff(offsets)
    sets = csr_array(
        (np.ones(len(flat), np.int32), flat, offsets), shape=(n, int(flat.max(initial=0)) + 1)
    )
    turned = sets.T.tocsr()
    pairs = []
    for lo in range(0, n, _ROWS):
        shared = (sets[lo : lo + _ROWS] @ turned).tocoo()
        left, right = shared.coords[0].astype(np.int64) + lo, shared.coords[1].astype(np.int64)
        ratio = shared.data / (sizes[left] + sizes[right] - shared.data)
        kept = (left < right) & (ratio >= threshold)
        pairs.append(np.column_stack((left[kept], right[kept])))
    return np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)


def groups_of_pairs(n: int, pairs: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Return the least member of each one's connected component."""
    parents = list(range(n))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parents[high] = low
    return np.array([root(i) for i in range(n)], np.int64)
