"""Figures of documents that follow from their characters: one pass over each text, without the GIL.

Arrays must be in C order and of the dtype named; the number of threads never shows in a result.
"""

import numpy as np
from numpy.typing import NDArray

_Int64 = NDArray[np.int64]

STOPS: str
FULL_STOPS: str
CLOSERS: str

def measure(
    texts: list[str], classes: NDArray[np.uint8], n_classes: int, *, n_jobs: int = 1
) -> tuple[_Int64, _Int64, _Int64, NDArray[np.float64], _Int64]:
    """Return (sentences, words, syllables, entropy, letters) of each text.

    Words here go on over an apostrophe. `classes` (0x110000,) tells the class of each code point;
    `letters` (n, n_classes) counts those of each class. Threads take 4.4 MB each.
    """

def top_words(
    offsets: _Int64,
    counts: NDArray[np.uint32],
    terms: NDArray[np.uint32],
    idf: NDArray[np.float64],
    k: int,
    *,
    n_jobs: int = 1,
) -> _Int64:
    """Return (n, k): where the heaviest words of each document are in the CSR columns, heaviest
    first, -1 where it has fewer. Of equal weights the lower hash comes first.
    """
