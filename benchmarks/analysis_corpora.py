"""Short documents from files, and which of them are truly near-duplicates."""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "alike",
    "groups_of_pairs",
    "read_corpus",
    "similar_pairs",
    "sparse_sets",
    "write_jsonl",
]

_WORD = re.compile(r"\w+")
_ROWS = 512
_ALL_PAIRS = 20_000


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
    `threshold`.

    Up to 20,000 texts all pairs are compared, by a product of sparse matrices; of more those that
    `alike` compares, which takes a fiftieth of the time.
    """
    if len(texts) <= _ALL_PAIRS:
        return _of_all_pairs(*sparse_sets(texts), threshold)
    pairs = alike([set(_WORD.findall(text.lower())) for text in texts], threshold)
    return np.array(pairs, np.int64).reshape(-1, 2)


def alike(sets: Sequence[Set[str]], threshold: float) -> list[tuple[int, int]]:
    """Return the pairs of sets of words whose Jaccard similarity is at least `threshold`.

    Two such sets share one of the rarest words of each, so only those that do are compared (the
    prefix filter of Bayardo, Ma and Srikant 2007).
    """
    frequency = Counter(word for words in sets for word in words)
    having: defaultdict[str, list[int]] = defaultdict(list)
    pairs = []
    for number, words in enumerate(sets):
        rarest = sorted(words, key=lambda word: (frequency[word], word))
        rarest = rarest[: len(words) - math.ceil(threshold * len(words)) + 1]
        for other in {other for word in rarest for other in having[word]}:
            shared = len(words & sets[other])
            if shared >= threshold * (len(words) + len(sets[other]) - shared):
                pairs.append((other, number))
        for word in rarest:
            having[word].append(number)
    return pairs


def _of_all_pairs(
    offsets: NDArray[np.int64], flat: NDArray[np.int64], threshold: float
) -> NDArray[np.int64]:
    from scipy.sparse import csr_array

    n = len(offsets) - 1
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
