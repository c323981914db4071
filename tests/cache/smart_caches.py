"""What the tests of SmartCache share: its accounts, and where an entry lives."""

from dataclasses import dataclass


@dataclass
class Item:
    n: int


def accounts_balance(cache):
    stats = cache.get_stats()
    out = ("evictions", "expirations", "deletions", "replaced")
    return stats["sets"] == stats["size"] + sum(stats[name] for name in out)


def where(cache, *keys):
    """The level each key lives in, 0 for none; without moving anything."""
    levels = cache._levels
    found = []
    for key in keys:
        data = levels.encode(key)
        in_levels = [
            levels.l1.peek(key, None) is not None,
            levels.l2 is not None and levels.l2.peek(data) is not None,
            levels.cold is not None and levels.cold.may_have(data),
        ]
        assert sum(in_levels) <= 1
        found.append(in_levels.index(True) + 1 if any(in_levels) else 0)
    return found
