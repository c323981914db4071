"""What importing raudo costs beyond importing NumPy, in fresh processes that take turns.

    python benchmarks/import_time.py            the table
    python benchmarks/import_time.py --check    fails where the promise (60 ms) is not kept

Each figure is the median, over the rounds, of the difference to the NumPy process of the same
round: what else the machine does moves both, the milliseconds of the processor less. A first round,
not counted, fills the caches, that of compiled sources too: an installed package has them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
from numpy.typing import NDArray

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


def import_ms(statement: str, compiled: str) -> NDArray[np.float64]:
    """Return how long a fresh interpreter takes for the statement alone, and how much of it the
    processor; the folder `compiled` has the compiled sources.
    """
    timed = (
        "import time; start = time.perf_counter(), time.process_time(); "
        f"{statement}; "
        "print((time.perf_counter() - start[0]) * 1e3, (time.process_time() - start[1]) * 1e3)"
    )
    variables = os.environ | {"PYTHONPYCACHEPREFIX": compiled}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", timed], capture_output=True, check=True, env=variables
    )
    return np.array(done.stdout.split(), np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    base: list[NDArray[np.float64]] = []
    beyond: dict[str, list[NDArray[np.float64]]] = {each: [] for each in IMPORTS}
    with tempfile.TemporaryDirectory(prefix="raudo-import-") as compiled:
        for number in range(options.rounds + 1):
            numpy_ms = import_ms(NUMPY, compiled)
            taken = {each: import_ms(f"{NUMPY}; {each}", compiled) for each in IMPORTS}
            if number > 0:
                base.append(numpy_ms)
                for each, total_ms in taken.items():
                    beyond[each].append(total_ms - numpy_ms)
    print(f"{'median of ' + str(options.rounds):58} {'ms':>7} {'of CPU':>8}")
    wall_ms, cpu_ms = np.median(base, axis=0)
    print(f"{NUMPY:58} {wall_ms:7.1f} {cpu_ms:8.1f}")
    too_slow = []
    for each, times in beyond.items():
        wall_ms, cpu_ms = np.median(times, axis=0)
        print(f"{each:58} {wall_ms:+7.1f} {cpu_ms:+8.1f}")
        if wall_ms > PROMISED_MS:
            too_slow.append(each)
    if options.check and too_slow:
        raise SystemExit(f"more than {PROMISED_MS:.0f} ms beyond NumPy: {'; '.join(too_slow)}")


if __name__ == "__main__":
    main()
