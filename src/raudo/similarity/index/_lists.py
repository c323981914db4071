"""What a search of an IVFIndex sees, and the search itself."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from raudo._core import lists
from raudo.similarity._threads import jobs_for, run
from raudo.similarity.distances import row_kernel
from raudo.similarity.index._chains import Chains
from raudo.similarity.index._copies import Copies, best_of_parts
from raudo.similarity.index._kmeans import centres_metric
from raudo.similarity.index._sketches import Sketches
from raudo.similarity.metrics import Metric
from raudo.types import Matches

__all__ = ["TUNED_K", "Lists", "near_lists", "copies_of_centres", "sealed", "search_lists"]

_MOST_QUERIES = 512
# How many lists are looked into at first, to learn how far the k-th best is (bench_similarity_ivf).
_NEAR = 8
# For these k it is found how much farther lists may be.
TUNED_K = (1, 10, 100)


class Lists(NamedTuple):
    """What a search sees: arrays by position, of which it reads the places its chains say."""

    metric: Metric
    vectors: NDArray[np.float32]  # (0, d) where the copies are all there is
    ids: NDArray[np.int64]  # -1: removed
    copies: Copies
    sketches: Sketches | None  # where there are several lists, and rows to measure
    chains: Chains
    centres: NDArray[np.float32]
    centre_copies: Copies
    n: int
    n_trained: int  # how many rows there were when the lists were made
    unevenness: float  # and how uneven they were
    margins: tuple[float, ...]  # by how much a list may be too far (_core/lists), by TUNED_K
    row_norm: float  # of a usual row
    largest_id: int
    keeps_rows: bool
    compiled: lists.Lists | None = None
    version: str = ""

    def live(self) -> NDArray[np.int64]:
        taken = self.chains.taken()
        return taken[self.ids[taken] >= 0]


def sealed(state: Lists) -> Lists:
    """Return a state that can be searched."""
    compiled = lists.Lists(
        state.copies,
        state.sketches,
        state.vectors if state.keeps_rows else None,
        state.ids,
        state.chains,
        state.centres,
        state.centre_copies,
        row_kernel(state.metric, "f32"),
        row_kernel(centres_metric(state.metric), "f32"),
        state.row_norm,
    )
    return state._replace(compiled=compiled)


def copies_of_centres(metric: Metric, centres: NDArray[np.float32]) -> Copies:
    """Return the copies of centres, by position."""
    copies = Copies.empty(centres_metric(metric), "int8", centres.shape[1], centres)
    copies = copies.with_capacity(len(centres))
    copies.write(centres, np.arange(len(centres)))
    return copies


def search_lists(
    state: Lists,
    queries: NDArray[np.float32],
    k: int,
    n_near: int,
    margin: float,
    allowed: NDArray[np.bool_] | None,
    n_jobs: SupportsIndex | None,
    by_position: bool = False,
) -> Matches:
    """Search each query's `n_near` nearest lists, and those not too far by `margin`; -inf: none."""
    q = len(queries)
    found = min(k, state.n)
    scores = np.empty((q, found))
    names = np.empty((q, found), np.int64)
    n_lists = len(state.centres)
    # With a margin about five times as many lists are looked into (bench_similarity_ivf).
    share = min(1.0, n_near / n_lists * (1 if margin == -np.inf else 5))
    n_measured = int(state.n * share) + n_lists
    jobs = jobs_for(n_jobs, q * n_measured * queries.shape[1] // 4)
    step = max(1, min(_MOST_QUERIES, -(-q // jobs)))
    assert state.compiled is not None
    search = state.compiled.search
    mask = None if allowed is None else allowed.view(np.uint8)
    if q <= step:
        search(queries, n_near, margin, mask, by_position, scores, names)
    else:
        run(
            [
                partial(
                    search,
                    queries[i : i + step],
                    n_near,
                    margin,
                    mask,
                    by_position,
                    scores[i : i + step],
                    names[i : i + step],
                )
                for i in range(0, q, step)
            ],
            jobs,
        )
    return best_of_parts(state.metric, scores[None], names[None], k)


def near_lists(state: Lists, k: int, n_allowed: int) -> int:
    """Return how many lists to look into at first, to find k of the rows that a filter leaves."""
    n_lists = len(state.centres)
    return min(n_lists, max(_NEAR, math.ceil(4 * k * n_lists / n_allowed)))
