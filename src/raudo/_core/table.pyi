from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class Table:
    """The compiled base of `Cache`: entries, index, expiry and the bookkeeping of what leaves."""

    def popitem(self) -> tuple[Any, Any]:
        """Remove and return the pair that would be evicted next; KeyError when empty."""
    def clear(self) -> None:
        """Remove all entries; each is reported as removed."""
    def expire(self) -> int:
        """Drop all that has expired and return how many; costs what there is to drop."""
