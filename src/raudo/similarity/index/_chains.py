"""Which panels the lists of an index are made of: chains, so that lists grow without moving a row.

What a search has seen of a list never changes: `counts` belongs to one version of the index, and
rows are added behind it, in the list's last panel and in new ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from raudo.similarity.index._copies import PANEL_ROWS
from raudo.similarity.index._file import Arrays, fitting

__all__ = ["CHAIN_ARRAYS", "Chains"]

CHAIN_ARRAYS = ("heads", "tails", "counts", "after", "owner", "ordinal")


@dataclass(frozen=True, slots=True)
class Chains:
    """Lists of panels; positions are panel * 32 + place.

    Args:
        heads, tails: (n_lists,) int32, each list's first and last panel.
        counts: (n_lists,) int32, how many places of a list are taken.
        after: (n_panels or more,) int32, the next panel of the same list.
        owner, ordinal: as long, the list that a panel belongs to, and its number there.
        n_panels: How many there are in all.
    """

    heads: NDArray[np.int32]
    tails: NDArray[np.int32]
    counts: NDArray[np.int32]
    after: NDArray[np.int32]
    owner: NDArray[np.int32]
    ordinal: NDArray[np.int32]
    n_panels: int

    @classmethod
    def empty(cls, n_lists: int) -> Chains:
        none, nothing = np.full(n_lists, -1, np.int32), np.empty(0, np.int32)
        return cls(none, none, np.zeros(n_lists, np.int32), nothing, nothing, nothing, 0)

    def grown(self, owners: NDArray[np.int64]) -> tuple[Chains, NDArray[np.int64]]:
        """Return chains with a place for each of `owners` (list numbers), and those positions."""
        added = np.bincount(owners, minlength=len(self.heads)).astype(np.int32)
        counts = self.counts + added
        have, need = -(-self.counts // PANEL_ROWS), -(-counts // PANEL_ROWS)
        first_new = self.n_panels + np.cumsum(need - have) - (need - have)
        n_panels = self.n_panels + int((need - have).sum())

        # New panels are numbered list by list, so that a list that is made at once lies together.
        after, owner, ordinal = self._with_room(n_panels)
        new = np.arange(self.n_panels, n_panels, dtype=np.int32)
        owner[self.n_panels : n_panels] = np.repeat(np.arange(len(need)), need - have)
        ordinal[self.n_panels : n_panels] = new - (first_new - have)[owner[new]]
        after[self.n_panels : n_panels] = new + 1
        grows = need > have
        follows = grows & (have > 0)
        after[self.tails[follows]] = first_new[follows]
        heads = np.where(grows & (have == 0), first_new, self.heads).astype(np.int32)
        tails = np.where(grows, first_new + need - have - 1, self.tails).astype(np.int32)

        order = np.argsort(owners, kind="stable")
        by_list = owners[order]
        starts = np.cumsum(added) - added
        place = np.arange(len(owners)) - starts[by_list] + self.counts[by_list]
        panel = np.where(
            place // PANEL_ROWS < have[by_list],
            self.tails[by_list],
            (first_new - have)[by_list] + place // PANEL_ROWS,
        )
        positions = np.empty(len(owners), np.int64)
        positions[order] = panel.astype(np.int64) * PANEL_ROWS + place % PANEL_ROWS
        return (
            replace(
                self,
                heads=heads,
                tails=tails,
                counts=counts,
                after=after,
                owner=owner,
                ordinal=ordinal,
                n_panels=n_panels,
            ),
            positions,
        )

    def _with_room(
        self, n_panels: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """Return the arrays by panel with room for so many; those that have it, themselves."""
        if n_panels <= len(self.after):
            return self.after, self.owner, self.ordinal
        room = np.zeros(max(n_panels, 2 * self.n_panels) - self.n_panels, np.int32)
        after, owner, ordinal = (
            np.concatenate((array[: self.n_panels], room))
            for array in (self.after, self.owner, self.ordinal)
        )
        return after, owner, ordinal

    def to_arrays(self) -> Arrays:
        """Return what a file keeps."""
        n = self.n_panels
        return {
            "heads": self.heads,
            "tails": self.tails,
            "counts": self.counts,
            "after": self.after[:n],
            "owner": self.owner[:n],
            "ordinal": self.ordinal[:n],
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, n_lists: int) -> Chains:
        """Return the chains of what `to_arrays` gave; a ValueError unless they hang together."""
        n, nothing = len(arrays["after"]), np.empty(0, np.int32)
        lengths = dict.fromkeys(("heads", "tails", "counts"), n_lists)
        lengths |= dict.fromkeys(("after", "owner", "ordinal"), n)
        # Copies: chains grow in place, and a mapped file may not.
        fitted = {name: fitting(arrays, name, lengths[name], nothing).copy() for name in lengths}
        chains = cls(**fitted, n_panels=n)
        if not chains._hang_together():
            raise ValueError("the chains of panels do not hang together")
        return chains

    def _hang_together(self) -> bool:
        """Say whether each list's chain has the panels it should: what a search goes by."""
        have = -(-self.counts.astype(np.int64) // PANEL_ROWS)
        if (self.counts < 0).any() or have.sum() != self.n_panels:
            return False
        if not ((self.owner >= 0) & (self.owner < len(self.heads))).all():
            return False
        # As many panels as there should be, numbered as they should be: then it is a permutation.
        order = np.lexsort((self.ordinal, self.owner))
        starts = np.cumsum(have) - have
        wanted_owner = np.repeat(np.arange(len(have)), have)
        wanted_ordinal = np.arange(self.n_panels) - starts[wanted_owner]
        is_last = wanted_ordinal == have[wanted_owner] - 1
        follows = np.append(order[1:], 0)
        has_panels = have > 0
        return bool(
            (self.owner[order] == wanted_owner).all()
            and (self.ordinal[order] == wanted_ordinal).all()
            and (self.after[order] == follows)[~is_last].all()
            and (self.heads[has_panels] == order[starts[has_panels]]).all()
            and (self.tails[has_panels] == order[(starts + have - 1)[has_panels]]).all()
        )

    def taken(self) -> NDArray[np.int64]:
        """Return the positions that are taken, ascending."""
        owner, ordinal = self.owner[: self.n_panels], self.ordinal[: self.n_panels]
        left = self.counts[owner] - ordinal * PANEL_ROWS
        return np.flatnonzero(np.arange(PANEL_ROWS) < left[:, None])

    def owners_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.owner[positions // PANEL_ROWS].astype(np.int64)

    @property
    def unevenness(self) -> float:
        """How many times more rows a query meets than in lists of one length (of random rows)."""
        counts = self.counts.astype(np.float64)
        total = counts.sum()
        return float(len(counts) * (counts @ counts) / total**2) if total else 1.0
