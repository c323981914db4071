"""The k nearest of each of many sparse rows, exactly: of unit vectors most of whose numbers are zero.

Arrays must be in C order and of the dtype named. Every call is deterministic, and the number of
threads never shows in a result.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

_Int64 = NDArray[np.int64]
_Float32 = NDArray[np.float32]

MOST_DIMENSIONS: int

@disjoint_base
class SparseRows:
    """The numbers other than zero of rows, those `numbers` of `vectors` of each piece in turn; at most
    `MOST_DIMENSIONS` wide.

    There are `n_numbers` of them in all; `nearest` takes half of n * n_numbers steps.
    """

    n: int
    n_numbers: int
    def __init__(self, pieces: Sequence[tuple[_Float32, _Int64]], *, n_jobs: int = 1) -> None: ...
    def nearest(
        self, k: int, *, n_jobs: int = 1, tick: Callable[[int], object] | None = None
    ) -> tuple[_Int64, _Float32]:
        """Return (places, inner products), (n, k) each, best first, ties by place; -1 and NaN where
        there are fewer rows. A row is among its own nearest."""
    def meet_first(
        self, m: int, k: int, least: _Float32, *, n_jobs: int = 1
    ) -> tuple[_Int64, _Float32, _Int64, _Int64, _Float32]:
        """Let the first m rows meet all: n * their numbers steps.

        Returns the k nearest of each of these, as `nearest` does; then the places of the others to
        which some of these are nearer than `least[place]`, at least 0, and the nearest k of those.
        `least` of the first m is -inf.
        """

def spread_copies(
    near: _Int64,
    products: _Float32,
    copy_of: _Int64,
    starts: _Int64,
    members: _Int64,
    k: int,
    *,
    n_jobs: int = 1,
) -> tuple[_Int64, _Float32]:
    """Turn the k + 1 nearest of distinct rows, themselves included, into the k nearest of all rows.

    Row i equals distinct row `copy_of[i]` (-1: it has no neighbours), and the copies of distinct
    row c are `members[starts[c]:starts[c + 1]]`, ascending; the first of them ascend with c.
    """
