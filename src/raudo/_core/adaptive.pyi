from typing import final

from raudo._core.queues import TwoQueue

@final
class Adaptive(TwoQueue):
    """Chooses online among rules of eviction by miniature simulation."""

    @property
    def expert(self) -> str:
        """Name of the rule in force."""
    @property
    def switches(self) -> int:
        """How often the rule has changed."""
