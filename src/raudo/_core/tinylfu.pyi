from collections.abc import Iterable
from typing import final

from raudo._core.policy import Policy

@final
class TinyLfu(Policy):
    """W-TinyLFU with a window that a hill climber sizes."""

    @property
    def window_share(self) -> float:
        """Share of the entries that the window gets now."""

def sketch_counts(capacity: int, used: Iterable[int], asked: Iterable[int]) -> list[int]:
    """Return what a sketch for `capacity` entries counts of the hashes `asked` after those `used`."""
