"""The k nearest of each of many documents: every pair, and lists; seconds, memory and recall.

    python benchmarks/bench_analysis_neighbours.py --corpus PATH... [--cut SEP] [--sizes N...]
    python benchmarks/bench_analysis_neighbours.py --vectors FILE.npy [--sizes N...] [--ways lists]

Vectors are the hashing TF-IDF of a document a line, or rows of a file, (n, d) float32; where there
are fewer than asked for, means of two of them are added. Each way is a process of its own: seconds
are those of finding the neighbours of vectors that are in memory, and peak resident memory counts
these too. Recall is the share of the neighbours of 1,000 rows that are as near as the k nearest
that a comparison with all rows finds. Each tenth that is done is told on standard error.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis_corpora import read_corpus

SAMPLED = 1_000
RUN = """
import json, resource, sys, time
import numpy as np
from raudo.analysis.neighbours import find_neighbours
from raudo.similarity import nearest
path, k, limit, n_jobs, sampled = sys.argv[1], *map(int, sys.argv[2:])
vectors = np.load(path)
start, cpu = time.perf_counter(), time.process_time()
done = 0
def tick(n):
    global done
    before, done = done, done + n
    if done * 10 // len(vectors) > before * 10 // len(vectors):
        print(f"{done:,} in {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
found = find_neighbours(vectors, k, n_jobs, tick, exact_limit=limit)
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
rows = np.linspace(0, len(vectors) - 1, sampled).astype(np.int64)
rows = rows[vectors[rows].any(axis=1)]
best = nearest(vectors[rows], vectors, k + 1, "inner", n_jobs)
cosines = np.where(best.ids == rows[:, None], -np.inf, best.distances)
last = -np.sort(-cosines, axis=1)[:, k - 1]
near = np.nan_to_num(found.similarities[rows], nan=-np.inf)
recall = float((near >= last[:, None] - 1e-5).mean())
print(json.dumps({"s": seconds, "cpu": cpu, "MiB": peak, "recall": recall, "method": found.method}))
"""


def run(vectors: Path, k: int, limit: int, n_jobs: int) -> dict[str, float]:
    arguments = [str(vectors), *map(str, (k, limit, n_jobs, SAMPLED))]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def hashed(texts: list[str]) -> NDArray[np.float32]:
    from raudo.analysis import DocumentAnalyzer

    analyzer = DocumentAnalyzer(keep_texts=False)
    analyzer.analyze(texts, k=0)
    assert analyzer._corpus is not None
    return analyzer._corpus.vectors


def filled_up(vectors: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Return n rows; those beyond the given ones lie between two of them."""
    if len(vectors) >= n:
        return vectors[:n]
    generator = np.random.default_rng(0)
    left, right = generator.integers(0, len(vectors), (2, n - len(vectors)))
    made = vectors[left] + vectors[right]
    made /= np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-9)
    return np.concatenate([vectors, made])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--corpus", nargs="+", metavar="PATH")
    source.add_argument("--vectors", type=Path, metavar="FILE.npy")
    parser.add_argument("--cut", default="\t", help="what stands before the document in a line")
    parser.add_argument("--sizes", nargs="+", type=int, default=[100_000, 300_000])
    parser.add_argument("--ways", nargs="+", choices=("pairs", "lists"), default=("pairs", "lists"))
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    if args.vectors is not None:
        whole = np.load(args.vectors, mmap_mode="r")
    else:
        whole = hashed(read_corpus(args.corpus, args.cut, max(args.sizes)))
    print(
        f"{'vectors':>12}{'way':>8}{'seconds':>10}{'of CPU':>9}"
        f"{'a second':>12}{'peak MiB':>10}{'recall':>8}"
    )
    with tempfile.TemporaryDirectory(prefix="raudo-neighbours-") as folder:
        for n in args.sizes:
            path = Path(folder) / f"{n}.npy"
            np.save(path, filled_up(whole, n))
            for way in args.ways:
                found = run(path, args.k, n if way == "pairs" else 0, args.jobs)
                cells = f"{found['s']:>10.2f}{found['cpu']:>9.2f}"
                cells += f"{n / found['s']:>12,.0f}{found['MiB']:>10,.0f}"
                print(f"{n:>12,}{way:>8}{cells}{found['recall']:>8.3f}", flush=True)
            path.unlink()


if __name__ == "__main__":
    main()
