"""Sketches of an index's rows, one bit an element, in panels (csrc/sketch/sketch.h).

A search reads them to learn which rows are worth measuring (_core/sketches). They belong to the
lists that rows lie in. Like rows and copies, what a search has seen of them never changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from raudo._core import sketches
from raudo.similarity._threads import available_cores, run
from raudo.similarity.index._copies import PANEL_ROWS
from raudo.similarity.index._file import Arrays, fitting

__all__ = ["Sketches"]

# A thread takes longer to start than fewer take to sketch.
_FEWEST_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Sketches:
    """Sketches of rows by position.

    Args:
        form: Of the metric.
        centres: (n_lists, d) float32.
        shift: (d,) float32, subtracted from rows and centres, or None.
        codes: (n_panels, n_bytes, 32) uint8, the signs.
        along, across: (n_panels * 32,) float32.
    """

    form: int
    centres: NDArray[np.float32]
    shift: NDArray[np.float32] | None
    codes: NDArray[np.uint8]
    along: NDArray[np.float32]
    across: NDArray[np.float32]

    @classmethod
    def empty(
        cls, form: int, centres: NDArray[np.float32], shift: NDArray[np.float32] | None
    ) -> Sketches:
        codes = np.empty((0, sketches.n_bytes(centres.shape[1]), PANEL_ROWS), np.uint8)
        nothing = np.empty(0, np.float32)
        return cls(int(form), centres, shift, codes, nothing, nothing)

    def with_capacity(self, n_rows: int) -> Sketches:
        """Return sketches with room for `n_rows`; these stay as they are."""
        n_panels, old = -(-n_rows // PANEL_ROWS), len(self.codes)
        codes = np.zeros((n_panels, *self.codes.shape[1:]), np.uint8)
        along, across = np.zeros((2, n_panels * PANEL_ROWS), np.float32)
        codes[:old] = self.codes
        along[: old * PANEL_ROWS], across[: old * PANEL_ROWS] = self.along, self.across
        return replace(self, codes=codes, along=along, across=across)

    def write(
        self,
        rows: NDArray[np.float32],
        owners: NDArray[np.int64],
        positions: NDArray[np.int64],
    ) -> None:
        """Sketch rows of the lists `owners` at positions that no search looks at yet."""
        order = np.argsort(owners, kind="stable")
        step = max(_FEWEST_ROWS, -(-len(rows) // available_cores()))

        def write(some: NDArray[np.int64]) -> None:
            sketches.sketch_rows(
                rows[some],
                owners[some],
                positions[some],
                self.centres,
                self.shift,
                self.form,
                self.codes,
                self.along,
                self.across,
            )

        parts = [order[lo : lo + step] for lo in range(0, len(rows), step)]
        run([partial(write, part) for part in parts], available_cores())

    def to_arrays(self, n_panels: int) -> Arrays:
        """Return what a file keeps of the first panels."""
        n = n_panels * PANEL_ROWS
        return {
            "codes": self.codes[:n_panels],
            "along": self.along[:n],
            "across": self.across[:n],
        }

    def from_arrays(self, arrays: Arrays, n_panels: int) -> Sketches:
        """Return sketches of what `to_arrays` gave, a ValueError where it is not that."""
        n = n_panels * PANEL_ROWS
        return replace(
            self,
            codes=fitting(arrays, "codes", n_panels, self.codes),
            along=fitting(arrays, "along", n, self.along),
            across=fitting(arrays, "across", n, self.across),
        )
