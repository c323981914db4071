"""An index as plainly as can be: a dict of rows, every one measured for every query."""

import numpy as np


class IndexModel:
    def __init__(self, distance, larger_is_nearer=False):
        self.rows = {}
        self.distance = distance
        self.sign = -1 if larger_is_nearer else 1

    def add(self, rows, ids):
        self.rows |= dict(zip(ids, rows, strict=True))

    def remove(self, ids):
        for name in ids:
            self.rows.pop(name, None)

    def search(self, query, k, allowed=None):
        """Return (ids, distances) of the k nearest, ties by id."""
        found = sorted(
            (self.sign * self.distance(query, row), name)
            for name, row in self.rows.items()
            if allowed is None or name in allowed
        )
        return [name for _, name in found[:k]], [self.sign * score for score, _ in found[:k]]

    def within(self, query, radius, allowed=None):
        names, distances = self.search(query, len(self.rows), allowed)
        inside = [self.sign * distance <= self.sign * radius for distance in distances]
        return names[: sum(inside)], distances[: sum(inside)]


def sqeuclidean(a, b):
    return float(np.sum((a.astype(np.float64) - b) ** 2))


def hamming(a, b):
    return float(np.mean(a != b))
