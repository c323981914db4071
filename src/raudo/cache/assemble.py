"""Puts the levels of a SmartCache together from its arguments."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from raudo._clock import Clock
from raudo.cache.advise import Prices
from raudo.cache.codecs import BlobCodec, Signer
from raudo.cache.cold import ColdLevels
from raudo.cache.levels import Levels
from raudo.cache.listener import OnEvict
from raudo.cache.tags import TagGenerations
from raudo.cache.tiers import DiskTier, ScratchTier
from raudo.types import Codec, Serializer, Tier

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

    below: list[Tier] | Callable[[], Tier] | None = list(tiers) if tiers is not None else None
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
    if below:
        levels.cold = ColdLevels(
            below,
            cache=name,
            codec=codec,
            signer=signer,
            clock=clock,
            lock=levels.lock,
            dropped=levels.down.left_cold,
        )
        levels.start_accounts()
    return levels
