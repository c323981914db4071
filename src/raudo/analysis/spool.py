"""Columns that grow by pieces: in memory up to a bound, beyond it in a file that is mapped.

The file has no name and goes with the last array that views it. Its pages belong to the system,
which writes them out where memory runs short, so that a corpus may be larger than memory.
"""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Column", "Spool"]


class Spool:
    """Makes columns that together hold at most `limit_bytes` in memory; None for no bound.

    Not thread-safe.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self._limit = limit_bytes
        self._columns: list[Column] = []
        self._held = 0
        self.is_on_disk = False

    def close(self) -> None:
        """Let go of the files; arrays that are finished keep theirs."""
        for column in self._columns:
            column.close()

    def column(self, dtype: Any, width: int | None = None) -> Column:
        """Return a new column of shape (n,), or (n, width)."""
        made = Column(self, np.dtype(dtype), width)
        self._columns.append(made)
        return made

    def grown(self, n_bytes: int) -> None:
        self._held += n_bytes
        if self._limit is not None and self._held > self._limit and not self.is_on_disk:
            self.is_on_disk = True
            for column in self._columns:
                column.spill()


class Column:
    """An array in the making."""

    def __init__(self, spool: Spool, dtype: np.dtype[Any], width: int | None) -> None:
        self._spool, self._dtype, self._width = spool, dtype, width
        self._parts: list[NDArray[Any]] = []
        self._file: IO[bytes] | None = None
        self._length = 0

    def append(self, part: NDArray[Any]) -> None:
        """Add rows at the end. They are not copied: the caller leaves them as they are.

        Raises:
            OSError: The temporary folder has no room.
        """
        if self._width is None and part.ndim == 2:
            self._width = part.shape[1]
        self._length += len(part)
        self._parts.append(part)
        self._spool.grown(part.nbytes)
        if self._spool.is_on_disk:
            self.spill()

    def spill(self) -> None:
        """Move what is in memory into the file."""
        if self._file is None:
            import tempfile  # most analyses need no file

            # written by many calls, closed by close()
            self._file = tempfile.TemporaryFile(prefix="raudo-")  # noqa: SIM115
        for part in self._parts:
            np.ascontiguousarray(part, self._dtype).tofile(self._file)
        self._parts.clear()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def finish(self) -> NDArray[Any]:
        """Return the whole, and let go of the parts one by one: memory holds it once, not twice."""
        shape = (self._length,) if self._width is None else (self._length, self._width)
        if self._file is not None and self._length and 0 not in shape:
            self._file.flush()
            mapped: NDArray[Any] = np.memmap(self._file, self._dtype, "r+", shape=shape)
            return mapped.view(np.ndarray)
        if len(self._parts) == 1 and self._parts[0].flags.c_contiguous:
            only = self._parts.pop()
            return only if only.dtype == self._dtype else only.astype(self._dtype)
        whole = np.empty(shape, self._dtype)
        at = 0
        self._parts.reverse()
        while self._parts:
            part = self._parts.pop()
            whole[at : at + len(part)] = part
            at += len(part)
        return whole
