"""How many items of a map to send to a worker at once.

Guided chunks: large enough that handing them over costs little (a chunk aims at a fixed time),
small enough that none holds up the end (a share of what is left), and bounded in bytes where items
are copied to another process. Sizes start at one and grow at most fourfold from one to the next, as
the time per item becomes known.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any

from raudo.concurrency.routing import Kind

__all__ = ["ChunkSizer", "size_of"]

_TARGET_SECONDS: dict[str, float] = {"inline": 0.002, "thread": 0.004}
# Of that: with less, handing a chunk over costs a tenth of it and more. The last chunks get no
# smaller.
_LEAST_SHARE: dict[str, float] = {"thread": 0.125, "process": 0.1}
_MAX_BYTES = 1 << 20
_MAX_ITEMS = 10_000
_GROWTH = 4


_SMALL = frozenset({int, float, bool, type(None)})
_FLAT = frozenset({bytes, str, bytearray})
_SMALL_BYTES = 32


def size_of(value: Any) -> int:
    """Return roughly the bytes it takes to send a value; cheap, and blind to deep structures."""
    n_bytes = getattr(value, "nbytes", None)
    if isinstance(n_bytes, int):
        return n_bytes
    if isinstance(value, list | tuple | set | frozenset):
        n = len(value)
        sample = itertools.islice(value, 8)
        return sys.getsizeof(value) + n * max(map(_shallow_size, sample), default=0)
    return _shallow_size(value)


def _shallow_size(value: Any) -> int:
    n_bytes = getattr(value, "nbytes", None)
    return n_bytes if isinstance(n_bytes, int) else sys.getsizeof(value)


def _bytes_of(block: list[Any]) -> int:
    kinds = set(map(type, block))
    if kinds <= _SMALL:
        return _SMALL_BYTES * len(block)
    return sum(map(len if kinds <= _FLAT else size_of, block))


def _take(items: Iterator[Any], n: int, max_bytes: int) -> list[Any]:
    """Take at most `n` items; no more once they are `max_bytes` large."""
    taken: list[Any] = []
    left_bytes, at_once = max_bytes, 1
    while len(taken) < n and left_bytes > 0:
        block = list(itertools.islice(items, min(at_once, n - len(taken))))
        if not block:
            break
        taken += block
        n_bytes = _bytes_of(block)
        left_bytes -= n_bytes
        # Items tend to be as large as those before them, and looking at each costs time.
        at_once = min(32, 1 + left_bytes * len(block) // max(1, 2 * n_bytes))
    return taken


class ChunkSizer:
    """Cuts chunks off an iterator. Used by one thread.

    Args:
        fixed: Items per chunk, if the caller said so.
        n_items: Items there are in all; None when that is not known.
        process_s: How long a chunk for another process should take.
    """

    def __init__(self, fixed: int | None, n_items: int | None, process_s: float = 0.020) -> None:
        self._fixed = fixed
        self._target_s = {**_TARGET_SECONDS, "process": process_s}
        self._left = n_items
        self._seconds_per_item: float | None = None
        self._last_n: dict[str, int] = {}

    def observe(self, n_items: int, wall_s: float) -> None:
        """Note what a chunk took."""
        if n_items:
            per_item = wall_s / n_items
            known = self._seconds_per_item
            self._seconds_per_item = per_item if known is None else 0.7 * known + 0.3 * per_item

    @property
    def is_informed(self) -> bool:
        """Whether it is known what an item takes."""
        return self._seconds_per_item is not None

    def left_seconds(self) -> float | None:
        """Return the work that is left, in seconds of one worker; None when that is not known."""
        if self._left is None or self._seconds_per_item is None:
            return None
        return self._left * self._seconds_per_item

    def _wanted(self, kind: Kind, n_workers: int) -> int:
        if self._fixed is not None:
            return self._fixed
        if self._seconds_per_item is None:
            return 1
        target_s = self._target_s[kind]
        wanted = int(target_s / max(self._seconds_per_item, 1e-9))
        wanted = min(wanted, _GROWTH * self._last_n.get(kind, 1), _MAX_ITEMS)
        if self._left is not None and kind != "inline":
            least = int(target_s * _LEAST_SHARE[kind] / max(self._seconds_per_item, 1e-9))
            wanted = min(wanted, max(least, -(-self._left // (2 * n_workers))))
        return max(1, wanted)

    def cut(self, items: Iterator[Any], kind: Kind, n_workers: int, at_most: int) -> list[Any]:
        """Take the next chunk, of at most `at_most` items; empty when there are no more."""
        wanted = min(self._wanted(kind, n_workers), max(1, at_most))
        if kind == "process" and self._fixed is None:
            chunk = _take(items, wanted, _MAX_BYTES)
        else:
            chunk = list(itertools.islice(items, wanted))
        if self._left is not None:
            self._left = max(0, self._left - len(chunk))
        self._last_n[kind] = max(1, len(chunk))
        return chunk
