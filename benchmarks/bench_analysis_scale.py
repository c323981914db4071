"""The whole analysis from files on disk to exported results, at 1,000 to 1,000,000 documents.

    python benchmarks/bench_analysis_scale.py --corpus PATH... [--cut SEP] [--sizes N...]
        [--similar-up-to N] [--memory SIZE] [--threshold 0.8] [--k 10]
        [--plain datasketch rensa] [--plain-sizes N...]

A corpus is text files of a document a line: what stands after the last SEP (a tab) of it. The
documents are written to a .jsonl, of which `raudo analyze` makes near-duplicate groups, embeddings,
the k most similar of each (up to 100,000 documents) and exported results, in a process of its own:
seconds and resident memory are that process's, beside those of one that analyses a single document.
Its sources are compiled, as those of an installed package are. `--similar-up-to` asks for the k
most similar of more, `--memory` bounds what reading holds.

With --plain the same is done by scikit-learn and a MinHash library. All pairs at the threshold are
then known: recall is the share of them that are in one group, precision the share of grouped
documents with such a partner in their group, and nearest the share of 1,000 documents whose k-th
cosine is that of an exhaustive search of the same vectors. `--sizes` without a number leaves the
table of raudo alone out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import analysis_plain
from analysis_corpora import read_corpus, similar_pairs, write_jsonl

# Seconds beside start-up that an analysis of so many short documents should take, and bytes.
BARS = {1_000: 0.05, 10_000: 0.3, 100_000: 2.5, 1_000_000: 18.0}
MOST_BYTES = 4 << 30
SIMILAR_UP_TO = 100_000


class Run(NamedTuple):
    """What a process took: wall seconds, those of processors, peak resident bytes."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


