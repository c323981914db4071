"""Near-duplicates among embeddings that lie on a GPU, found there.

    pip install raudo torch
    python examples/arrays_elsewhere.py

Without a GPU the same lines run on the CPU, by raudo's kernels. Arrays of CuPy go the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from raudo.similarity import FlatIndex, nearest


def main(put: Callable[[np.ndarray], Any]) -> None:
    """`put` takes an array to where the work is to be done."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((2_000, 64)).astype(np.float32)
    vectors[1_500] = vectors[7] * np.float32(1.0001)  # a near-duplicate
    there = put(vectors)

    ids, distances = nearest(there, there, 2, "cosine")  # each row finds itself, and then another
    print("row 7 is nearest to", int(ids[7, 1]), "at", f"{float(distances[7, 1]):.1e}")

    index = FlatIndex(64, "cosine")  # it lies where its vectors do
    index.add(there)
    print("the index finds", int(index.search(there[7:8, :], 2).ids[0, 1]))
    print("answers are", type(ids).__name__, "on", ids.device)


if __name__ == "__main__":
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    main(lambda array: torch.asarray(array, device=device))
