"""Arguments of a SmartCache, checked once at the edge."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["check_arguments", "check_ttl"]


def check_ttl(ttl: float | None, default: float | None, name: str = "ttl") -> float | None:
    """Return the seconds that count, None for ever."""
    seconds = default if ttl is None else ttl
    if seconds is None or seconds == math.inf:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{name} must be a number of seconds or None, got {seconds!r}")
    if not seconds > 0:
        raise ValueError(f"{name} must be more than 0 seconds, got {seconds!r}")
    # 2**63 nanoseconds end in the year 2262; what lives longer lives for ever.
    return float(seconds) if seconds < 7e9 else None


def check_arguments(
    max_size: Any,
    default_ttl: Any,
    levels: Any,
    max_bytes: Any,
    path: Any,
    tiers: Any,
    prefetch: Any,
    loader: Any,
) -> None:
    """Raise `TypeError` or `ValueError` for the first argument that is not as it should be."""
    if isinstance(max_size, bool) or not isinstance(max_size, int):
        raise TypeError(f"max_size must be an int, got {max_size!r}")
    if max_size < 1:
        raise ValueError(f"max_size must be at least 1, got {max_size}")
    check_ttl(default_ttl, None, "default_ttl")
    shares = tuple(levels)
    if len(shares) != 3 or not all(math.isfinite(s) and s >= 0 for s in shares) or not sum(shares):
        raise ValueError(f"levels must be three shares >= 0, not all 0, got {levels!r}")
    if max_bytes is not None and (isinstance(max_bytes, bool) or not isinstance(max_bytes, int)):
        raise TypeError(f"max_bytes must be an int or None, got {max_bytes!r}")
    if max_bytes is not None and max_bytes < 1:
        raise ValueError(f"max_bytes must be at least 1, got {max_bytes}")
    if path is not None and tiers is not None:
        raise ValueError("path and tiers: give one of them, the path is that of the disk tier")
    if path is not None and not shares[2]:
        raise ValueError(f"path needs a third level, and levels={levels!r} turns it off")
    if tiers is not None:
        for tier in tiers:
            if not all(hasattr(tier, name) for name in ("name", "get", "put", "drop", "stats")):
                raise TypeError(f"tiers must hold Tier objects, got {tier!r}")
    if loader is not None and not callable(loader):
        raise TypeError(f"loader must be callable, got {loader!r}")
    if prefetch and loader is None:
        raise ValueError("prefetch=True needs a loader")
