"""Folders listed with the stamps of what is in them, without the GIL."""

from os import PathLike

import numpy as np
from numpy.typing import NDArray

STAMP_NUMBERS: int
LEAST_SHARED: int

def list_folder(
    path: str | PathLike[str], *, n_jobs: int = 1
) -> tuple[list[str], NDArray[np.uint32], NDArray[np.int64]]:
    """Return the names in a folder, (n,) modes and (n, STAMP_NUMBERS) stamps, ordered by name.

    A stamp is device, inode, size in bytes, and the times at which the content and the state last
    changed, in ns. Links are not followed. A name that begins with a dot, and what cannot be looked
    at, has mode 0; a folder may have a stamp of zeros. Many are looked at by `n_jobs` threads.

    Raises:
        OSError: The folder cannot be read.
    """
