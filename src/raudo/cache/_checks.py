"""Arguments of a SmartCache and of the decorators, checked once at the edge."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

__all__ = [
    "check_arguments",
    "check_bounds",
    "check_function",
    "check_loader",
    "check_loading",
    "check_ttl",
    "iterable_of",
    "pairs_of",
]

_LEAST_DISK_BYTES = 4096

T = TypeVar("T")


def check_function(fn: Any, decorator: str) -> None:
    """Raise `TypeError` for what has no results that can be kept."""
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(f"{fn!r} is a generator function: its iterator can be used but once")
    if not callable(fn):
        raise TypeError(f"{decorator} decorates a callable, got {fn!r}")


def check_loader(loader: Any) -> None:
    """Raise `TypeError` for what cannot be called with a key."""
    if not callable(loader):
        raise TypeError(f"loader must be callable, got {loader!r}")


def iterable_of(name: str, value: Iterable[T], what: str) -> Iterable[T]:
    """Return it; raise `TypeError` where it cannot be iterated."""
    try:
        iter(value)
    except TypeError:
        raise TypeError(f"{name} must be {what}, got {value!r}") from None
    return value


def pairs_of(mapping: Mapping[Any, Any]) -> Iterable[tuple[Any, Any]]:
    """Return the pairs of a mapping; raise `TypeError` for what is none."""
    if not isinstance(mapping, Mapping):
        raise TypeError(f"mapping must be a mapping, got {mapping!r}")
    return mapping.items()


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


def check_loading(stale: Any, refresh_ahead: Any, early: Any, negative_ttl: Any) -> None:
    """Raise `TypeError` or `ValueError` for the first option of a load that is not as it should."""
    for name, value in (("stale", stale), ("refresh_ahead", refresh_ahead), ("early", early)):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} must be a number, got {value!r}")
        if not value >= 0:
            raise ValueError(f"{name} must be at least 0, got {value!r}")
    if negative_ttl is not None:
        check_ttl(negative_ttl, None, "negative_ttl")


def check_arguments(
    *,
    max_size: Any,
    default_ttl: Any,
    levels: Any,
    max_bytes: Any,
    path: Any,
    tiers: Any,
    prefetch: Any,
    loader: Any,
    on_evict: Any,
    max_disk_bytes: Any,
    max_loads: Any = None,
) -> None:
    """Raise `TypeError` or `ValueError` for the first argument that is not as it should be."""
    _check_size("max_size", max_size, 1)
    check_ttl(default_ttl, None, "default_ttl")
    if not isinstance(levels, tuple | list) or not all(isinstance(s, int | float) for s in levels):
        raise TypeError(f"levels must be a tuple of three numbers, got {levels!r}")
    if len(levels) != 3 or not all(math.isfinite(s) and s >= 0 for s in levels) or not sum(levels):
        raise ValueError(f"levels must be three shares >= 0, not all 0, got {levels!r}")
    if max_bytes is not None:
        _check_size("max_bytes", max_bytes, 1)
    _check_size("max_disk_bytes", max_disk_bytes, _LEAST_DISK_BYTES)
    if max_loads is not None:
        _check_size("max_loads", max_loads, 1)
    if path is not None and not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or os.PathLike, got {path!r}")
    if path is not None and not os.fspath(path):
        raise ValueError("path is empty; the current folder is '.'")
    if path is not None and not levels[2]:
        raise ValueError(f"path needs a third level, and levels={levels!r} turns it off")
    if tiers is not None:
        if not isinstance(tiers, tuple | list):
            raise TypeError(f"tiers must be a list of Tier objects, got {tiers!r}")
        for tier in tiers:
            if not all(hasattr(tier, name) for name in ("name", "get", "put", "drop", "stats")):
                raise TypeError(f"tiers must hold Tier objects, got {tier!r}")
            if getattr(tier, "is_watched", False):
                raise ValueError(f"tiers: {tier.name!r} serves another cache, make one for each")
        is_shared = bool(tiers) and all(getattr(t, "writes_through", False) for t in tiers)
        if path is not None and not is_shared:
            raise ValueError("path and tiers: give one of them, the path is that of the disk tier")
    if loader is not None:
        check_loader(loader)
    if on_evict is not None and not callable(on_evict):
        raise TypeError(f"on_evict must be callable, got {on_evict!r}")
    if prefetch and loader is None:
        raise ValueError("prefetch=True needs a loader")


def check_bounds(bounds: Any, max_size: int, levels: Any) -> tuple[int, int] | None:
    """Return the bounds of `auto_resize`; raise where they are none."""
    if bounds is None:
        return None
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise TypeError(f"auto_resize must be a pair (lowest, highest) or None, got {bounds!r}")
    low, high = bounds
    _check_size("auto_resize[0]", low, sum(share > 0 for share in levels))  # one for each level
    _check_size("auto_resize[1]", high, 1)
    if not low <= max_size <= high:
        raise ValueError(
            f"auto_resize must have lowest <= max_size <= highest, got {low}, {max_size}, {high}"
        )
    return low, high


def check_resize(max_size: int, shares: Sequence[float]) -> None:
    _check_size("max_size", max_size, sum(share > 0 for share in shares))  # one for each level


def _check_size(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least:,}, got {value}")
