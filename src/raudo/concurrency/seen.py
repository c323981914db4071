"""Which messages were handled already, within one process."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from raudo.concurrency._workers.crew import positive_count

__all__ = ["RecentKeys"]


class RecentKeys:
    """The last `size` idempotency keys that were handled by this process; about 100 bytes each.

    May be shared by the consumers of one event loop. What another process handled it does not
    know: see `raudo.integrations.redis_streams.RedisSeen`.
    """

    def __init__(self, size: int = 10_000) -> None:
        self._size = positive_count("size", size)
        self._keys: dict[str, None] = {}

    async def known(self, keys: Sequence[str]) -> Collection[str]:
        known = self._keys
        return {key for key in keys if key in known}

    async def remember(self, keys: Sequence[str]) -> None:
        kept = self._keys
        for key in keys:
            kept.pop(key, None)
            kept[key] = None
        oldest = iter(kept)
        for key in [next(oldest) for _ in range(len(kept) - self._size)]:
            del kept[key]

    def __len__(self) -> int:
        return len(self._keys)
