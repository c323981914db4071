"""Cache levels below L1: keys are bytes, values are blobs.

A level of your own follows `raudo.types.Tier` and is proven by `raudo.testing.TierContract`. Give
an instance to `SmartCache(tiers=[...])`, or register its class under the entry point group
`raudo.tiers` and make it by name.
"""

from __future__ import annotations

from typing import Any

from raudo._plugins import entry_points
from raudo.cache.tiers.compressed import CompressedTier
from raudo.cache.tiers.disk import DiskTier, ScratchTier
from raudo.cache.tiers.lmdb import LmdbTier
from raudo.types import Tier

__all__ = ["CompressedTier", "DiskTier", "LmdbTier", "ScratchTier", "make_tier"]

_BUILT_IN: dict[str, Any] = {
    "compressed": CompressedTier,
    "disk": DiskTier,
    "lmdb": LmdbTier,
    "scratch": ScratchTier,
}


def make_tier(name: str, *args: Any, **kwargs: Any) -> Tier:
    """Make a tier of this name, built in or a plug-in's, with the arguments of its class."""
    kind = _BUILT_IN.get(name)
    if kind is None:
        found = {entry.name: entry for entry in entry_points(group="raudo.tiers")}
        if name not in found:
            known = ", ".join(sorted([*_BUILT_IN, *found]))
            raise ValueError(f"name: no tier is called {name!r}; known are {known}")
        kind = found[name].load()
    tier: Tier = kind(*args, **kwargs)
    return tier
