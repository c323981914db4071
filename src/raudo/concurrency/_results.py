"""The iterator over a map's results."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import Any

__all__ = ["Results"]


class Results(chain[Any]):
    """The results of chunks one by one, at the speed of `chain`; with a generator's `close`."""

    _chunks: Iterator[list[Any]]

    @classmethod
    def of(cls, chunks: Iterator[list[Any]]) -> Results:
        """Return an iterator over what a generator yields in lists."""
        results: Any = cls.from_iterable(chunks)
        results._chunks = chunks
        return results  # type: ignore[no-any-return]

    def close(self) -> None:
        """Take no more results; what has not begun is not run."""
        close: Any = getattr(self._chunks, "close", None)
        if close is not None:
            close()
        deque(self, maxlen=0)  # the rest of the chunk that it stands in
