"""After: the same analysis and the same service with raudo."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import islice
from pathlib import Path
from typing import Any

from claims_work import (
    AT_ONCE,
    ROOM,
    THRESHOLD,
    WORD,
    Documents,
    K,
    arguments,
    embed,
    requests,
    tell,
)
from raudo import AsyncProcessor, BatchProcessor, SmartCache
from raudo.analysis import DocumentAnalyzer, FileSource
from raudo.export import export, export_async


def analyse(source: Path, out: Path) -> DocumentAnalyzer:
    analyzer = DocumentAnalyzer(embed, keep_texts=False)
    report = analyzer.analyze(FileSource([source]), threshold=THRESHOLD, k=K)
    export(report.document_rows(), out / "documents.jsonl")
    return analyzer


async def serve(
    source: Path, out: Path, analyzer: DocumentAnalyzer, n: int, n_entries: int
) -> float:
    """As many live objects as before; below them half as many again are compressed in memory, and
    two and a half times as many lie on disk. Misses are answered together, as they come.
    """
    documents = Documents(source)
    misses = BatchProcessor(batch_size=AT_ONCE, max_wait_time=0.001)

    @misses.handler
    async def analyse_many(numbers: list[int]) -> list[dict[str, Any]]:
        read = [documents.read(number) for number in numbers]
        near = analyzer.similar_many([document["text"] for document in read], K)
        return [
            {
                "id": document["id"],
                "words": len(WORD.findall(document["text"])),
                "similar": [
                    {"id": each.id, "similarity": round(each.similarity, 4)} for each in found
                ],
            }
            for document, found in zip(read, near, strict=True)
        ]

    async with (
        SmartCache(ROOM * n_entries, levels=(0.2, 0.3, 0.5), loader=misses.submit) as cache,
        AsyncProcessor() as processor,
        misses,
    ):

        async def answer(number: int) -> dict[str, Any]:
            found: dict[str, Any] = await cache.get_or_load(number)
            return found

        async def answers() -> AsyncIterator[dict[str, Any]]:
            numbers = requests(n, len(documents))
            while tasks := [(answer, (number,)) for number in islice(numbers, 1000)]:
                for each in await processor.process_batch(tasks, max_concurrent=AT_ONCE):
                    yield each

        await export_async(answers(), out / "answers.jsonl")
        return float(cache.get_stats()["hit_rate"])


def main() -> None:
    source, out, n_requests, n_entries = arguments()
    start = time.perf_counter()
    analyzer = analyse(source, out)
    analysed = time.perf_counter()
    hit_rate = asyncio.run(serve(source, out, analyzer, n_requests, n_entries))
    served = time.perf_counter()
    tell(
        out,
        analysis_s=analysed - start,
        requests_per_s=n_requests / (served - analysed),
        hit_rate=hit_rate,
    )


if __name__ == "__main__":
    main()
