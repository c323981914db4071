"""Where spans begin, for whoever traces. Off, which is how it starts, it costs a look at a global.

Rooms say what they do by `span`; `raudo.monitoring.tracing` sets `begin` to what makes spans of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

__all__ = ["Attribute", "Attributes", "Note", "begin", "span"]

Attribute = str | int | float | bool
Attributes = Mapping[str, Attribute]
Note = Callable[[str, Attribute], object]
"""Adds an attribute to a span that has begun."""

begin: Callable[[str, Attributes], AbstractContextManager[Note]] | None = None
"""Begins a span of that name around a block; None while nobody traces."""


def _forget(name: str, value: Attribute) -> None:
    pass


_NO_SPAN: AbstractContextManager[Note] = nullcontext(_forget)


def span(name: str, attributes: Attributes) -> AbstractContextManager[Note]:
    """Return a span for a `with` block, which gets what adds attributes to it.

    What the block raises is noted on the span and passed on.
    """
    return _NO_SPAN if begin is None else begin(name, attributes)
