"""What the tests of the compiled pool share."""

from __future__ import annotations

from raudo.memory import ObjectPool


class Plain:
    """An instance that a weak reference can track."""


def balance(pool: ObjectPool) -> bool:
    stats = pool.stats()
    parts = (stats[key] for key in ("in_use", "idle", "discarded", "lost"))
    return stats["created"] == sum(parts)
