from collections.abc import Callable
from typing import Any, final

POLL_S: float

@final
class Guard:
    """The rules of one pool; see `ObjectPool` for what they mean."""

    @property
    def timeout(self) -> float | None: ...
    @property
    def check(self) -> Callable[[Any], object] | None: ...
    @property
    def close(self) -> Callable[[Any], object] | None: ...
    @property
    def max_age(self) -> float | None: ...
    @property
    def max_idle(self) -> float | None: ...
    @property
    def timer(self) -> Callable[[], float]: ...
