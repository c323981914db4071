from collections.abc import Callable
from typing import Any

class Memo:
    """A callable that remembers: the compiled body of `raudo.lru_cache` and `cached`.

    Positional calls with one hashable argument use it as the key itself; others make a key of all
    arguments (with `typed`, and of their types). Binds like a function when it is a class attribute.
    """

    __wrapped__: Callable[..., Any]
    cache: Any
    def __init__(
        self,
        fn: Callable[..., Any],
        cache: Any | None,
        *,
        typed: bool = False,
        key: Callable[..., Any] | None = None,
    ) -> None:
        """Remember `fn` in `cache` (a `Cache`); None remembers nothing and counts misses."""
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __get__(self, instance: object, owner: type | None = None) -> Any: ...
    def cache_info(self) -> tuple[int, int, int | None, int]: ...
    def cache_clear(self) -> None: ...
