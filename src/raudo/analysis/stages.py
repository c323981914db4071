"""How long each stage of an analysis took, and what the store spared it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from raudo import _trace
from raudo._process import resident_bytes
from raudo._progress import Progress, open_progress

__all__ = ["Stage", "Stages", "hit_ratio"]


@dataclass(slots=True)
class Stage:
    """One stage: seconds spent, items done; of those, `hits` came from the store and `misses` did
    not.

    `saved_s` is what the hits took when they were computed, less what finding them took now.
    """

    name: str
    seconds: float = 0.0
    items: int = 0
    hits: int = 0
    misses: int = 0
    saved_s: float = 0.0

    @property
    def rate(self) -> float | None:
        """Items a second; None where nothing was done, or in no time."""
        return self.items / self.seconds if self.items and self.seconds else None

    @property
    def hit_ratio(self) -> float | None:
        return hit_ratio([self])


def hit_ratio(stages: Iterable[Stage]) -> float | None:
    """Return the share of lookups that the store answered; None where it was not asked."""
    found = list(stages)
    hits = sum(stage.hits for stage in found)
    asked = hits + sum(stage.misses for stage in found)
    return hits / asked if asked else None


class Stages:
    """Collects stages in the order in which they begin; shows progress where that is wanted."""

    def __init__(self, progress: bool) -> None:
        self._open: Callable[..., Progress] = partial(
            open_progress, enabled=progress, detail=self._detail
        )
        self._by_name: dict[str, Stage] = {}

    def _detail(self) -> str:
        """Say how much memory is held, and what share of lookups the store has answered."""
        known = hit_ratio(self._by_name.values())
        share = "" if known is None else f", {known:.0%} cached"
        return f"{resident_bytes() / 1e6:,.0f} MB{share}"

    def get(self, name: str) -> Stage:
        return self._by_name.setdefault(name, Stage(name))

    @contextlib.contextmanager
    def timed(self, name: str, items: int = 0) -> Iterator[Stage]:
        """Add the time of this block to the stage."""
        stage = self.get(name)
        start = time.perf_counter()
        try:
            with _trace.span(f"raudo.analysis.{name}", {"raudo.documents": items}):
                yield stage
        finally:
            stage.seconds += time.perf_counter() - start
            stage.items += items

    @contextlib.contextmanager
    def shown(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Time this block, with a progress display of its own; yield what counts documents done.

        Folded copies are not counted one by one: the display is topped up to the total at the end.
        """
        done = 0
        lock = threading.Lock()
        with self.timed(name, total), self._open(name, total, unit="documents") as progress:

            def tick(n: int) -> None:
                nonlocal done
                with lock:
                    n = min(n, total - done)
                    done += n
                    progress.update(n)

            yield tick
            tick(total)

    def display(self, name: str, total: int | None = None, unit: str = "documents") -> Progress:
        """Open a progress display without timing."""
        return self._open(name, total, unit=unit)

    def all(self) -> tuple[Stage, ...]:
        return tuple(self._by_name.values())
