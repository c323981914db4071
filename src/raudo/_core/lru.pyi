from typing import final

from raudo._core.policy import Policy

@final
class Lru(Policy):
    """Least recently used, exact."""
