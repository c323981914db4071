"""Work on documents, shared among threads: the kernels let go of the GIL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_threads", "ranges"]

P = TypeVar("P")
R = TypeVar("R")


def in_threads(
    work: Callable[[P], R], pieces: Sequence[P], n_jobs: int, stopped: list[bool] | None = None
) -> list[R]:
    """Return `[work(piece) for piece in pieces]`, by up to n_jobs threads.

    Ctrl-C ends it after the pieces at work; `stopped`, a list, is filled for those who look.
    """
    if n_jobs <= 1 or len(pieces) <= 1:
        return [work(piece) for piece in pieces]
    with ThreadPoolExecutor(min(n_jobs, len(pieces)), thread_name_prefix="raudo-text") as pool:
        futures = [pool.submit(work, piece) for piece in pieces]
        try:
            return [future.result() for future in futures]
        except BaseException:
            if stopped is not None:
                stopped.append(True)
            for future in futures:
                future.cancel()
            raise


def ranges(n: int, step: int) -> list[tuple[int, int]]:
    """Cut [0, n) into stretches of `step`."""
    return [(lo, min(lo + step, n)) for lo in range(0, n, step)]
