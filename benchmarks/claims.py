"""The user's figures, beside what this machine measures.

    python benchmarks/claims.py [--corpus PATH...] [--cut SEP]      some three minutes
    python benchmarks/claims.py --only table,scale,bounds           a part of it
    python benchmarks/claims.py --quick                             shows that it runs, not figures

`table`: one program that analyses documents and then answers requests for single ones, as one
writes it first (claims_before.py) and with raudo (claims_after.py). Each runs in a process of its
own; that both give the same groups, neighbours and answers is checked. `scale`: `raudo analyze`
from a file to exported results, by bench_analysis_scale.py. `bounds`: the other figures asked for;
the command fails where one is not reached that could be. What no cache can reach is said to be so:
`possible` is what Belady's optimum hits, which knows the future and has as much room.

Documents are those of the corpus, text files of a document a line: what stands after the last SEP
(a tab) of it. Without one they are paragraphs of Python's own standard library, some 80,000.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import raudo
from analysis_corpora import read_corpus, write_jsonl
from bench_analysis_scale import SIMILAR_UP_TO, analyse, run
from claims_work import ROOM, library_texts, requests
from raudo.cache.replay import belady_hits

MEBIBYTE = 1 << 20


# --- before and after -----------------------------------------------------------------------------


class Measure(NamedTuple):
    """A row of the user's table."""

    name: str
    of: Callable[[dict[str, float]], float]
    unit: str
    asked: str
    """What the user's table says."""
    possible: Callable[[int, int], float] | None = None
    """The most that any program can reach, of so many requests and documents; None: not known."""


