from typing import final

from raudo._core.policy import Policy

@final
class Lfu(Policy):
    """Least frequently used, exact, ties to the least recently used; counts do not age."""