# A process counts the memory of the one that it was forked from among its own: this one is small.
_LAUNCHER = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
print(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
sys.exit(code)
"""


_COMPILED = tempfile.TemporaryDirectory(prefix="raudo-compiled-")


def run(command: Sequence[str]) -> Run:
    variables = os.environ | {"PYTHONPYCACHEPREFIX": _COMPILED.name}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    launched = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, *command],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        env=variables,
    )
    seconds, cpu_seconds, peak_bytes = launched.stdout.split()
    return Run(float(seconds), float(cpu_seconds), int(peak_bytes))


def analyse(source: Path, out: Path, threshold: float, k: int, memory: str | None = None) -> Run:
    command = f"-m raudo analyze {source} --out {out} --no-cache --quiet"
    options = f"--threshold {threshold} --k {k}"
    if memory is not None:
        options += f" --memory {memory}"
    return run([sys.executable, *command.split(), *options.split()])


def stages_of(out: Path) -> str:
    summary = json.loads((out / "summary.json").read_text())
    return ", ".join(f"{stage['name']} {stage['seconds']:.2f}" for stage in summary["stages"])


class Found(NamedTuple):
    """Of each document: its group (its own number where it has none), and its last cosine."""

    groups: NDArray[np.int64]
    last: NDArray[np.float64]


def found_in(path: Path, k: int) -> Found:
    groups, last = [], []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file):
            row = json.loads(line)
            groups.append(-1 - number if row["group"] is None else row["group"])
            similar = row.get("similar", [])
            last.append(similar[k - 1]["similarity"] if 0 < k <= len(similar) else np.nan)
    return Found(np.array(groups, np.int64), np.array(last))


def quality(found: Found, pairs: NDArray[np.int64]) -> tuple[float, float]:
    """Return (recall, precision)."""
    left, right = found.groups[pairs[:, 0]], found.groups[pairs[:, 1]]
    together = left == right
    partnered = np.zeros(len(found.groups), bool)
    partnered[pairs[together].ravel()] = True
    _, inverse, sizes = np.unique(found.groups, return_inverse=True, return_counts=True)
    grouped = sizes[inverse] > 1
    recall = float(together.mean()) if len(pairs) else 1.0
    return recall, float(partnered[grouped].mean()) if grouped.any() else 1.0


def vectors_of(source: Path) -> NDArray[np.float32]:
    """Return the vectors that raudo gives the documents."""
    from raudo.analysis import DocumentAnalyzer, FileSource

    analyzer = DocumentAnalyzer()
    analyzer.analyze(FileSource(source), k=0)
    assert analyzer._corpus is not None
    return analyzer._corpus.vectors


def nearest_found(found: Found, vectors: NDArray[np.float32], k: int) -> float:
    """Return the share of some documents whose k-th cosine is that of products with all vectors."""
    sample = np.linspace(0, len(vectors) - 1, min(1_000, len(vectors))).astype(np.int64)
    right = []
    for part in np.array_split(sample, 10):
        products = vectors[part].astype(np.float64) @ vectors.T.astype(np.float64)
        products[np.arange(len(part)), part] = -np.inf
        best = np.partition(products, -k, axis=1)[:, -k]
        has_words = vectors[part].any(axis=1)
        right.append(np.isclose(found.last[part], best, rtol=0, atol=1e-4) | ~has_words)
    return float(np.concatenate(right).mean())


def row(name: str, n: int, took: Run, more: str = "") -> str:
    rate = n / took.seconds
    peak = took.peak_bytes / (1 << 20)
    seconds = f"{took.seconds:>10.2f}{took.cpu_seconds:>9.2f}"
    return f"{name:<22}{n:>11,}{seconds}{rate:>14,.0f}{peak:>11,.0f}  {more}".rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", nargs="+", required=True, metavar="PATH")
    parser.add_argument("--cut", default="\t", help="what stands before the document in a line")
    parser.add_argument("--sizes", nargs="*", type=int, default=list(BARS))
    parser.add_argument("--plain", nargs="*", default=[], choices=("datasketch", "rensa"))
    parser.add_argument("--plain-sizes", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--similar-up-to", type=int, default=SIMILAR_UP_TO)
    parser.add_argument("--memory", metavar="SIZE", help="of `raudo analyze`, such as 1GB")
    args = parser.parse_args()

    texts = read_corpus(args.corpus, args.cut)
    words = sum(len(text.split()) for text in texts) / max(1, len(texts))
    print(
        f"{len(texts):,} documents of {words:.1f} words, threshold {args.threshold}, k {args.k}\n"
    )
    print(
        f"{'':<22}{'documents':>11}{'seconds':>10}{'of CPU':>9}{'documents/s':>14}{'peak MiB':>11}"
    )
    with tempfile.TemporaryDirectory(prefix="raudo-scale-") as name:
        folder = Path(name)
        one = folder / "one.jsonl"
        write_jsonl(one, texts[:1])
        start_up = min(analyse(one, folder / "one", args.threshold, args.k) for _ in range(3))
        print(row("start-up", 1, start_up), flush=True)
        for n in args.sizes:
            if n > len(texts):
                print(f"{'raudo':<22}{n:>11,}  the corpus has {len(texts):,} only")
                continue
            source, out = folder / f"{n}.jsonl", folder / f"{n}"
            write_jsonl(source, texts[:n])
            k = args.k if n <= args.similar_up_to else 0
            took = analyse(source, out, args.threshold, k, args.memory)
            print(row("raudo" if k else "raudo, k 0", n, took, verdict(n, took, start_up)))
            print(f"{'':<22}{stages_of(out)}", flush=True)
        for n in args.plain_sizes if args.plain else ():
            compare(folder, texts[:n], args.plain, args.threshold, args.k)


def verdict(n: int, took: Run, start_up: Run) -> str:
    if n not in BARS:
        return ""
    bar = BARS[n] + start_up.seconds
    said = "held" if took.seconds <= bar and took.peak_bytes <= MOST_BYTES else "MISSED"
    return f"bar {bar:.2f} s: {said}"


def said(found: Found, pairs: NDArray[np.int64], vectors: NDArray[np.float32], k: int) -> str:
    recall, precision = quality(found, pairs)
    nearest = nearest_found(found, vectors, k)
    return f"recall {recall:.4f}, precision {precision:.4f}, nearest {nearest:.4f}"


def compare(
    folder: Path, texts: Sequence[str], ways: Sequence[str], threshold: float, k: int
) -> None:
    n = len(texts)
    source, out = folder / f"{n}.jsonl", folder / f"{n}"
    write_jsonl(source, texts)
    pairs = similar_pairs(texts, threshold)
    print(f"\n{n:,} documents, {len(pairs):,} pairs of a Jaccard similarity >= {threshold}")
    took = analyse(source, out, threshold, k)
    found = found_in(out / "documents.jsonl", k)
    print(row("raudo", n, took, said(found, pairs, vectors_of(source), k)), flush=True)
    script = str(Path(__file__).with_name("analysis_plain.py"))
    for way in ways:
        target = folder / f"{way}.jsonl"
        arguments = [way, str(source), str(target), str(threshold), str(k)]
        plain = run([sys.executable, script, *arguments])
        told = said(found_in(target, k), pairs, analysis_plain.embedded(texts), k)
        times = f"raudo {plain.seconds / took.seconds:.0f}x"
        times += f", of CPU {plain.cpu_seconds / took.cpu_seconds:.0f}x"
        print(row(f"scikit-learn + {way}"[:22], n, plain, f"{told}; {times}"), flush=True)


if __name__ == "__main__":
    main()
