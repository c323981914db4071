"""Counts what becomes of submitted tasks, before anyone who waits for them can know."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from raudo._core.futures import CountedState, Tally

__all__ = ["CountedFuture", "Tally"]


class CountedFuture(CountedState, Future[Any]):
    """A future that tells a tally how it ended, before it wakes those who wait."""
