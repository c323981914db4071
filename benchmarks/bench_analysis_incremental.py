"""What an analysis costs again when little or nothing changed, beside what it cost whole.

    python benchmarks/bench_analysis_incremental.py [--corpus FILE] [--files 20000 ...]
        [--rows 100000 ...] [--lines 20] [--embedder hashing] [--k 10] [--repeat 3]

For each number of files, that many of `lines` lines each are made in a temporary folder, from the
lines of FILE (sentences of invented words without it); for each number of rows, one file of that
many lines of JSON, read through once more by any change. Then runs of a kept analysis, each a
process of its own whose start and imports are told apart:

    whole               nothing kept
    index made          the same, and the analysis is kept
    nothing changed     (the first of these has still to note that the clock went on)
    1 % changed         of the files, or rows, written anew
    1 % removed

The last three are done `repeat` times, the median counts; the split by stage is that of it, "rest"
is what belongs to none (such as opening the index). "of CPU" is the same share in seconds of all
cores, which is worth more where other work goes on. Beside them stands what nobody can save: a bare
walk over the folder, by `os.scandir` and `stat` in Python and by `find -size` in C, or a bare read
of the file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median

RUN = """
import json, resource, sys, time
from raudo.analysis import DocumentAnalyzer, FileSource
if sys.argv[3] not in ("hashing", ""):
    from raudo.analysis.models import load_model
    load_model(sys.argv[3])
