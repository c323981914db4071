"""Near-duplicates: recall and precision against all pairs, and corpora made to be hard.

    python benchmarks/bench_analysis_duplicates.py --corpus PATH... [--cut SEP] [--size 20000]
    python benchmarks/bench_analysis_duplicates.py --hard [--size 100000]

The first compares all pairs of a corpus (see bench_analysis_scale) at several thresholds, and
counts how many of those whose Jaccard similarity reaches the threshold are in one group, how many
grouped documents have such a partner, and whether the groups are the very components; by prefix
filtering, and by MinHash bands, which large corpora with common words take. The second times what
must not become quadratic: copies, templates, one giant document, documents of one word, few words.
"""

from __future__ import annotations

import argparse
import math
import random
import resource
import time
from collections.abc import Callable

import numpy as np

from analysis_corpora import groups_of_pairs, read_corpus, similar_pairs
from raudo._core import text
from raudo.analysis import DocumentAnalyzer
from raudo.analysis.duplicates import similar_sets

THRESHOLDS = (0.5, 0.7, 0.8, 0.9)


def compare(texts: list[str]) -> None:
    print(f"{len(texts):,} documents")
    print(
        f"{'threshold':>9}{'pairs':>12}  {'way':<32}{'ms':>8}{'recall':>9}{'precision':>11}  groups"
    )
    for threshold in THRESHOLDS:
        pairs = similar_pairs(texts, threshold)
        truth = groups_of_pairs(len(texts), map(tuple, pairs.tolist()))
        for visits in (math.inf, -1.0):
            start = time.perf_counter()
            sets = text.word_sets(texts, n_jobs=2)
            found = similar_sets(*sets, threshold, 2, exact_visits=visits)
            seconds = time.perf_counter() - start
            together = found.labels[pairs[:, 0]] == found.labels[pairs[:, 1]]
            partnered = np.zeros(len(texts), bool)
            partnered[pairs[together].ravel()] = True
            grouped = np.bincount(found.labels, minlength=len(texts))[found.labels] > 1
            recall = together.mean() if len(pairs) else 1.0
            precision = partnered[grouped].mean() if grouped.any() else 1.0
            same = "the same" if (found.labels == truth).all() else "others"
            print(
                f"{threshold:>9}{len(pairs):>12,}  {found.method[:31]:<32}{seconds * 1e3:>8.0f}"
                f"{recall:>9.4f}{precision:>11.4f}  {same}",
                flush=True,
            )


def hard_corpora(n: int) -> dict[str, Callable[[], list[str]]]:
    source = random.Random(5)
    few = [f"word{i}" for i in range(24)]
    some = [f"word{i}" for i in range(2000)]
    long = " ".join(some[:100])
    return {
        "all equal": lambda: ["the quick brown fox jumps over the lazy dog"] * n,
        "one number changed": lambda: [
            f"order {i} was shipped to the store today" for i in range(n)
        ],
        "one of 100 words changed": lambda: [f"{long} number{i}" for i in range(n)],
        "two of 100 words changed": lambda: [
            f"{long} number{i} and{source.randrange(n)}" for i in range(n)
        ],
        "empty": lambda: [""] * n,
        "one word each, all others": lambda: [f"word{i}" for i in range(n)],
        "one word each, of 100": lambda: [f"word{i % 100}" for i in range(n)],
        "six of 24 words": lambda: [" ".join(source.sample(few, 6)) for _ in range(n)],
        "twelve of 24 words": lambda: [" ".join(source.sample(few, 12)) for _ in range(n)],
        "thirty of 2,000 words": lambda: [" ".join(source.sample(some, 30)) for _ in range(n)],
        "one of 20 MB, others short": lambda: [
            " ".join(f"w{source.randrange(10**6)}" for _ in range(2_500_000)),
            *(f"short text {i % 50} of w{i}" for i in range(n - 1)),
        ],
    }


def time_hard(n: int, threshold: float, k: int) -> None:
    print(f"{n:,} documents, threshold {threshold}, k {k}; seconds")
    print(f"{'':<28}{'words':>8}{'embed':>8}{'duplicates':>12}{'similar':>9}{'peak MiB':>10}  ways")
    for name, make in hard_corpora(n).items():
        report = DocumentAnalyzer(keep_texts=False).analyze(make(), threshold=threshold, k=k)
        took = {stage.name: stage.seconds for stage in report.stages}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(
            f"{name:<28}{took['words']:>8.2f}{took['embed']:>8.2f}{took['duplicates']:>12.2f}"
            f"{took['similar']:>9.2f}{peak:>10,}  {report.duplicates_method}; "
            f"{report.neighbours.method}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", nargs="+", metavar="PATH")
    parser.add_argument("--cut", default="\t", help="what stands before the document in a line")
    parser.add_argument("--hard", action="store_true")
    parser.add_argument("--size", type=int)
    parser.add_argument("--threshold", type=float, default=0.8, help="of --hard")
    parser.add_argument("--k", type=int, default=0, help="of --hard (default 0)")
    args = parser.parse_args()
    if args.corpus:
        compare(read_corpus(args.corpus, args.cut, args.size or 20_000))
    if args.hard:
        time_hard(args.size or 100_000, args.threshold, args.k)


if __name__ == "__main__":
    main()
