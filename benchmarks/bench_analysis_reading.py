"""Times the reading of documents from tables and lines, beside the plain loop over each.

    python benchmarks/bench_analysis_reading.py [--corpus FILE.tsv] [--limit 200000] [--repeat 5]

The rows are a number, a name and a short text: those of the corpus (its first and last columns), or
made ones. Each figure is the least of the repeats, which take turns.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from raudo.analysis import FileSource

Row = tuple[str, str]


def made_rows(n: int) -> list[Row]:
    chance = random.Random(1)
    words = 'cache document vector, near duplicate "quoted" thread export naïve 東京 fast'.split()
    return [(f"name-{i}", " ".join(chance.choices(words, k=12))) for i in range(n)]


def rows_of(corpus: str, n: int) -> list[Row]:
    with open(corpus, encoding="utf-8") as file:
        cells = (line.rstrip("\n").split("\t") for line in file)
        return [(each[0], each[-1]) for each in islice(cells, 1, n + 1)]


def write_files(folder: Path, rows: list[Row]) -> None:
    with open(folder / "rows.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["number", "id", "text"])
        writer.writerows((i, *row) for i, row in enumerate(rows))
    with open(folder / "rows.jsonl", "w", encoding="utf-8") as file:
        for i, (name, text) in enumerate(rows):
            line = json.dumps({"number": i, "id": name, "text": text}, ensure_ascii=False)
            file.write(line + "\n")
    with open(folder / "rows.txt", "w", encoding="utf-8") as file:
        file.writelines(text.replace("\n", " ") + "\n" for _, text in rows)


def plain_csv(path: Path) -> Iterator[Row]:
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        next(reader)
        yield from ((row[1], row[2]) for row in reader)


def plain_jsonl(path: Path) -> Iterator[Row]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            yield record["id"], record["text"]


def plain_txt(path: Path) -> Iterator[Row]:
    with open(path, encoding="utf-8") as file:
        yield from ((str(i), line) for i, line in enumerate(file))


def n_documents(path: Path) -> int:
    return sum(map(len, FileSource([path]).batches()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", help="a file of tab-separated columns")
    parser.add_argument("--limit", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    rows = rows_of(args.corpus, args.limit) if args.corpus else made_rows(args.limit)
    with tempfile.TemporaryDirectory(prefix="raudo-bench-") as name:
        folder = Path(name)
        write_files(folder, rows)
        print(f"{len(rows):,} rows; documents a second\n")
        print(f"{'file':<6} {'MB':>6} {'raudo':>12} {'plain loop':>12} {'ratio':>6}")
        for suffix, plain in (("csv", plain_csv), ("jsonl", plain_jsonl), ("txt", plain_txt)):
            path = folder / f"rows.{suffix}"
            works: list[Callable[[], int]] = [
                lambda path=path: n_documents(path),
                lambda path=path, plain=plain: sum(1 for _ in plain(path)),
            ]
            least = [float("inf")] * 2
            for _ in range(args.repeat):
                for i, work in enumerate(works):
                    start = time.perf_counter()
                    work()
                    least[i] = min(least[i], time.perf_counter() - start)
            ours, theirs = (len(rows) / each for each in least)
            size = path.stat().st_size / 1e6
            print(
                f"{suffix:<6} {size:>6.1f} {ours:>12,.0f} {theirs:>12,.0f} {ours / theirs:>5.1f}x"
            )


if __name__ == "__main__":
    main()
