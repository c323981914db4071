"""Sets of words compared: joined by exact similarity, signed, ranked by what they share, without the
GIL.

Many sets are one CSR pair, as in `text`: arrays in C order and of the dtype named. Every call is
deterministic, the number of threads never shows in a result.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

_Int64 = NDArray[np.int64]
_UInt32 = NDArray[np.uint32]
_UInt64 = NDArray[np.uint64]
_Float32 = NDArray[np.float32]
_Float64 = NDArray[np.float64]

def rank_terms(offsets: _Int64, terms: _UInt32, rank_of: _UInt32, *, n_jobs: int = 1) -> _UInt32:
    """Replace terms by `rank_of[term]` and sort them within each document."""

def minhash(offsets: _Int64, words: _UInt64, seeds: _UInt32, *, n_jobs: int = 1) -> _UInt32:
    """Return (n, len(seeds)) MinHash signatures; all ones for an empty set."""

def jaccard_pairs(offsets: _Int64, words: _UInt64, left: _Int64, right: _Int64) -> _Float64:
    """Return the exact Jaccard similarity of sets left[i] and right[i]; 0 where both are empty."""

def reach(
    offsets: _Int64,
    words: _UInt64,
    left: _Int64,
    other_offsets: _Int64,
    other_words: _UInt64,
    right: _Int64,
    threshold: float,
) -> NDArray[np.bool_]:
    """Tell whether sets left[i] and other sets right[i] have a Jaccard similarity of `threshold`."""

@disjoint_base
class Forest:
    """A union-find forest over n things; for one thread at a time."""

    n: int
    def __new__(cls, n: int) -> Self: ...
    def unite(self, left: _Int64, right: _Int64) -> None:
        """Put left[i] and right[i] into one tree."""
    def merge(self, other: Forest) -> None:
        """Take over what another forest of the same n has united."""
    def roots(self) -> _Int64:
        """Return the least member of each one's tree."""

@disjoint_base
class SetJoin:
    """Similar sets, joined into components, each thread with a `Forest` of its own.

    The sets come smallest first; `ranks` are their members, numbered from rare to frequent,
    ascending.
    """

    n: int
    def __init__(self, offsets: _Int64, ranks: _UInt32, threshold: float) -> None: ...
    def build_index(self, n_ranks: int) -> float:
        """Index the prefixes; return about how many postings `join` will visit, which needs it."""
    def join(self, lo: int, hi: int, forest: Forest) -> None:
        """Unite each set of [lo, hi) with those before it whose Jaccard reaches the threshold."""
    def join_buckets(
        self, starts: _Int64, members: _Int64, lo: int, hi: int, forest: Forest
    ) -> None:
        """Unite similar sets within each bucket b of [lo, hi): members[starts[b]:starts[b + 1]]."""
