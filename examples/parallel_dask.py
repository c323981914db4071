"""A map, a search and single calls on a Dask cluster.

    dask scheduler --host 127.0.0.1 &
    dask worker tcp://127.0.0.1:8786 & dask worker tcp://127.0.0.1:8786 &
    python examples/parallel_dask.py tcp://127.0.0.1:8786

Kill a worker in the middle: what it was at is run again on another one.
"""

from __future__ import annotations

import os
import sys
from functools import partial

import numpy as np
from distributed import Client

from raudo import ParallelExecutor, parallel_map
from raudo.similarity import nearest


def price(rates: np.ndarray, seed: int) -> tuple[float, int]:
    """Work of some milliseconds that needs `rates`, and says which process did it."""
    paths = np.random.default_rng(seed).normal(size=(200, len(rates))) * 0.01
    return float(np.exp(paths @ rates).mean()), os.getpid()


def main(address: str) -> None:
    rates = np.linspace(0.01, 0.05, 1000)
    rates.flags.writeable = False  # workers share one copy of what nobody writes to
    work = partial(price, rates)  # what a function is bound to travels once
    with Client(address, set_as_default=False) as client:
        # Chunks of about 0.1 s; retries, timeout, on_error and progress are as on one machine.
        priced = parallel_map(work, range(400), backend=client, retries=2, progress=True)
        n_workers = len({pid for _, pid in priced})
        print(
            f"400 prices on {n_workers} workers, the mean is {np.mean([p for p, _ in priced]):.4f}"
        )

        rows = np.random.default_rng(0).normal(size=(5000, 64)).astype(np.float32)
        found = nearest(rows, rows, 5, backend=client)
        here = nearest(rows, rows, 5)
        print("nearest rows, the same as here:", bool((found.ids == here.ids).all()))

        with ParallelExecutor(backend=client) as executor:  # a concurrent.futures.Executor
            print("one call:", executor.submit(pow, 2, 10).result())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:8786")