def possible_hit_rate(n_requests: int, n: int) -> float:
    """Return the per cent that the best cache with the room of the one after hits."""
    asked = list(requests(n_requests, n))
    return belady_hits(asked, ROOM * (n // 10)) / n_requests * 100


TABLE = [
    Measure("analysis", lambda told: told["analysis_s"], "s", "2.5 -> 0.8 s"),
    Measure("peak memory", lambda told: told["peak_bytes"] / MEBIBYTE, "MiB", "1.2 -> 0.6 GB"),
    Measure("requests a second", lambda told: told["requests_per_s"], "/s", "100 -> 400 /s"),
    Measure(
        "cache hit rate",
        lambda told: told["hit_rate"] * 100,
        "%",
        "45 -> 89 %",
        possible_hit_rate,
    ),
]


def lines(path: Path) -> list[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def cosines_of(rows: Sequence[dict[str, Any]]) -> list[list[float]]:
    return [[found["similarity"] for found in row["similar"]] for row in rows]


def groups_of(rows: Sequence[dict[str, Any]]) -> set[tuple[str, ...]]:
    members = defaultdict(list)
    for row in rows:
        if row["group"] is not None:
            members[row["group"]].append(row["id"])
    return set(map(tuple, members.values()))


def check_equal(before: Path, after: Path) -> str:
    """Return what was compared; documents that are equally near may change places."""
    ours, theirs = lines(after / "documents.jsonl"), lines(before / "documents.jsonl")
    answers, expected = lines(after / "answers.jsonl"), lines(before / "answers.jsonl")
    groups = groups_of(theirs)
    assert groups_of(ours) == groups, "the groups differ"
    for some, others, names in (
        (ours, theirs, ("id", "chars", "words")),
        (answers, expected, ("id", "words")),
    ):
        for name in names:
            assert [row[name] for row in some] == [row[name] for row in others], name
        found, wanted = cosines_of(some), cosines_of(others)
        assert list(map(len, found)) == list(map(len, wanted)), "numbers of similar documents"
        flat = np.concatenate(found), np.concatenate(wanted)
        assert np.allclose(*flat, rtol=0, atol=2e-4), "cosines"
    return f"{len(ours):,} documents, {len(groups):,} groups and {len(answers):,} answers are equal"


def print_table(texts: list[str], folder: Path, n: int, n_requests: int) -> None:
    """Print both sides; a tenth of the documents may be cached in memory as live objects."""
    source = folder / "documents.jsonl"
    write_jsonl(source, texts[:n])
    n = min(n, len(texts))
    told = []
    for side in ("before", "after"):
        out = folder / side
        out.mkdir()
        script = Path(__file__).with_name(f"claims_{side}.py")
        run([sys.executable, *map(str, (script, source, out, n_requests, n // 10))])
        told.append(json.loads((out / "figures.json").read_text()))
    print(f"{n:,} documents, {n_requests:,} requests, 16 at once")
    print(f"{'':22}{'before':>12}{'after':>12}{'':>9}{'possible':>11}   the user's")
    for each in TABLE:
        before, after = map(each.of, told)
        change = f"{after - before:+.0f}" if each.unit == "%" else f"{after / before:.2f}x"
        possible = f"{each.possible(n_requests, n):.1f} {each.unit}" if each.possible else ""
        print(
            f"{each.name:22}{before:>8.4g} {each.unit:3}{after:>8.4g} {each.unit:3}{change:>9}"
            f"{possible:>11}   {each.asked}"
        )
    most = 1 - len(set(requests(n_requests, n))) / n_requests
    print(f"no cache, however large, hits more than {most:.1%}: the rest ask for a document first")
    print(f"checked: {check_equal(folder / 'before', folder / 'after')}\n", flush=True)


# --- scale ----------------------------------------------------------------------------------------

SCALE = {1_000: 0.5, 10_000: 3.2, 100_000: 25.0, 1_000_000: 180.0}


def print_scale(texts: list[str], folder: Path, sizes: Sequence[int]) -> None:
    print(
        f"{'raudo analyze':>14}{'seconds':>10}{'documents/s':>13}{'peak MiB':>10}"
        f"   the user's seconds"
    )
    one = folder / "one.jsonl"
    write_jsonl(one, texts[:1])
    start_up = min(analyse(one, folder / "one", 0.8, 10) for _ in range(3))
    peak = start_up.peak_bytes / MEBIBYTE
    print(f"{1:>14}{start_up.seconds:>10.2f}{'':>13}{peak:>10,.0f}   start-up")
    for n in sizes:
        if n > len(texts):
            print(f"{n:>14,}   the corpus has {len(texts):,} documents")
            continue
        source = folder / f"{n}.jsonl"
        write_jsonl(source, texts[:n])
        k = 10 if n <= SIMILAR_UP_TO else 0
        took = analyse(source, folder / f"{n}", 0.8, k)
        print(
            f"{n:>14,}{took.seconds:>10.2f}{n / took.seconds:>13,.0f}"
            f"{took.peak_bytes / MEBIBYTE:>10,.0f}   {SCALE.get(n, '')}"
            f"{'' if k else '  (without the k most similar)'}".rstrip(),
            flush=True,
        )
    print()


# --- bounds ---------------------------------------------------------------------------------------


class Claim(NamedTuple):
    """A measured quantity and the bound that it should keep."""

    what: str
    bound: float
    at_most: bool
    unit: str
    measure: Callable[[float], float]
    """Called with the share of the full size to work on; 1.0 gives figures."""
    possible: Callable[[float], float] | None = None
    """The best that any program can reach, likewise; None: not known."""

    def holds(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound


def drifting_keys(n: int) -> Iterator[int]:
    """Yield keys as a service sees them: Zipf-like, its favourites drifting, with scans between."""
    source = random.Random(1)
    shift = 0
    for i in range(n):
        if i % 20_000 == 0:
            shift += 500
        if i % 10_000 < 500:  # a scan
            yield 10**6 + i
        else:
            yield int(20_000 ** source.random()) + shift


DRIFTING, DRIFTING_ENTRIES = 400_000, 4_000


def best_hit_rate(scale: float) -> float:
    keys = list(drifting_keys(int(DRIFTING * scale)))
    return belady_hits(keys, DRIFTING_ENTRIES) / len(keys) * 100


def hit_rate(scale: float) -> float:
    cache: Any = raudo.Cache(DRIFTING_ENTRIES)
    for key in drifting_keys(int(DRIFTING * scale)):
        if cache.get(key) is None:
            cache[key] = key
    return float(cache.stats()["hit_rate"]) * 100


def level_milliseconds(levels: tuple[float, float, float]) -> Callable[[float], float]:
    """Median milliseconds of a get that the one level with a share answers."""

    async def run(n: int) -> float:
        async with raudo.SmartCache(2 * n, levels=levels) as cache:
            value = {"text": "word " * 100, "score": 0.5}
            for i in range(n):
                await cache.set(i, value)
            taken = []
            for i in range(n):
                start = time.perf_counter()
                found = await cache.get(i)
                taken.append(time.perf_counter() - start)
                assert found == value
        return statistics.median(taken) * 1e3

    return lambda scale: asyncio.run(run(max(20, int(2000 * scale))))


def memory_saved(scale: float) -> float:
    """Per cent of the memory that a dict of the same values takes."""
    import tracemalloc

    n = max(200, int(20_000 * scale))

    def value(i: int) -> dict[str, Any]:
        return {"id": i, "title": f"Document {i}", "text": f"{i} some words of it " * 30, "n": [i]}

    async def fill() -> float:
        async with raudo.SmartCache(n, levels=(0.1, 0.9, 0.0)) as cache:
            before = tracemalloc.get_traced_memory()[0]
            for i in range(n):
                await cache.set(i, value(i))
            taken = tracemalloc.get_traced_memory()[0] - before
            assert await cache.get(0) == value(0)
        return float(taken)

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        plain = {i: value(i) for i in range(n)}
        live = tracemalloc.get_traced_memory()[0] - before
        del plain
        return 100 * (1 - asyncio.run(fill()) / live)
    finally:
        tracemalloc.stop()


def requests_per_second(scale: float) -> float:
    """Requests that wait 2 ms each, sixteen at a time."""

    async def request(i: int) -> int:
        await asyncio.sleep(0.002)
        return i

    async def run(n: int) -> float:
        async with raudo.AsyncProcessor(max_workers=16) as processor:
            start = time.perf_counter()
            results = await processor.process_batch(
                [(request, (i,)) for i in range(n)], max_concurrent=16
            )
            seconds = time.perf_counter() - start
        assert results == list(range(n))
        return n / seconds

    return asyncio.run(run(max(50, int(5000 * scale))))


CLAIMS = [
    Claim("cache hit rate, drifting Zipf with scans", 85.0, False, "%", hit_rate, best_hit_rate),
    Claim("get from L1", 0.1, True, "ms", level_milliseconds((1.0, 0.0, 0.0))),
    Claim("get from L2", 1.0, True, "ms", level_milliseconds((0.0, 1.0, 0.0))),
    Claim("get from L3", 10.0, True, "ms", level_milliseconds((0.0, 0.0, 1.0))),
    Claim("memory saved by L2", 50.0, False, "%", memory_saved),
    Claim("requests through AsyncProcessor", 1000.0, False, "/s", requests_per_second),
]


def print_bounds(scale: float) -> bool:
    """Print each; False where one is not reached that could be, but for a scale that gives no
    figures.
    """
    missed = 0
    print(f"{'':44}  {'asked':>12}  {'measured':>12}  {'possible':>12}")
    for claim in CLAIMS:
        value = claim.measure(scale)
        possible = None if claim.possible is None else claim.possible(scale)
        said = ""
        if scale == 1 and not claim.holds(value):
            can_hold = possible is None or claim.holds(possible)
            missed += can_hold
            said = "NOT REACHED" if can_hold else "NOT POSSIBLE: no cache of this size hits so many"
        sign = "<=" if claim.at_most else ">="
        best = "" if possible is None else f"{possible:9.4g} {claim.unit:2}"
        print(
            f"{claim.what:44}  {sign} {claim.bound:6g} {claim.unit:2}  {value:9.4g} {claim.unit:2}"
            f"  {best:>12}  {said}".rstrip(),
            flush=True,
        )
    return not missed


PARTS = ("table", "scale", "bounds")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1 %% of the work: no figures")
    parser.add_argument("--corpus", nargs="+", default=[], metavar="PATH")
    parser.add_argument("--cut", default="\t", help="what stands before the document in a line")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    args = parser.parse_args(arguments)
    parts = args.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    sizes = [100] if args.quick else list(SCALE)
    most = 300 if args.quick else max(sizes)
    with tempfile.TemporaryDirectory(prefix="raudo-claims-") as name:
        folder = Path(name)
        if {"table", "scale"} & set(parts):
            texts = read_corpus(args.corpus, args.cut, most) if args.corpus else library_texts(most)
            if "table" in parts:
                print_table(texts, folder, *((300, 300) if args.quick else (10_000, 60_000)))
            if "scale" in parts:
                print_scale(texts, folder, sizes)
    held = "bounds" not in parts or print_bounds(0.01 if args.quick else 1.0)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
