"""Blocks of rows on the workers of an executor, in other processes or on other machines.

What all blocks need, the base above all, travels once. What they hold is the same, digit for digit,
as without workers, where those have the same instruction set.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudo.concurrency.parallel_executor import executor_on
from raudo.similarity._arrays import Pair
from raudo.similarity.distances import Matrix
from raudo.similarity.metrics import Metric
from raudo.similarity.search import search_rows
from raudo.types import Matches

__all__ = ["fill_spread", "spread_search"]

_BLOCKS_PER_WORKER = 8
_BLOCK_BYTES = 32 << 20
# From 64 rows on a block is computed the same way, and no slower a row.
_LEAST_ROWS, _MOST_ROWS = 64, 4096


def spread_search(metric: Metric, rows: Pair, k: int, n_jobs: int, backend: object) -> Matches:
    """Do what `search_rows` does, a block of queries a task."""
    search = partial(_search, metric, _without_x(rows), k, n_jobs)
    found = list(_mapped(search, rows.x, backend, _MOST_ROWS))
    return Matches(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def fill_spread(matrix: Matrix, out: NDArray[Any], n_jobs: int, backend: object) -> None:
    """Do what `matrix.fill(0, out, ...)` does, a block of rows a task."""
    shell = copy.copy(matrix)
    shell.rows = _without_x(matrix.rows)
    most_rows = max(1, min(_MOST_ROWS, _BLOCK_BYTES // max(1, out.shape[1] * out.itemsize)))
    first = 0
    for block in _mapped(partial(_fill, shell, n_jobs), matrix.rows.x, backend, most_rows):
        out[first : first + len(block)] = block
        first += len(block)


def _mapped(
    work: Callable[[NDArray[Any]], Any], x: NDArray[Any], backend: object, most_rows: int
) -> Iterator[Any]:
    with executor_on(backend) as executor:
        n_workers = executor.get_stats()["workers"]["processes"]["limit"]
        rows = min(most_rows, max(_LEAST_ROWS, -(-len(x) // (_BLOCKS_PER_WORKER * n_workers))))
        n_blocks = max(1, -(-len(x) // rows))
        cuts = [len(x) * i // n_blocks for i in range(n_blocks + 1)]
        blocks = (x[lo:hi] for lo, hi in itertools.pairwise(cuts))
        yield from executor.map(work, blocks, kind="process", chunksize=1)


def _without_x(rows: Pair) -> Pair:
    """Return the rows without queries, and with a base that workers need not copy for each task."""
    base = rows.y.view()
    base.flags.writeable = False
    return rows._replace(x=rows.x[:0], y=base)


def _search(metric: Metric, rows: Pair, k: int, n_jobs: int, x: NDArray[Any]) -> Matches:
    return search_rows(metric, rows._replace(x=x), k, n_jobs)


def _fill(matrix: Matrix, n_jobs: int, x: NDArray[Any]) -> NDArray[Any]:
    whole = copy.copy(matrix)
    whole.rows = matrix.rows._replace(x=x)
    block = np.empty((len(x), len(whole.rows.y)), whole.rows.result_dtype)
    whole.fill(0, block, n_jobs)
    return block
