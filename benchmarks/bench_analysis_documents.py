"""Times each stage of the analysis on a folder of text, beside plain Python where there is a rival.

    python benchmarks/bench_analysis_documents.py [--paths PATH...] [--repeat 3] [--limit N]

The default is the standard library of the interpreter that runs it; a file of lines is a document a
line.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice

import numpy as np

from raudo._core import likeness, text
from raudo.analysis import DocumentAnalyzer, FileSource
from raudo.analysis.embeddings import HashingEmbedding
from raudo.analysis.words import WordCounts


def median_seconds(work: Callable[[], object], repeat: int) -> float:
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", nargs="+", default=[sysconfig.get_path("stdlib")])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--limit", type=int, help="documents at most")
    parser.add_argument("--kernels", action="store_true", help="not the whole analysis")
    args = parser.parse_args()

    texts = [document.text for document in islice(FileSource(args.paths), args.limit)]
    n_bytes = sum(len(each.encode("utf-8", "surrogatepass")) for each in texts)
    print(f"{len(texts):,} documents, {n_bytes / 1e6:.1f} MB of UTF-8; medians of {args.repeat}\n")

    offsets, words, counts, _ = text.count_words(texts)
    terms, n_terms = text.vocabulary(words)
    idf = np.log((1 + len(texts)) / (1 + np.bincount(terms, minlength=n_terms))) + 1
    seeds = np.arange(128, dtype=np.uint32)
    word = re.compile(r"\w+")

    def text_to_vectors() -> object:
        return HashingEmbedding.of(WordCounts.of(texts, 1), 256, 1)

    kernels: dict[str, Callable[[], object]] = {
        "tokenise and hash": lambda: text.tokenise(texts),
        "count words": lambda: text.count_words(texts),
        "  re + Counter": lambda: [Counter(word.findall(each.lower())) for each in texts],
        "content keys": lambda: text.content_keys(texts),
        "vocabulary": lambda: text.count_terms(words),
        "TF-IDF, 256 dimensions": lambda: text.embed(offsets, words, counts, terms, idf, 256),
        "text to TF-IDF vectors": text_to_vectors,
        "MinHash, 128 components": lambda: likeness.minhash(offsets, words, seeds),
    }
    print(f"{'one thread':<26}{'ms':>10}{'documents/s':>14}{'MB/s':>9}")
    for name, work in kernels.items():
        seconds = median_seconds(work, args.repeat)
        rate = len(texts) / seconds
        print(f"{name:<26}{seconds * 1e3:>10.1f}{rate:>14,.0f}{n_bytes / seconds / 1e6:>9.0f}")

    if args.kernels:
        return
    with tempfile.TemporaryDirectory() as cache:
        runs = [DocumentAnalyzer(cache=cache).analyze(texts) for _ in range(1 + args.repeat)]
    later = [{stage.name: stage.seconds for stage in run.stages} for run in runs[1:]]
    print(f"\n{'whole analysis, s':<26}{'first':>10}{'later':>14}")
    for stage in runs[0].stages:
        again = statistics.median(run[stage.name] for run in later)
        print(f"{stage.name:<26}{stage.seconds:>10.3f}{again:>14.3f}")


if __name__ == "__main__":
    main()
