"""What importing raudo costs beyond importing NumPy, in fresh processes that take turns.

    python benchmarks/import_time.py            the table
    python benchmarks/import_time.py --check    fails where the promise (60 ms) is not kept

Each figure is the median, over the rounds, of the difference to the NumPy process of the same
round: what else the machine does moves both. A first round, not counted, fills the caches.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

NUMPY = "import numpy"
IMPORTS = (
    "import raudo",
    "from raudo import Cache, lru_cache",
    "from raudo import SmartCache",
    "from raudo import AsyncProcessor",
    "from raudo import ObjectPool, BufferPool, MemoryOptimizer",
    "import raudo.similarity",
    "import raudo.analysis",
    "import raudo.export",
    "import raudo.monitoring",
)
PROMISED_MS = 60.0


def import_ms(statement: str) -> float:
    """Return how long a fresh interpreter takes for the statement alone."""
    timed = (
        f"import time; start = time.perf_counter(); {statement}; "
        "print((time.perf_counter() - start) * 1e3)"
    )
    done = subprocess.run([sys.executable, "-c", timed], capture_output=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    base: list[float] = []
    beyond: dict[str, list[float]] = {each: [] for each in IMPORTS}
    for number in range(options.rounds + 1):
        numpy_ms = import_ms(NUMPY)
        taken = {each: import_ms(f"{NUMPY}; {each}") for each in IMPORTS}
        if number > 0:
            base.append(numpy_ms)
            for each, total_ms in taken.items():
                beyond[each].append(total_ms - numpy_ms)
    print(f"{NUMPY}: {statistics.median(base):.1f} ms, median of {options.rounds}")
    too_slow = []
    for each, times in beyond.items():
        median = statistics.median(times)
        print(f"{each:58} {median:+7.1f} ms")
        if median > PROMISED_MS:
            too_slow.append(each)
    if options.check and too_slow:
        raise SystemExit(f"more than {PROMISED_MS:.0f} ms beyond NumPy: {'; '.join(too_slow)}")


if __name__ == "__main__":
    main()
