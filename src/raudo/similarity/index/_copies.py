"""Compact copies of an index's rows: int8 or bfloat16, in panels (csrc/panel/panel.h).

Searches read the copies and measure only what these cannot rule out (_core/panels). Like the rows
of an index, what a search has seen of them never changes: rows are added behind, in place while
there is room.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from raudo._core import panels
from raudo.similarity._arrays import Pair
from raudo.similarity._threads import jobs_for, run
from raudo.similarity.distances import centre, row_kernel
from raudo.similarity.index._file import Arrays, fitting
from raudo.similarity.metrics import Form, Metric
from raudo.similarity.search import MOST_COLUMNS, best
from raudo.types import Matches

__all__ = ["COPIED_STORAGES", "Copies", "MOST_COLUMNS"]

PANEL_ROWS = 32
COPIED_STORAGES = {"int8": 0, "bfloat16": 1}
_MOST_QUERIES = 768


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies of rows by position, and what is known of how far each is from its row.

    Args:
        panels: (n_panels, n_groups, 32, 4) uint8.
        scale, bias: (n_panels * 32,) float32; a bias of infinity is that of no row.
        spread: (n_panels, 2) float32, the largest error and norm.
        shift: (d,) float32, subtracted from each row before it was copied, or None.
    """

    metric: Metric
    kind: int
    panels: NDArray[np.uint8]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]
    spread: NDArray[np.float32]
    shift: NDArray[np.float32] | None
    dim: int

    @classmethod
    def empty(cls, metric: Metric, storage: str, dim: int, first_rows: NDArray[Any]) -> Copies:
        """Make room for none; `first_rows` are such as will be added."""
        kind = COPIED_STORAGES[storage]
        shift = None
        if metric.form == Form.SQEUCLIDEAN:
            shift = centre(metric, Pair(first_rows, first_rows, "f32", dim))
        return cls(
            metric,
            kind,
            np.empty((0, panels.n_groups(kind, dim), PANEL_ROWS, 4), np.uint8),
            np.empty(0, np.float32),
            np.empty(0, np.float32),
            np.empty((0, 2), np.float32),
            shift,
            dim,
        )

    def with_capacity(self, n_rows: int) -> Copies:
        """Return copies with room for `n_rows`; these stay as they are."""
        n_panels = -(-n_rows // PANEL_ROWS)
        old = len(self.panels)
        grown = np.zeros((n_panels, *self.panels.shape[1:]), np.uint8)
        scale = np.zeros(n_panels * PANEL_ROWS, np.float32)
        bias = np.full(n_panels * PANEL_ROWS, np.inf, np.float32)
        spread = np.zeros((n_panels, 2), np.float32)
        grown[:old], spread[:old] = self.panels, self.spread
        scale[: old * PANEL_ROWS], bias[: old * PANEL_ROWS] = self.scale, self.bias
        return replace(self, panels=grown, scale=scale, bias=bias, spread=spread)

    def write(self, rows: NDArray[np.float32], positions: NDArray[np.int64]) -> None:
        """Copy float32 rows to positions that no search looks at yet."""
        panels.copy_rows(
            rows,
            positions,
            self.shift,
            self.kind,
            int(self.metric.form),
            self.panels,
            self.scale,
            self.bias,
            self.spread,
        )

    def taken(
        self,
        positions: NDArray[np.int64],
        to: NDArray[np.int64] | None = None,
        n_rows: int | None = None,
    ) -> Copies:
        """Return the copies of these positions alone: in their order, or at `to` of `n_rows`."""
        to = np.arange(len(positions)) if to is None else to
        room = replace(
            self,
            panels=self.panels[:0],
            scale=self.scale[:0],
            bias=self.bias[:0],
            spread=self.spread[:0],
        ).with_capacity(len(positions) if n_rows is None else n_rows)
        to_panel, to_place = np.divmod(to, PANEL_ROWS)
        from_panel, from_place = np.divmod(positions, PANEL_ROWS)
        room.panels[to_panel, :, to_place] = self.panels[from_panel, :, from_place]
        room.scale[to] = self.scale[positions]
        room.bias[to] = self.bias[positions]
        np.maximum.at(room.spread, to_panel, self.spread[from_panel])
        return room

    def without(self, positions: NDArray[np.int64]) -> Copies:
        """Return copies of which these are not there; those that searches see stay as they are."""
        bias = self.bias.copy()
        bias[positions] = np.inf
        return replace(self, bias=bias)

    def decoded(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return rows (m, d) as the copies have them, NaN where they say nothing."""
        panel, place = np.divmod(positions, PANEL_ROWS)
        groups = np.ascontiguousarray(self.panels[panel, :, place]).reshape(len(positions), -1)
        if self.kind == COPIED_STORAGES["int8"]:
            rows = groups[:, : self.dim].astype(np.float32) - 128
        else:
            bits = groups.view(np.uint16)[:, : self.dim].astype(np.uint32) << 16
            rows = bits.view(np.float32)
        rows *= self.scale[positions][:, None]
        rows[self.bias[positions] == -np.inf] = np.nan
        return rows if self.shift is None else rows + self.shift

    def to_arrays(self, n: int) -> Arrays:
        """Return what a file keeps of the first `n` positions."""
        n_panels = -(-n // PANEL_ROWS)
        arrays: Arrays = {
            "panels": self.panels[:n_panels],
            "scale": self.scale[: n_panels * PANEL_ROWS],
            "bias": self.bias[: n_panels * PANEL_ROWS],
            "spread": self.spread[:n_panels],
        }
        return arrays if self.shift is None else arrays | {"shift": self.shift}

    def from_arrays(self, arrays: Arrays, n: int) -> Copies:
        """Return copies of what `to_arrays` gave, a ValueError where it is not that."""
        n_panels, like = -(-n // PANEL_ROWS), self.to_arrays(0)
        lengths = {"scale": n_panels * PANEL_ROWS, "bias": n_panels * PANEL_ROWS, "shift": self.dim}
        fields: dict[str, Any] = {
            name: fitting(arrays, name, lengths.get(name, n_panels), like[name]) for name in like
        }
        return replace(self, **fields)

    def search(
        self,
        queries: NDArray[np.float32],
        rows: NDArray[np.float32] | None,
        n: int,
        k: int,
        n_jobs: SupportsIndex | None,
        ids: NDArray[np.int64],
        allowed: NDArray[np.bool_] | None,
    ) -> Matches:
        """Search the first `n` positions; `rows` None: distances are those of the copies."""
        q, d = queries.shape
        jobs = jobs_for(n_jobs, q * n * max(d, 1) // 4)
        found = min(k, n)
        step = max(96, min(_MOST_QUERIES, -(-q // (96 * jobs)) * 96))
        n_panels = -(-n // PANEL_ROWS)
        # Few queries cannot occupy all threads: then each thread takes a part of the panels.
        n_parts = min(jobs, max(1, n_panels // 32)) if q <= step else 1
        part = max(1, -(-n_panels // n_parts))
        scores = np.empty((n_parts, q, found))
        names = np.empty((n_parts, q, found), np.int64)
        mask = None if allowed is None else np.ascontiguousarray(allowed).view(np.uint8)
        kernel = row_kernel(self.metric, "f32")

        def search(number: int, first: int) -> None:
            panels.nearest_panels(
                queries[first : first + step],
                rows,
                self.panels,
                self.scale,
                self.bias,
                self.spread,
                ids,
                mask,
                number * part,
                min(n, (number + 1) * part * PANEL_ROWS),
                self.kind,
                int(self.metric.form),
                kernel,
                self.shift,
                scores[number, first : first + step],
                names[number, first : first + step],
            )

        run([partial(search, i, j) for i in range(n_parts) for j in range(0, q, step)], jobs)
        return best_of_parts(self.metric, scores, names, k)


def best_of_parts(
    metric: Metric, scores: NDArray[np.float64], names: NDArray[np.int64], k: int
) -> Matches:
    """Return the k best of (parts, q, found) as distances, padded with NaN and -1."""
    found = scores.shape[2]
    if len(scores) == 1:
        top, top_names = scores[0], names[0]
    else:
        top, top_names = best(np.concatenate(scores, axis=1), np.concatenate(names, axis=1), found)
    distances = top.astype(np.float32)
    if metric.larger_is_nearer:
        np.negative(distances, out=distances)
    if metric.root:
        np.sqrt(distances, out=distances)
    if found < k:
        padding = ((0, 0), (0, k - found))
        top_names = np.pad(top_names, padding, constant_values=-1)
        distances = np.pad(distances, padding, constant_values=np.nan)
    return Matches(top_names, distances)
