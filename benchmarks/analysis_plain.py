"""The analysis as one writes it with scikit-learn and a MinHash library, for bench_analysis_scale.

    python benchmarks/analysis_plain.py {datasketch,rensa} IN.jsonl OUT.json THRESHOLD K

Reads the documents, groups near-duplicates, embeds (TF-IDF hashed to 256 dimensions), finds the k
nearest of each, and writes a line a document.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis_corpora import groups_of_pairs

_WORD = re.compile(r"\w+")
COMPONENTS = 128

Pairs = Iterator[tuple[int, int]]


def by_datasketch(texts: Sequence[str], threshold: float) -> Pairs:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=threshold, num_perm=COMPONENTS)
    for number, text in enumerate(texts):
        words = set(_WORD.findall(text.lower()))
        if not words:
            continue
        signature = MinHash(num_perm=COMPONENTS)
        signature.update_batch([word.encode() for word in words])
        for other in index.query(signature):
            yield other, number
        index.insert(number, signature, check_duplication=False)


def by_rensa(texts: Sequence[str], threshold: float) -> Pairs:
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(threshold=threshold, num_perm=COMPONENTS, num_bands=16)
    for number, text in enumerate(texts):
        words = set(_WORD.findall(text.lower()))
        if not words:
            continue
        signature = RMinHash(num_perm=COMPONENTS, seed=1)
        signature.update(list(words))
        for other in index.query(signature):
            yield other, number
        index.insert(number, signature)


WAYS: dict[str, Callable[[Sequence[str], float], Pairs]] = {
    "datasketch": by_datasketch,
    "rensa": by_rensa,
}


def embedded(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return (n, 256) float32 of unit length."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    counts = HashingVectorizer(n_features=256, token_pattern=r"\w+", norm=None).transform(texts)
    weighed = TfidfTransformer(sublinear_tf=False).fit_transform(counts).toarray()
    vectors: NDArray[np.float32] = weighed.astype(np.float32)
    return vectors


def main() -> None:
    way, source, target, threshold, k = sys.argv[1:]
    from sklearn.neighbors import NearestNeighbors

    with open(source, encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    texts = [record["text"] for record in records]
    labels = groups_of_pairs(len(texts), WAYS[way](texts, float(threshold)))
    vectors = embedded(texts)
    # Zeros, of texts without words, are as near to all by this metric as an angle of 60 degrees is.
    with_words = np.flatnonzero(vectors.any(axis=1))
    n_nearest = min(int(k), len(with_words) - 1)
    if n_nearest > 0:
        search = NearestNeighbors(
            n_neighbors=n_nearest + 1, metric="euclidean", algorithm="brute", n_jobs=-1
        ).fit(vectors[with_words])
        distances, ids = search.kneighbors(vectors)
        ids = with_words[ids]
    with open(target, "w", encoding="utf-8") as file:
        for i, record in enumerate(records):
            row = {"id": record["id"], "group": int(labels[i])}
            if n_nearest > 0:
                row["similar"] = [
                    {"id": records[j]["id"], "similarity": round(1 - float(d) ** 2 / 2, 4)}
                    for j, d in zip(ids[i].tolist(), distances[i].tolist(), strict=True)
                    if j != i
                ][:n_nearest]
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
