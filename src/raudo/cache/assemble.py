"""Puts the levels of a SmartCache together from its arguments."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from raudo._clock import Clock
from raudo.cache.advise import Prices
from raudo.cache.codecs import BlobCodec, Signer
from raudo.cache.cold import ColdLevels
from raudo.cache.levels import Levels
from raudo.cache.listener import OnEvict
from raudo.cache.shared import SharedLevel
from raudo.cache.tags import TagGenerations
from raudo.cache.tiers import DiskTier, ScratchTier
from raudo.types import Codec, Serializer, SharedTier, Tier

__all__ = ["assemble"]


def assemble(
    *,
    name: str,
    max_size: int,
    strategy: object,
    compression: bool | str | Codec,
    shares: tuple[float, float, float],
    max_bytes: int | None,
    path: str | os.PathLike[str] | None,
    serializer: str | Serializer,
    allow: Iterable[type],
    secret: bytes | str | None,
    tiers: Sequence[Tier] | None,
    on_evict: OnEvict | None,
    max_disk_bytes: int,
    clock: Clock,
    bounds: tuple[int, int] | None,
    prices: Prices | None,
) -> Levels:
    """Make the levels; the arguments are those of `SmartCache`, and have been checked."""
    codec = BlobCodec(serializer, compression, allow)
    signer = Signer(secret) if secret is not None else None
    levels = Levels(
        max_size,
        shares,
        strategy=strategy,
        max_bytes=max_bytes,
        codec=codec,
        clock=clock,
        tags=TagGenerations(clock=clock),
        on_evict=on_evict,
        bounds=bounds,
        prices=prices,
    )
    reports = on_evict is not None

    def make_scratch() -> Tier:
        return ScratchTier(
            max_bytes=max_disk_bytes,
            on_evict=levels.down.left_tier,
            report_values=reports,
            clock=clock,
        )

    shared, private = _split(tiers)
    below: list[Tier] | Callable[[], Tier] | None = private
    if shared is not None and not private and path is not None:
        below = None  # the disk, between memory and what is shared
    if below is None and shares[2]:
        below = make_scratch
        if path is not None:
            disk = DiskTier(
                path,
                max_entries=max_size if bounds is None else bounds[1],
                max_bytes=max_disk_bytes,
                on_evict=levels.down.left_tier,
                report_values=reports,
                clock=clock,
            )
            below = [disk]
    if isinstance(below, list):
        for tier in below:
            if tier.survives_restart and hasattr(tier, "keep") and hasattr(tier, "path"):
                levels.tags = TagGenerations(Path(tier.path) / "tags", clock)
    if shared is not None:
        levels.tags = shared.tags
    if below or shared is not None:
        levels.cold = ColdLevels(
            below if below is not None else [],
            cache=name,
            codec=codec,
            signer=signer,
            clock=clock,
            lock=levels.lock,
            dropped=levels.down.left_cold,
            shared=SharedLevel(
                shared, cache=name, codec=codec, signer=signer, clock=clock, lock=levels.lock
            )
            if shared is not None
            else None,
        )
        levels.start_accounts()
    return levels


def _split(tiers: Sequence[Tier] | None) -> tuple[SharedTier | None, list[Tier] | None]:
    """Return the tier that is written through, if there is one, and the others."""
    if tiers is None:
        return None, None
    shared: list[Any] = [tier for tier in tiers if getattr(tier, "writes_through", False)]
    if len(shared) > 1:
        raise ValueError(f"tiers: at most one may be written through, got {len(shared)}")
    others = [tier for tier in tiers if not getattr(tier, "writes_through", False)]
    return shared[0] if shared else None, others
