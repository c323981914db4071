"""After: the same analysis and the same service with raudo."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from claims_work import AT_ONCE, THRESHOLD, WORD, Documents, K, arguments, embed, requests, tell
from raudo import AsyncProcessor, SmartCache
from raudo.analysis import DocumentAnalyzer, FileSource
from raudo.export import export


def analyse(source: Path, out: Path) -> DocumentAnalyzer:
    analyzer = DocumentAnalyzer(embed, keep_texts=False)
    report = analyzer.analyze(FileSource([source]), threshold=THRESHOLD, k=K)
    export(report.document_rows(), out / "documents.jsonl")
    return analyzer


async def serve(
    source: Path, out: Path, analyzer: DocumentAnalyzer, n: int, n_entries: int
) -> float:
    """As many live objects as before; below them half as many again are compressed in memory, and
    two and a half times as many lie on disk.
    """
    documents = Documents(source)

    def analyse_one(number: int) -> dict[str, Any]:
        document = documents.read(number)
        return {
            "id": document["id"],
            "words": len(WORD.findall(document["text"])),
            "similar": [
                {"id": found.id, "similarity": round(found.similarity, 4)}
                for found in analyzer.similar(document["text"], K)
            ],
        }

    async with (
        SmartCache(5 * n_entries, levels=(0.2, 0.3, 0.5)) as cache,
        AsyncProcessor(use_processes=False) as processor,
    ):

        async def load(number: int) -> dict[str, Any]:
            return await processor.process(analyse_one, number, kind="thread")

        async def answer(number: int) -> dict[str, Any]:
            return await cache.get_or_load(number, load)

        n_documents = len(documents)
        answers = await processor.process_batch(
            [(answer, (number,)) for number in requests(n, n_documents)], max_concurrent=AT_ONCE
        )
        export(answers, out / "answers.jsonl")
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
