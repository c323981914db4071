"""GDSF: the least of `age + uses / size` leaves, and age becomes what it had; hit ratio only."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["gdsf_hit_ratio"]


def gdsf_hit_ratio(requests: Iterable[tuple[int, int]], limit: int) -> float:
    """Return the share of hits of `(key, size)` requests; a key has one size, at most `limit`."""
    held: dict[int, tuple[float, int, int]] = {}  # value, uses, size
    age, used, hits, n_requests = 0.0, 0, 0, 0
    for key, size in requests:
        n_requests += 1
        hits += key in held
        if key not in held:
            used += size
        uses = 1 + held.get(key, (0.0, 0, 0))[1]
        held[key] = age + uses / size, uses, size
        while used > limit:
            age, _, left = held.pop(min(held, key=held.__getitem__))
            used -= left
    return hits / n_requests
