"""Before: the analysis and the service as one writes them first. A dict as cache, asyncio.gather,
json, NumPy for the vectors; near-duplicates by an index of each document's rarest words.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from analysis_corpora import alike, groups_of_pairs
from claims_work import (
    AT_ONCE,
    THRESHOLD,
    WORD,
    Documents,
    K,
    arguments,
    embed,
    requests,
    tell,
)


def nearest(vectors: Any, queries: Any, n: int) -> tuple[Any, Any]:
    """Return (numbers, cosines) of the n nearest of each query, (q, n)."""
    cosines = queries @ vectors.T
    ids = np.argpartition(-cosines, n - 1, axis=1)[:, :n]
    found = np.take_along_axis(cosines, ids, axis=1)
    order = np.argsort(-found, axis=1)
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(found, order, axis=1)


def similar(ids: list[str], numbers: Any, cosines: Any, but: int | None) -> list[dict[str, Any]]:
    return [
        {"id": ids[i], "similarity": round(cosine, 4)}
        for i, cosine in zip(numbers.tolist(), cosines.tolist(), strict=True)
        if i != but
    ][:K]


def analyse(source: Path, out: Path) -> tuple[list[str], Any]:
    with open(source, encoding="utf-8") as file:
        documents = [json.loads(line) for line in file]
    texts = [document["text"] for document in documents]
    ids = [document["id"] for document in documents]
    sets = [set(WORD.findall(text.lower())) for text in texts]
    groups = groups_of_pairs(len(texts), alike(sets, THRESHOLD))
    sizes = Counter(groups.tolist())
    vectors = embed(texts)
    results = []
    for start in range(0, len(texts), 500):
        found = nearest(vectors, vectors[start : start + 500], min(K + 1, len(texts)))
        for i, numbers, cosines in zip(range(start, len(texts)), *found, strict=False):
            group = int(groups[i])
            results.append(
                {
                    "id": ids[i],
                    "group": group if sizes[group] > 1 else None,
                    "similar": similar(ids, numbers, cosines, i) if vectors[i].any() else [],
                    "chars": len(texts[i]),
                    "words": len(WORD.findall(texts[i].lower())),
                }
            )
    write(out / "documents.jsonl", results)
    return ids, vectors


def write(path: Path, results: Iterable[dict[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for result in results:
            file.write(json.dumps(result) + "\n")


async def serve(
    source: Path, out: Path, ids: list[str], vectors: Any, n: int, n_entries: int
) -> float:
    documents = Documents(source)
    cache: dict[int, dict[str, Any]] = {}
    permits = asyncio.Semaphore(AT_ONCE)
    hits = 0

    async def answer(number: int) -> dict[str, Any]:
        nonlocal hits
        async with permits:
            if number in cache:
                hits += 1
                return cache[number]
            document = await asyncio.to_thread(documents.read, number)
            vector = embed([document["text"]])
            found = nearest(vectors, vector, min(K, len(ids)))
            result = {
                "id": document["id"],
                "words": len(WORD.findall(document["text"])),
                "similar": similar(ids, found[0][0], found[1][0], None) if vector.any() else [],
            }
            if len(cache) >= n_entries:
                del cache[next(iter(cache))]
            cache[number] = result
            return result

    answers = await asyncio.gather(*(answer(number) for number in requests(n, len(ids))))
    write(out / "answers.jsonl", answers)
    return hits / n


def main() -> None:
    source, out, n_requests, n_entries = arguments()
    start = time.perf_counter()
    ids, vectors = analyse(source, out)
    analysed = time.perf_counter()
    hit_rate = asyncio.run(serve(source, out, ids, vectors, n_requests, n_entries))
    served = time.perf_counter()
    tell(
        out,
        analysis_s=analysed - start,
        requests_per_s=n_requests / (served - analysed),
        hit_rate=hit_rate,
    )


if __name__ == "__main__":
    main()