place, index, embedder, k = sys.argv[1:]
start, start_cpu = time.perf_counter(), time.process_time()
report = DocumentAnalyzer(embedder, index=index or None, keep_texts=False).analyze(
    FileSource([place]), k=int(k)
)
stages = {stage.name: stage.seconds for stage in report.stages}
print(json.dumps({
    "total": time.perf_counter() - start, "cpu": time.process_time() - start_cpu,
    "stages": stages, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""
# Modules are compiled once, as those of an installed package are.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
STAGES = ("read", "words", "embed", "duplicates", "similar", "save", "rest")


class Run:
    """How long a process took for an analysis, and each stage of it."""

    def __init__(self, place: Path, index: str, embedder: str, k: int) -> None:
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(place), index, embedder, str(k)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=ENVIRONMENT,
        )
        wall_s = time.perf_counter() - start
        found = json.loads(done.stdout)
        self.total: float = found["total"]
        self.cpu: float = found["cpu"]
        self.peak_mb: float = found["peak"]
        self.start_up = wall_s - self.total
        self.stages: dict[str, float] = found["stages"]
        self.stages["rest"] = self.total - sum(self.stages.values())

    def row(self, name: str, whole: Run) -> str:
        stages = "".join(f"{self.stages.get(name, 0.0) * 1e3:>11.1f}" for name in STAGES)
        return (
            f"{name:<18}{self.start_up:>9.3f}{self.total * 1e3:>10.1f}"
            f"{self.total / whole.total:>9.2%}{self.cpu / whole.cpu:>9.2%}{stages}"
            f"{self.peak_mb:>10,.0f}"
        )


def lines_of(corpus: Path | None, generator: random.Random) -> Iterator[str]:
    if corpus is not None:
        with open(corpus, encoding="utf-8", errors="replace") as file:
            yield from cycle([line.rstrip("\n") for line in islice(file, 1_000_000)])
    vocabulary = [f"{a}{b}{c}" for a in "bdkmst" for b in "aeiou" for c in "lnrsxpz"]
    words = [a + b for a in vocabulary for b in vocabulary]
    while True:
        yield " ".join(words[int(generator.paretovariate(0.6)) % len(words)] for _ in range(12))


class Files:
    """A folder of files of some lines each, a thousand in a folder."""

    def __init__(self, parent: Path, n: int, n_lines: int, lines: Iterator[str]) -> None:
        self.place, self.n, self._n_lines, self._lines = parent / "docs", n, n_lines, lines
        self._paths = [self.place / f"{i // 1000:03}" / f"{i:06}.txt" for i in range(n)]
        for path in self._paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(path)

    def _write(self, path: Path) -> None:
        text = "\n".join(islice(self._lines, self._n_lines))
        path.write_text(text, encoding="utf-8", errors="replace")

    def change(self, generator: random.Random) -> None:
        for path in generator.sample(self._paths, max(1, self.n // 100)):
            self._write(path)

    def remove(self, generator: random.Random) -> None:
        gone = set(generator.sample(self._paths, max(1, self.n // 100)))
        for path in gone:
            path.unlink()
        self._paths = [path for path in self._paths if path not in gone]

    def floors(self) -> dict[str, Callable[[], object]]:
        find = shutil.which("find")
        size = ["-type", "f", "-size", "-0"]  # it has to look at each, and prints nothing
        floors: dict[str, Callable[[], object]] = {"os.scandir, stat": lambda: walk(self.place)}
        if find is not None:
            floors["find"] = lambda: subprocess.run([find, self.place, *size], check=True)
        return floors


class Rows:
    """A file of lines of JSON."""

    def __init__(self, parent: Path, n: int, lines: Iterator[str]) -> None:
        self.place, self.n, self._lines = parent / "rows.jsonl", n, lines
        self._rows = [json.dumps({"id": i, "text": next(lines)}) for i in range(n)]
        self._write()

    def _write(self) -> None:
        self.place.write_text("\n".join(self._rows) + "\n", encoding="utf-8")

    def change(self, generator: random.Random) -> None:
        for i in generator.sample(range(len(self._rows)), max(1, self.n // 100)):
            row = json.loads(self._rows[i])
            self._rows[i] = json.dumps({"id": row["id"], "text": next(self._lines)})
        self._write()

    def remove(self, generator: random.Random) -> None:
        gone = set(generator.sample(range(len(self._rows)), max(1, self.n // 100)))
        self._rows = [row for i, row in enumerate(self._rows) if i not in gone]
        self._write()

    def floors(self) -> dict[str, Callable[[], object]]:
        return {"read it": self.place.read_bytes}


def walk(folder: str | Path) -> int:
    n_bytes = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                n_bytes += walk(entry.path)
            else:
                n_bytes += entry.stat(follow_symlinks=False).st_size
    return n_bytes


def least_of(work: Callable[[], object]) -> tuple[float, float]:
    """Return the least seconds, and of CPU, of some runs."""

    def cpu_s() -> float:
        used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(each.ru_utime + each.ru_stime for each in used)

    times, cpu_times = [], []
    for _ in range(5):
        start, start_cpu = time.perf_counter(), cpu_s()
        work()
        times.append(time.perf_counter() - start)
        cpu_times.append(cpu_s() - start_cpu)
    return min(times), min(cpu_times)


def compare(documents: Files | Rows, index: str, args: argparse.Namespace) -> None:
    generator = random.Random(1)

    def run(index: str) -> Run:
        return Run(documents.place, index, args.embedder, args.k)

    def again(change: Callable[[random.Random], object]) -> Run:
        runs = []
        for _ in range(args.repeat):
            change(generator)
            runs.append(run(index))
        middle = median(each.total for each in runs)
        return min(runs, key=lambda each: abs(each.total - middle))

    imports = [sys.executable, "-c", "import raudo.analysis.models, raudo.similarity"]
    subprocess.run(imports, check=True, env=ENVIRONMENT)
    whole = run("")
    kind = "files" if isinstance(documents, Files) else "rows of a file"
    print(f"{documents.n:,} {kind}, {args.embedder}, k = {args.k}: whole {whole.total:.3f} s")
    names = "".join(f"{name:>11}" for name in STAGES)
    print(
        f"{'':<18}{'start, s':>9}{'total, ms':>10}{'share':>9}{'of CPU':>9}{names}{'peak, MB':>10}"
    )
    print(whole.row("whole", whole))
    print(run(index).row("index made", whole))
    run(index)
    print(again(lambda generator: None).row("nothing changed", whole))
    print(again(documents.change).row("1 % changed", whole))
    print(again(documents.remove).row("1 % removed", whole))
    for name, work in documents.floors().items():
        floor_s, floor_cpu = least_of(work)
        shares = f"{floor_s / whole.total:>9.2%}{floor_cpu / whole.cpu:>9.2%}"
        print(f"{name:<18}{'':>9}{floor_s * 1e3:>10.1f}{shares}")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, help="a file of lines")
    parser.add_argument("--files", type=int, nargs="*", help="how many, for each table")
    parser.add_argument("--rows", type=int, nargs="*", default=[], help="the same, of one file")
    parser.add_argument("--lines", type=int, default=20, help="of each file")
    parser.add_argument("--embedder", default="hashing", help="such as wordllama")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="500 of each, to see that it runs")
    args = parser.parse_args()
    if args.files is None:
        args.files = [] if args.rows else [20_000]
    if args.quick:
        args.files, args.rows, args.repeat = [500], [500], 1
    lines = lines_of(args.corpus, random.Random(0))
    makers: list[Callable[[Path], Files | Rows]] = [
        *(partial(Files, n=n, n_lines=args.lines, lines=lines) for n in args.files),
        *(partial(Rows, n=n, lines=lines) for n in args.rows),
    ]
    for make in makers:
        with tempfile.TemporaryDirectory() as place:
            compare(make(Path(place)), str(Path(place) / "index"), args)


if __name__ == "__main__":
    main()
