from collections.abc import Callable
from typing import Any, NamedTuple, Self

from typing_extensions import disjoint_base

from raudo._core.cache import Cache

class CacheInfo(NamedTuple):
    hits: int
    misses: int
    maxsize: int | None
    currsize: int

@disjoint_base
class Memo:
    """A callable that remembers: the compiled body of `raudo.lru_cache` and `raudo.cached`.

    A call with one positional argument that is not a tuple uses it as the key itself; others make a
    tuple of all arguments (with `typed`, and of their types), or of what `key` returns. Binds like a
    function when it is a class attribute. Exceptions are not remembered. Thread-safe; two threads
    may compute the same result at the same time.
    """

    __wrapped__: Callable[..., Any]
    @property
    def cache(self) -> Cache[Any, Any] | None: ...
    def __new__(
        cls,
        fn: Callable[..., Any],
        cache: Cache[Any, Any] | None,
        *,
        typed: bool = False,
        key: Callable[..., Any] | None = None,
    ) -> Self:
        """Remember `fn` in `cache`; None remembers nothing and counts misses."""
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __get__(self, instance: object, owner: type | None = None, /) -> Any: ...
    def __copy__(self) -> Memo: ...
    def __deepcopy__(self, memo: object) -> Memo: ...
    def cache_info(self) -> CacheInfo: ...
    def cache_clear(self) -> None: ...
    def cache_key(self, *args: Any, **kwargs: Any) -> Any:
        """Return the key under which the result of such a call is kept in `cache`."""

def tuple_key(args: tuple[Any, ...], kwargs: dict[str, Any], typed: bool) -> tuple[Any, ...]:
    """Make a key of a call as `functools.lru_cache` does: keyword order counts."""
