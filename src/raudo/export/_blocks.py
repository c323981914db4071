"""Cutting rows of any kind into blocks: a batch for each part.

Everything here is lazy; a block is read when the one before it has been handed on.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping, Sequence
from typing import Any

__all__ = ["ARROW_ROWS", "BATCH_ROWS", "async_blocks", "blocks", "check_rows", "cut"]

BATCH_ROWS = 4096
"""Rows that a writer is given at a time."""
ARROW_ROWS = 1 << 16
"""Rows of a record batch that is handed on as it is."""


def check_rows(rows: object) -> None:
    readable = hasattr(rows, "__iter__") or hasattr(rows, "to_batches")
    is_scalar = getattr(rows, "shape", None) == ()  # an array of no dimension only looks iterable
    if isinstance(rows, str | bytes | Mapping) or not readable or is_scalar:
        raise TypeError(f"rows is {type(rows).__name__}, wanted an iterable of mappings")


def blocks(rows: Iterable[Any], n_parts: int, is_columnar: bool = False) -> Iterator[Sequence[Any]]:
    """Yield up to `BATCH_ROWS * n_parts` rows at a time.

    Where the format `is_columnar`, Arrow record batches are handed on as they are, cut where they
    are long.
    """
    block_rows = BATCH_ROWS * n_parts
    array: Any = rows
    is_array = hasattr(rows, "dtype") and hasattr(rows, "shape")  # NumPy's slices are views
    is_plain_list = type(rows) is list and not (rows and hasattr(rows[0], "to_pylist"))
    if is_array or is_plain_list:
        yield from (array[i : i + block_rows] for i in range(0, len(array), block_rows))
        return
    iterator = iter(array.to_batches() if hasattr(rows, "to_batches") else rows)
    for first in iterator:
        rest = itertools.chain([first], iterator)
        if not (hasattr(first, "to_pylist") and hasattr(first, "schema")):
            yield from _lists(rest, block_rows)
        elif is_columnar:
            most = ARROW_ROWS * n_parts
            for batch in rest:
                yield from (batch[i : i + most] for i in range(0, batch.num_rows, most))
        else:
            yield from _lists(_unpacked(rest), block_rows)


def _lists(rows: Iterator[Any], block_rows: int) -> Iterator[list[Any]]:
    while block := list(itertools.islice(rows, block_rows)):
        yield block
        del block  # or memory would hold two


def _unpacked(batches: Iterator[Any]) -> Iterator[Any]:
    """Iterate over the rows in record batches, few of them at a time."""
    for batch in batches:
        for i in range(0, batch.num_rows, BATCH_ROWS):
            yield from batch[i : i + BATCH_ROWS].to_pylist()


async def async_blocks(
    rows: AsyncIterable[Any], n_parts: int
) -> AsyncGenerator[Sequence[Any], None]:
    """Do as `blocks` does with an async iterable."""
    block: list[Any] = []
    async for row in rows:
        block.append(row)
        if len(block) == BATCH_ROWS * n_parts:
            yield block
            block = []
    if block:
        yield block


def cut(block: Sequence[Any], n_parts: int) -> Iterator[Sequence[Any]]:
    """Split a block evenly, so that a short input fills all parts."""
    if n_parts == 1:
        return iter((block,))
    size = -(-len(block) // n_parts)
    return (block[i : i + size] for i in range(0, len(block), size))
