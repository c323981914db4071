"""Words of documents as 64-bit hashes: cut, count and weigh, without the GIL.

Many documents are one CSR pair: document i is `words[offsets[i]:offsets[i + 1]]`, with offsets (n +
1) int64 and words uint64. Arrays must be in C order and of the dtype named; every call is
deterministic, the number of threads never shows in a result, and all of them may be called from
many threads at once. A word is what Python's `re` finds as `\\w+` in `text.lower()`; its hash is of
its UTF-8 and a seed.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Int64 = NDArray[np.int64]
_UInt32 = NDArray[np.uint32]
_UInt64 = NDArray[np.uint64]
_Float32 = NDArray[np.float32]
_Float64 = NDArray[np.float64]

WORD_SEED: int
HASH_VERSION: int

def tokenise(texts: Iterable[str], *, n_jobs: int = 1, seed: int = ...) -> tuple[_Int64, _UInt64]:
    """Return (offsets, words): the hash of every word of every text, in order."""

def count_words(
    texts: Iterable[str], *, n_jobs: int = 1, seed: int = ...
) -> tuple[_Int64, _UInt64, _UInt32, _Int64]:
    """Return (offsets, words, counts, lengths): each text's distinct words, ascending by hash, how
    often each occurs, and how many words the text has in all."""

def word_sets(
    texts: Iterable[str], *, shingle: int = 1, n_jobs: int = 1, seed: int = ...
) -> tuple[_Int64, _UInt64]:
    """Return (offsets, runs): each text's distinct runs of `shingle` words, ascending by hash. A
    text of fewer words has one run, of all of them."""

def content_keys(texts: Iterable[str]) -> _UInt64:
    """Return (n, 2): 128 bits that tell one text from another, the same in every process."""

def hash_bytes(data: Any, seed: int = 0) -> int:
    """Hash a bytes-like object in C order to 64 bits; about 10 GB/s."""

def vocabulary(words: _UInt64) -> tuple[_UInt32, int]:
    """Number the distinct words by first appearance: (number of each word, how many there are)."""

def count_terms(words: _UInt64) -> tuple[_UInt32, _UInt64, _Int64]:
    """Return what `vocabulary` numbers, the words by number, and how often each is there."""

def find_among(words: _UInt64, wanted: _UInt64) -> tuple[_Int64, _Int64]:
    """Return (at, which): words[at[i]] is wanted[which[i]], at ascending; `wanted` are distinct."""

def embed(
    offsets: _Int64,
    words: _UInt64,
    counts: _UInt32,
    terms: _UInt32,
    idf: _Float64,
    dimensions: int,
    *,
    n_jobs: int = 1,
) -> _Float32:
    """Return (n, dimensions): words weighted by (1 + ln count) * idf[term], added with a hashed
    sign at a hashed dimension, each row scaled to unit length; zeros for a text without words."""

def set_keys(offsets: _Int64, words: _UInt64) -> _UInt64:
    """Return (n, 2): 128 bits that tell one set from another."""

def row_keys(rows: _Float32) -> _UInt64:
    """Return (n, 2): 128 bits that tell one row of (n, d) from another."""

def take_rows(offsets: _Int64, values: NDArray[Any], rows: _Int64) -> tuple[_Int64, NDArray[Any]]:
    """Gather rows of a CSR pair, of any dtype, into a new one."""
