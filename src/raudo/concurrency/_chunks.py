"""Cuts a sync or async iterable into lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from typing import Any

__all__ = ["Chunks"]


class Chunks:
    """Hands out lists of the next items to several readers, in order.

    Args:
        next_size: Returns how many items the next list may have.
    """

    def __init__(
        self, items: Iterable[Any] | AsyncIterable[Any], next_size: Callable[[], int]
    ) -> None:
        self._sync: Iterator[Any] | None = None
        self._async: AsyncIterator[Any] | None = None
        if isinstance(items, AsyncIterable):
            self._async = aiter(items)
        else:
            self._sync = iter(items)
        self._next_size = next_size
        self._turn = asyncio.Lock()
        self._is_exhausted = False

    async def next(self) -> list[Any]:
        """Return the next items; none at the end."""
        if self._sync is not None:
            return list(islice(self._sync, self._next_size()))
        assert self._async is not None
        async with self._turn:
            chunk: list[Any] = []
            size = self._next_size()
            while len(chunk) < size and not self._is_exhausted:
                try:
                    chunk.append(await anext(self._async))
                except StopAsyncIteration:
                    self._is_exhausted = True
            return chunk
