"""Sizes as they are given to `raudo cache`: entries, percent of the keys, or bytes."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line starts without NumPy
    from raudo.cache.traces import Trace

__all__ = ["Capacity", "Size", "mean_bytes", "of_each_key", "resolve", "spaced"]

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY_UNITS = {"KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30, "TI": 1 << 40}
_BYTES = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([KMGT]?I?)B", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Size:
    """One of the three is given."""

    entries: int = 0
    share: float = 0.0
    n_bytes: int = 0

    @staticmethod
    def parse(text: str) -> Size:
        """Read `1000`, `10%` or `64MB` (10**6 bytes; `64MiB` has 2**20)."""
        if text.replace("_", "").replace(",", "").isdecimal():
            entries = int(text.replace(",", ""))
            if entries >= 1:
                return Size(entries=entries)
        elif text.endswith("%"):
            try:
                share = float(text[:-1]) / 100
            except ValueError:
                share = math.nan
            if 0 < share <= 1:
                return Size(share=share)
            raise argparse.ArgumentTypeError(f"wanted 0% < size <= 100%, got {text!r}")
        elif found := _BYTES.fullmatch(text.strip()):
            unit = found[2].upper()
            n_bytes = float(found[1].replace("_", "")) * {**_UNITS, **_BINARY_UNITS}.get(unit, 0)
            if n_bytes >= 1:
                return Size(n_bytes=round(n_bytes))
        raise argparse.ArgumentTypeError(
            f"wanted entries >= 1, a percentage or bytes, such as 1000, 10% or 64MB, got {text!r}"
        )


@dataclass(frozen=True, slots=True)
class Capacity:
    """How large a cache is: in entries, or by weight in bytes."""

    size: int
    is_bytes: bool = False

    def __str__(self) -> str:
        return f"{self.size:,} B" if self.is_bytes else f"{self.size:,}"


def resolve(wanted: Sequence[Size], trace: Trace, n_unique: int) -> list[Capacity]:
    """Return the capacities in ascending order; all in entries or all in bytes."""
    kinds = {bool(size.n_bytes) for size in wanted}
    if len(kinds) > 1:
        raise argparse.ArgumentTypeError("--size: wanted all in bytes or none, got both")
    if True in kinds and trace.sizes is None:
        raise argparse.ArgumentTypeError("--size: bytes need a trace with sizes, this one has none")
    found = {
        size.n_bytes or size.entries or max(1, round(size.share * n_unique)) for size in wanted
    }
    return [Capacity(size, True in kinds) for size in sorted(found)]


def spaced(n_unique: int, steps: int) -> list[int]:
    """Return about so many numbers of entries, of equal ratio, the last one all keys."""
    first = min(n_unique, max(1.0, n_unique / 1000))
    ratio = (n_unique / first) ** (1 / (steps - 1))
    return sorted({round(first * ratio**i) for i in range(steps)})


def of_each_key(trace: Trace) -> Iterable[int]:
    """Return the size of each object, as it has been asked for last."""
    if trace.sizes is None:
        return ()
    import numpy as np

    last = len(trace.keys) - 1 - np.unique(trace.keys[::-1], return_index=True)[1]
    sizes: list[int] = trace.sizes[last].tolist()
    return sizes


def mean_bytes(trace: Trace) -> float | None:
    """Return the mean size of an object; None where the trace has no sizes."""
    if trace.sizes is None:
        return None
    sizes = list(of_each_key(trace))
    return sum(sizes) / len(sizes)
