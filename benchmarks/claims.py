"""The figures that raudo was asked to reach, beside what this machine measures.

    python benchmarks/claims.py            a few minutes; --all adds a million documents
    python benchmarks/claims.py --quick    shows that it runs, not figures

A claim is a bound, not a goal: `raudo bench` compares with the best that others reach. Each measure
does real work and checks its results before it reports.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import raudo


class Claim(NamedTuple):
    """A measured quantity and the bound that it should keep."""

    what: str
    bound: float
    at_most: bool
    unit: str
    measure: Callable[[float], float]
    """Called with the share of the full size to work on; 1.0 gives figures."""

    def holds(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound


# --- documents ------------------------------------------------------------------------------------

_STARTS = "barn core dove fern gold hill iris".split()
_ENDS = "ward less ing ly er ness man side wood land ton ford".split()
_WORDS = [start + end for start in _STARTS for end in _ENDS]


def documents(n: int) -> list[str]:
    """Make texts of 40 to 120 words, a tenth of them near-duplicates of the one before."""
    source = random.Random(n)
    made: list[str] = []
    for i in range(n):
        if i % 10 == 9:
            words = made[-1].split()
            words[source.randrange(len(words))] = "changed"
        else:
            words = [
                f"{source.choice(_WORDS)}{source.randrange(200)}"
                for _ in range(source.randrange(40, 120))
            ]
        made.append(" ".join(words))
    return made


def analysis_seconds(n: int) -> Callable[[float], float]:
    def measure(scale: float) -> float:
        from raudo.analysis import DocumentAnalyzer

        texts = documents(max(20, int(n * scale)))
        analyzer = DocumentAnalyzer()
        start = time.perf_counter()
        analyzer.analyze(texts)
        groups = analyzer.find_duplicates(threshold=0.8)
        seconds = time.perf_counter() - start
        assert len(groups) >= len(texts) // 10 - 1, "near-duplicates were missed"
        return seconds

    return measure


# --- cache ----------------------------------------------------------------------------------------


def requests(n: int) -> Iterator[int]:
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


def hit_rate(scale: float) -> float:
    cache: Any = raudo.Cache(4000)
    n = int(400_000 * scale)
    for key in requests(n):
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


# --- concurrency ----------------------------------------------------------------------------------


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
    Claim("analysis of 1,000 documents", 0.5, True, "s", analysis_seconds(1_000)),
    Claim("analysis of 10,000 documents", 3.2, True, "s", analysis_seconds(10_000)),
    Claim("analysis of 100,000 documents", 25.0, True, "s", analysis_seconds(100_000)),
    Claim("cache hit rate, drifting Zipf with scans", 85.0, False, "%", hit_rate),
    Claim("get from L1", 0.1, True, "ms", level_milliseconds((1.0, 0.0, 0.0))),
    Claim("get from L2", 1.0, True, "ms", level_milliseconds((0.0, 1.0, 0.0))),
    Claim("get from L3", 10.0, True, "ms", level_milliseconds((0.0, 0.0, 1.0))),
    Claim("memory saved by L2", 50.0, False, "%", memory_saved),
    Claim("requests through AsyncProcessor", 1000.0, False, "/s", requests_per_second),
]
MILLION = Claim("analysis of 1,000,000 documents", 180.0, True, "s", analysis_seconds(1_000_000))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="the figures that raudo was asked to reach")
    parser.add_argument("--quick", action="store_true", help="1 %% of the work: no figures")
    parser.add_argument("--all", action="store_true", help="a million documents too")
    args = parser.parse_args(arguments)
    missed = 0
    print(f"{'':44}  {'asked':>12}  {'measured':>12}")
    for claim in [*CLAIMS, *([MILLION] if args.all else [])]:
        value = claim.measure(0.01 if args.quick else 1.0)
        kept = claim.holds(value)
        missed += not kept
        sign = "<=" if claim.at_most else ">="
        print(
            f"{claim.what:44}  {sign} {claim.bound:6g} {claim.unit:2}  {value:9.4g} {claim.unit:2}"
            f"  {'' if kept or args.quick else 'NOT REACHED'}".rstrip(),
            flush=True,
        )
    return int(missed > 0 and not args.quick)


if __name__ == "__main__":
    sys.exit(main())
