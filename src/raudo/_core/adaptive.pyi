from typing import final

from raudo._core.learned import Learned

@final
class Adaptive(Learned):
    """Chooses online between orders of eviction, the learned one and seniority."""

    @property
    def expert(self) -> str:
        """Name of the order in force: "worth" or "seniority"."""
    @property
    def switches(self) -> int:
        """How often the order has changed."""
