"""Progress of long work: a tqdm bar on a terminal, plain lines elsewhere.

tqdm comes with the `cli` extra; without it the plain lines are used on terminals too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, Self, TextIO

__all__ = ["Progress", "open_progress"]

# What is done sooner needs no bar, and has no rate that means anything.
_SHOWN_AFTER_S = 0.2


class Progress(Protocol):
    """A running count of one stage of work."""

    def update(self, n: int = 1, /) -> object: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, error: object, trace: object, /) -> None: ...


class _Lines:
    """Writes a line when a stage starts and ends, and every ten seconds between."""

    def __init__(
        self,
        stage: str,
        total: int | None,
        unit: str,
        file: TextIO,
        detail: Callable[[], str] | None,
    ) -> None:
        self._stage, self._total, self._unit, self._file = stage, total, unit, file
        self._detail = detail
        self._done, self._closed = 0, False
        self._start = self._last = time.monotonic()

    def update(self, n: int = 1, /) -> None:
        self._done += n
        now = time.monotonic()
        if now - self._last >= 10.0:
            self._last = now
            self._say(now)

    def _say(self, now: float, end: str = "") -> None:
        spent = max(now - self._start, 1e-9)
        rate = self._done / spent
        of = f"/{self._total}" if self._total is not None else ""
        left = ""
        if not end and self._total is not None and rate:
            left = f", {(self._total - self._done) / rate:.0f} s left"
        detail = f", {self._detail()}" if self._detail is not None else ""
        print(
            f"{self._stage}: {self._done}{of} {self._unit}, {spent:.1f} s, "
            f"{rate:.0f}/s{left}{detail}{end}",
            file=self._file,
            flush=True,
        )

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._say(time.monotonic(), end=" done")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object, /) -> None:
        if kind is None:
            self.close()


class _Bar:
    """A tqdm bar that also shows a detail, asked for twice a second at most."""

    def __init__(self, bar: Any, detail: Callable[[], str]) -> None:
        self._bar, self._detail, self._last = bar, detail, -1.0

    def update(self, n: int = 1, /) -> None:
        now = time.monotonic()
        if now - self._last >= 0.5:
            self._last = now
            self._bar.set_postfix_str(self._detail(), refresh=False)
        self._bar.update(n)

    def close(self) -> None:
        self._bar.set_postfix_str(self._detail(), refresh=False)
        self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Silent:
    def update(self, n: int = 1, /) -> object: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object, /) -> None: ...


def open_progress(
    stage: str,
    total: int | None = None,
    *,
    unit: str = "items",
    enabled: bool = True,
    file: TextIO | None = None,
    detail: Callable[[], str] | None = None,
) -> Progress:
    """Start showing one stage of work on `file` (standard error by default).

    `detail` is called now and then for a few words more: memory, a hit rate.
    """
    if not enabled:
        return _Silent()
    out = file if file is not None else sys.stderr
    if out.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            pass
        else:
            bar: Any = tqdm(
                total=total,
                desc=stage,
                unit=f" {unit}",
                unit_scale=True,
                file=out,
                dynamic_ncols=True,
                delay=_SHOWN_AFTER_S,
            )
            made: Progress = _Bar(bar, detail) if detail is not None else bar
            return made
    return _Lines(stage, total, unit, out, detail)
