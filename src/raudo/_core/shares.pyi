from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["in_threads", "ranges"]

_P = TypeVar("_P")
_R = TypeVar("_R")

def in_threads(
    work: Callable[[_P], _R], pieces: Sequence[_P], n_jobs: int, stopped: list[bool] | None = None
) -> list[_R]:
    """Return `[work(piece) for piece in pieces]`, by up to n_jobs threads."""

def ranges(n: int, step: int) -> list[tuple[int, int]]:
    """Cut [0, n) into stretches of `step`."""
