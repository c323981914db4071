"""What an analysis costs again when 1 % of its files changed, beside what it cost whole.

    python benchmarks/bench_analysis_incremental.py [--corpus FILE] [--files 20000] [--lines 20]
        [--embedder hashing] [--k 10]

Files of `lines` lines each are made in a temporary folder, from the lines of FILE (sentences of
invented words without it). Every run is a process of its own; the start of the interpreter and its
imports is told apart.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

RUN = """
import json, resource, sys, time
from raudo.analysis import DocumentAnalyzer, FileSource
if sys.argv[3] not in ("hashing", ""):
    from raudo.analysis.models import load_model
    load_model(sys.argv[3])
folder, index, embedder, k = sys.argv[1:]
start = time.perf_counter()
report = DocumentAnalyzer(embedder, index=index or None, keep_texts=False).analyze(
    FileSource([folder]), k=int(k)
)
stages = {stage.name: stage.seconds for stage in report.stages}
print(json.dumps({
    "total": time.perf_counter() - start, "stages": stages, "groups": len(report.groups),
    "documents": len(report), "words": sum(s.items for s in report.stages if s.name == "words"),
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def lines_of(corpus: Path | None, generator: random.Random) -> Iterator[str]:
    if corpus is not None:
        with open(corpus, encoding="utf-8", errors="replace") as file:
            yield from cycle([line.rstrip("\n") for line in islice(file, 1_000_000)])
    vocabulary = [f"{a}{b}{c}" for a in "bdkmst" for b in "aeiou" for c in "lnrsxpz"]
    words = [a + b for a in vocabulary for b in vocabulary]
    while True:
        yield " ".join(words[int(generator.paretovariate(0.6)) % len(words)] for _ in range(12))


def run(folder: Path, index: str, embedder: str, k: int) -> dict[str, object]:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder), index, embedder, str(k)],
        capture_output=True,
        text=True,
        check=True,
    )
    wall_s = time.perf_counter() - start
    found: dict[str, object] = json.loads(done.stdout)
    found["start-up"] = wall_s - float(found["total"])  # type: ignore[arg-type]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, help="a file of lines")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--lines", type=int, default=20, help="of each file")
    parser.add_argument("--embedder", default="hashing")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="500 files, to see that it runs")
    args = parser.parse_args()
    n_files = 500 if args.quick else args.files
    generator = random.Random(0)
    lines = lines_of(args.corpus, generator)

    with tempfile.TemporaryDirectory() as place:
        docs, index = Path(place) / "docs", str(Path(place) / "index")
        n_bytes = 0
        for i in range(n_files):
            path = docs / f"{i // 1000:03}" / f"{i:06}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            n_bytes += path.write_bytes(
                "\n".join(islice(lines, args.lines)).encode("utf-8", "replace")
            )
        print(f"{n_files:,} files, {n_bytes / 1e6:.1f} MB, {args.embedder}, k = {args.k}\n")
        runs = {"whole, nothing kept": run(docs, "", args.embedder, args.k)}
        runs["whole, index made"] = run(docs, index, args.embedder, args.k)
        runs["nothing changed"] = run(docs, index, args.embedder, args.k)
        changed = generator.sample(sorted(docs.rglob("*.txt")), n_files // 100)
        for i, path in enumerate(changed):
            if i % 10 == 0:
                path.unlink()
            else:
                path.write_text("\n".join(islice(lines, args.lines)), encoding="utf-8")
        runs["1 % changed, a tenth of it removed"] = run(docs, index, args.embedder, args.k)
    names = list(runs["whole, index made"]["stages"])  # type: ignore[call-overload]
    head = "".join(f"{n:>11}" for n in names)
    print(f"{'seconds':<36}{'start-up':>10}{'total':>8}{'share':>8}{head}")
    whole = float(runs["whole, nothing kept"]["total"])  # type: ignore[arg-type]
    for name, found in runs.items():
        total = float(found["total"])  # type: ignore[arg-type]
        stages: dict[str, float] = found["stages"]  # type: ignore[assignment]
        cells = "".join(f"{stages.get(n, 0):>11.3f}" for n in names)
        start_up = float(found["start-up"])  # type: ignore[arg-type]
        print(f"{name:<36}{start_up:>10.3f}{total:>8.3f}{total / whole:>8.1%}{cells}")


if __name__ == "__main__":
    main()
